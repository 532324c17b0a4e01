//! Why a bill has no such document.

/// What a bill lacks for a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// Where it would stand in the bill: a JSON pointer.
    pub pointer: &'static str,
    /// What is lacking, and what to do about it: a sentence part.
    pub detail: String,
}

/// Why a bill has no such document.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The bill does not say what such a document must.
    #[error("the bill lacks what the document needs")]
    Lacking(Vec<Lack>),
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
