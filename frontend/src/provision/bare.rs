//! Kernels without an initramfs of their distribution: the parts of the scripts that see to that, with programs that stand in
//! for the package managers.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::scripts::{Sandbox, text};

/// Folders of the image that scripts name, as far as they are of the sandbox here.
fn within(sandbox: &Sandbox, script: &str) -> String {
    let root = sandbox.path("root");
    ["/boot", "/lib/modules", "/usr/share/kernel"].iter().fold(script.to_owned(), |script, folder| {
        fs::create_dir_all(format!("{root}{folder}")).unwrap();
        script.replace(&format!("{folder}/"), &format!("{root}{folder}/"))
    })
}

/// A program that does this, and notes how it was called.
fn program(sandbox: &Sandbox, name: &str, body: &str) {
    let path = sandbox.path(&format!("bin/{name}"));
    let log = sandbox.path("log");
    fs::write(&path, format!("#!/bin/sh\necho {name} \"$@\" >>{log}\n{body}\n")).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

fn write(sandbox: &Sandbox, name: &str) {
    let path = sandbox.path(&format!("root/{name}"));
    fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
    fs::write(path, "").unwrap();
}

/// What the programs were called with.
fn called(sandbox: &Sandbox, script: &str, args: &[&str]) -> Vec<String> {
    let done = sandbox.run(&format!("set -eu\n{script}"), args, &[]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let log = fs::read_to_string(sandbox.path("log")).unwrap_or_default();
    log.lines().map(str::to_owned).collect()
}

const BARE: &str = "bare_kernels='linux-virt'\n";

/// Debian's metapackage depends on the image in one version, Ubuntu's image on modules in a package of their own.
#[test]
fn apt_unpacks_the_kernels_that_a_package_stands_for() {
    let sandbox = Sandbox::new();
    let body = "case \"$3\" in\n\
        linux-image-amd64) echo 'Depends: linux-image-6.1-amd64 (= 6.1.2-1), linux-base (>= 4), kmod | x' ;;\n\
        linux-image-6.1-amd64=*) echo 'Pre-Depends: dpkg'; echo 'Depends: kmod, linux-modules-6.1:any, initramfs-tools | y' ;;\n\
        esac";
    program(&sandbox, "apt-cache", body);
    let (functions, _) = include_str!("apt-kernel.sh").split_once("# Lines").unwrap();
    let done =
        sandbox.run(&format!("set -eu\n{functions}with_kernels \"$@\""), &["linux-image-amd64", "stub"], &[]);
    let expected = "linux-image-amd64\nlinux-image-6.1-amd64=6.1.2-1\nlinux-modules-6.1\nstub\n";
    assert_eq!(text(&done.stdout), expected, "{}", text(&done.stderr));
}

/// Kept archives are taken by their digests, and only the others are downloaded; files go below /lib, whatever is a link.
#[test]
fn apt_leaves_the_files_of_kernels_and_runs_no_script() {
    let sandbox = Sandbox::new();
    let uris = "case \"$*\" in\n\
        *--print-uris*) echo \"'http://a/k' linux-image-6.1_1%3a6.1-1_amd64.deb 5 SHA256:00\" ;;\n\
        *' download '*) touch linux-image-6.1_1%3a6.1-1_amd64.deb ;;\nesac";
    program(&sandbox, "apt-get", uris);
    program(&sandbox, "apt-cache", "[ \"$1\" != -q ]");
    let unpack = "mkdir -p \"$3/boot\" \"$3/lib/modules/6.1\" \"$3/etc\"; touch \"$3/boot/vmlinuz-6.1\" \"$3/lib/modules/6.1/m.ko\" \"$3/etc/no\"";
    program(&sandbox, "dpkg-deb", unpack);
    program(&sandbox, "depmod", "");
    let root = sandbox.path("root");
    let script =
        within(&sandbox, include_str!("apt-kernel.sh")).replace("\"/$part", &format!("\"{root}/$part"));
    let script = format!("mkdir -p \"$WORK/archives\"\n{}{script}", include_str!("downloads.sh"));
    let log = called(&sandbox, &script, &["linux-image-6.1"]).join("\n");
    assert!(log.contains("download linux-image-6.1=1:6.1-1\n"), "{log}");
    assert!(log.contains("depmod 6.1") && !log.contains("install"), "{log}");
    for (path, is_there) in [("boot/vmlinuz-6.1", true), ("lib/modules/6.1/m.ko", true), ("etc/no", false)] {
        assert_eq!(fs::exists(sandbox.path(&format!("root/{path}"))).unwrap(), is_there, "{path}");
    }
    assert!(fs::exists(sandbox.path("cache/linux-image-6.1_1%3a6.1-1_amd64.deb")).unwrap());
}

/// Nothing of the image is changed for it: it is found first, for as long as the step runs.
#[test]
fn what_apts_packages_call_to_make_an_initramfs_does_nothing() {
    let machine = include_str!("apt-machine.sh");
    let part = &machine[machine.find("# Where the initramfs").unwrap()..machine.find("# Services").unwrap()];
    for (told, is_made) in [("", true), (BARE, false), ("bare_kernels=\n", false)] {
        let sandbox = Sandbox::new();
        program(&sandbox, "update-initramfs", "");
        let script =
            format!("{told}APT_CONFIG=$WORK/apt.conf\n: >\"$APT_CONFIG\"\n{part}update-initramfs -u\n");
        assert_eq!(called(&sandbox, &script, &[]).len() == 1, is_made, "{told}");
        let settings = fs::read_to_string(sandbox.path("work/apt.conf")).unwrap();
        assert_eq!(settings.starts_with(&format!("DPkg::Path \"{}:", sandbox.path("work/bin"))), !is_made);
    }
}

#[test]
fn apk_brings_the_kernel_first_and_without_its_trigger() {
    for (told, first, makes) in [("", None, true), (BARE, Some("apk add --no-scripts linux-virt"), false)] {
        let sandbox = Sandbox::new();
        write(&sandbox, "boot/vmlinuz-virt");
        write(&sandbox, "usr/share/kernel/virt/kernel.release");
        program(&sandbox, "apk", "");
        program(&sandbox, "mkinitfs", "echo initramfs >\"$2\"");
        let head = format!(
            "{told}from=\nis_new_kernel() {{ true; }}\nrestore_programs() {{ :; }}\n{}",
            include_str!("downloads.sh")
        );
        let script = within(&sandbox, &(head + include_str!("apk-machine.sh")));
        let log = called(&sandbox, &script, &["linux-virt", "alpine-base"]);
        let expected = first.into_iter().chain(["apk add linux-virt alpine-base"]);
        assert!(
            log.iter().filter(|line| line.starts_with("apk ")).eq(expected.collect::<Vec<_>>().iter()),
            "{log:?}"
        );
        assert_eq!(log.iter().any(|line| line.starts_with("mkinitfs")), makes, "{log:?}");
    }
}

/// Modules are of no use before depmod(8) has seen them, initramfs or not.
#[test]
fn dracut_makes_none_and_modules_are_known_all_the_same() {
    for (told, programs) in [("", &["depmod 6.1", "dracut "][..]), (BARE, &["depmod 6.1"])] {
        let sandbox = Sandbox::new();
        write(&sandbox, "lib/modules/6.1/vmlinuz");
        program(&sandbox, "depmod", "");
        program(&sandbox, "dracut", "echo initramfs >\"$3\"");
        let script = within(
            &sandbox,
            &format!("{told}{}make_initramfs /boot/initramfs- .img", include_str!("dracut.sh")),
        );
        let log = called(&sandbox, &script, &[]);
        assert_eq!(log.len(), programs.len(), "{log:?}");
        assert!(log.iter().zip(programs).all(|(line, program)| line.starts_with(program)), "{log:?}");
    }
}

/// rpm is told by what dnf takes as a setting, apk and pacman by flags.
#[test]
fn no_script_is_run_where_only_files_are_taken() {
    let cases = [
        ("apk", include_str!("apk-kernel.sh"), "from=\n", "apk add --no-scripts linux"),
        (
            "dnf",
            include_str!("dnf-kernel.sh"),
            "install_packages() { dnf install -y \"$@\"; }\n",
            "dnf install -y --setopt=tsflags=noscripts linux",
        ),
        (
            "pacman",
            include_str!("pacman-kernel.sh"),
            "",
            "pacman -S --nodeps --nodeps --needed --noconfirm --noscriptlet ",
        ),
    ];
    for (name, script, before, expected) in cases {
        let sandbox = Sandbox::new();
        program(&sandbox, name, "");
        let script = within(&sandbox, &format!("{}{before}{script}", include_str!("downloads.sh")));
        let log = called(&sandbox, &script, &["linux"]);
        assert!(log.iter().any(|line| line.starts_with(expected)), "{name}: {log:?}");
    }
}
