//! placeholder
use clap::Args;
/// x
#[derive(Clone, Debug, Args)]
pub struct Options {}
/// x
pub fn run(_: &Options) {}
