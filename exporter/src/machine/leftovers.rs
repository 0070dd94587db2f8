//! What is left of the container: marks that say there is one, directories that are mounts in a machine,
//! services that were turned off because they don't work in one.

use super::container_base::{Origin, undo};
use super::{Texts, lines, read, stand_in};
use crate::error::Result;
use crate::tree::{Editor, InodeKind, Tree};

/// Their presence makes programs think they run in a container: OpenRC skips `keyword -docker` services.
pub(super) const MARKS: [&str; 5] =
    ["/.dockerenv", "/.dockerinit", "/.containerenv", "/etc/containerenv", "/run/.containerenv"];

/// File systems of the kernel: nothing in the image's directories would ever be seen.
pub(super) const KERNEL_MOUNT_POINTS: [&str; 3] = ["/proc", "/sys", "/dev"];

pub(super) const POLICY_RC_D: &str = "/usr/sbin/policy-rc.d";

/// dpkg.cfg(5) and the files that go with it.
pub(super) const DPKG_SETTINGS: [&str; 2] = ["/etc/dpkg/dpkg.cfg", "/etc/dpkg/dpkg.cfg.d"];
/// What says so of the others.
pub(super) const RPM_SETTINGS: [&str; 4] =
    ["/etc/dnf/dnf.conf", "/etc/yum.conf", "/etc/zypp/zypp.conf", "/etc/pacman.conf"];

/// Settings of apt that Debian's and Ubuntu's images have for the sake of layers.
pub(super) const APT_FOR_LAYERS: [&str; 4] = [
    "/etc/apt/apt.conf.d/docker-clean",
    "/etc/apt/apt.conf.d/docker-gzip-indexes",
    "/etc/apt/apt.conf.d/docker-no-languages",
    "/etc/apt/apt.conf.d/docker-autoremove-suggests",
];

/// Where the steps that install a kernel see their script, their cache and a folder of packages. Engines make these
/// places, and leave them as empty folders.
pub const STEP: &str = "/run/vmimage";

/// systemd's own file of what it makes at every boot: access control lists of the journal among it. Docker keeps
/// those that its package has set in the build, layers of buildah and saved images lose them.
const SYSTEMD_TMPFILES: &str = "/usr/lib/tmpfiles.d/systemd.conf";
pub(super) const JOURNAL: &str = "/var/log/journal";
const ACCESS_CONTROL_LISTS: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];

/// Units that images for systemd in a container mask, and that a machine needs.
pub(super) const MASKED_IN_CONTAINERS: [&str; 19] = [
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
    editor.remove(STEP);
    let time = editor.time();
    editor.set_mtime("/run", time);
    // No layer has a say in it: engines unpack below a directory of their own, of docker's 0755 or podman's 0555.
    editor.set_directory("/", 0o755)?;
    undo(editor, Origin::Engine)
}

/// Remove that, and what an init of a distribution mounts over or could stumble on. Returns what was changed, and
/// what is left that a machine is not served by.
pub fn forget_container(editor: &mut Editor<'_>) -> Result<Vec<String>> {
    let mut notes = forget_engine(editor)?;
    notes.extend(undo(editor, Origin::Image)?);
    notes.extend(stand_in::find(editor.tree())?.into_iter().map(|what| format!("stand-in: {what}")));
    Ok(notes)
}

/// Take away the access control lists that systemd sets at boot, whether an engine has kept them or not.
pub(super) fn leave_to_systemd(editor: &mut Editor<'_>, journal: &str) -> Result<Vec<String>> {
    if editor.tree().resolve(SYSTEMD_TMPFILES).is_none() {
        return Ok(Vec::new());
    }
    let below = editor.tree().children(journal).map(|(_, id)| id);
    let inodes: Vec<_> = editor.tree().resolve(journal).into_iter().chain(below).collect();
    let mut lost = 0;
    for id in inodes {
        let xattrs = &editor.tree().inode(id).meta.xattrs;
        let lists = ACCESS_CONTROL_LISTS.map(|name| xattrs.contains_key(name).then_some(name));
        for name in lists.into_iter().flatten() {
            editor.meta_mut(id).xattrs.remove(name);
            lost += 1;
        }
    }
    let note = format!("{journal}: access control list removed, systemd sets it at boot");
    Ok((lost > 0).then_some(note).into_iter().collect())
}

/// Make an empty directory to mount on.
pub(super) fn clear_mount_point(
    editor: &mut Editor<'_>,
    directory: &str,
    permissions: u16,
) -> Result<Option<String>> {
    // A link here would lead to something else of the tree.
    if editor.tree().lookup(directory).is_some_and(|id| editor.tree().entries(id).is_none()) {
        editor.remove(directory);
    }
    editor.set_directory(directory, permissions)?;
    Ok(editor.empty_dir(directory).then(|| format!("{directory}: emptied")))
}

/// The script that image builders put there, all of which it does is `exit 101`, perhaps with a word about it; a real
/// policy stays.
pub(super) fn forbids_all_services(tree: &Tree, path: &str) -> Result<bool> {
    let text = read(tree, path)?;
    let text = String::from_utf8_lossy(&text);
    let is_word = |line: &&str| {
        line.starts_with("echo ") && !line.replace(">&2", "").contains([';', '&', '|', '`', '$'])
    };
    let is_command = |line: &&str| !line.is_empty() && !line.starts_with('#') && !is_word(line);
    let mut commands = text.lines().map(str::trim).filter(is_command);
    Ok(commands.next() == Some("exit 101") && commands.next().is_none())
}

/// The file at `path`, or the files in it.
fn files(tree: &Tree, path: &str) -> Vec<String> {
    let is_file = |path: &String| {
        tree.resolve_nofollow(path).is_some_and(|id| matches!(tree.inode(id).kind, InodeKind::File(_)))
    };
    let children = tree.children(path).map(|(name, _)| format!("{path}/{}", String::from_utf8_lossy(name)));
    std::iter::once(path.to_owned()).chain(children).filter(is_file).collect()
}

/// Take `force-unsafe-io` out of settings of dpkg: a file that holds nothing else goes.
pub(super) fn sync_again(editor: &mut Editor<'_>, path: &str) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let mut texts = Texts::new();
    for path in files(editor.tree(), path) {
        let old = texts.read(editor.tree(), &path)?;
        let is_unsafe = |line: &&[u8]| line.trim_ascii() == b"force-unsafe-io";
        let left: Vec<u8> = lines(&old).filter(|line| !is_unsafe(line)).flatten().copied().collect();
        if left.len() == old.len() {
            continue;
        }
        if lines(&left).all(|line| matches!(line.trim_ascii().first(), None | Some(b'#'))) {
            editor.remove(&path);
        } else {
            editor.rewrite_file(&path, left, 0o644)?;
        }
        notes.push(format!("{path}: force-unsafe-io removed, dpkg waits for its files to be on the disk"));
    }
    Ok(notes)
}

/// Whether a setting leaves files of packages out: of dpkg, rpm, zypper or pacman.
pub(super) fn excludes_files(tree: &Tree, path: &str) -> Result<bool> {
    any_line(tree, path, |line| {
        line.starts_with("path-exclude")
            || line.starts_with("tsflags") && line.contains("nodocs")
            || line.starts_with("rpm.install.excludedocs") && line.ends_with("yes")
            || line.starts_with("NoExtract")
    })
}

pub(super) fn updates_no_initramfs(tree: &Tree, path: &str) -> Result<bool> {
    any_line(tree, path, |line| line == "update_initramfs=no")
}

fn any_line(tree: &Tree, path: &str, is_it: impl Fn(&str) -> bool) -> Result<bool> {
    let mut texts = Texts::new();
    for path in files(tree, path) {
        if String::from_utf8_lossy(&texts.read(tree, &path)?).lines().any(|line| is_it(line.trim())) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Time;
    use crate::tree::testing::{text, tree};

    const MOUNT_POINTS: [(&str, u16); 5] =
        [("/proc", 0o755), ("/sys", 0o755), ("/dev", 0o755), ("/run", 0o755), ("/tmp", 0o1777)];

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
        for (directory, permissions) in MOUNT_POINTS {
            let id = tree.lookup(directory).unwrap();
            assert_eq!(tree.inode(id).meta.permissions, permissions);
            assert!(tree.entries(id).unwrap().is_empty(), "{directory}");
        }
        assert!(tree.lookup("/srv/a").is_some());
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
            ("#!/bin/sh\necho >&2 'no services here'\nexit 101\n", false),
            ("#!/bin/sh\necho no && test $1 = ssh && exit 0\nexit 101\n", true),
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

    #[test]
    fn dpkg_waits_for_the_disk_again() {
        const PATH: &str = "/etc/dpkg/dpkg.cfg.d/docker-apt-speedup";
        for (before, after) in [
            ("force-unsafe-io\n", None),
            ("# faster\nforce-unsafe-io\n", None),
            ("no-debsig\nforce-unsafe-io\n", Some("no-debsig\n")),
            ("#force-unsafe-io\n", Some("#force-unsafe-io\n")),
        ] {
            assert_eq!(text(&edit(&[(PATH, before)]), PATH).as_deref(), after, "{before}");
        }
    }

    #[test]
    fn settings_for_the_sake_of_layers_go_and_those_of_the_user_stay() {
        let user = "/etc/apt/apt.conf.d/99-user";
        let settings = ["docker-clean", "docker-gzip-indexes", "docker-no-languages"]
            .map(|name| format!("/etc/apt/apt.conf.d/{name}"));
        let files: Vec<_> = settings.iter().map(|path| (&**path, "x\n")).chain([(user, "x\n")]).collect();
        let tree = edit(&files);
        assert!(settings.iter().all(|path| tree.lookup(path).is_none()) && tree.lookup(user).is_some());
    }

    #[test]
    fn what_stays_of_a_container_is_told() {
        let said = |path: &str, text: &str| {
            let mut tree = tree(&[(path, text)]);
            forget_container(&mut Editor::new(&mut tree, Time::default())).unwrap().pop()
        };
        for (path, text, part) in [
            ("/etc/dpkg/dpkg.cfg.d/excludes", "path-exclude=/usr/share/doc/*\n", Some("path-exclude")),
            ("/etc/dnf/dnf.conf", "[main]\ntsflags=nodocs\n", Some("documentation")),
            ("/etc/zypp/zypp.conf", "rpm.install.excludedocs = yes\n", Some("documentation")),
            ("/etc/initramfs-tools/update-initramfs.conf", "update_initramfs=no\n", Some("not rebuilt")),
            (
                "/usr/bin/systemctl",
                "-> /bin/true",
                Some("stand-in: /usr/bin/systemctl is a link to /bin/true"),
            ),
            ("/etc/bind/rndc.key", "key", Some("every machine of this image has the same key")),
            ("/etc/dnf/dnf.conf", "[main]\n#tsflags=nodocs\n", None),
            ("/etc/initramfs-tools/update-initramfs.conf", "update_initramfs=yes\n", None),
        ] {
            let said = said(path, text);
            assert_eq!(said.is_some(), part.is_some(), "{path}: {said:?}");
            assert!(said.unwrap_or_default().contains(part.unwrap_or_default()), "{path}");
        }
    }

    /// Each was kept with its own text: a folder of links to one file was gigabytes.
    #[test]
    fn one_file_of_many_names_is_not_many_texts() {
        let text = format!("force-unsafe-io\n#{}", "a".repeat((1 << 20) - 17));
        for (names, is_right) in [(16, true), (17, false), (2000, false)] {
            let mut tree = tree(&[("/etc/dpkg/dpkg.cfg.d/0", &text)]);
            let folder = tree.lookup("/etc/dpkg/dpkg.cfg.d").unwrap();
            let file = tree.lookup("/etc/dpkg/dpkg.cfg.d/0").unwrap();
            (1..names).for_each(|name| tree.link(folder, name.to_string().as_bytes(), file));
            let edited = forget_container(&mut Editor::new(&mut tree, Time::default()));
            assert_eq!(edited.is_ok(), is_right, "{names}");
            let said = |error: crate::Error| error.to_string().contains("which is the limit");
            assert!(edited.err().is_none_or(said));
        }
    }
}
