//! What is left of the container: marks that say there is one, directories that are mounts in a machine,
//! services that were turned off because they don't work in one.

use super::{read, systemd};
use crate::error::Result;
use crate::tree::{Editor, Kind, Tree};

/// Their presence makes programs think they run in a container: OpenRC skips `keyword -docker` services.
const MARKS: [&str; 5] =
    ["/.dockerenv", "/.dockerinit", "/.containerenv", "/etc/containerenv", "/run/.containerenv"];

/// Where engines mount a file of their own while a step runs; buildah leaves an empty one there.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// File systems of the kernel: nothing in the image's directories would ever be seen.
const KERNEL_MOUNT_POINTS: [&str; 3] = ["/proc", "/sys", "/dev"];
/// File systems of the running machine, and their permissions: the same.
const MOUNT_POINTS: [(&str, u16); 2] = [("/run", 0o755), ("/tmp", 0o1777)];

/// Where the steps that install a kernel see their script, their cache and a folder of packages. Engines make these
/// places, and leave them as empty folders.
pub const STEP: &str = "/run/vmimage";

/// systemd's own file of what it makes at every boot: access control lists of the journal among it. Docker keeps
/// those that its package has set in the build, layers of buildah and saved images lose them.
const SYSTEMD_TMPFILES: &str = "/usr/lib/tmpfiles.d/systemd.conf";
const JOURNAL: &str = "/var/log/journal";
const ACCESS_CONTROL_LISTS: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];

const POLICY_RC_D: &str = "/usr/sbin/policy-rc.d";

/// Units that images for systemd in a container mask, and that a machine needs.
const MASKED_IN_CONTAINERS: [&str; 19] = [
    "console-getty.service",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "getty.target",
    "proc-sys-fs-binfmt_misc.automount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "systemd-journald-audit.socket",
    "systemd-journald-dev-log.socket",
    "systemd-journald.service",
    "systemd-journald.socket",
    "systemd-logind.service",
    "systemd-modules-load.service",
    "systemd-remount-fs.service",
    "systemd-sysctl.service",
    "systemd-tmpfiles-setup-dev.service",
    "systemd-udev-trigger.service",
    "systemd-udevd.service",
];

/// Remove what is there only because a container's engine has built and unpacked the tree: what is left is the
/// same whichever engine that was. Returns what was changed.
pub fn forget_engine(editor: &mut Editor<'_>) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for mark in MARKS {
        if editor.remove(mark) {
            notes.push(format!("{mark}: removed"));
        }
    }
    if is_empty_file(editor.tree(), RESOLV_CONF) && editor.remove(RESOLV_CONF) {
        notes.push(format!("{RESOLV_CONF}: removed, it was empty"));
    }
    editor.remove(STEP);
    let time = editor.time();
    editor.set_mtime("/run", time);
    notes.extend(leave_journal_to_systemd(editor));
    // No layer has a say in it: engines unpack below a directory of their own, of docker's 0755 or podman's 0555.
    editor.set_directory("/", 0o755)?;
    for directory in KERNEL_MOUNT_POINTS {
        notes.extend(clear_mount_point(editor, directory, 0o755)?);
    }
    Ok(notes)
}

/// Remove that, and what an init of a distribution mounts over or could stumble on. Returns what was changed.
pub fn forget_container(editor: &mut Editor<'_>) -> Result<Vec<String>> {
    let mut notes = forget_engine(editor)?;
    for (directory, permissions) in MOUNT_POINTS {
        notes.extend(clear_mount_point(editor, directory, permissions)?);
    }
    if forbids_all_services(editor.tree())? && editor.remove(POLICY_RC_D) {
        notes.push(format!("{POLICY_RC_D}: removed, it kept services from starting"));
    }
    for unit in MASKED_IN_CONTAINERS {
        if systemd::is_masked(editor.tree(), unit) && editor.remove(format!("{}/{unit}", systemd::ETC)) {
            notes.push(format!("systemd: {unit} unmasked"));
        }
    }
    Ok(notes)
}

/// Take away the access control lists that systemd sets at boot, whether an engine has kept them or not.
fn leave_journal_to_systemd(editor: &mut Editor<'_>) -> Option<String> {
    editor.tree().resolve(SYSTEMD_TMPFILES)?;
    let below = editor.tree().children(JOURNAL).map(|(_, id)| id);
    let journal: Vec<_> = editor.tree().resolve(JOURNAL).into_iter().chain(below).collect();
    let mut lost = 0;
    for id in journal {
        let xattrs = &editor.tree().inode(id).meta.xattrs;
        let lists = ACCESS_CONTROL_LISTS.map(|name| xattrs.contains_key(name).then_some(name));
        for name in lists.into_iter().flatten() {
            editor.meta_mut(id).xattrs.remove(name);
            lost += 1;
        }
    }
    (lost > 0).then(|| format!("{JOURNAL}: access control list removed, systemd sets it at boot"))
}

/// Make an empty directory to mount on.
fn clear_mount_point(editor: &mut Editor<'_>, directory: &str, permissions: u16) -> Result<Option<String>> {
    // A link here would lead to something else of the tree.
    if editor.tree().lookup(directory).is_some_and(|id| editor.tree().entries(id).is_none()) {
        editor.remove(directory);
    }
    editor.set_directory(directory, permissions)?;
    Ok(editor.empty_dir(directory).then(|| format!("{directory}: emptied")))
}

fn is_empty_file(tree: &Tree, path: &str) -> bool {
    let file = tree.resolve_nofollow(path).map(|id| &tree.inode(id).kind);
    matches!(file, Some(Kind::File(content)) if content.is_empty())
}

/// The script that image builders put there, all of which it does is `exit 101`; a real policy stays.
fn forbids_all_services(tree: &Tree) -> Result<bool> {
    let text = read(tree, POLICY_RC_D)?;
    let text = String::from_utf8_lossy(&text);
    let mut commands = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(commands.next() == Some("exit 101") && commands.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Time;
    use crate::tree::testing::tree;

    fn edit(files: &[(&str, &str)]) -> Tree {
        let mut tree = tree(files);
        forget_container(&mut Editor::new(&mut tree, Time::default())).unwrap();
        tree
    }

    #[test]
    fn marks_and_contents_of_mount_points_go() {
        let tree = edit(&[
            ("/.dockerenv", ""),
            ("/run/.containerenv", ""),
            ("/tmp/a/b", ""),
            ("/dev/console", ""),
            ("/srv/a", ""),
        ]);
        assert!(tree.lookup("/.dockerenv").is_none());
        for (directory, permissions) in
            KERNEL_MOUNT_POINTS.map(|name| (name, 0o755)).into_iter().chain(MOUNT_POINTS)
        {
            let id = tree.lookup(directory).unwrap();
            assert_eq!(tree.inode(id).meta.permissions, permissions);
            assert!(tree.entries(id).unwrap().is_empty(), "{directory}");
        }
        assert!(tree.lookup("/srv/a").is_some());
    }

    #[test]
    fn what_engines_leave_where_they_mount_goes() {
        for (text, stays) in [("", false), ("-> ../run/resolv.conf", true), ("nameserver 192.0.2.1\n", true)]
        {
            assert_eq!(edit(&[(RESOLV_CONF, text)]).lookup(RESOLV_CONF).is_some(), stays, "{text}");
        }
    }

    /// Docker's build keeps the lists that systemd's package sets, a layer of buildah's has none: one tree of both.
    #[test]
    fn the_journal_has_the_lists_that_systemd_gives_it_at_boot() {
        let journal = [(SYSTEMD_TMPFILES, ""), ("/var/log/journal/0123/", ""), ("/srv/kept", "")];
        let listed = |files: &[(&str, &str)], path: &str, name: &[u8]| {
            let mut tree = tree(files);
            let id = tree.lookup(path).unwrap();
            let mut editor = Editor::new(&mut tree, Time::default());
            editor.meta_mut(id).xattrs.insert(name.into(), (*b"list").into());
            let notes = forget_container(&mut editor).unwrap();
            let has_list = tree.inode(id).meta.xattrs.contains_key(name);
            assert_eq!(has_list, !notes.iter().any(|note| note.starts_with(JOURNAL)), "{notes:?}");
            has_list
        };
        let [access, default] = ACCESS_CONTROL_LISTS;
        assert!(!listed(&journal, JOURNAL, access));
        assert!(!listed(&journal, JOURNAL, default));
        assert!(!listed(&journal, "/var/log/journal/0123", default));
        // Another one is the user's; and nobody would set it again without systemd.
        assert!(listed(&journal, "/srv/kept", access));
        assert!(listed(&journal, JOURNAL, b"user.note"));
        assert!(listed(&journal[1..], JOURNAL, access));
    }

    /// Also under a first process of ours, which leaves `/run` to the image.
    #[test]
    fn nothing_is_left_where_a_step_had_its_mounts() {
        for path in ["/run/vmimage/cache/", "/run/vmimage/packages/", "/run/.containerenv"] {
            let mut tree = tree(&[(path, ""), ("/run/app/", "")]);
            let time = Time { seconds: 7, nanoseconds: 0 };
            forget_engine(&mut Editor::new(&mut tree, time)).unwrap();
            assert!(tree.children("/run").map(|(name, _)| name).eq([&b"app"[..]]), "{path}");
            assert_eq!(tree.inode(tree.lookup("/run").unwrap()).meta.mtime, time);
        }
    }

    #[test]
    fn the_root_and_mount_points_are_alike_whoever_unpacked_them() {
        let mut tree = tree(&[("/etc/os-release", "ID=debian\n")]);
        let time = Time { seconds: 7, nanoseconds: 0 };
        let mut editor = Editor::new(&mut tree, Time::default());
        editor.set_directory("/", 0o555).unwrap();
        forget_container(&mut Editor::new(&mut tree, time)).unwrap();
        for (directory, permissions) in MOUNT_POINTS.into_iter().chain([("/", 0o755)]) {
            let meta = &tree.inode(tree.lookup(directory).unwrap()).meta;
            assert_eq!((meta.permissions, meta.mtime), (permissions, time), "{directory}");
        }
    }

    #[test]
    fn a_mount_point_that_is_a_link_takes_nothing_with_it() {
        let tree = edit(&[("/tmp", "-> /srv"), ("/srv/data", "precious"), ("/run", "a file")]);
        assert!(tree.lookup("/srv/data").is_some());
        assert!(tree.entries(tree.lookup("/tmp").unwrap()).is_some());
        assert!(tree.entries(tree.lookup("/run").unwrap()).is_some());
    }

    #[test]
    fn only_the_policy_that_forbids_everything_goes() {
        for (policy, stays) in [
            ("#!/bin/sh\nexit 101\n", false),
            ("#!/bin/sh\n# comment\n\n  exit 101", false),
            ("#!/bin/sh\ntest $1 = ssh && exit 0\nexit 101\n", true),
            ("-> /usr/local/policy", true),
        ] {
            assert_eq!(edit(&[(POLICY_RC_D, policy)]).lookup(POLICY_RC_D).is_some(), stays, "{policy}");
        }
    }

    #[test]
    fn only_units_masked_for_a_container_are_unmasked() {
        let tree = edit(&[
            ("/etc/systemd/system/systemd-logind.service", "-> /dev/null"),
            ("/etc/systemd/system/apt-daily.timer", "-> /dev/null"),
            ("/etc/systemd/system/systemd-udevd.service", "[Unit]\n"),
        ]);
        assert!(tree.lookup("/etc/systemd/system/systemd-logind.service").is_none());
        assert!(tree.lookup("/etc/systemd/system/apt-daily.timer").is_some());
        assert!(tree.lookup("/etc/systemd/system/systemd-udevd.service").is_some());
    }
}
