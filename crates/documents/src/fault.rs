//! Why a bill has no such document.

/// Why a bill has no such document.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A fault of ours: the writer did not take what it was given.
    #[error("the document cannot be written: {0}")]
    Written(String),
}

impl Fault {
    /// The writer's own word on what it did not take.
    pub(crate) fn written(error: impl std::fmt::Debug) -> Self {
        Self::Written(format!("{error:?}"))
    }
}
