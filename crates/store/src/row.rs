//! Reading a row's columns into the kernel's types; a column that cannot be read says which.

use crate::StoreError;
use sea_orm::QueryResult;
use std::str::FromStr;
use uuid::Uuid;

/// Columns of a row by name.
pub trait Row {
    /// A UUID column as the typed id that it is.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where the column is missing, NULL or of another type.
    fn id<I: kernel::Id>(&self, column: &str) -> Result<I, StoreError>;
    /// A nullable UUID column.
    ///
    /// # Errors
    /// As [`Row::id`].
    fn maybe_id<I: kernel::Id>(&self, column: &str) -> Result<Option<I>, StoreError>;
    /// An integer.
    ///
    /// # Errors
    /// As [`Row::id`].
    fn int(&self, column: &str) -> Result<i64, StoreError>;
    /// A nullable integer.
    ///
    /// # Errors
    /// As [`Row::id`].
    fn maybe_int(&self, column: &str) -> Result<Option<i64>, StoreError>;
    /// Text.
    ///
    /// # Errors
    /// As [`Row::id`].
    fn text(&self, column: &str) -> Result<String, StoreError>;
    /// Nullable text.
    ///
    /// # Errors
    /// As [`Row::id`].
    fn maybe_text(&self, column: &str) -> Result<Option<String>, StoreError>;
    /// Text that is one of a kernel type's words.
    ///
    /// # Errors
    /// As [`Row::id`], and where the text is none of them.
    fn word<T: FromStr>(&self, column: &str) -> Result<T, StoreError>
    where
        T::Err: std::fmt::Display,
    {
        let text = self.text(column)?;
        text.parse().map_err(|e| StoreError::corrupt(format!("{column} = {text:?}: {e}")))
    }
    /// Nullable text that is one of a kernel type's words.
    ///
    /// # Errors
    /// As [`Row::word`].
    fn maybe_word<T: FromStr>(&self, column: &str) -> Result<Option<T>, StoreError>
    where
        T::Err: std::fmt::Display,
    {
        self.maybe_text(column)?
            .map(|text| text.parse().map_err(|e| StoreError::corrupt(format!("{column} = {text:?}: {e}"))))
            .transpose()
    }
    /// An instant, stored in microseconds.
    ///
    /// # Errors
    /// As [`Row::id`].
    fn instant(&self, column: &str) -> Result<kernel::Timestamp, StoreError> {
        Ok(kernel::from_micros(self.int(column)?))
    }
    /// Bytes.
    ///
    /// # Errors
    /// As [`Row::id`].
    fn bytes(&self, column: &str) -> Result<Vec<u8>, StoreError>;
    /// Nullable bytes.
    ///
    /// # Errors
    /// As [`Row::id`].
    fn maybe_bytes(&self, column: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// True or false.
    ///
    /// # Errors
    /// As [`Row::id`].
    fn flag(&self, column: &str) -> Result<bool, StoreError>;
}

fn read<T: sea_orm::TryGetable>(row: &QueryResult, column: &str) -> Result<T, StoreError> {
    row.try_get("", column).map_err(|e| StoreError::corrupt(format!("{column}: {e}")))
}

impl Row for QueryResult {
    fn id<I: kernel::Id>(&self, column: &str) -> Result<I, StoreError> {
        Ok(I::from_uuid(read::<Uuid>(self, column)?))
    }
    fn maybe_id<I: kernel::Id>(&self, column: &str) -> Result<Option<I>, StoreError> {
        Ok(read::<Option<Uuid>>(self, column)?.map(I::from_uuid))
    }
    fn int(&self, column: &str) -> Result<i64, StoreError> {
        read(self, column)
    }
    fn maybe_int(&self, column: &str) -> Result<Option<i64>, StoreError> {
        read(self, column)
    }
    fn text(&self, column: &str) -> Result<String, StoreError> {
        read(self, column)
    }
    fn maybe_text(&self, column: &str) -> Result<Option<String>, StoreError> {
        read(self, column)
    }
    fn bytes(&self, column: &str) -> Result<Vec<u8>, StoreError> {
        read(self, column)
    }
    fn maybe_bytes(&self, column: &str) -> Result<Option<Vec<u8>>, StoreError> {
        read(self, column)
    }
    fn flag(&self, column: &str) -> Result<bool, StoreError> {
        read(self, column)
    }
}
