//! `manifest.json`: what an update is, and which file has which part of it. Nothing of it is believed before it was checked.

use serde::Deserialize;

use super::index::{BLOCK, ENTRY};
use super::sums::{self, Sha};
use crate::grow::gpt;

pub(super) const MANIFEST: &str = "manifest.json";
/// More than any has.
pub(super) const MANIFEST_MAX: u64 = 64 << 10;

/// The manifests that this program knows.
const FORMAT: u32 = 1;
const ROOT: &str = "root";
const KERNELS: &str = "boot";
const TEXT_MAX: usize = 256;

/// An update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    /// What the system is, the same in all its versions.
    pub(super) id: String,
    pub(super) version: String,
    /// The machines that it is for.
    pub(super) compatible: String,
    /// Their instruction set.
    pub(super) architecture: String,
    /// What starts it.
    pub(super) loader: String,
    /// A frame for each block of the root.
    pub(super) root: Part,
    /// What each block has.
    pub(super) index: Listed,
    /// What GRUB reads beside the slots.
    pub(super) kernels: Option<Part>,
}

/// A part of a slot, packed in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) file: Listed,
    /// Its bytes, unpacked.
    pub(super) plain_bytes: u64,
}

/// A file of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) sha256: Sha,
}

impl Manifest {
    /// What it says.
    ///
    /// # Errors
    /// If it is none, or its numbers do not fit each other.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let damaged = |error: serde_json::Error| format!("{MANIFEST}: {error}");
        let RawFormat { format } = serde_json::from_slice(text).map_err(damaged)?;
        if format != FORMAT {
            return Err(format!(
                "{MANIFEST}: has format {format}, and this program knows {FORMAT}\nhint: an update between this version and \
                 that one has to bring a program that knows it"
            ));
        }
        let raw: Raw = serde_json::from_slice(text).map_err(damaged)?;
        raw.checked().map_err(|why| format!("{MANIFEST}: {why}"))
    }

    /// What its slot is called in the table: `kiosk_1.4.0`.
    pub(super) fn label(&self) -> String {
        label(&self.id, &self.version)
    }
}

/// What the slot of a version is called.
pub(super) fn label(id: &str, version: &str) -> String {
    format!("{id}_{version}")
}

#[derive(Deserialize)]
struct RawFormat {
    format: u32,
}

#[derive(Deserialize)]
struct Raw {
    id: String,
    version: String,
    compatible: String,
    architecture: String,
    loader: String,
    parts: Vec<RawPart>,
}

#[derive(Deserialize)]
struct RawPart {
    name: String,
    #[serde(flatten)]
    file: RawFile,
    plain_bytes: u64,
    block_size: Option<u64>,
    index: Option<RawFile>,
}

#[derive(Deserialize)]
struct RawFile {
    file: String,
    bytes: u64,
    sha256: String,
}

impl Raw {
    fn checked(self) -> Result<Manifest, String> {
        let Self { id, version, compatible, architecture, loader, parts } = self;
        if !is_name(&id) || !is_name(&version) {
            return Err("id and version are no names".to_owned());
        }
        let name = label(&id, &version);
        if name.len() > gpt::LABEL_MAX {
            return Err(format!("{name} is longer than the {} characters of a label", gpt::LABEL_MAX));
        }
        if ![&compatible, &architecture, &loader].into_iter().all(|text| is_line(text)) {
            return Err("compatible, architecture and loader are lines of text".to_owned());
        }
        let (mut root, mut kernels) = (None, None);
        for part in parts {
            let is_new = match &*part.name {
                ROOT => root.replace(part.root(&name)?).is_none(),
                KERNELS => kernels.replace(part.kernels(&name)?).is_none(),
                other => return Err(format!("has a part {other:?}, which this program does not know")),
            };
            if !is_new {
                return Err("has a part twice".to_owned());
            }
        }
        let (root, index) = root.ok_or("has no root")?;
        Ok(Manifest { id, version, compatible, architecture, loader, root, index, kernels })
    }
}

impl RawPart {
    fn root(self, name: &str) -> Result<(Part, Listed), String> {
        if self.block_size != Some(BLOCK as u64) {
            return Err(format!("blocks of its root are not of {BLOCK} bytes"));
        }
        let index = self.index.ok_or("its root has no index")?.checked(&format!("{name}.root.index"))?;
        let file = self.file.checked(&format!("{name}.root.zst"))?;
        let blocks = self.plain_bytes.div_ceil(BLOCK as u64);
        if blocks == 0 || blocks.checked_mul(ENTRY as u64) != Some(index.bytes) {
            return Err("its root and the index of it have lengths that do not fit each other".to_owned());
        }
        Ok((Part { file, plain_bytes: self.plain_bytes }, index))
    }

    fn kernels(self, name: &str) -> Result<Part, String> {
        let file = self.file.checked(&format!("{name}.boot.tar.zst"))?;
        Ok(Part { file, plain_bytes: self.plain_bytes })
    }
}

impl RawFile {
    /// A file that has to have this name: no other place is read.
    fn checked(self, name: &str) -> Result<Listed, String> {
        if self.file != name {
            return Err(format!("has a file {:?}, and it is called {name}", self.file));
        }
        let sha256 = sums::parse(&self.sha256).ok_or_else(|| format!("{name} has no digest"))?;
        Ok(Listed { name: self.file, bytes: self.bytes, sha256 })
    }
}

/// What `exporter/src/spec/text.rs` lets an id and a version be, and more than it for those of others.
fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~^+".contains(&byte);
    !text.is_empty() && !text.starts_with('.') && text.bytes().all(is_plain)
}

fn is_line(text: &str) -> bool {
    !text.is_empty() && text.len() <= TEXT_MAX && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"format":1,"id":"kiosk","version":"1.4.0","compatible":"acme kiosk-2","architecture":"x86_64",
        "loader":"grub","parts":[{"name":"root","file":"kiosk_1.4.0.root.zst","bytes":999,"sha256":"SHA","plain_bytes":65537,
        "block_size":65536,"index":{"file":"kiosk_1.4.0.root.index","bytes":72,"sha256":"SHA"}},
        {"name":"boot","file":"kiosk_1.4.0.boot.tar.zst","bytes":5,"sha256":"SHA","plain_bytes":7}],"later":true}"#;

    fn parse(from: &str, to: &str) -> Result<Manifest, String> {
        assert!(TEXT.contains(from), "{from}");
        Manifest::parse(TEXT.replacen(from, to, 1).replace("SHA", &"ab".repeat(32)).as_bytes())
    }

    #[test]
    fn what_a_build_writes_is_read() {
        let manifest = parse("", "").unwrap();
        assert_eq!((&*manifest.label(), &*manifest.compatible), ("kiosk_1.4.0", "acme kiosk-2"));
        assert_eq!((manifest.root.plain_bytes, manifest.index.bytes), (65537, 72));
        assert_eq!(manifest.root.file.sha256, [0xab; 32]);
        assert_eq!(manifest.kernels.unwrap().plain_bytes, 7);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_reason() {
        for (from, to, said) in [
            ("\"format\":1", "\"format\":2", "has format 2, and this program knows 1"),
            ("\"format\":1,", "", "missing field `format`"),
            ("kiosk\",\"version", "../kiosk\",\"version", "no names"),
            ("1.4.0", "", "no names"),
            ("1.4.0", "1.4.0-0123456789-0123456789-0123456789", "longer than the 36 characters"),
            ("acme", "\\n", "lines of text"),
            ("kiosk_1.4.0.root.zst", "../../etc/shadow", "has a file \"../../etc/shadow\""),
            ("kiosk_1.4.0.root.index", "kiosk_1.4.0.root.zst", "is called kiosk_1.4.0.root.index"),
            ("65536,", "4096,", "blocks of its root"),
            ("65537", "131073", "do not fit each other"),
            ("65537", "0", "do not fit each other"),
            ("65537", "18446744073709551615", "do not fit each other"),
            ("\"boot\"", "\"root\"", "blocks of its root"),
            ("\"boot\"", "\"home\"", "has a part \"home\""),
            ("\"root\"", "\"boot\"", "is called kiosk_1.4.0.boot.tar.zst"),
            ("SHA", "ab", "has no digest"),
            ("999", "-1", "invalid value"),
            ("}]", "", "EOF"),
        ] {
            let error = parse(from, to).unwrap_err();
            assert!(error.starts_with("manifest.json: ") && error.contains(said), "{from} {to}: {error}");
        }
        assert!(Manifest::parse(b"").is_err() && Manifest::parse(&[0xff; 9]).is_err());
    }
}
