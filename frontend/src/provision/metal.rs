//! Machines of metal: the parts of the scripts that are for them alone, with programs that stand in for the package managers.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::scripts::{Sandbox, text};

/// The script with the folders of the image in the sandbox.
fn within(sandbox: &Sandbox, script: &str) -> String {
    let root = sandbox.path("root");
    ["/etc/", "/boot/", "/usr/share/kernel/"].iter().fold(script.to_owned(), |script, folder| {
        fs::create_dir_all(format!("{root}{folder}")).unwrap();
        script.replace(folder, &format!("{root}{folder}"))
    })
}

fn program(sandbox: &Sandbox, name: &str, body: &str) {
    let path = sandbox.path(&format!("bin/{name}"));
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

fn write(sandbox: &Sandbox, name: &str, content: &str) {
    let path = sandbox.path(&format!("root/{name}"));
    fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn read(sandbox: &Sandbox, name: &str) -> String {
    fs::read_to_string(sandbox.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn run(sandbox: &Sandbox, script: &str, args: &[&str], environment: &[(&str, &str)]) -> String {
    let done = sandbox.run(&format!("set -eu\n{script}"), args, environment);
    assert!(done.status.success(), "{}", text(&done.stderr));
    text(&done.stdout)
}

const LIST: &str = "deb http://deb.debian.org/debian bookworm main\n\
                    deb [arch=amd64] https://docker.example/linux bookworm stable\n\
                    deb http://a/debian bookworm main contrib\n\
                    deb http://b/debian bookworm main non-free-firmware\n\
                    deb-src http://deb.debian.org/debian bookworm main\n# deb http://c bookworm main\n";
const SOURCES: &str = "Types: deb\nURIs: http://deb.debian.org/debian\nSuites: bookworm\nComponents: main\n\n\
                       Types: deb\nURIs: http://a\nSuites: mainline\nComponents: contrib main non-free-firmware\n";
const APT: &str = concat!(include_str!("dracut-metal.sh"), include_str!("apt-metal.sh"));

/// A step of a Debian: what its sources are then, by the names of their files.
fn sources(sandbox: &Sandbox, component: &str, environment: &[(&str, &str)]) {
    program(sandbox, "apt-get", "");
    write(sandbox, "etc/apt/sources.list", LIST);
    write(sandbox, "etc/apt/sources.list.d/debian.sources", SOURCES);
    let head = format!("nics='e1000 igb' component='{component}'\nAPT_CONFIG=$WORK/apt.conf\n");
    run(sandbox, &within(sandbox, &(head + APT)), &["linux-image-amd64"], environment);
    assert_eq!(read(sandbox, "root/etc/apt/sources.list"), LIST, "the image's own stay");
    assert_eq!(read(sandbox, "root/etc/apt/sources.list.d/debian.sources"), SOURCES);
}

#[test]
fn apt_looks_into_the_component_of_firmware_in_this_step_alone() {
    let sandbox = Sandbox::new();
    sources(&sandbox, "non-free-firmware", &[]);
    let lines = "deb http://deb.debian.org/debian bookworm main non-free-firmware\n\
                 deb [arch=amd64] https://docker.example/linux bookworm stable\n\
                 deb http://a/debian bookworm main non-free-firmware contrib\n";
    let list = read(&sandbox, "work/firmware/sources.list");
    assert!(list.starts_with(lines) && list.lines().skip(3).eq(LIST.lines().skip(3)), "{list}");
    let deb822 = SOURCES.replacen("Components: main\n", "Components: main non-free-firmware\n", 1);
    assert_eq!(read(&sandbox, "work/firmware/debian.sources"), deb822);
    let settings = read(&sandbox, "work/apt.conf");
    assert!(settings.contains(&format!("Dir::Etc::SourceParts \"{}\";", sandbox.path("work/firmware"))));
    // Of several, each line gets those that it has not.
    let sandbox = Sandbox::new();
    sources(&sandbox, "non-free contrib", &[]);
    let list = read(&sandbox, "work/firmware/sources.list");
    let lines: Vec<_> = list.lines().filter(|line| line.starts_with("deb http")).collect();
    let expected = [
        "deb http://deb.debian.org/debian bookworm main contrib non-free",
        "deb http://a/debian bookworm main non-free contrib",
        "deb http://b/debian bookworm main contrib non-free non-free-firmware",
    ];
    assert_eq!(lines, expected);
    let deb822 = read(&sandbox, "work/firmware/debian.sources");
    assert!(deb822.contains("Components: main contrib non-free\n"), "{deb822}");
    assert!(deb822.contains("Components: contrib main non-free non-free-firmware\n"), "{deb822}");
    // Ubuntu has it where everything is, and a folder of packages has no components.
    for (component, environment) in [("", &[][..]), ("non-free-firmware", &[("PACKAGES", "/debs")])] {
        let sandbox = Sandbox::new();
        sources(&sandbox, component, environment);
        assert!(!fs::exists(sandbox.path("work/firmware")).unwrap(), "{component}");
    }
    // With a mirror the sources are those that have it.
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("work/sources/parts")).unwrap();
    fs::write(sandbox.path("work/sources/parts/a.list"), "deb http://mirror/debian bookworm main\n").unwrap();
    sources(&sandbox, "non-free-firmware", &[("MIRROR", "http://mirror")]);
    let list = read(&sandbox, "work/firmware/a.list");
    assert_eq!(list, "deb http://mirror/debian bookworm main non-free-firmware\n");
    assert!(!fs::exists(sandbox.path("work/firmware/sources.list")).unwrap());
}

/// What the image says itself counts.
#[test]
fn debians_hooks_are_told_of_every_processor_once() {
    let sandbox = Sandbox::new();
    write(&sandbox, "etc/default/amd64-microcode", "AMD64UCODE_INITRAMFS=no\n");
    for _ in 0..2 {
        sources(&sandbox, "", &[]);
    }
    let intel = read(&sandbox, "root/etc/default/intel-microcode");
    assert_eq!(intel, "IUCODE_TOOL_INITRAMFS=early\nIUCODE_TOOL_SCANCPUS=no\n");
    assert_eq!(read(&sandbox, "root/etc/default/amd64-microcode"), "AMD64UCODE_INITRAMFS=no\n");
    // Only where there is dracut.
    assert!(!fs::exists(sandbox.path("root/etc/dracut.conf.d")).unwrap());
}

#[test]
fn dracut_and_mkinitcpio_are_told_of_cards_and_processors() {
    let sandbox = Sandbox::new();
    let versions = "versions_of() { [ \"$1\" = none ] || echo 1; }\n";
    let script = [
        "nics='e1000 igb'\n",
        versions,
        include_str!("dracut-metal.sh"),
        include_str!("dnf-metal.sh"),
        "printf '%s\\n' \"$@\"",
    ];
    let left = run(&sandbox, &within(&sandbox, &script.concat()), &["kernel", "?none", "?some"], &[]);
    assert_eq!(left, "kernel\nsome\n", "what the release has");
    let told = read(&sandbox, "root/etc/dracut.conf.d/vmimage-metal.conf");
    assert_eq!(told, "early_microcode=\"yes\"\nadd_drivers+=\" e1000 igb \"\n");

    let script = format!("nics='e1000 igb'\n{}", include_str!("pacman-metal.sh"));
    run(&sandbox, &within(&sandbox, &script), &[], &[]);
    let hooks = read(&sandbox, "root/etc/mkinitcpio.conf.d/zz-vmimage-metal.conf");
    assert!(hooks.contains(" microcode ") && hooks.contains(" vmimage-metal "), "{hooks}");
    let hook = read(&sandbox, "root/etc/initcpio/install/vmimage-metal");
    assert!(hook.contains("for driver in e1000 igb; do add_module \"$driver?\"; done"), "{hook}");
}

#[test]
fn alpines_initramfs_has_what_is_for_the_processor_in_front() {
    for (told, expected) in [("", "intel amd made"), ("bare_kernels=linux-lts\n", "old")] {
        let sandbox = Sandbox::new();
        for (name, content) in [
            ("etc/mkinitfs/mkinitfs.conf", "features=\"ata base\"\n"),
            ("boot/vmlinuz-lts", ""),
            ("boot/initramfs-lts", "old"),
            ("boot/intel-ucode.img", "intel "),
            ("boot/amd-ucode.img", "amd "),
            ("usr/share/kernel/lts/kernel.release", "6.18-lts"),
        ] {
            write(&sandbox, name, content);
        }
        let made = "is_new_kernel() { true; }\nmake_initramfs() { printf made >\"/boot/initramfs-$1\"; }\n";
        let script = [told, made, include_str!("apk-metal.sh")].concat();
        for _ in 0..2 {
            run(&sandbox, &within(&sandbox, &script), &[], &[]);
        }
        assert_eq!(read(&sandbox, "root/boot/initramfs-lts"), expected);
        assert_eq!(read(&sandbox, "root/etc/mkinitfs/mkinitfs.conf"), "features=\"ata base network\"\n");
    }
}
