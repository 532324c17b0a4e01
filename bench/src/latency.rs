//! What requests took, exactly: every one is kept until the end.

use std::time::Duration;

/// Microseconds of each request.
#[derive(Debug, Default)]
pub struct Latency(Vec<u32>);

impl Latency {
    /// Keeps one.
    pub fn record(&mut self, took: Duration) {
        self.0.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Milliseconds that so many in a thousand did not exceed, for each asked.
    pub fn per_mille(&mut self, asked: &[usize]) -> Vec<f64> {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        asked
            .iter()
            .map(|part| f64::from(self.0.get((last * part).div_ceil(1000)).copied().unwrap_or(0)) / 1000.0)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_thousand_are_those_of_the_sorted_times() {
        let mut latency = Latency::default();
        for millis in (1..=100).rev() {
            latency.record(Duration::from_millis(millis));
        }
        assert_eq!(latency.len(), 100);
        assert_eq!(latency.per_mille(&[0, 500, 990, 1000]), [1.0, 51.0, 100.0, 100.0]);
        assert_eq!(Latency::default().per_mille(&[500]), [0.0]);
    }
}
