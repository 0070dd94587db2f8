//! The update that comes of a build: the first slot of its disk, and what GRUB reads beside it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

use exporter::assemble::{Input, Programs, plan};
use exporter::boot;
use exporter::container::{Format, write};
use exporter::disk::Placed;
use exporter::engine::Run;
use exporter::error::Kind;
use exporter::machine::Materials;
use exporter::spec::{Loader, Profile, Spec};
use exporter::tree::{Editor, Time, Tree};
use minisign_verify::{PublicKey, Signature};
use tempfile::TempDir;

use crate::inputs::{self, input};
use crate::layouts::said;

/// A disk, and the update that was built with it.
pub(crate) struct Built {
    scratch: TempDir,
    partitions: Vec<Placed>,
    pub(crate) edits: Vec<String>,
}

pub(crate) fn spec(partitions: &str) -> Spec {
    let layout = format!(r#"{{"preset":"ab","partitions":[{partitions}]}}"#);
    Spec {
        layout: serde_json::from_str(&layout).unwrap(),
        image: serde_json::from_str(r#"{"id":"kiosk","version":"1.4.0"}"#).unwrap(),
        formats: vec![Format::Raw, Format::Update],
        ..Spec::default()
    }
}

impl Built {
    fn of(partitions: &str) -> Self {
        Self::after(&spec(partitions), inputs::debian_small(), None)
    }

    /// One that is told of the layout of an earlier build.
    fn after(spec: &Spec, root: Tree, placement: Option<Vec<u8>>) -> Self {
        let mut input = input(root);
        input.materials.placement = placement;
        Self::new(spec, input)
    }

    pub(crate) fn new(spec: &Spec, mut input: Input) -> Self {
        if let Some(bios) = input.boot.as_mut().and_then(|boot| boot.bios.as_mut()) {
            bios.modules = boot::core_modules(spec).into_iter().map(str::to_owned).collect();
        }
        let run = Run::silent(NonZeroUsize::new(2).unwrap());
        let planned = plan(spec, input, &run).unwrap();
        let scratch = TempDir::new().unwrap();
        let target = |&format: &Format| {
            planned.target(scratch.path().join(format.name()), format, format.default_compression())
        };
        let targets: Vec<_> = spec.formats.iter().map(target).collect();
        write(planned.image(), &targets, &run).unwrap();
        let edits = planned.system.unwrap().edits;
        Self { scratch, partitions: planned.layout.partitions, edits }
    }

    pub(crate) fn disk(&self) -> PathBuf {
        self.scratch.path().join("raw")
    }

    /// A file of the update.
    pub(crate) fn file(&self, end: &str) -> PathBuf {
        self.scratch.path().join(format!("update/kiosk_1.4.0.{end}"))
    }

    pub(crate) fn partition(&self, name: &str) -> &Placed {
        self.partitions.iter().find(|placed| placed.name == name).unwrap()
    }

    /// A file of the root in the first slot, an ext4.
    fn in_root(&self, path: &str) -> String {
        let at = format!("{}?offset={}", self.disk().display(), self.partition("kiosk_1.4.0").start);
        said(Command::new("debugfs").arg("-R").arg(format!("cat {path}")).arg(at))
    }

    /// What is said of the placement that it was told of.
    fn note(&self) -> &str {
        let note = self.edits.iter().find(|edit| edit.starts_with("placement: "));
        note.map_or("", String::as_str)
    }

    /// What each block of the root is.
    fn blocks(&self, version: &str) -> Vec<[u8; 36]> {
        let index = self.scratch.path().join(format!("update/kiosk_{version}.root.index"));
        fs::read(index).unwrap().as_chunks().0.to_vec()
    }

    /// Whether the root, unpacked, is what the first slot begins with, and nothing is behind it.
    pub(crate) fn has_the_slot(&self) -> bool {
        let placed = self.partition("kiosk_1.4.0");
        let mut slot = vec![0; placed.size as usize];
        File::open(self.disk()).unwrap().read_exact_at(&mut slot, placed.start).unwrap();
        let plain = self.scratch.path().join("plain");
        said(Command::new("zstd").args(["-dqf", "-o"]).arg(&plain).arg(self.file("root.zst")));
        let root = fs::read(plain).unwrap();
        let (front, behind) = slot.split_at(root.len());
        root.len() > 4096 && root == front && behind.iter().all(|byte| *byte == 0)
    }
}

#[test]
fn the_root_is_the_first_slot_of_the_disk() {
    let built = Built::of("");
    assert!(built.has_the_slot());
    assert!(!built.file("boot.tar.zst").exists(), "GRUB reads the root");
    let manifest = fs::read_to_string(built.scratch.path().join("update/manifest.json")).unwrap();
    assert!(manifest.contains("\"compatible\": \"kiosk\"") && manifest.contains("\"loader\": \"grub\""));
}

#[test]
fn kernels_go_with_a_root_that_grub_does_not_read() {
    let built = Built::of(r#"{"type":"root","filesystem":"erofs"},{"type":"esp","size":"512M"}"#);
    assert!(built.has_the_slot());
    let root = fs::read(built.scratch.path().join("plain")).unwrap();
    let says = br#""loader":"grub","kernels":true}"#;
    assert!(root.windows(says.len()).any(|window| window == says));
    let archive = built.file("boot.tar.zst");
    let list = said(Command::new("tar").args(["--zstd", "-tf"]).arg(&archive));
    let kernels = ["6.1.0-9", "5.10.0-1"]
        .map(|version| format!("boot/vmlinuz-{version}-amd64\nboot/initrd.img-{version}-amd64\n"));
    assert_eq!(list, kernels.concat() + "boot/grub/grub.cfg\n");
    let image = format!("{}@@{}", built.disk().display(), built.partition("esp").start);
    for path in list.lines() {
        let packed = said(Command::new("tar").args(["--zstd", "-xOf"]).arg(&archive).arg(path));
        let on_esp = said(Command::new("mtype").args(["-i", &image, &format!("::/A/{path}")]));
        assert!(packed == on_esp, "{path}");
    }
}

/// What `[rauc]` names: a certificate in the context, and its key as a secret.
fn materials(scratch: &TempDir) -> Materials {
    let [certificate, key] = ["crt", "key"].map(|name| scratch.path().join(name));
    let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=release"];
    said(Command::new("openssl").args(request).arg("-keyout").arg(&key).arg("-out").arg(&certificate));
    let mut materials = Materials::default();
    let editor = &mut Editor::new(&mut materials.context, Time::default());
    editor.write_file("/release.crt", fs::read(certificate).unwrap(), 0o644).unwrap();
    materials.secrets.insert("release".into(), fs::read(key).unwrap());
    materials
}

#[test]
fn a_bundle_has_the_slot_and_the_machine_takes_it() {
    let scratch = TempDir::new().unwrap();
    let rauc = serde_json::from_str(r#"{"certificate":"release.crt","key":"release"}"#).unwrap();
    let spec = Spec { rauc, formats: vec![Format::Raw, Format::Rauc], ..spec("") };
    let mut root = inputs::debian_small();
    Editor::new(&mut root, Time::default()).write_file("/usr/bin/rauc", Vec::new(), 0o755).unwrap();
    let with = |materials| Input { materials, ..input(root.clone()) };
    let refused = |materials| {
        let planned = plan(&spec, with(materials), &Run::silent(NonZeroUsize::MIN));
        planned.map(drop).unwrap_err().to_string()
    };
    let materials = materials(&scratch);
    let no_key = Materials { secrets: BTreeMap::new(), ..materials.clone() };
    assert_eq!(refused(no_key), "secret release: was not given to the build");
    assert_eq!(refused(Materials::default()), "release.crt: is not in the build context");

    let built = Built::new(&spec, with(materials));
    let [bundle, out] = ["rauc", "out"].map(|name| built.scratch.path().join(name));
    let certificate = scratch.path().join("crt");
    let keyring = format!("--keyring={}", certificate.display());
    said(Command::new("rauc").arg(keyring).arg("extract").arg(bundle).arg(&out));
    let mut slot = fs::read(out.join("rootfs.ext4")).unwrap();
    let placed = built.partition("kiosk_1.4.0");
    assert_eq!(slot.len() as u64, placed.size, "an ext4 is as large as its slot");
    File::open(built.disk()).unwrap().read_exact_at(&mut slot, placed.start).unwrap();
    assert!(slot == fs::read(out.join("rootfs.ext4")).unwrap());
    let cat = |path: &str| {
        said(Command::new("debugfs").arg("-R").arg(format!("cat {path}")).arg(out.join("rootfs.ext4")))
    };
    assert!(cat("/etc/rauc/system.conf").ends_with("[keyring]\npath=/etc/rauc/keyring.pem\n"));
    assert_eq!(cat("/etc/rauc/keyring.pem"), fs::read_to_string(certificate).unwrap());
}

/// An app of so many files of 100,000 bytes, one of them changed as `salt` says.
fn with_app(files: u64, salt: u64) -> Tree {
    let mut root = inputs::debian_small();
    let mut editor = Editor::new(&mut root, Time { seconds: 1_700_000_000 + salt as i64, nanoseconds: 0 });
    for number in 0..files {
        let own = if number == 3 { salt } else { 0 };
        let content = inputs::noise(100_000 + own * 5000, number + 100 + own);
        editor.write_file(format!("/opt/app/{number:02}"), content, 0o644).unwrap();
    }
    root
}

#[test]
fn the_next_version_keeps_to_the_layout_of_the_last() {
    let first = Built::after(&spec(""), with_app(40, 0), None);
    assert_eq!(first.note(), "", "none was given");
    let placement = fs::read(first.file("root.placement")).unwrap();
    let mut next = spec("");
    next.image = serde_json::from_str(r#"{"id":"kiosk","version":"1.5.0"}"#).unwrap();
    let differing = |built: &Built| {
        let (before, after) = (first.blocks("1.4.0"), built.blocks("1.5.0"));
        let same = before.iter().zip(&after).filter(|(before, after)| before[..32] == after[..32]).count();
        before.len().max(after.len()) - same
    };
    let kept = Built::after(&next, with_app(40, 1), Some(placement.clone()));
    assert!(kept.note().ends_with("files are where the earlier build had them"), "{}", kept.note());
    assert_eq!(kept.blocks("1.5.0").len(), first.blocks("1.4.0").len(), "the geometry");
    // The file has two or three; there are its inode and those of what has the version and the UUIDs of this build.
    let (with, without) = (differing(&kept), differing(&Built::after(&next, with_app(40, 1), None)));
    println!("{with} blocks differ, without the placement {without}");
    assert!(with <= 30 && without > with + 30, "{with} and {without}");

    let again = Built::after(&next, with_app(40, 1), Some(placement.clone()));
    let [one, other] = [&kept, &again].map(|built| fs::read(built.disk()).unwrap());
    assert!(one == other, "the same input and the same placement make the same disk");

    // Neither two megabytes more nor less of files change its size: by themselves they would.
    for files in [20, 60] {
        let kept = Built::after(&next, with_app(files, 0), Some(placement.clone()));
        let alone = Built::after(&next, with_app(files, 0), None);
        let len = first.blocks("1.4.0").len();
        assert_ne!(alone.blocks("1.5.0").len(), len, "{files} files");
        assert_eq!(kept.blocks("1.5.0").len(), len, "{files} files");
        let different = differing(&kept);
        assert!((30..=45).contains(&different), "{files} files: {different}");
    }
}

#[test]
fn a_placement_that_is_of_no_use_is_said_and_left() {
    let garbage = Built::after(&spec(""), inputs::debian_small(), Some(b"garbage".to_vec()));
    assert!(garbage.note().starts_with("placement: not kept to, all is placed anew: "), "{}", garbage.note());
    let plain = Built::of("");
    let [one, other] = [&garbage, &plain].map(|built| fs::read(built.disk()).unwrap());
    assert!(one == other, "all is as without it");
    let placement = fs::read(plain.file("root.placement")).unwrap();
    let erofs = r#"{"type":"root","filesystem":"erofs"},{"type":"esp","size":"512M"}"#;
    let erofs = Built::after(&spec(erofs), inputs::debian_small(), Some(placement.clone()));
    assert!(erofs.note().ends_with(": the root is erofs"), "{}", erofs.note());
    assert!(!erofs.file("root.placement").exists());

    let data = Spec { profile: Profile::Data, ..Spec::default() };
    let mut input = input(inputs::debian_small());
    input.materials.placement = Some(placement);
    let refused = plan(&data, input, &Run::silent(NonZeroUsize::MIN)).map(drop).unwrap_err();
    assert!(refused.to_string().starts_with("placement: "), "{refused}");
}

#[test]
fn a_build_that_has_no_name_has_no_update() {
    let refused = |spec: &Spec| {
        let planned = plan(spec, input(inputs::debian_small()), &Run::silent(NonZeroUsize::MIN));
        planned.map(drop).unwrap_err()
    };
    let unnamed = Spec { image: serde_json::from_str(r#"{"id":"kiosk"}"#).unwrap(), ..spec("") };
    let error = refused(&unnamed);
    assert_eq!(error.to_string(), "image.version: is not said, and an update is called by id and version");
    assert!(error.hint().unwrap().to_string().contains("image.version = "));
    let error = refused(&Spec { layout: Default::default(), ..spec("") }).to_string();
    assert!(
        error.ends_with("format has update, the root for a machine that has two: ask for layout = \"ab\""),
        "{error}"
    );
}

const KEY: &[u8] = include_bytes!("../../../testdata/update/release.key");
const PUBLIC_KEY: &str = "RWQxYAcie9UMBD2m/FcLJpN/pIFiPCdHdLwXmRHboeVxDHZawc7iaSXV";

/// Signed by the secret `release`, as far as it was given.
fn signed(update: &str, secret: Option<&[u8]>) -> (Spec, Input) {
    let mut input = input(inputs::debian_small());
    input.materials.secrets.extend(secret.map(|secret| ("release".to_owned(), secret.to_vec())));
    (Spec { update: serde_json::from_str(update).unwrap(), ..spec("") }, input)
}

#[test]
fn a_root_has_what_installs_the_next_one_and_believes_the_key_of_its_build() {
    let (spec, input) =
        signed(r#"{"from":"https://updates.example.com/kiosk/","every":"6h","sign":"release"}"#, Some(KEY));
    let built = Built::new(&spec, input);
    assert_eq!(
        built.in_root("/usr/lib/vmimage/update.json"),
        format!(
            r#"{{"id":"kiosk","version":"1.4.0","compatible":"kiosk","architecture":"x86_64","loader":"grub","from":"https://updates.example.com/kiosk/","every":21600,"public-keys":["{PUBLIC_KEY}"]}}"#
        )
    );
    assert!(
        built.in_root("/usr/lib/systemd/system/vmimage-update.timer").contains("OnUnitActiveSec=21600\n")
    );
    assert!(built.edits.contains(&format!("update: has to be signed by {PUBLIC_KEY}")), "{:?}", built.edits);
    let [sums, signature] = ["SHA256SUMS", "SHA256SUMS.minisig"]
        .map(|name| fs::read(built.scratch.path().join("update").join(name)).unwrap());
    let signature = Signature::decode(std::str::from_utf8(&signature).unwrap()).unwrap();
    assert_eq!(signature.trusted_comment(), "kiosk 1.4.0");
    PublicKey::from_base64(PUBLIC_KEY).unwrap().verify(&sums, &signature, false).unwrap();
    // Nothing of the secret is on the disk or in the update.
    let secret = std::str::from_utf8(KEY).unwrap().lines().nth(1).unwrap();
    for file in [built.disk(), built.scratch.path().join("update/manifest.json")] {
        let bytes = fs::read(file).unwrap();
        // Of its seed, in base64.
        assert!(!bytes.is_empty() && !bytes.windows(24).any(|window| *window == secret.as_bytes()[90..114]));
    }
}

#[test]
fn what_is_not_signed_says_so_and_a_key_that_is_missing_is_asked_for() {
    let built = Built::of("");
    assert!(!built.scratch.path().join("update/SHA256SUMS.minisig").exists());
    assert!(
        built.edits.iter().any(|edit| edit.starts_with("update: need not be signed")),
        "{:?}",
        built.edits
    );

    let run = Run::silent(NonZeroUsize::MIN);
    let refused = |(spec, input): (Spec, Input)| plan(&spec, input, &run).map(drop).unwrap_err();
    let error = refused(signed(r#"{"sign":"release"}"#, None));
    assert_eq!(error.to_string(), "secret release: was not given to the build");
    assert_eq!(error.hint().unwrap().to_string(), "add --secret id=release,src=FILE");
    let locked = include_bytes!("../../../testdata/update/locked.key");
    let error = refused(signed(r#"{"sign":"release"}"#, Some(locked)));
    assert!(error.to_string().starts_with("secret release: is a key of minisign with a password"), "{error}");
    assert!(error.hint().unwrap().to_string().ends_with("minisign -G -W"));

    // A disk alone needs no secret, where it is said whom the machine believes.
    let trusting = format!(r#"{{"sign":"release","public-key":"{PUBLIC_KEY}"}}"#);
    let disk_alone = |(spec, input)| (Spec { formats: vec![Format::Raw], ..spec }, input);
    let (spec, input) = disk_alone(signed(&trusting, None));
    assert!(plan(&spec, input, &run).is_ok());
    assert_eq!(refused(signed(&trusting, None)).to_string(), "secret release: was not given to the build");
    assert_eq!(*refused(disk_alone(signed(r#"{"sign":"release"}"#, None))).kind(), Kind::NotFound);
}

#[test]
fn a_build_without_the_program_is_refused() {
    let input = input(inputs::debian_small());
    let programs = Programs { update: None, ..input.programs };
    let refused =
        plan(&spec(""), Input { programs, ..input }, &Run::silent(NonZeroUsize::MIN)).map(drop).unwrap_err();
    assert!(
        refused.to_string().starts_with("/usr/bin/vmimage-update: this vmimage has no vmimage-update"),
        "{refused}"
    );
    assert!(refused.hint().unwrap().to_string().contains("make out/vmimage"));
}

/// Signed by GPG, for a machine that systemd-boot starts: the list is believed by the keyring of the root, and by no other.
#[test]
fn systemd_sysupdate_is_told_of_the_slots_and_finds_a_root_that_it_unpacks() {
    let key = include_bytes!("../../../testdata/update/gpg-ed25519.asc");
    let (spec, mut input) =
        signed(r#"{"from":"https://updates.example.com/kiosk/","sign":"release"}"#, Some(key));
    let mut editor = Editor::new(&mut input.root, Time::default());
    for path in ["/usr/lib/systemd/boot/efi/systemd-bootx64.efi", "/boot/vmlinuz-6.1.0-9-amd64"] {
        editor.write_file(path, *b"MZ", 0o644).unwrap();
    }
    for program in ["/usr/lib/systemd/systemd-sysupdate", "/usr/bin/gpg"] {
        editor.write_file(program, *b"", 0o755).unwrap();
    }
    let built = Built::new(&Spec { loader: Loader::SystemdBoot, ..spec }, input);
    let transfer = built.in_root("/usr/lib/sysupdate.d/50-root.transfer");
    assert!(
        transfer.contains("\nVerify=yes\n") && transfer.contains("\nMatchPattern=kiosk_@v.root.gz\n"),
        "{transfer}"
    );
    let unit = built.in_root("/usr/lib/systemd/system/vmimage-adopt.service");
    assert!(unit.contains("\nExecStop=/usr/bin/vmimage-boot adopt\n"), "{unit}");
    assert!(built.has_the_slot());
    let compare = format!("gzip -dc '{}' | cmp - plain", built.file("root.gz").display());
    said(Command::new("sh").args(["-c", &compare]).current_dir(built.scratch.path()));

    let folder = built.scratch.path().join("update");
    let [ring, home] = ["ring", "home"].map(|name| built.scratch.path().join(name));
    fs::create_dir(&home).unwrap();
    let at = format!("{}?offset={}", built.disk().display(), built.partition("kiosk_1.4.0").start);
    let dump = format!("dump /etc/systemd/import-pubring.gpg {}", ring.display());
    said(Command::new("debugfs").arg("-R").arg(dump).arg(at));
    let mut gpg = Command::new("gpg");
    gpg.arg("--homedir").arg(&home).args([
        "--no-options",
        "--batch",
        "--no-default-keyring",
        "--trust-model=always",
    ]);
    gpg.arg("--keyring")
        .arg(&ring)
        .arg("--verify")
        .args(["SHA256SUMS.gpg", "SHA256SUMS"])
        .current_dir(&folder);
    said(&mut gpg);
}
