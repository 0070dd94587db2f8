//! Small inputs of every kind, made in memory but for what only a file or an archive has: holes, and layers.

use std::fs::File;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use exporter::assemble::{Input, Programs};
use exporter::boot::BootFiles;
use exporter::input::{self, Options, Platform};
use exporter::machine::Materials;
use exporter::tree::{Device, Editor, HostDir, Inode, InodeKind, Meta, Time, Tree, scan};
use sha2::{Digest, Sha256};

pub(crate) const MIB: u64 = 1 << 20;

const TIME: Time = Time { seconds: 1_700_000_000, nanoseconds: 5 };

/// Bytes in which no compressor finds anything.
pub(crate) fn noise(len: u64, salt: u64) -> Vec<u8> {
    let word = |n: u64| (n ^ salt << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) ^ n << 7;
    (0..len.div_ceil(8)).flat_map(|n| word(n).to_le_bytes()).take(len as usize).collect()
}

/// A program without a loader, as far as its head tells (elf(5)), for a machine (`e_machine`).
fn program(len: u64, machine: u8) -> Vec<u8> {
    let mut bytes = noise(len, 1);
    bytes[..64].fill(0);
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    bytes[18] = machine;
    bytes
}

const X86_64: u8 = 62;
const AARCH64: u8 = 183;

/// A tree of these files: `-> target` is a link.
fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::new(Meta { permissions: 0o755, mtime: TIME, ..Meta::default() });
    let mut editor = Editor::new(&mut tree, TIME);
    for (path, text) in files {
        match text.strip_prefix("-> ") {
            Some(target) => editor.symlink(path, target).unwrap(),
            None => editor.write_file(path, text.as_bytes(), 0o644).unwrap(),
        };
    }
    tree
}

/// Give a tree programs for a machine, and a kernel with its initramfs.
fn install(tree: &mut Tree, programs: &[&str], machine: u8, kernel: &str, initramfs: Option<&str>) {
    let mut editor = Editor::new(tree, TIME);
    for path in programs {
        editor.write_file(path, program(70_000, machine), 0o755).unwrap();
    }
    editor.write_file(kernel, noise(2 * MIB + 7, 2), 0o644).unwrap();
    if let Some(path) = initramfs {
        editor.write_file(path, noise(MIB, 3), 0o644).unwrap();
    }
}

/// What only some file systems hold: attributes, second names, devices, a directory with an index.
fn decorate(tree: &mut Tree) {
    let mut editor = Editor::new(tree, TIME);
    let large = editor.write_file("/usr/large", noise(3 * MIB + 100, 4), 0o4755).unwrap();
    for number in 0..600 {
        editor.write_file(format!("/usr/share/many/file {number}"), vec![b'x'; number * 13], 0o640).unwrap();
    }
    let folder = editor.mkdir_all("/var/lib/owned").unwrap();
    tree.link(folder, b"a second name", large);
    let xattrs = &mut tree.inode_mut(large).meta.xattrs;
    xattrs.insert((*b"user.note").into(), vec![b'n'; 900].into());
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    xattrs.insert((*b"security.capability").into(), capability.into());
    let owned = &mut tree.inode_mut(folder).meta;
    (owned.uid, owned.gid, owned.permissions) = (70_000, 33, 0o2775);
    let meta = Meta { permissions: 0o600, mtime: TIME, ..Meta::default() };
    let kinds = [InodeKind::Fifo, InodeKind::CharDevice(Device { major: 1, minor: 3 })];
    for (name, kind) in ["pipe", "null"].into_iter().zip(kinds) {
        tree.insert(folder, name.as_bytes(), Inode { meta: meta.clone(), kind });
    }
}

/// Give a tree `/var/sparse`, a file of this machine with holes.
fn add_sparse(tree: &mut Tree, scratch: &Path) {
    let file = File::create(scratch.join("sparse")).unwrap();
    file.set_len(9 * MIB + 1).unwrap();
    for offset in [64 << 10, 5 * MIB, 8 * MIB] {
        file.write_all_at(&noise(4096, offset), offset).unwrap();
    }
    let scanned = scan(&HostDir::open(scratch).unwrap(), NonZeroUsize::MIN, &mut |_| {}).unwrap();
    let from = scanned.resolve("/sparse").unwrap();
    let copy = Editor::new(tree, TIME).copy("/var/sparse", &scanned, from).unwrap();
    tree.inode_mut(copy).meta = Meta { permissions: 0o644, mtime: TIME, ..Meta::default() };
}

fn debian_tree(machine: u8) -> Tree {
    let mut tree = tree(&[
        ("/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
        ("/etc/fstab", "# mine\n/dev/sda1 / ext4 noatime 0 1\n/dev/vdb1 /data xfs defaults 0 2\n"),
        ("/etc/default/grub", "GRUB_TIMEOUT=3\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet splash\"\n"),
        ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n"),
        ("/etc/group", "root:x:0:\nwww-data:x:33:\n"),
        ("/etc/hostname", "web\n"),
        ("/.dockerenv", ""),
        ("/sbin", "-> usr/sbin"),
        ("/usr/sbin/init", "-> ../lib/systemd/systemd"),
        ("/vmlinuz", "-> boot/vmlinuz-6.1.0-9-amd64"),
        ("/initrd.img", "-> boot/initrd.img-6.1.0-9-amd64"),
        ("/boot/vmlinuz-5.10.0-1-amd64", "an older kernel"),
        ("/boot/initrd.img-5.10.0-1-amd64", "and its initramfs"),
    ]);
    let programs = ["/usr/lib/systemd/systemd", "/bin/sh", "/usr/sbin/nginx"];
    let (kernel, initramfs) = ("/boot/vmlinuz-6.1.0-9-amd64", "/boot/initrd.img-6.1.0-9-amd64");
    install(&mut tree, &programs, machine, kernel, Some(initramfs));
    // What the script of a service needs.
    let mut editor = Editor::new(&mut tree, TIME);
    for name in ["cat", "rm", "sleep", "mkfifo", "timeout"] {
        editor.write_file(format!("/bin/{name}"), program(100, machine), 0o755).unwrap();
    }
    tree
}

/// A distribution with systemd, and everything that a tree may have.
pub(crate) fn debian(scratch: &Path) -> Tree {
    let mut tree = debian_tree(X86_64);
    decorate(&mut tree);
    add_sparse(&mut tree, scratch);
    tree
}

/// The same without all that.
pub(crate) fn debian_small() -> Tree {
    debian_tree(X86_64)
}

/// That for another architecture.
pub(crate) fn debian_arm64() -> Tree {
    debian_tree(AARCH64)
}

/// A distribution with OpenRC, whose initramfs has to be told the root's file system.
pub(crate) fn alpine() -> Tree {
    let mut tree = tree(&[
        ("/etc/os-release", "ID=alpine\nVERSION_ID=3.23.0\nPRETTY_NAME=\"Alpine Linux v3.23\"\n"),
        ("/etc/inittab", "::sysinit:/sbin/openrc sysinit\ntty1::respawn:/sbin/getty 38400 tty1\n"),
        ("/etc/apk/world", "alpine-base\nlinux-virt\n"),
        ("/etc/update-extlinux.conf", "default_kernel_opts=\"quiet rootfstype=ext4\"\nmodules=ext4\n"),
        ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
        ("/etc/init.d/networking", "#!/sbin/openrc-run\n"),
        ("/sbin/init", "-> /bin/busybox"),
        ("/bin/sh", "-> /bin/busybox"),
        ("/boot/boot", "-> ."),
        ("/lib/modules/6.18.1-0-virt/modules.dep", "kernel/drivers/block/virtio_blk.ko:\n"),
    ]);
    let programs = ["/bin/busybox", "/sbin/openrc", "/sbin/apk"];
    install(&mut tree, &programs, X86_64, "/boot/vmlinuz-virt", Some("/boot/initramfs-virt"));
    tree
}

/// A program and nothing else.
pub(crate) fn scratch_image() -> Tree {
    let mut tree = tree(&[]);
    Editor::new(&mut tree, TIME).write_file("/app", program(50_000, X86_64), 0o755).unwrap();
    tree
}

/// A kernel that mounts the root by itself.
pub(crate) fn donor() -> Tree {
    let mut tree = tree(&[
        ("/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n"),
        ("/lib", "-> usr/lib"),
        (
            "/usr/lib/modules/6.1.0-9-cloud/modules.builtin",
            "kernel/fs/ext4/ext4.ko\nkernel/drivers/block/virtio_blk.ko\n",
        ),
        ("/usr/lib/modules/6.1.0-9-cloud/modules.dep", ""),
    ]);
    install(&mut tree, &[], X86_64, "/boot/vmlinuz-6.1.0-9-cloud", None);
    tree
}

/// A distribution, of which only the kernel is missing.
pub(crate) fn donor_without_kernel() -> Tree {
    tree(&[("/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n"), ("/lib", "-> usr/lib")])
}

/// Files of no system.
pub(crate) fn site() -> Tree {
    let mut tree =
        tree(&[("/index.html", "<p>hello</p>\n"), ("/pictures/logo", "-> ../logo.svg"), ("/logo.svg", "")]);
    decorate(&mut tree);
    tree
}

/// The tree of an OCI archive of two layers, read from it.
pub(crate) fn image(scratch: &Path) -> Tree {
    let path = scratch.join("image.tar");
    std::fs::write(&path, oci_archive(&[layer(&debian_tree(X86_64)), upper_layer()])).unwrap();
    let options = Options {
        platform: &Platform::linux("amd64"),
        threads: NonZeroUsize::new(2).unwrap(),
        spool: scratch,
        progress: &|_| {},
    };
    input::read(&input::Input::parse(&format!("oci-archive:{}", path.display())), &options).unwrap().tree
}

/// The files and links of a tree as a layer.
fn layer(tree: &Tree) -> Vec<u8> {
    let mut layer = tar::Builder::new(Vec::new());
    let mut folders = vec![(String::new(), Tree::ROOT)];
    while let Some((folder, id)) = folders.pop() {
        for (name, &id) in tree.entries(id).unwrap() {
            let path = format!("{folder}{}", std::str::from_utf8(name).unwrap());
            match &tree.inode(id).kind {
                InodeKind::Directory(_) => folders.push((format!("{path}/"), id)),
                InodeKind::Symlink(target) => {
                    add_link(&mut layer, &path, std::str::from_utf8(target).unwrap())
                }
                _ => add_file(
                    &mut layer,
                    &path,
                    &tree.read(&path, 8 * MIB).unwrap().unwrap(),
                    tree.inode(id).meta.permissions,
                ),
            }
        }
    }
    layer.into_inner().unwrap()
}

/// One that takes a file away and adds another.
fn upper_layer() -> Vec<u8> {
    let mut layer = tar::Builder::new(Vec::new());
    add_file(&mut layer, "boot/.wh.vmlinuz-5.10.0-1-amd64", b"", 0o644);
    add_file(&mut layer, "srv/index.html", b"hello", 0o644);
    layer.into_inner().unwrap()
}

fn header(permissions: u16, len: usize) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_mode(permissions.into());
    header.set_mtime(TIME.seconds as u64);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(len as u64);
    header
}

fn add_file(layer: &mut tar::Builder<Vec<u8>>, path: &str, bytes: &[u8], permissions: u16) {
    layer.append_data(&mut header(permissions, bytes.len()), path, bytes).unwrap();
}

fn add_link(layer: &mut tar::Builder<Vec<u8>>, path: &str, target: &str) {
    let mut header = header(0o777, 0);
    header.set_entry_type(tar::EntryType::Symlink);
    layer.append_link(&mut header, path, target).unwrap();
}

fn oci_archive(layers: &[Vec<u8>]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut put = |media_type: &str, bytes: &[u8]| {
        let digest = hex(&Sha256::digest(bytes));
        add_file(&mut archive, &format!("blobs/sha256/{digest}"), bytes, 0o644);
        serde_json::json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len() })
    };
    let stored: Vec<_> =
        layers.iter().map(|layer| put("application/vnd.oci.image.layer.v1.tar", layer)).collect();
    let diff_ids: Vec<_> = stored.iter().map(|layer| layer["digest"].clone()).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = put("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
    let manifest = serde_json::json!({ "schemaVersion": 2, "config": config, "layers": stored });
    let manifest = put("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [manifest] });
    add_file(&mut archive, "index.json", index.to_string().as_bytes(), 0o644);
    add_file(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644);
    archive.into_inner().unwrap()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Boot loader files that nothing can start and everything can place.
fn boot_files(has_bios: bool) -> BootFiles {
    let mut boot = vec![0x90; 512];
    boot[510..].copy_from_slice(&[0x55, 0xaa]);
    let files = [
        ("vendor", b"debian\n".to_vec()),
        ("shim.efi", noise(100_000, 5)),
        ("grub.efi", noise(MIB, 6)),
        ("mm.efi", noise(90_000, 7)),
        ("boot.img", boot),
        ("core.img", noise(30_000, 8)),
    ];
    let find = |wanted: &str| {
        let is_there = has_bios || !wanted.ends_with(".img");
        let found = files.iter().find(|(name, _)| *name == wanted && is_there);
        Ok(found.map(|(_, bytes)| Arc::from(&bytes[..])))
    };
    BootFiles::new("the test", find).unwrap().unwrap()
}

/// All that a disk for x86-64 is made from, beside its tree.
pub(crate) fn input(root: Tree) -> Input {
    let of = |len| Some(Arc::from(program(len, X86_64)));
    let programs = Programs {
        grow: of(40_000),
        init: of(60_000),
        early: of(50_000),
        boot: of(70_000),
        update: of(80_000),
        medium: of(90_000),
        verity: of(65_000),
    };
    Input {
        root,
        boot: Some(boot_files(true)),
        donor: None,
        programs,
        materials: Materials::default(),
        mkfs: None,
    }
}

/// The same for 64-bit ARM: no GRUB for BIOS, and no programs of ours.
pub(crate) fn input_arm64(root: Tree) -> Input {
    Input { boot: Some(boot_files(false)), programs: Programs::default(), ..input(root) }
}
