//! microVMs on every machine, by every way to start one, with every kind of kernel and root; and machines that boot by
//! vmimage's own initramfs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::boot::{boots_and_grows, machine_on};
use super::lab::{
    Mount, Report, build, context, copy_of, nonce, partitions, raw, run, run_to_end, scratch, testdata,
};
use super::microvm::{LIMIT, check_report, microvm, run_command, run_it};
use super::microvm_files;

/// `testdata/microvm` with a hundredth of the orphans.
pub(crate) fn quick(folder: &Path) -> PathBuf {
    let context = copy_of("microvm", folder);
    let dockerfile = context.join("Dockerfile");
    let text = fs::read_to_string(&dockerfile).unwrap().replace("\"10000\"", "\"100\"");
    fs::write(dockerfile, text).unwrap();
    context
}

/// Build it so, and run it with each list of flags; its folder.
#[track_caller]
fn runs(context: &Path, folder: &Path, args: &[&str], flags: &[&[&str]]) -> PathBuf {
    let (_, vm) = microvm(context, folder, &[&["--hostname", "web"], args].concat());
    microvm_files::check(&vm);
    for flags in flags {
        let (status, report) = run_it(&vm, flags);
        check_report(&report);
        assert_eq!(status, Some(42), "{flags:?}:\n{}", report.console());
    }
    vm
}

#[test]
#[ignore = "long: make matrix"]
fn a_distributions_kernel_runs_it_on_machines_with_and_without_pci() {
    let folder = scratch();
    let machines: [&[&str]; 3] =
        [&["--machine", "q35"], &["--machine", "microvm"], &["--machine", "microvm", "-c", "2"]];
    runs(&quick(folder.path()), folder.path(), &[], &machines);
}

/// All drivers are built in: there is no initramfs, and devices may stand on the command line.
#[test]
#[ignore = "long: make matrix"]
fn a_kernel_of_the_users_runs_it_without_an_initramfs() {
    let folder = scratch();
    let context = quick(folder.path());
    let kernel = testdata("kernel");
    run(Command::new("docker").args(["build", "-o"]).arg(&context).arg(&kernel));
    let machines: [&[&str]; 3] = [
        &["--machine", "q35"],
        &["--machine", "microvm"],
        &["--machine", "microvm,acpi=off", "--no-network"],
    ];
    let vm = runs(&context, folder.path(), &["--kernel", "file:bzImage"], &machines);
    assert!(!vm.join("initramfs").exists());
}

#[test]
#[ignore = "long: make matrix"]
fn kernels_of_other_images_and_of_its_own_run_it() {
    let folder = scratch();
    let context = quick(folder.path());
    for donor in ["vmimage-test/alpine:3.23", "vmimage-test/debian:13"] {
        runs(&context, folder.path(), &["--kernel", &format!("image:{donor}")], &[&[]]);
    }
    let dockerfile = context.join("Dockerfile");
    let text = fs::read_to_string(&dockerfile).unwrap().replace(
        "FROM scratch",
        "FROM vmimage-test/debian:12\nRUN apt-get -q update && apt-get -q install -y linux-image-cloud-amd64 && \
         chown 65532:65532 /srv",
    );
    fs::write(dockerfile, text).unwrap();
    runs(&context, folder.path(), &["--kernel", "keep"], &[&[]]);
}

/// What is written is gone with the machine, and the root's bytes stay.
#[test]
#[ignore = "long: make matrix"]
fn an_erofs_under_an_overlay_is_as_new_at_each_start() {
    let folder = scratch();
    let context = quick(folder.path());
    fs::write(context.join("vmimage.toml"), "[[partitions]]\ntype = \"root\"\nfilesystem = \"erofs\"\n")
        .unwrap();
    let args = ["--hostname", "web", "--volatile", "overlay", "--compression", "none"];
    let (_, vm) = microvm(&context, folder.path(), &args);
    microvm_files::check(&vm);
    let root = fs::read(vm.join("root.raw")).unwrap();
    for _ in 0..2 {
        let (status, report) = run_it(&vm, &[]);
        check_report(&report);
        assert_eq!((status, report.get("root")), (Some(42), "overlay"), "{}", report.console());
    }
    assert!(root == fs::read(vm.join("root.raw")).unwrap(), "the root was written to");
    run(Command::new("fsck.erofs").arg(vm.join("root.raw")));
}

/// Its token is on the command line of the build: firmware starts it, and no vm.json.
#[track_caller]
pub(crate) fn boots_by_firmware(disk: &Path, firmwares: &[&str], token: &str) -> Vec<Report> {
    let boot = |firmware: &&str| {
        let (status, console) =
            run_to_end(run_command(disk).args([firmware, "-m", "512M", "--snapshot"]), LIMIT);
        let report = Report::read(console, token);
        check_report(&report);
        // Nobody listens at a port for the program's status.
        assert_eq!(status.code(), Some(0), "{firmware}:\n{}", report.console());
        report
    };
    firmwares.iter().map(boot).collect()
}

#[test]
#[ignore = "long: make matrix"]
fn a_disk_of_the_profile_boots_by_every_firmware() {
    let (folder, token) = (scratch(), nonce());
    let disk = folder.path().join("disk.qcow2");
    let cmdline = format!("vmimage.test={token}");
    let args = ["--profile", "microvm", "--hostname", "web", "--cmdline", &cmdline];
    build(&quick(folder.path()), &disk, &args);
    boots_by_firmware(&disk, &["--bios", "--uefi"], &token);
}

/// On a FAT without a table, as UEFI takes from removable drives.
#[test]
#[ignore = "long: make matrix"]
fn a_uki_boots_by_uefi_alone() {
    let (folder, token) = (scratch(), nonce());
    let uki = folder.path().join("web.efi");
    let cmdline = format!("vmimage.test={token}");
    let args = ["--profile", "microvm", "--format", "uki", "--hostname", "web", "--cmdline", &cmdline];
    build(&quick(folder.path()), &uki, &args);
    let disk = folder.path().join("disk.raw");
    fs::File::create(&disk).unwrap().set_len(256 << 20).unwrap();
    run(Command::new("mkfs.fat").args(["-F", "32"]).arg(&disk));
    let image = format!("{}", disk.display());
    run(Command::new("mmd").args(["-i", &image, "::/EFI", "::/EFI/BOOT"]));
    run(Command::new("mcopy").args(["-i", &image]).arg(&uki).arg("::/EFI/BOOT/BOOTX64.EFI"));
    let reports = boots_by_firmware(&disk, &["--uefi"], &token);
    assert_eq!(reports[0].get("root"), "overlay");
}

/// Two failures, and an end with 0, which powers off whatever follows a failure.
#[test]
#[ignore = "long: make matrix"]
fn a_program_that_fails_is_started_again_where_that_is_asked() {
    let folder = scratch();
    let context = context(
        folder.path(),
        "FROM vmimage-test/alpine:3.23\n\
         CMD echo start >>/starts; echo \"starts $(wc -l </starts)\"; test \"$(wc -l </starts)\" = 3 || exit 5\n",
    );
    fs::write(context.join("vmimage.toml"), "[microvm]\non-crash = \"restart\"\n").unwrap();
    let (_, vm) = microvm(&context, folder.path(), &[]);
    let (status, console) = run_to_end(&mut run_command(&vm), LIMIT);
    assert!(console.contains("starts 3") && status.code() == Some(0), "{status}:\n{console}");
}

/// What QEMU needs for the drive that tells a machine more than its image does.
fn drive(told: &Path, text: &str) -> [String; 4] {
    fs::write(told, text).unwrap();
    fs::File::options().write(true).open(told).unwrap().set_len(1 << 16).unwrap();
    let drive = format!("--qemu-arg=if=none,id=told,format=raw,readonly=on,file={}", told.display());
    let device = "--qemu-arg=virtio-blk-pci,drive=told,serial=vmimage-config".to_owned();
    ["--qemu-arg=-drive".to_owned(), drive, "--qemu-arg=-device".to_owned(), device]
}

/// A drive tells it other things than its image; one that is damaged is not passed over.
#[test]
#[ignore = "long: make matrix"]
fn a_drive_tells_the_machine_more() {
    let folder = scratch();
    let (_, vm) = microvm(&quick(folder.path()), folder.path(), &["--hostname", "web"]);
    let told = folder.path().join("told");
    let flags = drive(&told, r#"{"hostname":"told","container":{"Cmd":["17"]}}"#);
    let (status, report) = run_it(&vm, &flags.each_ref().map(String::as_str));
    assert_eq!((status, report.get("hostname")), (Some(17), "told"), "{}", report.console());
    let flags = drive(&told, r#"{"hostname":"#);
    let (status, console) = run_to_end(run_command(&vm).args(flags), LIMIT);
    assert!(status.code() == Some(125) && !console.contains("report:"), "{status}:\n{console}");
}

/// Folders of the host, by the 9p of Alpine's kernel: what is written is there, unless it may only be read, a link leads
/// to a place of the guest, and one that the host does not have ends the machine.
#[test]
#[ignore = "long: make matrix"]
fn folders_of_the_host_are_shared() {
    let folder = scratch();
    let program = "test $(cat /src/in) = \"$TOKEN\" || exit 3; ! touch /src/no || exit 4; \
                   cmp /src/link /etc/alpine-release || exit 5; head -c 10000000 /dev/zero | tee /out/zeros | sha256sum >/out/sum && exit 42";
    let context = context(folder.path(), &format!("FROM vmimage-test/alpine:3.23\nCMD {program}\n"));
    let (_, vm) = microvm(&context, folder.path(), &[]);
    let (source, out, secret) = (folder.path().join("source"), folder.path().join("out"), nonce());
    fs::create_dir(&source).unwrap();
    fs::create_dir(&out).unwrap();
    fs::write(source.join("in"), &secret).unwrap();
    std::os::unix::fs::symlink("/etc/alpine-release", source.join("link")).unwrap();
    let text = format!(
        r#"{{"container":{{"Env":["TOKEN={secret}"]}},"shares":[
        {{"tag":"src","at":"/src","type":"9p","read_only":true}},{{"tag":"out","at":"/out","type":"9p"}}]}}"#
    );
    let told = drive(&folder.path().join("told"), &text);
    let share = |path: &Path, tag: &str| {
        let share = format!("--qemu-arg=local,path={},mount_tag={tag},security_model=none", path.display());
        ["--qemu-arg=-virtfs".to_owned(), share]
    };
    let mut command = run_command(&vm);
    command.args(&told).args(share(&source, "src"));
    let (status, console) = run_to_end(command.args(share(&out, "out")), LIMIT);
    assert_eq!(status.code(), Some(42), "{console}");
    assert_eq!(fs::metadata(out.join("zeros")).unwrap().len(), 10_000_000);
    let sum = fs::read_to_string(out.join("sum")).unwrap();
    assert!(sum.starts_with("f5e02aa71e67f41d79023a12"), "{sum}");
    let mut command = run_command(&vm);
    let (status, console) = run_to_end(command.args(&told).args(share(&source, "src")), LIMIT);
    assert!(status.code() == Some(125) && console.contains("share out at /out"), "{status}:\n{console}");
}

/// The size of what the distribution makes is many times that.
const LARGEST_INITRAMFS: u64 = 12 << 20;

#[test]
#[ignore = "long: make matrix"]
fn machines_boot_by_our_initramfs() {
    for (base, firmwares) in [
        ("vmimage-test/debian:12", &["--bios", "--secure-boot"][..]),
        ("vmimage-test/debian:13", &["--uefi"]),
        ("vmimage-test/alpine:3.23", &["--bios", "--uefi"]),
    ] {
        let folder = scratch();
        let disk = machine_on(base, folder.path(), &["--initramfs", "vmimage"]);
        for firmware in firmwares {
            boots_and_grows(base, &disk, firmware, &[]);
        }
        let raw = raw(&disk, folder.path());
        let root = Mount::new(&raw, &partitions(&raw)[2], folder.path().join("root"));
        let entries = fs::read_dir(root.0.join("boot")).unwrap().map(Result::unwrap);
        let initramfs: Vec<_> =
            entries.filter(|entry| entry.file_name().to_string_lossy().contains("init")).collect();
        assert!(!initramfs.is_empty(), "{base}: has none");
        for entry in initramfs {
            let size = fs::metadata(entry.path()).unwrap().len();
            assert!(size < LARGEST_INITRAMFS, "{base}: {:?} has {size} bytes", entry.file_name());
        }
    }
}
