//! Which organization is next, by a seeded generator: the same seed asks the same.

use clap::ValueEnum;

/// How the load is spread over the organizations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Spread {
    /// Each as often as any other.
    Uniform,
    /// One takes a fifth.
    Hot,
    /// A tenth takes nine tenths.
    Tenth,
}

/// The one that takes a fifth: it has billing.
const HOT: u32 = 2;

/// SplitMix64: small, fast and even enough for a load.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u32) -> u32 {
        let wide = (u128::from(self.next()) * u128::from(bound)) >> 64;
        u32::try_from(wide).expect("it is below the bound")
    }

    /// An organization's number, from 1.
    pub fn organization(&mut self, spread: Spread, organizations: u32) -> u32 {
        match spread {
            Spread::Hot if self.below(5) == 0 => HOT,
            Spread::Tenth if self.below(10) != 0 => 1 + self.below((organizations / 10).max(1)),
            _ => 1 + self.below(organizations),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(spread: Spread, of: impl Fn(u32) -> bool) -> u32 {
        let mut random = Random::new(1);
        let chosen: Vec<_> = (0..10_000).map(|_| random.organization(spread, 1_000)).collect();
        assert!(chosen.iter().all(|number| (1..=1_000).contains(number)));
        u32::try_from(chosen.into_iter().filter(|number| of(*number)).count()).unwrap()
    }

    #[test]
    fn spreads_are_what_they_say() {
        assert!((450..550).contains(&share(Spread::Uniform, |number| number <= 50)));
        assert!((1_900..2_150).contains(&share(Spread::Hot, |number| number == HOT)));
        assert!((9_000..9_200).contains(&share(Spread::Tenth, |number| number <= 100)));
    }
}
