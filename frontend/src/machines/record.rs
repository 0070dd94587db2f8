//! machine.json: what a machine was made of, and how it ended. Whether it runs is not in it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use agent::message::Text;
use serde::{Deserialize, Serialize};

use crate::base::{Error, Result};

/// The version of the file that is written and read.
const VERSION: u32 = 1;

/// What a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MachineKind {
    /// It boots a disk: how QEMU has ended counts, unless it tells something else.
    Disk,
    /// It runs a program, whose end it has to tell.
    Microvm,
}

/// What is kept of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    /// What it was made of, as it was named, with an absolute path if it is a file.
    pub(crate) source: Text,
    pub(crate) kind: MachineKind,
    /// The disks that it writes to.
    pub(crate) drives: Vec<Drive>,
    /// QEMU and its arguments; it runs in the machine's folder.
    pub(crate) command: Vec<Text>,
    /// Ports of this host that lead to it, for people.
    pub(crate) ports: Vec<String>,
    /// When it was made, in seconds since 1970.
    pub(crate) created: u64,
    /// When it was started the last time.
    pub(crate) started: Option<u64>,
    /// How it ended then, if somebody was there to see it.
    pub(crate) ended: Option<End>,
}

/// A disk that a machine writes to, and the one that lies below.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Drive {
    /// Its name in the folder of the machine.
    pub(crate) overlay: String,
    /// The absolute path of its base.
    pub(crate) base: Text,
    /// What QEMU calls the base's format.
    pub(crate) driver: String,
    /// Bytes of the disk.
    pub(crate) size: u64,
    /// What the file of the base was like when the disk was laid over it.
    pub(crate) stamp: Stamp,
}

/// What changes when a file is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    bytes: u64,
    /// Seconds since 1970, and nanoseconds.
    written: (i64, i64),
}

impl Stamp {
    /// Of the file at `path`.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let cannot = |error| Error::user(format!("{}: cannot be looked at", path.display())).because(error);
        let metadata = fs::metadata(path).map_err(cannot)?;
        Ok(Self { bytes: metadata.len(), written: (metadata.mtime(), metadata.mtime_nsec()) })
    }
}

/// How a machine has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    /// In seconds since 1970.
    pub(crate) at: u64,
    /// Docker's numbers.
    pub(crate) status: u8,
    /// Why, where the status does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// Where a machine is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It was never started.
    Created,
    /// Since that second.
    Running(u64),
    /// So.
    Exited(End),
    /// Its keeper ended before it, as if its plug was pulled.
    Dead,
}

impl Record {
    /// Of a machine that is made now.
    pub(crate) fn new(source: Text, kind: MachineKind, drives: Vec<Drive>, command: Vec<Text>) -> Self {
        let (ports, started, ended) = (Vec::new(), None, None);
        Self { version: VERSION, source, kind, drives, command, ports, created: now(), started, ended }
    }

    /// Of the text of a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if version != VERSION {
            return Err(format!("is of version {version}, and this vmimage knows {VERSION}"));
        }
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// The text of the file.
    pub(super) fn text(&self) -> String {
        // Of strings and numbers alone.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Where the machine is in its life, if it runs or does not.
    pub(crate) fn state(&self, is_running: bool) -> State {
        match (is_running, self.started, &self.ended) {
            (true, started, _) => State::Running(started.unwrap_or(self.created)),
            (false, None, _) => State::Created,
            (false, Some(_), Some(end)) => State::Exited(end.clone()),
            (false, Some(_), None) => State::Dead,
        }
    }

    /// That the bases are what its disks were laid over: what it has written would not fit to others.
    ///
    /// # Errors
    /// If one is gone or has changed.
    pub(crate) fn check_bases(&self) -> Result<()> {
        for Drive { base, stamp, .. } in &self.drives {
            let path = Path::new(&base.0);
            if Stamp::of(path)? != *stamp {
                let message = format!("{}: has changed since the machine was made of it", path.display());
                return Err(Error::user(message)
                    .with_hint("what the machine has written does not fit to it any more: make a new one, and remove this"));
            }
        }
        Ok(())
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let drive = Drive {
            overlay: "overlay.qcow2".into(),
            base: "/disks/web.qcow2".into(),
            driver: "qcow2".into(),
            size: 1 << 30,
            stamp: Stamp { bytes: 7, written: (1, 2) },
        };
        Record::new(
            "/disks/web.qcow2".into(),
            MachineKind::Disk,
            vec![drive],
            vec!["qemu".into(), "-m".into()],
        )
    }

    #[test]
    fn a_record_comes_back_and_another_version_does_not() {
        let record = record();
        assert_eq!(Record::parse(&record.text()), Ok(record.clone()));
        for (text, part) in [
            (
                record.text().replace("\"version\": 1", "\"version\": 2"),
                "is of version 2, and this vmimage knows 1",
            ),
            (record.text().replace("\"size\": 1073741824", "\"size\": -1"), "invalid value"),
            (record.text().replace("disk\",", "floppy\","), "unknown variant"),
            (String::new(), "EOF"),
            ("{}".to_owned(), "version"),
        ] {
            let error = Record::parse(&text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn who_runs_is_not_in_the_record() {
        let mut record = record();
        assert_eq!(record.state(false), State::Created);
        record.started = Some(5);
        assert_eq!((record.state(true), record.state(false)), (State::Running(5), State::Dead));
        let end = End { at: 9, status: 42, error: None };
        record.ended = Some(end.clone());
        assert_eq!((record.state(true), record.state(false)), (State::Running(5), State::Exited(end)));
    }

    #[test]
    fn a_base_that_was_written_to_is_no_base_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base.raw");
        fs::write(&base, "bytes").unwrap();
        let mut record = record();
        record.drives[0].base = (&base).into();
        record.drives[0].stamp = Stamp::of(&base).unwrap();
        record.check_bases().unwrap();
        fs::write(&base, "others").unwrap();
        let error = record.check_bases().unwrap_err().to_string();
        assert!(error.ends_with("base.raw: has changed since the machine was made of it"), "{error}");
        fs::remove_file(&base).unwrap();
        assert!(record.check_bases().unwrap_err().to_string().contains("cannot be looked at"));
    }
}
