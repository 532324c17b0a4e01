//! The shortest history that fails: chunks of steps are left out as long as what is left still fails (delta debugging).

use super::plan::Step;
use std::time::{Duration, Instant};

/// Leaves out of `steps` whatever `fails` does not need, until nothing more can be left out or the time is over.
pub fn shrink(mut steps: Vec<Step>, patience: Duration, fails: &mut dyn FnMut(&[Step]) -> Option<usize>) -> Vec<Step> {
    let begun = Instant::now();
    let mut size = steps.len().div_ceil(2);
    while size > 0 {
        let (mut from, mut shorter) = (0, false);
        while from < steps.len() {
            if begun.elapsed() > patience {
                return steps;
            }
            let end = from.saturating_add(size).min(steps.len());
            let without: Vec<Step> = steps
                .iter()
                .enumerate()
                .filter(|(place, _)| *place < from || *place >= end)
                .map(|(_, step)| step.clone())
                .collect();
            match fails(&without) {
                Some(last) => {
                    steps = without.into_iter().take(last.saturating_add(1)).collect();
                    shorter = true;
                }
                None => from = end,
            }
        }
        size = if size == 1 && shorter { 1 } else { size / 2 };
    }
    waits_together(steps, fails)
}

/// One wait instead of two that follow each other, where that fails too.
fn waits_together(mut steps: Vec<Step>, fails: &mut dyn FnMut(&[Step]) -> Option<usize>) -> Vec<Step> {
    let mut place = 0;
    while place < steps.len() {
        let pair = (steps.get(place), steps.get(place.saturating_add(1)));
        if let (Some(Step::Wait { hours, .. }), Some(Step::Wait { hours: more, jobs })) = pair {
            let one = Step::Wait { hours: hours.saturating_add(*more), jobs: *jobs };
            let mut fewer = steps.clone();
            fewer.splice(place..=place.saturating_add(1), [one]);
            if fails(&fewer).is_some() {
                steps = fewer;
                continue;
            }
        }
        place = place.saturating_add(1);
    }
    steps
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;
    use crate::simulate::plan::steps;

    /// Two steps that fail together are what is left of a thousand.
    #[test]
    fn what_does_not_matter_is_left_out() {
        let all = steps(1, 4);
        let (one, other) = (all[all.len() / 3].clone(), all[all.len() / 2].clone());
        let mut asked = 0;
        let left = shrink(all.clone(), Duration::from_secs(60), &mut |steps| {
            asked += 1;
            let first = steps.iter().position(|step| *step == one)?;
            Some(first + 1 + steps.get(first + 1..)?.iter().position(|step| *step == other)?)
        });
        assert_eq!(left, [one, other]);
        assert!(asked < 400, "{asked} tries for {} steps", all.len());
    }
}
