//! Archives of images, in a form that stays right when it is damaged: a text that names its files, in which `@NAME`
//! stands for the digest of one, `#NAME` for its size and `$NAME` for its path.
//!
//! ```text
//! \n--file oci-layout\n{"imageLayoutVersion":"1.0.0"}
//! \n--file index.json\n{"manifests":[{"digest":"@manifest","size":#manifest}]}
//! \n--blob manifest\n{"layers":[…]}
//! \n--blob layer\n…
//! ```

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

const SEPARATOR: &[u8] = b"\n--";
const HEADS: [&[u8]; 2] = [b"\n--file ", b"\n--blob "];
/// Each is looked for in all of them.
const FILES: usize = 64;
/// Blobs that name each other cannot be had; those of an image are not nested deeper than this.
const DEPTH: usize = 8;

/// A file, by its name in the archive or by the name that others have for it here.
struct File {
    is_blob: bool,
    name: String,
    content: Vec<u8>,
}

/// The text of files and blobs.
pub(super) fn text(files: &[(&str, &[u8])], blobs: &[(&str, &[u8])]) -> Vec<u8> {
    let part = |kind: &'static str| {
        move |(name, content): &(&str, &[u8])| {
            [SEPARATOR, kind.as_bytes(), b" ", name.as_bytes(), b"\n", content].concat()
        }
    };
    files.iter().map(part("file")).chain(blobs.iter().map(part("blob"))).collect::<Vec<_>>().concat()
}

/// The tar that a text stands for.
pub(super) fn tar(text: &[u8]) -> Vec<u8> {
    let files = parse(text);
    let mut known = BTreeMap::new();
    for _ in 0..DEPTH {
        let blobs = files.iter().filter(|file| file.is_blob);
        known = blobs.map(|blob| (blob.name.clone(), naming(&resolved(&blob.content, &known)))).collect();
    }
    let mut builder = ::tar::Builder::new(Vec::new());
    for file in &files {
        let content = resolved(&file.content, &known);
        let (digest, _) = naming(&content);
        let name = if file.is_blob { format!("blobs/sha256/{digest}") } else { file.name.clone() };
        let mut header = ::tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        // A name that no tar can have leaves the file out.
        let _ = builder.append_data(&mut header, name, content.as_slice());
    }
    builder.into_inner().unwrap_or_default()
}

fn parse(text: &[u8]) -> Vec<File> {
    let mut files: Vec<File> = Vec::new();
    let mut rest = text;
    while files.len() < FILES
        && let Some(start) = find(rest, SEPARATOR)
    {
        let after = &rest[start + SEPARATOR.len()..];
        let line = after.iter().position(|&byte| byte == b'\n').unwrap_or(after.len());
        let (head, content) =
            (String::from_utf8_lossy(&after[..line]), after.get(line + 1..).unwrap_or_default());
        let is_next = |at: &usize| HEADS.iter().any(|head| content[*at..].starts_with(head));
        let end = (0..content.len()).find(is_next).unwrap_or(content.len());
        if let Some((kind @ ("file" | "blob"), name)) = head.split_once(' ') {
            let (is_blob, name) = (kind == "blob", name.to_owned());
            files.push(File { is_blob, name, content: content[..end].to_vec() });
        }
        rest = &content[end..];
    }
    files
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// How others name a blob: by its digest and its size.
fn naming(content: &[u8]) -> (String, usize) {
    (format!("{:x}", Sha256::digest(content)), content.len())
}

/// A JSON text with the blobs that are known; what is no text is left as it is.
fn resolved(content: &[u8], known: &BTreeMap<String, (String, usize)>) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(content) else { return content.to_vec() };
    let mut text = text.to_owned();
    // From the longest name on: one may begin as another does.
    for (name, (digest, size)) in known.iter().rev() {
        text = text.replace(&format!("@{name}"), &format!("sha256:{digest}"));
        text = text.replace(&format!("${name}"), &format!("blobs/sha256/{digest}"));
        text = text.replace(&format!("#{name}"), &size.to_string());
        // Too large for anything but an error.
        if text.len() > 64 << 20 {
            break;
        }
    }
    text.into_bytes()
}
