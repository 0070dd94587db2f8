//! What the tests share: tars and images made by hand, tools that must be there, inputs in a line.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;

use exporter::input::{Input, Loaded, Options, Platform};
use exporter::tree::{Detail, HostDir, Tree};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Everything a dump can say.
pub(crate) const ALL: Detail = Detail { holes: false, hashes: true };

/// Run a command that must succeed; what it wrote to its standard output.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Run a shell script that must succeed, in a directory.
#[track_caller]
pub(crate) fn sh(directory: &Path, script: &str) -> Vec<u8> {
    run(Command::new("sh").args(["-euc", script]).current_dir(directory))
}

/// Read an input as text, for this machine.
pub(crate) fn read(input: &str) -> exporter::Result<Loaded> {
    read_for(input, "amd64", 2)
}

pub(crate) fn read_for(input: &str, architecture: &str, threads: usize) -> exporter::Result<Loaded> {
    let spool = TempDir::new().unwrap();
    let options = Options {
        platform: &Platform::linux(architecture),
        threads: NonZeroUsize::new(threads).unwrap(),
        spool: spool.path(),
        // The length of a stream is not known while it is kept.
        progress: &|progress| assert!(progress.total == 0 || progress.done <= progress.total),
    };
    let loaded = exporter::input::read(&Input::parse(input), &options);
    assert_eq!(spool.path().read_dir().unwrap().count(), 0, "no temporary file has a name");
    loaded
}

#[track_caller]
pub(crate) fn read_error(input: &str) -> String {
    read(input).unwrap_err().to_string()
}

/// The dump of a directory of this machine.
pub(crate) fn scan(path: &Path) -> Tree {
    exporter::tree::scan(&HostDir::open(path).unwrap(), std::num::NonZeroUsize::MIN, &mut |_| ()).unwrap()
}

pub(crate) fn dump(tree: &Tree) -> String {
    tree.dump(ALL).unwrap()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    format!("sha256:{}", hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// A tar of members in a line: `name/`, `name=content`, `name->target`, `name==hard link`.
pub(crate) fn tar(members: &[&str]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for member in members {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_mtime(1_600_000_000);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        if let Some((name, target)) = member.split_once("->") {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_mode(0o777);
            builder.append_link(&mut header, name, target).unwrap();
        } else if let Some((name, target)) = member.split_once("==") {
            header.set_entry_type(tar::EntryType::Link);
            builder.append_link(&mut header, name, target).unwrap();
        } else if let Some((name, content)) = member.split_once('=') {
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, name, content.as_bytes()).unwrap();
        } else {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o755);
            builder.append_data(&mut header, member, &[][..]).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

/// How the layers of an image are stored.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stored {
    Plain,
    Gzip,
    Zstd,
}

/// An OCI layout that grows.
pub(crate) struct Layout {
    dir: TempDir,
    /// What the index lists.
    pub(crate) manifests: Vec<serde_json::Value>,
}

impl Layout {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        std::fs::create_dir_all(dir.path().join("blobs/sha256")).unwrap();
        std::fs::write(dir.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self { dir, manifests: Vec::new() }
    }

    /// A layout of one image of these layers.
    pub(crate) fn of(layers: &[Vec<u8>], stored: Stored) -> Self {
        let mut layout = Self::new();
        layout.add("latest", "amd64", layers, stored);
        layout
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// As an input.
    pub(crate) fn input(&self) -> String {
        format!("oci:{}", self.path().display())
    }

    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        self.path().join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap())
    }

    /// Store a blob; its descriptor.
    pub(crate) fn put(&self, media_type: &str, bytes: &[u8]) -> serde_json::Value {
        let digest = digest(bytes);
        std::fs::write(self.blob(&digest), bytes).unwrap();
        serde_json::json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    /// Add an image, list it in the index, and give its manifest.
    pub(crate) fn add(
        &mut self,
        name: &str,
        architecture: &str,
        layers: &[Vec<u8>],
        stored: Stored,
    ) -> serde_json::Value {
        let config = serde_json::json!({
            "architecture": architecture, "os": "linux", "config": { "Entrypoint": ["/init"] },
            "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|tar| digest(tar)).collect::<Vec<_>>() },
        });
        let config = self.put("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
        let layer = |tar: &Vec<u8>| match stored {
            Stored::Plain => self.put("application/vnd.oci.image.layer.v1.tar", tar),
            Stored::Gzip => self.put("application/vnd.oci.image.layer.v1.tar+gzip", &gzip(tar)),
            Stored::Zstd => {
                let stored = zstd::encode_all(&tar[..], 1).unwrap();
                self.put("application/vnd.oci.image.layer.v1.tar+zstd", &stored)
            }
        };
        let layers: Vec<_> = layers.iter().map(layer).collect();
        let manifest = serde_json::json!({ "schemaVersion": 2, "config": config, "layers": layers });
        self.add_manifest(name, &manifest);
        manifest
    }

    /// List a manifest in the index.
    pub(crate) fn add_manifest(&mut self, name: &str, manifest: &serde_json::Value) {
        let mut listed =
            self.put("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
        listed["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": name });
        self.manifests.push(listed);
        self.write_index();
    }

    pub(crate) fn write_index(&self) {
        let index = serde_json::json!({ "schemaVersion": 2, "manifests": self.manifests });
        std::fs::write(self.path().join("index.json"), index.to_string()).unwrap();
    }

    /// Put all manifests listed so far into an index of their own, and list that.
    pub(crate) fn nest(&mut self) {
        let index =
            serde_json::json!({ "schemaVersion": 2, "manifests": std::mem::take(&mut self.manifests) });
        let listed = self.put("application/vnd.oci.image.index.v1+json", index.to_string().as_bytes());
        self.manifests.push(listed);
        self.write_index();
    }
}
