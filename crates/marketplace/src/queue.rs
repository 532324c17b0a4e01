//! What waits at the till, and who is next: an organization in one lane at a time and in its order, none with more than
//! half of a batch, none waiting past its time.

use kernel::OrganizationId;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// One that waits.
#[derive(Debug)]
pub struct Waiting<T> {
    /// Whose it is.
    pub organization: OrganizationId,
    /// Since when.
    pub since: Instant,
    /// What.
    pub item: T,
}

/// What waits, and which organizations are in a lane's hands.
#[derive(Debug)]
pub struct Queue<T> {
    waiting: VecDeque<Waiting<T>>,
    busy: HashSet<OrganizationId>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), busy: HashSet::new() }
    }
}

/// What a lane takes.
#[derive(Debug)]
pub struct Batch<T> {
    /// To be decided now.
    pub taken: Vec<Waiting<T>>,
    /// Waited too long.
    pub expired: Vec<Waiting<T>>,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self { taken: Vec::new(), expired: Vec::new() }
    }
}

impl<T> Queue<T> {
    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// One more, at the end.
    pub fn push(&mut self, waiting: Waiting<T>) {
        self.waiting.push_back(waiting);
    }

    /// Takes up to `batch` in their order, of organizations that no lane holds. One whose turn it is not keeps its place,
    /// and later ones of the same organization stay behind it.
    pub fn take(&mut self, batch: usize, now: Instant, patience: Duration) -> Batch<T> {
        let batch = batch.max(1);
        let most = batch.div_ceil(2);
        let mut share: HashMap<OrganizationId, usize> = HashMap::new();
        let (mut taken, mut expired, mut kept) = (Vec::new(), Vec::new(), VecDeque::new());
        while taken.len() < batch
            && let Some(waiting) = self.waiting.pop_front()
        {
            if now.saturating_duration_since(waiting.since) > patience {
                expired.push(waiting);
                continue;
            }
            let held = share.entry(waiting.organization).or_insert(0);
            if *held >= most || self.busy.contains(&waiting.organization) {
                *held = usize::MAX;
                kept.push_back(waiting);
            } else {
                *held += 1;
                taken.push(waiting);
            }
        }
        kept.append(&mut self.waiting);
        self.waiting = kept;
        self.busy.extend(taken.iter().map(|waiting| waiting.organization));
        Batch { taken, expired }
    }

    /// Gives organizations back, and what is to be decided in the next batch to the front.
    pub fn give_back(&mut self, organizations: &HashSet<OrganizationId>, later: Vec<Waiting<T>>) {
        for organization in organizations {
            self.busy.remove(organization);
        }
        for waiting in later.into_iter().rev() {
            self.waiting.push_front(waiting);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn organization(n: u64) -> OrganizationId {
        OrganizationId::from_uuid(uuid::Uuid::from_u64_pair(0, n))
    }

    fn queue(whose: &[u64], since: Instant) -> Queue<usize> {
        let mut queue = Queue::default();
        for (item, n) in whose.iter().enumerate() {
            queue.push(Waiting { organization: organization(*n), since, item });
        }
        queue
    }

    fn items(waiting: &[Waiting<usize>]) -> Vec<usize> {
        waiting.iter().map(|w| w.item).collect()
    }

    #[test]
    fn no_organization_has_more_than_half_of_a_batch_and_keeps_its_order() {
        let now = Instant::now();
        let mut queue = queue(&[1, 1, 1, 1, 2, 1, 3], now);
        assert_eq!(items(&queue.take(4, now, PATIENCE).taken), [0, 1, 4, 6]);
        queue.give_back(&[1, 2, 3].map(organization).into(), Vec::new());
        assert_eq!(items(&queue.take(4, now, PATIENCE).taken), [2, 3]);
        queue.give_back(&[1].map(organization).into(), Vec::new());
        assert_eq!(items(&queue.take(4, now, PATIENCE).taken), [5]);
    }

    #[test]
    fn an_organization_is_in_one_lane_at_a_time() {
        let now = Instant::now();
        let mut queue = queue(&[1, 2, 1], now);
        assert_eq!(items(&queue.take(1, now, PATIENCE).taken), [0]);
        assert_eq!(items(&queue.take(8, now, PATIENCE).taken), [1]);
        assert!(queue.take(8, now, PATIENCE).taken.is_empty());
        queue.give_back(&[1].map(organization).into(), Vec::new());
        assert_eq!(items(&queue.take(8, now, PATIENCE).taken), [2]);
    }

    #[test]
    fn what_is_put_back_comes_first_and_in_its_order() {
        let now = Instant::now();
        let mut queue = queue(&[1, 1, 2, 1], now);
        let mut taken = queue.take(4, now, PATIENCE).taken;
        assert_eq!(items(&taken), [0, 1, 2]);
        let later = taken.split_off(1);
        queue.give_back(&[1, 2].map(organization).into(), later);
        assert_eq!(items(&queue.take(8, now, PATIENCE).taken), [1, 2, 3]);
    }

    #[test]
    fn none_waits_past_its_time() {
        let now = Instant::now();
        let mut queue = queue(&[1, 2], now);
        let batch = queue.take(8, now + PATIENCE + Duration::from_millis(1), PATIENCE);
        assert_eq!((items(&batch.taken), items(&batch.expired)), (vec![], vec![0, 1]));
        assert!(queue.is_empty());
    }
}
