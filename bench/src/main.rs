//! The performance harness's own programs: what `bench/run.py` starts beside the server. Nothing of them is in `purser`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a harness that cannot go on has nobody to answer to but its caller"
)]
#![allow(clippy::float_arithmetic, reason = "rates and times, never money")]

mod bare;
mod commits;
mod http;
mod latency;
mod load;
mod pages;
mod people;
mod pick;
mod reads;
mod usage;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(about = "Load and limits for bench/run.py")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Purchases over HTTP, each client sending the next when it has its answer.
    Load(load::Options),
    /// Reads of allowances over HTTP.
    Reads(reads::Options),
    /// Reports of metered use over HTTP.
    Usage(usage::Options),
    /// The rows of usage events written by SQLite alone.
    UsageAlone(usage::Alone),
    /// Pages, by their addresses.
    Pages(pages::Options),
    /// A bare actix-web handler that checks tokens as the server does and answers a constant.
    Bare(bare::Options),
    /// One purchase a commit on SQLite, without anything around it.
    Commits(commits::Options),
}

fn main() {
    match Cli::parse().command {
        Command::Load(options) => single().block_on(load::run(options)),
        Command::Reads(options) => single().block_on(reads::run(options)),
        Command::Usage(options) => single().block_on(usage::run(options)),
        Command::UsageAlone(options) => usage::alone(&options),
        Command::Pages(options) => single().block_on(pages::run(options)),
        Command::Bare(options) => bare::run(&options),
        Command::Commits(options) => commits::run(&options),
    }
}

/// One thread: the generator may not take more of the machine than it must.
fn single() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
