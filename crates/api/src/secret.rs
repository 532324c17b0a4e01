//! The installation's one secret, and the keys derived from it.
//!
//! Tokens, quotes and checkpoints each need a key; an operator should have one thing to keep. So there
//! is one file of 32 random bytes, made at the first start, and every key is an HMAC of its purpose.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use rand::RngCore;
use sha2::Sha256;
use thiserror::Error;

/// Why there is no secret. Never holds any of it.
#[derive(Debug, Error)]
pub enum SecretFault {
    /// The file system refused.
    #[error("the secret file {path} cannot be {what}: {source}")]
    Io {
        /// The secret file.
        path: PathBuf,
        /// What was tried: "read", "made".
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// There is a file, but no secret in it.
    #[error(
        "the secret file {path} does not hold 64 hexadecimal digits; restore it from a backup (a new one makes all tokens and quotes void, and checkpoints unprovable)"
    )]
    Malformed {
        /// The secret file.
        path: PathBuf,
    },
}

/// 32 random bytes that only this installation knows.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl Secret {
    /// A secret that is known already: for tests and for one that comes from elsewhere.
    #[cfg(test)]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The secret in `path`; where there is no file it is made, readable by its owner only.
    /// Processes that do this at once all end with the same secret.
    ///
    /// # Errors
    /// [`SecretFault`] if the file cannot be read or made, or holds something else.
    pub fn load_or_make(path: &Path) -> Result<Self, SecretFault> {
        let io = |what| move |source| SecretFault::Io { path: path.to_owned(), what, source };
        match Self::read(path) {
            Err(SecretFault::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        place_new(path).map_err(io("made"))?;
        // Whoever won, what lies there now is the secret.
        Self::read(path)
    }

    fn read(path: &Path) -> Result<Self, SecretFault> {
        let text = fs::read_to_string(path).map_err(|source| SecretFault::Io {
            path: path.to_owned(),
            what: "read",
            source,
        })?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim(), &mut bytes).map_err(|_| SecretFault::Malformed { path: path.to_owned() })?;
        warn_if_open(path);
        Ok(Self(bytes))
    }

    /// The key for one purpose: HMAC-SHA256 of `label`. Keys of different labels tell nothing of each
    /// other or of the secret.
    pub fn derive(&self, label: &str) -> [u8; 32] {
        keyed_hash(&self.0, label.as_bytes())
    }
}

/// HMAC-SHA256 of `data` under `key`.
pub fn keyed_hash(key: &[u8; 32], data: &[u8]) -> [u8; 32] {
    // HMAC fills a short key up with zeros to its block; doing so here makes a call that cannot fail.
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&block);
    mac.update(data);
    mac.finalize().into_bytes().into()
}

/// Puts a new secret at `path`, whole or not at all; leaves one that is there.
fn place_new(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    let mut secret = [0; 32];
    rand::rng().fill_bytes(&mut secret);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{:016x}.new", rand::rng().next_u64()));
    let draft = PathBuf::from(name);

    // A link takes the finished file or fails because there is one: nobody ever reads half a secret,
    // and a crash in between leaves a stray draft, not an empty secret.
    let placed = write_private(&draft, hex::encode(secret).as_bytes()).and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft).ok();
    match placed {
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(fault) => Err(fault),
        // Not every system can open a folder; then its own order of writing has to do.
        Ok(()) => {
            if let Ok(folder) = fs::File::open(folder) {
                folder.sync_all().ok();
            }
            Ok(())
        }
    }
}

fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content)?;
    file.write_all(b"\n")?;
    file.sync_all()
}

/// A secret that others may read is worth a word, but a container's mounts often cannot be otherwise.
fn warn_if_open(path: &Path) {
    #[cfg(unix)]
    if let Ok(meta) = fs::metadata(path)
        && std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o077 != 0
    {
        tracing::warn!(path = %path.display(), "others may read the secret file; make it mode 0600");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn made_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/secret");
        let first = Secret::load_or_make(&path).unwrap();
        let again = Secret::load_or_make(&path).unwrap();
        assert_eq!(first.0, again.0);
        assert_ne!(first.0, [0; 32]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "no draft is left behind");
    }

    #[test]
    fn many_at_once_end_with_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let gate = std::sync::Barrier::new(16);
        let found: Vec<[u8; 32]> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..16)
                .map(|_| {
                    scope.spawn(|| {
                        gate.wait();
                        Secret::load_or_make(&path).unwrap().0
                    })
                })
                .collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(found.iter().all(|one| *one == found[0]));
    }

    #[test]
    fn what_is_no_secret_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for text in ["", "abc", &"g".repeat(64), &"a".repeat(66)] {
            fs::write(&path, text).unwrap();
            let fault = Secret::load_or_make(&path).unwrap_err();
            assert!(matches!(fault, SecretFault::Malformed { .. }));
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert!(text.is_empty() || !fault.to_string().contains(text));
        }
        let fault = Secret::load_or_make(folder.path()).unwrap_err();
        assert!(matches!(fault, SecretFault::Io { what: "read", .. }));
    }

    #[test]
    fn keys_differ_by_label_and_by_secret() {
        let one = Secret::from_bytes([1; 32]);
        let two = Secret::from_bytes([2; 32]);
        assert_eq!(one.derive("token"), one.derive("token"));
        assert_ne!(one.derive("token"), one.derive("quote"));
        assert_ne!(one.derive("token"), two.derive("token"));
        assert_eq!(format!("{one:?}"), "Secret(***)");
    }

    #[test]
    fn derivation_is_plain_hmac() {
        // RFC 4231, test case 1, whose 20-byte key is here filled up with zeros as HMAC does itself.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        assert_eq!(
            hex::encode(Secret::from_bytes(key).derive("Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
    }
}
