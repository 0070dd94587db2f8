//! Tars of trees and archives of images.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::Path;

use exporter::fs::{DiskBudget, ext4};
use exporter::input::{Options, Platform, read_stream};
use exporter::tree::{Content, InodeKind, Tree};

use super::{bundle, told, tree};
use crate::{Target, repair};

/// Trees up to this go through a disk and back.
const INODES_MAX: usize = 200;
const CONTENT_MAX: u64 = 1 << 20;

pub(super) const AGENT_TREE: Target = Target {
    name: "agent-tree",
    seeds: || vec![members()],
    words: TAR.words,
    grain: TAR.grain,
    repair: TAR.repair,
    run: agent::fuzz::archive,
};

pub(super) const TAR: Target = Target {
    name: "tar",
    seeds: || vec![members(), sparse(), compressed(&members())],
    words: &[
        b"ustar\0",
        b"ustar  \0",
        b"../",
        b"/",
        b"././@LongLink",
        b"././@PaxHeader",
        b"GNU.sparse.map=0,1,2,3\n",
        b"30 mtime=1350244992.023960108\n",
        b"SCHILY.xattr.security.capability=",
        b"size=",
        b"path=",
        b"linkpath=",
        b"\x80\0\0\0\0\0\0\x10",
        b"00000000000\0",
        b"77777777777\0",
        b"x",
        b"g",
        b"L",
        b"K",
        b"S",
        b"1",
        b"2",
        b"5",
    ],
    grain: 512,
    repair: repair::tar,
    run: read,
};

pub(super) const UPDATE_LAYER: Target = Target {
    name: "update-layer",
    seeds: || vec![members()],
    words: &[
        b"ustar\0",
        b"ustar  \0",
        b"./",
        b"././@LongLink",
        b"SHA256SUMS",
        b"\x80\0\0\0\0\0\0\x10",
        b"77777777777\0",
        b"L",
        b"x",
        b"0",
    ],
    grain: 512,
    repair: repair::tar,
    run: guest::fuzz::update_layer,
};

pub(super) const LAYERS: Target = Target {
    name: "layers",
    seeds: || {
        let lower = archive(&[("a/", b""), ("a/b", b"lower"), ("a/c", b"1"), ("d", b"2")]);
        let upper = archive(&[("a/.wh.b", b""), ("a/.wh..wh..opq", b""), ("a/e", b"upper"), ("d/", b"")]);
        vec![image(&[&lower, &upper]), image(&[&compressed(&lower), &zstd(&upper)])]
    },
    words: &[b".wh.", b".wh..wh..opq", b"a/b", b"../", b"\n--blob layer0\n", b"ustar\0", b"1", b"2", b"5"],
    grain: 512,
    repair: repair::nothing,
    run: |input| read(&bundle::tar(input)),
};

pub(super) const OCI: Target = Target {
    name: "oci",
    seeds: || vec![image(&[&archive(&[("a", b"1")])]), nested()],
    words: OCI_WORDS,
    grain: 1,
    repair: repair::nothing,
    run: |input| read(&bundle::tar(input)),
};

pub(super) const DOCKER: Target = Target {
    name: "docker",
    seeds: || vec![saved(), legacy()],
    words: &[
        b"\"Config\":\"config.json\"",
        b"\"RepoTags\":[\"a:b\"]",
        b"\"Layers\":[\"layer.tar\"]",
        b"\"layer.tar\",",
        b"[",
        b"{",
        b"]",
        b"}",
        b"null",
        b"\n--file manifest.json\n",
        b"\n--file repositories\n",
        b"\"parent\":",
        b"\\u0000",
    ],
    grain: 1,
    repair: repair::nothing,
    run: |input| read(&bundle::tar(input)),
};

const OCI_WORDS: &[&[u8]] = &[
    b"\"@manifest\"",
    b"\"@index\"",
    b"\"@layer0\"",
    b"#manifest",
    b"application/vnd.oci.image.index.v1+json",
    b"application/vnd.oci.image.layer.v1.tar+zstd",
    b"application/vnd.oci.image.layer.v1.tar+gzip",
    b"application/vnd.docker.image.rootfs.diff.tar.gzip",
    b"application/vnd.oci.empty.v1+json",
    b"[",
    b"{",
    b"]",
    b"}",
    b"null",
    b"\"platform\":{\"architecture\":\"amd64\",\"os\":\"linux\"}",
    b"\"annotations\":{}",
    b"\n--blob index\n",
    b"\\u001b[2J",
];

fn read(input: &[u8]) -> Result<(), String> {
    let spool = std::env::temp_dir();
    let options = Options {
        platform: &Platform::linux("amd64"),
        threads: NonZeroUsize::MIN.saturating_add(1),
        spool: Path::new(&spool),
        progress: &|_| {},
    };
    let loaded = read_stream(&mut &*input, "input", &options).map_err(told)?;
    let _ = loaded.tree.dump(exporter::tree::Detail { holes: true, hashes: false });
    if is_small(&loaded.tree) { comes_back(loaded.tree) } else { Ok(()) }
}

fn is_small(tree: &Tree) -> bool {
    let mut content = 0_u64;
    let mut stack = vec![Tree::ROOT];
    let mut inodes = 0;
    while let Some(id) = stack.pop() {
        inodes += 1;
        stack.extend(tree.entries(id).into_iter().flat_map(|entries| entries.values().copied()));
        if let InodeKind::File(file) = &tree.inode(id).kind {
            content = content.saturating_add(Content::len(file));
        }
    }
    inodes <= INODES_MAX && content <= CONTENT_MAX
}

/// What was accepted becomes a file system, or it is said why not; and that is read as a whole one.
fn comes_back(tree: Tree) -> Result<(), String> {
    let volume = tree::bytes(&tree::ext4(tree, 0).map_err(told)?).map_err(told)?;
    if let Err(error) = ext4::tree_digest(&volume[..], &DiskBudget::new(volume.len() as u64)) {
        panic!("the file system that was made of it: {error}");
    }
    Ok(())
}

fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = ::tar::Header::new_ustar();
        let is_directory = name.ends_with('/');
        header.set_entry_type(if is_directory {
            ::tar::EntryType::Directory
        } else {
            ::tar::EntryType::Regular
        });
        header.set_mode(if is_directory { 0o755 } else { 0o644 });
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, *content).expect("names are short");
    }
    builder.into_inner().expect("memory takes all")
}

pub(super) const UPDATE: Target = Target {
    name: "update",
    seeds: || vec![update()],
    words: &[
        b"../",
        b"/",
        b"\x80\0\0\0\0\0\0\x10",
        b"77777777777\0",
        b"\"format\":",
        b"\"plain_bytes\":18446744073709551615",
        b"\"parts\":[",
        b"99999999999999999999",
        b"~",
        b"^",
        b"trusted comment: ",
        &[0xff; 4],
        &[0; 4],
    ],
    grain: 36,
    repair: repair::tar,
    run: guest::fuzz::update,
};

/// The files of an update, as far as they are small.
fn update() -> Vec<u8> {
    let digest = "ab".repeat(32);
    let manifest = format!(
        r#"{{"format":1,"id":"kiosk","version":"1.4.0","compatible":"kiosk","architecture":"x86_64","loader":"grub",
        "parts":[{{"name":"root","file":"kiosk_1.4.0.root.zst","bytes":60,"sha256":"{digest}","plain_bytes":131072,
        "block_size":65536,"index":{{"file":"kiosk_1.4.0.root.index","bytes":72,"sha256":"{digest}"}}}}]}}"#
    );
    let index = [[7; 32].as_slice(), &[20, 0, 0, 0], &[9; 32], &[40, 0, 0, 0]].concat();
    let signature = "untrusted comment: signature from minisign secret key\n\
        RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
        trusted comment: timestamp:1633700835\tfile:test\tprehashed\n\
        wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==\n";
    archive(&[
        ("SHA256SUMS", format!("{digest}  manifest.json\n").as_bytes()),
        ("SHA256SUMS.minisig", signature.as_bytes()),
        ("manifest.json", manifest.as_bytes()),
        ("kiosk_1.4.0.root.index", &index),
        ("boot/vmlinuz-6.1", b"kernel"),
    ])
}

/// Every kind of member.
fn members() -> Vec<u8> {
    let mut builder = ::tar::Builder::new(archive(&[("etc/", b""), ("etc/a", b"text")]));
    // The end of the archive so far is in the way.
    builder.get_mut().truncate(3 * 512);
    let link = |kind, mode| {
        let mut header = ::tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(0);
        header
    };
    let mut append = |kind, name: &str, target: &str| {
        builder.append_link(&mut link(kind, 0o777), name, target).expect("memory takes all");
    };
    append(::tar::EntryType::Symlink, "link", "etc/a");
    append(::tar::EntryType::Link, "etc/again", "etc/a");
    append(::tar::EntryType::Symlink, &"long/".repeat(40), &"target/".repeat(40));
    let extensions: [(&str, &[u8]); 3] = [
        ("mtime", b"1600000000.5"),
        ("SCHILY.xattr.user.note", b"note"),
        ("SCHILY.acl.access", b"user::rw-,group::r--,mask::r--,other::r--"),
    ];
    builder.append_pax_extensions(extensions).expect("memory takes all");
    let mut header = ::tar::Header::new_ustar();
    header.set_mode(0o600);
    header.set_size(700);
    builder.append_data(&mut header, "described", &[7; 700][..]).expect("memory takes all");
    for (kind, name) in [(::tar::EntryType::Char, "char"), (::tar::EntryType::Fifo, "fifo")] {
        let mut header = link(kind, 0o600);
        let _ = header.set_device_major(5).and_then(|()| header.set_device_minor(1));
        builder.append_data(&mut header, name, &[][..]).expect("memory takes all");
    }
    builder.into_inner().expect("memory takes all")
}

/// A file with holes, as GNU tar has it in PAX.
fn sparse() -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    let extensions: [(&str, &[u8]); 5] = [
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"holes"),
        ("GNU.sparse.realsize", b"4096"),
        ("uid", b"70000"),
    ];
    builder.append_pax_extensions(extensions).expect("memory takes all");
    let mut content = b"1\n1024\n512\n".to_vec();
    content.resize(512, 0);
    content.extend([7; 512]);
    let mut header = ::tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, "GNUSparseFile.0/holes", content.as_slice()).expect("memory takes all");
    builder.into_inner().expect("memory takes all")
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::bulk::compress(bytes, 1).expect("memory takes all")
}

fn media_type(layer: &[u8]) -> &'static str {
    match layer {
        [0x1f, 0x8b, ..] => "application/vnd.oci.image.layer.v1.tar+gzip",
        [0x28, 0xb5, ..] => "application/vnd.oci.image.layer.v1.tar+zstd",
        _ => "application/vnd.oci.image.layer.v1.tar",
    }
}

const CONFIG: &str = r#"{"architecture":"amd64","os":"linux","config":{"Env":["A=1"],"Cmd":["a"]},"rootfs":{"type":"layers","diff_ids":[DIFFS]}}"#;
const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// A layout of one image.
fn image(layers: &[&[u8]]) -> Vec<u8> {
    let names: Vec<_> = (0..layers.len()).map(|number| format!("layer{number}")).collect();
    let descriptors = names.iter().zip(layers).map(|(name, layer)| descriptor(media_type(layer), name, ""));
    let manifest = manifest(&descriptors.collect::<Vec<_>>().join(","));
    let config =
        CONFIG.replace("DIFFS", &layers.iter().map(|layer| diff_id(layer)).collect::<Vec<_>>().join(","));
    let index = index(&descriptor("application/vnd.oci.image.manifest.v1+json", "manifest", ""));
    let layers = names.iter().map(String::as_str).zip(layers.iter().copied());
    let blobs: Vec<_> = [("manifest", manifest.as_bytes()), ("config", config.as_bytes())]
        .into_iter()
        .chain(layers)
        .collect();
    bundle::text(&[("oci-layout", LAYOUT), ("index.json", index.as_bytes())], &blobs)
}

/// The digest of a layer without its compression.
fn diff_id(layer: &[u8]) -> String {
    use sha2::Digest;
    let plain = match media_type(layer).rsplit_once('+') {
        Some((_, "gzip")) => {
            let mut plain = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(layer), &mut plain)
                .expect("it was just made");
            plain
        }
        Some(_) => ::zstd::stream::decode_all(layer).expect("it was just made"),
        None => layer.to_vec(),
    };
    format!(r#""sha256:{:x}""#, sha2::Sha256::digest(plain))
}

/// An index in an index, with two platforms.
fn nested() -> Vec<u8> {
    let platform =
        |architecture: &str| format!(r#","platform":{{"architecture":"{architecture}","os":"linux"}}"#);
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let below = index(&["amd64", "arm64"].map(|one| descriptor(kind, "manifest", &platform(one))).join(","));
    let top = index(&descriptor("application/vnd.oci.image.index.v1+json", "index", ""));
    let layer = archive(&[("a", b"1")]);
    let config = CONFIG.replace("DIFFS", &diff_id(&layer));
    let manifest = manifest(&descriptor(media_type(&layer), "layer0", ""));
    bundle::text(
        &[("oci-layout", LAYOUT), ("index.json", top.as_bytes())],
        &[
            ("index", below.as_bytes()),
            ("manifest", manifest.as_bytes()),
            ("config", config.as_bytes()),
            ("layer0", &layer),
        ],
    )
}

fn descriptor(kind: &str, name: &str, more: &str) -> String {
    format!(r#"{{"mediaType":"{kind}","digest":"@{name}","size":#{name}{more}}}"#)
}

fn manifest(layers: &str) -> String {
    let config = descriptor("application/vnd.oci.image.config.v1+json", "config", "");
    let kind = "application/vnd.oci.image.manifest.v1+json";
    format!(r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{config},"layers":[{layers}]}}"#)
}

fn index(manifests: &str) -> String {
    let kind = "application/vnd.oci.image.index.v1+json";
    format!(r#"{{"schemaVersion":2,"mediaType":"{kind}","manifests":[{manifests}]}}"#)
}

/// What `docker save` wrote up to 24.
fn saved() -> Vec<u8> {
    let layer = archive(&[("a", b"1")]);
    let config = CONFIG.replace("DIFFS", &diff_id(&layer));
    let manifest = br#"[{"Config":"config.json","RepoTags":["a:b"],"Layers":["one/layer.tar"]}]"#;
    bundle::text(
        &[("manifest.json", manifest), ("config.json", config.as_bytes()), ("one/layer.tar", &layer)],
        &[],
    )
}

/// And before 1.10.
fn legacy() -> Vec<u8> {
    let (lower, upper) = ("1".repeat(64), "2".repeat(64));
    let layer = archive(&[("a", b"1")]);
    let describe = |id: &str, parent: &str| {
        format!(r#"{{"id":"{id}"{parent},"architecture":"amd64","os":"linux","config":{{"Cmd":["a"]}}}}"#)
    };
    let json = [describe(&lower, ""), describe(&upper, &format!(r#","parent":"{lower}""#))];
    let repositories = format!(r#"{{"a":{{"b":"{upper}"}}}}"#);
    let name = |id: &str, file: &str| format!("{id}/{file}");
    bundle::text(
        &[
            (&name(&lower, "json"), json[0].as_bytes()),
            (&name(&lower, "layer.tar"), &layer),
            (&name(&lower, "VERSION"), b"1.0"),
            (&name(&upper, "json"), json[1].as_bytes()),
            (&name(&upper, "layer.tar"), &layer),
            (&name(&upper, "VERSION"), b"1.0"),
            ("repositories", repositories.as_bytes()),
        ],
        &[],
    )
}
