//! The placement of the last build, wherever that is asked.

use std::path::{Path, PathBuf};

use crate::ask::Topic;
use crate::base::temporary::Folder;
use crate::base::{Error, Result, previous};

/// What the root keeps to.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = Topic::Disk.heading())]
pub(super) struct PreviousArgs {
    /// The placement of the last build, or the folder of the update that it is in: in an ext4 root, what is the same stays
    /// where it was
    #[arg(long, value_name = "PATH")]
    previous: Option<PathBuf>,
}

impl PreviousArgs {
    /// As it was typed.
    pub(super) fn path(&self) -> Option<&Path> {
        self.previous.as_deref()
    }

    /// The placement, if one was given.
    pub(super) fn read(&self) -> Result<Option<Vec<u8>>> {
        self.path().map(previous::read).transpose()
    }

    /// A folder with nothing but the placement, for a named context.
    pub(super) fn folder(&self) -> Result<Option<Folder>> {
        let Some(placement) = self.read()? else { return Ok(None) };
        let folder = Folder::new("vmimage-previous-", &std::env::temp_dir());
        let filled = folder.and_then(|folder| {
            std::fs::write(folder.path().join(format!("previous{}", previous::EXTENSION)), placement)?;
            Ok(folder)
        });
        filled.map(Some).map_err(|error| {
            Error::user(format!("{}: cannot be written to", std::env::temp_dir().display())).because(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_has_the_placement_alone() {
        let update = tempfile::tempdir().unwrap();
        for name in ["kiosk_1.root.zst", "kiosk_1.root.placement"] {
            std::fs::write(update.path().join(name), name).unwrap();
        }
        let args = PreviousArgs { previous: Some(update.path().to_owned()) };
        let folder = args.folder().unwrap().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(previous::read(folder.path()).unwrap(), b"kiosk_1.root.placement");
        assert!(PreviousArgs::default().folder().unwrap().is_none());
        let missing = PreviousArgs { previous: Some(update.path().join("missing")) };
        assert!(missing.folder().is_err());
    }
}
