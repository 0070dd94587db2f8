//! Releases past their end, whose packages are no longer on the hosts that their images name.
//!
//! The archive stands for those hosts as a mirror does, with their paths. What is not here has not moved: Ubuntu's
//! releases with long-term support stay on `archive.ubuntu.com`, Alpine's on its mirrors, and Fedora's list of mirrors
//! leads to its archive.

use exporter::tree::os::Os;
use exporter::tree::version;

/// The beginning of a step's script on a release that has moved: its packages come from there, unless something else is
/// asked for.
pub(super) fn script(os: &Os) -> String {
    let Some(host) = host(os) else { return String::new() };
    format!(
        "ARCHIVE='{host}'\n\
         if [ -z \"${{PACKAGES-}}${{MIRROR-}}\" ]; then\n\
         \tMIRROR=$ARCHIVE\n\
         \techo \"vmimage: this release is past its end, packages come from $ARCHIVE\"\n\
         fi\n"
    )
}

/// Plain HTTP, since old images trust no certificate of today's; packages are signed.
fn host(os: &Os) -> Option<&'static str> {
    let version = os.version_id.as_deref()?;
    let is_up_to = |last| version::compare(version, last).is_le();
    match &*os.id {
        "debian" if is_up_to("10") => Some("http://archive.debian.org"),
        // CentOS Stream 8, too.
        "centos" if is_up_to("8") => Some("http://vault.centos.org"),
        "ubuntu" if is_up_to("12.04") || is_up_to("24.10") && !has_long_support(version) => {
            Some("http://old-releases.ubuntu.com")
        }
        _ => None,
    }
}

/// Every second April's of Ubuntu: 14.04, 16.04.
fn has_long_support(version: &str) -> bool {
    let year = version.strip_suffix(".04").and_then(|year| year.parse::<u32>().ok());
    year.is_some_and(|year| year % 2 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::Base;
    use exporter::tree::{Editor, Meta, Time, Tree};

    fn os(id: &str, version: &str) -> Os {
        let mut tree = Tree::new(Meta::default());
        // Rolling releases have no version.
        let version = if version.is_empty() { String::new() } else { format!("VERSION_ID={version}\n") };
        let release = format!("ID={id}\n{version}");
        Editor::new(&mut tree, Time::default())
            .write_file("/etc/os-release", release.into_bytes(), 0o644)
            .unwrap();
        Base::new("example:1", tree).unwrap().os
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
            let script = script(&os(id, version));
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
            assert_eq!(script(&os(id, version)), "", "{id} {version}");
        }
    }
}
