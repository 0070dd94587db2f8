//! OpenRC: the services that a machine starts and a container does not.

use super::{lines, read};
use crate::error::Result;
use crate::tree::Editor;
use crate::tree::os::{Init, Os};

/// What Alpine's installer adds, and what OpenRC itself has in these runlevels by default. Of these only
/// those are added whose script is there.
const RUNLEVELS: [(&str, &[&str]); 4] = [
    ("sysinit", &["devfs", "dmesg", "mdev", "hwdrivers"]),
    (
        "boot",
        &[
            "modules",
            "hwclock",
            "swap",
            "hostname",
            "sysctl",
            "bootmisc",
            "syslog",
            "networking",
            "root",
            "fsck",
            "localmount",
            "seedrng",
            "urandom",
        ],
    ),
    ("default", &["acpid"]),
    ("shutdown", &["mount-ro", "killprocs", "savecache"]),
];

pub(super) fn fill_runlevels(editor: &mut Editor<'_>, os: &Os) -> Result<Vec<String>> {
    if os.init != Some(Init::OpenRc) {
        return Ok(Vec::new());
    }
    let mut notes = Vec::new();
    // Of the two device managers only one may run; who added udev wants that one.
    let has_udev = editor.tree().resolve_parent("/etc/runlevels/sysinit/udev").is_some();
    for (runlevel, services) in RUNLEVELS {
        editor.mkdir_all(format!("/etc/runlevels/{runlevel}"))?;
        let mut added = Vec::new();
        for service in
            services.iter().filter(|service| !(has_udev && matches!(**service, "mdev" | "hwdrivers")))
        {
            if enable(editor, service, runlevel)? {
                added.push(*service);
            }
        }
        if !added.is_empty() {
            notes.push(format!("OpenRC: {} added to runlevel {runlevel}", added.join(", ")));
        }
    }
    notes.extend(unset_container(editor)?);
    Ok(notes)
}

/// Add a service to a runlevel if its script is there and it is in no runlevel yet. Returns whether it was added.
pub(super) fn enable(editor: &mut Editor<'_>, service: &str, runlevel: &str) -> Result<bool> {
    let script = format!("/etc/init.d/{service}");
    let tree = editor.tree();
    let is_known = tree.children("/etc/runlevels").any(|(_, level)| {
        tree.entries(level).is_some_and(|entries| entries.contains_key(service.as_bytes()))
    });
    if is_known || tree.resolve(&script).is_none() {
        return Ok(false);
    }
    editor.symlink(format!("/etc/runlevels/{runlevel}/{service}"), script)?;
    Ok(true)
}

/// Comment `rc_sys="docker"` out of `/etc/rc.conf`: it makes OpenRC skip every service that says
/// `keyword -docker`, the mounting of file systems among them.
fn unset_container(editor: &mut Editor<'_>) -> Result<Option<String>> {
    let old = read(editor.tree(), "/etc/rc.conf")?;
    let mut text = Vec::with_capacity(old.len());
    for line in lines(&old) {
        let shown = String::from_utf8_lossy(line);
        let value = shown.trim().strip_prefix("rc_sys=").map(|value| value.trim_matches(['"', '\'']));
        if value.is_some_and(|value| !value.is_empty()) {
            text.push(b'#');
        }
        text.extend(line);
    }
    if text == old {
        return Ok(None);
    }
    editor.write_file("/etc/rc.conf", text, 0o644)?;
    Ok(Some("/etc/rc.conf: rc_sys of a container unset".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::{text, tree};
    use crate::tree::{Time, os};

    const ALPINE: [(&str, &str); 5] = [
        ("/sbin/init", "-> /bin/busybox"),
        ("/bin/busybox", ""),
        ("/sbin/openrc", ""),
        ("/etc/init.d/devfs", ""),
        ("/etc/init.d/hwclock", ""),
    ];

    fn edit(files: &[(&str, &str)]) -> (crate::tree::Tree, Vec<String>) {
        let mut tree = tree(&ALPINE.iter().chain(files).copied().collect::<Vec<_>>());
        let os = os::detect(&tree).unwrap();
        let notes = fill_runlevels(&mut Editor::new(&mut tree, Time::default()), &os).unwrap();
        (tree, notes)
    }

    #[test]
    fn scripts_that_are_there_are_added_once() {
        let (tree, notes) = edit(&[]);
        assert_eq!(
            notes,
            ["OpenRC: devfs added to runlevel sysinit", "OpenRC: hwclock added to runlevel boot"]
        );
        assert!(tree.resolve("/etc/runlevels/boot/hwclock").is_some());
        assert!(tree.lookup("/etc/runlevels/default").is_some());
        assert!(tree.lookup("/etc/runlevels/boot/networking").is_none());
    }

    #[test]
    fn what_the_user_added_elsewhere_stays_there() {
        let (tree, notes) = edit(&[
            ("/etc/runlevels/default/hwclock", "-> /etc/init.d/hwclock"),
            ("/etc/runlevels/sysinit/udev", "-> /etc/init.d/udev"),
            ("/etc/init.d/mdev", ""),
        ]);
        assert_eq!(notes, ["OpenRC: devfs added to runlevel sysinit"]);
        assert!(tree.lookup("/etc/runlevels/boot/hwclock").is_none());
    }

    #[test]
    fn the_machine_is_no_container() {
        let (tree, _) = edit(&[("/etc/rc.conf", "rc_parallel=\"YES\"\nrc_sys=\"lxc\"\n#rc_sys=\"\"\n")]);
        assert_eq!(
            text(&tree, "/etc/rc.conf").unwrap(),
            "rc_parallel=\"YES\"\n#rc_sys=\"lxc\"\n#rc_sys=\"\"\n"
        );
        let (tree, notes) = edit(&[("/etc/rc.conf", "rc_sys=\"\"\n")]);
        assert_eq!(text(&tree, "/etc/rc.conf").unwrap(), "rc_sys=\"\"\n");
        assert_eq!(notes.len(), 2);
    }
}
