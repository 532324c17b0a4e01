//! What each command of `purser` does.

use crate::app;
use crate::backup;
use crate::budgeting;
use crate::cli::{Catalog, Cli, Command, Key};
use crate::collecting::{self, Collected};
use crate::config::Config;
use crate::months;
use crate::secret::Secret;
use crate::simulate;
use crate::telemetry;
use crate::token::{ServiceKey, Tokens};
use anyhow::{Context, anyhow, bail};
use kernel::{Clock, Email, FixedClock, IdSource, Month, ServiceKeyId, SystemClock, Timestamp};
use marketplace::Shelf;
use marketplace::catalogue::{self, Catalogue, Platform};
use marketplace::till::Till;
use marketplace::{explain, seed, verify};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use store::{Actor, Db, DbOptions, NewEvent, StoreError, settings};

/// What keeps a command from its end, in words for an operator.
pub type Fault = anyhow::Error;

/// Runs a command to its exit code.
///
/// # Errors
/// What kept it from its end.
pub async fn run(cli: Cli) -> Result<ExitCode, Fault> {
    let config = Config::load(cli.config.as_deref())?;
    match cli.into_command() {
        Command::Serve { clock } => {
            telemetry::init(&config)?;
            app::serve(config, clock).await.map(|()| ExitCode::SUCCESS)
        }
        Command::Migrate => {
            app::migrations_up(&connect(&config).await?).await?;
            println!("the schema is up to date");
            Ok(ExitCode::SUCCESS)
        }
        Command::Check => check(&config).await,
        Command::Catalog(what) => catalog(&config, what).await,
        Command::Seed { file } => {
            let db = ready(&config).await?;
            let summary = seed::apply(&db, &read(&file)?, now(&db).await?, &mut IdSource::from_os()).await?;
            println!("{summary}");
            Ok(ExitCode::SUCCESS)
        }
        Command::Token { user } => token(&config, &user).await,
        Command::Key(Key::Create { name }) => key(&config, &name).await,
        Command::Renew { until } => {
            // What cannot be billed has its line there.
            telemetry::init(&config)?;
            renew(&config, until).await
        }
        Command::Explain { id } => explain_fact(&config, &id).await,
        Command::Verify => prove(&config).await,
        Command::Simulate { seed, years, pure } => {
            // On a runtime of its own, in which what happens at once happens in one order.
            tokio::task::spawn_blocking(move || simulate::run(seed, years, (!pure).then_some(&config))).await?
        }
        Command::Backup { file } => backup::backup(&config, &file).await,
        Command::Restore { file } => backup::restore(&config, &file).await,
        Command::Move { to } => backup::transfer(&config, &to).await,
    }
}

/// Connects to the configured database.
///
/// # Errors
/// [`StoreError`].
pub async fn connect(config: &Config) -> Result<Db, StoreError> {
    connect_to(config, config.database.url.expose()).await
}

/// Connects to another database, otherwise as configured.
///
/// # Errors
/// [`StoreError`].
pub async fn connect_to(config: &Config, url: &str) -> Result<Db, StoreError> {
    let options = DbOptions {
        url: url.to_owned(),
        pool: config.database.pool,
        lanes: u32::try_from(config.till.effective_lanes()).unwrap_or(1),
        patience: Duration::from_millis(config.till.wait_ms.min(5_000)),
    };
    Db::connect(&options).await
}

/// The database, its schema up to date.
async fn ready(config: &Config) -> Result<Db, Fault> {
    let db = connect(config).await?;
    app::migrations_up(&db).await?;
    Ok(db)
}

/// Business time: the stored test clock, else the system's.
async fn now(db: &Db) -> Result<Timestamp, StoreError> {
    let stored = settings::number(db, settings::CLOCK).await?;
    Ok(stored.map_or_else(|| SystemClock.now(), kernel::from_micros))
}

fn read(path: &Path) -> Result<String, Fault> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// What the catalogue needs to know of the platform.
pub fn platform(config: &Config) -> Platform {
    Platform { publisher: config.platform.publisher.clone(), currency: config.platform.currency }
}

/// Key of tokens.
pub fn token_key(secret: &Secret) -> [u8; 32] {
    secret.derive("token")
}

/// Key of the seal on quotes.
pub fn quote_key(secret: &Secret) -> [u8; 32] {
    secret.derive("quotes")
}

/// Key that signs audit checkpoints.
pub fn checkpoint_key(secret: &Secret) -> [u8; 32] {
    secret.derive("audit checkpoints")
}

fn secret(config: &Config) -> Result<Secret, Fault> {
    Ok(Secret::load_or_make(&config.server.secret_file)?)
}

async fn check(config: &Config) -> Result<ExitCode, Fault> {
    use migrations::{Migrator, MigratorTrait};
    print!("{}", config.shown());
    for note in config.validate()? {
        println!("# note: {note}");
    }
    let db = connect(config).await.context("the database cannot be reached")?;
    let pending = Migrator::get_pending_migrations(db.schema_connection()).await?;
    if pending.is_empty() {
        println!("# the schema is up to date");
        return Ok(ExitCode::SUCCESS);
    }
    println!("# the schema lacks {} steps; run `purser migrate`", pending.len());
    Ok(ExitCode::FAILURE)
}

async fn catalog(config: &Config, what: Catalog) -> Result<ExitCode, Fault> {
    let platform = platform(config);
    match what {
        Catalog::Lint { file } => {
            let report = catalogue::lint(&read(&file)?, &platform);
            print!("{report}");
            Ok(if report.errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Catalog::Diff { file } => {
            let db = ready(config).await?;
            let parsed = catalogue::file::parse(&read(&file)?).map_err(faults)?;
            let current = Catalogue::load(&db).await?;
            for change in catalogue::diff(&current, &parsed, now(&db).await?.date_naive()).map_err(faults)? {
                println!("{change}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Catalog::Apply { file } => {
            let db = ready(config).await?;
            let text = read(&file)?;
            let now = now(&db).await?;
            let changes = catalogue::apply(&db, &text, &platform, now, &mut IdSource::from_os()).await?;
            for change in &changes {
                println!("{change}");
            }
            if changes.is_empty() {
                println!("nothing to change");
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn faults(faults: Vec<catalogue::Fault>) -> Fault {
    anyhow!(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

async fn token(config: &Config, user: &str) -> Result<ExitCode, Fault> {
    let email: Email = user.parse().map_err(|e| anyhow!("{user}: {e}"))?;
    let db = ready(config).await?;
    let Some(person) = store::people::by_email(&db, &email).await? else {
        bail!("nobody here has the address {email}");
    };
    let tokens = Tokens::new(&token_key(&secret(config)?), &config.auth.issuer, &config.auth.audience);
    println!("{}", tokens.mint(person.id, app::real_now(), config.auth.token_hours)?);
    Ok(ExitCode::SUCCESS)
}

async fn key(config: &Config, name: &str) -> Result<ExitCode, Fault> {
    let name: kernel::Name = name.parse().map_err(|e| anyhow!("--name: {e}"))?;
    let db = ready(config).await?;
    let mut ids = IdSource::from_os();
    let at = now(&db).await?;
    let made = ServiceKey::make(ids.bytes());
    db.write("key", async |tx| {
        let id: ServiceKeyId = ids.next(at);
        store::people::insert_key(tx, id, name.as_str(), &made.hash, at).await?;
        let public = serde_json::json!({ "key": id, "name": name }).to_string();
        let event = NewEvent {
            kind: "service_key.created",
            organization: None,
            actor: Actor::System,
            at,
            public,
            private: None,
        };
        store::audit::append(tx, vec![event], &mut ids, at).await
    })
    .await?;
    println!("{}", made.text);
    Ok(ExitCode::SUCCESS)
}

async fn renew(config: &Config, until: Option<chrono::NaiveDate>) -> Result<ExitCode, Fault> {
    let db = ready(config).await?;
    let at = now(&db).await?;
    if let Some(day) = until.filter(|day| *day > at.date_naive()) {
        bail!("{day} is in the future: nothing is charged ahead of its month");
    }
    let shelf = Arc::new(Shelf::new(Catalogue::load(&db).await?));
    let policy = Arc::new(app::policy(config, &secret(config)?)?);
    let limits = app::till_limits(config);
    let clock: Arc<dyn Clock> = Arc::new(FixedClock::new(at));
    let lanes = app::lanes(config, &db);
    let opened = (Arc::clone(&shelf), Arc::clone(&policy), Arc::clone(&clock));
    let (till, working) = Till::open(db.clone(), opened.0, opened.1, opened.2, (limits, lanes), Arc::new(|_| ()));
    let month = until.map_or(months::due_at(at), Month::of_date);
    let ran = months::run(&months::Work::alone(&db, &till, &app::terms(config)), month, at).await;
    // What was issued is asked for where that is due too.
    let providers = app::providers(config, &db)?;
    let work = collecting::Work::new(db.clone(), till.clone(), providers, app::schedule(config), at);
    let collected = match &ran {
        Ok(_) => collecting::run(&work).await,
        Err(_) => Ok(Collected::default()),
    };
    let budgeting = budgeting::Work { db: &db, shelf: &shelf, policy: &policy, clock: clock.as_ref(), ids: till.ids() };
    let warned = budgeting.run(at).await;
    till.close();
    working.finish().await;
    let ran = ran?;
    warned?;
    println!("{ran}");
    let Collected { invoices, unknown, resumed } = collected?;
    println!("{invoices} invoices were asked for, of {unknown} payments nobody knows yet what came");
    println!("{resumed} organizations resumed what was suspended");
    Ok(if ran.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn explain_fact(config: &Config, id: &str) -> Result<ExitCode, Fault> {
    let db = ready(config).await?;
    let text = if let Ok(invoice) = id.parse() {
        explain::explain_invoice(&db, invoice).await?
    } else if let Ok(note) = id.parse() {
        explain::explain_credit_note(&db, note).await?
    } else {
        let charge = id.parse().map_err(|e| anyhow!("{id} names no charge, invoice or credit note: {e}"))?;
        explain::explain(&db, charge).await?
    };
    let Some(text) = text else { bail!("there is no {id}") };
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}

async fn prove(config: &Config) -> Result<ExitCode, Fault> {
    let db = ready(config).await?;
    prove_on(&db, &checkpoint_key(&secret(config)?), config).await
}

/// Proves the books of a database.
///
/// # Errors
/// What kept them from being read; a difference is printed, and an exit code.
pub async fn prove_on(db: &Db, key: &[u8; 32], config: &Config) -> Result<ExitCode, Fault> {
    match verify::verify(db, key, config.platform.publisher.as_str()).await {
        Ok(summary) => {
            println!("{summary}");
            Ok(ExitCode::SUCCESS)
        }
        Err(verify::VerifyError::Difference(difference)) => {
            println!("{difference}");
            Ok(ExitCode::FAILURE)
        }
        Err(verify::VerifyError::Store(error)) => Err(error.into()),
    }
}
