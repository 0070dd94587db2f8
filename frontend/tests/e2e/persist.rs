//! What a machine keeps beside a root that is only read: over reboots, until it is reset, and whatever is pulled.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::boot::{bare_alpine, check_report};
use super::lab::{boot, boot_and_kill, boot_between, build, copy_of, extract, partitions, raw, run, scratch};
use super::scratch::Machine;

const DEBIAN: &str = "vmimage-test/debian:12";

/// The machine of docs/layouts.md; it says what it has kept, and asks for a reset in its second boot.
const KEEPS: &str = r#"
hostname = "web"
layout = "simple"

[persist]
bind = ["/var", "/srv"]
create = ["/backup"]

[[partitions]]
type = "linux-generic"
label = "persist"
mount = "/persist"
grow = true

[[files]]
path = "/etc/report.d/persist"
content = '''
fact root "$(awk '$2 == "/" { print $3, substr($4, 1, 2) }' /proc/mounts)"
boots=$(($(cat /var/lib/boots 2>/dev/null || echo 0) + 1))
fact boots "$boots $(wc -l </etc/boots 2>/dev/null)"
echo "$boots" >/var/lib/boots && echo "$boots" >>/etc/boots
fact persist "$(cat /run/vmimage/persist.json)"
fact created "$(stat -c %a /persist/backup)"
fact grown "$(df -P -k /persist | awk 'NR > 1 { print ($2 > 1000000) }')"
mkdir -p /run/root && mount --bind / /run/root
for packages in /var/lib/dpkg /var/lib/apk; do
    [ ! -d "/run/root$packages" ] || diff -r "/run/root$packages" "$packages"
done >/run/differences 2>&1
fact whole "$(head -n 3 /run/differences)"
# Of these nothing is removed by a boot, whatever it changes.
fact lost "$(cd /run/root && find var/lib srv -type f -size +0 | while read -r file; do [ -s "/$file" ] || echo "$file"; done | head -n 3)"
fact left "$(ls -d /persist/new 2>/dev/null)"
[ "$boots" != 2 ] || vmimage factory-reset
sync
'''
"#;

/// The disk of `testdata/machine` on a base.
fn machine(base: &str, folder: &Path) -> PathBuf {
    let context = copy_of("machine", folder);
    // Whose host keys are kept; the packages at hand for Alpine have no server.
    let server = if base.contains("debian") { r#"install = ["openssh-server"]"# } else { "" };
    std::fs::write(context.join("vmimage.toml"), format!("{server}{KEEPS}")).unwrap();
    let disk = folder.join("machine.qcow2");
    build(&context, &disk, &["--build-arg", &format!("BASE={base}")]);
    run(Command::new("qemu-img").args(["resize", "-q"]).arg(&disk).arg("4G"));
    disk
}

/// Three boots: the first makes what the second has, and the third is as the first.
fn keeps_until_it_is_reset(base: &str, firmware: &str) {
    let folder = scratch();
    let disk = machine(base, folder.path());
    let boots: Vec<_> = (0..3).map(|_| boot(&disk, firmware, &[])).collect();
    for report in &boots {
        check_report(base, firmware, report);
        assert_eq!((report.get("root"), report.get("created"), report.get("grown")), ("ext4 ro", "755", "1"));
        assert!(report.get("persist").ends_with(r#""in_memory":{}}"#), "{}", report.get("persist"));
    }
    let of = |fact| -> Vec<_> { boots.iter().map(|report| report.get(fact)).collect() };
    assert_eq!(of("boots"), ["1", "2 1", "1"]);
    // OpenRC makes no machine-id.
    let identity = if base.contains("debian") { &["machine-id", "host-key"][..] } else { &[] };
    for fact in identity {
        let ids = of(fact);
        assert!(ids[0] == ids[1] && ids[0] != ids[2] && !ids[0].is_empty(), "{fact}: {ids:?}");
    }
    for fact in ["whole", "lost", "left"] {
        assert_eq!(boots[0].get(fact), "", "{fact}");
    }
}

#[test]
#[ignore = "long: make matrix"]
fn a_machine_keeps_what_it_writes_until_it_is_reset() {
    keeps_until_it_is_reset(DEBIAN, "--bios");
}

#[test]
#[ignore = "long: make matrix"]
fn alpine_and_a_machine_of_secure_boot_keep_what_they_write() {
    keeps_until_it_is_reset(&bare_alpine(), "--uefi");
    keeps_until_it_is_reset("vmimage-test/debian:13", "--secure-boot");
}

/// vmimage's own init, in an image without modprobe and fsck; the driver of what is kept is none of the root's.
#[test]
#[ignore = "long: make matrix"]
fn a_program_from_scratch_keeps_what_it_writes() {
    let folder = scratch();
    let context = copy_of("scratch", folder.path());
    std::fs::write(context.join("vmimage.toml"), SERVER).unwrap();
    let disk = folder.path().join("server.qcow2");
    build(&context, &disk, &[]);
    let boots = [(); 2].map(|()| {
        let mut machine = Machine::boot(&disk, "--bios");
        let report = machine.report();
        machine.power_down();
        (report, machine.console())
    });
    let (report, console) = &boots[1];
    assert!(report.contains(&("kept".into(), "written by the machine".into())), "{report:?}\n{console}");
    assert!(report.iter().any(|(name, root)| name == "root" && root.contains(" / erofs ro")), "{report:?}");
    assert!(boots.iter().all(|(_, console)| !console.contains("NOT KEPT")), "{console}");
}

const SERVER: &str = r#"
layout = "split-boot"
persist.bind = ["/data"]

[[partitions]]
type = "root"
filesystem = "erofs"
[[partitions]]
type = "linux-generic"
label = "persist"
mount = "/persist"
grow = true
"#;

/// It starts all the same, with the same directories in memory.
#[test]
#[ignore = "long: make matrix"]
fn a_machine_whose_partition_is_damaged_starts_and_says_so() {
    let folder = scratch();
    let disk = machine(DEBIAN, folder.path());
    boot(&disk, "--bios", &[]);
    let raw = raw(&disk, folder.path());
    let persist = partitions(&raw).pop().unwrap();
    let file = std::fs::File::options().write(true).open(&raw).unwrap();
    for offset in (0..persist.size).step_by(1 << 20) {
        file.write_all_at(&[0xff; 65536], persist.start + offset).unwrap();
    }
    let report = boot(&raw, "--bios", &[]);
    assert_eq!((report.get("root"), report.get("boots"), report.get("app")), ("ext4 ro", "1", "version one"));
    assert!(report.get("persist").contains("cannot be mounted"), "{}", report.get("persist"));
}

/// Twenty first boots, each of which is cut at another moment, have all in the next. Most are cut while the image's files are
/// copied: from the mount of the partition to the init, which starts when all are there.
#[test]
#[ignore = "long: make matrix"]
fn a_machine_whose_plug_is_pulled_has_all_in_the_next_boot() {
    let folder = scratch();
    let disk = machine(DEBIAN, folder.path());
    let [mount, init, end] = ["EXT4-fs (vda4): mounted", "systemd[1]:", "report:end"];
    let between = |words| boot_between(&copy(&disk, folder.path()), "--bios", "", words);
    let (seeding, later) = (between([mount, init]), between([init, end]));
    let seeding = (0..15).map(|number| (mount, seeding * number / 14));
    let later = (1..=5).map(|number| (init, later * number / 5));
    for (word, after) in seeding.chain(later) {
        let copy = copy(&disk, folder.path());
        boot_and_kill(&copy, "--bios", "", word, after);
        let report = boot(&copy, "--bios", &[]);
        check_report(DEBIAN, "--bios", &report);
        assert!(report.get("persist").ends_with(r#""in_memory":{}}"#), "{}", report.get("persist"));
        for fact in ["whole", "lost", "left"] {
            assert_eq!(report.get(fact), "", "{fact}, cut {after:?} after {word}");
        }
        let raw = raw(&copy, folder.path());
        let persist = partitions(&raw).pop().unwrap();
        extract(&raw, &persist, &folder.path().join("persist.raw"));
        // It may have to read the journal, and no person has to look at it.
        let is_whole = "e2fsck -p \"$1\" || [ $? -eq 1 ]";
        run(Command::new("sh").args(["-c", is_whole, "sh"]).arg(folder.path().join("persist.raw")));
    }
}

/// One that has never been booted.
fn copy(disk: &Path, folder: &Path) -> PathBuf {
    let copy = folder.join("copy.qcow2");
    std::fs::copy(disk, &copy).unwrap();
    copy
}
