//! File systems of other makers: whatever `mke2fs` and the kernel write is read, or named as what it is.

use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::process::Command;

use exporter::fs::ext4;
use exporter::tree::{InodeKind, Tree};

use crate::fsck::sample;
use crate::support::{Image, MIB, Mount, budget, dir, empty_tree, file, node, pattern, run};
use crate::tree_digest::{of_image, of_kernel};

/// What is small enough for an inode, and what is just not.
fn small_and_large() -> Tree {
    let mut tree = sample();
    let small = dir(&mut tree, Tree::ROOT, b"small");
    for len in [1, 59, 60, 61, 100, 150, 160, 200, 1000, 1023, 5000] {
        file(&mut tree, small, format!("file {len}").as_bytes(), pattern(len, len as u64));
        let target = InodeKind::Symlink(vec![b'x'; len.min(1023)].into());
        node(&mut tree, small, format!("link {len}").as_bytes(), target);
        let inside = dir(&mut tree, small, format!("directory {len}").as_bytes());
        (0..len / 30).for_each(|number| _ = file(&mut tree, inside, number.to_string().as_bytes(), []));
    }
    tree
}

/// A file system with the files of `source`, made by `mke2fs`.
fn made(source: &Path, options: &[&str]) -> Image {
    let image = Image::blank("ext4");
    // Else the root has the time of its making.
    let mut mke2fs = Command::new("mke2fs");
    mke2fs.env("E2FSPROGS_FAKE_TIME", "1700000000").args(["-F", "-q", "-d"]).arg(source);
    run(mke2fs.args(options).arg(image.path()).arg("48M"));
    image
}

/// Defaults of Debian 11 to sid, Ubuntu, and RHEL 7 to 10, and every feature and block size on its own.
const VARIANTS: [&[&str]; 35] = [
    &["-t", "ext4"],
    &["-t", "ext4", "-O", "orphan_file,metadata_csum_seed"],
    &["-t", "ext4", "-O", "^metadata_csum,uninit_bg,^64bit"],
    &["-t", "ext4", "-O", "^metadata_csum,^uninit_bg"],
    &["-t", "ext4", "-O", "^extents,^64bit"],
    &["-t", "ext4", "-O", "inline_data"],
    &["-t", "ext4", "-O", "inline_data", "-I", "1024"],
    &["-t", "ext4", "-O", "ea_inode"],
    &["-t", "ext4", "-O", "large_dir"],
    &["-t", "ext4", "-O", "casefold"],
    &["-t", "ext4", "-O", "encrypt"],
    &["-t", "ext4", "-O", "verity,stable_inodes"],
    &["-t", "ext4", "-O", "quota,project"],
    &["-t", "ext4", "-O", "mmp"],
    &["-t", "ext4", "-O", "fast_commit"],
    &["-t", "ext4", "-O", "^dir_index"],
    &["-t", "ext4", "-O", "^filetype,^dir_nlink"],
    &["-t", "ext4", "-O", "^huge_file,^large_file"],
    &["-t", "ext4", "-O", "^flex_bg"],
    &["-t", "ext4", "-O", "^resize_inode,meta_bg"],
    &["-t", "ext4", "-O", "^resize_inode,sparse_super2"],
    &["-t", "ext4", "-O", "^resize_inode,sparse_super2,meta_bg", "-b", "1024"],
    &["-t", "ext4", "-O", "^sparse_super,^resize_inode"],
    &["-t", "ext4", "-O", "bigalloc", "-N", "8192"],
    &["-t", "ext4", "-O", "bigalloc,^resize_inode", "-b", "1024", "-C", "16384", "-N", "8192"],
    &["-t", "ext4", "-O", "^has_journal"],
    &["-t", "ext4", "-b", "4096"],
    &["-t", "ext4", "-b", "4096", "-O", "inline_data,casefold,large_dir"],
    &["-t", "ext4", "-b", "2048", "-O", "inline_data"],
    &["-t", "ext4", "-b", "8192", "-N", "8192"],
    &["-t", "ext4", "-b", "16384", "-N", "8192"],
    &["-t", "ext4", "-b", "32768", "-N", "8192"],
    &["-t", "ext4", "-b", "65536", "-N", "8192"],
    &["-t", "ext3", "-I", "256"],
    &["-t", "ext2", "-I", "256", "-b", "1024"],
];

#[test]
fn whatever_mke2fs_writes_is_read() {
    let ours = Image::of(small_and_large(), 64 * MIB);
    let mount = Mount::new(&ours, "ro");
    let usual = made(mount.path(), VARIANTS[0]);
    let expected = of_kernel(&usual);
    for options in VARIANTS {
        assert_eq!(of_image(&made(mount.path(), options)), expected, "{options:?}");
    }
}

/// Without nanoseconds there is another tree.
#[test]
fn inodes_without_extra_fields_are_read() {
    let ours = Image::of(small_and_large(), 64 * MIB);
    let mount = Mount::new(&ours, "ro");
    for options in [&["-t", "ext4", "-I", "128"][..], &["-t", "ext2", "-I", "128", "-b", "1024"]] {
        let image = made(mount.path(), options);
        assert_eq!(of_image(&image), of_kernel(&image), "{options:?}");
    }
}

/// Directories and contents that grow out of their inodes and shrink, values of attributes in inodes, block maps with
/// three levels, times from 1901 to 2446.
#[test]
fn what_the_kernel_has_written_with_every_feature_is_read() {
    for options in [
        &["-t", "ext4", "-O", "inline_data,ea_inode"][..],
        &["-t", "ext4", "-O", "inline_data,^metadata_csum", "-b", "1024", "-I", "512"],
        &["-t", "ext4", "-O", "^extents,^64bit", "-b", "1024"],
        &["-t", "ext3", "-b", "1024"],
        &["-t", "ext4", "-O", "bigalloc,^has_journal"],
    ] {
        let image = Image::blank("ext4");
        run(Command::new("mke2fs").args(["-F", "-q"]).args(options).arg(image.path()).arg("96M"));
        {
            let mount = Mount::new(&image, "rw");
            write_everything(mount.path(), options.contains(&"ext3"));
        }
        assert_eq!(of_image(&image), of_kernel(&image), "{options:?}");
    }
}

fn write_everything(root: &Path, is_old: bool) {
    for count in [1, 5, 20, 300] {
        let folder = root.join(format!("directory {count}"));
        std::fs::create_dir(&folder).unwrap();
        for number in 0..count {
            std::fs::write(folder.join(format!("{number}")), pattern(number, 1)).unwrap();
        }
        (1..count)
            .step_by(2)
            .for_each(|number| std::fs::remove_file(folder.join(number.to_string())).unwrap());
    }
    for len in [1, 59, 60, 100, 159, 1000] {
        symlink("x".repeat(len), root.join(format!("link {len}"))).unwrap();
    }
    // A hole, a single block and a block far behind: every level of a block map.
    let sparse = std::fs::File::create(root.join("sparse")).unwrap();
    for place in [0, 13 << 10, 300 << 10, (1 << 20) + 5, 70 << 20] {
        sparse.write_all_at(b"data", place).unwrap();
    }
    run(Command::new("setfattr").args(["-n", "user.small", "-v", "value"]).arg(root.join("sparse")));
    let most = if is_old { 500 } else { 900 };
    run(Command::new("setfattr")
        .args(["-n", "user.large", "-v", &"v".repeat(most)])
        .arg(root.join("sparse")));
    for seconds in ["-2147483648", "-1", "0", "2147483648", "4294967296", "15032385535"] {
        let path = root.join(format!("at {seconds}"));
        run(Command::new("touch").args(["-d", &format!("@{seconds}")]).arg(path));
    }
}

#[test]
fn what_is_not_read_is_named() {
    for feature in ["compression", "FEATURE_I20"] {
        let image = Image::of(sample(), 64 * MIB);
        run(Command::new("debugfs").args(["-w", "-R", &format!("feature {feature}")]).arg(image.path()));
        let bytes = std::fs::read(image.path()).unwrap();
        let errors = [
            ext4::tree_digest(&bytes[..], &budget()).unwrap_err(),
            ext4::read_text(&bytes[..], "/etc/hostname", 100, &budget()).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(*error.kind(), exporter::Kind::Unsupported);
            let expected = format!("ext4: a file system with the feature {feature} is not read");
            assert_eq!(error.to_string(), expected);
        }
    }
}

/// By the name that leads to it, through links of every length, and never in circles.
#[test]
fn texts_are_found_as_a_program_would_find_them() {
    let mut tree = empty_tree();
    let etc = dir(&mut tree, Tree::ROOT, b"etc");
    let lib = dir(&mut tree, Tree::ROOT, b"lib");
    let name = "n".repeat(255);
    file(&mut tree, lib, name.as_bytes(), *b"text");
    let link = |tree: &mut Tree, name: &str, target: String| {
        node(tree, etc, name.as_bytes(), InodeKind::Symlink(target.into_bytes().into()));
    };
    let long = format!("{}../lib/{name}", "./".repeat(1500));
    link(&mut tree, "long", long);
    link(&mut tree, "up", format!("../../../../lib/{name}"));
    link(&mut tree, "absolute", "/etc/long".into());
    link(&mut tree, "circle", "circle".into());
    link(&mut tree, "out", "/proc/none".into());
    link(&mut tree, "through a file", format!("/lib/{name}/x"));
    link(&mut tree, "link 0", "/etc/up".into());
    (1..45).for_each(|number| link(&mut tree, &format!("link {number}"), format!("link {}", number - 1)));
    for size in [8 * MIB, 64 * MIB] {
        let bytes = std::fs::read(Image::of(tree.clone(), size).path()).unwrap();
        let text = |path: &str| ext4::read_text(&bytes[..], path, 4, &budget()).unwrap();
        for path in ["/etc/long", "etc/up", "/etc/absolute", "//etc/./up", "/etc/../etc/link 38"] {
            assert_eq!(text(path).as_deref(), Some(&b"text"[..]), "{path}");
        }
        for path in ["/etc/circle", "/etc/out", "/etc/through a file", "/etc", "/etc/none", "/etc/link 44"] {
            assert_eq!(text(path), None, "{path}");
        }
        assert_eq!(ext4::read_text(&bytes[..], "/etc/up", 3, &budget()).unwrap(), None, "too large");
    }
}
