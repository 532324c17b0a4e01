//! `purser`: the marketplace and the billing of a developer platform, in one program.

mod allowance;
mod app;
mod backup;
mod caller;
mod cli;
mod clock;
mod collecting;
mod commands;
mod config;
mod documents;
mod extract;
mod jobs;
mod mailing;
mod months;
mod openapi;
mod pages;
mod problem;
mod refunding;
mod request_id;
mod resuming;
mod routes;
mod secret;
mod state;
mod telemetry;
mod token;
mod welcome;

use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(commands::run(cli)),
        Err(fault) => Err(fault.into()),
    };
    match outcome {
        Ok(code) => code,
        Err(fault) => {
            eprintln!("purser: {fault:#}");
            ExitCode::FAILURE
        }
    }
}
