//! Updates, unpacked and checked by programs that are not ours.

use std::io::Read;
use std::ops::Range;

use minisign_verify::{PublicKey, Signature};
use zerocopy::FromBytes;

use super::*;
use crate::architecture::Architecture;
use crate::container::update::{Archive, BLOCK, Blocks, Entry, Signer, Update};
use crate::tree::Content;

const SIZE: u64 = 16 * MIB;

/// An update with a root there on the disk, and kernels beside it.
pub(super) fn kiosk(root: Range<u64>) -> Update {
    let mut kernels = Archive::default();
    for (path, bytes) in [("boot/vmlinuz-6.1", noise(2 * MIB)), ("boot/grub/grub.cfg", text(700))] {
        kernels.add(path, &Content::Bytes(bytes.into())).unwrap();
    }
    Update {
        id: "kiosk".into(),
        version: "1.4.0".into(),
        compatible: "acme kiosk-2".into(),
        architecture: Architecture::X86_64,
        loader: "grub",
        root,
        kernels: Some(kernels),
        has_gzip: false,
        time: 1_750_000_000,
        signers: Vec::new(),
        placement: Some(b"where all lies"[..].into()),
        bundle: None,
    }
}

/// The folder of an update with that root, and the bytes of the root.
fn written(scratch: &Scratch, root: Range<u64>) -> (PathBuf, Vec<u8>) {
    let extents = extents(SIZE);
    let plain = flatten(SIZE, &extents)[root.start as usize..root.end as usize].to_vec();
    let target = Target { update: Some(kiosk(root)), ..any_target(scratch, Format::Update) };
    write_one(RawImage { size: SIZE, extents: &extents }, &target, 3);
    (target.path, plain)
}

/// Data, gaps of many blocks, and ends of every kind: of a chunk, of a block, of neither.
const ROOTS: [Range<u64>; 4] =
    [0..SIZE, MIB..11 * MIB + 64 * KIB, MIB..8 * MIB + 5000, 10 * MIB..10 * MIB + 4096];

#[test]
fn zstd_unpacks_the_root() {
    for root in ROOTS {
        let scratch = Scratch::new();
        let (folder, plain) = written(&scratch, root.clone());
        let [packed, unpacked] = ["kiosk_1.4.0.root.zst", "root"].map(|name| folder.join(name));
        accepts("zstd", &["-dq", packed.to_str().unwrap(), "-o", unpacked.to_str().unwrap()]);
        assert!(std::fs::read(unpacked).unwrap() == plain, "{root:?}");
    }
}

/// By a program that goes on behind the first member, and by one that does not.
#[test]
fn gunzip_unpacks_the_root_out_of_one_member() {
    for root in ROOTS {
        let scratch = Scratch::new();
        let extents = extents(SIZE);
        let plain = flatten(SIZE, &extents)[root.start as usize..root.end as usize].to_vec();
        let update = Update { has_gzip: true, ..kiosk(root.clone()) };
        let target = Target { update: Some(update), ..any_target(&scratch, Format::Update) };
        write_one(RawImage { size: SIZE, extents: &extents }, &target, 3);
        let packed = target.path.join("kiosk_1.4.0.root.gz");
        accepts("gzip", &["-t", packed.to_str().unwrap()]);
        let packed = std::fs::read(packed).unwrap();
        let mut member = flate2::bufread::GzDecoder::new(&*packed);
        let mut unpacked = Vec::new();
        member.read_to_end(&mut unpacked).unwrap();
        assert!(unpacked == plain, "{root:?}");
        assert!(member.into_inner().is_empty(), "{root:?}: there is another member");
        // The other parts are as they are without it.
        let [packed, unpacked] = ["kiosk_1.4.0.root.zst", "root"].map(|name| target.path.join(name));
        accepts("zstd", &["-dq", packed.to_str().unwrap(), "-o", unpacked.to_str().unwrap()]);
        assert!(std::fs::read(unpacked).unwrap() == plain, "{root:?}");
        let check = format!("cd '{}' && sha256sum --strict -c SHA256SUMS", target.path.display());
        let said = accepts("sh", &["-c", &check]);
        assert!(said.contains("kiosk_1.4.0.root.gz: OK"), "{said}");
    }
}

#[test]
fn every_block_is_found_by_the_index() {
    for root in ROOTS {
        let scratch = Scratch::new();
        let (folder, plain) = written(&scratch, root.clone());
        let packed = std::fs::read(folder.join("kiosk_1.4.0.root.zst")).unwrap();
        let index = std::fs::read(folder.join("kiosk_1.4.0.root.index")).unwrap();
        assert_eq!(index.len(), 36 * plain.len().div_ceil(BLOCK));
        let mut rest = &packed[..];
        for (block, entry) in plain.chunks(BLOCK).zip(index.chunks(36)) {
            let entry = Entry::read_from_bytes(entry).unwrap();
            let (frame, behind) = rest.split_at(entry.frame_len.get() as usize);
            assert!(zstd::decode_all(frame).unwrap() == block, "{root:?}");
            assert_eq!(entry, Entry::of(block, frame.len()));
            rest = behind;
        }
        assert!(rest.is_empty(), "{root:?}");
    }
}

#[test]
fn the_folder_says_what_is_in_it() {
    let scratch = Scratch::new();
    let (folder, plain) = written(&scratch, ROOTS[2].clone());
    let names: Vec<_> = contents(&folder).into_iter().map(|(name, _)| name).collect();
    let [root, index, boot, placement] =
        ["root.zst", "root.index", "boot.tar.zst", "root.placement"].map(|end| format!("kiosk_1.4.0.{end}"));
    assert_eq!(names, ["SHA256SUMS", &*boot, &index, &placement, &root, "manifest.json"]);
    assert_eq!(std::fs::read(folder.join(placement)).unwrap(), b"where all lies");
    let check = format!("cd '{}' && sha256sum --strict -c SHA256SUMS", folder.display());
    assert_eq!(accepts("sh", &["-c", &check]).lines().count(), 5);

    let text = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
    let head = "{\n  \"format\": 1,\n  \"id\": \"kiosk\",\n  \"version\": \"1.4.0\",\n  \"compatible\": \"acme kiosk-2\",\n  \
                \"architecture\": \"x86_64\",\n  \"loader\": \"grub\",\n  \"parts\": [\n    {\n      \"name\": \"root\",\n";
    assert!(text.starts_with(head), "{text}");
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let [of_root, of_boot] = [&manifest["parts"][0], &manifest["parts"][1]];
    for (part, file) in [(of_root, &root), (&of_root["index"], &index), (of_boot, &boot)] {
        assert_eq!(part["file"], **file);
        assert_eq!(part["bytes"], std::fs::metadata(folder.join(file)).unwrap().len());
        let sum = accepts("sha256sum", &[folder.join(file).to_str().unwrap()]);
        assert_eq!(part["sha256"], sum[..64]);
    }
    assert_eq!((&of_root["plain_bytes"], &of_root["block_size"]), (&plain.len().into(), &BLOCK.into()));
    assert_eq!(of_boot["name"], "boot");

    let boot = folder.join(boot);
    let listed = accepts("tar", &["--zstd", "-tf", boot.to_str().unwrap()]);
    assert_eq!(listed, "boot/vmlinuz-6.1\nboot/grub/grub.cfg\n");

    let path = folder.join("manifest.json");
    std::fs::write(&path, text.replace("1.4.0", "1.5.0")).unwrap();
    assert!(!tool("sh", &["-c", &check]).0);
}

#[test]
fn the_list_of_digests_is_signed_the_same_each_time() {
    let key = include_bytes!("../../../../testdata/update/release.key");
    let public = include_str!("../../../../testdata/update/release.pub");
    let other = include_str!("../../../../testdata/update/other.pub");
    let signed = || {
        let scratch = Scratch::new();
        let update = Update { signers: vec![Signer::new("key", key).unwrap()], ..kiosk(MIB..2 * MIB) };
        let target = Target { update: Some(update), ..any_target(&scratch, Format::Update) };
        write_one(RawImage { size: SIZE, extents: &extents(SIZE) }, &target, 2);
        ["SHA256SUMS", "SHA256SUMS.minisig"].map(|name| std::fs::read(target.path.join(name)).unwrap())
    };
    let [sums, signature] = signed();
    let text = std::str::from_utf8(&signature).unwrap();
    assert!(text.contains("\ntrusted comment: kiosk 1.4.0\n"), "{text}");
    let [ours, other] = [public, other].map(|text| PublicKey::decode(text).unwrap());
    let decoded = Signature::decode(text).unwrap();
    assert!(ours.verify(&sums, &decoded, false).is_ok() && other.verify(&sums, &decoded, false).is_err());
    assert!(signed() == [sums, signature]);
}

#[test]
fn an_update_is_told_from_a_disk() {
    let scratch = Scratch::new();
    let (folder, _) = written(&scratch, ROOTS[1].clone());
    assert_eq!(identify(&folder).unwrap(), (Format::Update, None));
    for error in [open(&folder).err().unwrap(), check(&folder).unwrap_err(), disk_file(&folder).unwrap_err()]
    {
        assert_eq!(error.message(), "is an update, and no disk is in it");
    }
    // The next version takes its place, a disk does not.
    let target = Target { update: Some(kiosk(ROOTS[1].clone())), ..any_target(&scratch, Format::Update) };
    let kiosk = kiosk(ROOTS[1].clone());
    let next = Update { version: "1.5.0".into(), kernels: None, placement: None, ..kiosk };
    let next = Target { update: Some(next), ..target };
    write_one(RawImage { size: SIZE, extents: &extents(SIZE) }, &next, 1);
    let names: Vec<_> = contents(&folder).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["SHA256SUMS", "kiosk_1.5.0.root.index", "kiosk_1.5.0.root.zst", "manifest.json"]);
    assert!(Folder::create(&folder, Format::Ovf).is_err());
}

#[test]
fn what_is_no_update_leaves_nothing() {
    let scratch = Scratch::new();
    let signer = Signer::new("key", include_bytes!("../../../../testdata/update/release.key")).unwrap();
    for (update, kind) in [
        (None, Kind::Unsupported),
        (Some(Update { id: "../kiosk".into(), ..kiosk(MIB..2 * MIB) }), Kind::Input),
        (Some(kiosk(512..MIB)), Kind::Input),
        (Some(kiosk(MIB..MIB)), Kind::Input),
        (Some(kiosk(0..SIZE + 1)), Kind::Input),
        (Some(Update { signers: vec![signer.clone(), signer], ..kiosk(MIB..2 * MIB) }), Kind::Input),
    ] {
        let target = Target { update, ..any_target(&scratch, Format::Update) };
        let image = RawImage { size: SIZE, extents: &extents(SIZE) };
        let error = write(image, &[target], &run(1)).unwrap_err();
        assert_eq!(*error.kind(), kind, "{error}");
        assert_eq!(names(&scratch), <[&str; 0]>::default());
    }
}

#[test]
fn the_index_alone_tells_the_blocks() {
    for root in ROOTS {
        let scratch = Scratch::new();
        let (folder, plain) = written(&scratch, root.clone());
        std::fs::remove_file(folder.join("kiosk_1.4.0.root.zst")).unwrap();
        let blocks = Blocks::open(&folder).unwrap();
        assert_eq!(blocks.plain_bytes(), plain.len() as u64);
        let entries = blocks.entries().unwrap().map(Result::unwrap);
        let read: Vec<_> = entries.map(|(entry, len)| (entry.sha256, len)).collect();
        let expected = plain.chunks(BLOCK).map(|block| (Entry::of(block, 1).sha256, block.len()));
        assert!(read == expected.collect::<Vec<_>>(), "{root:?}");
    }
}

#[test]
fn an_index_that_is_not_the_manifests_is_refused() {
    let scratch = Scratch::new();
    let (folder, _) = written(&scratch, ROOTS[1].clone());
    let [manifest, index] = ["manifest.json", "kiosk_1.4.0.root.index"].map(|name| folder.join(name));
    let [whole, entries] = [&manifest, &index].map(|path| std::fs::read(path).unwrap());
    let refused = || Blocks::open(&folder).unwrap_err().to_string();
    let mut changed = entries.clone();
    changed[40] ^= 1;
    for (bytes, part) in [
        (&changed[..], "is not the index that the manifest lists"),
        (&entries[36..], "bytes, and its root needs"),
        (&[], "has 0 bytes, and its root needs"),
    ] {
        std::fs::write(&index, bytes).unwrap();
        let said = refused();
        assert!(said.contains(part), "{said}");
    }
    std::fs::write(&index, &entries).unwrap();
    let text = String::from_utf8(whole).unwrap();
    for (old, new, part) in [
        ("\"format\": 1", "\"format\": 2", "has the format 2, 1 is known"),
        ("\"name\": \"root\"", "\"name\": \"boot\"", "has no root in blocks"),
        ("\"block_size\": 65536", "\"block_size\": 4096", "a root that no update has"),
        (
            "\"file\": \"kiosk_1.4.0.root.index\"",
            "\"file\": \"../x.root.index\"",
            "a root that no update has",
        ),
        ("\"format\"", "format", "key must be a string"),
    ] {
        assert!(text.contains(old), "{old}");
        std::fs::write(&manifest, text.replacen(old, new, 1)).unwrap();
        let said = refused();
        assert!(said.contains(part), "{said}");
    }
    std::fs::write(&manifest, " ".repeat(5 << 20)).unwrap();
    assert!(refused().contains("EOF while parsing"), "no more is read than a manifest has");
    std::fs::write(&manifest, &text).unwrap();
    Blocks::open(&folder).unwrap();
}
