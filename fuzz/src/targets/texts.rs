//! Texts that people write, and others for them.

use super::text;
use crate::{Target, repair};

pub(super) const DOCKERFILE: Target = Target {
    name: "dockerfile",
    seeds: || {
        [
            "# syntax=example/vmimage\nARG RELEASE=12\nARG B=${RELEASE:-${A:+x}}\nFROM debian:$RELEASE AS common\nRUN a\n\
             FROM --platform=$BUILDPLATFORM golang AS build\nRUN <<E\nb\nE\nFROM common\nCOPY --from=build /a /b\n",
            "# escape=`\nFROM \"a\" AS b\nFROM b AS c\nRUN a `\n  b\n",
            "\u{feff}FROM scratch\nCOPY \u{e4} /\n",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    },
    words: &[
        b"${A:-",
        b"${A:+",
        b"}",
        b"$A",
        b"FROM ",
        b"ARG A=",
        b" AS b",
        b"\n",
        b"\\\n",
        b"\xef\xbb\xbf",
        b"# escape=`\n",
        b"\"",
        b"'",
        b"<<E\n",
        b"--platform=",
        b"ONBUILD ",
        "\u{e4}".as_bytes(),
        b"ARG A=$A$A\n",
        b"FROM b AS a\nFROM a AS b\n",
        b"\r\n",
    ],
    grain: 1,
    repair: repair::nothing,
    run: |input| vmimage::fuzz::dockerfile(text(input)?),
};

pub(super) const CONFIG: Target = Target {
    name: "config",
    seeds: || {
        vec![
            include_bytes!("../../../testdata/config/everything.toml").to_vec(),
            b"size = \"10G\"\n".to_vec(),
        ]
    },
    words: &[
        b"[[users]]\n",
        b"[[files]]\n",
        b"[",
        b"]",
        b"{",
        b"}",
        b"name = ",
        b"\"",
        b"'''",
        b"\"\"\"",
        b"\\u0000",
        b"\\U00110000",
        b"size = \"",
        b"hostname = ",
        b"= 1e400\n",
        b"nan",
        b"1979-05-27T07:32:00Z",
        b"a.b.c.d = 1\n",
        "\u{e4}".as_bytes(),
        b"\n",
        b"../",
        b"x = 1, ",
        b"[[hooks]]\nrun = \"a\"\n",
        b"0x",
        b"true",
        b"\x1b[2J",
    ],
    grain: 1,
    repair: repair::nothing,
    run: |input| vmimage::fuzz::config(text(input)?),
};

pub(super) const INSTALL: Target = Target {
    name: "install",
    seeds: || {
        [
            "disk = { serial = 'S4*', model = \"QEMU*\", min-size = '100G', max-size = 999999999999, transport = 'nvme' }\n\
             overwrite = true\nsource = 'https://a/b/'\nhostname = 'web-1'\nroot-password = '$6$a$b'\nuser = 'ada'\n\
             ssh-keys = ['ssh-ed25519 AAAA me']\nunattended = true\nafter = 'shell'\nboot-entry = false\n\
             [[interfaces]]\nname = 'eth0'\naddresses = ['10.0.2.50/24', 'fd00::5/64']\ngateway = '10.0.2.2'\ndns = ['::1']\n",
            "disk = '/dev/sda'\n[[interfaces]]\nmac = '52:54:00:12:34:56'\ndhcp = false\n",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    },
    words: &[
        b"disk = ",
        b"'smallest'",
        b"[[interfaces]]\n",
        b"addresses = ['",
        b"/128",
        b"18446744073709551615T",
        b"\"\\u0000\"",
        b"'",
        b"{ ",
        b" }",
        b"\n",
        b"= -1\n",
        b"nan",
        b"../",
        b":",
        "\u{e4}".as_bytes(),
    ],
    grain: 1,
    repair: repair::nothing,
    run: guest::fuzz::install_config,
};

pub(super) const ATTRIBUTES: Target = Target {
    name: "attributes",
    seeds: || {
        [
            "type=vmdisk,dest=web.qcow2,size=10G,compression=zlib,hostname=web-1,kernel=6.1,cmdline=quiet",
            "type=vmdisk,\"dest=a,b.vmdk\",format=vmdk,modules=nbd,install=nginx,firmware=uefi",
            "type=vmdisk,dest=a.vhdx,kernel=image:host:5000/kernel@sha256:00,mirror=http://a/b/,timezone=Europe/Berlin,locale=de_DE.UTF-8,init=vmimage,service=web,profile=machine",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    },
    words: &[
        b"type=vmdisk",
        b"dest=",
        b"size=",
        b"format=",
        b"hostname=",
        b"kernel=image:",
        b"cmdline=",
        b"mirror=http://",
        b"\"",
        b"\"\"",
        b",",
        b"=",
        b"\n",
        b"../",
        b"18446744073709551615T",
        b"9223372036854775807G",
        b"-1",
        b"1.5G",
        b"\0",
        "\u{e4}".as_bytes(),
        b"$(x)",
    ],
    grain: 1,
    repair: repair::nothing,
    run: |input| vmimage::fuzz::attributes(text(input)?),
};
