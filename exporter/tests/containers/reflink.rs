//! A raw disk on a file system whose files can share blocks: it shares those of the files it is made of,
//! and is what it would be elsewhere.

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use exporter::Result;
use exporter::assemble::{Input, Planned, Programs, plan};
use exporter::container::{Compression, Format, Target, write};
use exporter::engine::Run;
use exporter::machine::Materials;
use exporter::spec::{Profile, Size, Spec};
use exporter::tree::{HostDir, scan};
use tempfile::TempDir;

use crate::support::{MIB, Mount, noise, run, text};

const FILE_SYSTEMS: [&str; 2] = ["xfs", "btrfs"];

/// A new file system of that kind, and a place beside it that is none.
struct Lab {
    // Unmounted before the directory goes.
    mount: Mount,
    scratch: TempDir,
}

impl Lab {
    fn new(kind: &str) -> Self {
        let scratch = TempDir::new().unwrap();
        let image = scratch.path().join("image");
        File::create(&image).unwrap().set_len(400 * MIB).unwrap();
        run(Command::new(format!("mkfs.{kind}")).arg("-q").arg(&image));
        let mount = Mount::new(&["-o", "loop", image.to_str().unwrap()], scratch.path().join("mount"));
        Self { mount, scratch }
    }

    /// A tree on it: files of all sizes around those that are shared, and runs of zeroes in and between.
    fn tree(&self) -> PathBuf {
        let tree = self.mount.path().join("tree");
        fs::create_dir(&tree).unwrap();
        for len in [0, 10, 4096, 65_535, 65_536, 131_072, 200_000, MIB, 3 * MIB + 5, 9 * MIB] {
            fs::write(tree.join(format!("{len}")), noise(len)).unwrap();
        }
        let zeroes = [text(MIB), vec![0; 2 * MIB as usize], noise(300_000)].concat();
        fs::write(tree.join("zeroes"), zeroes).unwrap();
        let sparse = File::create(tree.join("sparse")).unwrap();
        sparse.set_len(20 * MIB).unwrap();
        [4096, 5 * MIB].iter().for_each(|&at| sparse.write_all_at(&noise(MIB + 1), at).unwrap());
        tree
    }

    /// Files that lie beside the tree on it.
    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.mount.path().join("out")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn planned(tree: &Path) -> Planned {
    let root = scan(&HostDir::open(tree).unwrap(), NonZeroUsize::MIN, &mut |_| {}).unwrap();
    let spec = Spec { profile: Profile::Data, size: Some(Size(128 * MIB)), ..Spec::default() };
    let (programs, materials) = (Programs::default(), Materials::default());
    let input = Input { root, boot: None, donor: None, programs, materials, mkfs: None };
    plan(&spec, input, &Run::silent(NonZeroUsize::MIN)).unwrap()
}

fn make(planned: &Planned, format: Format, path: &Path, threads: usize) -> Result<()> {
    let target = Target::new(path.to_owned(), format, Compression::None, planned.id);
    write(planned.image(), &[target], &Run::silent(NonZeroUsize::new(threads).unwrap()))
}

/// Bytes of a file whose blocks are those of another one too.
fn shared(path: &Path) -> u64 {
    let said = run(Command::new("filefrag").args(["-v", "-b1"]).arg(path));
    let said = String::from_utf8(said.stdout).unwrap();
    let extents = said.lines().filter(|line| line.contains("shared"));
    // `number: first.. last: first.. last: length: flags`
    extents.map(|line| line.split(':').nth(3).unwrap().trim().parse::<u64>().unwrap()).sum()
}

#[test]
fn it_is_the_same_bytes_and_few_of_its_own() {
    for kind in FILE_SYSTEMS {
        let lab = Lab::new(kind);
        let planned = planned(&lab.tree());
        let elsewhere = lab.scratch.path().join("disk.raw");
        make(&planned, Format::Raw, &elsewhere, 2).unwrap();
        let expected = fs::read(&elsewhere).unwrap();
        for (format, threads) in [(Format::Raw, 1), (Format::Raw, 8), (Format::Vhd, 2)] {
            let disk = lab.mount.path().join("disk");
            make(&planned, format, &disk, threads).unwrap();
            let bytes = fs::read(&disk).unwrap();
            assert!(bytes[..expected.len()] == expected, "{kind} {format} {threads}");
            let shared = shared(&disk);
            assert!((14 * MIB..19 * MIB).contains(&shared), "{kind} {format} {threads}: {shared}");
        }
        // What has the bytes in other places can share nothing.
        let qcow2 = lab.mount.path().join("disk.qcow2");
        make(&planned, Format::Qcow2, &qcow2, 2).unwrap();
        assert_eq!(shared(&qcow2), 0, "{kind}");
    }
}

#[test]
fn a_file_that_shrank_is_an_error_and_leaves_nothing() {
    for kind in FILE_SYSTEMS {
        let lab = Lab::new(kind);
        let tree = lab.tree();
        let planned = planned(&tree);
        fs::create_dir(lab.mount.path().join("out")).unwrap();
        let disk = lab.mount.path().join("out/disk.raw");
        make(&planned, Format::Raw, &disk, 2).unwrap();
        assert_eq!(lab.left(), ["disk.raw"]);
        fs::remove_file(&disk).unwrap();
        File::options().write(true).open(tree.join("1048576")).unwrap().set_len(MIB / 2).unwrap();
        let error = make(&planned, Format::Raw, &disk, 2).unwrap_err();
        let expected = "/1048576: the file changed while it was read, from 1 MiB to 512 KiB";
        assert_eq!(error.to_string(), expected);
        assert!(lab.left().is_empty(), "{kind}");
    }
}
