//! Swap areas, judged by blkid, swaplabel and file.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use exporter::extent::Backing;
use exporter::fs::swap::{self, Options};
use exporter::seed::Uuid;

const UUID: &str = "0f5c9a52-9d0c-4a0e-8d3e-6a1f0e7f4b11";

fn write(size: u64, label: &str, path: &Path) -> File {
    let options = Options { label: label.to_owned(), uuid: UUID.parse::<Uuid>().unwrap() };
    let contents = swap::plan(size, &options).unwrap();
    let file = File::options().create(true).truncate(true).write(true).read(true).open(path).unwrap();
    file.set_len(contents.size).unwrap();
    for extent in contents.extents.iter() {
        let Backing::Bytes(bytes) = &extent.source else { unreachable!("a header is bytes") };
        file.write_all_at(bytes, extent.offset).unwrap();
    }
    file
}

/// What a program prints of the area, if it says that there is one.
fn says(program: &str, arguments: &[&str], path: &Path) -> Option<String> {
    let output = Command::new(program).args(arguments).arg(path).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn everybody_finds_the_area_with_its_names() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("area");
    for (size, pages) in [(swap::SIZE_MIN, 9), (1 << 20, 255), ((1 << 30) + 4095, 262_143)] {
        write(size, "sixteen letters!", &path);
        let found = says("blkid", &["-p", "-o", "export"], &path).unwrap();
        for line in [format!("UUID={UUID}"), "TYPE=swap".into(), "VERSION=1".into()] {
            assert!(found.lines().any(|found| found == line), "{line}: {found}");
        }
        let found = says("swaplabel", &[], &path).unwrap();
        assert!(found.contains("LABEL: sixteen letters!") && found.contains(UUID), "{found}");
        let found = says("file", &["-b"], &path).unwrap();
        assert!(found.contains("swap file, 4k page size, little endian, version 1"), "{found}");
        assert!(found.contains(&format!("size {pages} pages, 0 bad pages")), "{found}");
    }
}

#[test]
fn nobody_finds_an_area_without_its_signature() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("area");
    write(1 << 20, "swap", &path).write_all_at(b"x", 4095).unwrap();
    assert_eq!(says("blkid", &["-p"], &path), None);
    assert_eq!(says("swaplabel", &[], &path), None);
    assert_eq!(says("file", &["-b"], &path).as_deref(), Some("data\n"));
}
