//! stub
use store::{Reads, StoreError};
/// stub
pub async fn explain(_: &impl Reads, _: kernel::ChargeId) -> Result<Option<String>, StoreError> { Ok(None) }
