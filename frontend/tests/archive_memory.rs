//! How much memory small archives take that would unpack to much more. Alone in its program: a child's peak begins at
//! its parent's, so nothing large is ever in this one.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};
use tempfile::TempDir;
use wait4::Wait4;

/// What no small input may take.
const LIMIT_MIB: u64 = 250;

/// A tar compressed by zstd, written as it is made.
struct Packed(zstd::Encoder<'static, File>);

impl Packed {
    fn create(path: &Path) -> Self {
        Self(zstd::Encoder::new(File::create(path).unwrap(), 1).unwrap())
    }

    fn member(&mut self, name: &str, kind: EntryType, content: &[u8]) {
        let mut header = Header::new_ustar();
        header.set_path(name).unwrap();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.write_all(header.as_bytes()).unwrap();
        self.0.write_all(content).unwrap();
        let padding = content.len().next_multiple_of(512) - content.len();
        self.0.write_all(&[0; 512][..padding]).unwrap();
    }

    fn file(&mut self, name: &str, content: &[u8]) {
        self.member(name, EntryType::Regular, content);
    }

    /// An extended header with an attribute.
    fn attribute(&mut self, kind: EntryType, name: &str, len: usize) {
        let rest = [b" SCHILY.xattr.user.", name.as_bytes(), b"=", &vec![b'v'; len], b"\n"].concat();
        let len = (1..).find(|len: &usize| len.to_string().len() + rest.len() == *len).unwrap();
        self.member("x", kind, &[len.to_string().as_bytes(), &rest].concat());
    }

    fn finish(mut self) {
        self.0.write_all(&[0; 1024]).unwrap();
        self.0.finish().unwrap().flush().unwrap();
    }
}

/// What `convert` says of an input, and the most memory it took, in MiB.
fn convert(input: &OsStr, scratch: &Path) -> (bool, String, u64) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
    command.args(["convert", "-q", "--profile", "data", "--threads", "8"]).arg(input);
    command.arg("-o").arg(scratch.join("disk.raw")).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let ended = child.wait4().unwrap();
    (ended.status.success(), said, ended.rusage.maxrss >> 20)
}

/// How an archive is made.
type Make = fn(&mut Packed);

/// Archives, and what is said of those that are refused.
const ARCHIVES: [(&str, Make, Option<&str>); 9] = [
    (
        "a global header for many members",
        |packed| {
            packed.attribute(EntryType::XGlobalHeader, "a", 60_000);
            (0..3000).for_each(|number| packed.file(&format!("file{number}"), b""));
        },
        Some("bytes of names, attributes and small files in memory"),
    ),
    (
        "a global header of a megabyte",
        |packed| {
            (0..15).for_each(|name| packed.attribute(EntryType::XGlobalHeader, &name.to_string(), 65_000));
            packed.file("file", b"");
        },
        Some("/file: 975"),
    ),
    (
        "many headers in front of one member",
        |packed| {
            (0..600).for_each(|name| packed.attribute(EntryType::XHeader, &name.to_string(), 500_000));
            packed.file("file", b"");
        },
        Some("bytes in front of one member"),
    ),
    (
        "one small file again and again",
        |packed| (0..6000).for_each(|number| packed.file("etc/motd", &[number as u8; 60_000])),
        None,
    ),
    (
        "one path with other attributes each time",
        |packed| {
            for name in 0..5000 {
                packed.attribute(EntryType::XHeader, &name.to_string(), 60_000);
                packed.file("file", b"");
            }
            packed.file("file", b"");
        },
        None,
    ),
    (
        "half a million files",
        |packed| (0..500_000).for_each(|number| packed.file(&format!("f{number}"), b"")),
        None,
    ),
    (
        "files without end",
        |packed| (0..1_200_000).for_each(|number| packed.file(&format!("f{number}"), b"")),
        Some("bytes of names, attributes and small files in memory"),
    ),
    (
        "folders with one file each",
        |packed| (0..500_000).for_each(|number| packed.file(&format!("{number}/{}", "n".repeat(90)), b"")),
        Some("bytes of names, attributes and small files in memory"),
    ),
    (
        "many small files in /etc",
        |packed| (0..2000).for_each(|number| packed.file(&format!("etc/{number}"), &[b'x'; 60_000])),
        None,
    ),
];

#[test]
fn small_archives_take_little_memory_or_are_refused() {
    let scratch = TempDir::new().unwrap();
    let input = scratch.path().join("root.tar.zst");
    for (name, make, refused) in ARCHIVES {
        let mut packed = Packed::create(&input);
        make(&mut packed);
        packed.finish();
        let (is_made, said, peak) = convert(input.as_os_str(), scratch.path());
        eprintln!("{name}: {peak} MiB of {} KiB", fs::metadata(&input).unwrap().len() >> 10);
        match refused {
            None => assert!(is_made, "{name}: {said}"),
            Some(reason) => assert!(!is_made && said.contains(reason), "{name}: {said}"),
        }
        assert!(peak < LIMIT_MIB, "{name}: {peak} MiB");
    }
}

/// A stream of zstd with a window of 128 MiB: a tar of one file of zeros, of `mebibytes`; and the digest of the tar.
fn wide(mebibytes: u32) -> (Vec<u8>, String) {
    let mut header = Header::new_ustar();
    header.set_path("zeros").unwrap();
    header.set_size(u64::from(mebibytes) << 20);
    header.set_cksum();
    // A window of 2^(10 + 17), and one block as it is.
    let mut stream = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 17 << 3];
    let block =
        |kind: u32, len: u32, is_last: bool| (len << 3 | kind << 1 | u32::from(is_last)).to_le_bytes();
    stream.extend(&block(0, 512, false)[..3]);
    stream.extend(header.as_bytes());
    let mut digest = Sha256::new_with_prefix(header.as_bytes());
    // Blocks of one byte, repeated.
    for _ in 0..mebibytes * 8 {
        stream.extend(&block(1, 128 << 10, false)[..3]);
        stream.push(0);
        digest.update([0; 128 << 10]);
    }
    stream.extend(&block(1, 1024, true)[..3]);
    stream.push(0);
    digest.update([0; 1024]);
    (stream, format!("{:x}", digest.finalize()))
}

/// Stores a blob of a layout; its descriptor.
fn put(layout: &Path, media_type: &str, bytes: &[u8]) -> serde_json::Value {
    let digest = format!("{:x}", Sha256::digest(bytes));
    fs::write(layout.join("blobs/sha256").join(&digest), bytes).unwrap();
    json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len() })
}

/// A layout of an image with the same wide layer so many times.
fn wide_image(layout: &Path, count: usize) -> PathBuf {
    fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let (stream, digest) = wide(150);
    let layer = put(layout, "application/vnd.oci.image.layer.v1.tar+zstd", &stream);
    let diff_ids = vec![format!("sha256:{digest}"); count];
    let config = json!({ "architecture": "amd64", "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": diff_ids } });
    let config = put(layout, "application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": vec![layer; count] });
    let manifest = put(layout, "application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    layout.to_owned()
}

#[test]
fn windows_of_many_layers_are_not_in_memory_at_once() {
    let scratch = TempDir::new().unwrap();
    let layout = wide_image(&scratch.path().join("layout"), 8);
    let (is_made, said, peak) = convert(layout.as_os_str(), scratch.path());
    assert!(is_made, "{said}");
    assert!(peak < LIMIT_MIB, "{peak} MiB");
}
