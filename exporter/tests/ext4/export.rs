//! A tree goes into a file system and comes back out of it as a tar, whoever has made the file system.

use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::process::Command;

use exporter::container;
use exporter::export::{Export, Exported, find};
use exporter::input::{Options, Platform, read_stream};
use exporter::tree::{Content, Detail, HostDir, HostFile, InodeKind, Tree};
use exporter::{Error, Kind, Result};
use proptest::prelude::*;

use crate::fsck::sample;
use crate::support::{Image, MIB, budget, dir, empty_tree, file, node, pattern, run};
use crate::tree_digest::of_image;
use crate::trees::random::{build, config, steps};

const HASHES: Detail = Detail { holes: false, hashes: true };
const EVERYTHING: Detail = Detail { holes: true, hashes: true };

/// The tar of the files of a file system, and what is told of it.
fn export(image: &Image, is_layer: bool) -> Result<(Vec<u8>, Exported)> {
    let (_, disk) = container::open(&image.path())?;
    let budget = budget();
    let machine = find(disk, None, &budget)?;
    let mut tar = Vec::new();
    let export = Export { machine: &machine, budget: &budget, is_layer };
    let exported = export.write_tar(&mut tar, &mut |_| Ok(()))?;
    Ok((tar, exported))
}

/// The tree that a tar holds.
fn tree_of(tar: &[u8]) -> Tree {
    let spool = tempfile::tempdir().unwrap();
    let options = Options {
        platform: &Platform::linux("amd64"),
        threads: NonZeroUsize::MIN,
        spool: spool.path(),
        progress: &|_| {},
    };
    read_stream(&mut &*tar, "tar", &options).unwrap().tree
}

/// Without what no archive has.
fn without_sockets(tree: &mut Tree) {
    let socket = |(parent, name, id)| {
        matches!(tree.inode(id).kind, InodeKind::Socket).then(|| (parent, Vec::from(name)))
    };
    let sockets: Vec<_> = tree.walk().filter_map(socket).collect();
    for (parent, name) in sockets {
        if let InodeKind::Directory(entries) = &mut tree.inode_mut(parent).kind {
            entries.remove(&name[..]);
        }
    }
}

#[test]
fn one_of_everything_comes_back() {
    let mut tree = sample();
    let image = Image::of(tree.clone(), 64 * MIB);
    let (tar, exported) = export(&image, true).unwrap();
    without_sockets(&mut tree);
    assert_eq!(tree_of(&tar).digest(HASHES).unwrap(), tree.digest(HASHES).unwrap());
    assert_eq!(exported.notes, ["sockets: 1, which no archive has"]);
    assert_eq!(exported.bytes, 3_000_001 + 8, "every content once");
    assert_eq!(tar.len() % 512, 0);
    assert_eq!(export(&image, true).unwrap().0, tar, "the same bytes");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..config() })]

    #[test]
    fn any_tree_comes_back(steps in steps()) {
        let host = tempfile::tempdir().unwrap();
        let mut tree = build(steps, host.path());
        let image = Image::of(tree.clone(), 256 * MIB);
        let (tar, _) = export(&image, false).unwrap();
        without_sockets(&mut tree);
        prop_assert_eq!(tree_of(&tar).dump(HASHES).unwrap(), tree.dump(HASHES).unwrap());
    }
}

/// Of a file with holes only the data is stored, whatever its first and its last bytes are.
#[test]
fn holes_stay_holes() {
    let host = tempfile::tempdir().unwrap();
    let mut tree = empty_tree();
    for (name, len, data) in [
        ("begins", 3 * MIB, vec![(0, 4096)]),
        ("ends", MIB, vec![(MIB - 4096, 4096)]),
        ("middle", 5 * MIB + 1, vec![(MIB, 8192), (3 * MIB, 4096)]),
        ("nothing", 100 * MIB, vec![]),
        ("whole", 8192, vec![(0, 8192)]),
    ] {
        let path = host.path().join(name);
        let on_disk = std::fs::File::create(path).unwrap();
        on_disk.set_len(len).unwrap();
        for (at, bytes) in &data {
            on_disk.write_all_at(&pattern(*bytes, *at), *at).unwrap();
        }
        let ranges = data.iter().map(|&(at, bytes)| at..at + bytes as u64).collect();
        let content = HostFile::new(HostDir::open(host.path()).unwrap(), name.as_bytes(), len, Some(ranges));
        node(&mut tree, Tree::ROOT, name.as_bytes(), InodeKind::File(Content::Host(content)));
    }
    let (tar, exported) = export(&Image::of(tree.clone(), 64 * MIB), false).unwrap();
    assert_eq!(tree_of(&tar).dump(EVERYTHING).unwrap(), tree.dump(EVERYTHING).unwrap());
    assert_eq!(exported.bytes, 4096 + 4096 + 8192 + 4096 + 8192);
    assert!(tar.len() < 64 << 10, "{}", tar.len());
    // GNU tar finds the same bytes.
    let unpacked = tempfile::tempdir().unwrap();
    let path = host.path().join("x.tar");
    std::fs::write(&path, &tar).unwrap();
    run(Command::new("tar").arg("-xpf").arg(&path).arg("-C").arg(unpacked.path()));
    for name in ["begins", "ends", "middle", "nothing", "whole"] {
        let same = std::fs::read(unpacked.path().join(name)).unwrap()
            == std::fs::read(host.path().join(name)).unwrap();
        assert!(same, "{name}");
    }
}

/// ext2 and ext3 with their block maps, small blocks, contents in inodes.
#[test]
fn what_others_make_comes_back() {
    for options in [
        &["-t", "ext2", "-b", "1024"][..],
        &["-t", "ext3", "-I", "128"],
        &["-t", "ext4", "-O", "^orphan_file,inline_data"],
        &["-t", "ext4", "-O", "^orphan_file,metadata_csum_seed", "-b", "2048"],
    ] {
        let image = Image::blank("ext4");
        image.file().set_len(64 * MIB).unwrap();
        let files = image.beside("files");
        std::fs::create_dir_all(files.join("etc/many")).unwrap();
        for number in 0..300 {
            std::fs::write(files.join(format!("etc/many/{number}")), pattern(30 * number, 1)).unwrap();
        }
        let sparse = std::fs::File::create(files.join("sparse")).unwrap();
        (0..50).for_each(|number| sparse.write_all_at(b"x", number * 70_000).unwrap());
        std::fs::write(files.join("large"), pattern(9_000_000, 2)).unwrap();
        std::fs::hard_link(files.join("large"), files.join("etc/second name")).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-d"]).arg(files).args(options).arg(image.path()));
        let (tar, _) = export(&image, true).unwrap();
        assert_eq!(tree_of(&tar).digest(HASHES).unwrap(), of_image(&image), "{options:?}");
    }
}

#[test]
fn what_is_in_use_or_is_of_another_kind_is_refused_with_what_to_do() {
    let refused = |image: &Image| -> Error { export(image, false).map(drop).unwrap_err() };
    let image = Image::of(sample(), 64 * MIB);
    run(Command::new("debugfs").args(["-w", "-R", "feature +needs_recovery"]).arg(image.path()));
    let error = refused(&image);
    assert!(error.to_string().contains("was not unmounted"), "{error}");
    assert!(error.hint().is_some() && *error.kind() == Kind::Unsupported);

    // Without a journal its state says so, and with one that says nothing.
    let image = Image::blank("ext2");
    image.file().set_len(16 * MIB).unwrap();
    for (kind, state, is_refused) in
        [("ext2", 1, false), ("ext2", 0, true), ("ext2", 2, true), ("ext2", 3, false), ("ext3", 0, false)]
    {
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-t", kind]).arg(image.path()));
        image.file().write_all_at(&[state, 0], 1024 + 0x3a).unwrap();
        let told = export(&image, false).map(drop).map_err(|error| error.to_string());
        assert_eq!(told.is_err(), is_refused, "{kind} {state}");
        assert!(told.err().is_none_or(|error| error.contains("was not unmounted")));
    }

    let image = Image::blank("xfs");
    image.file().set_len(MIB).unwrap();
    image.file().write_all_at(b"XFSB", 0).unwrap();
    let error = refused(&image);
    assert!(error.to_string().contains("the root is of xfs, whose files are not read here"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.spelled(|_, _| String::new()).contains("tar --xattrs")));

    image.file().write_all_at(&[0; 4], 0).unwrap();
    assert!(refused(&image).to_string().contains("no file system that is known"));
}

/// A name that takes files away in a layer means itself in a tar.
#[test]
fn a_name_that_removes_files_is_no_layers() {
    let mut tree = empty_tree();
    file(&mut tree, Tree::ROOT, b".wh.etc", []);
    let image = Image::of(tree, 64 * MIB);
    assert!(export(&image, false).is_ok());
    let error = export(&image, true).map(drop).unwrap_err().to_string();
    assert!(error.contains(".wh.etc: begins with .wh."), "{error}");
}

#[test]
fn what_the_files_say_of_the_machine_is_noticed() {
    let mut tree = empty_tree();
    let usr = dir(&mut tree, Tree::ROOT, b"usr");
    let bin = dir(&mut tree, usr, b"bin");
    file(&mut tree, bin, b"a script", *b"#!/bin/sh\n");
    let mut program = b"\x7fELF\x02\x01\x01".to_vec();
    program.resize(20, 0);
    program[18] = 183;
    file(&mut tree, bin, b"sh", program);
    let lib = dir(&mut tree, usr, b"lib");
    let ours = dir(&mut tree, lib, b"vmimage");
    let json = br#"{"Entrypoint":["/app"],"Env":["A=b"]}"#;
    file(&mut tree, ours, b"container.json", *json);
    let noticed = export(&Image::of(tree, 64 * MIB), true).unwrap().1.noticed;
    assert_eq!(noticed.architecture.map(|architecture| architecture.oci_name()), Some("arm64"));
    assert_eq!(noticed.container.unwrap()["Entrypoint"][0], "/app");
}

/// Whoever writes may end it, and what cannot be written is told.
#[test]
fn it_ends_when_it_is_told_to() {
    let image = Image::of(sample(), 64 * MIB);
    let (_, disk) = container::open(&image.path()).unwrap();
    let budget = budget();
    let machine = find(disk, None, &budget).unwrap();
    let export = Export { machine: &machine, budget: &budget, is_layer: false };
    let stop = |_| Err(Error::new(Kind::Interrupted, "", "interrupted"));
    let error = export.write_tar(&mut Vec::new(), &mut { stop }).unwrap_err();
    assert_eq!(*error.kind(), Kind::Interrupted);
    // Also one that has nothing but names.
    let image = Image::of(empty_tree(), 64 * MIB);
    let (_, disk) = container::open(&image.path()).unwrap();
    let machine = find(disk, None, &budget).unwrap();
    let export = Export { machine: &machine, budget: &budget, is_layer: false };
    assert_eq!(*export.write_tar(&mut Vec::new(), &mut { stop }).unwrap_err().kind(), Kind::Interrupted);
    let mut full = [0; 1000];
    let error = export.write_tar(&mut &mut full[..], &mut |_| Ok(())).unwrap_err();
    assert!(error.to_string().starts_with("the tar: cannot be written"), "{error}");
}
