//! A fuse in a database's lines, for simulations: it burns through at a commit that was chosen beforehand, and from then on
//! nothing is written or read any more, as if the process had been killed there. A served database has none.

use crate::StoreError;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// On which side of the commit it burns through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What was written is lost.
    Before,
    /// What was written stands, and nobody heard of it.
    After,
}

/// Commits that are still to come before it burns through.
#[derive(Clone, Debug)]
pub struct Fuse {
    left: Arc<AtomicI64>,
    side: Side,
}

/// It has burnt through.
const BURNT: i64 = i64::MIN / 2;

impl Fuse {
    /// Burns through at the commit after `commits` others.
    #[must_use]
    pub fn new(commits: u32, side: Side) -> Self {
        Self { left: Arc::new(AtomicI64::new(i64::from(commits))), side }
    }

    /// Whether it has burnt through.
    #[must_use]
    pub fn is_burnt(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }

    /// What everything else meets.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] once it has burnt through.
    pub(crate) fn pass(&self) -> Result<(), StoreError> {
        if self.is_burnt() { Err(dead()) } else { Ok(()) }
    }

    /// One commit: what to answer instead of committing, and what after it.
    pub(crate) fn commit(&self) -> Commit {
        let before = self.left.fetch_sub(1, Ordering::SeqCst);
        if before > 0 {
            return Commit::Through;
        }
        self.left.store(BURNT, Ordering::SeqCst);
        if before == 0 && self.side == Side::After { Commit::Unheard } else { Commit::Lost }
    }
}

/// What becomes of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    /// It is made, and answered.
    Through,
    /// It is made, and not answered.
    Unheard,
    /// It is not made.
    Lost,
}

pub(crate) fn dead() -> StoreError {
    StoreError::Unavailable("the simulated process was killed".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_burns_through_at_its_commit_and_stays_so() {
        for (side, last) in [(Side::Before, Commit::Lost), (Side::After, Commit::Unheard)] {
            let fuse = Fuse::new(2, side);
            assert_eq!([fuse.commit(), fuse.commit()], [Commit::Through; 2]);
            assert!(fuse.pass().is_ok());
            assert_eq!(fuse.commit(), last);
            assert!(fuse.is_burnt() && fuse.pass().is_err());
            assert_eq!(fuse.commit(), Commit::Lost);
        }
    }
}
