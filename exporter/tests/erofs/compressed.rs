//! Files that are compressed are what they were, and take little more than those of mkfs.erofs.

use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::Arc;

use exporter::fs::erofs::Algorithm;
use exporter::tree::{Content, HostDir, HostFile, Inode, InodeKind, Tree};

use crate::kernel::assert_comes_back;
use crate::support::{
    Image, MIB, Mount, empty_tree, file, meta, packed_draft, pattern, prose, run, sparse, text, write,
};

const EXTENT: usize = 128 << 10;

/// Files of one compressible kind, with lengths on both sides of blocks and extents.
fn of_every_length(content: impl Fn(usize) -> Vec<u8>) -> Tree {
    let mut tree = empty_tree();
    let ends = [4096, 8192, 3 * 4096, EXTENT, EXTENT + 4096, 2 * EXTENT, MIB as usize, MIB as usize + EXTENT];
    for len in ends.into_iter().flat_map(|end| [end - 1, end, end + 1]) {
        file(&mut tree, Tree::ROOT, len.to_string().as_bytes(), content(len));
    }
    tree
}

#[test]
fn files_of_every_length_come_back() {
    assert_comes_back(of_every_length(|len| vec![b'x'; len]));
    assert_comes_back(of_every_length(|len| vec![0; len]));
    assert_comes_back(of_every_length(|len| prose(len, len as u64)));
}

/// Zeroes that are larger than what is compressed at once, and extents that are not compressed between others.
fn mixed() -> Tree {
    let mut tree = empty_tree();
    let parts =
        [prose(300_000, 1), vec![0; 5 << 20], pattern(700_000, 2), prose(3 << 20, 3), vec![0; 3 << 20]];
    file(&mut tree, Tree::ROOT, b"mixed", parts.concat());
    file(&mut tree, Tree::ROOT, b"small", prose(30_000, 4));
    file(&mut tree, Tree::ROOT, b"zeroes", vec![0; 9 << 20]);
    file(&mut tree, Tree::ROOT, b"last", prose(200_000, 5));
    tree
}

#[test]
fn extents_of_every_kind_in_one_file_come_back() {
    assert_comes_back(mixed());
}

/// They are rendered in parts.
#[test]
fn a_file_with_many_indexes_comes_back() {
    let mut tree = empty_tree();
    let prose = prose(9 << 20, 6);
    file(&mut tree, Tree::ROOT, b"large", prose.repeat(8));
    assert_comes_back(tree);
}

#[test]
fn files_with_holes_keep_them() {
    let host = tempfile::tempdir().unwrap();
    let mut tree = empty_tree();
    let kind = InodeKind::File(sparse(host.path(), 1 << 34, &[(0, 5000), (1 << 33, 100)]));
    tree.insert(Tree::ROOT, b"sparse", Inode { meta: meta(0o644), kind });
    file(&mut tree, Tree::ROOT, b"dense", prose(100_000, 32));
    let image = Image::packed(&Arc::new(tree), Some(Algorithm::Lz4));
    assert!(image.file().metadata().unwrap().len() < 2 * MIB);
    let said = image.dump(&["-s"]);
    assert!(said.contains("big_pcluster chunked_file"), "{said}");
    let mount = Mount::new(&image, "ro");
    assert_eq!(mount.path().join("sparse").metadata().unwrap().len(), 1 << 34);
}

#[test]
fn what_compression_does_not_make_smaller_stays_as_it_is() {
    let tree = Arc::new(of_every_length(|len| pattern(len, len as u64)));
    let size = |compression| packed_draft(&tree, compression, 1).size();
    let plain = size(None);
    assert_eq!([Algorithm::Lz4, Algorithm::Zstd].map(|algorithm| size(Some(algorithm))), [plain; 2]);
}

#[test]
fn the_bytes_are_the_same_at_every_number_of_threads() {
    let tree = Arc::new(mixed());
    for algorithm in [Algorithm::Lz4, Algorithm::Zstd] {
        let bytes = |threads| {
            let draft = packed_draft(&tree, Some(algorithm), threads);
            let image = Image::blank("erofs");
            write(&draft.plan(draft.size()).unwrap(), &image.file());
            std::fs::read(image.path()).unwrap()
        };
        let one = bytes(1);
        assert!([2, 3, 8].into_iter().all(|threads| bytes(threads) == one), "{algorithm:?}");
    }
}

#[test]
fn fsck_sees_what_is_damaged() {
    let mut tree = empty_tree();
    file(&mut tree, Tree::ROOT, b"file", pattern(64, 1).repeat(1000));
    let image = Image::packed(&Arc::new(tree), Some(Algorithm::Lz4));
    let (file, size) = (image.file(), image.file().metadata().unwrap().len());
    // The last block is the end of what is compressed.
    let mut last = [0; 64];
    file.read_exact_at(&mut last, size - 64).unwrap();
    file.write_all_at(&[0xff; 64], size - 64).unwrap();
    assert!(image.fsck().is_err());
    file.write_all_at(&last, size - 64).unwrap();
    image.assert_clean();
}

/// What a fsck.erofs says that knows all algorithms: Debian 12's knows no zstd.
fn newer_fsck(image: &Image) -> Result<(), String> {
    let mount = format!("{}:/image:ro", image.path().display());
    let output = Command::new("docker")
        .args(["run", "--rm", "--network", "none", "-v", &mount, "vmimage-test/judges:sid"])
        .args(["fsck.erofs", "-d3", "--extract", "/image"])
        .output()
        .unwrap();
    let said = text(&output);
    if output.status.success() && said.contains("No errors found") { Ok(()) } else { Err(said) }
}

#[test]
#[ignore = "takes a newer fsck.erofs: make matrix"]
fn a_newer_fsck_finds_nothing_wrong_and_sees_what_is_damaged() {
    let lengths = Arc::new(of_every_length(|len| prose(len, len as u64)));
    let mixed = Arc::new(mixed());
    for algorithm in [Algorithm::Lz4, Algorithm::Zstd] {
        newer_fsck(&Image::packed(&lengths, Some(algorithm))).unwrap();
        let image = Image::packed(&mixed, Some(algorithm));
        newer_fsck(&image).unwrap();
        // The last block is the end of compressed zeroes.
        let (file, size) = (image.file(), image.file().metadata().unwrap().len());
        file.write_all_at(&[0xff; 64], size - 64).unwrap();
        assert!(newer_fsck(&image).is_err(), "{algorithm:?}");
    }
}

#[test]
fn a_file_that_changed_is_an_error() {
    let host = tempfile::tempdir().unwrap();
    std::fs::write(host.path().join("file"), prose(10_000, 1)).unwrap();
    let mut tree = empty_tree();
    let content = HostFile::new(HostDir::open(host.path()).unwrap(), b"file", 20_000, None);
    let kind = InodeKind::File(Content::Host(content));
    tree.insert(Tree::ROOT, b"file", Inode { meta: meta(0o644), kind });
    let options = crate::support::options();
    let options = exporter::fs::erofs::Options { compression: Some(Algorithm::Zstd), ..options };
    let drafted = exporter::fs::erofs::Draft::new(&Arc::new(tree), &options, &crate::support::run_by(2));
    let said = drafted.err().expect("it is refused").to_string();
    assert!(said.contains("the file changed while it was read"), "{said}");
}

/// Files of this machine, by their own tool and by us.
#[test]
fn the_size_is_near_that_of_mkfs_erofs() {
    let folder = std::path::Path::new("/usr/share/perl");
    let root = HostDir::open(folder).unwrap();
    let tree = exporter::tree::scan(&root, std::num::NonZeroUsize::MIN, &mut |_| {}).unwrap();
    let ours = packed_draft(&Arc::new(tree), Some(Algorithm::Lz4), 2).size();
    let image = Image::blank("erofs");
    run(Command::new("mkfs.erofs").args(["-zlz4", "-C65536"]).arg(image.path()).arg(folder));
    let theirs = image.file().metadata().unwrap().len();
    assert!(ours as f64 <= theirs as f64 * 1.1, "{ours} and {theirs}");
}
