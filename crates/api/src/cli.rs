//! The command line: what `purser` can be told to do, and nothing of how.
//!
//! It stands apart from `main` so that the commands and their help are read in one place and parse
//! without a server, a database or a configuration.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use kernel::Timestamp;

/// Marketplace and billing server for a developer platform.
#[derive(Debug, Parser)]
#[command(name = "purser", version, about, propagate_version = true)]
pub struct Cli {
    /// Configuration file; `config/default.toml` where it exists, else what is built in.
    /// `PURSER__SECTION__KEY` in the environment stands above either.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// What to do; without it: `serve`.
    #[command(subcommand)]
    pub command: Option<Command>,
}

impl Cli {
    /// The command asked for; `serve` without a test clock if none was.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Serve { clock: None })
    }
}

/// The commands of the contract.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Serve the API.
    Serve {
        /// Keep business time by a test clock that stands at this instant (RFC 3339) until it is moved.
        #[arg(long, value_name = "INSTANT", value_parser = kernel::parse_rfc3339)]
        clock: Option<Timestamp>,
    },
    /// Bring the database schema up to date.
    Migrate,
    /// Check configuration and schema; show the effective configuration, secrets hidden.
    Check,
    /// Check, compare or load the catalogue file.
    #[command(subcommand)]
    Catalog(Catalog),
    /// Load people, organizations and subscriptions from a file; twice is once.
    Seed {
        /// The seed file.
        file: PathBuf,
    },
    /// Print a bearer token for a person, and nothing else.
    Token {
        /// Email address of the person.
        #[arg(long, value_name = "EMAIL")]
        user: String,
    },
    /// Keys of the platform's services.
    #[command(subcommand)]
    Key(Key),
    /// Run what is due: organizations come to their month, it is charged, and invoices are issued.
    Renew {
        /// Up to this day; today where it is left out.
        #[arg(long, value_name = "DATE", value_parser = kernel::parse_date)]
        until: Option<chrono::NaiveDate>,
    },
    /// Show how a charge came about, as a person would check it by hand.
    Explain {
        /// Id of a charge (`chg_…`) or an invoice (`inv_…`).
        #[arg(value_name = "CHARGE|INVOICE")]
        id: String,
    },
    /// Prove the books from the facts; exit status 1 and the first difference if they do not hold.
    Verify,
    /// Live through years of a market that a seed makes up, crashes and faults included, on a database of its own; exit status
    /// 1 and the shortest history that fails if something does not hold.
    Simulate {
        /// What makes the history up; the same one makes the same history.
        #[arg(long, value_name = "N")]
        seed: u64,
        /// How long it is.
        #[arg(long, value_name = "Y", default_value_t = 1)]
        years: u32,
        /// Decisions alone, without a database, jobs and payments.
        #[arg(long)]
        pure: bool,
    },
    /// Write all of the database into a new file, also while serving; the secret file is to be kept besides.
    Backup {
        /// The file to make; one that is there is not overwritten.
        file: PathBuf,
    },
    /// Load a backup into an empty database, of either kind, that nobody serves, and prove the books.
    Restore {
        /// The backup.
        file: PathBuf,
    },
    /// Copy all of the database, which nobody serves, into an empty one of either kind, and prove the books.
    Move {
        /// URL of the database to copy into.
        #[arg(long, value_name = "URL")]
        to: String,
    },
}

/// What can be done with a catalogue file.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Catalog {
    /// Say what is wrong or doubtful in the file.
    Lint {
        /// The catalogue file.
        file: PathBuf,
    },
    /// Say what `apply` would change.
    Diff {
        /// The catalogue file.
        file: PathBuf,
    },
    /// Make the catalogue what the file says; a changed price becomes a new version.
    Apply {
        /// The catalogue file.
        file: PathBuf,
    },
}

/// What can be done with service keys.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Key {
    /// Make a service key and print it, once.
    Create {
        /// What the key is for, to tell it from others.
        #[arg(long)]
        name: String,
    },
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("purser").chain(line.split_whitespace()))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_arguments_it_serves() {
        assert_eq!(parse("").unwrap().into_command(), Command::Serve { clock: None });
    }

    #[test]
    fn a_test_clock_is_an_instant() {
        let cli = parse("serve --clock 2018-04-15T10:00:00Z").unwrap();
        let Command::Serve { clock: Some(at) } = cli.into_command() else { panic!("not serve with a clock") };
        assert_eq!(at.to_rfc3339(), "2018-04-15T10:00:00+00:00");
        assert!(parse("serve --clock yesterday").is_err());
    }

    #[test]
    fn the_configuration_file_may_stand_before_or_after_the_command() {
        for line in ["--config a.toml check", "check --config a.toml"] {
            assert_eq!(parse(line).unwrap().config, Some(PathBuf::from("a.toml")));
        }
    }

    #[test]
    fn every_command_of_this_version_parses() {
        let file = || PathBuf::from("f.toml");
        for (line, command) in [
            ("migrate", Command::Migrate),
            ("check", Command::Check),
            ("catalog lint f.toml", Command::Catalog(Catalog::Lint { file: file() })),
            ("catalog diff f.toml", Command::Catalog(Catalog::Diff { file: file() })),
            ("catalog apply f.toml", Command::Catalog(Catalog::Apply { file: file() })),
            ("seed f.toml", Command::Seed { file: file() }),
            ("token --user ada@fabrikam.example", Command::Token { user: "ada@fabrikam.example".into() }),
            ("key create --name platform", Command::Key(Key::Create { name: "platform".into() })),
            ("explain chg_1", Command::Explain { id: "chg_1".into() }),
            ("renew", Command::Renew { until: None }),
            ("renew --until 2018-05-01", Command::Renew { until: chrono::NaiveDate::from_ymd_opt(2018, 5, 1) }),
            ("verify", Command::Verify),
            ("simulate --seed 7 --years 2", Command::Simulate { seed: 7, years: 2, pure: false }),
            ("simulate --seed 7 --pure", Command::Simulate { seed: 7, years: 1, pure: true }),
            ("backup b.purser", Command::Backup { file: "b.purser".into() }),
            ("restore b.purser", Command::Restore { file: "b.purser".into() }),
            ("move --to sqlite://b.db", Command::Move { to: "sqlite://b.db".into() }),
        ] {
            assert_eq!(parse(line).unwrap().into_command(), command, "{line}");
        }
        for line in [
            "token",
            "key create",
            "catalog",
            "seed",
            "explain",
            "renew --until soon",
            "backup",
            "restore",
            "move",
            "move b.db",
            "frobnicate",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
