//! A running `purser serve`, and the way every `purser` command of a test is started: same folder, same environment.

use crate::app::Options;
use crate::binary;
use crate::database::Database;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// How long a start or a stop may take on a busy machine before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// `purser` in the test's folder, on its database, deaf to the environment that the tests run in.
pub fn command(database: &Database, options: &Options, folder: &Path) -> Command {
    let mut command = Command::new(binary::purser());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PURSER") {
            command.env_remove(name);
        }
    }
    if let Some(sink) = &options.mail {
        command.env("PURSER__MAIL__URL", sink.url()).env("PURSER__MAIL__FROM", "billing@purser.example");
    }
    command
        .current_dir(folder)
        .env("PURSER__DATABASE__URL", &database.url)
        .env("PURSER__SERVER__ADDRESS", "127.0.0.1")
        .env("PURSER__SERVER__PORT", "0")
        .env("PURSER__SERVER__SECRET_FILE", folder.join("secret"))
        .envs(options.env.iter().chain(&options.peers).cloned())
        .stdin(Stdio::null());
    command
}

/// Runs a command to its end, which a `serve` that should have failed would never come to.
pub fn output(mut command: Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("purser starts");
    let pid = Pid::from_child(&child);
    let (ended, end) = mpsc::channel();
    let watch = std::thread::spawn(move || {
        if end.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = kill_process(pid, Signal::KILL);
        }
    });
    let output = child.wait_with_output().expect("its output");
    let _ = ended.send(());
    watch.join().expect("the watch");
    assert!(output.status.code().is_some(), "{command:?} does not end: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A server process, killed when dropped.
pub struct Server {
    child: Child,
    /// `http://127.0.0.1:PORT`
    pub url: String,
    /// What it wrote to its standard output.
    pub printed: Arc<Mutex<Vec<String>>>,
    log: PathBuf,
}

impl Server {
    /// Starts `command` with its log in `folder` and waits for the line that says where it listens.
    pub fn start(mut command: Command, folder: &Path) -> Self {
        let log = folder.join(format!("server-{}.log", crate::unique()));
        let err = File::create(&log).expect("a file for the log");
        let mut child = command.stdout(Stdio::piped()).stderr(err).spawn().expect("purser starts");
        let printed = Arc::new(Mutex::new(Vec::new()));
        let (heard, listening) = mpsc::channel();
        let (out, lines) = (child.stdout.take().expect("a pipe"), printed.clone());
        // Reads on to the end, so that the server never blocks on a full pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Some(at) = line.find("listening on http") {
                    let url = line[at + "listening on ".len()..].trim_end_matches('/').to_owned();
                    let _ = heard.send(url);
                }
                lines.lock().expect("the lines").push(line);
            }
        });
        let url = listening.recv_timeout(PATIENCE);
        let mut server = Self { child, url: String::new(), printed, log };
        match url {
            Ok(url) => server.url = url,
            Err(_) => panic!("the server never said `listening on`:\n{}", server.last_words()),
        }
        server
    }

    pub fn port(&self) -> u16 {
        self.url.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port")
    }

    /// Asks it to stop, as an operator would.
    pub fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).expect("the server is there");
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it has ended by itself.
    pub async fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        crate::eventually("the server's end", PATIENCE, async || child.try_wait().expect("its status")).await
    }

    /// Memory of its own in KiB; the program's text, several times larger without optimisation, is not counted.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("its memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// All it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the server's last words\n{}\n---", self.last_words());
        }
        self.kill();
    }
}
