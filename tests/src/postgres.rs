//! Throw-away PostgreSQL clusters: one that all tests of a run share, and private ones for tests that stop them.
//!
//! Every test is a process of its own under nextest, so the shared cluster is started by whichever comes first, under a
//! lock file, and outlives them all; `./test` stops it. `PURSER_TEST_PG` names a server to use instead.

use crate::database::{Database, Db};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A cluster in a folder of its own, on loopback, with nothing to survive a crash of the machine.
pub struct Cluster {
    folder: PathBuf,
    port: u16,
    private: bool,
}

impl Cluster {
    /// The cluster that the tests of this target directory share, started if it isn't running.
    /// Answers its URL without a database: `postgres://postgres@127.0.0.1:PORT`.
    pub fn shared() -> String {
        if let Ok(url) = std::env::var("PURSER_TEST_PG") {
            return url.trim_end_matches('/').to_owned();
        }
        let target = crate::binary::target();
        let mut hasher = DefaultHasher::new();
        target.hash(&mut hasher);
        // Not in the target directory itself: its parents may be closed to the user `postgres`.
        let folder = std::env::temp_dir().join(format!("purser-test-postgres-{:016x}", hasher.finish()));
        let lock = File::create(target.join("test-postgres.lock")).expect("a lock file");
        lock.lock().expect("the lock of the shared cluster");
        fs::write(target.join("test-postgres.folder"), folder.display().to_string()).expect("where the cluster is");
        let running = fs::read_to_string(folder.join("port"))
            .ok()
            .and_then(|port| port.parse().ok())
            .filter(|port: &u16| TcpStream::connect(("127.0.0.1", *port)).is_ok());
        let port = running.unwrap_or_else(|| {
            let _ = fs::remove_dir_all(&folder);
            let cluster = Self::create(folder.clone(), false);
            fs::write(folder.join("port"), cluster.port.to_string()).expect("the cluster's port");
            cluster.port
        });
        url(port)
    }

    /// A cluster of this test's own, gone when it is dropped.
    pub fn private(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("purser-test-postgres-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        Self::create(folder, true)
    }

    /// `postgres://postgres@127.0.0.1:PORT`
    pub fn url(&self) -> String {
        url(self.port)
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A private one that follows `primary` by streaming over the port `link`, as the standby `standby`; `primary` does
    /// not wait for it yet.
    pub async fn standby_of(primary: &Self, link: u16) -> Self {
        primary.database().sql("SELECT pg_create_physical_replication_slot('standby')").await;
        // pg_basebackup makes the folder, as its own user's.
        let folder = primary.folder.with_extension("standby");
        let _ = fs::remove_dir_all(&folder);
        let from = format!("host=127.0.0.1 port={link} user=postgres application_name=standby");
        let mut copy = as_postgres("pg_basebackup");
        copy.arg("-D").arg(&folder).args([
            "-d",
            &from,
            "-R",
            "-X",
            "stream",
            "-S",
            "standby",
            "-c",
            "fast",
            "--no-sync",
        ]);
        succeed(&mut copy);
        let cluster = Self { port: free_port(), folder, private: true };
        cluster.start();
        cluster
    }

    /// From now on a commit is acknowledged only when the standby has it too.
    pub async fn be_synchronous(&self) {
        self.database().sql("ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (standby)'").await;
        self.database().sql("SELECT pg_reload_conf()").await;
        let synchronous = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        crate::eventually("a synchronous standby", std::time::Duration::from_secs(30), async || {
            (self.database().number(synchronous).await == 1).then_some(())
        })
        .await;
    }

    /// Waits until a commit waits for a standby that does not answer.
    pub async fn waits_for_standby(&self) {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        crate::eventually("a commit that waits", std::time::Duration::from_secs(30), async || {
            (self.database().number(waiting).await > 0).then_some(())
        })
        .await;
    }

    /// Makes a standby the primary.
    pub fn promote(&self) {
        let mut promote = as_postgres("pg_ctl");
        succeed(promote.arg("-D").arg(&self.folder).args(["-w", "-t", "60", "promote"]));
    }

    fn database(&self) -> Database {
        Database { db: Db::Postgres, url: format!("{}/postgres", self.url()) }
    }

    fn create(folder: PathBuf, private: bool) -> Self {
        fs::create_dir_all(&folder).expect("the cluster's folder");
        if is_root() {
            let done = Command::new("chown").arg("postgres:postgres").arg(&folder).status();
            assert!(done.is_ok_and(|status| status.success()), "there is no user `postgres`: install PostgreSQL");
        }
        let mut initdb = as_postgres("initdb");
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]);
        succeed(initdb.arg("-D").arg(&folder));
        let cluster = Self { port: free_port(), folder, private };
        cluster.start();
        cluster
    }

    /// Starts it and waits until it takes connections.
    pub fn start(&self) {
        // A private one is stopped in mid-work, and must not forget what it has acknowledged.
        let (port, wait) = (self.port, if self.private { "on" } else { "off" });
        let options = format!(
            "-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories='' -c max_connections=300 \
             -c shared_buffers=128MB -c fsync=off -c synchronous_commit={wait} -c full_page_writes=off"
        );
        let mut start = as_postgres("pg_ctl");
        start.arg("-D").arg(&self.folder).arg("-l").arg(self.folder.join("server.log"));
        succeed(start.args(["-w", "-t", "60", "-o", &options, "start"]));
    }

    /// Stops it at once, as a machine that goes away would.
    pub fn stop(&self) {
        let mut stop = as_postgres("pg_ctl");
        succeed(stop.arg("-D").arg(&self.folder).args(["-m", "immediate", "-w", "stop"]));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.private {
            let mut stop = as_postgres("pg_ctl");
            let _ = stop.arg("-D").arg(&self.folder).args(["-m", "immediate", "-w", "stop"]).output();
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn url(port: u16) -> String {
    format!("postgres://postgres@127.0.0.1:{port}")
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A program of PostgreSQL's, as the user `postgres` where we are root, since it refuses to run as root.
fn as_postgres(program: &str) -> Command {
    let program = binaries().join(program);
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir("/").env("HOME", "/tmp").stdin(Stdio::null());
    command
}

/// The newest installed version's programs; Debian keeps them off the PATH.
fn binaries() -> PathBuf {
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path());
    let newest = debian.max_by_key(|path| version(path)).map(|path| path.join("bin"));
    let on_path = std::env::var_os("PATH")
        .and_then(|path| std::env::split_paths(&path).find(|folder| folder.join("initdb").is_file()));
    newest
        .filter(|folder| folder.join("initdb").is_file())
        .or(on_path)
        .expect("PostgreSQL's programs (initdb, pg_ctl) are not installed: ./test says how")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

fn succeed(command: &mut Command) {
    // Not `output()`: the server that pg_ctl leaves behind would hold the pipe open.
    let log = tempfile::NamedTempFile::new().expect("a file for what it says");
    let (out, err) = (log.reopen().expect("the file"), log.reopen().expect("the file"));
    let status = command.stdout(out).stderr(err).status().expect("PostgreSQL's programs and setpriv");
    let said = fs::read_to_string(log.path()).unwrap_or_default();
    assert!(status.success(), "{command:?} failed: {said}");
}
