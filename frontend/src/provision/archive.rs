//! Releases past their end, whose packages are no longer on the hosts that their images name.
//!
//! The archive stands for those hosts as a mirror does, with their paths; each package manager's file knows its
//! distributions' archives. They are asked by plain HTTP, since old images trust no certificate of today's; packages
//! are signed.

use exporter::tree::os::Os;
use exporter::tree::version;

/// The beginning of a step's script on a release that has moved to `host`: its packages come from there, unless something
/// else is asked for.
pub(super) fn script(host: Option<&str>) -> String {
    let Some(host) = host else { return String::new() };
    format!(
        "ARCHIVE='{host}'\n\
         if [ -z \"${{PACKAGES-}}${{MIRROR-}}\" ]; then\n\
         \tMIRROR=$ARCHIVE\n\
         \techo \"vmimage: this release is past its end, packages come from $ARCHIVE\"\n\
         fi\n"
    )
}

/// Whether it is a release up to `last`. Rolling ones have no version.
pub(super) fn is_up_to(os: &Os, last: &str) -> bool {
    os.version_id.as_deref().is_some_and(|version| version::compare(version, last).is_le())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::{MANAGERS, Probed};
    use exporter::tree::{Editor, Meta, Time, Tree};

    fn script_of(id: &str, version: &str) -> String {
        let mut tree = Tree::new(Meta::default());
        // Rolling releases have no version.
        let version = if version.is_empty() { String::new() } else { format!("VERSION_ID={version}\n") };
        let release = format!("ID={id}\n{version}");
        Editor::new(&mut tree, Time::default())
            .write_file("/etc/os-release", release.into_bytes(), 0o644)
            .unwrap();
        let os = Probed::new("example:1", tree).unwrap().os;
        script(
            MANAGERS
                .into_iter()
                .find(|manager| manager.knows(&os))
                .and_then(|manager| (manager.archive)(&os)),
        )
    }

    #[test]
    fn what_is_past_its_end_comes_from_its_archive() {
        for (id, version, host) in [
            ("debian", "8", "http://archive.debian.org"),
            ("debian", "10", "http://archive.debian.org"),
            ("centos", "7", "http://vault.centos.org"),
            ("centos", "8", "http://vault.centos.org"),
            ("ubuntu", "12.04", "http://old-releases.ubuntu.com"),
            ("ubuntu", "19.10", "http://old-releases.ubuntu.com"),
            ("ubuntu", "23.04", "http://old-releases.ubuntu.com"),
        ] {
            let script = script_of(id, version);
            assert!(script.starts_with(&format!("ARCHIVE='{host}'\n")), "{id} {version}: {script}");
        }
        for (id, version) in [
            ("debian", "11"),
            ("debian", "12"),
            ("centos", "9"),
            ("rocky", "8"),
            ("ubuntu", "14.04"),
            ("ubuntu", "18.04"),
            ("ubuntu", "25.10"),
            ("alpine", "3.9"),
            ("debian", ""),
        ] {
            assert_eq!(script_of(id, version), "", "{id} {version}");
        }
    }
}
