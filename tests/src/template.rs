//! Databases made once a run: migrated, with a catalogue and a seed, and copied for each test that starts from them.

use crate::app::Options;
use crate::database::{Database, Db};
use crate::postgres::Cluster;
use crate::{binary, server};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

/// A database for a test in `folder`, with what `options` ask for.
pub async fn database(db: Db, options: &Options, folder: &Path) -> Database {
    if options.catalog.is_none() && options.seed.is_none() {
        return match db {
            Db::Sqlite => Database::sqlite(folder),
            Db::Postgres => Database::postgres("template0").await,
        };
    }
    let name = name(db, options);
    let templates = binary::target().join("test-templates");
    fs::create_dir_all(&templates).expect("a folder for templates");
    let lock = File::create(templates.join(format!("{name}.lock"))).expect("a lock file");
    lock.lock().expect("the template's lock");
    match db {
        Db::Sqlite => {
            let made = templates.join(&name);
            if !made.is_dir() {
                let building = tempfile::tempdir_in(&templates).expect("a folder to build in");
                fill(&Database::sqlite(building.path()), options, folder);
                fs::rename(building.keep(), &made).expect("the finished template");
            }
            for file in fs::read_dir(&made).expect("the template").flatten() {
                fs::copy(file.path(), folder.join(file.file_name())).expect("a copy of the template");
            }
            Database::sqlite(folder)
        }
        Db::Postgres => {
            let cluster = Cluster::shared();
            if !Database::exists(&cluster, &name).await {
                let building = Database::postgres("template0").await;
                fill(&building, options, folder);
                let made = building.url.rsplit_once('/').expect("a database").1;
                let cluster = Database { db, url: format!("{cluster}/postgres") };
                cluster.sql(&format!("ALTER DATABASE {made} RENAME TO {name}")).await;
            }
            Database::postgres(&name).await
        }
    }
}

/// `migrate`, `catalog apply` and `seed`, as an operator would; nothing where there is nothing to load.
pub fn fill(database: &Database, options: &Options, folder: &Path) {
    let run = |arguments: &[&str]| {
        let mut command = server::command(database, options, folder);
        command.args(arguments);
        let done = server::output(command);
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "purser {arguments:?} ended with {}: {said}", done.status);
    };
    if options.catalog.is_some() || options.seed.is_some() {
        run(&["migrate"]);
    }
    for (name, text, verb) in
        [("catalog.toml", &options.catalog, &["catalog", "apply"][..]), ("seed.toml", &options.seed, &["seed"][..])]
    {
        if let Some(text) = text {
            let file = folder.join(name);
            fs::write(&file, text).expect("the file");
            run(&[verb, &[file.to_str().expect("a plain path")]].concat());
        }
    }
}

/// Named by all that makes it, the program included, so that a stale one is never used.
fn name(db: Db, options: &Options) -> String {
    let program = fs::metadata(binary::purser()).expect("the program");
    let mut hasher = DefaultHasher::new();
    (db, &options.catalog, &options.seed, &options.env, &options.config).hash(&mut hasher);
    (program.len(), program.modified().expect("its time")).hash(&mut hasher);
    format!("tpl_{:016x}", hasher.finish())
}
