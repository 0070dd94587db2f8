//! Kernels and their modules: small ones, of which each reader has something to take.

use std::io::Write;

use exporter::initramfs::{Packing, Wanted, build};
use exporter::kernel::{Config, KernelImage};
use exporter::tree::{Content, Editor, Meta, Time, Tree};

use super::told;
use crate::{Target, repair};

/// An image of a kernel: what is packed in it is unpacked twice, and is as long each time.
pub(super) const KERNEL: Target = Target {
    name: "kernel",
    seeds: kernels,
    words: &[
        b"HdrS",
        b"\x7fELF\x02\x01\x01",
        b"ARM\x64",
        b"MZ\0\0zimg",
        b"Xen\0",
        b"IKCFG_ST",
        b"Linux version ",
        b"\x1f\x8b",
        b"\x28\xb5\x2f\xfd",
        b"\xfd7zXZ\0",
        b"\x02\x21\x4c\x18",
        &[0xff; 8],
        &[0; 8],
    ],
    grain: 4,
    repair: repair::nothing,
    run: |bytes| {
        let image = KernelImage::read(&Content::Bytes(bytes.into()), "kernel").map_err(told)?;
        assert!(!image.release().is_empty() && !image.release().contains(['/', '\n', '\0']));
        let vmlinux = image.vmlinux().map_err(told)?;
        let mut reader = vmlinux.reader().map_err(told)?;
        let len = std::io::copy(&mut reader, &mut std::io::sink()).map_err(told)?;
        assert_eq!(len, vmlinux.len, "it is as long as it was");
        Ok(())
    },
};

/// A module: an initramfs with it has lists that are lines of words.
pub(super) const MODULE: Target = Target {
    name: "module",
    seeds: || {
        let info = b"license=GPL\0alias=virtio:d00000002v*\0depends=\0softdep=pre: crc32c post: b\0";
        let module = module(info);
        vec![packed_by_gzip(&module), packed_by_lz4(&module), module]
    },
    words: &[
        b"alias=",
        b"depends=",
        b"softdep=",
        b"pre:",
        b".modinfo\0",
        b"\x7fELF\x02\x01\x01",
        b"\n",
        &[0xff; 8],
        &[0; 8],
    ],
    grain: 8,
    repair: repair::nothing,
    run: |bytes| {
        let mut tree = Tree::new(Meta::default());
        let mut editor = Editor::new(&mut tree, Time::default());
        editor.write_file("/lib/modules/6.1/kernel/a.ko", bytes, 0o644).map_err(told)?;
        let wanted = Wanted {
            kernel: "kernel",
            release: "6.1",
            config: &Config::unknown(),
            modules: Some("/lib/modules/6.1"),
            required: &[("a", "the disk")],
            optional: &[],
            program: (*b"init").into(),
            verity: None,
            time: Time::default(),
            packing: Packing::Plain,
        };
        let built = build(&tree, &wanted).map_err(told)?;
        let [Content::Bytes(archive)] = &built.parts[..] else { return Err("not one part".to_owned()) };
        assert!(built.modules == ["a"] && archive.starts_with(b"070701") && archive.len() % 4 == 0);
        let aliases = archive.split(|&byte| byte == b'\n').filter(|line| line.starts_with(b"alias "));
        assert!(
            aliases.take(1000).all(|line| line.split(|&byte| byte == b' ').count() == 3 || line.contains(&0))
        );
        Ok(())
    },
};

fn kernels() -> Vec<Vec<u8>> {
    let kernel = vmlinux();
    let mut zboot = b"MZ\0\0zimg".to_vec();
    let image = packed_by_gzip(&arm64());
    zboot.extend([64_u32.to_le_bytes(), (image.len() as u32).to_le_bytes()].concat());
    zboot.resize(64, 0);
    zboot.extend(&image);
    let packed = [packed_by_gzip(&kernel), packed_by_lz4(&kernel), PACKED_BY_XZ.to_vec(), kernel.clone()];
    packed.iter().map(|payload| bzimage(payload)).chain([kernel, arm64(), image, zboot]).collect()
}

/// The header of an ELF file and a text, by xz with its filter for x86.
const PACKED_BY_XZ: &[u8] = b"\
    \xfd7zXZ\x00\x00\x01i\x22\xde6\x02\x01\x04\x00!\x01\x08\x00\xd2\xb9t\xcb\xe0\x01\x0f\x001]\x00?\
    \x91E\x84h=\x89\xa6\xda\x8a\xcc\x93\xe2O\xe7\x05\x17\x98\x99\x14\xb2\x1dL!%\xc6\xb2_7\x04\x94\
    \x01\xfb\x22\xb2h\x85h\x8etS\x17\xcb\x19j\xdf\x90\x00\x00\x00\x00\x00\x00h\x96h\xf0\x00\x01I\x90\
    \x02\x00\x00\x00\xe2`\x0d\x90>0\x0d\x8b\x02\x00\x00\x00\x00\x01YZ";

/// A kernel with a note for PVH and its configuration.
fn vmlinux() -> Vec<u8> {
    let mut bytes = elf();
    put(&mut bytes, 32, &64_u64.to_le_bytes());
    put(&mut bytes, 54, &[56, 0, 1, 0]);
    bytes.resize(128, 0);
    put(&mut bytes, 64, &[4]);
    put(&mut bytes, 72, &[128]);
    put(&mut bytes, 96, &[20]);
    bytes.extend([&[4, 0, 0, 0, 4, 0, 0, 0, 18, 0, 0, 0][..], b"Xen\0", &[0, 0, 0, 1]].concat());
    bytes.extend(b"Linux version 6.1.0 (gcc)\nIKCFG_ST");
    bytes.extend(packed_by_gzip(b"CONFIG_PVH=y\n"));
    bytes
}

fn bzimage(payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 1040];
    put(&mut bytes, 0x1f1, &[1]);
    put(&mut bytes, 0x1fe, &[0x55, 0xaa]);
    put(&mut bytes, 0x202, b"HdrS\x0f\x02");
    put(&mut bytes, 0x20e, &[0, 1]);
    put(&mut bytes, 0x236, &[1]);
    put(&mut bytes, 0x248, &[16]);
    put(&mut bytes, 0x24c, &(payload.len() as u32).to_le_bytes());
    put(&mut bytes, 0x300, b"6.1.0 (me@here) #1\0");
    bytes.extend(payload);
    bytes
}

fn arm64() -> Vec<u8> {
    let mut bytes = vec![0; 64];
    put(&mut bytes, 56, b"ARM\x64");
    bytes.extend(b"Linux version 6.12.1 (gcc)\n");
    bytes
}

fn module(info: &[u8]) -> Vec<u8> {
    const NAMES: &[u8] = b"\0.modinfo\0.shstrtab\0";
    let mut bytes = elf();
    let table = (64 + info.len() + NAMES.len()).next_multiple_of(8);
    put(&mut bytes, 40, &(table as u64).to_le_bytes());
    put(&mut bytes, 58, &[64, 0, 3, 0, 2, 0]);
    bytes.extend([info, NAMES].concat());
    bytes.resize(table + 3 * 64, 0);
    for (number, name, at, len) in [(1, 1, 64, info.len()), (2, 10, 64 + info.len(), NAMES.len())] {
        let section = table + number * 64;
        put(&mut bytes, section, &[name]);
        put(&mut bytes, section + 24, &(at as u64).to_le_bytes());
        put(&mut bytes, section + 32, &(len as u64).to_le_bytes());
    }
    bytes
}

/// The header of an ELF file of x86_64.
fn elf() -> Vec<u8> {
    let mut bytes = vec![0; 64];
    put(&mut bytes, 0, b"\x7fELF\x02\x01\x01");
    put(&mut bytes, 16, &[2, 0, 62, 0]);
    bytes
}

fn packed_by_gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

/// One block of LZ4 in which nothing is repeated.
fn packed_by_lz4(bytes: &[u8]) -> Vec<u8> {
    let more = bytes.len() - 15;
    let mut block = vec![0xf0];
    block.extend(vec![255; more / 255]);
    block.push((more % 255) as u8);
    block.extend(bytes);
    [&[0x02, 0x21, 0x4c, 0x18][..], &(block.len() as u32).to_le_bytes(), &block].concat()
}

fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
    bytes[at..at + what.len()].copy_from_slice(what);
}
