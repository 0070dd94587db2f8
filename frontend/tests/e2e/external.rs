//! File systems that the tools of the frontend image make: what is in them, and machines that stand on them.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::boot::check_report;
use super::lab::{
    Report, VMIMAGE, boot, build, context, copy_of, extract, partitions, raw, refused, run, scratch,
};
use super::layout_rows::FIRMWARES;

/// The same files four times: names, owners, modes, attributes, links and a hole, with whole seconds.
const FILES: &str = "\
FROM vmimage-test/debian:12
RUN mkdir -p /out/one/folder && cd /out/one && echo hello >file && ln file folder/link && ln -s ../file folder/symlink && \\
    mkfifo pipe && truncate -s 64M hole && echo end >>hole && mkdir -m 1777 sticky && \\
    perl -e 'my ($f, $n, $v) = qw(folder user.note text); syscall(188, $f, $n, $v, 4, 0) == 0 or die $!' && \\
    for number in $(seq 300); do echo $number >folder/$number; done && chown -Rh 1000:2000 folder && chmod 4750 file && \\
    find . -exec touch -h -d '2021-02-03 04:05:06' {} + && cd .. && \\
    for other in two three four; do cp -a one $other; done
";
const DATA: &str = r#"
profile = "data"
format = "raw"
[[partitions]]
type = "linux-generic"
source = "/"
[[partitions]]
type = "linux-generic"
label = "xfs"
source = "/out/two"
filesystem = "xfs"
[[partitions]]
type = "linux-generic"
label = "btrfs"
source = "/out/three"
filesystem = "btrfs"
[[partitions]]
type = "linux-generic"
label = "squashfs"
source = "/out/four"
filesystem = "squashfs"
"#;

/// A file system of a disk, and what its checker says.
fn checked(raw: &Path, number: usize, folder: &Path, checker: &[&str]) -> PathBuf {
    let volume = folder.join(checker[0]);
    extract(raw, &partitions(raw)[number], &volume);
    run(Command::new(checker[0]).args(&checker[1..]).arg(&volume));
    volume
}

/// What the kernel sees below `path` of a volume, a line for each entry.
fn seen(volume: &Path, kind: &str, path: &str) -> String {
    let at = volume.with_extension("mnt");
    std::fs::create_dir_all(&at).unwrap();
    run(Command::new("mount").args(["-t", kind, "-o", "loop,ro"]).arg(volume).arg(&at));
    let script = "cd \"$1\" && find . ! -type d -printf '%P %y %m %U:%G %n %s %l %TY-%Tm-%Td %TT\\n' -o \
                  -printf '%P d %m %U:%G %TY-%Tm-%Td %TT\\n' | sort && getfattr -R -h -d -m - . | sort && cat folder/link hole | sha256sum";
    let listed = Command::new("sh").args(["-ec", script, "sh"]).arg(at.join(path)).output().unwrap();
    run(Command::new("umount").arg(&at));
    assert!(listed.status.success(), "{kind}: {listed:?}");
    String::from_utf8(listed.stdout).unwrap()
}

#[test]
fn every_file_system_has_the_same_files_and_its_checker_is_content() {
    let folder = scratch();
    let context = context(folder.path(), FILES);
    std::fs::write(context.join("vmimage.toml"), DATA).unwrap();
    let disk = folder.path().join("data.raw");
    build(&context, &disk, &[]);
    let volume = |number, checker: &[&str]| checked(&disk, number, folder.path(), checker);
    let expected = seen(&volume(0, &["e2fsck", "-fn"]), "ext4", "out/one");
    assert!(
        expected.contains("user.note=\"text\"") && expected.contains("file f 4750 1000:2000 2 6"),
        "{expected}"
    );
    let found = [
        ("xfs", volume(1, &["xfs_repair", "-n"])),
        ("btrfs", volume(2, &["btrfsck"])),
        ("squashfs", volume(3, &["unsquashfs", "-s"])),
    ];
    for (kind, volume) in &found {
        assert_eq!(seen(volume, kind, ""), expected, "{kind}");
        let label = run(Command::new("blkid").args(["-p", "-o", "export"]).arg(volume));
        assert!(label.contains(&format!("TYPE={kind}")), "{label}");
        assert!(*kind == "squashfs" || label.contains(&format!("LABEL={kind}")), "{label}");
    }

    let device = format!("{FILES}RUN mknod /out/two/null c 1 3\n");
    std::fs::write(context.join("Dockerfile"), device).unwrap();
    let refusal = refused(Command::new(VMIMAGE).arg("build").arg(&context).arg("-o").arg(&disk));
    assert!(refusal.contains("/null: a device, which mkfs.xfs does not carry"), "{refusal}");
}

/// A root of another file system behind a `/boot` of its own, and files that are only read.
const MACHINE: &str = r#"
hostname = "web"
layout = "split-boot"
[[partitions]]
type = "root"
filesystem = "FILESYSTEM"
min = "1536M"
[[partitions]]
type = "linux-generic"
label = "site"
source = "/usr/share/site"
mount = "/opt/site"
filesystem = "squashfs"
[[files]]
path = "/usr/share/site/index.html"
content = "hello"
owner = "www-data:www-data"
mode = "0640"
[[files]]
path = "/etc/report.d/layout"
content = '''
fact mounts "$(findmnt -n -o TARGET,FSTYPE --real -l | grep -v '^/efi ' | sort | awk '{ printf "%s=%s ", $1, $2 }')"
fact site "$(stat -c '%U %a' /opt/site/index.html) $(cat /opt/site/index.html) $(touch /opt/site/x 2>&1)"
fact grown "$(journalctl -b -u vmimage-grow -o cat | grep -c -- '->')"
'''
"#;

fn boots_and_grows(base: &str, file_system: &str, checker: &[&str], firmwares: &[&str]) {
    let folder = scratch();
    let machine = copy_of("machine", folder.path());
    std::fs::write(machine.join("vmimage.toml"), MACHINE.replace("FILESYSTEM", file_system)).unwrap();
    let disk = folder.path().join("machine.qcow2");
    build(&machine, &disk, &["--build-arg", &format!("BASE={base}")]);
    for firmware in firmwares {
        let copy = folder.path().join("copy.qcow2");
        std::fs::copy(&disk, &copy).unwrap();
        run(Command::new("qemu-img").args(["resize", "-q"]).arg(&copy).arg("8G"));
        let report = boot(&copy, firmware, &[]);
        check_report(base, firmware, &report);
        assert_mounted(&report, file_system);
        let raw = raw(&copy, folder.path());
        let last = partitions(&raw).len() - 1;
        checked(&raw, last, folder.path(), checker);
    }
}

fn assert_mounted(report: &Report, file_system: &str) {
    let mounts = format!("/={file_system} /boot=ext4 /boot/efi=vfat /opt/site=squashfs");
    assert_eq!(report.get("mounts"), mounts);
    let site = "www-data 640 hello touch: cannot touch '/opt/site/x': Read-only file system";
    assert_eq!((report.get("site"), report.get("grown")), (site, "1"));
    let bytes: u64 = report.get("root-bytes").parse().unwrap();
    assert!(bytes > 6 << 30, "a root of {bytes} bytes");
}

#[test]
#[ignore = "long: make matrix"]
fn debian_boots_from_xfs_and_grows_it() {
    for base in ["vmimage-test/debian:12", "vmimage-test/debian:13"] {
        boots_and_grows(base, "xfs", &["xfs_repair", "-n"], &FIRMWARES);
    }
}

#[test]
#[ignore = "long: make matrix"]
fn debian_boots_from_btrfs_and_grows_it() {
    for base in ["vmimage-test/debian:12", "vmimage-test/debian:13"] {
        boots_and_grows(base, "btrfs", &["btrfsck"], &FIRMWARES);
    }
}
