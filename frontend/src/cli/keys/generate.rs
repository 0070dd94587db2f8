//! `vmimage keys generate`

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use exporter::secure_boot::{self, File};

use crate::base::{Error, Result, terminal};
use crate::cli::source_date_epoch;

/// Makes the keys in a folder that has none of them.
pub(super) fn run(folder: &Path, name: &str, days: u32) -> Result<()> {
    let files = secure_boot::generate(name, now()?, days)?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| unwritable(folder, error))?;
    // Looked for first: a folder with half of one set and half of another would be of no use.
    if let Some(file) = files.iter().find(|file| folder.join(&file.name).exists()) {
        let path = folder.join(&file.name);
        return Err(Error::user(format!("{}: is there already", path.display()))
            .with_hint("name another folder: whoever has lost a key cannot change what firmware believes"));
    }
    files.iter().try_for_each(|file| write(folder, file))?;
    let shown = folder.display();
    terminal::print(&format!(
        "{shown}: PK, KEK and db, each as .key, .crt, .esl and .auth\n\
         db.key and db.crt sign what is started; PK.key and KEK.key change whom firmware believes: keep them elsewhere\n"
    ))
}

/// The time, or the one that is asked for. Keys are others each time all the same.
fn now() -> Result<i64> {
    if let Some(time) = source_date_epoch()? {
        return Ok(time);
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

fn write(folder: &Path, file: &File) -> Result<()> {
    let path = folder.join(&file.name);
    let mode = if file.is_secret { 0o600 } else { 0o644 };
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
    opened.and_then(|mut opened| opened.write_all(&file.bytes)).map_err(|error| unwritable(&path, error))
}

fn unwritable(path: &Path, error: std::io::Error) -> Error {
    Error::user(format!("{}: cannot be written", path.display())).because(error)
}
