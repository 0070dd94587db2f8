//! Media of `testdata/machine`, the disks they install to, and what the machines of both have to say.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{SeekFrom, seek};
use sha2::{Digest, Sha256};

use super::boot::{check_after, check_report_in};
use super::lab::{Report, build, copy_of, run};
use super::rack::{Bus, Firmware, Rack};

pub(crate) const ALPINE: &str = "vmimage-test/alpine:3.23";
pub(crate) const DEBIAN: &str = "vmimage-test/debian:12";
/// Debian's kernel for virtual machines has neither AHCI nor USB.
pub(crate) const GENERAL_KERNEL: [&str; 2] = ["--kernel", "linux-image-amd64"];

/// What every machine here is told that has somebody to ask: nobody.
pub(crate) const UNATTENDED: &str = "unattended = true\nafter = \"poweroff\"\n";

/// Facts of where a machine runs, and of what an installer has put into it.
const FACTS: &str = r#"
[[files]]
path = "/etc/report.d/medium"
content = '''
fact root "$(awk '$2 == "/" { type = $3 } END { print type }' /proc/mounts)"
fact disks "$(ls /sys/block | grep -v -e '^loop' -e '^ram' -e '^nbd' | tr '\n' ' ')"
fact keys "$(cat /root/.ssh/authorized_keys 2>/dev/null)"
fact rescued "$(cat /srv/rescued 2>/dev/null)"
# Four bytes of attributes, then the value: a number is two bytes, the label of an entry stands behind six.
variable() { tail -c +5 "/sys/firmware/efi/efivars/$1-8be4df61-93ca-11d2-aa0d-00e098032b8c" 2>/dev/null; }
number() { variable "$1" | od -An -t x2 | awk 'NR == 1 { print toupper($1) }'; }
label() { variable "Boot$1" | tail -c +7 | tr -d '\000' | tr -c ' -~' '\n' | head -n 1; }
fact entry "$(label "$(number BootCurrent)")"
fact first-entry "$(label "$(number BootOrder)")"
for more in /etc/report.more.d/*; do
	[ ! -e "$more" ] || . "$more"
done
'''
"#;

/// More facts, in shell, as a file for `vmimage.toml`.
pub(crate) fn facts(script: &str) -> String {
    format!("[[files]]\npath = \"/etc/report.more.d/more\"\ncontent = '''\n{script}\n'''\n")
}

/// A context whose machine says where it runs. `config` are further tables of `vmimage.toml`.
pub(crate) fn context(folder: &Path, config: &str) -> PathBuf {
    fresh(folder, "machine");
    let context = copy_of("machine", folder);
    fs::write(context.join("vmimage.toml"), format!("hostname = \"web\"\n{config}\n{FACTS}")).unwrap();
    context
}

/// Where something new may lie in `folder`.
fn fresh(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    let _ = fs::remove_file(&path);
    let _ = fs::remove_dir_all(&path);
    path
}

/// Build the ISO of a context.
pub(crate) fn iso(context: &Path, base: &str, folder: &Path, args: &[&str]) -> PathBuf {
    let iso = fresh(folder, "web.iso");
    build(context, &iso, &[&["--build-arg", &format!("BASE={base}"), "--format=iso"], args].concat());
    iso
}

/// An ISO that installs by itself, as this `install.toml` says.
pub(crate) fn installer(base: &str, install: &str, folder: &Path, args: &[&str]) -> PathBuf {
    let context =
        context(folder, "[medium]\ndefault = \"install\"\ntimeout = 1\ninstall = \"install.toml\"\n");
    fs::write(context.join("install.toml"), install).unwrap();
    iso(&context, base, folder, args)
}

/// A file of an ISO, by xorriso.
pub(crate) fn extract(iso: &Path, name: &str, to: &Path) {
    let _ = fs::remove_file(to);
    let mut xorriso = Command::new("xorriso");
    xorriso.args(["-osirrox", "on", "-indev"]).arg(format!("stdio:{}", iso.display()));
    run(xorriso.arg("-extract").arg(format!("/vmimage/{name}")).arg(to));
}

/// The kernel of an ISO and its initramfs, in `folder`, as somebody starts them who edits its menu; the words for them in
/// this mode, with more.
pub(crate) fn kernel_of(iso: &Path, mode: &str, more: &str, folder: &Path) -> String {
    for name in ["vmlinuz", "initramfs", "medium.json"] {
        extract(iso, name, &folder.join(name));
    }
    let about: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("medium.json")).unwrap()).unwrap();
    let id = about["id"].as_str().unwrap();
    format!("console=ttyS0 vmimage.mode={mode} vmimage.medium={id} {more}")
}

/// Build the netboot folder of a context.
pub(crate) fn netboot(context: &Path, base: &str, folder: &Path, args: &[&str]) -> PathBuf {
    let netboot = fresh(folder, "netboot");
    build(context, &netboot, &[&["--build-arg", &format!("BASE={base}"), "--format=netboot"], args].concat());
    netboot
}

/// The bytes of a medium on a stick, which is larger than it.
pub(crate) fn stick(iso: &Path, folder: &Path) -> PathBuf {
    let stick = fresh(folder, "stick.raw");
    fs::copy(iso, &stick).unwrap();
    File::options().write(true).open(&stick).unwrap().set_len(8 << 30).unwrap();
    stick
}

/// The first bytes of a stick are still those of its medium.
pub(crate) fn is_as_written(iso: &Path, stick: &Path) {
    let bytes = fs::metadata(iso).unwrap().len().to_string();
    run(Command::new("cmp").args(["-n", &bytes]).arg(iso).arg(stick));
}

/// An empty disk of this size; `name` is its serial number, too.
pub(crate) fn blank(folder: &Path, name: &str, bytes: u64) -> PathBuf {
    let disk = fresh(folder, &format!("{name}.raw"));
    File::create_new(&disk).unwrap().set_len(bytes).unwrap();
    disk
}

/// The digest of all that was ever written to a disk that is a file with holes.
pub(crate) fn written(disk: &Path) -> Vec<u8> {
    let file = File::open(disk).unwrap();
    let (mut digest, mut at) = (Sha256::new(), 0);
    while let Ok(start) = seek(&file, SeekFrom::Data(at)) {
        at = seek(&file, SeekFrom::Hole(start)).unwrap();
        let mut bytes = vec![0; usize::try_from(at - start).unwrap()];
        file.read_exact_at(&mut bytes, start).unwrap();
        digest.update(start.to_le_bytes());
        digest.update(bytes);
    }
    digest.finalize().to_vec()
}

#[test]
fn what_is_written_to_a_disk_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let disk = blank(folder.path(), "disk", 1 << 30);
    let empty = written(&disk);
    File::options().write(true).open(&disk).unwrap().write_all_at(&[0; 512], 1 << 20).unwrap();
    assert_ne!(written(&disk), empty, "zeroes are written, too");
}

/// More than any disk here is built with.
pub(crate) const LARGE: u64 = 5 << 30;

/// It runs from a medium, with all that it writes in memory.
#[track_caller]
pub(crate) fn check_live(base: &str, firmware: Firmware, report: &Report, network: &str) {
    check_report_in(base, firmware.flag(), report, network);
    assert_eq!(report.get("root"), "overlay", "{}", report.console());
    assert!(words(report).contains(&"vmimage.mode=live"), "{}", report.get("cmdline"));
}

/// It runs from a disk that was installed, has grown with it, and is whole.
#[track_caller]
pub(crate) fn check_installed(base: &str, firmware: Firmware, report: &Report, disk: &Path, folder: &Path) {
    check_report_in(base, firmware.flag(), report, "10.0.2.");
    is_from_disk(report);
    check_after(base, disk, folder, report);
}

/// No medium has a part in it.
#[track_caller]
pub(crate) fn is_from_disk(report: &Report) {
    assert_eq!(report.get("root"), "ext4", "{}", report.console());
    let is_of_a_medium =
        |word: &&str| word.starts_with("vmimage.mode=") || word.starts_with("vmimage.medium=");
    assert_eq!(words(report).into_iter().find(is_of_a_medium), None);
}

/// Of the kernel's command line.
pub(crate) fn words(report: &Report) -> Vec<&str> {
    report.get("cmdline").split(' ').collect()
}

/// Start the machine that was installed on this disk, with nothing else in it.
#[track_caller]
pub(crate) fn boots_alone(base: &str, firmware: Firmware, bus: Bus, disk: &Path, folder: &Path) -> Report {
    let report = Rack::new(firmware, folder).drive(bus, disk).online().reports();
    check_installed(base, firmware, &report, disk, folder);
    report
}

/// A machine's report with these facts among those that every good one has.
fn reported(facts: &str) -> Report {
    let usual = "failed=|app=version one|hostname=web|writable=yes|address=10.0.2.15/24|firmware=bios|end=end|token=t";
    let lines = usual.split('|').chain(facts.split('|')).map(|fact| format!("[ 1.0] report:{fact}\r\n"));
    Report::read(lines.collect(), "t")
}

#[test]
fn machines_of_media_and_of_disks_are_told_apart() {
    let live = reported("root=overlay|cmdline=quiet vmimage.mode=live vmimage.medium=7e");
    let installed = reported("root=ext4|cmdline=root=UUID=7e ro");
    let is_live = |report: &Report, network: &str| {
        std::panic::catch_unwind(AssertUnwindSafe(|| check_live(ALPINE, Firmware::Bios, report, network)))
            .is_ok()
    };
    let is_installed =
        |report: &Report| std::panic::catch_unwind(AssertUnwindSafe(|| is_from_disk(report))).is_ok();
    assert_eq!([is_live(&live, "10.0.2."), is_live(&installed, "10.0.2.")], [true, false]);
    assert_eq!([is_installed(&live), is_installed(&installed)], [false, true]);
    assert!(!is_live(&live, "10.77.0."), "it is in another network");
}
