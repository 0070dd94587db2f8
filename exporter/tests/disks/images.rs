//! Unified kernel images on the ESP, their signatures and the keys beside them: as ukify, objdump, sbverify and mtools see them.
//! The stub, the addon's and systemd-boot are Debian's own (`systemd-boot-efi`).

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;

use exporter::assemble::{Input, plan};
use exporter::engine::Run;
use exporter::fs::FileSystem;
use exporter::secure_boot;
use exporter::spec::Spec;
use exporter::tree::{Editor, Time, Tree};
use tempfile::TempDir;

use crate::inputs::{self, input};
use crate::layouts::{Disk, said};
use crate::verity;

const FOLDER: &str = "/usr/lib/systemd/boot/efi";
const KERNEL: &str = "/boot/vmlinuz-6.1.0-9-amd64";
const NAME: &str = "kiosk-6.1.0-9-amd64";

pub(crate) fn of_systemd(name: &str) -> Vec<u8> {
    fs::read(format!("{FOLDER}/{name}")).unwrap()
}

fn spec(more: &str) -> Spec {
    let spec = format!(
        r#"{{"loader":"systemd-boot","image":{{"id":"kiosk","version":"1.4"}},"formats":["raw"],"cmdline":"audit=1"{more}}}"#
    );
    serde_json::from_str(&spec).unwrap()
}

/// One kernel, which is a program for UEFI and says of which components it is: systemd-boot itself.
fn tree() -> Tree {
    let mut tree = inputs::debian_small();
    let mut editor = Editor::new(&mut tree, Time::default());
    editor.remove("/boot/vmlinuz-5.10.0-1-amd64");
    for name in ["systemd-bootx64.efi", "linuxx64.efi.stub", "addonx64.efi.stub"] {
        editor.write_file(format!("{FOLDER}/{name}"), of_systemd(name), 0o644).unwrap();
    }
    editor.write_file(KERNEL, of_systemd("systemd-bootx64.efi"), 0o644).unwrap();
    editor.write_file("/usr/lib/systemd/systemd-bless-boot", *b"#!/bin/sh\n", 0o755).unwrap();
    tree
}

/// One that has dm-verity, and what an image is made of.
pub(crate) fn verified() -> Tree {
    let mut tree = verity::tree();
    let mut editor = Editor::new(&mut tree, Time::default());
    for name in ["systemd-bootx64.efi", "linuxx64.efi.stub"] {
        editor.write_file(format!("{FOLDER}/{name}"), of_systemd(name), 0o644).unwrap();
    }
    tree
}

/// Files of the ESP, in a folder of their own.
struct Esp {
    folder: TempDir,
}

impl Esp {
    fn of(disk: &Disk) -> Self {
        let folder = TempDir::new().unwrap();
        let volume = disk.volume(disk.partition("esp"));
        said(Command::new("mcopy").arg("-s").arg("-i").arg(volume).arg("::*").arg(folder.path()));
        Self { folder }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    /// All that is in it, sorted.
    fn names(&self) -> Vec<String> {
        let listed =
            said(Command::new("find").arg(self.folder.path()).args(["-type", "f", "-printf", "%P\n"]));
        let mut names: Vec<_> = listed.lines().map(str::to_owned).collect();
        names.sort();
        names
    }
}

/// What ukify sees in a program: of sections with one name the last.
pub(crate) fn inspect(program: &Path) -> Option<serde_json::Value> {
    let output = ukify().args(["--json=short", "--all", "inspect"]).arg(program).output().unwrap();
    output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
}

/// The interpreter of the distribution, which has its modules.
fn ukify() -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.arg("/usr/bin/ukify");
    command
}

/// Names of sections, as objdump lists them.
fn sections(program: &Path) -> Option<Vec<String>> {
    let output = Command::new("objdump").arg("-h").arg(program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let of =
        |line: &str| line.split_whitespace().nth(1).filter(|name| name.starts_with('.')).map(str::to_owned);
    output.status.success().then(|| text.lines().filter_map(of).collect())
}

fn flip(program: &Path, at: usize) -> PathBuf {
    let mut bytes = fs::read(program).unwrap();
    bytes[at] ^= 1;
    let other = program.with_extension("flipped");
    fs::write(&other, bytes).unwrap();
    other
}

#[test]
fn the_kernel_is_an_image_that_may_be_tried_and_the_menu_has_no_other() {
    let disk = Disk::of(&spec(r#","uki":true"#), tree());
    assert!(disk.is_whole(disk.partition("esp"), FileSystem::Vfat));
    let esp = Esp::of(&disk);
    let image = format!("EFI/Linux/{NAME}+3-0.efi");
    assert_eq!(
        esp.names(),
        ["EFI/BOOT/BOOTX64.EFI", &image, "EFI/systemd/systemd-bootx64.efi", "loader/loader.conf"]
    );
    assert_eq!(esp.text("loader/loader.conf"), "timeout 3\n");
    let image = esp.path(&image);
    let own = [".osrel", ".cmdline", ".uname", ".initrd", ".sbat", ".linux"];
    let profiles = [".profile", ".profile", ".osrel", ".cmdline"];
    let listed = sections(&image).unwrap();
    let expected = [&own[..], &profiles].concat();
    let behind: Vec<_> = listed.iter().map(|name| &**name).skip(listed.len() - expected.len()).collect();
    assert_eq!(behind, expected);
    assert!(listed.contains(&".oldsbat".to_owned()));

    let said = inspect(&image).unwrap();
    let text = |name: &str| said[name]["text"].as_str().unwrap().to_owned();
    let release = disk.debugfs("root", "cat /etc/os-release");
    // Of a name it shows the last one, that of the rescue.
    assert_eq!(text(".osrel"), format!("{release}IMAGE_ID=\"kiosk-rescue\"\n"));
    assert_eq!(text(".uname"), "6.1.0-9-amd64");
    let words = text(".cmdline");
    assert!(words.starts_with("root=UUID=") && words.contains(" audit=1"), "{words}");
    assert!(words.ends_with(" systemd.unit=rescue.target"), "{words}");
    let components = text(".sbat");
    let names: Vec<_> = components.lines().filter_map(|line| line.split(',').next()).collect();
    assert_eq!(
        names,
        ["sbat", "systemd-stub", "systemd-stub.debian", "systemd-boot", "systemd-boot.debian", "uki"]
    );
    let is_told = |what: &str| disk.edits.iter().any(|edit| edit.contains(what));
    assert!(is_told("profiles normal and rescue (systemd.unit=rescue.target)"), "{:?}", disk.edits);
    assert!(is_told("an entry is tried 3 times") && is_told("kernels to come: the next image brings them"));
    assert_eq!(disk.debugfs("root", "cat /etc/kernel/entry-token"), "", "for kernels that come to no menu");

    // Neither believes anything.
    let pe = usize::from(fs::read(&image).unwrap()[0x3c]);
    let broken = flip(&image, pe);
    assert!(inspect(&broken).is_none() && sections(&broken).is_none());
}

/// Of the same parts ukify makes the same sections.
#[test]
fn ukify_makes_the_same_of_the_same_parts() {
    let esp = Esp::of(&Disk::of(&spec(r#","uki":true"#), tree()));
    let image = esp.path(&format!("EFI/Linux/{NAME}+3-0.efi"));
    let ours = inspect(&image).unwrap();
    let parts = TempDir::new().unwrap();
    let part = |name: &str, bytes: &[u8]| {
        let path = parts.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let text = |section: &str| part(section, ours[section]["text"].as_str().unwrap().as_bytes());
    let kernel = of_systemd("systemd-bootx64.efi");
    let initrd = parts.path().join("initrd");
    let taken = format!(".initrd={}", initrd.display());
    said(
        Command::new("objcopy").args(["-O", "binary", "--dump-section", &taken]).arg(&image).arg("/dev/null"),
    );
    let other = parts.path().join("other.efi");
    said(ukify().arg("build").args([
        format!("--linux={}", part("kernel", &kernel)),
        format!("--initrd={}", initrd.display()),
        format!("--os-release=@{}", text(".osrel")),
        format!("--cmdline=@{}", text(".cmdline")),
        "--uname=6.1.0-9-amd64".to_owned(),
        format!("--stub={FOLDER}/linuxx64.efi.stub"),
        format!("--output={}", other.display()),
    ]));
    let theirs = inspect(&other).unwrap();
    for section in [".osrel", ".cmdline", ".uname", ".initrd", ".sbat"] {
        assert_eq!(ours[section], theirs[section], "{section}");
    }
    // Where the kernel is run in place it has all the memory that it asks for.
    let [ours, theirs] = [ours, theirs].map(|image| image[".linux"]["size"].as_u64().unwrap());
    assert!(theirs == kernel.len() as u64 && ours >= theirs, "{ours} {theirs}");
}

#[test]
fn an_old_stub_has_one_profile() {
    let mut old = of_systemd("linuxx64.efi.stub");
    let magic = b"LoaderInfo: systemd-stub 2";
    let at = old.windows(magic.len()).position(|bytes| bytes == magic).unwrap() + magic.len();
    old[at..at + 2].copy_from_slice(b"52");
    let mut tree = tree();
    let mut editor = Editor::new(&mut tree, Time::default());
    editor.write_file(format!("{FOLDER}/linuxx64.efi.stub"), old, 0o644).unwrap();
    let disk = Disk::of(&spec(r#","uki":true"#), tree);
    let esp = Esp::of(&disk);
    let listed = sections(&esp.path(&format!("EFI/Linux/{NAME}+3-0.efi"))).unwrap();
    assert_eq!(listed.iter().filter(|name| *name == ".cmdline").count(), 1, "{listed:?}");
    assert!(!listed.contains(&".profile".to_owned()));
    let told = "no profile for a rescue, systemd's stub is older than 257";
    assert!(disk.edits.iter().any(|edit| edit.contains(told)), "{:?}", disk.edits);
}

/// Keys for Secure Boot, as `vmimage keys generate` makes them: by their names.
pub(crate) fn keys() -> BTreeMap<String, Vec<u8>> {
    let files = secure_boot::generate("Acme", 1_700_000_000, 3650).unwrap();
    files.into_iter().map(|file| (file.name, file.bytes)).collect()
}

/// With these of the keys in the build context, and the one that signs as a secret.
pub(crate) fn with_keys(keys: &BTreeMap<String, Vec<u8>>, names: &[&str]) -> Input {
    let mut input = input(tree());
    let mut editor = Editor::new(&mut input.materials.context, Time::default());
    for name in names {
        editor.write_file(format!("keys/{name}"), &keys[*name][..], 0o644).unwrap();
    }
    input.materials.secrets.insert("secure-boot".into(), keys["db.key"].clone());
    input
}

/// Whether the certificate in a file has signed a program.
pub(crate) fn is_signed(program: &Path, certificate: &Path) -> bool {
    let output = Command::new("sbverify").arg("--cert").arg(certificate).arg(program).output().unwrap();
    output.status.success()
}

pub(crate) const SIGNED: &str = r#""certificate":"keys/db.crt","key":"secure-boot""#;
pub(crate) const AUTHS: [&str; 4] = ["PK.auth", "KEK.auth", "db.auth", "db.crt"];

#[test]
fn all_that_firmware_starts_is_signed_and_no_byte_of_it_can_be_another() {
    let keys = keys();
    let spec = spec(&format!(r#","secure_boot":{{{SIGNED},"addons":{{"console":"console=ttyS0"}}}}"#));
    let disk = Disk::with(&spec, with_keys(&keys, &AUTHS));
    let (esp, scratch) = (Esp::of(&disk), TempDir::new().unwrap());
    let certificate = |name: &str| {
        let path = scratch.path().join(name);
        fs::write(&path, &keys[name]).unwrap();
        path
    };
    let (own, other) = (certificate("db.crt"), certificate("KEK.crt"));
    let image = format!("EFI/Linux/{NAME}+3-0.efi");
    for path in
        ["EFI/BOOT/BOOTX64.EFI", "EFI/systemd/systemd-bootx64.efi", &image, "loader/addons/console.addon.efi"]
    {
        let program = esp.path(path);
        assert!(is_signed(&program, &own), "{path}");
        assert!(!is_signed(&program, &other), "{path}");
        let len = fs::metadata(&program).unwrap().len() as usize;
        // In the headers, within, and at the end of what is signed.
        for at in [0x100, len / 2, len - 0x1000] {
            assert!(!is_signed(&flip(&program, at), &own), "{path} {at:#x}");
        }
    }
    // What is signed is what it was.
    assert_eq!(inspect(&esp.path(&image)).unwrap()[".uname"]["text"], "6.1.0-9-amd64");
    let told = "all that UEFI starts is signed by CN=Acme db";
    assert!(disk.edits.iter().any(|edit| edit.contains(told)), "{:?}", disk.edits);
    let secret = String::from_utf8_lossy(&keys["db.key"]).lines().nth(1).unwrap().to_owned();
    let bytes = fs::read(disk.path()).unwrap();
    assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
}

/// All that seals: a verified root, an image and an addon, signed, and keys for the firmware.
fn sealed(keys: &BTreeMap<String, Vec<u8>>) -> (Spec, Input) {
    let secure_boot = format!(r#"{{{SIGNED},"enroll":"keys","addons":{{"console":"console=ttyS0"}}}}"#);
    let secure_boot = serde_json::from_str(&secure_boot).unwrap();
    let spec = Spec { uki: None, secure_boot, ..verity::of_systemd_boot() };
    let mut input = with_keys(keys, &AUTHS);
    input.root = verity::tree();
    let mut editor = Editor::new(&mut input.root, Time::default());
    for name in ["systemd-bootx64.efi", "linuxx64.efi.stub", "addonx64.efi.stub"] {
        editor.write_file(format!("{FOLDER}/{name}"), of_systemd(name), 0o644).unwrap();
    }
    (spec, input)
}

/// What alters the root alters the hash of it, which is among what is signed.
#[test]
fn the_image_of_a_verified_root_has_its_hash_and_the_disk_is_sealed() {
    let keys = keys();
    let (spec, input) = sealed(&keys);
    let disk = Disk::with(&spec, input);
    verity::judge(&disk, "system");
    let (esp, scratch) = (Esp::of(&disk), TempDir::new().unwrap());
    let names = esp.names();
    let programs: Vec<_> = names.iter().filter(|name| name.to_lowercase().ends_with(".efi")).collect();
    assert!(!names.iter().any(|name| name.starts_with("loader/entries")), "{names:?}");
    let certificate = scratch.path().join("db.crt");
    fs::write(&certificate, &keys["db.crt"]).unwrap();
    assert_eq!(programs.len(), 4, "{names:?}");
    assert!(programs.iter().all(|program| is_signed(&esp.path(program), &certificate)), "{programs:?}");
    let image = esp.path(programs.iter().find(|name| name.starts_with("EFI/Linux/")).unwrap());
    let words = inspect(&image).unwrap()[".cmdline"]["text"].as_str().unwrap().to_owned();
    assert!(words.contains(&format!("roothash={} ro ", verity::root_hash(&disk))), "{words}");
    // In both profiles, of which ukify shows one.
    let bytes = fs::read(&image).unwrap();
    for word in [format!("roothash={} ro ", verity::root_hash(&disk)), " vmimage.addons=console".to_owned()] {
        assert_eq!(memchr::memmem::find_iter(&bytes, &word).count(), 2, "{word}");
    }
    assert_eq!(memchr::memmem::find(&bytes, b"roothash=$root_hash"), None);
    let addon = inspect(&esp.path("loader/addons/console.addon.efi")).unwrap();
    assert_eq!(addon[".cmdline"]["text"], "vmimage.addon=console console=ttyS0");
    let told = |what: &str| disk.edits.iter().any(|edit| edit.contains(what));
    assert!(
        told("sealed: ") && told("addon console, the machine does not start without it"),
        "{:?}",
        disk.edits
    );
}

#[test]
fn a_sealed_disk_is_the_same_by_every_number_of_threads_and_as_a_stream() {
    let keys = keys();
    let (spec, input) = sealed(&keys);
    let file = fs::read(Disk::with(&spec, input).path()).unwrap();
    for threads in [1, 3] {
        let (spec, input) = sealed(&keys);
        assert!(verity::streamed(&spec, input, threads) == file, "{threads}");
    }
    let (spec, input) = sealed(&self::keys());
    assert!(verity::streamed(&spec, input, 1) != file, "other keys, and the same disk");
}

#[test]
fn the_same_key_makes_the_same_disk_and_no_key_another_machine() {
    let keys = keys();
    let id = |more: &str| {
        let planned = plan(&spec(more), with_keys(&keys, &AUTHS), &Run::silent(NonZeroUsize::MIN)).unwrap();
        planned.id
    };
    let signed = format!(r#","secure_boot":{{{SIGNED}}}"#);
    assert_eq!(id(&signed), id(r#","uki":true"#));
    assert_ne!(id(&signed), id(""));
    let esp = || fs::read(Disk::with(&spec(&signed), with_keys(&keys, &AUTHS)).path()).unwrap();
    assert!(esp() == esp(), "two builds differ");
}

#[test]
fn a_key_that_cannot_sign_is_refused_and_not_told() {
    let keys = keys();
    let signed = spec(&format!(r#","secure_boot":{{{SIGNED}}}"#));
    let refused = |change: fn(&mut Input)| {
        let mut input = with_keys(&keys, &AUTHS);
        change(&mut input);
        plan(&signed, input, &Run::silent(NonZeroUsize::MIN)).unwrap_err().to_string()
    };
    let missing = refused(|input| input.materials.secrets.clear());
    assert_eq!(missing, "secret secure-boot: was not given to the build");
    let none =
        refused(|input| drop(input.materials.secrets.insert("secure-boot".into(), b"hunter2".to_vec())));
    assert_eq!(none, "secret secure-boot: is no private key in PEM");
    let other = refused(|input| {
        let other = self::keys()["KEK.key"].clone();
        input.materials.secrets.insert("secure-boot".into(), other);
    });
    assert_eq!(other, "secret secure-boot: is not the key of the certificate in keys/db.crt");
}

#[test]
fn a_firmware_without_keys_finds_them_and_addons_are_of_every_image() {
    let spec = spec(
        r#","uki":true,"secure_boot":{"enroll":"keys","enroll-mode":"force","addons":{"console":"console=ttyS0,115200"}}"#,
    );
    let keys = keys();
    let disk = Disk::with(&spec, with_keys(&keys, &AUTHS));
    let esp = Esp::of(&disk);
    for name in ["PK.auth", "KEK.auth", "db.auth"] {
        assert_eq!(fs::read(esp.path(&format!("loader/keys/auto/{name}"))).unwrap(), keys[name], "{name}");
    }
    assert!(!esp.path("loader/keys/auto/dbx.auth").exists());
    assert_eq!(esp.text("loader/loader.conf"), "timeout 3\nsecure-boot-enroll force\n");
    let said = inspect(&esp.path("loader/addons/console.addon.efi")).unwrap();
    // No initramfs of the distribution's looks for a name.
    assert_eq!(said[".cmdline"]["text"], "console=ttyS0,115200");
    let image = inspect(&esp.path(&format!("EFI/Linux/{NAME}+3-0.efi"))).unwrap();
    assert!(!image[".cmdline"]["text"].as_str().unwrap().contains("vmimage.addons"), "{image}");
    let told = "addon console, if it is altered, the machine starts without its words";
    assert!(disk.edits.iter().any(|edit| edit.contains(told)), "{:?}", disk.edits);
    let components = said[".sbat"]["text"].as_str().unwrap();
    assert!(components.contains("\nuki-addon,1,UKI Addon,addon,1,"), "{components}");
}

#[test]
fn what_cannot_be_given_to_a_firmware_is_refused_with_its_place() {
    let refused = |spec: &Spec, input: Input| {
        let error = plan(spec, input, &Run::silent(NonZeroUsize::MIN)).unwrap_err();
        assert!(error.hint().is_some(), "{error}");
        error.to_string()
    };
    let enrolls = spec(r#","secure_boot":{"enroll":"keys"}"#);
    let keys = keys();
    let lacking = refused(&enrolls, with_keys(&keys, &["PK.auth", "db.auth"]));
    assert_eq!(lacking, "keys/KEK.auth: is not in the build context");
    let mut other = with_keys(&keys, &AUTHS);
    let mut editor = Editor::new(&mut other.materials.context, Time::default());
    editor.write_file("keys/db.auth", *b"-----BEGIN CERTIFICATE-----", 0o644).unwrap();
    let said = refused(&enrolls, other);
    assert!(said.starts_with("keys/db.auth: is no update of a variable of UEFI"), "{said}");

    let without = |name: &str| {
        let mut tree = tree();
        Editor::new(&mut tree, Time::default()).remove(format!("{FOLDER}/{name}"));
        input(tree)
    };
    let addons = spec(r#","uki":true,"secure_boot":{"addons":{"a":"b"}}"#);
    let said = refused(&addons, without("addonx64.efi.stub"));
    assert!(said.starts_with(&format!("{FOLDER}/addonx64.efi.stub: is not there")), "{said}");
    let said = refused(&spec(r#","uki":true"#), without("linuxx64.efi.stub"));
    assert!(said.starts_with(&format!("{FOLDER}/linuxx64.efi.stub: is not there")), "{said}");
}
