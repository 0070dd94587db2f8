//! Layouts of `vmimage.toml`: what is divided at the build is mounted, owned, started and grown in the machine.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::boot::check_report;
use super::lab::{Mount, Partition, Report, boot, build, context, copy_of, partitions, raw, run, scratch};

pub(crate) const BASE: &str = "vmimage-test/debian:12";

/// The server of docs/layouts.md, with files of somebody, and facts of what the machine sees of them.
const SERVER: &str = r#"
hostname = "web"
size = "5G"

[[partitions]]
type = "esp"
size = "256M"
[[partitions]]
type = "xbootldr"
mount = "/boot"
filesystem = "ext4"
size = "512M"
[[partitions]]
type = "root"
min = "2G"
[[partitions]]
type = "srv"
mount = "/srv"
filesystem = "ext4"
grow = true

[[files]]
path = "/srv/site/index.html"
content = "hello"
owner = "www-data:www-data"
mode = "0640"
[[files]]
path = "/etc/report.d/layout"
content = '''
fact site "$(stat -c '%U %a' /srv/site/index.html) $(cat /srv/site/index.html)"
fact boot-device "$(findmnt -n -o SOURCE /boot)"
fact boot-link "$(readlink /boot/vmlinuz)"
fact esp "$(findmnt -n -o FSTYPE /boot/efi)"
# What lies below the mount points of the root.
mkdir -p /run/root && mount --bind / /run/root
fact hidden "$(ls -A /run/root/boot /run/root/srv | tr -d '\n')"
umount /run/root
'''
"#;

/// The disk of `testdata/machine` with this configuration.
pub(crate) fn machine(folder: &Path, config: &str) -> PathBuf {
    let context = copy_of("machine", folder);
    std::fs::write(context.join("vmimage.toml"), config).unwrap();
    let disk = folder.join("machine.qcow2");
    build(&context, &disk, &["--build-arg", &format!("BASE={BASE}")]);
    disk
}

/// The partitions of a disk whose table and Linux file systems checkers find nothing wrong with.
fn whole(disk: &Path, folder: &Path) -> Vec<Partition> {
    let raw = raw(disk, folder);
    let verdict = run(Command::new("sgdisk").arg("-v").arg(&raw));
    assert!(verdict.contains("No problems found"), "{verdict}");
    let table = partitions(&raw);
    for partition in &table[2..] {
        run(Command::new("e2fsck").args(["-fn", &format!("{}?offset={}", raw.display(), partition.start)]));
    }
    table
}

pub(crate) fn mib(report: &Report, fact: &str) -> u64 {
    report.get(fact).parse::<u64>().unwrap() >> 20
}

/// The last partition takes what the disk has become larger by, and the others keep their sizes.
#[test]
fn a_server_with_boot_and_data_of_their_own_boots_and_its_data_grow() {
    let folder = scratch();
    let disk = machine(folder.path(), SERVER);
    assert_eq!(whole(&disk, folder.path()).len(), 5);
    for firmware in ["--bios", "--secure-boot"] {
        let copy = folder.path().join("copy.qcow2");
        std::fs::copy(&disk, &copy).unwrap();
        run(Command::new("qemu-img").args(["resize", "-q"]).arg(&copy).arg("8G"));
        let report = boot(&copy, firmware, &[]);
        check_report(BASE, firmware, &report);
        let devices = ["boot-device", "root-device", "app-device"].map(|fact| report.get(fact));
        assert_eq!(devices, ["/dev/vda3", "/dev/vda4", "/dev/vda5"]);
        assert_eq!(report.get("site"), "www-data 640 hello");
        assert_eq!((report.get("esp"), report.get("hidden")), ("vfat", "/run/root/boot:/run/root/srv:"));
        assert_eq!(report.get("boot-link"), format!("vmlinuz-{}", report.get("kernel")));
        assert!(mib(&report, "root-bytes") < 2200, "{}", mib(&report, "root-bytes"));
        assert!(mib(&report, "app-bytes") > 4500, "{}", mib(&report, "app-bytes"));
        let last = whole(&copy, folder.path()).remove(4);
        assert!((8 << 30) - (last.start + last.size) < 2 << 20, "{last:?}");
    }
}

/// `/boot` as a FAT, and files of the system on partitions of their own.
const MANY: &str = r#"
hostname = "web"
layout = "split-boot-vfat"
[[partitions]]
type = "var"
min = "512M"
[[partitions]]
type = "swap"
size = "256M"
[[partitions]]
type = "home"
[[partitions]]
type = "tmp"
options = "nosuid,nodev"
min = "64M"
[[partitions]]
type = "linux-generic"
label = "site"
filesystem = "erofs"
compression = "lz4"
source = "/usr/share/site"
mount = "/opt/site"
[[files]]
path = "/usr/share/site/index.html"
content = "hello"
owner = "www-data:www-data"
mode = "0640"
[[files]]
path = "/etc/report.d/layout"
content = '''
# Beside a /boot of its own, systemd mounts the ESP at /efi as well, once somebody looks there.
fact mounts "$(findmnt -n -o TARGET,FSTYPE --real -l | grep -v '^/efi ' | sort | awk '{ printf "%s=%s ", $1, $2 }')"
fact tmp "$(stat -c '%a' /var/tmp)"
fact site "$(stat -c '%U %a' /opt/site/index.html) $(cat /opt/site/index.html) $(touch /opt/site/x 2>&1)"
fact packed "$(tr -d a </opt/site/large | wc -c) $(wc -c </opt/site/large)"
fact swap "$(awk 'NR > 1 { print $2, $3 }' /proc/swaps)"
'''
"#;

#[test]
#[ignore = "long: make matrix"]
fn a_machine_with_many_partitions_boots_from_a_fat() {
    let folder = scratch();
    // Large enough to be compressed.
    let large =
        format!("[[files]]\npath = \"/usr/share/site/large\"\ncontent = \"{}\"\n", "a".repeat(40_000));
    let disk = machine(folder.path(), &format!("{MANY}{large}"));
    for firmware in ["--bios", "--uefi", "--secure-boot"] {
        let copy = folder.path().join("copy.qcow2");
        std::fs::copy(&disk, &copy).unwrap();
        let report = boot(&copy, firmware, &[]);
        check_report(BASE, firmware, &report);
        let expected = "/=ext4 /boot=vfat /boot/efi=vfat /home=ext4 /opt/site=erofs /var=ext4 /var/tmp=ext4";
        assert_eq!((report.get("mounts"), report.get("tmp")), (expected, "1777"));
        assert_eq!(report.get("swap"), "partition 262140");
        let site = "www-data 640 hello touch: cannot touch '/opt/site/x': Read-only file system";
        assert_eq!((report.get("site"), report.get("packed")), (site, "0 40000"));
    }
}

/// What the image itself does not have: of another stage, of a named context, and of the build context.
const ELSEWHERE: &str = r#"
profile = "data"
[[partitions]]
type = "linux-generic"
label = "built"
source = { from = "build", path = "/out" }
[[partitions]]
type = "linux-generic"
label = "assets"
source = { from = "assets", path = "/" }
[[partitions]]
type = "linux-generic"
label = "beside"
source = "site"
[[partitions]]
type = "linux-generic"
label = "files"
source = "/"
"#;

#[test]
fn partitions_have_files_of_stages_and_contexts() {
    let folder = scratch();
    let dockerfile = "FROM scratch AS build\nCOPY --chown=7:7 page /out/page\nFROM scratch\nCOPY page /own\n";
    let context = context(folder.path(), dockerfile);
    let assets = folder.path().join("assets");
    for (path, text) in [
        (context.join("vmimage.toml"), ELSEWHERE),
        (context.join("page"), "a page"),
        (context.join("site/beside"), "beside"),
        (assets.join("logo"), "a logo"),
    ] {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let disk = folder.path().join("files.qcow2");
    build(&context, &disk, &["--build-context", &format!("assets={}", assets.display())]);
    let raw = raw(&disk, folder.path());
    let table = partitions(&raw);
    let found = ["page", "logo", "beside", "own"].iter().zip(&table).map(|(name, partition)| {
        let mounted = Mount::new(&raw, partition, folder.path().join(name));
        let file = mounted.0.join(name);
        format!("{} {}", std::fs::metadata(&file).unwrap().uid(), std::fs::read_to_string(file).unwrap())
    });
    assert_eq!(found.collect::<Vec<_>>(), ["7 a page", "0 a logo", "0 beside", "0 a page"]);
}
