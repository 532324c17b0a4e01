//! A person before a browser: real Chromium, driven by what a person sees and presses. Nothing here knows of an id or a
//! class of a page; controls are found by their names, as a screen reader tells them, and waited for, never slept for.

mod audit;
mod chromium;
mod find;

pub use audit::Scheme;

use crate::{App, eventually};
use chromium::Chromium;
use find::{BOXES, CONTROLS, FIELDS, LABELS, script};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use thirtyfour::prelude::*;

/// How long a page may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// More stops than any page has.
const STOPS: usize = 250;

/// What a person uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hands {
    /// A mouse, and the keyboard to type.
    Mouse,
    /// The keyboard alone: Tab, arrows, Space and Enter.
    Keyboard,
    /// A mouse, in a browser that runs no scripts.
    NoScripts,
}

/// A browser with one window and a profile of its own.
pub struct Browser {
    // Dropped in this order: the session ends, then its driver.
    driver: WebDriver,
    _chromium: Chromium,
    url: String,
    hands: Hands,
}

impl Browser {
    /// A fresh browser on this test's Purser.
    pub async fn start(app: &App, hands: Hands) -> Self {
        let (chromium, driver) = Chromium::start().await;
        let url = app.url().to_owned();
        let browser = Self { driver, _chromium: chromium, url, hands };
        browser.resize(1280).await;
        if hands == Hands::NoScripts {
            browser.tell("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
        }
        browser
    }

    /// Signs in on the page that people sign in on, and waits for where it leads.
    pub async fn signed_in(app: &App, hands: Hands, email: &str) -> Self {
        let browser = Self::start(app, hands).await;
        browser.open("/sign-in").await;
        browser.sign_in_as(email).await;
        browser.sees("Marketplace").await;
        browser
    }

    /// Presses somebody's button on the sign-in page that is open.
    pub async fn sign_in_as(&self, email: &str) {
        self.press(email).await;
        self.misses("Sign in as").await;
    }

    pub async fn open(&self, path: &str) {
        self.driver.goto(format!("{}{path}", self.url)).await.unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// Path and query of the page that is open.
    pub async fn path(&self) -> String {
        let url = self.driver.current_url().await.expect("an address");
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{query}", url.path())
    }

    /// Waits until the address begins so, and answers it.
    pub async fn at(&self, path: &str) -> String {
        eventually(&format!("an address {path}…"), PATIENCE, async || {
            let here = self.path().await;
            here.starts_with(path).then_some(here)
        })
        .await
    }

    pub async fn reload(&self) {
        self.driver.refresh().await.expect("the page again");
    }

    pub async fn back(&self) {
        self.driver.back().await.expect("the page before");
    }

    /// What is to be read on the page.
    pub async fn text(&self) -> String {
        self.ask("return document.body.innerText").await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page says so.
    pub async fn sees(&self, words: &str) {
        self.until(&format!("“{words}”"), |text| text.contains(words)).await;
    }

    /// Waits until the page says so no more.
    pub async fn misses(&self, words: &str) {
        self.until(&format!("no “{words}”"), |text| !text.contains(words)).await;
    }

    async fn until(&self, what: &str, holds: impl Fn(&str) -> bool) {
        let started = std::time::Instant::now();
        loop {
            let text = self.try_ask("return document.body.innerText").await;
            let text = text.as_ref().and_then(Value::as_str).unwrap_or_default();
            if holds(text) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{what} is not to be seen at {}:\n{text}", self.path().await);
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    }

    /// Presses the link, button or fold of this name.
    pub async fn press(&self, name: &str) {
        if self.hands == Hands::Keyboard {
            self.tab_to(CONTROLS, name).await;
            return self.keys(Key::Enter.value().to_string()).await;
        }
        self.click(CONTROLS, name).await;
    }

    /// Chooses the radio button or box of this name.
    pub async fn choose(&self, name: &str) {
        if self.hands != Hands::Keyboard {
            return self.click(LABELS, name).await;
        }
        // Tab leads to the group, arrows lead within it.
        self.tab_until(
            &script(
                BOXES,
                "const one = find(arguments[0]), at = document.activeElement;
            return !!one && (at === one || (one.type === 'radio' && at.type === 'radio' && at.name === one.name))",
            ),
            name,
        )
        .await;
        for _ in 0..STOPS {
            match self
                .ask_of(
                    &script(
                        BOXES,
                        "const one = find(arguments[0]);
                return document.activeElement !== one ? 'away' : one.checked ? 'chosen' : 'there'",
                    ),
                    name,
                )
                .await
                .as_str()
            {
                Some("chosen") => return,
                Some("there") => self.keys(" ".to_owned()).await,
                _ => self.keys(Key::Down.value().to_string()).await,
            }
        }
        panic!("the arrows do not lead to “{name}”");
    }

    /// Writes into the field of this name, in place of what was there; of a list, chooses what begins so.
    pub async fn fill(&self, name: &str, value: &str) {
        if self.hands == Hands::Keyboard {
            self.tab_to(FIELDS, name).await;
        } else {
            // Not by a click, which opens a list.
            let there = script(FIELDS, "const one = find(arguments[0]); one?.focus(); return !!one");
            eventually(&format!("the field “{name}”"), PATIENCE, async || {
                (self.ask_of(&there, name).await == json!(true)).then_some(())
            })
            .await;
        }
        let at = "const at = document.activeElement;
            return at.tagName === 'SELECT' ? [...at.options].findIndex((one) => one.text.startsWith(arguments[0])) : null";
        let Some(place) = self.ask_of(at, value).await.as_i64() else {
            let all = self.driver.action_chain().key_down(Key::Control).send_keys("a").key_up(Key::Control);
            all.perform().await.expect("all selected");
            self.keys(Key::Backspace.value().to_string()).await;
            return self.keys(value.to_owned()).await;
        };
        let down = usize::try_from(place).unwrap_or_else(|_| panic!("{name} offers no {value}"));
        self.keys(format!("{}{}", Key::Home.value(), Key::Down.value().to_string().repeat(down))).await;
    }

    /// What stands in the field of this name.
    pub async fn value(&self, name: &str) -> String {
        let value = self.ask_of(&script(FIELDS, "return find(arguments[0])?.value ?? ''"), name).await;
        value.as_str().unwrap_or_default().to_owned()
    }

    /// Whether the control or field of this name is there and can be used.
    pub async fn offers(&self, name: &str) -> bool {
        let usable = "const one = find(arguments[0]); return !!one && !one.disabled";
        for kind in [CONTROLS, BOXES, FIELDS] {
            if self.ask_of(&script(kind, usable), name).await == json!(true) {
                return true;
            }
        }
        false
    }

    /// Presses twice, as fast as hands can.
    pub async fn press_twice(&self, name: &str) {
        let element = self.found(CONTROLS, name).await;
        self.driver.action_chain().double_click_element(&element).perform().await.expect("a double click");
    }

    /// Types, where the focus is.
    pub async fn keys(&self, keys: impl Into<TypingData>) {
        self.driver.action_chain().send_keys(keys).perform().await.expect("keys");
    }

    /// Sends a form that no page offers, with the word of the page that is open unless it is among the fields.
    pub async fn send_form(&self, path: &str, fields: &[(&str, &str)]) {
        let script = format!(
            "const form = document.createElement('form'), fields = new Map({});
            const word = document.querySelector('[name=csrf]')?.value;
            if (word && !fields.has('csrf')) fields.set('csrf', word);
            form.method = 'post'; form.action = {};
            for (const [name, value] of fields) {{
              const field = document.createElement('input');
              Object.assign(field, {{ type: 'hidden', name, value }});
              form.append(field);
            }}
            document.title = 'sent'; document.body.append(form); form.submit()",
            json!(fields),
            json!(path),
        );
        self.ask(&script).await;
        eventually("an answer to the form", PATIENCE, async || {
            let done = "return document.title !== 'sent' && document.readyState === 'complete'";
            self.try_ask(done).await.filter(|done| *done == json!(true))
        })
        .await;
    }

    /// Opens another tab and goes there.
    pub async fn new_tab(&self) {
        let tab = self.driver.new_tab().await.expect("a tab");
        self.driver.switch_to_window(tab).await.expect("the tab");
        self.resize(1280).await;
    }

    /// Goes to the tab that was opened first, second…
    pub async fn tab(&self, number: usize) {
        let tabs = self.driver.windows().await.expect("tabs");
        self.driver.switch_to_window(tabs[number].clone()).await.expect("the tab");
    }

    /// Forgets who is signed in, as a browser does whose cookies were cleared.
    pub async fn forget(&self) {
        self.driver.delete_all_cookies().await.expect("no cookies");
    }

    /// The session's cookie, for another browser or for a request by hand.
    pub async fn cookie(&self) -> String {
        let cookies = self.driver.get_all_cookies().await.expect("cookies");
        cookies.iter().map(|one| format!("{}={}", one.name, one.value)).collect::<Vec<_>>().join("; ")
    }

    /// Sets the width of the window.
    pub async fn resize(&self, width: u32) {
        let size = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false });
        self.tell("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Writes the page as a picture: all of it, or smaller the first `height` pixels.
    pub async fn picture(&self, file: &Path, height: Option<u32>) {
        let size = self.ask("return [innerWidth, document.documentElement.scrollHeight]").await;
        let (height, scale) = height.map_or_else(|| (size[1].clone(), 1.0), |height| (json!(height), 0.75));
        let clip = json!({ "x": 0, "y": 0, "width": size[0], "height": height, "scale": scale });
        let shot = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let shot = self.tell("Page.captureScreenshot", shot).await;
        let png = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, shot["data"].as_str().expect("a picture"));
        std::fs::write(file, png.expect("a picture")).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    /// Asks a script of the test's own, which runs also where those of pages do not.
    pub async fn ask(&self, script: &str) -> Value {
        self.try_ask(script).await.unwrap_or_else(|| panic!("no answer to {script}"))
    }

    /// Ends the browser, and asserts that nothing on the way broke the pages' own policy or threw.
    pub async fn quit(self) {
        self.assert_quiet().await;
        self.driver.clone().quit().await.expect("the browser's end");
    }

    /// Asserts that no page broke its policy or threw since the last time.
    pub async fn assert_quiet(&self) {
        let log = self.driver.browser_log().await.expect("the browser's log");
        // That an answer was a refusal, or what was typed no number, is no fault of the page's.
        let known = ["Failed to load resource", "cannot be parsed, or is out of range"];
        let fault = |message: &str| !known.iter().any(|known| message.contains(known));
        let loud: Vec<_> = log.iter().filter(|one| fault(&one.message)).collect();
        assert!(loud.is_empty(), "the browser complains: {loud:?}");
    }

    async fn click(&self, kind: &str, name: &str) {
        eventually(&format!("a way to press “{name}”"), PATIENCE, async || {
            self.try_find(kind, name).await?.click().await.ok()
        })
        .await;
    }

    async fn found(&self, kind: &str, name: &str) -> WebElement {
        eventually(&format!("“{name}”"), PATIENCE, async || self.try_find(kind, name).await).await
    }

    async fn try_find(&self, kind: &str, name: &str) -> Option<WebElement> {
        let asked = script(kind, "return find(arguments[0])");
        self.driver.execute(asked, vec![json!(name)]).await.ok()?.element().ok()
    }

    async fn tab_to(&self, kind: &str, name: &str) {
        self.tab_until(&script(kind, "return document.activeElement === find(arguments[0])"), name).await;
    }

    /// Tab, until it holds; at every stop the focus is to be seen.
    async fn tab_until(&self, holds: &str, name: &str) {
        for _ in 0..STOPS {
            self.keys(Key::Tab.value().to_string()).await;
            assert_eq!(self.ask(audit::FOCUS_IS_SEEN).await, Value::Null, "on the way to “{name}”");
            if self.ask_of(holds, name).await == json!(true) {
                return;
            }
        }
        panic!("Tab does not lead to “{name}” at {}:\n{}", self.path().await, self.text().await);
    }

    async fn ask_of(&self, script: &str, name: &str) -> Value {
        let answer = self.driver.execute(script, vec![json!(name)]).await;
        answer.map_or(Value::Null, |answer| answer.json().clone())
    }

    async fn try_ask(&self, script: &str) -> Option<Value> {
        self.driver.execute(script, vec![]).await.ok().map(|answer| answer.json().clone())
    }

    async fn tell(&self, command: &str, parameters: Value) -> Value {
        self.driver.cdp().send_raw(command, parameters).await.unwrap_or_else(|error| panic!("{command}: {error}"))
    }
}
