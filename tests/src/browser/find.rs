//! How controls are found: by the name that a screen reader tells, among those that can be seen.

/// Links, buttons and folds.
pub const CONTROLS: &str = "a[href], button, summary";
/// Labels of what is chosen by a click.
pub const LABELS: &str = "label:has(input[type=radio], input[type=checkbox])";
/// What is chosen.
pub const BOXES: &str = "input[type=radio], input[type=checkbox]";
/// What is filled in.
pub const FIELDS: &str = "input:not([type=radio], [type=checkbox]), select, textarea";

/// `find(name)`: exactly so, else beginning so, else with it in its name. A field's name is its label's.
const FIND: &str = r"
const plain = (one) => {
  const copy = one.cloneNode(true);
  for (const other of copy.querySelectorAll('[aria-hidden=true], select, input, textarea')) other.remove();
  return copy.textContent.replace(/\s+/g, ' ').trim();
};
const named = (one) => one.getAttribute('aria-label') || (one.labels?.length ? plain(one.labels[0]) : plain(one));
const seen = (one) => one.checkVisibility({ visibilityProperty: true }) && !one.closest('[aria-hidden=true]');
const find = (name) => {
  const all = [...document.querySelectorAll(KIND)].filter(seen).map((one) => [one, named(one)]);
  const by = (test) => all.find(([, text]) => test(text))?.[0];
  return by((text) => text === name) ?? by((text) => text.startsWith(name)) ?? by((text) => text.includes(name));
};
";

/// A script that has `find` for one kind of controls.
pub fn script(kind: &str, body: &str) -> String {
    format!("const KIND = {kind:?};{FIND}{body}")
}
