//! The secret under which records are hashed: a file of its own beside the history, for root alone. Without it nobody can
//! tell from the history whether a certain record was read; with another one, no record is known again.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

/// Reads the secret that belongs to a history, or makes it.
///
/// # Errors
/// When the file can't be made or read, or is no secret.
pub fn secret(history: &Path) -> Result<[u64; 2]> {
    let path = path(history);
    let shown = || format!("the secret of the history, {}", path.display());
    let mut bytes = [0; 16];
    match fs::read(&path) {
        Ok(found) => {
            ensure!(
                found.len() == bytes.len(),
                "{} has {} bytes instead of {}: restore it, or remove it to begin anew",
                shown(),
                found.len(),
                bytes.len()
            );
            bytes.copy_from_slice(&found);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            fs::File::open("/dev/urandom")
                .and_then(|mut random| random.read_exact(&mut bytes))
                .context("cannot read /dev/urandom")?;
            if let Some(directory) = path.parent().filter(|path| !path.as_os_str().is_empty()) {
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o750)
                    .create(directory)
                    .with_context(|| {
                        format!("cannot make the directory {}", directory.display())
                    })?;
            }
            // Whole or not at all, whatever ends the process.
            let new = path.with_extension("key.new");
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)
                .with_context(shown)?;
            file.write_all(&bytes)
                .and_then(|()| file.sync_all())
                .and_then(|()| fs::rename(&new, &path))
                .with_context(shown)?;
        }
        Err(error) => return Err(error).with_context(shown),
    }
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
    Ok([word(0), word(8)])
}

fn path(history: &Path) -> PathBuf {
    history.with_extension("key")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_made_once_and_for_its_owner_alone() {
        let directory = tempfile::tempdir().expect("directory");
        let history = directory.path().join("deep/history.db");
        let first = secret(&history).expect("made");
        assert_eq!(secret(&history).expect("read"), first);
        let file = directory.path().join("deep/history.key");
        let mode = fs::metadata(&file).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(&file, b"short").expect("write");
        let error = format!("{:#}", secret(&history).expect_err("damaged"));
        assert!(error.contains("5 bytes instead of 16"), "{error}");
        assert_ne!(
            secret(&directory.path().join("other.db")).expect("made"),
            first
        );
    }
}
