//! OpenRC: the services that a machine starts and a container does not.

use super::{lines, read};
use crate::error::Result;
use crate::tree::os::{Init, Os};
use crate::tree::{Editor, Tree};

/// What Alpine's installer adds, and what OpenRC itself has in these runlevels by default. Of these only
/// those are added whose script is there.
const RUNLEVELS: [(&str, &str); 4] = [
    ("sysinit", "devfs dmesg mdev hwdrivers"),
    (
        "boot",
        "modules hwclock swap hostname sysctl bootmisc syslog networking root fsck localmount seedrng urandom",
    ),
    ("default", "acpid"),
    ("shutdown", "mount-ro killprocs savecache"),
];

/// Services that provide `dev`, and those that cannot start without it.
const DEVICE_MANAGERS: [&str; 3] = ["mdev", "mdevd", "udev"];
const NEED_DEV: [&str; 2] = ["hwdrivers", "acpid"];

/// Loads drivers where no device manager does.
const DRIVERS: &str = "vmimage-drivers";

pub(super) fn fill_runlevels(editor: &mut Editor<'_>, os: &Os) -> Result<Vec<String>> {
    if os.init != Some(Init::OpenRc) {
        return Ok(Vec::new());
    }
    let mut notes = Vec::new();
    let tree = editor.tree();
    // Only one device manager may run; who added another wants that one, and it loads drivers itself.
    let has_other = ["mdevd", "udev"].iter().any(|name| is_in_runlevel(tree, name));
    let has_dev = DEVICE_MANAGERS.iter().any(|name| tree.resolve(format!("/etc/init.d/{name}")).is_some());
    if !has_dev {
        load_drivers(editor)?;
        notes.push(format!(
            "OpenRC: {DRIVERS} added to runlevel sysinit, since no device manager is there to load drivers"
        ));
    }
    let is_wanted = |service: &&str| match *service {
        "mdev" => !has_other,
        "hwdrivers" => has_dev && !has_other,
        other => has_dev || !NEED_DEV.contains(&other),
    };
    for (runlevel, services) in RUNLEVELS {
        editor.mkdir_all(format!("/etc/runlevels/{runlevel}"))?;
        let mut added = Vec::new();
        for service in services.split(' ').filter(is_wanted) {
            if enable(editor, service, runlevel)? {
                added.push(service);
            }
        }
        if !added.is_empty() {
            notes.push(format!("OpenRC: {} added to runlevel {runlevel}", added.join(", ")));
        }
    }
    notes.extend(unset_container(editor)?);
    Ok(notes)
}

/// Have drivers loaded by the devices that are there: an initramfs loads those that it has, which are those of disks and of few
/// network cards.
fn load_drivers(editor: &mut Editor<'_>) -> Result<()> {
    let script = include_bytes!("drivers.openrc").as_slice();
    editor.write_file(format!("/etc/init.d/{DRIVERS}"), script, 0o755)?;
    editor.mkdir_all("/etc/runlevels/sysinit")?;
    enable(editor, DRIVERS, "sysinit").map(drop)
}

/// Add a service to a runlevel if its script is there and it is in no runlevel yet. Returns whether it was added.
pub(super) fn enable(editor: &mut Editor<'_>, service: &str, runlevel: &str) -> Result<bool> {
    let script = format!("/etc/init.d/{service}");
    let tree = editor.tree();
    if is_in_runlevel(tree, service) || tree.resolve(&script).is_none() {
        return Ok(false);
    }
    editor.symlink(format!("/etc/runlevels/{runlevel}/{service}"), script)?;
    Ok(true)
}

/// Take a service out of every runlevel; whether it was in one.
pub(super) fn disable(editor: &mut Editor<'_>, service: &str) -> bool {
    let runlevels =
        editor.tree().children("/etc/runlevels").map(|(name, _)| String::from_utf8_lossy(name).into_owned());
    let links: Vec<_> = runlevels.map(|runlevel| format!("/etc/runlevels/{runlevel}/{service}")).collect();
    links.iter().filter(|link| editor.remove(link)).count() > 0
}

/// Whether a service is in some runlevel.
pub(super) fn is_in_runlevel(tree: &Tree, service: &str) -> bool {
    let mut runlevels = tree.children("/etc/runlevels");
    runlevels.any(|(_, id)| tree.entries(id).is_some_and(|entries| entries.contains_key(service.as_bytes())))
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

    const ALPINE: [(&str, &str); 6] = [
        ("/sbin/init", "-> /bin/busybox"),
        ("/bin/busybox", ""),
        ("/sbin/openrc", ""),
        ("/etc/init.d/devfs", ""),
        ("/etc/init.d/hwclock", ""),
        ("/etc/init.d/mdev", ""),
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
            ["OpenRC: devfs, mdev added to runlevel sysinit", "OpenRC: hwclock added to runlevel boot"]
        );
        assert!(tree.resolve("/etc/runlevels/boot/hwclock").is_some());
        assert!(tree.lookup("/etc/runlevels/default").is_some());
        assert!(tree.lookup("/etc/runlevels/boot/networking").is_none());
    }

    #[test]
    fn drivers_are_loaded_where_no_device_manager_does() {
        let load = |files: &[(&str, &str)]| {
            let mut tree = tree(files);
            let os = os::detect(&tree).unwrap();
            let notes = fill_runlevels(&mut Editor::new(&mut tree, Time::default()), &os).unwrap();
            let is_there = tree.resolve("/etc/runlevels/sysinit/vmimage-drivers").is_some();
            (is_there, notes.concat().contains("no device manager"))
        };
        assert_eq!(load(&ALPINE[..5]), (true, true));
        assert_eq!(load(&ALPINE), (false, false));
    }

    #[test]
    fn what_the_user_added_elsewhere_stays_there() {
        let (tree, notes) = edit(&[
            ("/etc/runlevels/default/hwclock", "-> /etc/init.d/hwclock"),
            ("/etc/runlevels/sysinit/udev", "-> /etc/init.d/udev"),
            ("/etc/init.d/udev", ""),
            ("/etc/init.d/hwdrivers", ""),
        ]);
        assert_eq!(notes, ["OpenRC: devfs added to runlevel sysinit"]);
        assert!(tree.lookup("/etc/runlevels/boot/hwclock").is_none());
    }

    #[test]
    fn what_needs_a_device_manager_is_not_started_without_one() {
        let mut tree = tree(&[
            ("/sbin/init", ""),
            ("/sbin/openrc", ""),
            ("/etc/init.d/hwdrivers", ""),
            ("/etc/init.d/acpid", ""),
        ]);
        let os = os::detect(&tree).unwrap();
        let notes = fill_runlevels(&mut Editor::new(&mut tree, Time::default()), &os).unwrap();
        assert!(notes.len() == 1 && notes[0].contains("no device manager"), "{notes:?}");
        assert!(tree.resolve("/etc/runlevels/default/acpid").is_none());
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
        assert!(!notes.iter().any(|note| note.contains("rc.conf")));
    }
}
