//! `purser simulate`: a market under a seeded clock, with crashes and faults of the provider, on the product's own decisions and
//! records; after every step it must hold what `watch` says, and a small model beside it (`model`) must come to the same.

mod market;
mod model;
mod plan;
mod play;
mod process;
mod shrink;
mod time;
mod wares;
mod watch;

use crate::commands::Fault;
use crate::config::Config;
use plan::{ORGANIZATIONS, Step};
use play::Outcome;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long a failing history is made shorter.
const PATIENCE: Duration = Duration::from_secs(120);

/// Simulates a seed's years and says what came of it.
pub fn run(seed: u64, years: u32, config: &Config) -> Result<ExitCode, Fault> {
    let steps = plan::steps(seed, years);
    let mut room = Room::make(seed)?;
    let begun = Instant::now();
    let outcome = room.play(seed, &steps, config)?;
    let took = begun.elapsed();
    match outcome {
        Ok(played) => {
            println!(
                "everything held: {years} years of {ORGANIZATIONS} organizations, {} steps, {} invoices, {} processes killed",
                played.steps, played.invoices, played.kills
            );
            println!("history: {}", played.digest);
            let years = u128::from(years) * u128::try_from(ORGANIZATIONS)? * 1_000_000;
            let rate = years / took.as_millis().max(1);
            println!("took {} ms: {}.{:03} organization-years a second", took.as_millis(), rate / 1_000, rate % 1_000);
            Ok(ExitCode::SUCCESS)
        }
        Err((last, flaw)) => {
            println!("seed {seed} fails after {} of {} steps: {flaw}", last.saturating_add(1), steps.len());
            let steps: Vec<Step> = steps.into_iter().take(last.saturating_add(1)).collect();
            let shortest = room.shortest(seed, steps, config);
            println!("the shortest history found that fails:");
            for (place, step) in (1_usize..).zip(&shortest) {
                println!("{place:4}  {step}");
            }
            if let Ok(Err((_, flaw))) = room.play(seed, &shortest, config) {
                println!("      {flaw}");
            }
            println!("again: purser simulate --seed {seed} --years {years}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// A folder of databases, each for one history; gone at the end.
struct Room {
    folder: PathBuf,
    histories: u64,
}

impl Room {
    fn make(seed: u64) -> Result<Self, Fault> {
        // Memory where there is some in the shape of a folder: a killed process loses nothing that was committed.
        let shared = Path::new("/dev/shm");
        let base = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
        let folder = base.join(format!("purser-simulate-{}-{seed}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder, histories: 0 })
    }

    /// Plays a history on a new database, in a runtime of its own, so that what happens at once happens in one order.
    fn play(&mut self, seed: u64, steps: &[Step], config: &Config) -> Result<Outcome, Fault> {
        self.histories += 1;
        let file = self.folder.join(format!("{}.db", self.histories));
        let url = format!("sqlite://{}", file.display());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let outcome = runtime.block_on(play::play(seed, steps, url, config.clone()));
        runtime.shutdown_background();
        for end in ["db", "db-wal", "db-shm"] {
            let _ = std::fs::remove_file(file.with_extension(end));
        }
        outcome
    }

    fn shortest(&mut self, seed: u64, steps: Vec<Step>, config: &Config) -> Vec<Step> {
        shrink::shrink(steps, PATIENCE, &mut |steps| match self.play(seed, steps, config) {
            Ok(Err((last, _))) => Some(last),
            _ => None,
        })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
