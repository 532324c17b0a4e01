//! What holds of every page: axe finds nothing, nothing sticks out, and the focus is seen wherever it is.

use super::Browser;
use serde_json::{Value, json};
use std::sync::LazyLock;

/// Light or dark, as the person's system prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Light,
    Dark,
}

/// Why the focus cannot be seen where it is; null where it can.
pub(super) const FOCUS_IS_SEEN: &str = r"
const at = document.activeElement;
if (!at || at === document.body || at === document.documentElement) return null;
const style = getComputedStyle(at), box = at.getBoundingClientRect();
if (style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2) return `no outline: ${at.outerHTML}`;
if (box.width < 2 || box.height < 2) return `the focus is on what cannot be seen: ${at.outerHTML}`;
return null;
";

/// What sticks out of the window and does not scroll by itself.
const STICKS_OUT: &str = r"
const wide = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth <= wide) return [];
const inside = (one) => one.closest('.scroll, .unseen');
return [...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > wide + 1 && !inside(one))
  .map((one) => one.outerHTML.slice(0, 200)).concat([`${document.documentElement.scrollWidth} > ${wide}`]);
";

/// Stops of the focus that show none.
const FOCUS_IS_SEEN_EVERYWHERE: &str = r"
const was = document.activeElement, missing = [];
for (const one of document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex]')) {
  if (one.disabled || one.type === 'hidden' || one.tabIndex < 0 || !one.checkVisibility()) continue;
  one.focus({ focusVisible: true, preventScroll: true });
  const style = getComputedStyle(one);
  if (document.activeElement !== one || style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2)
    missing.push(one.outerHTML.slice(0, 200));
}
document.activeElement?.blur();
if (was !== document.body) was?.focus({ preventScroll: true });
scrollTo(0, 0);
return missing;
";

const AXE: &str = r"
const done = arguments[arguments.length - 1];
const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
axe.run(document, { runOnly: { type: 'tag', values: tags }, resultTypes: ['violations'] }).then(
  (found) => done(found.violations.map((one) =>
    `${one.id}: ${one.help}\n` + one.nodes.map((node) => `    ${node.html.slice(0, 300)}\n    ${node.failureSummary}`).join('\n'))),
  (fault) => done([String(fault)]));
";

static AXE_SOURCE: LazyLock<String> = LazyLock::new(|| {
    let file = crate::repository().join("target/node/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&file).unwrap_or_else(|_| panic!("no axe-core under target/node: ./test puts it there"))
});

impl Browser {
    /// Prefers light or dark.
    pub async fn prefer(&self, scheme: Scheme) {
        let value = if scheme == Scheme::Dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": value }]);
        self.tell("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// Asserts that nothing sticks out of the window.
    pub async fn audit_layout(&self, page: &str) {
        let out = self.ask(STICKS_OUT).await;
        assert_eq!(out, json!([]), "{page}: sticks out of the window");
    }

    /// Asserts what holds of every page, as it stands.
    pub async fn audit(&self, page: &str) {
        self.audit_layout(page).await;
        let unseen = self.ask(FOCUS_IS_SEEN_EVERYWHERE).await;
        assert_eq!(unseen, json!([]), "{page}: the focus is not seen");
        let found = self.axe().await;
        assert!(found.is_empty(), "{page}: axe finds\n{}", found.join("\n"));
    }

    async fn axe(&self) -> Vec<String> {
        self.ask(&format!("if (!window.axe) {{ {} }} return !!window.axe", *AXE_SOURCE)).await;
        let found = self.driver.execute_async(AXE, vec![]).await.expect("axe runs");
        let found = found.json().as_array().expect("a list").clone();
        found.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }
}
