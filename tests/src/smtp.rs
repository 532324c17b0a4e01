//! A server that takes mail, `tests/smtp_sink.py`: what was sent is there to be read as another program parses it.

use crate::binary;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use tempfile::TempDir;

/// A running sink, gone when dropped.
#[derive(Debug)]
pub struct Sink {
    port: u16,
    folder: TempDir,
    child: Mutex<Option<Child>>,
}

/// A mail that it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Addresses that it went to.
    pub to: Vec<String>,
    /// Its text, decoded.
    pub text: String,
    headers: Vec<(String, String)>,
}

impl Mail {
    /// A header's value, decoded; it must be there once.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let mut found = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        let (_, value) = found.next().unwrap_or_else(|| panic!("no {name}: {self:?}"));
        assert!(found.next().is_none(), "{name} twice: {self:?}");
        value
    }

    /// Names of its headers.
    pub fn headers(&self) -> Vec<&str> {
        self.headers.iter().map(|(name, _)| name.as_str()).collect()
    }
}

impl Sink {
    /// Starts one.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (child, port) = spawn(0, folder.path().to_owned());
        Self { port, folder, child: Mutex::new(Some(child)) }
    }

    /// What `mail.url` is to be.
    pub fn url(&self) -> String {
        format!("smtp://mailer:hush@127.0.0.1:{}", self.port)
    }

    /// What it took, in the order in which it did.
    pub fn mails(&self) -> Vec<Mail> {
        let files = std::fs::read_dir(self.folder.path()).expect("its folder").flatten().map(|file| file.path());
        let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|end| end == "json")).collect();
        files.sort();
        files.iter().map(|file| read(&std::fs::read_to_string(file).expect("a mail"))).collect()
    }

    /// Takes what goes to `later…` from now on.
    pub fn takes_later(&self) {
        std::fs::write(self.folder.path().join("later"), "").expect("a file");
    }

    /// Answers what goes to `hold…` from now on.
    pub fn releases(&self) {
        std::fs::write(self.folder.path().join("release"), "").expect("a file");
    }

    /// Nobody listens any more.
    pub fn stop(&self) {
        if let Some(mut child) = self.child.lock().expect("the process").take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Listens again, at the same port.
    pub fn start_again(&self) {
        let (child, _) = spawn(self.port, self.folder.path().to_owned());
        *self.child.lock().expect("the process") = Some(child);
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(port: u16, folder: PathBuf) -> (Child, u16) {
    let target = binary::target();
    let python = target.parent().expect("the target folder").join("smtp/bin/python");
    assert!(python.is_file(), "no {}: ./test makes it, with aiosmtpd", python.display());
    let script = binary::repository().join("tests/smtp_sink.py");
    let mut command = Command::new(python);
    let child =
        command.arg(script).arg(port.to_string()).arg(folder).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("python starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("its port");
    (child, line.trim().parse().expect("a port"))
}

fn read(text: &str) -> Mail {
    let value: Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(value["multipart"], false, "{value}");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let list = |value: &Value| value.as_array().expect("a list").clone();
    Mail {
        to: list(&value["to"]).iter().map(text).collect(),
        text: text(&value["text"]),
        headers: list(&value["headers"]).iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect(),
    }
}
