//! What comes over a network or from a kernel: registries, BuildKit, DHCP servers, netlink.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use prost::Message;
use vmimage::fuzz::{Registry, Script};

use super::told;
use crate::{Target, repair};

pub(super) const REGISTRY: Target = Target {
    name: "registry",
    seeds: registry_answers,
    words: &[
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 401 Unauthorized\r\n",
        b"HTTP/1.1 307 Temporary Redirect\r\n",
        b"HTTP/1.1 404 Not Found\r\n",
        b"Location: http://host/v2/a\r\n",
        b"Content-Length: 18446744073709551615\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n",
        b"WWW-Authenticate: Bearer realm=\"http://host/token\",service=\"a\"\r\n",
        b"WWW-Authenticate: Basic realm=a\r\n",
        b"\r\n\r\n",
        b"\"",
        b",",
        b"\n--answer--\n",
        b"Content-Type: application/vnd.oci.image.index.v1+json\r\n",
        b"{\"token\":\"a\"}",
        b"Content-Encoding: gzip\r\n",
        b"{\"errors\":[{\"code\":\"DENIED\",\"message\":\"\x1b[2J\"}]}",
    ],
    grain: 1,
    repair: repair::nothing,
    run: |input| {
        static REGISTRY_OF_ALL: Mutex<Option<Registry>> = Mutex::new(None);
        let mut registry = REGISTRY_OF_ALL.lock().unwrap_or_else(PoisonError::into_inner);
        if registry.is_none() {
            *registry = Some(Registry::start()?);
        }
        registry.as_ref().ok_or("no registry")?.ask(input)
    },
};

pub(super) const GATEWAY: Target = Target {
    name: "gateway",
    seeds: || definitions().iter().map(|definition| Script::whole(definition, CONFIG)).collect(),
    words: &[
        b"\n--answer--\n",
        b"BUILDKIT_FRONTEND_OPT_2=build-arg:VMIMAGE_SIZE=1",
        b"Solve\n",
        b"ReadFile\n",
        b"StatFile\nmissing",
        b"ReadFile\nmissing",
        b"Evaluate\nbroken",
        b"Ping\n",
        b"refs.platforms",
        b"containerimage.config",
        b"vmimage.size",
        b"linux/amd64",
        b"\xff\xff\xff\xff\x0f",
        b"\x0a\x00",
        b"{}",
        b"[]",
        b"null",
    ],
    grain: 1,
    repair: repair::nothing,
    run: |input| vmimage::fuzz::solve(Script::read(input)),
};

pub(super) const LLB: Target = Target {
    name: "llb",
    seeds: definitions,
    words: &[
        b"docker-image://",
        b"local://context",
        b"sha256:",
        b"\xff\xff\xff\xff\x0f",
        b"\x0a\x00",
        b"\x0a\x47",
        b"\x10\x01",
    ],
    grain: 1,
    repair: repair::llb,
    run: |input| {
        let definition = llb::Definition::decode(input).map_err(told)?;
        let graph = llb::Graph::read(&definition).map_err(told)?;
        let again = llb::Graph::read(&graph.to_definition()).map_err(told)?;
        assert_eq!(again, graph, "it comes back");
        match graph.base().map_err(told)? {
            llb::Base::Image { digest, .. } => graft(graph, digest),
            _ => Ok(()),
        }
    },
};

pub(super) const AGENT: Target = Target {
    name: "agent",
    seeds: || vec![agent::fuzz::conversation()],
    words: &[
        b"\x01\0\0\0\x18\0\0\0vmimage agent 1\n",
        b"\x03\0\x01\0",
        b"\x05\x01\x01\0\x04\0\0\0",
        b"\0\0\x01\0",
        b"\xff\xff\xff\xff",
        b"\x17",
        b"{\"exec\":{\"argv\":[]}}",
        b"{\"copy_out\":{\"from\":[47]}}",
        b"{\"stop\":{}}",
    ],
    grain: 1,
    repair: repair::nothing,
    run: agent::fuzz::frames,
};

pub(super) const DHCP: Target = Target {
    name: "dhcp",
    seeds: || vec![dhcp_answer()],
    words: &[
        b"\x63\x82\x53\x63",
        b"\x35\x01\x05",
        b"\x36\x04\x0a\0\x02\x02",
        b"\x79\x05\x18\x0a",
        b"\xff",
        b"\0",
        b"\x33\x04\xff\xff\xff\xff",
        b"\x1a\x02\0\0",
    ],
    grain: 1,
    repair: repair::nothing,
    run: guest::fuzz::dhcp,
};

pub(super) const NETLINK: Target = Target {
    name: "netlink",
    seeds: || vec![netlink_answer()],
    words: &[b"\x02\0", b"\0\0\0\x80", b"\xff\xff\xff\xff"],
    grain: 4,
    repair: repair::nothing,
    run: guest::fuzz::netlink,
};

pub(super) const NAMES: Target = Target {
    name: "names",
    seeds: || vec![names_answer()],
    words: &[
        b"\x81\x83",
        b"\xc0\x0c",
        b"\0\x05\0\x01",
        b"\0\x1c\0\x01",
        b"\xff\xff",
        b"\0\x29",
        b"\x01h\xc0\x0e",
    ],
    grain: 1,
    repair: repair::nothing,
    run: guest::fuzz::names,
};

pub(super) const UPDATE_SERVER: Target = Target {
    name: "update-server",
    seeds: update_answers,
    words: &[
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 206 Partial Content\r\n",
        b"HTTP/1.1 302 Found\r\n",
        b"HTTP/1.1 416 Range Not Satisfiable\r\n",
        b"Location: /kiosk/x\r\n",
        b"Content-Range: bytes 4-19/*\r\n",
        b"Content-Range: bytes 4-18446744073709551615/*\r\n",
        b"Content-Length: 18446744073709551615\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        b"ETag: \"a\"\r\n",
        b"Connection: close\r\n",
        b"\r\n\r\n",
        b"\n--answer--\n",
    ],
    grain: 1,
    repair: repair::nothing,
    run: guest::fuzz::update_server,
};

/// A `vmimage.toml` that needs no other file.
const CONFIG: &[u8] = b"size = \"2G\"\nfirmware = \"uefi\"\n[[users]]\nname = \"ada\"\n[[files]]\npath = \"/etc/motd\"\ncontent = \"hello\"\n\
                        [[hooks]]\nrun = \"true\"\n";

/// Puts a step on the base image.
fn graft(graph: llb::Graph, digest: llb::OpDigest) -> Result<(), String> {
    let graph = std::sync::Arc::new(graph);
    let base = llb::State::from_edge(graph.clone(), llb::Edge { digest, index: 0 });
    let step = base.run(llb::Run::shell("true")).root();
    let grafted = graph.graft(digest, &step).map_err(told)?;
    assert!(grafted.result().is_some());
    Ok(())
}

/// As BuildKit has made them.
pub(crate) fn definitions() -> Vec<Vec<u8>> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/definitions"));
    let entries = std::fs::read_dir(folder).expect("the project is where it was built");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "pb"));
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("it can be read")).collect()
}

fn registry_answers() -> Vec<Vec<u8>> {
    let manifest =
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[]}"#;
    let found = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.oci.image.manifest.v1+json\r\nContent-Length: {}\r\n\r\n{manifest}",
        manifest.len()
    );
    let who = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"http://host/token\",service=\"a b\",scope=\"repository:team/app:pull\"\r\nContent-Length: 0\r\n\r\n";
    let token = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"token\":\"a\"}";
    let elsewhere =
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://host/v2/other\r\nContent-Length: 0\r\n\r\n";
    let basic =
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"a\"\r\nContent-Length: 0\r\n\r\n";
    [vec![&*found], vec![who, token, &found], vec![basic, &found], vec![elsewhere, &found]]
        .map(|answers| answers.join("\n--answer--\n").into_bytes())
        .to_vec()
}

/// An offer that was taken: RFC 2131, figure 1, and options.
fn dhcp_answer() -> Vec<u8> {
    let mut header = [0; 240];
    header[..4].copy_from_slice(&[2, 1, 6, 0]);
    header[4..8].copy_from_slice(&guest::fuzz::XID.to_be_bytes());
    header[16..20].copy_from_slice(&[10, 0, 2, 15]);
    header[28..34].copy_from_slice(&guest::fuzz::MAC);
    header[236..].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
    let options: [(u8, &[u8]); 9] = [
        (53, &[5]),
        (54, &[10, 0, 2, 2]),
        (1, &[255, 255, 255, 0]),
        (3, &[10, 0, 2, 2]),
        (6, &[10, 0, 2, 3]),
        (15, b"example.org"),
        (26, &[5, 0x78]),
        (51, &[0, 1, 0x51, 0x80]),
        (121, &[0, 10, 0, 2, 2, 25, 192, 0, 2, 128, 0, 0, 0, 0]),
    ];
    let options = options.iter().flat_map(|(code, value)| [&[*code, value.len() as u8][..], value].concat());
    header.into_iter().chain(options).chain([255]).collect()
}

/// `u.example` is another name of `h.example`, which has an address.
fn names_answer() -> Vec<u8> {
    let header: &[u8] = b"\0\x07\x81\x80\0\x01\0\x02\0\0\0\0";
    let question: &[u8] = b"\x01u\x07example\0\0\x01\0\x01";
    let alias: &[u8] = b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01h\xc0\x0e";
    let address: &[u8] = b"\xc0\x27\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x07";
    [header, question, alias, address].concat()
}

/// Of servers with ranges and without, and of one that sends on.
fn update_answers() -> Vec<Vec<u8>> {
    let close = "Connection: close\r\n";
    let small = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/4\r\nContent-Length: 4\r\n{close}\r\nsums"
    );
    let part = format!(
        "HTTP/1.1 206 Partial Content\r\nETag: \"a\"\r\nContent-Range: bytes 4-19/32\r\nContent-Length: 16\r\n{close}\r\n0123456789abcdef"
    );
    let none = format!("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n{close}\r\n");
    let all = "HTTP/1.0 200 OK\r\nContent-Length: 32\r\n\r\n0123456789abcdef0123456789abcdef".to_owned();
    let chunks = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{close}\r\n20\r\n0123456789abcdef0123456789abcdef\r\n0\r\n\r\n"
    );
    let elsewhere =
        format!("HTTP/1.1 302 Found\r\nLocation: http://host/x\r\nContent-Length: 0\r\n{close}\r\n");
    [vec![&small, &part], vec![&none, &all], vec![&elsewhere, &small, &elsewhere, &part], vec![&all, &chunks]]
        .map(|answers| {
            answers
                .iter()
                .map(|answer| answer.as_str())
                .collect::<Vec<_>>()
                .join("\n--answer--\n")
                .into_bytes()
        })
        .to_vec()
}

/// The kernel has done it.
fn netlink_answer() -> Vec<u8> {
    let header =
        [&20_u32.to_ne_bytes()[..], &2_u16.to_ne_bytes(), &[0; 2], &1_u32.to_ne_bytes(), &[0; 4]].concat();
    [&header[..], &0_i32.to_ne_bytes()].concat()
}

pub(super) const SERVE_DHCP: Target = Target {
    name: "serve-dhcp",
    seeds: dhcp_requests,
    words: &[
        b"\x63\x82\x53\x63",
        b"\x35\x01\x01",
        b"\x35\x01\x03",
        b"\x3c\x09PXEClient",
        b"\x3c\x0aHTTPClient",
        b"\x5d\x02\0\x10",
        b"\x4d\x04iPXE",
        b"\x2b\x06\x47\x04\0\0\0\0",
        b"\x36\x04\x0a\x09\0\x01",
        b"\x32\x04\x0a\x09\0\x64",
        b"\xff",
        b"\0",
    ],
    grain: 1,
    repair: repair::nothing,
    run: vmimage::fuzz::serve_dhcp,
};

pub(super) const SERVE_TFTP: Target = Target {
    name: "serve-tftp",
    seeds: || {
        [
            &b"\0\x01/grub.pxe\0octet\0tsize\x000\0blksize\x001468\0windowsize\x0016\0timeout\x002\0"[..],
            b"\0\x01netboot.efi\0octet\0",
        ]
        .map(<[u8]>::to_vec)
        .to_vec()
    },
    words: &[
        b"\0\x01",
        b"\0\x02",
        b"octet\0",
        b"netascii\0",
        b"../",
        b"blksize\x0065464\0",
        b"blksize\x0099999999999999999999\0",
        b"windowsize\x0065535\0",
        b"timeout\x00255\0",
        b"\0",
        b"-1\0",
    ],
    grain: 1,
    repair: repair::nothing,
    run: vmimage::fuzz::serve_tftp,
};

/// A BIOS, firmware of UEFI and iPXE look for what to boot; a machine of a lab takes an address.
fn dhcp_requests() -> Vec<Vec<u8>> {
    let request = |options: &[(u8, &[u8])]| {
        let mut header = dhcp_message::Header::new(dhcp_message::REQUEST);
        header.chaddr[..6].copy_from_slice(&guest::fuzz::MAC);
        let mut message = dhcp_message::Writer::new(&header);
        options.iter().for_each(|(code, value)| message.put(*code, value));
        message.end()
    };
    vec![
        request(&[(53, &[1]), (60, b"PXEClient:Arch:00000:UNDI:002001"), (97, &[0; 17]), (55, &[66, 67])]),
        request(&[(53, &[3]), (60, b"PXEClient:Arch:00007"), (93, &[0, 7]), (43, &[71, 4, 0, 0, 0, 0, 255])]),
        request(&[(53, &[1]), (60, b"HTTPClient:Arch:00016"), (93, &[0, 16])]),
        request(&[(53, &[1]), (60, b"PXEClient"), (77, b"iPXE"), (175, &[0xb1, 4, 1, 2, 3, 4])]),
        request(&[(53, &[3]), (50, &[10, 9, 0, 100]), (54, &[10, 9, 0, 1])]),
    ]
}
