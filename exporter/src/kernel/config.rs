//! What a kernel was built with: its `.config`.

use super::Vmlinux;
use crate::error::Result;
use crate::limits;
use crate::tree::Tree;

/// How an option was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Built in (`y`), or a value.
    Yes,
    /// A module (`m`).
    Module,
    /// Not at all.
    No,
    /// The kernel does not tell.
    Unknown,
}

/// The configuration of a kernel, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config(Option<String>);

impl Config {
    /// The one that is in the text of a `.config`.
    pub fn parse(text: String) -> Self {
        Self(Some(text))
    }

    /// None that is known.
    pub fn unknown() -> Self {
        Self(None)
    }

    /// Whether it is known.
    pub fn is_known(&self) -> bool {
        self.0.is_some()
    }

    /// The one that a distribution has beside the kernel of this release, or beside its modules.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub fn find(tree: &Tree, release: &str) -> Result<Self> {
        for path in [format!("/boot/config-{release}"), format!("/lib/modules/{release}/config")] {
            if let Some(text) = tree.read(&path, limits::TEXT)? {
                return Ok(Self::parse(String::from_utf8_lossy(&text).into_owned()));
            }
        }
        Ok(Self::unknown())
    }

    /// This one, or if it is not known the one that the kernel itself has.
    #[must_use]
    pub fn or_of(self, vmlinux: &Vmlinux<'_>) -> Self {
        if self.is_known() { self } else { vmlinux.config.clone() }
    }

    /// How `VIRTIO_BLK`, without `CONFIG_`, was set. What a configuration does not name is not set: what it depends on
    /// is not.
    pub fn option(&self, name: &str) -> Setting {
        let Some(text) = &self.0 else { return Setting::Unknown };
        let value = |line: &str| {
            let value = line.strip_prefix("CONFIG_")?.strip_prefix(name)?.strip_prefix('=')?;
            Some(match value.trim_end() {
                "m" => Setting::Module,
                "n" => Setting::No,
                _ => Setting::Yes,
            })
        };
        text.lines().find_map(value).unwrap_or(Setting::No)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::tree;

    #[test]
    fn options_are_what_a_line_sets() {
        let text = "# Linux/x86 6.1\nCONFIG_EXT4_FS=y\nCONFIG_VIRTIO_BLK=m\n# CONFIG_EROFS_FS is not set\n\
                    CONFIG_EROFS_FS_ZIP=n\nCONFIG_NR_CPUS=8192\nCONFIG_HZ=\"250\"\r\n";
        let config = Config::parse(text.to_owned());
        for (name, setting) in [
            ("EXT4_FS", Setting::Yes),
            ("EXT4", Setting::No),
            ("VIRTIO_BLK", Setting::Module),
            ("EROFS_FS", Setting::No),
            ("EROFS_FS_ZIP", Setting::No),
            ("NR_CPUS", Setting::Yes),
            ("OVERLAY_FS", Setting::No),
        ] {
            assert_eq!(config.option(name), setting, "{name}");
            assert_eq!(Config::unknown().option(name), Setting::Unknown);
        }
    }

    #[test]
    fn the_one_in_boot_counts_before_that_beside_the_modules() {
        let both = tree(&[
            ("/boot/config-6.1", "CONFIG_PVH=y\n"),
            ("/lib/modules/6.1/config", ""),
            ("/usr/lib/modules/6.12/config", "CONFIG_PVH=m\n"),
            ("/lib/modules/6.12", "-> /usr/lib/modules/6.12"),
        ]);
        for (release, setting) in
            [("6.1", Setting::Yes), ("6.12", Setting::Module), ("6.18", Setting::Unknown)]
        {
            assert_eq!(Config::find(&both, release).unwrap().option("PVH"), setting, "{release}");
        }
    }
}
