//! Stand-ins: programs that container bases replace with one that does nothing, so that packages install faster or
//! without a kernel and an init. Behind them a machine gets no initramfs, and its services do not start.

use std::collections::BTreeMap;

use super::read;
use crate::error::{Result, show_text};
use crate::tree::{InodeKind, Tree};

/// Programs of packages that a stand-in is known of, those that make an initramfs first.
pub const PROGRAMS: [&str; 19] = [
    "update-initramfs",
    "mkinitramfs",
    "dracut",
    "mkinitcpio",
    "mkinitfs",
    "kernel-install",
    "depmod",
    "linux-update-symlinks",
    "systemctl",
    "systemd-sysusers",
    "systemd-tmpfiles",
    "udevadm",
    "deb-systemd-helper",
    "deb-systemd-invoke",
    "invoke-rc.d",
    "update-rc.d",
    "start-stop-daemon",
    "initctl",
    "ischroot",
];

/// Where they are.
pub const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// Where dpkg-divert(1) keeps what it diverts: three lines for each, the last is the package or `:` for the administrator.
const DIVERSIONS: &str = "/var/lib/dpkg/diversions";

/// A line for each program that is none: what it is instead.
pub fn find(tree: &Tree) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let diversions = read(tree, DIVERSIONS)?;
    let diversions = String::from_utf8_lossy(&diversions);
    let diversions = by_administrator(&diversions);
    for program in PROGRAMS {
        let paths = DIRECTORIES.map(|directory| format!("{directory}/{program}"));
        // `/sbin` may be a link to `/usr/sbin`: the first name counts.
        let Some(path) = paths.iter().find(|path| tree.resolve_nofollow(path).is_some()) else {
            found.extend(paths.iter().filter_map(|path| diverted(&diversions, path)));
            continue;
        };
        let Some(what) = shape(tree, path)? else { continue };
        let diverted = paths.iter().find_map(|path| diverted(&diversions, path));
        found.push(match diverted {
            Some(diverted) => format!("{diverted}, and {what} is in its place"),
            None => format!("{path} is {what}"),
        });
    }
    Ok(found)
}

/// The administrator's diversions: where each leads, by what is diverted.
fn by_administrator(text: &str) -> BTreeMap<&str, &str> {
    let mut lines = text.lines();
    let mut diversions = BTreeMap::new();
    while let (Some(from), Some(to), Some(package)) = (lines.next(), lines.next(), lines.next()) {
        if package == ":" {
            diversions.entry(from).or_insert(to);
        }
    }
    diversions
}

/// Where the diversion of `path` leads, as a sentence.
fn diverted(diversions: &BTreeMap<&str, &str>, path: &str) -> Option<String> {
    diversions.get(path).map(|to| format!("{path} is diverted to {}", show_text(to)))
}

/// What a stand-in looks like; `None` for all else.
pub(crate) fn shape(tree: &Tree, path: &str) -> Result<Option<String>> {
    let Some(id) = tree.resolve_nofollow(path) else { return Ok(None) };
    Ok(match &tree.inode(id).kind {
        InodeKind::Symlink(target) => {
            let target = String::from_utf8_lossy(target);
            let does_nothing = matches!(target.rsplit('/').next(), Some("true" | "false" | ":"));
            does_nothing.then(|| format!("a link to {target}"))
        }
        InodeKind::File(content) if content.len() <= SCRIPT_LIMIT => {
            does_nothing(&read(tree, path)?).then(|| "a script that does nothing".into())
        }
        _ => None,
    })
}

/// A longer one does something.
const SCRIPT_LIMIT: u64 = 4096;

fn does_nothing(script: &[u8]) -> bool {
    let Ok(script) = std::str::from_utf8(script) else { return false };
    let mut commands =
        script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    script.starts_with("#!") && commands.all(|line| matches!(line, "exit 0" | "exit" | "true" | ":"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::tree;

    #[test]
    fn stand_ins_are_told_from_programs() {
        for (text, said) in [
            ("-> /bin/true", Some("/usr/sbin/update-initramfs is a link to /bin/true")),
            ("-> ../bin/true", Some("/usr/sbin/update-initramfs is a link to ../bin/true")),
            (
                "#!/bin/sh\n# none here\n\nexit 0\n",
                Some("/usr/sbin/update-initramfs is a script that does nothing"),
            ),
            ("#!/bin/sh\n", Some("/usr/sbin/update-initramfs is a script that does nothing")),
            ("#!/bin/sh\nexec /opt/mine \"$@\"\n", None),
            ("#!/bin/sh\nexit 1\n", None),
            ("-> /bin/busybox", None),
            ("\x7fELF", None),
        ] {
            let tree = tree(&[("/sbin", "-> usr/sbin"), ("/usr/sbin/update-initramfs", text)]);
            assert_eq!(find(&tree).unwrap().first().map(String::as_str), said, "{text}");
        }
    }

    #[test]
    fn a_diversion_is_told_with_what_is_in_its_place() {
        let diversions = "/usr/bin/other\n/usr/bin/other.distrib\n:\n\
                          /usr/sbin/update-initramfs\n/usr/sbin/update-initramfs.distrib\n:\n\
                          /usr/sbin/mkinitramfs\n/usr/sbin/mkinitramfs.live\nlive-tools\n";
        let diverted = "/usr/sbin/update-initramfs is diverted to /usr/sbin/update-initramfs.distrib";
        let with = |text: &str| {
            let file = [("/usr/sbin/update-initramfs", text)];
            let files = if text.is_empty() { &[][..] } else { &file };
            find(&tree(&[&[(DIVERSIONS, diversions)], files].concat())).unwrap()
        };
        assert_eq!(with(""), [diverted]);
        assert_eq!(with("-> /bin/true"), [format!("{diverted}, and a link to /bin/true is in its place")]);
        assert!(with("#!/bin/sh\nexec mine\n").is_empty());
    }
}
