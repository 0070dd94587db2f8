//! What clients of `vmimage serve nbd` send.

use std::io::{self, ErrorKind, Read, Write};

use exporter::nbd::converse;
use exporter::read_at::ReadAt;

use super::told;
use crate::{Target, repair};

pub(super) const SERVE_NBD: Target = Target {
    name: "serve-nbd",
    seeds: || vec![conversation(true), conversation(false), old_conversation()],
    words: &[
        b"IHAVEOPT",
        b"\0\0\0\x03",
        b"\0\0\0\x07",
        b"\0\0\0\x0a",
        b"\0\0\0\x0fbase:allocation",
        b"\x25\x60\x95\x13",
        b"\x25\x60\x95\x13\0\x04\0\0",
        b"\x25\x60\x95\x13\0\0\0\x01",
        b"\x25\x60\x95\x13\0\x08\0\x07",
        b"\xff\xff\xff\xff",
        b"\x02\0\0\0",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
    ],
    grain: 1,
    repair: repair::nothing,
    run: |input| {
        let mut client = Client { says: input, heard: Vec::new(), bytes: 0 };
        let sent = converse(&Image, &mut client);
        assert!(
            b"NBDMAGICIHAVEOPT".starts_with(client.heard.get(..16).unwrap_or(b"NBDMAGICIHAVEOPT")),
            "the greeting"
        );
        let sent = sent.map_err(told)?;
        assert!(sent <= client.bytes, "what was sent was heard");
        Ok(())
    },
};

/// Data, a hole, and data.
struct Image;

const SIZE: u64 = 3 << 20;
const HOLE: std::ops::Range<u64> = 1 << 20..2 << 20;

impl ReadAt for Image {
    fn size(&self) -> u64 {
        SIZE
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> exporter::Result<()> {
        assert!(
            offset.checked_add(out.len() as u64).is_some_and(|end| end <= SIZE),
            "nobody reads behind the end"
        );
        out.fill(1);
        Ok(())
    }

    fn data_from(&self, offset: u64) -> u64 {
        if HOLE.contains(&offset) { HOLE.end } else { offset.min(SIZE) }
    }

    fn hole_from(&self, offset: u64, until: u64) -> u64 {
        if offset < HOLE.end { HOLE.start.max(offset).min(until) } else { until }
    }
}

/// One that has said all already, and goes when it has heard enough.
struct Client<'a> {
    says: &'a [u8],
    heard: Vec<u8>,
    bytes: u64,
}

const ENOUGH: u64 = 64 << 20;

impl Read for Client<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.says.read(buffer)
    }
}

impl Write for Client<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.bytes += buffer.len() as u64;
        let room = 16_usize.saturating_sub(self.heard.len()).min(buffer.len());
        self.heard.extend(buffer.get(..room).unwrap_or_default());
        if self.bytes > ENOUGH { Err(ErrorKind::BrokenPipe.into()) } else { Ok(buffer.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn option(number: u32, data: &[u8]) -> Vec<u8> {
    [b"IHAVEOPT", &number.to_be_bytes()[..], &(data.len() as u32).to_be_bytes(), data].concat()
}

fn request(flags: u16, command: u16, offset: u64, length: u32) -> Vec<u8> {
    let head = [&0x2560_9513_u32.to_be_bytes()[..], &flags.to_be_bytes(), &command.to_be_bytes()];
    [&head.concat()[..], &7_u64.to_be_bytes(), &offset.to_be_bytes(), &length.to_be_bytes()].concat()
}

/// All that a client may ask for.
fn conversation(is_structured: bool) -> Vec<u8> {
    let contexts = [&[0; 4][..], &1_u32.to_be_bytes(), &15_u32.to_be_bytes(), b"base:allocation"].concat();
    let mut says = vec![3_u32.to_be_bytes().to_vec(), option(3, b"")];
    if is_structured {
        says.extend([option(8, b""), option(9, &contexts), option(10, &contexts)]);
    }
    says.extend([option(6, b"\0\0\0\0\0\x01\0\x02"), option(7, b"\0\0\0\0\0\0"), request(0, 0, 5, 2 << 20)]);
    if is_structured {
        says.extend([request(4, 0, 0, 100), request(0, 7, 0, 3 << 20), request(8, 7, 0, 100)]);
    }
    says.extend([request(0, 5, 0, 100), request(0, 3, 0, 0), request(0, 1, 0, 4), b"data".to_vec()]);
    says.extend([request(0, 4, 0, 100), request(0, 0, SIZE, 1), request(0, 2, 0, 0)]);
    says.concat()
}

fn old_conversation() -> Vec<u8> {
    [1_u32.to_be_bytes().to_vec(), option(1, b""), request(0, 0, 0, 512), request(0, 2, 0, 0)].concat()
}
