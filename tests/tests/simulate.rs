//! `purser simulate`: some seeds that are always the same, and a new one each time. It makes databases of its own, so it needs
//! none of ours.

use std::hash::{BuildHasher, RandomState};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// How long new seeds are tried for.
const FRESH: Duration = Duration::from_secs(15);

fn simulate(seed: u64, years: u32) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    Command::new(tests::purser())
        .args(["simulate", "--seed", &seed.to_string(), "--years", &years.to_string()])
        // Where a configured database would be, none is made.
        .current_dir(folder.path())
        .output()
        .expect("purser")
}

/// What it printed of a history that held.
fn held(seed: u64, years: u32) -> String {
    let done = simulate(seed, years);
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{said}");
    assert!(said.starts_with("everything held: "), "{said}");
    said
}

/// two years of each hold.
#[test]
fn known_seeds_hold() {
    for seed in [1, 2, 3] {
        held(seed, 2);
    }
}

/// The same seed makes the same history, to the last answer.
#[test]
fn a_seed_is_a_history() {
    let history = |said: String| said.lines().find(|line| line.starts_with("history: ")).map(str::to_owned);
    let one = history(held(4, 1));
    assert!(one.is_some());
    assert_eq!(one, history(held(4, 1)));
    assert_ne!(one, history(held(5, 1)));
}

/// New seeds for a while; what fails says which, and how to see it again.
#[test]
fn new_seeds_hold() {
    let begun = Instant::now();
    let mut seed = RandomState::new().hash_one(0) % 1_000_000_000;
    while begun.elapsed() < FRESH {
        held(seed, 1);
        seed += 1;
    }
}
