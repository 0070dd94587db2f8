//! The update that comes of a build: the first slot of its disk, and what GRUB reads beside it.

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

use exporter::assemble::plan;
use exporter::boot;
use exporter::container::{Format, Target, write};
use exporter::disk::Placed;
use exporter::engine::Run;
use exporter::spec::{Profile, Spec};
use exporter::tree::{Editor, Time, Tree};
use tempfile::TempDir;

use crate::inputs::{self, input};
use crate::layouts::said;

/// A disk, and the update that was built with it.
struct Built {
    scratch: TempDir,
    edits: Vec<String>,
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
        Self::after(&spec(partitions), inputs::debian_small(), None)
    }

    /// One that is told of the layout of an earlier build.
    fn after(spec: &Spec, root: Tree, placement: Option<Vec<u8>>) -> Self {
        let mut input = input(root);
        input.materials.placement = placement;
        if let Some(bios) = input.boot.as_mut().and_then(|boot| boot.bios.as_mut()) {
            bios.modules = boot::core_modules(spec).into_iter().map(str::to_owned).collect();
        }
        let run = Run::silent(NonZeroUsize::new(2).unwrap());
        let planned = plan(spec, input, &run).unwrap();
        let scratch = TempDir::new().unwrap();
        let target = |&format: &Format| Target {
            path: scratch.path().join(format.name()),
            format,
            compression: format.default_compression(),
            id: planned.id,
            appliance: planned.appliance.clone(),
            update: planned.update.clone(),
            placement: planned.placement.clone(),
            sparse: false,
        };
        let targets: Vec<_> = spec.formats.iter().map(target).collect();
        write(planned.image(), &targets, &run).unwrap();
        let edits = planned.system.unwrap().edits;
        Self { scratch, edits, partitions: planned.layout.partitions }
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
