//! Kernels and modules in small: what tells of one is there, and nothing of it runs.

use std::io::Write;

use exporter::tree::{Editor, Time, Tree};

pub(crate) const RELEASE: &str = "6.12.1-cloud";
const TIME: Time = Time { seconds: 1_700_000_000, nanoseconds: 0 };

fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
    bytes[at..at + what.len()].copy_from_slice(what);
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The kernel itself: an ELF file for x86-64 that says its release.
pub(crate) fn vmlinux() -> Vec<u8> {
    let mut bytes = vec![0; 64];
    put(&mut bytes, 0, b"\x7fELF\x02\x01\x01");
    put(&mut bytes, 16, &[2, 0, 62, 0]);
    bytes.extend(format!("Linux version {RELEASE} (gcc) #1 SMP\n\0").bytes());
    bytes.extend(crate::inputs::noise(300_000, 9));
    bytes
}

/// The kernel itself for arm64: an Image (booting.rst) that says its release.
pub(crate) fn arm64() -> Vec<u8> {
    let mut bytes = vec![0; 64];
    put(&mut bytes, 56, b"ARM\x64");
    bytes.extend(format!("Linux version {RELEASE} (gcc) #1 SMP\n\0").bytes());
    bytes.extend(crate::inputs::noise(300_000, 9));
    bytes
}

/// The same within a program for EFI that unpacks it (`CONFIG_EFI_ZBOOT`).
pub(crate) fn zboot() -> Vec<u8> {
    let payload = gzip(&arm64());
    let mut bytes = b"MZ\0\0zimg".to_vec();
    bytes.extend([64_u32.to_le_bytes(), (payload.len() as u32).to_le_bytes()].concat());
    bytes.resize(64, 0);
    bytes.extend(payload);
    bytes
}

/// A bzImage (boot.rst) that firmware can start, too (a PE header in its first sector), with this in it.
pub(crate) fn bz_image(payload: &[u8]) -> Vec<u8> {
    const PAYLOAD: usize = 1024 + 16;
    let payload = gzip(payload);
    let mut bytes = vec![0; PAYLOAD];
    for (at, what) in [
        (0, &b"MZ"[..]),
        (0x3c, &[0x40]),
        (0x40, b"PE\0\0\x64\x86\x01\0"),
        (0x54, &[112]),
        (0x58, &[0x0b, 2]),
        // The size in memory.
        (0x58 + 56, &[0, 0, 0x80]),
        (0x1f1, &[1]),
        (0x1fe, &[0x55, 0xaa]),
        (0x202, b"HdrS\x0f\x02"),
        (0x20e, &[0, 1]),
        (0x236, &[1]),
        (0x248, &[16]),
        (0x24c, &(payload.len() as u32).to_le_bytes()),
        (0x300, format!("{RELEASE} (me@here) #1 SMP\0").as_bytes()),
    ] {
        put(&mut bytes, at, what);
    }
    bytes.extend(payload);
    bytes
}

/// A module that needs these.
fn module(depends: &str) -> Vec<u8> {
    let info = format!("depends={depends}\0license=GPL\0").into_bytes();
    let names = b"\0.modinfo\0.shstrtab\0";
    let table = 64 + (info.len() + names.len()).next_multiple_of(8);
    let mut bytes = vec![0; 64];
    put(&mut bytes, 0, b"\x7fELF\x02\x01\x01");
    put(&mut bytes, 16, &[1, 0, 62, 0]);
    put(&mut bytes, 40, &(table as u64).to_le_bytes());
    put(&mut bytes, 58, &[64, 0, 3, 0, 2, 0]);
    bytes.extend([&info[..], names].concat());
    bytes.resize(table + 64, 0);
    for (name, at, len) in [(1_u32, 64, info.len()), (10, 64 + info.len(), names.len())] {
        let mut section = [0; 64];
        put(&mut section, 0, &name.to_le_bytes());
        put(&mut section, 24, &(at as u64).to_le_bytes());
        put(&mut section, 32, &(len as u64).to_le_bytes());
        bytes.extend(section);
    }
    bytes
}

/// Where each module lies, and what it needs.
const MODULES: [(&str, &str); 12] = [
    ("drivers/virtio/virtio", ""),
    ("drivers/virtio/virtio_ring", ""),
    ("drivers/virtio/virtio_pci", "virtio,virtio_ring"),
    ("drivers/virtio/virtio_mmio", "virtio,virtio_ring"),
    ("drivers/block/virtio_blk", "virtio,virtio_ring"),
    ("drivers/block/loop", ""),
    ("fs/ext4/ext4", ""),
    ("fs/isofs/isofs", ""),
    ("fs/erofs/erofs", ""),
    ("fs/overlayfs/overlay", ""),
    ("drivers/md/dm-mod", ""),
    ("drivers/md/dm-verity", "dm-mod"),
];

/// Give `tree` a kernel, and its drivers but for those `without`: as modules, or built in.
pub(crate) fn install(tree: &mut Tree, is_built_in: bool, without: &[&str]) {
    let folder = format!("/usr/lib/modules/{RELEASE}");
    let mut editor = Editor::new(tree, TIME);
    if editor.tree().lookup("/lib").is_none() {
        editor.symlink("/lib", "usr/lib").unwrap();
    }
    let mut built_in = String::new();
    for (path, needs) in MODULES {
        let name = path.rsplit('/').next().unwrap();
        if without.contains(&name) {
            continue;
        }
        if is_built_in {
            built_in += &format!("kernel/{path}.ko\n");
        } else {
            editor.write_file(format!("{folder}/kernel/{path}.ko"), module(needs), 0o644).unwrap();
        }
    }
    let config = "CONFIG_ACPI=y\nCONFIG_RD_ZSTD=y\nCONFIG_EROFS_FS=m\nCONFIG_EROFS_FS_ZIP=y\n";
    for (path, text) in [
        (format!("{folder}/modules.builtin"), built_in.as_str()),
        (format!("{folder}/modules.dep"), ""),
        (format!("/boot/config-{RELEASE}"), config),
    ] {
        editor.write_file(path, text.as_bytes(), 0o644).unwrap();
    }
    editor.write_file(format!("/boot/vmlinuz-{RELEASE}"), bz_image(&vmlinux()), 0o644).unwrap();
}
