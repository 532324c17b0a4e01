//! Where the program under test is: `PURSER_BIN`, or what `cargo build` left beside the running test.

use std::path::{Path, PathBuf};

/// The repository's root.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// The `purser` binary.
///
/// # Panics
/// When there is none, saying how to build it.
pub fn purser() -> PathBuf {
    if let Some(path) = std::env::var_os("PURSER_BIN") {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "PURSER_BIN names {}, which is not a file", path.display());
        return path;
    }
    let path = target().join("purser");
    assert!(path.is_file(), "no {}: run `cargo build` first, as ./test does", path.display());
    path
}

/// The profile's folder of the target directory (`target/debug`), which the running test is in.
pub fn target() -> PathBuf {
    let test = std::env::current_exe().expect("the running test's path");
    test.ancestors().nth(2).expect("target/PROFILE/deps/TEST").to_owned()
}
