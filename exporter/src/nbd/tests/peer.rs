//! A client that keeps to the protocol as far as a test has it do so.

use std::io::{self, Read, Write};

use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::{U16, U32, U64};

use crate::nbd::format::{
    Chunk, Greeting, OptionHeader, OptionReply, Request, SimpleReply, command, option, reply,
};
use crate::nbd::wire::receive_next;

/// A client.
pub(super) struct Peer<S> {
    pub(super) stream: S,
    pub(super) is_structured: bool,
}

/// A structure that has to come.
pub(super) fn receive<T: zerocopy::FromBytes + IntoBytes>(stream: &mut impl Read) -> io::Result<T> {
    receive_next(stream)?.ok_or(io::ErrorKind::UnexpectedEof.into())
}

pub(super) fn ask(stream: &mut impl Write, option: u32, data: &[u8]) {
    let head = OptionHeader {
        magic: OptionHeader::MAGIC,
        option: option.into(),
        length: (data.len() as u32).into(),
    };
    stream.write_all(&[head.as_bytes(), data].concat()).unwrap();
}

/// The answers to an option up to the last.
pub(super) fn answers(stream: &mut impl Read) -> Vec<(u32, Vec<u8>)> {
    let mut all = Vec::new();
    loop {
        let head: OptionReply = receive(stream).unwrap();
        assert_eq!(head.magic.get(), OptionReply::MAGIC);
        let mut data = vec![0; head.length.get() as usize];
        stream.read_exact(&mut data).unwrap();
        let kind = head.reply_type.get();
        all.push((kind, data));
        if kind == reply::ACK || kind >= 1 << 31 {
            return all;
        }
    }
}

pub(super) fn greet(stream: &mut (impl Read + Write)) {
    let greeting: Greeting = receive(stream).unwrap();
    assert_eq!((greeting.magic, greeting.option_magic), (Greeting::MAGIC, OptionHeader::MAGIC));
    stream.write_all(U32::new(3).as_bytes()).unwrap();
}

/// A string with its length.
fn counted(text: &[u8]) -> Vec<u8> {
    [U32::new(text.len() as u32).as_bytes(), text].concat()
}

pub(super) fn go(name: &[u8], wanted: &[u16]) -> Vec<u8> {
    let wanted: Vec<U16> = wanted.iter().map(|info| (*info).into()).collect();
    [&counted(name)[..], U16::new(wanted.len() as u16).as_bytes(), wanted.as_bytes()].concat()
}

pub(super) fn queries(name: &[u8], queries: &[&[u8]]) -> Vec<u8> {
    let all: Vec<u8> = queries.iter().flat_map(|query| counted(query)).collect();
    [&counted(name)[..], U32::new(queries.len() as u32).as_bytes(), &all].concat()
}

impl<S: Read + Write> Peer<S> {
    /// One that may read.
    pub(super) fn ready(mut stream: S, is_structured: bool) -> Self {
        greet(&mut stream);
        if is_structured {
            ask(&mut stream, option::STRUCTURED_REPLY, b"");
            assert_eq!(answers(&mut stream), [(reply::ACK, vec![])]);
            ask(&mut stream, option::SET_META_CONTEXT, &queries(b"", &[b"base:allocation"]));
            assert_eq!(answers(&mut stream).len(), 2);
        }
        ask(&mut stream, option::GO, &go(b"", &[]));
        assert_eq!(answers(&mut stream).last().unwrap().0, reply::ACK);
        Self { stream, is_structured }
    }

    pub(super) fn send(&mut self, command: u16, command_flags: u16, offset: u64, length: u32) {
        let request = Request {
            magic: Request::MAGIC.into(),
            command_flags: command_flags.into(),
            command: command.into(),
            cookie: 77.into(),
            offset: offset.into(),
            length: length.into(),
        };
        self.stream.write_all(request.as_bytes()).unwrap();
    }

    /// An answer without data.
    pub(super) fn simple(&mut self) -> u32 {
        let reply: SimpleReply = receive(&mut self.stream).unwrap();
        assert_eq!((reply.magic.get(), reply.cookie.get()), (SimpleReply::MAGIC, 77));
        reply.error.get()
    }

    /// A chunk: whether it is the last, its type, and what it has.
    pub(super) fn chunk(&mut self) -> (bool, u16, Vec<u8>) {
        let head: Chunk = receive(&mut self.stream).unwrap();
        assert_eq!((head.magic.get(), head.cookie.get()), (Chunk::MAGIC, 77));
        let mut data = vec![0; head.length.get() as usize];
        self.stream.read_exact(&mut data).unwrap();
        (head.flags.get() == Chunk::DONE, head.chunk_type.get(), data)
    }

    pub(super) fn read(&mut self, offset: u64, length: u32) -> std::result::Result<Vec<u8>, u32> {
        self.read_as(0, offset, length).map(|(bytes, _)| bytes)
    }

    /// What was read, and the chunks that it came in.
    pub(super) fn read_as(
        &mut self,
        flags: u16,
        offset: u64,
        length: u32,
    ) -> std::result::Result<(Vec<u8>, Vec<u16>), u32> {
        self.send(command::READ, flags, offset, length);
        if !self.is_structured {
            let error = self.simple();
            let mut out = vec![0; if error == 0 { length as usize } else { 0 }];
            self.stream.read_exact(&mut out).unwrap();
            return if error == 0 { Ok((out, vec![])) } else { Err(error) };
        }
        let (mut out, mut kinds) = (vec![0x55; length as usize], Vec::new());
        loop {
            let (is_last, kind, data) = self.chunk();
            let number =
                |range: std::ops::Range<usize>| U64::from_bytes(data[range].try_into().unwrap()).get();
            match kind {
                Chunk::OFFSET_DATA => {
                    out[(number(0..8) - offset) as usize..][..data.len() - 8].copy_from_slice(&data[8..])
                }
                Chunk::OFFSET_HOLE => {
                    let len = u32::from_be_bytes(data[8..].try_into().unwrap()) as usize;
                    out[(number(0..8) - offset) as usize..][..len].fill(0);
                }
                Chunk::ERROR => return Err(u32::from_be_bytes(data[..4].try_into().unwrap())),
                other => panic!("{other}"),
            }
            kinds.push(kind);
            if is_last {
                return Ok((out, kinds));
            }
        }
    }

    /// The descriptors of a range.
    pub(super) fn status(&mut self, flags: u16, offset: u64, length: u32) -> Vec<(u32, u32)> {
        self.send(command::BLOCK_STATUS, flags, offset, length);
        let (is_last, kind, data) = self.chunk();
        assert_eq!((is_last, kind), (true, Chunk::BLOCK_STATUS));
        let words: Vec<u32> =
            data.chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect();
        assert_eq!(words[0], 1);
        words[1..].chunks(2).map(|pair| (pair[0], pair[1])).collect()
    }
}
