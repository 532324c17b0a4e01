//! `backup`, `restore` and `move`: all of a database as a file, from a file, or into another database.
//!
//! All three read one snapshot and load within one transaction, so that what comes out is a state that there was, and
//! what goes in is there whole or not at all.

mod file;

use crate::app;
use crate::commands::{Fault, checkpoint_key, connect, connect_to, prove_on};
use crate::config::Config;
use crate::secret::Secret;
use anyhow::{Context, bail, ensure};
use file::{Header, Part, Reader, Trailer, Writer};
use migrations::{Migrator, MigratorTrait};
use rand::RngCore;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use store::portable::{self, Load, Pages, Shape, TABLES};
use store::{Db, StoreError, Tx, proof};

/// Rows that one statement loads, at most.
const ROWS: usize = 500;
/// Bytes of them, but for a last row.
const BYTES: usize = 1024 * 1024;

/// `purser backup FILE`: may run while servers serve.
///
/// # Errors
/// What kept it from its end; there is no file then.
pub async fn backup(config: &Config, path: &Path) -> Result<ExitCode, Fault> {
    ensure!(!path.exists(), "{} is there already; a backup overwrites nothing", path.display());
    let db = connect(config).await?;
    let schema = this_schema(&db).await?;
    let draft = Draft::new(path).with_context(|| format!("cannot write beside {}", path.display()))?;
    let header = Header::new(app::real_now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true), schema);
    let mut writer = Writer::begin(draft.file.try_clone()?, &header)?;
    let snapshot = db.begin_snapshot().await?;
    proof::look_up(&snapshot, true).await?;
    for table in TABLES {
        writer.table(&table.shape())?;
        let mut pages = Pages::of(&snapshot, table);
        loop {
            let rows = pages.next().await?;
            if rows.is_empty() {
                break;
            }
            writer.rows(table.name, &rows)?;
        }
    }
    snapshot.rollback().await;
    let (_, trailer) = writer.finish()?;
    draft.place(path).with_context(|| format!("cannot place {}", path.display()))?;
    println!("{}: {}, SHA-256 of its lines {}", path.display(), counted(&trailer), trailer.sha256);
    println!("the secret file {} is not in it: keep a copy of that too", config.server.secret_file.display());
    Ok(ExitCode::SUCCESS)
}

/// `purser restore FILE`: into an empty database that nobody serves.
///
/// # Errors
/// What kept it from its end; the database is empty then.
pub async fn restore(config: &Config, path: &Path) -> Result<ExitCode, Fault> {
    let secret = existing_secret(config)?;
    let about = || format!("{} cannot be restored from", path.display());
    let mut reader = Reader::open(path).with_context(about)?;
    let schema = reader.header.schema.clone();
    known(&schema, &reader.header.version).with_context(about)?;
    Reader::open(path).and_then(Reader::check).with_context(about)?;
    let db = connect(config).await?;
    only_empty(&db).await?;
    let trailer = fill(&db, &schema, async |load| read_into(load, &mut reader).await.with_context(about)).await?;
    println!("restored {} from {}, made on {}", counted(&trailer), path.display(), reader.header.at);
    prove_on(&db, &checkpoint_key(&secret), config).await
}

/// `purser move --to URL`: into another, empty database; neither is served meanwhile.
///
/// # Errors
/// What kept it from its end; the target is empty then, and the source is as it was in any case.
pub async fn transfer(config: &Config, to: &str) -> Result<ExitCode, Fault> {
    let secret = existing_secret(config)?;
    let source = connect(config).await?;
    let schema = this_schema(&source).await?;
    let target = connect_to(config, to).await.context("the target cannot be reached")?;
    only_empty(&target).await?;
    let still = portable::hold_still(&source).await.context("the source is being written to: stop the server first")?;
    if let Some(lease) = portable::held(&source, app::real_now()).await? {
        bail!("a server holds the source (lease {lease}): stop it first; after a kill, wait ten seconds");
    }
    let snapshot = source.begin_snapshot().await?;
    let moved = fill(&target, &schema, async |load| copy_into(load, &snapshot).await).await;
    snapshot.rollback().await;
    still.rollback().await;
    println!("moved {}; the source is as it was", moved?);
    let proven = prove_on(&target, &checkpoint_key(&secret), config).await?;
    println!("set database.url to the target before the next start");
    Ok(proven)
}

/// The secret of the installation whose rows are loaded: a new one would prove nothing of theirs.
fn existing_secret(config: &Config) -> Result<Secret, Fault> {
    let path = &config.server.secret_file;
    ensure!(
        path.exists(),
        "there is no secret file {}: put that of the installation there first, for without it all tokens are void and \
         the audit trail's checkpoints cannot be proven (if it is lost, `openssl rand -hex 32` makes another)",
        path.display()
    );
    Ok(Secret::load_or_make(path)?)
}

/// The steps of the schema, which must be those of this program.
async fn this_schema(db: &Db) -> Result<Vec<String>, Fault> {
    let lacks = Migrator::get_pending_migrations(db.schema_connection()).await?.len();
    ensure!(
        lacks == 0,
        "the schema lacks {lacks} steps of this version: use the version that serves, or `purser migrate`"
    );
    Ok(steps())
}

/// The steps that this program knows.
fn steps() -> Vec<String> {
    Migrator::migrations().iter().map(|step| step.name().to_owned()).collect()
}

/// Makes sure that this program can make the schema of a backup.
fn known(schema: &[String], version: &str) -> Result<(), Fault> {
    let steps = steps();
    if let Some(step) = schema.iter().find(|step| !steps.contains(step)) {
        bail!("its schema has the step {step}, which this purser does not know: use purser {version} or a later one");
    }
    ensure!(steps.starts_with(schema), "its schema is none that purser ever had");
    Ok(())
}

/// Refuses a database that is in use, before anything of it is touched.
async fn only_empty(db: &Db) -> Result<(), Fault> {
    within(db, async |tx| begin(tx).await.map(drop)).await
}

/// Loads what `feed` gives into an empty database: makes the schema it had, loads in one transaction, and takes the
/// schema's later steps.
async fn fill<T>(
    db: &Db,
    schema: &[String],
    feed: impl AsyncFnOnce(&Load<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let guard = db.schema_guard().await?;
    bring_to(db, schema).await?;
    if let Some(guard) = guard {
        guard.commit().await?;
    }
    if let Some(lease) = portable::held(db, app::real_now()).await? {
        bail!("a server holds the database to load into (lease {lease}): stop it first");
    }
    let loaded = within(db, async |tx| {
        let load = begin(tx).await?;
        let loaded = feed(&load).await?;
        load.finish().await?;
        Ok(loaded)
    })
    .await?;
    app::migrations_up(db).await?;
    portable::analyse(db).await?;
    Ok(loaded)
}

/// Runs `work` in one transaction, which holds only if it succeeds.
async fn within<T>(db: &Db, work: impl AsyncFnOnce(&Tx) -> Result<T, Fault>) -> Result<T, Fault> {
    let tx = db.begin_till().await?;
    match work(&tx).await {
        Ok(done) => tx.commit().await.map(|()| done).map_err(Fault::from),
        Err(fault) => {
            tx.rollback().await;
            Err(fault)
        }
    }
}

async fn begin(tx: &Tx) -> Result<Load<'_>, Fault> {
    match Load::begin(tx).await? {
        Ok(load) => Ok(load),
        Err(table) => bail!("the database to load into is not empty (there are {table}); give a new one"),
    }
}

async fn bring_to(db: &Db, schema: &[String]) -> Result<(), Fault> {
    let applied = Migrator::get_applied_migrations(db.schema_connection()).await?;
    let applied: Vec<String> = applied.iter().map(|step| step.name().to_owned()).collect();
    ensure!(
        schema.starts_with(&applied),
        "the schema of the database to load into is later than that of the backup; give a new, empty database"
    );
    let lacks = u32::try_from(schema.len() - applied.len()).unwrap_or(u32::MAX);
    Migrator::up(db.schema_connection(), Some(lacks)).await.context("the schema cannot be made")?;
    Ok(())
}

/// Loads a backup; its trailer, which proves what was loaded.
async fn read_into(load: &Load<'_>, reader: &mut Reader<File>) -> Result<Trailer, Fault> {
    let (mut shape, mut rows, mut bytes) = (None::<Shape>, Vec::new(), 0);
    loop {
        match reader.next()? {
            Part::Row(row) => {
                bytes += row.len();
                rows.push(row);
                if rows.len() >= ROWS || bytes >= BYTES {
                    flush(load, shape.as_ref(), &mut rows).await?;
                    bytes = 0;
                }
            }
            Part::Table(next) => {
                flush(load, shape.replace(next).as_ref(), &mut rows).await?;
                bytes = 0;
            }
            Part::End(trailer) => {
                flush(load, shape.as_ref(), &mut rows).await?;
                return Ok(trailer);
            }
        }
    }
}

async fn flush(load: &Load<'_>, shape: Option<&Shape>, rows: &mut Vec<String>) -> Result<(), StoreError> {
    if let Some(shape) = shape {
        load.rows(shape, rows).await?;
    }
    rows.clear();
    Ok(())
}

/// Loads what a snapshot of another database has; how much, in words.
async fn copy_into(load: &Load<'_>, snapshot: &Tx) -> Result<String, Fault> {
    proof::look_up(snapshot, true).await?;
    let mut count = 0;
    for table in TABLES {
        let (shape, mut pages) = (table.shape(), Pages::of(snapshot, table));
        loop {
            let rows = pages.next().await?;
            if rows.is_empty() {
                break;
            }
            load.rows(&shape, &rows).await?;
            count += rows.len();
        }
    }
    Ok(format!("{count} rows of {} tables", TABLES.len()))
}

fn counted(trailer: &Trailer) -> String {
    format!("{} rows of {} tables", trailer.rows.values().sum::<u64>(), trailer.rows.len())
}

/// A file that is not yet the backup; gone when dropped, unless it was placed.
struct Draft {
    path: PathBuf,
    file: File,
}

impl Draft {
    /// Beside `path`, readable by its owner only.
    fn new(path: &Path) -> io::Result<Self> {
        let mut name = OsString::from(path.as_os_str());
        name.push(format!(".{:016x}.partial", rand::rng().next_u64()));
        let draft = PathBuf::from(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&draft)?;
        Ok(Self { path: draft, file })
    }

    /// Makes it the backup, on disk, unless there is a file by now.
    fn place(self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        // A link takes the finished file or fails because there is one.
        fs::hard_link(&self.path, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Not every system can open a folder; then its own order of writing has to do.
        if let Ok(folder) = File::open(folder) {
            folder.sync_all().ok();
        }
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}
