//! Every format is read by 7-Zip, whose readers owe nothing to QEMU or to ours.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;

use exporter::container::{Compression, Format, Target, disk_file, write};
use exporter::engine::{RawImage, Run};
use exporter::extent::Extent;
use exporter::seed::Seed;
use tempfile::TempDir;

use crate::support::{MIB, noise, run, text, variants};
use crate::zstd_qcow2;

/// 7-Zip reads no VHDX whose size is not a multiple of 4096.
const SIZE: u64 = 12 * MIB + 4096;
/// Where the image is noise.
const NOISE: u64 = 3 * MIB + 4096;

/// Data that shrinks, data that does not, zeroes, gaps, and the edges of clusters and blocks.
fn extents() -> Vec<Extent> {
    vec![
        Extent::bytes(0, text(700)),
        Extent::bytes(MIB - 5, text(900_000)),
        Extent::bytes(NOISE, noise(2 * MIB)),
        Extent::bytes(7 * MIB, vec![0; MIB as usize]),
        Extent::bytes(9 * MIB, vec![7; 65_536]),
        Extent::bytes(SIZE - 100, text(100)),
    ]
}

pub(crate) fn expected() -> Vec<u8> {
    let mut image = vec![0; SIZE as usize];
    for extent in extents() {
        let exporter::extent::Backing::Bytes(bytes) = &extent.source else { unreachable!("all in memory") };
        image[extent.offset as usize..extent.end() as usize].copy_from_slice(bytes);
    }
    image
}

/// The image in that format, compressed by the first of `compressions` that it has.
pub(crate) fn made_of(format: Format, compressions: &[Compression]) -> (TempDir, PathBuf) {
    let has = |compression: &&Compression| format.compressions().contains(compression);
    made(format, *compressions.iter().find(has).unwrap())
}

/// The image as a file, in a directory of its own.
fn made(format: Format, compression: Compression) -> (TempDir, PathBuf) {
    let scratch = TempDir::new().unwrap();
    let path = scratch.path().join(format!("disk{}", format.suffix()));
    let id = Seed::new(b"test").uuid("disk file");
    let target = Target::new(path.clone(), format, compression, id);
    let run = Run::silent(NonZeroUsize::new(2).unwrap());
    let size = SIZE.next_multiple_of(format.size_unit());
    write(RawImage { size, extents: &extents() }, &[target], &run).unwrap();
    (scratch, path)
}

/// Take one layer after the other off a disk file until the image is bare; the extension says which is next.
fn bare(path: &Path) -> Result<Vec<u8>, String> {
    let inside = |extension: &str| path.with_extension(extension);
    let (kind, member, next) = match path.extension().unwrap().to_str().unwrap() {
        "raw" => return Ok(std::fs::read(path).unwrap()),
        "qcow2" => ("qcow", None, inside("raw")),
        kind @ ("vdi" | "vhd" | "vhdx" | "vmdk") => (kind, None, inside("raw")),
        "gz" => ("gzip", None, inside("")),
        "zst" => ("zstd", None, inside("")),
        "tar" => ("tar", Some("*.raw"), inside("raw")),
        "ova" => ("tar", Some("*.vmdk"), inside("vmdk")),
        other => panic!("no reader of .{other} is named here"),
    };
    let mut command = Command::new("7zz");
    command.arg("x").arg("-so").arg(format!("-t{kind}")).arg(path).args(member);
    let output = command.output().unwrap_or_else(|error| panic!("7zz must be installed: {error}"));
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    std::fs::write(&next, output.stdout).unwrap();
    bare(&next)
}

/// The disk in a container image: its largest blob is a layer, in which it is `disk/disk.qcow2`.
fn out_of_image(archive: &Path) -> PathBuf {
    let shown = archive.to_str().unwrap();
    let layer = archive.with_extension("layer");
    let disk = archive.with_extension("qcow2");
    let list = String::from_utf8(run(Command::new("tar").args(["-tvf", shown])).stdout).unwrap();
    let fields = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let largest = fields.max_by_key(|fields| fields[2].parse::<u64>().unwrap()).unwrap();
    let blob = *largest.last().unwrap();
    std::fs::write(&layer, run(Command::new("tar").args(["-xOf", shown, blob])).stdout).unwrap();
    let inside = ["-xOf", layer.to_str().unwrap(), "disk/disk.qcow2"];
    std::fs::write(&disk, run(Command::new("tar").args(inside)).stdout).unwrap();
    disk
}

fn read(path: &Path, compression: Compression) -> Result<Vec<u8>, String> {
    if path.to_str().unwrap().ends_with(".containerdisk.tar") {
        return read(&out_of_image(path), compression);
    }
    if path.is_dir() {
        return bare(&disk_file(path).unwrap());
    }
    let is_qcow2 = path.extension().is_some_and(|extension| extension == "qcow2");
    if is_qcow2 && compression == Compression::Zstd {
        return zstd_qcow2::read(&std::fs::read(path).unwrap());
    }
    bare(path)
}

/// Whether `found` is the image; a format may fill it up with zeroes.
fn is_image(found: &[u8]) -> bool {
    found.len() as u64 >= SIZE
        && found[..SIZE as usize] == expected()
        && found[SIZE as usize..].iter().all(|&byte| byte == 0)
}

#[test]
fn every_format_holds_the_image() {
    for (format, compression) in variants() {
        let (_scratch, path) = made(format, compression);
        let found = read(&path, compression).unwrap_or_else(|why| panic!("{format} {compression}: {why}"));
        assert!(is_image(&found), "{format} {compression}: {} bytes", found.len());
    }
}

/// Noise is stored as it is, so its bytes can be found and changed in every format.
#[test]
fn a_flipped_byte_is_seen_in_every_format() {
    let noise = noise(2 * MIB);
    // Deflate has a few bytes of its own between stretches of noise: one sample or the other is whole.
    let samples: Vec<_> = (1..10).map(|n| &noise[n * 100_000..][..24]).collect();
    for (format, compression) in variants() {
        let (_scratch, path) = made(format, compression);
        let file = disk_file(&path).unwrap();
        let mut bytes = std::fs::read(&file).unwrap();
        let at = bytes.windows(24).position(|window| samples.contains(&window));
        bytes[at.unwrap_or_else(|| panic!("{format} {compression}: no noise"))] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let found = read(&path, compression);
        assert!(!found.is_ok_and(|found| is_image(&found)), "{format} {compression}");
    }
}

#[test]
fn a_flipped_byte_of_a_compressed_cluster_is_seen() {
    for compression in [Compression::Zstd, Compression::Zlib] {
        let (_scratch, path) = made(Format::Qcow2, compression);
        let mut bytes = std::fs::read(&path).unwrap();
        // The first data cluster behind header, tables and refcounts holds the first text.
        bytes[4 * 65_536 + 30] ^= 0xff;
        std::fs::write(&path, bytes).unwrap();
        assert!(!read(&path, compression).is_ok_and(|found| is_image(&found)), "{compression}");
    }
}
