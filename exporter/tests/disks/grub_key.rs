//! GRUB that starts nothing but what a key has signed: gpgv believes each signature, and so does GRUB itself, run as a program of this
//! system (grub-emu) that reads the disk; what was altered neither does.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use exporter::assemble::Input;
use exporter::boot::CheckingFiles;
use exporter::clone;
use exporter::container::update::Signer;
use exporter::container::{self, Format};
use exporter::fs::{DiskBudget, FileSystem};
use exporter::secure_boot;
use exporter::seed::Seed;
use exporter::spec::{Firmware, Spec, Volatile};
use exporter::tree::{Editor, Time, Tree};
use tempfile::TempDir;

use crate::inputs;
use crate::kernels::RELEASE;
use crate::layouts::{Disk, said, started};
use crate::verity;

const KEY: &[u8] = include_bytes!("../../../testdata/update/gpg-rsa3072.asc");
const ED25519: &[u8] = include_bytes!("../../../testdata/update/gpg-ed25519.asc");
const STUB: &str = "/EFI/debian/grub.cfg";
/// Of the small Debian.
const KERNELS: [&str; 4] = [
    "/boot/vmlinuz-6.1.0-9-amd64",
    "/boot/initrd.img-6.1.0-9-amd64",
    "/boot/vmlinuz-5.10.0-1-amd64",
    "/boot/initrd.img-5.10.0-1-amd64",
];

fn spec(layout: &str) -> Spec {
    Spec {
        layout: serde_json::from_str(layout).unwrap(),
        grub: serde_json::from_str(r#"{"key":"grub"}"#).unwrap(),
        formats: vec![Format::Raw],
        ..Spec::default()
    }
}

/// An image of GRUB's with room for a key, of a few modules.
fn checking(format: &str) -> Arc<[u8]> {
    let scratch = TempDir::new().unwrap();
    let [key, image] = ["key", "image"].map(|name| scratch.path().join(name).display().to_string());
    fs::write(&key, format!("{:<1024}", "vmimage: the place of the key of GRUB")).unwrap();
    let mut mkimage = Command::new("grub-mkimage");
    mkimage.args(["-O", format, "-p", "/EFI/debian", "-o", &image, "-k", &key, "pgp", "gcry_rsa"]);
    said(&mut mkimage);
    fs::read(image).unwrap().into()
}

fn input(spec: &Spec, tree: Tree) -> Input {
    let mut input = started(spec, tree);
    let boot = input.boot.as_mut().unwrap();
    boot.checking = CheckingFiles { core: Some(checking("i386-pc")), grub: Some(checking("x86_64-efi")) };
    input.materials.secrets = [("grub".to_owned(), KEY.to_vec())].into();
    input
}

fn disk(spec: &Spec, tree: Tree) -> Disk {
    Disk::with(spec, input(spec, tree))
}

/// A small Debian whose package of GRUB would write menus.
fn tree() -> Tree {
    let mut tree = inputs::debian_small();
    let mut editor = Editor::new(&mut tree, Time::default());
    for hook in ["postinst.d", "postrm.d"] {
        editor.write_file(format!("/etc/kernel/{hook}/zz-update-grub"), *b"update-grub", 0o755).unwrap();
    }
    tree
}

fn edits(disk: &Disk, text: &str) -> bool {
    disk.edits.iter().any(|edit| edit.contains(text))
}

/// Copies of files of a partition.
struct Copies(TempDir);

impl Copies {
    /// Of these paths of an ext4, and of the signatures beside them.
    fn of_ext4(disk: &Disk, partition: &str, paths: &[String]) -> Self {
        let copies = Self(TempDir::new().unwrap());
        for (index, path) in paths.iter().enumerate() {
            for suffix in ["", ".sig"] {
                let to = copies.path(index, suffix);
                disk.debugfs(partition, &format!("dump {path}{suffix} {}", to.display()));
            }
        }
        copies
    }

    /// Of the first configuration.
    fn of_stub(disk: &Disk) -> Self {
        let copies = Self(TempDir::new().unwrap());
        let esp = disk.volume(disk.partition("esp"));
        for suffix in ["", ".sig"] {
            let from = format!("::{STUB}{suffix}");
            said(Command::new("mcopy").arg("-i").arg(&esp).arg(from).arg(copies.path(0, suffix)));
        }
        copies
    }

    fn path(&self, index: usize, suffix: &str) -> PathBuf {
        self.0.path().join(format!("{index}{suffix}"))
    }

    /// Whether gpgv believes a signature.
    fn is_right(&self, index: usize) -> bool {
        let ring = self.0.path().join("ring");
        fs::write(&ring, Signer::new("key", KEY).unwrap().gpg_keyring().unwrap()).unwrap();
        let mut gpgv = Command::new("gpgv");
        gpgv.arg("--homedir").arg(self.0.path()).arg("--keyring").arg(ring);
        let output = gpgv.args([self.path(index, ".sig"), self.path(index, "")]).output();
        let output = output.unwrap_or_else(|error| panic!("gpgv must be installed: {error}"));
        output.status.success()
    }
}

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

/// What GRUB says of these files of the disk, each as `(hd0,gpt1)/path`, when it reads nothing that the key in its own image has not
/// signed: a line for each, good or bad.
fn read_by_grub(disk: &Disk, files: &[String]) -> Vec<String> {
    let folder = TempDir::new().unwrap();
    let [map, key] = ["map", "key"].map(|name| folder.path().join(name));
    fs::write(&map, format!("(hd0) {}\n", disk.path().display())).unwrap();
    fs::write(&key, room(disk)).unwrap();
    let mut script = format!("trust --skip-sig (host){}\nset check_signatures=enforce\n", key.display());
    for file in files {
        let check = format!("if verify_detached {file} {file}.sig; then");
        script += &format!("{check}\necho good {file}\nelse\necho bad {file}\nfi\n");
    }
    fs::write(folder.path().join("grub.cfg"), script + "halt\n").unwrap();
    let mut emu = Command::new("timeout");
    emu.args(["60", "grub-emu", "-d"]).arg(folder.path()).arg("-m").arg(&map).env("TERM", "dumb");
    let output = emu.stdin(File::open("/dev/null").unwrap()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    let lines = text.lines().filter(|line| line.starts_with("good ") || line.starts_with("bad "));
    let lines: Vec<_> = lines.map(str::to_owned).collect();
    assert_eq!(lines.len(), files.len(), "{text}");
    lines
}

/// Where GRUB for UEFI has the key, with the zeroes behind it.
fn room(disk: &Disk) -> Vec<u8> {
    let esp = disk.volume(disk.partition("esp"));
    let program = esp.with_extension("program");
    said(Command::new("mcopy").arg("-o").arg("-i").arg(esp).arg("::/EFI/BOOT/BOOTX64.EFI").arg(&program));
    let bytes = fs::read(program).unwrap();
    let before = checking("x86_64-efi");
    let at = (0..bytes.len()).find(|at| bytes[*at] != before[*at]).unwrap();
    bytes[at..at + 1024].to_vec()
}

#[test]
fn everything_that_grub_reads_has_a_signature_beside_it() {
    let disk = disk(&spec("{}"), tree());
    for part in disk.parts.iter().filter(|part| part.file_system.is_some()) {
        assert!(disk.is_whole(&part.placed, part.file_system.unwrap()), "{part:?}");
    }
    let paths: Vec<String> =
        KERNELS.iter().copied().chain(["/boot/grub/grub.cfg"]).map(str::to_owned).collect();
    let copies = Copies::of_ext4(&disk, "root", &paths);
    for index in 0..paths.len() {
        assert!(copies.is_right(index), "{}", paths[index]);
        // A byte of the file, and one of the number that is the signature.
        for (suffix, at) in [("", 5), (".sig", 100)] {
            let path = copies.path(index, suffix);
            flip(&path, at);
            assert!(!copies.is_right(index), "{}{suffix}", paths[index]);
            flip(&path, at);
        }
    }
    assert!(Copies::of_stub(&disk).is_right(0));
    // The menu names files, and links to none that will be another one; nobody edits it.
    let menu = disk.debugfs("root", "cat /boot/grub/grub.cfg");
    assert!(
        menu.contains("linux /boot/vmlinuz-6.1.0-9-amd64 ") && !menu.contains("linux /vmlinuz "),
        "{menu}"
    );
    assert_eq!(
        (menu.matches("menuentry ").count(), menu.matches(" --unrestricted {").count()),
        (2, 2),
        "{menu}"
    );
    let esp = disk.volume(disk.partition("esp"));
    let stub = said(Command::new("mtype").arg("-i").arg(esp).arg(format!("::{STUB}")));
    assert!(stub.starts_with("set superusers=root\nexport superusers\nregexp "), "{stub}");
    let end = "verify_detached $prefix/grub.cfg $prefix/grub.cfg.sig\nconfigfile $prefix/grub.cfg\n";
    assert!(stub.ends_with(end), "{stub}");
    for hook in ["postinst.d", "postrm.d"] {
        let listed = disk.debugfs("root", &format!("ls /etc/kernel/{hook}"));
        assert!(!listed.contains("zz-update-grub"), "{listed}");
    }
    let name = "reads nothing but what the key ";
    assert!(edits(&disk, name) && edits(&disk, "Secure Boot: has to be off"), "{:?}", disk.edits);
    assert!(!disk.debugfs("root", "ls /etc/default/grub.d").contains("zz-vmimage"));
}

#[test]
fn grub_itself_reads_what_was_signed_and_nothing_that_was_altered() {
    let disk = disk(&spec("{}"), tree());
    let number = |name: &str| disk.parts.iter().find(|part| part.placed.name == name).unwrap().placed.number;
    let (esp, root) = (number("esp"), number("root"));
    let mut files = vec![format!("(hd0,gpt{esp}){STUB}"), format!("(hd0,gpt{root})/boot/grub/grub.cfg")];
    files.extend(KERNELS.map(|path| format!("(hd0,gpt{root}){path}")));
    let all_good: Vec<_> = files.iter().map(|file| format!("good {file}")).collect();
    assert_eq!(read_by_grub(&disk, &files), all_good);
    // The first text of the menu on the disk, and the kernel's in front.
    let bytes = fs::read(disk.path()).unwrap();
    let start = disk.partition("root").start;
    for (index, text) in [(0, &b"export superusers\nregexp"[..]), (1, b"menuentry "), (4, b"an older kernel")]
    {
        let from = if index == 0 { 0 } else { start as usize };
        let at = from + memchr::memmem::find(&bytes[from..], text).unwrap();
        flip(&disk.path(), at as u64);
        let said = read_by_grub(&disk, &files);
        flip(&disk.path(), at as u64);
        let bad: Vec<_> = said.iter().filter(|line| line.starts_with("bad ")).collect();
        assert_eq!(bad, [&format!("bad {}", files[index])]);
    }
}

#[test]
fn a_boot_partition_has_the_signatures_and_its_menu_is_never_another() {
    for (layout, file_system) in [("split-boot", FileSystem::Ext4), ("split-boot-vfat", FileSystem::Vfat)] {
        let mut tree = tree();
        Editor::new(&mut tree, Time::default()).write_file("/usr/bin/dpkg", *b"", 0o755).unwrap();
        let disk = disk(&spec(&format!(r#"{{"preset":"{layout}"}}"#)), tree);
        let boot = disk.parts.iter().find(|part| part.mount.as_deref() == Some("/boot")).unwrap();
        assert_eq!(boot.file_system, Some(file_system));
        if file_system == FileSystem::Ext4 {
            let paths: Vec<_> = ["/grub/grub.cfg", "/vmlinuz-6.1.0-9-amd64", "/initrd.img-6.1.0-9-amd64"]
                .map(str::to_owned)
                .into();
            let copies = Copies::of_ext4(&disk, "boot", &paths);
            assert!((0..paths.len()).all(|index| copies.is_right(index)));
        } else {
            let volume = disk.volume(&boot.placed);
            let listed = said(Command::new("mdir").arg("-b").arg("-/").arg("-i").arg(volume).arg("::"));
            for name in ["/grub/grub.cfg.sig", "/vmlinuz-6.1.0-9-amd64.sig", "/initrd.img-6.1.0-9-amd64.sig"]
            {
                assert!(listed.contains(name), "{listed}");
            }
        }
        for hook in ["postinst.d", "postrm.d"] {
            assert!(!disk.debugfs("root", &format!("ls /etc/kernel/{hook}")).contains("zz-"));
        }
    }
}

#[test]
fn the_root_hash_is_in_what_was_signed() {
    let layout = r#"{"preset":"simple","partitions":[{"type":"root","verity":true},{"type":"srv"}]}"#;
    let spec = Spec { volatile: Volatile::Overlay, ..spec(layout) };
    let disk = disk(&spec, verity::tree());
    let stub = Copies::of_stub(&disk);
    let text = fs::read_to_string(stub.path(0, "")).unwrap();
    assert!(text.contains(&format!("set root_hash={}\n", verity::root_hash(&disk))), "{text}");
    assert!(stub.is_right(0));
    let paths = [format!("/boot/vmlinuz-{RELEASE}"), format!("/boot/initrd.img-{RELEASE}")];
    let copies = Copies::of_ext4(&disk, "root", &paths);
    assert!(copies.is_right(0) && copies.is_right(1));
    assert!(edits(&disk, "sealed by GRUB's key, but for GRUB itself: "), "{:?}", disk.edits);
}

/// sbverify believes them, by the certificate that a firmware knows.
#[test]
fn a_firmware_checks_grub_and_the_kernels_by_a_key_of_its_own() {
    let keys = secure_boot::generate("Acme", 1_700_000_000, 3650).unwrap();
    let of = |name: &str| keys.iter().find(|file| file.name == name).unwrap().bytes.clone();
    let asked = r#"{"certificate":"keys/db.crt","key":"db"}"#;
    let secure_boot = serde_json::from_str(asked).unwrap();
    let spec = Spec { firmware: Firmware::Uefi, secure_boot, ..spec("{}") };
    let mut tree = tree();
    let program = checking("x86_64-efi");
    for path in [KERNELS[0], KERNELS[2]] {
        Editor::new(&mut tree, Time::default()).write_file(path, program.clone(), 0o644).unwrap();
    }
    let mut input = input(&spec, tree);
    Editor::new(&mut input.materials.context, Time::default())
        .write_file("keys/db.crt", of("db.crt"), 0o644)
        .unwrap();
    input.materials.secrets.insert("db".into(), of("db.key"));
    let disk = Disk::with(&spec, input);
    let copies = Copies::of_ext4(&disk, "root", &[KERNELS[0], KERNELS[2]].map(str::to_owned));
    let (esp, grub) = (disk.volume(disk.partition("esp")), copies.path(9, ""));
    said(Command::new("mcopy").arg("-i").arg(esp).arg("::/EFI/BOOT/BOOTX64.EFI").arg(&grub));
    let certificate = |name: &str| {
        let path = copies.path(8, name);
        fs::write(&path, of(name)).unwrap();
        path
    };
    for program in [&copies.path(0, ""), &copies.path(1, ""), &grub] {
        let is_signed = |name: &str| {
            let output = Command::new("sbverify").arg("--cert").arg(certificate(name)).arg(program).output();
            output.unwrap().status.success()
        };
        assert!(is_signed("db.crt") && !is_signed("KEK.crt"), "{program:?}");
    }
    // GRUB's key signs what the other one has signed.
    assert!(copies.is_right(0) && copies.is_right(1));
    assert!(edits(&disk, "Secure Boot: GRUB and the kernels are signed by CN=Acme db"), "{:?}", disk.edits);
}

#[test]
fn two_builds_sign_the_same() {
    let disks = [(); 2].map(|()| fs::read(disk(&spec("{}"), tree()).path()).unwrap());
    assert!(disks[0] == disks[1]);
}

#[test]
fn no_secret_is_on_the_disk() {
    let disk = disk(&spec("{}"), tree());
    let bytes = fs::read(disk.path()).unwrap();
    let text = String::from_utf8(KEY.to_vec()).unwrap();
    for line in text.lines().filter(|line| line.len() == 64) {
        assert_eq!(memchr::memmem::find(&bytes, line.as_bytes()), None);
    }
    // Of the numbers behind the public half.
    let ring = Signer::new("key", KEY).unwrap().gpg_keyring().unwrap();
    assert!(memchr::memmem::find(&bytes, &ring[..300]).is_some(), "the public half is in GRUB's image");
}

#[test]
fn what_nobody_could_sign_is_refused() {
    let refused = |spec: &Spec, input: Input| {
        let run = exporter::engine::Run::silent(std::num::NonZeroUsize::MIN);
        exporter::assemble::plan(spec, input, &run).unwrap_err().to_string()
    };
    let plain = spec("{}");
    let with_secret = |secret: &[u8]| {
        let mut input = input(&plain, tree());
        input.materials.secrets = [("grub".to_owned(), secret.to_vec())].into();
        refused(&plain, input)
    };
    assert_eq!(with_secret(ED25519), "secret grub: is a key of GPG for Ed25519, which GRUB does not know");
    assert_eq!(with_secret(b"hunter2"), "secret grub: is no secret key of GPG");
    let mut without = input(&plain, tree());
    without.materials.secrets.clear();
    assert_eq!(refused(&plain, without), "secret grub: was not given to the build");
    let mut unchecking = input(&plain, tree());
    unchecking.boot.as_mut().unwrap().checking = CheckingFiles::default();
    assert!(refused(&plain, unchecking).contains("has no GRUB with room for a key"));
    let mut ignites = tree();
    Editor::new(&mut ignites, Time::default()).write_file("/boot/ignition.firstboot", *b"", 0o644).unwrap();
    let said = refused(&plain, input(&plain, ignites));
    assert!(said.starts_with("/boot/ignition.firstboot: is read by GRUB"), "{said}");
    let slots = spec(r#"{"preset":"ab"}"#);
    assert!(refused(&slots, input(&slots, tree())).contains("grub.key is of disks with one root so far"));
}

#[test]
fn a_copy_with_other_names_would_not_be_what_was_signed() {
    let disk = disk(&spec("{}"), tree());
    let (_, opened) = container::open(&disk.path()).unwrap();
    let refused = clone::plan(opened, &Seed::new(b"copy"), &DiskBudget::new(1 << 30)).unwrap_err();
    assert!(refused.to_string().contains("grub.cfg.sig"), "{refused}");
}
