//! microVMs of which nothing can be another than was built: by the root hash on the kernel's command line, or as one program
//! that a key has signed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::disk::damage;
use super::lab::{Report, VMIMAGE, build, nonce, refused, run, run_to_end, scratch};
use super::microvm::{LIMIT, check_report, microvm, run_command, run_it};
use super::microvm_files;
use super::microvm_machines::{boots_by_firmware, quick};
use super::rack::{Bus, Firmware, Rack};

/// The end of a boot in which a byte was read that is another one.
const CORRUPTED: &str = "Kernel panic - not syncing: dm-verity device corrupted";
/// The end of one in which the first process has refused to go on.
const NO_INIT: &str = "Kernel panic - not syncing: Attempted to kill init!";
/// Bytes of a block of verity's.
const BLOCK: u64 = 4096;
/// What the machine ends with that was not started, or has not told how its program ended.
const NOT_TOLD: i32 = 125;

const CONFIG: &str = "volatile = \"overlay\"\n[[partitions]]\ntype = \"root\"\nverity = true\n";

/// The folder of a microVM whose root is verified.
struct Sealed(PathBuf);

impl Sealed {
    /// With these keys of its root, and flags.
    fn build(keys: &str, args: &[&str], folder: &Path) -> Self {
        let context = quick(folder);
        fs::write(context.join("vmimage.toml"), format!("{CONFIG}{keys}")).unwrap();
        // The kernel says what it mounts; a step that an engine has in its cache says nothing.
        let cmdline = format!("loglevel=7 vmimage.mark={}", nonce());
        let args = [&["--hostname", "web", "--cmdline", &*cmdline], args].concat();
        let (said, vm) = microvm(&context, folder, &args);
        assert!(said.contains("integrity, not sealed: "), "{said}");
        microvm_files::check(&vm);
        Self(vm)
    }

    fn words(&self) -> String {
        let text = fs::read(self.0.join("vm.json")).unwrap();
        let description: Value = serde_json::from_slice(&text).unwrap();
        description["cmdline"].as_str().unwrap().to_owned()
    }

    fn word(&self, name: &str) -> String {
        let words = self.words();
        words.split(' ').find_map(|word| word.strip_prefix(name)).unwrap().to_owned()
    }

    fn root(&self) -> PathBuf {
        self.0.join("root.raw")
    }

    fn hash_offset(&self) -> u64 {
        self.word("systemd.verity_root_options=hash-offset=").parse().unwrap()
    }

    /// Each block of the root is that of the root hash, says the program of the kernel's people.
    fn verify(&self) -> Command {
        let mut command = Command::new("veritysetup");
        command.arg(format!("--hash-offset={}", self.hash_offset())).arg("verify");
        command.args([self.root(), self.root()]).arg(self.word("roothash="));
        command
    }

    /// Runs as its image says, from the device that is verified.
    #[track_caller]
    fn runs(&self, flags: &[&str]) {
        let (status, report) = run_it(&self.0, flags);
        check_report(&report);
        assert_eq!((status, report.get("root")), (Some(42), "overlay"), "{}", report.console());
        let mounts = ["EXT4-fs (dm-0): mounted", "(device dm-0): mounted"];
        assert!(mounts.iter().any(|said| report.console().contains(said)), "{}", report.console());
    }

    /// Ends with these on its console, and has started no program.
    #[track_caller]
    fn refuses(&self, said: [&str; 2]) {
        let (status, console) = run_to_end(&mut run_command(&self.0), LIMIT);
        assert!(said.iter().all(|said| console.contains(said)), "{said:?}:\n{console}");
        assert!(!console.contains("report:"), "its program was started:\n{console}");
        assert_eq!(status.code(), Some(NOT_TOLD), "{console}");
    }
}

#[test]
#[ignore = "long: make matrix"]
fn a_verified_microvm_runs_on_every_machine() {
    let folder = scratch();
    let sealed = Sealed::build("", &["--compression", "none"], folder.path());
    let before = fs::read(sealed.root()).unwrap();
    for machine in ["q35", "microvm"] {
        sealed.runs(&["--machine", machine]);
    }
    run(&mut sealed.verify());
    assert!(before == fs::read(sealed.root()).unwrap(), "the root was written to");
}

#[test]
#[ignore = "long: make matrix"]
fn a_verified_microvm_runs_from_an_erofs_by_other_kernels_and_packed() {
    for (donor, compression) in [("vmimage-test/alpine:3.23", "none"), ("vmimage-test/debian:13", "zstd")] {
        let folder = scratch();
        let kernel = format!("image:{donor}");
        let args = ["--kernel", &kernel, "--compression", compression];
        Sealed::build("filesystem = \"erofs\"\n", &args, folder.path()).runs(&[]);
    }
}

#[test]
#[ignore = "long: make matrix"]
fn a_byte_of_a_verified_microvm_that_is_another_one_ends_its_boot() {
    let folder = scratch();
    let sealed = Sealed::build("", &["--compression", "none"], folder.path());
    sealed.runs(&[]);
    let (root, hashes) = (sealed.root(), sealed.hash_offset());
    let top = "the block on top of the tree of hashes has another digest than roothash= says";
    for (what, at, said) in [
        ("the root", 0, ["data block 0 is corrupted", CORRUPTED]),
        ("the tree's top", hashes + BLOCK, [top, NO_INIT]),
        ("the superblock", hashes, ["has no superblock of verity", NO_INIT]),
    ] {
        damage(&root, at, || {
            eprintln!("{what}");
            sealed.refuses(said);
            refused(&mut sealed.verify());
        });
    }
    run(&mut sealed.verify());

    // Another root hash is another root.
    let (path, hash) = (sealed.0.join("vm.json"), sealed.word("roothash="));
    let text = fs::read_to_string(&path).unwrap();
    let other = if hash.starts_with('0') { "1" } else { "0" }.to_owned() + &hash[1..];
    fs::write(&path, text.replace(&hash, &other)).unwrap();
    sealed.refuses([top, NO_INIT]);
    fs::write(&path, text).unwrap();

    // Cut off, as a copy that was broken.
    fs::File::options().write(true).open(&root).unwrap().set_len(hashes).unwrap();
    sealed.refuses(["they were cut off", NO_INIT]);
}

/// With a table, its hashes are on a partition, as a machine's are.
#[test]
#[ignore = "long: make matrix"]
fn a_verified_disk_of_the_profile_boots_by_every_firmware() {
    let (folder, token) = (scratch(), nonce());
    let (context, disk) = (quick(folder.path()), folder.path().join("disk.qcow2"));
    fs::write(context.join("vmimage.toml"), format!("layout = \"simple\"\n{CONFIG}")).unwrap();
    let cmdline = format!("vmimage.test={token}");
    build(&context, &disk, &["--profile", "microvm", "--hostname", "web", "--cmdline", &cmdline]);
    boots_by_firmware(&disk, &["--bios", "--uefi"], &token);
}

/// One program that a key has signed, on a FAT for a firmware that knows the key.
struct Program {
    folder: tempfile::TempDir,
    token: String,
}

impl Program {
    fn build() -> Self {
        let (folder, token) = (scratch(), nonce());
        let (keys, context) = (folder.path().join("keys"), quick(folder.path()));
        run(Command::new(VMIMAGE).args(["keys", "generate", "--name", "Acme"]).arg(&keys));
        fs::copy(keys.join("db.crt"), context.join("db.crt")).unwrap();
        let config = "profile = \"microvm\"\nformat = \"uki\"\n[secure-boot]\ncertificate = \"db.crt\"\nkey = \"db\"\n";
        fs::write(context.join("vmimage.toml"), config).unwrap();
        let secret = format!("id=db,src={}", keys.join("db.key").display());
        let cmdline = format!("vmimage.test={token}");
        let args = ["--hostname", "web", "--cmdline", &cmdline, "--secret", &secret];
        let said = build(&context, &folder.path().join("web.efi"), &args);
        assert!(said.contains("the program is signed by CN=Acme db"), "{said}");
        let mut vars = Command::new(VMIMAGE);
        vars.args(["keys", "vars", "--template", "/usr/share/OVMF/OVMF_VARS_4M.fd", "--keys"]).arg(&keys);
        run(vars.arg("-o").arg(folder.path().join("variables_4M.secboot.fd")));
        Self { folder, token }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("web.efi")
    }

    fn rack(&self) -> Rack {
        let disk = self.folder.path().join("disk.raw");
        fs::File::create(&disk).unwrap().set_len(256 << 20).unwrap();
        run(Command::new("mkfs.fat").args(["-F", "32"]).arg(&disk));
        run(Command::new("mmd").arg("-i").arg(&disk).args(["::/EFI", "::/EFI/BOOT"]));
        let mut copy = Command::new("mcopy");
        run(copy.arg("-i").arg(&disk).arg(self.file()).arg("::/EFI/BOOT/BOOTX64.EFI"));
        Rack::new(Firmware::OwnKeys, self.folder.path()).drive(Bus::Nvme, &disk)
    }

    fn runs(&self) {
        let report = Report::read(self.rack().ends(), &self.token);
        check_report(&report);
        assert_eq!(report.get("root"), "overlay");
    }
}

/// The firmware checks all of it: kernel, command line and root are one program.
#[test]
#[ignore = "long: make matrix"]
fn no_byte_of_a_signed_program_can_be_another() {
    let program = Program::build();
    program.runs();
    let bytes = fs::read(program.file()).unwrap();
    let find = |text: &[u8]| bytes.windows(text.len()).position(|window| window == text).unwrap() as u64;
    for (what, at) in [
        ("the command line", find(program.token.as_bytes())),
        ("the root", find(b"root.erofs\0") + 2 * BLOCK),
    ] {
        damage(&program.file(), at, || {
            eprintln!("{what}");
            let mut machine = program.rack().start();
            machine.says("Access Denied");
            let console = machine.switch_off();
            assert!(!console.contains("Linux version") && !console.contains("report:"), "{console}");
        });
    }
}
