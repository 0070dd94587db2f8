//! A small image, made byte for byte, with what gets lost where care is not taken.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER: [(&str, &str); 3] = [
    (MANIFEST, "application/vnd.docker.distribution.manifest.v2+json"),
    (INDEX, "application/vnd.docker.distribution.manifest.list.v2+json"),
    (CONFIG, "application/vnd.docker.container.image.v1+json"),
];

/// Bytes and what they are.
#[derive(Clone)]
pub(crate) struct Blob {
    pub(crate) media_type: String,
    pub(crate) bytes: Vec<u8>,
}

impl Blob {
    fn json(media_type: &str, value: &Value) -> Self {
        Self { media_type: media_type.to_owned(), bytes: serde_json::to_vec(value).unwrap() }
    }

    pub(crate) fn digest(&self) -> String {
        format!("sha256:{:x}", Sha256::digest(&self.bytes))
    }

    fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest(), "size": self.bytes.len() })
    }
}

/// An image for two platforms.
pub(crate) struct Image {
    /// What a tag leads to.
    pub(crate) index: Blob,
    /// The manifest for amd64.
    pub(crate) manifest: Blob,
    /// Of amd64, from the lowest.
    pub(crate) layers: Vec<Blob>,
    /// All there is, the index and the manifests included.
    pub(crate) blobs: Vec<Blob>,
}

impl Image {
    /// With OCI's names for types.
    pub(crate) fn new() -> Self {
        Self::with_types(str::to_owned)
    }

    /// With docker's.
    pub(crate) fn of_docker() -> Self {
        let docker =
            |name: &str| DOCKER.iter().find(|(oci, _)| *oci == name).map(|(_, docker)| docker.to_string());
        Self::with_types(move |name| {
            docker(name).unwrap_or_else(|| {
                name.replace("oci.image.layer.v1.tar+zstd", "docker.image.rootfs.diff.tar.zstd")
            })
        })
    }

    fn with_types(named: impl Fn(&str) -> String) -> Self {
        let tars = [lower(), upper()];
        let layers: Vec<_> = tars
            .iter()
            .map(|tar| Blob {
                media_type: named("application/vnd.oci.image.layer.v1.tar+zstd"),
                bytes: zstd::encode_all(&tar[..], 1).unwrap(),
            })
            .collect();
        let diff_ids: Vec<_> = tars.iter().map(|tar| format!("sha256:{:x}", Sha256::digest(tar))).collect();
        let mut blobs = layers.clone();
        let mut manifests = Vec::new();
        for architecture in ["amd64", "arm64"] {
            let config = Blob::json(
                &named(CONFIG),
                &json!({
                    "architecture": architecture, "os": "linux", "config": {},
                    "rootfs": { "type": "layers", "diff_ids": diff_ids },
                }),
            );
            let manifest = Blob::json(
                &named(MANIFEST),
                &json!({
                    "schemaVersion": 2, "mediaType": named(MANIFEST), "config": config.descriptor(),
                    "layers": layers.iter().map(Blob::descriptor).collect::<Vec<_>>(),
                }),
            );
            let mut descriptor = manifest.descriptor();
            descriptor["platform"] = json!({ "os": "linux", "architecture": architecture });
            manifests.push((descriptor, manifest.clone()));
            blobs.extend([config, manifest]);
        }
        let descriptors: Vec<_> = manifests.iter().map(|(descriptor, _)| descriptor).collect();
        let index = json!({ "schemaVersion": 2, "mediaType": named(INDEX), "manifests": descriptors });
        let index = Blob::json(&named(INDEX), &index);
        blobs.push(index.clone());
        Self { index, manifest: manifests.swap_remove(0).1, layers, blobs }
    }

    /// As an OCI layout.
    pub(crate) fn layout(&self, folder: &Path) -> PathBuf {
        let layout = folder.join("layout");
        fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
        for blob in &self.blobs {
            let name = blob.digest().replace("sha256:", "blobs/sha256/");
            fs::write(layout.join(name), &blob.bytes).unwrap();
        }
        let index = json!({ "schemaVersion": 2, "manifests": [self.index.descriptor()] });
        fs::write(layout.join("index.json"), index.to_string()).unwrap();
        fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        layout
    }
}

/// Bytes that don't compress.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn header(kind: EntryType, mode: u32, size: usize) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(12);
    header.set_gid(34);
    header.set_mtime(1_700_000_000);
    header.set_size(size as u64);
    header
}

fn lower() -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    tar.append_data(&mut header(EntryType::Directory, 0o755, 0), "etc/", &[][..]).unwrap();
    tar.append_data(&mut header(EntryType::Regular, 0o644, 5), "etc/gone", &b"gone\n"[..]).unwrap();
    let setuid = noise(3_000_000);
    tar.append_data(&mut header(EntryType::Regular, 0o4755, setuid.len()), "bin/su", &setuid[..]).unwrap();
    // cap_net_raw=ep, as `getcap` shows it.
    let capability = [&[1, 0, 0, 2, 0, 0x20, 0, 0][..], &[0; 12]].concat();
    let extensions =
        [("SCHILY.xattr.security.capability", &capability[..]), ("SCHILY.xattr.user.note", b"kept")];
    tar.append_pax_extensions(extensions).unwrap();
    tar.append_data(&mut header(EntryType::Regular, 0o755, 4), "bin/ping", &b"ping"[..]).unwrap();
    tar.append_link(&mut header(EntryType::Link, 0o755, 0), "bin/ping6", "bin/ping").unwrap();
    tar.append_link(&mut header(EntryType::Symlink, 0o777, 0), "bin/sh", "../etc/passwd").unwrap();
    let mut device = header(EntryType::Char, 0o666, 0);
    device.set_device_major(1).unwrap();
    device.set_device_minor(3).unwrap();
    tar.append_data(&mut device, "null", &[][..]).unwrap();
    tar.into_inner().unwrap()
}

fn upper() -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    tar.append_data(&mut header(EntryType::Regular, 0o644, 0), "etc/.wh.gone", &[][..]).unwrap();
    tar.append_data(&mut header(EntryType::Regular, 0o640, 4), "etc/new", &b"new\n"[..]).unwrap();
    tar.into_inner().unwrap()
}
