//! `vmimage keys` and `vmimage sign`: what others take as signed, and what the rest of a disk is afterwards.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use serde_json::Value;

const MIB: u64 = 1 << 20;
const DISK: u64 = 100 * MIB;
/// Where the partitions start and end.
const ESP: u64 = MIB;
const ROOT: u64 = 71 * MIB;

fn tool(program: &str, args: &[&str]) -> (bool, String) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program} must be installed: {error}"));
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[track_caller]
fn accepts(program: &str, args: &[&str]) -> String {
    let (ok, said) = tool(program, args);
    assert!(ok, "{program} {args:?}: {said}");
    said
}

fn vmimage(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vmimage")).args(args).output().unwrap()
}

#[track_caller]
fn runs(args: &[&str]) -> String {
    let output = vmimage(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn refuses(args: &[&str]) -> String {
    let output = vmimage(args);
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Keys that every test may read.
static KEYS: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("keys-{}", std::process::id()));
    runs(&["keys", "generate", folder.to_str().unwrap(), "--name", "Acme"]);
    folder
});

fn key(name: &str) -> String {
    KEYS.join(name).to_str().unwrap().to_owned()
}

/// A folder, and paths in it.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }
}

/// A program for UEFI of one section, with `name` in it.
fn program(name: &str) -> Vec<u8> {
    let mut bytes = vec![0; 0x400];
    let mut put = |at: usize, number: u32, len: usize| {
        bytes[at..at + len].copy_from_slice(&number.to_le_bytes()[..len]);
    };
    for (at, number, len) in [
        (0, 0x5a4d, 2),
        (0x3c, 0x80, 4),
        (0x80, 0x4550, 4),
        (0x84, 0x8664, 2),
        (0x86, 1, 2),
        (0x94, 240, 2),
        (0x96, 0x22, 2),
        (0x98, 0x20b, 2),
        (0x98 + 16, 0x1000, 4),
        (0x98 + 32, 0x1000, 4),
        (0x98 + 36, 0x200, 4),
        (0x98 + 56, 0x3000, 4),
        (0x98 + 60, 0x400, 4),
        (0x98 + 68, 10, 2),
        (0x98 + 108, 16, 4),
        // .text
        (0x188, 0x7865_742e, 4),
        (0x18c, 0x74, 4),
        (0x190, 0x1000, 4),
        (0x194, 0x1000, 4),
        (0x198, 0x1000, 4),
        (0x19c, 0x400, 4),
        (0x1ac, 0x6000_0020, 4),
    ] {
        put(at, number, len);
    }
    let mut section = name.as_bytes().to_vec();
    section.resize(0x1000, 0x90);
    [bytes, section].concat()
}

/// A disk with programs on its EFI system partition, and something that is none there and behind it.
fn disk(scratch: &Scratch) -> String {
    let (disk, esp) = (scratch.path("disk.raw"), scratch.path("esp"));
    let file = fs::File::options().create_new(true).read(true).write(true).open(&disk).unwrap();
    file.set_len(DISK).unwrap();
    let partitions = ["-n1:2048:145407", "-t1:ef00", "-n2:145408:0", "-t2:8304"];
    accepts("sgdisk", &[&partitions[..], &[&disk]].concat());
    fs::File::create(&esp).unwrap().set_len(ROOT - ESP).unwrap();
    accepts("mkfs.fat", &["-F", "32", "-s", "1", "-n", "ESP", "-i", "1234abcd", &esp]);
    for folder in ["::EFI", "::EFI/BOOT", "::EFI/Linux", "::loader"] {
        accepts("mmd", &["-i", &esp, folder]);
    }
    let files = [
        ("::EFI/BOOT/BOOTX64.EFI", program("loader")),
        ("::EFI/Linux/a long name of a kernel.efi", program("kernel")),
        ("::loader/loader.conf", b"timeout 3\n".to_vec()),
        ("::EFI/Linux/empty", Vec::new()),
    ];
    for (path, bytes) in files {
        accepts("mcopy", &["-i", &esp, &scratch.write("file", &bytes), path]);
    }
    file.write_all_at(&fs::read(&esp).unwrap(), ESP).unwrap();
    file.write_all_at(b"what is no file system", ROOT + 5000).unwrap();
    disk
}

/// A file of the EFI system partition of a raw disk.
fn take(scratch: &Scratch, disk: &str, path: &str) -> String {
    let out = scratch.path("taken");
    let _ = fs::remove_file(&out);
    accepts("mcopy", &["-i", &format!("{disk}@@{ESP}"), &format!("::{path}"), &out]);
    out
}

const PROGRAMS: [&str; 2] = ["EFI/BOOT/BOOTX64.EFI", "EFI/Linux/a long name of a kernel.efi"];

#[test]
fn keys_are_made_once_and_only_their_owner_reads_them() {
    let mode = |name: &str| fs::metadata(key(name)).unwrap().permissions().mode() & 0o777;
    for name in ["PK", "KEK", "db"] {
        assert_eq!(mode(&format!("{name}.key")) & 0o077, 0);
        assert!(
            ["crt", "esl", "auth"].iter().all(|extension| mode(&format!("{name}.{extension}")) & 0o400 != 0)
        );
    }
    let said = accepts("openssl", &["x509", "-noout", "-subject", "-in", &key("db.crt")]);
    assert_eq!(said.trim(), "subject=CN = Acme db");
    let before = fs::read(key("PK.key")).unwrap();
    let folder = KEYS.to_str().unwrap();
    let error = refuses(&["keys", "generate", folder]);
    assert!(error.contains("PK.key: is there already"), "{error}");
    assert!(before == fs::read(key("PK.key")).unwrap());
}

#[test]
fn every_program_of_a_disk_is_signed_and_the_rest_is_as_it_was() {
    let scratch = Scratch::new();
    let (disk, signed) = (disk(&scratch), scratch.path("signed.qcow2"));
    let by = ["--key", &key("db.key"), "--certificate", &key("db.crt")];
    let said = runs(&[&["sign", &disk, "-o", &signed], &by[..]].concat());
    for path in PROGRAMS {
        assert!(said.contains(&format!("partition 1: /{path}: signed")), "{said}");
        assert!(!tool("sbverify", &["--cert", &key("db.crt"), &take(&scratch, &disk, path)]).0);
    }
    let raw = scratch.path("signed.raw");
    accepts("qemu-img", &["convert", "-O", "raw", &signed, &raw]);
    for (path, name) in PROGRAMS.into_iter().zip(["loader", "kernel"]) {
        let file = take(&scratch, &raw, path);
        accepts("sbverify", &["--cert", &key("db.crt"), &file]);
        assert!(!tool("sbverify", &["--cert", &key("KEK.crt"), &file]).0);
        assert_eq!(fs::read(file).unwrap()[0x400..0x1400], program(name)[0x400..]);
    }
    assert_eq!(fs::read(take(&scratch, &raw, "loader/loader.conf")).unwrap(), b"timeout 3\n");
    assert!(fs::read(take(&scratch, &raw, "EFI/Linux/empty")).unwrap().is_empty());
    let [before, after] = [&disk, &raw].map(|disk| fs::read(disk).unwrap());
    assert!(
        before[..ESP as usize] == after[..ESP as usize] && before[ROOT as usize..] == after[ROOT as usize..]
    );
    let esp = scratch.write("esp", &after[ESP as usize..ROOT as usize]);
    accepts("fsck.fat", &["-n", &esp]);
    accepts("sgdisk", &["-v", &raw]);
    // Whose signatures are where, and that one of them was changed.
    let signatures = |disk: &str| {
        let report: Value = serde_json::from_str(&runs(&["inspect", "--json", disk])).unwrap();
        let signatures = report["boot"]["signatures"].as_array().cloned().unwrap_or_default();
        let shown = |found: &Value| format!("{} {} {}", found["file"], found["signer"], found["state"]);
        signatures.iter().map(shown).collect::<Vec<_>>().join("\n").replace('"', "")
    };
    assert_eq!(signatures(&disk), "");
    let [loader, kernel] = PROGRAMS.map(|path| format!("/{path} CN=Acme db"));
    assert_eq!(signatures(&signed), format!("{loader} good\n{kernel} good"));
    let at = after.windows(10).position(|word| word == b"loader\x90\x90\x90\x90").unwrap();
    let changed = fs::File::options().write(true).open(&raw).unwrap();
    changed.write_all_at(b"L", at as u64).unwrap();
    assert_eq!(signatures(&raw), format!("{loader} bad\n{kernel} good"));
    let said = runs(&["inspect", &raw]);
    assert!(said.contains("signed         /EFI/BOOT/BOOTX64.EFI by CN=Acme db: bad\n"), "{said}");
    changed.write_all_at(b"l", at as u64).unwrap();
    let facts = |disk: &str| -> Value { serde_json::from_str(&runs(&["inspect", "--json", disk])).unwrap() };
    let (before, after) = (facts(&disk), facts(&signed));
    for fact in ["disk_guid", "partitions"] {
        let without_content = |facts: &Value| {
            let mut facts = facts[fact].clone();
            let partitions = facts.as_array_mut().into_iter().flatten();
            partitions.for_each(|partition| {
                for field in ["tree_digest", "free"] {
                    partition["file_system"].as_object_mut().map(|found| found.remove(field));
                }
            });
            facts
        };
        assert_eq!(without_content(&before), without_content(&after));
    }
}

#[test]
fn who_signs_again_changes_nothing_and_who_else_signs_adds() {
    let scratch = Scratch::new();
    let (disk, once, twice) = (disk(&scratch), scratch.path("1.raw"), scratch.path("2.raw"));
    let sign = |from: &str, to: &str, name: &str| {
        let by = ["--key", &key(&format!("{name}.key")), "--certificate", &key(&format!("{name}.crt"))];
        runs(&[&["sign", from, "-o", to], &by[..]].concat())
    };
    sign(&disk, &once, "db");
    let said = sign(&once, &twice, "db");
    assert!(said.contains("/EFI/BOOT/BOOTX64.EFI: has this signature already"), "{said}");
    assert!(fs::read(&once).unwrap() == fs::read(&twice).unwrap());
    // In its own place.
    sign(&twice, &twice, "KEK");
    for name in ["db.crt", "KEK.crt"] {
        accepts("sbverify", &["--cert", &key(name), &take(&scratch, &twice, PROGRAMS[0])]);
    }
    assert!(!tool("sbverify", &["--cert", &key("PK.crt"), &take(&scratch, &twice, PROGRAMS[0])]).0);
}

#[test]
fn a_command_signs_in_place_of_a_key() {
    let scratch = Scratch::new();
    let (plain, by_key, by_command) =
        (scratch.write("a.efi", &program("a")), scratch.path("key.efi"), scratch.path("command.efi"));
    let certificate = ["--certificate", &key("db.crt")];
    runs(&[&["sign", &plain, "-o", &by_key, "--key", &key("db.key")], &certificate[..]].concat());
    let command = format!("openssl dgst -sha256 -sign '{}'", key("db.key"));
    runs(&[&["sign", &plain, "-o", &by_command, "--signer", &command], &certificate[..]].concat());
    assert!(fs::read(&by_key).unwrap() == fs::read(&by_command).unwrap());
    accepts("sbverify", &["--cert", &key("db.crt"), &by_command]);
    fs::remove_file(&by_command).unwrap();
    for (command, why) in [
        ("echo pin? >&2; exit 1", "has failed: exit status: 1"),
        (&*format!("openssl dgst -sha256 -sign '{}'", key("PK.key")), "no key of the certificate in"),
        ("openssl dgst -sha256 -binary", "has made this signature of 32 bytes"),
    ] {
        let error =
            refuses(&[&["sign", &plain, "-o", &by_command, "--signer", command], &certificate[..]].concat());
        assert!(error.contains(why), "{error}");
        assert!(!Path::new(&by_command).exists());
    }
}

#[test]
fn what_cannot_be_signed_is_named() {
    let scratch = Scratch::new();
    let disk = disk(&scratch);
    let out = scratch.path("out.raw");
    let refused = |file: &str, more: &[&str]| {
        let error = refuses(&[&["sign", file, "-o", &out, "--certificate", &key("db.crt")], more].concat());
        assert!(!Path::new(&out).exists(), "{error}");
        error
    };
    let by = ["--key", &key("db.key")];
    for (error, why) in [
        (refused(&disk, &[]), "--key <FILE>|--signer <COMMAND>"),
        (refused(&disk, &["--key", &key("KEK.key")]), "KEK.key: is not the key of the certificate in"),
        (refused(&scratch.write("text", b"text"), &by), "there is no GUID partition table"),
        (refused(&scratch.path("none.raw"), &by), "none.raw: cannot open the disk file"),
        (refused(&scratch.write("cut.efi", &program("a")[..0x1000]), &by), "cut.efi: is cut off"),
    ] {
        assert!(error.contains(why), "{why}: {error}");
    }
    // A disk whose partition has no program.
    let file = fs::File::options().write(true).open(&disk).unwrap();
    let esp = scratch.path("empty");
    fs::File::create(&esp).unwrap().set_len(ROOT - ESP).unwrap();
    accepts("mkfs.fat", &["-F", "32", "-s", "1", &esp]);
    file.write_all_at(&fs::read(&esp).unwrap(), ESP).unwrap();
    assert!(refused(&disk, &by).contains("has no program for UEFI on a partition that firmware reads"));
    // One that has no room for signatures, whatever its clusters are.
    fs::File::create(&esp).unwrap().set_len(ROOT - ESP).unwrap();
    accepts("mkfs.fat", &["-F", "16", "-s", "4", &esp]);
    let programs: Vec<_> = (0..200).map(|n| scratch.write(&format!("{n}.efi"), &program("a"))).collect();
    let programs = programs.iter().map(String::as_str).chain(["::"]);
    accepts("mcopy", &["-i", &*esp].into_iter().chain(programs).collect::<Vec<_>>());
    let free = accepts("mdir", &["-i", &esp]);
    let free = free.lines().find(|line| line.contains("bytes free")).unwrap();
    let free: usize = free.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap();
    accepts("mcopy", &["-i", &esp, &scratch.write("file", &vec![1; free]), "::full"]);
    file.write_all_at(&fs::read(&esp).unwrap(), ESP).unwrap();
    assert!(refused(&disk, &by).contains("partition 1: FAT volume: the files need"));
}

#[test]
fn the_variables_of_a_firmware_have_the_keys() {
    let scratch = Scratch::new();
    let template = "/usr/share/OVMF/OVMF_VARS_4M.fd";
    let out = scratch.path("VARS.fd");
    let said = runs(&["keys", "vars", "--keys", KEYS.to_str().unwrap(), "--template", template, "-o", &out]);
    assert!(said.contains("has db, KEK, PK, and Secure Boot is enforced"), "{said}");
    assert_eq!(fs::metadata(&out).unwrap().len(), fs::metadata(template).unwrap().len());
    let said = accepts("virt-fw-vars", &["--input", &out, "--print", "--verbose"]);
    for part in ["subject CN=Acme PK", "subject CN=Acme KEK", "subject CN=Acme db", "bool: ON"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // Of lists alone, and of those without an owner.
    let folder = scratch.path("lists");
    fs::create_dir(&folder).unwrap();
    for name in ["PK", "db"] {
        fs::copy(key(&format!("{name}.esl")), format!("{folder}/{name}.esl")).unwrap();
    }
    let error = refuses(&["keys", "vars", "--keys", &folder, "--template", template, "-o", &out]);
    assert!(error.contains("lists: has neither KEK.auth nor KEK.esl"), "{error}");
    fs::write(format!("{folder}/KEK.esl"), fs::read(key("KEK.crt")).unwrap()).unwrap();
    let error = refuses(&["keys", "vars", "--keys", &folder, "--template", template, "-o", &out]);
    assert!(error.contains("KEK.esl: has no lists of signatures"), "{error}");
    fs::copy(key("KEK.esl"), format!("{folder}/KEK.esl")).unwrap();
    runs(&["keys", "vars", "--keys", &folder, "--template", template, "-o", &out]);
    let error = refuses(&["keys", "vars", "--keys", &folder, "--template", &key("db.crt"), "-o", &out]);
    assert!(error.contains("db.crt: is no volume of a firmware's variables"), "{error}");
}
