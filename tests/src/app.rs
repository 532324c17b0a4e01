//! One test's Purser: its folder, its database, its server, the tokens of its people.

use crate::actor::Actor;
use crate::database::{Database, Db};
use crate::server::{self, Server};
use crate::smtp::Sink;
use crate::{binary, eventually, seeds, template};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::Mutex;

/// How a test's server is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The catalogue that is applied; none leaves it empty.
    pub catalog: Option<String>,
    /// The people, organizations and subscriptions; none leaves them out.
    pub seed: Option<String>,
    /// Where a test clock starts; none is real time.
    pub clock: Option<String>,
    /// `PURSER__…`
    pub env: Vec<(String, String)>,
    /// The same, of what is another for each run, such as a port; nothing that is in the database depends on it.
    pub peers: Vec<(String, String)>,
    /// What differs from `config/default.toml`.
    pub config: String,
    /// Where its mail goes; none: it sends none.
    pub mail: Option<Arc<Sink>>,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// The real catalogue, the usual company, real time.
    pub fn new() -> Self {
        Self {
            catalog: Some(seeds::catalog()),
            seed: Some(seeds::COMPANY.to_owned()),
            clock: None,
            env: Vec::new(),
            peers: Vec::new(),
            config: String::new(),
            mail: None,
        }
    }

    /// The same under a test clock that stands at `instant`.
    pub fn at(instant: &str) -> Self {
        Self { clock: Some(instant.to_owned()), ..Self::new() }
    }

    /// A database as a new installation has it.
    pub fn empty() -> Self {
        Self { catalog: None, seed: None, ..Self::new() }
    }

    /// With a server that takes its mail.
    pub fn mailing(self) -> Self {
        Self { mail: Some(Arc::new(Sink::start())), ..self }
    }

    pub fn seed(mut self, seed: &str) -> Self {
        self.seed = Some(seed.to_owned());
        self
    }

    /// Offers after those of the real catalogue.
    pub fn more_offers(mut self, offers: &str) -> Self {
        self.catalog = self.catalog.map(|catalog| format!("{catalog}\n{offers}"));
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn peer(mut self, name: &str, value: &str) -> Self {
        self.peers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What differs from `config/default.toml`: for what the environment cannot say.
    pub fn config(mut self, tables: &str) -> Self {
        self.config = tables.to_owned();
        self
    }
}

/// One test's Purser.
pub struct App {
    pub database: Database,
    pub folder: TempDir,
    pub options: Options,
    server: Mutex<Option<Server>>,
    url: String,
    client: reqwest::Client,
    tokens: Mutex<HashMap<String, String>>,
    keys: Arc<AtomicU64>,
}

impl App {
    /// A server on a fresh database with what `options` ask for.
    pub async fn start(db: Db, options: Options) -> Self {
        let folder = Self::folder(&options);
        let database = template::database(db, &options, folder.path()).await;
        Self::serve(database, options, folder)
    }

    /// A server on `database`, which gets what `options` ask for; `serve` itself sees to one that is empty.
    pub fn on(database: Database, options: Options) -> Self {
        let folder = Self::folder(&options);
        template::fill(&database, &options, folder.path());
        Self::serve(database, options, folder)
    }

    /// Where its commands run: with `config/` as in the repository, so that `purser` alone finds it.
    fn folder(options: &Options) -> TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (binary::repository().join("config"), folder.path().join("config"));
        std::fs::create_dir(&to).expect("a folder for the configuration");
        for file in std::fs::read_dir(from).expect("config/").flatten() {
            std::fs::copy(file.path(), to.join(file.file_name())).expect("a copy of the configuration");
        }
        if !options.config.is_empty() {
            let file = to.join("default.toml");
            let mut config: toml::Table = read(&file).parse().expect("config/default.toml");
            overlay(&mut config, options.config.parse().expect("a test's configuration"));
            std::fs::write(file, config.to_string()).expect("the configuration");
        }
        folder
    }

    fn serve(database: Database, options: Options, folder: TempDir) -> Self {
        let mut command = server::command(&database, &options, folder.path());
        command.arg("serve");
        if let Some(clock) = &options.clock {
            command.args(["--clock", clock]);
        }
        let server = Server::start(command, folder.path());
        // One pool for all actors; no proxy of the machine's between us and loopback.
        let client = crate::http().timeout(Duration::from_secs(60)).build();
        Self {
            url: server.url.clone(),
            server: Mutex::new(Some(server)),
            client: client.expect("a client"),
            database,
            folder,
            options,
            tokens: Mutex::default(),
            keys: Arc::default(),
        }
    }

    /// A `purser` command on this test's database.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = server::command(&self.database, &self.options, self.folder.path());
        command.args(arguments);
        command
    }

    /// A `purser` command on another database, with this test's secret.
    pub fn command_on(&self, database: &Database, arguments: &[&str]) -> Command {
        let mut command = server::command(database, &self.options, self.folder.path());
        command.args(arguments);
        command
    }

    /// An empty database of this test, besides its own.
    pub async fn new_database(&self, db: Db) -> Database {
        match db {
            Db::Sqlite => Database::sqlite(&self.folder.path().join(crate::unique())),
            Db::Postgres => Database::postgres("template0").await,
        }
    }

    /// A server on another database, with this test's secret, so that its tokens are good there.
    pub fn beside(&self, database: Database) -> Self {
        let options = Options { catalog: None, seed: None, clock: None, ..self.options.clone() };
        let folder = Self::folder(&options);
        std::fs::copy(self.folder.path().join("secret"), folder.path().join("secret")).expect("the secret");
        Self::serve(database, options, folder)
    }

    /// Where the server listens, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs a `purser` command to its end.
    pub fn purser(&self, arguments: &[&str]) -> Output {
        server::output(self.command(arguments))
    }

    /// The same in another environment.
    pub fn purser_with(&self, env: &[(&str, &str)], arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        command.envs(env.iter().copied());
        server::output(command)
    }

    /// Runs a `purser` command that must succeed, and answers what it printed, trimmed.
    #[track_caller]
    pub fn prints(&self, arguments: &[&str]) -> String {
        let done = self.purser(arguments);
        let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "purser {arguments:?} ended with {}: {said}", done.status);
        String::from_utf8(done.stdout).expect("text").trim().to_owned()
    }

    /// Runs a `purser` command that must fail, and answers all it said.
    #[track_caller]
    pub fn fails(&self, arguments: &[&str]) -> String {
        let done = self.purser(arguments);
        let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(!done.status.success(), "purser {arguments:?} succeeded: {said}");
        said
    }

    /// Writes a file beside the test's database and answers its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("the file");
        path.to_str().expect("a plain path").to_owned()
    }

    /// The person with this address, signed in.
    pub async fn as_(&self, email: &str) -> Actor {
        let mut tokens = self.tokens.lock().await;
        let token = tokens.entry(email.to_owned());
        let token = token.or_insert_with(|| self.prints(&["token", "--user", email]));
        self.with_bearer(token)
    }

    /// The platform, with a service key.
    pub async fn platform(&self) -> Actor {
        let mut tokens = self.tokens.lock().await;
        let key = tokens.entry(String::new());
        let key = key.or_insert_with(|| self.prints(&["key", "create", "--name", "platform"]));
        self.with_bearer(key)
    }

    /// Whoever holds this bearer token.
    pub fn with_bearer(&self, bearer: &str) -> Actor {
        Actor { bearer: Some(bearer.to_owned()), ..self.anonymous() }
    }

    pub fn anonymous(&self) -> Actor {
        Actor { client: self.client.clone(), url: self.url.clone(), bearer: None, keys: self.keys.clone() }
    }

    /// Moves the test clock forward.
    pub async fn move_clock(&self, to: &str) {
        let email = "ada@fabrikam.example";
        self.as_(email).await.post("/v1/clock", json!({ "now": to })).await.ok();
    }

    /// Every event, once the outbox is drained.
    pub async fn events(&self) -> Vec<Value> {
        let platform = self.platform().await;
        let written = self.database.number("SELECT count(*) FROM events").await;
        eventually("a drained outbox", Duration::from_secs(30), async || {
            let events = platform.all("/v1/events?limit=100").await;
            (i64::try_from(events.len()) == Ok(written)).then_some(events)
        })
        .await
    }

    /// A further server process on the same database.
    pub fn another_server(&self) -> Server {
        Server::start(self.command(&["serve"]), self.folder.path())
    }

    /// Asks the server to stop and asserts that it does so in good order.
    pub async fn stop(&self) {
        let mut server = self.server.lock().await;
        if let Some(mut server) = server.take() {
            server.terminate();
            let status = server.wait().await;
            assert!(status.success(), "the server ended with {status}: {}", server.log());
        }
    }

    /// Lets `act` do something to the running server.
    pub async fn with_server<T>(&self, act: impl FnOnce(&mut Server) -> T) -> T {
        act(self.server.lock().await.as_mut().expect("a running server"))
    }

    /// `kill -9`
    pub async fn kill(&self) {
        if let Some(mut server) = self.server.lock().await.take() {
            server.kill();
        }
    }

    /// Starts the server again, at the same address.
    pub async fn start_again(&self) {
        let port = self.url.rsplit_once(':').expect("a port").1;
        let mut command = self.command(&["serve"]);
        command.env("PURSER__SERVER__PORT", port);
        *self.server.lock().await = Some(Server::start(command, self.folder.path()));
    }

    /// Asserts that `purser verify` is content.
    pub fn verify(&self) {
        self.prints(&["verify"]);
    }

    /// What every test must leave behind: the outbox drained, a graceful stop, books that prove.
    pub async fn finish(self) {
        if self.server.lock().await.is_some() {
            self.events().await;
        }
        self.stop().await;
        self.verify();
        self.database.remove().await;
    }
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Puts the values of `over` in place of those of `config`, table by table.
fn overlay(config: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (config.get_mut(&key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(over)) => overlay(inner, over),
            (_, value) => drop(config.insert(key, value)),
        }
    }
}
