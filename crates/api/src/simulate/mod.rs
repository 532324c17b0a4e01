//! `purser simulate`: a market under a seeded clock, with crashes and faults of the provider, on the product's own decisions and
//! records; after every step it must hold what `watch` says, and a small model beside it (`model`) must come to the same.

mod market;
mod model;
mod plan;
mod play;
mod process;
mod pure;
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
use watch::Flaw;

/// How long a failing history is made shorter.
const PATIENCE: Duration = Duration::from_secs(120);

/// Simulates a seed's years and says what came of it; without a configuration decisions alone.
pub fn run(seed: u64, years: u32, config: Option<&Config>) -> Result<ExitCode, Fault> {
    let steps = plan::steps(seed, years);
    let mut room = Room::make(seed)?;
    let mut play = |steps: &[Step]| match config {
        Some(config) => Ok(room.play(seed, steps, config)?.map(|played| played.to_string())),
        None => Ok(pure::play(seed, steps)?.map(|decided| format!("{} steps, {decided} decisions", steps.len()))),
    };
    let begun = Instant::now();
    let outcome: Result<String, (usize, Flaw)> = play(&steps)?;
    let took = begun.elapsed().as_millis().max(1);
    let (last, flaw) = match outcome {
        Ok(played) => {
            println!("everything held: {years} years of {ORGANIZATIONS} organizations, {played}");
            let rate = u128::from(years) * u128::try_from(ORGANIZATIONS)? * 1_000_000 / took;
            println!("took {took} ms: {}.{:03} organization-years a second", rate / 1_000, rate % 1_000);
            return Ok(ExitCode::SUCCESS);
        }
        Err(failed) => failed,
    };
    println!("seed {seed} fails after {} of {} steps: {flaw}", last.saturating_add(1), steps.len());
    let steps: Vec<Step> = steps.into_iter().take(last.saturating_add(1)).collect();
    let mut flaw = flaw;
    let shortest = shrink::shrink(steps, PATIENCE, &mut |steps| match play(steps) {
        Ok(Err((last, found))) => {
            flaw = found;
            Some(last)
        }
        Ok(Ok(_)) | Err::<_, Fault>(_) => None,
    });
    println!("the shortest history found that fails:");
    for (place, step) in (1_usize..).zip(&shortest) {
        println!("{place:4}  {step}");
    }
    println!("      {flaw}");
    let pure = if config.is_some() { "" } else { " --pure" };
    println!("again: purser simulate --seed {seed} --years {years}{pure}");
    Ok(ExitCode::FAILURE)
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
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
