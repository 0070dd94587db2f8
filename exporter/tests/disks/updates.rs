//! The update that comes of a build: the first slot of its disk, and what GRUB reads beside it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

use exporter::assemble::{Input, Planned, plan};
use exporter::boot;
use exporter::container::{Format, Target, write};
use exporter::disk::Placed;
use exporter::engine::Run;
use exporter::machine::Materials;
use exporter::spec::Spec;
use exporter::tree::{Editor, Time};
use tempfile::TempDir;

use crate::inputs::{self, input};
use crate::layouts::said;

/// A disk, and the update that was built with it.
struct Built {
    scratch: TempDir,
    partitions: Vec<Placed>,
}

fn spec(partitions: &str) -> Spec {
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
        let (spec, mut input) = (spec(partitions), input(inputs::debian_small()));
        if let Some(bios) = input.boot.as_mut().and_then(|boot| boot.bios.as_mut()) {
            bios.modules = boot::core_modules(&spec).into_iter().map(str::to_owned).collect();
        }
        let run = Run::silent(NonZeroUsize::new(2).unwrap());
        let planned = plan(&spec, input, &run).unwrap();
        Self::write(&spec, planned, TempDir::new().unwrap())
    }

    fn write(spec: &Spec, planned: Planned, scratch: TempDir) -> Self {
        let target = |&format: &Format| Target {
            path: scratch.path().join(format.name()),
            format,
            compression: format.default_compression(),
            id: planned.id,
            appliance: planned.appliance.clone(),
            update: planned.update.clone(),
            sparse: false,
        };
        let targets: Vec<_> = spec.formats.iter().map(target).collect();
        write(planned.image(), &targets, &Run::silent(NonZeroUsize::new(2).unwrap())).unwrap();
        Self { scratch, partitions: planned.layout.partitions }
    }

    fn disk(&self) -> PathBuf {
        self.scratch.path().join("raw")
    }

    /// A file of the update.
    fn file(&self, end: &str) -> PathBuf {
        self.scratch.path().join(format!("update/kiosk_1.4.0.{end}"))
    }

    fn partition(&self, name: &str) -> &Placed {
        self.partitions.iter().find(|placed| placed.name == name).unwrap()
    }

    /// Whether the root, unpacked, is what the first slot begins with, and nothing is behind it.
    fn has_the_slot(&self) -> bool {
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
    let with = |materials| {
        let mut input = Input { materials, ..input(root.clone()) };
        if let Some(bios) = input.boot.as_mut().and_then(|boot| boot.bios.as_mut()) {
            bios.modules = boot::core_modules(&spec).into_iter().map(str::to_owned).collect();
        }
        plan(&spec, input, &Run::silent(NonZeroUsize::new(2).unwrap()))
    };
    let materials = materials(&scratch);
    let no_key = Materials { secrets: BTreeMap::new(), ..materials.clone() };
    let error = with(no_key).unwrap_err();
    assert_eq!(error.to_string(), "secret release: was not given to the build");
    assert_eq!(
        with(Materials::default()).unwrap_err().to_string(),
        "release.crt: is not in the build context"
    );

    let built = Built::write(&spec, with(materials).unwrap(), scratch);
    let [bundle, out, certificate] = ["rauc", "out", "crt"].map(|name| built.scratch.path().join(name));
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
