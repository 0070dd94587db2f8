//! The functions that find and replace stand-ins, on programs of a sandbox.

use std::fs;
use std::path::Path;

use super::scripts::{DOWNLOADS, Sandbox, text_of};

const STAND_INS: &str = include_str!("stand-ins.sh");
const TOLD: &str = "programs='update-initramfs dracut' folders=$FOLDERS\n";

impl Sandbox {
    /// A program that prints `output` and notes how it was called.
    fn recorder(&self, name: &str, output: &str) {
        self.program(name, output);
        let path = self.path(&format!("bin/{name}"));
        let script = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("{script}echo {name} \"$@\" >>{}\n", self.path("log"))).unwrap();
    }

    pub(super) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        match text.strip_prefix("-> ") {
            Some(target) => std::os::unix::fs::symlink(target, &path).unwrap(),
            None => fs::write(&path, text).unwrap(),
        }
        path
    }

    pub(super) fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }
}

#[test]
fn a_stand_in_is_told_from_a_program() {
    for (text, is_one) in [
        ("-> /bin/true", true),
        ("-> ../../bin/true", true),
        ("-> true", true),
        ("#!/bin/sh\n", true),
        ("#!/bin/sh\n# none in a container\nexit 0\n", true),
        ("#!/bin/sh -e\n\n\t:\ntrue\n", true),
        ("#!/bin/sh\nexec /opt/mine \"$@\"\n", false),
        ("#!/bin/sh\nexit 1\n", false),
        ("-> /bin/busybox", false),
        ("\x7fELF", false),
    ] {
        let sandbox = Sandbox::new();
        let path = sandbox.file("sbin/update-initramfs", text);
        let script = format!("{TOLD}{STAND_INS}stand_ins");
        let done = sandbox.run(&script, &[], &[("FOLDERS", &sandbox.path("sbin"))]);
        let expected = if is_one { format!("{path}\n") } else { String::new() };
        assert_eq!(text_of(&done), expected, "{text}");
    }
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("sbin")).unwrap();
    fs::copy("/bin/true", sandbox.path("sbin/dracut")).unwrap();
    let done =
        sandbox.run(&format!("{TOLD}{STAND_INS}stand_ins"), &[], &[("FOLDERS", &sandbox.path("sbin"))]);
    assert!(text_of(&done).ends_with("/sbin/dracut\n"));
}

/// apt's own beginning, and of its machine's script what comes before the packages.
fn debian() -> String {
    let (before, _) = include_str!("apt-machine.sh").split_once("for package; do").unwrap();
    let functions = &before[before.find("# Diversions").unwrap()..];
    format!("set -eu\n{TOLD}{STAND_INS}{functions}")
}

#[test]
fn diversions_to_a_stand_in_are_undone_and_those_of_somebody_stay() {
    for (program, lies_there, is_undone) in [
        ("update-initramfs", Some("-> /bin/true"), true),
        ("update-initramfs", Some("#!/bin/sh\nexit 0\n"), true),
        ("dracut", None, true),
        ("update-initramfs", Some("#!/bin/sh\nexec /opt/mine\n"), false),
        ("mandb", Some("-> /bin/true"), false),
    ] {
        let sandbox = Sandbox::new();
        let path = sandbox.path(&format!("sbin/{program}"));
        if let Some(text) = lies_there {
            sandbox.file(&format!("sbin/{program}"), text);
        }
        fs::create_dir_all(sandbox.path("sbin")).unwrap();
        let list = format!("local diversion of {path} to {path}.distrib\ndiversion of /a to /b by c");
        sandbox.recorder("dpkg-divert", &list);
        sandbox.program("dpkg", "");
        text_of(&sandbox.run(&debian(), &[], &[("FOLDERS", &sandbox.path("sbin"))]));
        let undone = format!("dpkg-divert --quiet --local --rename --remove {path}\n");
        let log = sandbox.read("log").unwrap();
        assert_eq!(log.contains(&undone), is_undone, "{program} {lies_there:?}: {log}");
        let stays = !is_undone && lies_there.is_some();
        assert_eq!(Path::new(&path).symlink_metadata().is_ok(), stays, "{program} {lies_there:?}");
    }
}

/// Each package manager's answer to whose a file is.
#[test]
fn a_package_whose_program_is_a_stand_in_is_installed_again() {
    const DPKG: &str = "diversion by local from: /usr/sbin/update-initramfs\ninitramfs-tools:all: /usr/sbin/update-initramfs";
    const APT: (&str, &str) = (include_str!("apt.sh"), include_str!("apt-machine.sh"));
    const APK: (&str, &str) = ("from= sources=$WORK\n", include_str!("apk-machine.sh"));
    const PACMAN: (&str, &str) = ("", include_str!("pacman-machine.sh"));
    const DNF: (&str, &str) =
        (concat!(include_str!("rpm.sh"), include_str!("dnf.sh")), include_str!("dnf-machine.sh"));
    const ZYPPER: (&str, &str) =
        (concat!(include_str!("rpm.sh"), include_str!("zypper.sh")), include_str!("zypper-machine.sh"));
    for (script, asked, answer, reinstalled) in [
        (APT, "dpkg", DPKG, "apt-get -q install -y --no-install-recommends --reinstall initramfs-tools\n"),
        (APT, "dpkg", "", ""),
        (APK, "apk", "/sbin/x is owned by mkinitfs-3.9.2-r0", "apk fix --reinstall mkinitfs\n"),
        (APK, "apk", "/sbin/x symlink target is owned by busybox-1.37.0-r12", ""),
        (PACMAN, "pacman", "mkinitcpio", "pacman -Su --noconfirm --cachedir "),
        (DNF, "rpm", "dracut", "dnf reinstall -y dracut "),
        (ZYPPER, "rpm", "dracut", "install --no-recommends --auto-agree-with-licenses --force dracut\n"),
    ] {
        let sandbox = Sandbox::new();
        let path = sandbox.file("sbin/update-initramfs", "-> /bin/true");
        for name in ["apt-get", "apk", "pacman", "dpkg", "dpkg-divert", "dnf", "rpm", "zypper"] {
            sandbox.recorder(name, if name == asked { answer } else { "" });
        }
        let (before, machine) = script;
        let functions = functions(machine);
        let script = format!("set -eu\n{TOLD}{DOWNLOADS}{before}{STAND_INS}{functions}restore_programs");
        text_of(&sandbox.run(&script, &[], &[("FOLDERS", &sandbox.path("sbin"))]));
        let log = sandbox.read("log").unwrap_or_default();
        assert_eq!(
            Path::new(&path).symlink_metadata().is_err(),
            !reinstalled.is_empty(),
            "{asked}: {answer}"
        );
        assert!(log.contains(reinstalled), "{asked}: {log}");
    }
}

/// What a script says of its package manager, up to where it is used.
fn functions(machine: &str) -> &str {
    let end = machine.find("restore_programs\n").unwrap();
    let start =
        ["owner_of() {", "reinstall() {"].into_iter().find_map(|name| machine[..end].find(name)).unwrap();
    machine[start..end].trim_end_matches("undo_diversions\n")
}

/// rpm puts the image's file aside where a package has one: as .rpmorig at first, as .rpmsave later.
#[test]
fn configuration_of_the_image_stays_where_rpm_puts_it_aside() {
    let sandbox = Sandbox::new();
    for (name, text) in [
        ("a.conf", "image"),
        ("d/b.conf", "image"),
        ("d/c d.conf", "image"),
        ("old.conf", "new"),
        ("old.conf.rpmsave", "older"),
    ] {
        sandbox.file(&format!("etc/{name}"), text);
    }
    let install = "#!/bin/sh\ncd \"$1\"\n\
                   mv a.conf a.conf.rpmorig; echo package >a.conf\n\
                   mv d/b.conf d/b.conf.rpmsave; echo package >d/b.conf\n\
                   mv 'd/c d.conf' 'd/c d.conf.rpmorig'; echo package >'d/c d.conf'\n\
                   echo erased >gone.conf.rpmsave\n";
    let install = sandbox.file("install", install);
    let script = concat!(include_str!("rpm.sh"), "keep_configuration \"$1\" sh \"$2\" \"$1\"");
    let etc = sandbox.path("etc");
    text_of(&sandbox.run(script, &[&etc, &install], &[]));
    for (name, expected) in [
        ("a.conf", "image"),
        ("d/b.conf", "image"),
        ("d/c d.conf", "image"),
        ("a.conf.rpmnew", "package\n"),
        ("d/c d.conf.rpmnew", "package\n"),
        ("old.conf", "new"),
        ("old.conf.rpmsave", "older"),
        ("gone.conf.rpmsave", "erased\n"),
    ] {
        assert_eq!(sandbox.read(&format!("etc/{name}")).as_deref(), Some(expected), "{name}");
    }
    assert_eq!(sandbox.read("etc/a.conf.rpmorig"), None);
}
