//! What is mounted, and its growth by the kernel's own calls.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::statfs;

use super::device::{Device, in_file};
use super::{btrfs, ext4, xfs};

/// A file system that grows while it is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileSystem {
    /// Or ext2, ext3, which the same driver mounts.
    Ext4,
    Xfs,
    Btrfs,
}

impl FileSystem {
    /// What is mounted at `mount_point`; `None` if it does not grow.
    pub(crate) fn at(mount_point: &Path) -> Result<Option<Self>, String> {
        let magic = statfs(mount_point).map_err(in_file(mount_point))?.f_type;
        Ok([(ext4::MAGIC.into(), Self::Ext4), (xfs::MAGIC, Self::Xfs), (btrfs::MAGIC, Self::Btrfs)]
            .into_iter()
            .find(|(other, _)| *other == magic)
            .map(|(_, file_system)| file_system))
    }

    /// Its size in bytes.
    pub(crate) fn size(self, mount_point: &Path, device: &Device) -> Result<u64, String> {
        match self {
            Self::Ext4 => Ok(ext4::size(device)?.bytes()),
            Self::Xfs => xfs::size(mount_point),
            Self::Btrfs => btrfs::size(mount_point),
        }
    }

    /// Grow it to `len` bytes or its device, whichever is less. Somebody else who grows it, such as cloud-init, is given as
    /// long as `patience`.
    pub(crate) fn grow(
        self,
        mount_point: &Path,
        device: &Device,
        len: u64,
        patience: Duration,
    ) -> Result<(), String> {
        match self {
            Self::Ext4 => ext4::grow(mount_point, device, len, patience),
            Self::Xfs => xfs::grow(mount_point, device.size()?.min(len), patience),
            Self::Btrfs => btrfs::grow(mount_point, device.size()?.min(len)),
        }
    }
}

/// Attempts until there is a result; `None` if there is none for as long as `patience`.
pub(crate) fn once_free<T>(
    patience: Duration,
    mut attempt: impl FnMut() -> Result<Option<T>, String>,
) -> Result<Option<T>, String> {
    let start = Instant::now();
    loop {
        let result = attempt()?;
        if result.is_some() || start.elapsed() >= patience {
            return Ok(result);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_busy_is_attempted_again_and_not_for_ever() {
        let mut attempts = 0;
        let patience = Duration::from_secs(30);
        let third = once_free(patience, || {
            attempts += 1;
            Ok((attempts == 3).then_some(attempts))
        });
        assert_eq!(third, Ok(Some(3)));
        assert_eq!(once_free(Duration::ZERO, || Ok(None::<()>)), Ok(None));
        assert_eq!(once_free(patience, || Err::<Option<()>, _>("no".to_owned())), Err("no".to_owned()));
    }

    #[test]
    fn what_does_not_grow_is_none() {
        assert_eq!(FileSystem::at(Path::new("/proc")), Ok(None));
        assert!(FileSystem::at(Path::new("/nonexistent")).is_err());
    }
}
