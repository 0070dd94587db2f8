//! A copy with another UUID: every checksum is right again, and nothing else is another.

use std::num::NonZeroUsize;
use std::process::Command;

use exporter::Kind;
use exporter::clone;
use exporter::container::{self, Compression, Format, Target};
use exporter::engine::Run;
use exporter::fs::ext4;
use exporter::seed::Seed;
use exporter::tree::Tree;

use crate::fsck::sample;
use crate::support::{GIB, Image, MIB, Mount, budget, dir, empty_tree, file, pattern, run};

fn plan(image: &Image) -> exporter::Result<clone::Copy> {
    let (_, disk) = container::open(&image.path()).unwrap();
    clone::plan(disk, &Seed::new(b"copy"), &budget())
}

/// The copy of a file system, which is clean.
fn copy_of(image: &Image) -> Image {
    let planned = plan(image).unwrap();
    let copy = Image::blank("ext4");
    let target = Target::new(copy.path(), Format::Raw, Compression::None, planned.id);
    container::write(planned.image(), &[target], &Run::silent(NonZeroUsize::MIN)).unwrap();
    copy.assert_clean();
    copy
}

fn found(image: &Image) -> ext4::Found {
    let (_, disk) = container::open(&image.path()).unwrap();
    ext4::read(&*disk).unwrap().unwrap()
}

/// That the copy has other UUIDs and the same files.
fn assert_copied(image: &Image) -> Image {
    let copy = copy_of(image);
    let (one, other) = (found(image), found(&copy));
    assert_ne!(one.uuid, other.uuid);
    assert_eq!((one.kind, one.label, one.size, one.free), (other.kind, other.label, other.size, other.free));
    let digest =
        |image: &Image| ext4::tree_digest(&*container::open(&image.path()).unwrap().1, &budget()).unwrap();
    assert_eq!(digest(image), digest(&copy));
    copy
}

#[test]
fn a_copy_has_another_uuid_and_the_same_files() {
    assert_copied(&Image::of(empty_tree(), 8 * MIB));
    assert_copied(&Image::of(sample(), 64 * MIB));
    assert_copied(&Image::of(sample(), 3 * GIB));
}

#[test]
fn what_a_kernel_has_written_is_copied() {
    let image = Image::of(sample(), 300 * MIB);
    let mount = Mount::new(&image, "rw");
    let many = mount.path().join("more");
    std::fs::create_dir(&many).unwrap();
    for number in 0..2000u64 {
        std::fs::write(many.join(format!("{number}-{}", "x".repeat(100))), pattern(5000, number)).unwrap();
    }
    for number in (0..2000).step_by(2) {
        std::fs::remove_file(many.join(format!("{number}-{}", "x".repeat(100)))).unwrap();
    }
    // Blocks far apart make an extent tree of two levels.
    let file = std::fs::File::create(mount.path().join("sparse")).unwrap();
    for block in 0..1000 {
        std::os::unix::fs::FileExt::write_all_at(&file, b"x", block * 65536).unwrap();
    }
    drop(file);
    drop(mount);
    image.assert_clean();
    let copy = assert_copied(&image);
    let mount = Mount::new(&copy, "rw");
    assert_eq!(std::fs::read_dir(mount.path().join("more")).unwrap().count(), 1000);
    std::fs::write(mount.path().join("written after"), pattern(5_000_000, 9)).unwrap();
    drop(mount);
    copy.assert_clean();
}

/// What has grown a thousand times has `meta_bg`; others make file systems without checksums, or with a seed.
#[test]
fn what_others_make_is_copied() {
    for options in [
        &["-O", "meta_bg,^resize_inode,^orphan_file"][..],
        &["-O", "^orphan_file", "-b", "1024"],
        &["-O", "^orphan_file,metadata_csum_seed"],
        &["-O", "^orphan_file,^metadata_csum,^uninit_bg"],
        &["-O", "^orphan_file,^64bit"],
        &["-O", "^orphan_file", "-I", "128"],
    ] {
        let image = Image::blank("ext4");
        image.file().set_len(400 * MIB).unwrap();
        let files = image.beside("files");
        std::fs::create_dir_all(files.join("etc")).unwrap();
        for number in 0..500 {
            std::fs::write(files.join(format!("etc/{number}")), pattern(3000, number)).unwrap();
        }
        run(Command::new("mkfs.ext4").args(["-q", "-d"]).arg(files).args(options).arg(image.path()));
        assert_copied(&image);
    }
}

#[test]
fn texts_name_the_new_uuid() {
    let mut tree = empty_tree();
    let old = crate::support::options(64 * MIB).uuid;
    let (etc, srv) = (dir(&mut tree, Tree::ROOT, b"etc"), dir(&mut tree, Tree::ROOT, b"srv"));
    let padding = "#".repeat(5000);
    file(&mut tree, etc, b"fstab", format!("{padding}\nUUID={old} / ext4\n").into_bytes());
    file(&mut tree, srv, b"note", format!("UUID={old}").into_bytes());
    file(&mut tree, etc, b"machine-id", *b"0123456789abcdef0123456789abcdef\n");
    let image = Image::of(tree, 64 * MIB);
    let copy = copy_of(&image);
    let new = found(&copy).uuid;
    assert!(copy.debugfs("cat /etc/fstab").contains(&format!("#\nUUID={new} / ext4\n")));
    assert!(copy.debugfs("cat /srv/note").contains(&format!("UUID={old}")));
    let notes = plan(&image).unwrap().notes;
    assert!(notes.iter().any(|note| note.contains("/etc/fstab: names the new")), "{notes:?}");
    assert!(notes.iter().any(|note| note.contains("a machine that has run")), "{notes:?}");
}

#[test]
fn what_is_not_at_rest_is_refused() {
    for (request, why) in [
        ("feature +needs_recovery", "was not unmounted"),
        ("set_super_value state 2", "marked as damaged"),
        ("set_super_value state 3", "marked as damaged"),
        ("set_super_value last_orphan 12", "still to be removed"),
        ("feature +verity", "another UUID here"),
    ] {
        let image = Image::of(sample(), 64 * MIB);
        run(Command::new("debugfs").args(["-w", "-R", request]).arg(image.path()));
        let error = plan(&image).unwrap_err();
        assert!(matches!(error.kind(), Kind::Unsupported), "{error:?}");
        assert!(error.to_string().contains(why), "{request}: {error}");
    }
}

/// New checksums would hide what is wrong.
#[test]
fn what_has_wrong_checksums_is_refused() {
    use std::os::unix::fs::FileExt;
    let image = Image::of(sample(), 64 * MIB);
    let block = |text: &str| text.parse::<u64>().unwrap() * 4096;
    let inode = image.debugfs("imap <2>");
    let inode = inode.split("located at block ").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
    let leaf = image.debugfs("bmap /many 3");
    // The time the root was changed; a name in a large directory; the volume's name.
    for at in [block(inode) + 256 + 0x10, block(leaf.lines().next().unwrap()) + 16, 1024 + 0x78] {
        let mut byte = [0];
        image.file().read_exact_at(&mut byte, at).unwrap();
        image.file().write_all_at(&[!byte[0]], at).unwrap();
        let error = plan(&image).unwrap_err();
        assert!(error.to_string().contains("the checksum"), "{at}: {error}");
        image.file().write_all_at(&byte, at).unwrap();
    }
    assert_copied(&image);
}

/// Wherever a byte of the metadata is wrong, there is an end, and no panic.
#[test]
fn what_is_damaged_ends() {
    use std::os::unix::fs::FileExt;
    let image = Image::of(sample(), 64 * MIB);
    let file = image.file();
    for at in (1024..2048).step_by(3).chain((4096..40960).step_by(61)) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[!byte[0]], at).unwrap();
        let _ = plan(&image);
        file.write_all_at(&byte, at).unwrap();
    }
    assert_copied(&image);
}
