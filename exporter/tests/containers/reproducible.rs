//! The same tree and the same spec are the same bytes: in every format, at every number of threads, from
//! any directory, on any file system.

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use exporter::assemble::{Input, Programs, plan};
use exporter::boot::BootFiles;
use exporter::container::{Compression, Format, Target, write};
use exporter::engine::Run;
use exporter::machine::Materials;
use exporter::spec::{Size, Spec};
use exporter::tree::{HostDir, scan};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use tempfile::TempDir;

use crate::support::{MIB, Mount, contents, noise, run, text, variants};

/// A program for x86-64 without a loader, as far as its head tells (elf(5)).
fn program(len: u64) -> Vec<u8> {
    let mut bytes = noise(len);
    bytes[..64].fill(0);
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    bytes[18] = 62;
    bytes
}

/// Most files of a machine of 12 MiB.
fn files() -> Vec<(String, Vec<u8>)> {
    let large = [
        ("etc/os-release", b"ID=debian\nVERSION_ID=12\n".to_vec()),
        ("sbin/init", program(70_000)),
        ("boot/vmlinuz-6.1", noise(3 * MIB + 7)),
        ("boot/initrd.img-6.1", noise(MIB)),
        ("usr/zeros", vec![0; 300_000]),
    ];
    let small = (0..600).map(|number| (format!("usr/share/file {number}"), text(number * 13)));
    large.map(|(path, bytes)| (path.to_owned(), bytes)).into_iter().chain(small).collect()
}

/// Pieces that begin and end inside the blocks of some file systems and not of others.
fn make_sparse(at: &Path) {
    let sparse = File::create(at).unwrap();
    sparse.set_len(30 * MIB + 1).unwrap();
    for offset in [1024, 5 * MIB + 1024, 5 * MIB + 9000, 20 * MIB - 3] {
        sparse.write_all_at(&text(1024), offset).unwrap();
    }
}

/// The machine's tree below `root`, its files and their names made in this order or the other way round.
fn make(root: &Path, reversed: bool) {
    let mut files = files();
    let mut names = [root.join("usr/large"), root.join("usr/a second name")];
    if reversed {
        files.reverse();
        names.reverse();
    }
    for (path, bytes) in &files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    fs::write(&names[0], text(5 * MIB + 100)).unwrap();
    fs::hard_link(&names[0], &names[1]).unwrap();
    symlink("../etc/os-release", root.join("usr/link")).unwrap();
    make_sparse(&root.join("usr/sparse"));
    fs::set_permissions(root.join("sbin/init"), fs::Permissions::from_mode(0o755)).unwrap();
    run(Command::new("setcap").arg("cap_net_raw+ep").arg(root.join("sbin/init")));
    settle(root);
}

/// Modes and times that don't tell when or by whom the tree was made.
fn settle(directory: &Path) {
    let time = Timespec { tv_sec: 1_700_000_000, tv_nsec: 5 };
    let times = Timestamps { last_access: time, last_modification: time };
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            settle(&entry.path());
        }
        utimensat(CWD, entry.path(), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    utimensat(CWD, directory, &times, AtFlags::empty()).unwrap();
}

/// Boot loader files that nothing can start and everything can place.
fn make_boot(at: &Path) {
    let mut boot = vec![0x90; 512];
    boot[510..].copy_from_slice(&[0x55, 0xaa]);
    let files = [
        ("vendor", b"debian".to_vec()),
        ("grub.efi", noise(MIB)),
        ("boot.img", boot),
        ("core.img", noise(30_000)),
    ];
    fs::create_dir(at).unwrap();
    for (name, bytes) in files {
        fs::write(at.join(name), bytes).unwrap();
    }
}

/// Places for trees and disks: two file systems, which count blocks and inodes in different ways.
struct Places {
    // Unmounted in this order, before the directory goes.
    tmpfs: Mount,
    ext4: Mount,
    scratch: TempDir,
}

impl Places {
    fn new() -> Self {
        let scratch = TempDir::new().unwrap();
        let image = scratch.path().join("ext4.img");
        File::create(&image).unwrap().set_len(300 * MIB).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-b", "1024"]).arg(&image));
        let ext4 = Mount::new(&["-o", "loop", image.to_str().unwrap()], scratch.path().join("ext4"));
        let tmpfs = Mount::new(&["-t", "tmpfs", "tmpfs"], scratch.path().join("tmpfs"));
        Self { tmpfs, ext4, scratch }
    }
}

fn assembled(root: &Path, boot: &Path, threads: usize, spec: &Spec, output: &Path) -> Vec<(String, Vec<u8>)> {
    let threads = NonZeroUsize::new(threads).unwrap();
    let tree = scan(&HostDir::open(root).unwrap(), threads, &mut |_| {}).unwrap();
    let input = Input {
        root: tree,
        boot: BootFiles::read(boot).unwrap(),
        donor: None,
        programs: Programs::default(),
        materials: Materials::default(),
        mkfs: None,
    };
    let planned = plan(spec, input, &Run::silent(threads)).unwrap();
    let target = Target::new(output.to_owned(), spec.formats[0], spec.compression.unwrap(), planned.id);
    write(planned.image(), &[target], &Run::silent(threads)).unwrap();
    let bytes = contents(output);
    match output.is_dir() {
        true => fs::remove_dir_all(output).unwrap(),
        false => fs::remove_file(output).unwrap(),
    }
    bytes
}

fn spec(format: Format, compression: Compression) -> Spec {
    Spec {
        formats: vec![format],
        compression: Some(compression),
        size: Some(Size((112 * MIB).next_multiple_of(format.size_unit()))),
        ..Spec::default()
    }
}

#[test]
fn every_format_is_the_same_bytes_wherever_it_is_made() {
    let places = Places::new();
    let boot = places.scratch.path().join("boot");
    make_boot(&boot);
    let (tmpfs, ext4) = (places.tmpfs.path(), places.ext4.path());
    let (first, second) = (tmpfs.join("first"), ext4.join("another/directory"));
    make(&first, false);
    make(&second, true);
    for (format, compression) in variants() {
        let name = format!("disk{}", format.suffix());
        let made = |root, threads, at: &Path| {
            assembled(root, &boot, threads, &spec(format, compression), &at.join(&name))
        };
        let expected = made(&first, 1, tmpfs);
        for (root, threads, at) in [(&first, 2, ext4), (&second, 8, tmpfs), (&second, 1, ext4)] {
            let same = made(root, threads, at) == expected;
            assert!(same, "{format} {compression}: {root:?} with {threads} threads in {at:?}");
        }
    }
}

/// The comparison above must be able to fail.
#[test]
fn another_tree_is_other_bytes() {
    let scratch = TempDir::new().unwrap();
    let (boot, root) = (scratch.path().join("boot"), scratch.path().join("root"));
    make_boot(&boot);
    make(&root, false);
    let spec = spec(Format::Raw, Compression::None);
    let made = || assembled(&root, &boot, 2, &spec, &scratch.path().join("disk.raw"));
    let before = made();
    fs::write(root.join("usr/large"), noise(5 * MIB + 100)).unwrap();
    settle(&root);
    assert!(made() != before);
}
