//! From an image to a disk: the contents arrive, each archive is decoded once, threads change no byte.

use std::collections::BTreeMap;
use std::fs::File;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use exporter::container::{self, Compression, Format, Target};
use exporter::engine::{RawImage, Run};
use exporter::extent::Backing;
use exporter::fs::Contents as FileSystem;
use exporter::fs::ext4::{self, Options};
use exporter::seed::Uuid;
use exporter::tree::{Archive, Editor, Tree};
use tempfile::TempDir;

use crate::support::{Layout, Stored, dump, read_for, run, scan, sh};

/// Layers large enough for many chunks, with holes, masked files between others and hard links.
fn layers(scratch: &Path) -> Vec<Vec<u8>> {
    sh(
        scratch,
        "mkdir base top && cd base && mkdir -p usr/lib etc masked && echo ID=test >usr/lib/os-release \
         && for n in $(seq 300); do seq $n 37 $((n * 97)) >usr/$n; done && chmod 4755 usr/7 \
         && for n in 1 2 3; do seq $n 9999999 | head -c 3000000 >masked/$n; done \
         && seq 1 7 9999999 | head -c 9000000 >usr/large && ln usr/large link \
         && printf start >holes && truncate -s 5000000 holes && printf end >>holes \
         && printf x | dd of=holes seek=1234567 bs=1 conv=notrunc status=none && mkfifo fifo && ln -s usr/1 first \
         && cd ../top && mkdir -p usr masked && seq 5 5 9999999 | head -c 4000000 >usr/new && echo changed >usr/9 \
         && : >masked/.wh.2 && : >.wh.link && ln -s new usr/newest",
    );
    // The order of the tar is not that of the tree: files come before their directories, backwards.
    sh(scratch, "cd base && find . | sort -r >../order");
    vec![
        pack(scratch, &["--sparse", "-C", "base", "--no-recursion", "-T", "order"]),
        pack(scratch, &["-C", "top", "."]),
    ]
}

fn pack(directory: &Path, args: &[&str]) -> Vec<u8> {
    let tar = ["--format=pax", "--sort=name", "--pax-option=delete=atime,delete=ctime", "-c"];
    run(Command::new("tar").args(tar).args(args).current_dir(directory))
}

fn options(size: u64) -> Options {
    Options {
        label: "root".into(),
        uuid: Uuid::from_text("0f5c9a52-9d0c-4a0e-8d3e-6a1f0e7f4b11"),
        hash_seed: Uuid::from_text("7a1e2d90-35e8-4d0b-9d53-1f4fd2a6d4c2"),
        size,
        created: Default::default(),
        reserved_percent: 5,
    }
}

fn plan(tree: Tree) -> FileSystem {
    let tree = Arc::new(tree);
    let size = ext4::minimum_size(&tree, &options(0)).unwrap();
    ext4::plan(&tree, &options(size)).unwrap()
}

fn write(layout: &FileSystem, path: &Path, threads: usize) -> exporter::Result<()> {
    let image = RawImage { size: layout.size, extents: &*layout.extents };
    let target = Target::new(
        path.to_owned(),
        Format::Raw,
        Compression::None,
        Uuid::from_text("11111111-9d0c-4a0e-8d3e-6a1f0e7f4b11"),
    );
    container::write(image, &[target], &Run::silent(NonZeroUsize::new(threads).unwrap()))
}

/// The archives that a file system reads.
fn archives(layout: &FileSystem) -> Vec<Arc<Archive>> {
    let of = |source: &Backing| match source {
        Backing::Archive { archive, .. } => Some((Arc::as_ptr(archive), Arc::clone(archive))),
        _ => None,
    };
    let archives: BTreeMap<_, _> = layout.extents.iter().filter_map(|extent| of(&extent.source)).collect();
    archives.into_values().collect()
}

/// A loop mount that goes away with the value.
struct Mount(TempDir);

impl Mount {
    fn new(image: &Path) -> Self {
        let at = TempDir::new().unwrap();
        run(Command::new("mount").args(["-t", "ext4", "-o", "loop,ro"]).arg(image).arg(at.path()));
        Self(at)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// The dump of an image as the kernel sees it, without what ext4 adds.
fn dump_mounted(image: &Path) -> String {
    run(Command::new("e2fsck").arg("-fn").arg(image));
    let mount = Mount::new(image);
    let mut tree = scan(mount.0.path());
    Editor::new(&mut tree, Default::default()).remove("lost+found");
    dump(&tree)
}

/// As an earlier build had some of them, files lie in another order than that of their archive.
#[test]
fn archives_are_read_in_the_order_of_an_earlier_build() {
    let scratch = TempDir::new().unwrap();
    let layout = Layout::of(&layers(scratch.path()), Stored::Gzip);
    sh(
        scratch.path(),
        "mkdir -p earlier/masked earlier/usr && cp base/masked/[13] earlier/masked && cp base/usr/large earlier/usr",
    );
    const SIZE: u64 = 64 << 20;
    let draft = |tree| ext4::Draft::new(&Arc::new(tree), &options(SIZE)).unwrap();
    let earlier = draft(scan(&scratch.path().join("earlier"))).lay_out(SIZE).unwrap();
    let placement = ext4::Placement::read(&earlier.placement().unwrap()).unwrap();
    let tree = read_for(&layout.input(), "amd64", 2).unwrap().tree;
    let expected = dump(&tree);
    let mut next = draft(tree);
    next.keep(&placement).unwrap();
    let file_system = next.plan(SIZE).unwrap();
    let image = scratch.path().join("image");
    write(&file_system, &image, 8).unwrap();
    assert_eq!(dump_mounted(&image), expected);
    assert!(archives(&file_system).iter().any(|archive| archive.restarts() > 0), "it goes back");
}

#[test]
fn every_form_and_number_of_threads_gives_the_same_disk_in_one_pass() {
    let scratch = TempDir::new().unwrap();
    let layers = layers(scratch.path());
    let mut first: Option<Vec<u8>> = None;
    for (stored, all_threads) in [(Stored::Gzip, &[1, 2, 8][..]), (Stored::Zstd, &[2]), (Stored::Plain, &[8])]
    {
        let layout = Layout::of(&layers, stored);
        for &threads in all_threads {
            let file_system = plan(read_for(&layout.input(), "amd64", threads).unwrap().tree);
            let disk = scratch.path().join("disk");
            write(&file_system, &disk, threads).unwrap();
            let archives = archives(&file_system);
            assert_eq!(archives.len(), 2);
            let restarts: u64 = archives.iter().map(|archive| archive.restarts()).sum();
            assert_eq!(restarts, 0, "{stored:?}, {threads} threads");
            let bytes = std::fs::read(&disk).unwrap();
            assert!(first.get_or_insert_with(|| bytes.clone()) == &bytes, "{stored:?}, {threads} threads");
        }
    }
    let expected = dump(&read_for(&Layout::of(&layers, Stored::Plain).input(), "amd64", 1).unwrap().tree);
    for line in ["/holes - 0644 0:0", "/masked/1 ", "/usr/newest l", "/usr/7 - 4755"] {
        assert!(expected.contains(line), "{line}");
    }
    assert!(!expected.contains("/masked/2") && !expected.contains("/link"));
    assert_eq!(dump_mounted(&scratch.path().join("disk")), expected);
}

#[test]
fn a_byte_changed_after_planning_shows_on_the_disk() {
    let scratch = TempDir::new().unwrap();
    sh(scratch.path(), "mkdir base && seq 100000 >base/numbers");
    let path = scratch.path().join("root.tar");
    std::fs::write(&path, pack(scratch.path(), &["-C", "base", "."])).unwrap();
    let tree = read_for(path.to_str().unwrap(), "amd64", 1).unwrap().tree;
    let expected = dump(&tree);
    let file_system = plan(tree);
    let tar = File::options().write(true).open(&path).unwrap();
    tar.write_all_at(b"X", 100_000).unwrap();
    let disk = scratch.path().join("disk");
    write(&file_system, &disk, 1).unwrap();
    assert_ne!(dump_mounted(&disk), expected);
}

#[test]
fn an_archive_that_becomes_shorter_is_an_error() {
    let scratch = TempDir::new().unwrap();
    sh(scratch.path(), "mkdir base && seq 100000 >base/numbers");
    let tar = pack(scratch.path(), &["-C", "base", "."]);
    for stored in [Stored::Plain, Stored::Gzip] {
        let layout = Layout::of(std::slice::from_ref(&tar), stored);
        let file_system = plan(read_for(&layout.input(), "amd64", 1).unwrap().tree);
        let [archive] = &archives(&file_system)[..] else { panic!("one layer") };
        let blob = archive.shown().split(['(', ')']).nth(1).unwrap();
        File::options().write(true).open(layout.blob(blob)).unwrap().set_len(20_000).unwrap();
        for threads in [1, 8] {
            let error = write(&file_system, &scratch.path().join("disk"), threads).unwrap_err().to_string();
            assert!(error.contains("cannot read the archive"), "{error}");
            assert!(error.contains(&format!("layer 1 of 1 ({blob})")), "{error}");
        }
    }
}
