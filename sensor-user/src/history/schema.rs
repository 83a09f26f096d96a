//! The file and its layout. docs/history.md documents it for whoever reads it with other tools.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::sketch;

/// Steps from one layout to the next; their number is the layout (`PRAGMA user_version`).
const MIGRATIONS: &[&str] = &[include_str!("schema.sql")];
/// How long to wait for the other side (the sensor, a verb).
const PATIENCE: Duration = Duration::from_secs(10);
/// The write-ahead log is cut to this when it has been taken in.
const LOG_BYTES: u32 = 8 << 20;

/// Opens the file for the sensor: makes it, or brings it to this layout. A damaged one is set aside.
///
/// # Errors
/// When the file can't be made or opened, or is of a newer version.
pub fn open(path: &Path) -> Result<Connection> {
    match open_once(path) {
        Err(error) if is_damage(&error) => {
            let aside = set_aside(path)?;
            log::error!(
                "ALERT history: {} is damaged ({error:#}); it was set aside as {}, history begins anew",
                path.display(),
                aside.display()
            );
            open_once(path)
        }
        result => result,
    }
}

/// Opens an existing file for a verb; `write` for acknowledgements.
///
/// # Errors
/// When it does not exist, can't be opened, or is of another layout.
pub fn open_existing(path: &Path, write: bool) -> Result<Connection> {
    let mode = if write {
        OpenFlags::SQLITE_OPEN_READ_WRITE
    } else {
        OpenFlags::SQLITE_OPEN_READ_ONLY
    };
    let hint = || {
        format!(
            "cannot open the history {}: is it the path of [history] in the sensor's configuration (--config), and may you read it?",
            path.display()
        )
    };
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .with_context(hint)?;
    connection.busy_timeout(PATIENCE)?;
    let version = version(&connection).with_context(hint)?;
    if version != MIGRATIONS.len() {
        bail!(
            "the history {} has layout {version}, this version reads {}: use the version of the sensor that wrote it, or start the new one once",
            path.display(),
            MIGRATIONS.len()
        );
    }
    sketch::register(&connection)?;
    Ok(connection)
}

fn open_once(path: &Path) -> Result<Connection> {
    let shown = path.display();
    if let Some(directory) = path.parent().filter(|path| !path.as_os_str().is_empty()) {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(directory)
            .with_context(|| format!("cannot make the directory {}", directory.display()))?;
    }
    // Made here and not by SQLite, so that nobody else can read it at any moment.
    fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot open the history {shown}"))?;
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .with_context(|| format!("cannot open the history {shown}"))?;
    connection.busy_timeout(PATIENCE)?;
    // Only before the first table: what is freed is given back to the file system.
    connection.pragma_update(None, "auto_vacuum", "incremental")?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(anyhow!(
            "the history {shown} can't have a write-ahead log (journal mode is {mode}): put it on a local file system"
        ));
    }
    // Each commit is on disk: a power cut costs a second as well, not more.
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    migrate(&mut connection).with_context(|| format!("cannot lay out the history {shown}"))?;
    sketch::register(&connection)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection) -> Result<()> {
    let transaction = connection.transaction()?;
    let version = version(&transaction)?;
    if version > MIGRATIONS.len() {
        bail!(
            "its layout {version} is newer than this version's {}: use the newer sensor, or another path",
            MIGRATIONS.len()
        );
    }
    for migration in &MIGRATIONS[version..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", u32::try_from(MIGRATIONS.len())?)?;
    transaction.commit()?;
    Ok(())
}

fn version(connection: &Connection) -> Result<usize> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))? as usize)
}

fn is_damage(error: &anyhow::Error) -> bool {
    error.downcast_ref::<rusqlite::Error>().is_some_and(damaged)
}

/// Does SQLite say that the file is no (whole) database?
pub fn damaged(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// Renames a damaged file and its log.
fn set_aside(path: &Path) -> Result<PathBuf> {
    let seconds = crate::time::Timestamp::now().0 / 1_000_000_000;
    let with = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let aside = with(&format!(".damaged-{seconds}"));
    fs::rename(path, &aside)
        .with_context(|| format!("cannot set the damaged history {} aside", path.display()))?;
    for log in ["-wal", "-shm"] {
        // Of no use without its file; not there when it was closed in order.
        let _ = fs::remove_file(with(log));
    }
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_layout_is_refused_and_a_damaged_file_is_set_aside() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("deep/history.db");
        let connection = open(&path).expect("made");
        assert_eq!(version(&connection).expect("version"), MIGRATIONS.len());
        connection
            .pragma_update(None, "user_version", 99)
            .expect("set");
        drop(connection);
        let error = format!("{:#}", open(&path).expect_err("newer"));
        assert!(error.contains("newer than this version"), "{error}");
        assert!(open_existing(&path, false).is_err());

        fs::write(&path, vec![7u8; 100_000]).expect("damage");
        open(&path).expect("begun anew");
        let aside = fs::read_dir(path.parent().expect("parent"))
            .expect("list")
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().contains(".damaged-"));
        assert!(aside);
    }

    #[test]
    fn only_the_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("history.db");
        let connection = open(&path).expect("made");
        connection
            .execute("INSERT INTO database (name) VALUES ('d')", [])
            .expect("insert");
        for suffix in ["", "-wal", "-shm"] {
            let file = format!("{}{suffix}", path.display());
            let mode = fs::metadata(&file).expect(&file).permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }
}
