//! Chromium behind chromedriver, one of each a browser, on loopback and in a profile of its own.

use serde_json::json;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use thirtyfour::prelude::*;
use thirtyfour::{CapabilitiesHelper, ChromiumLikeCapabilities};

const FLAGS: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--lang=en-US",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
];

/// The driver's process and the profile, both gone when it is dropped.
pub struct Chromium {
    driver: Child,
    _profile: TempDir,
}

impl Chromium {
    /// Starts both, and a session of theirs.
    pub async fn start() -> (Self, WebDriver) {
        let mut driver = Command::new("chromedriver")
            .args(["--port=0", "--allowed-ips=127.0.0.1", "--log-level=SEVERE"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver: install Debian's chromium and chromium-driver");
        let mut lines = BufReader::new(driver.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let started = "started successfully on port ";
        let port = lines.find_map(|line| Some(line.split_once(started)?.1.trim_end_matches('.').to_owned()));
        // Reads on to the end, so that it never blocks on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let profile = tempfile::tempdir().expect("a profile");
        let chromium = Self { driver, _profile: profile };
        let port = port.expect("chromedriver says where it listens");

        let mut capabilities = DesiredCapabilities::chrome();
        for flag in FLAGS {
            capabilities.add_arg(flag).expect("a flag");
        }
        let profile = format!("--user-data-dir={}", chromium._profile.path().display());
        capabilities.add_arg(&profile).expect("a flag");
        capabilities.set("goog:loggingPrefs", json!({ "browser": "WARNING" })).expect("a log");
        let client = crate::http().build().expect("a client");
        let session = WebDriver::builder(format!("http://127.0.0.1:{port}"), capabilities).client(client);
        let session = session.connect().await.unwrap_or_else(|error| panic!("Chromium does not start: {error}"));
        (chromium, session)
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
