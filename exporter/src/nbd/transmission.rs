//! The transmission: requests and their answers, one after the other.

use std::io::{self, Read, Write};

use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::{U32, U64};

use super::format::{
    ALLOCATION_ID, Chunk, DF, Descriptor, Errno, HOLE_OF_ZEROES, PAYLOAD_MAX, REQ_ONE, Request, SimpleReply,
    command,
};
use super::handshake::Agreed;
use super::map;
use super::wire::{Lost, receive_next, send};
use crate::error::Error;
use crate::read_at::ReadAt;

/// Bytes that are read at once, and are in memory for each client.
const PIECE: u64 = 1 << 20;
/// Descriptors of one block status.
const DESCRIPTORS_MAX: usize = 1024;
/// Bytes that one block status is about.
const STATUS_MAX: u64 = 1 << 30;

/// A client that reads.
pub(super) struct Transmission<'a, S> {
    pub(super) stream: &'a mut S,
    pub(super) view: &'a dyn ReadAt,
    pub(super) agreed: Agreed,
    /// Told what could not be read, which is nothing for the client to know more of than that.
    pub(super) failed: &'a dyn Fn(Error),
    /// Bytes of the image that were sent, holes not counted.
    pub(super) sent: u64,
    buffer: Vec<u8>,
}

impl<'a, S: Read + Write> Transmission<'a, S> {
    pub(super) fn new(
        stream: &'a mut S,
        view: &'a dyn ReadAt,
        agreed: Agreed,
        failed: &'a dyn Fn(Error),
    ) -> Self {
        Self { stream, view, agreed, failed, sent: 0, buffer: Vec::new() }
    }

    /// Answers until the client takes its leave.
    ///
    /// # Errors
    /// If it goes without, or what it sends is no request.
    pub(super) fn run(&mut self) -> Result<(), Lost> {
        while let Some(request) = receive_next::<Request>(self.stream)? {
            if request.magic.get() != Request::MAGIC {
                return Err(Lost::Protocol("sends what is no request"));
            }
            if request.command.get() == command::DISC {
                return Ok(());
            }
            self.answer(&request)?;
        }
        Ok(())
    }

    fn answer(&mut self, request: &Request) -> Result<(), Lost> {
        let known = match request.command.get() {
            command::WRITE => {
                self.skip_payload(request)?;
                return Ok(self.fail(request, Errno::Perm)?);
            }
            command::TRIM | command::WRITE_ZEROES => return Ok(self.fail(request, Errno::Perm)?),
            command::READ if self.agreed.structured => DF,
            command::BLOCK_STATUS if self.agreed.allocation => REQ_ONE,
            command::READ | command::FLUSH | command::CACHE => 0,
            _ => return Ok(self.fail(request, Errno::Inval)?),
        };
        if request.command_flags.get() & !known != 0 {
            return Ok(self.fail(request, Errno::Inval)?);
        }
        let Some(end) = self.end(request) else { return Ok(self.fail(request, Errno::Inval)?) };
        match request.command.get() {
            command::READ if self.agreed.structured => Ok(self.read_in_chunks(request, end)?),
            command::READ => self.read(request, end),
            command::BLOCK_STATUS => Ok(self.block_status(request, end)?),
            // There is nothing to be flushed, and what is read often is in the cache of this machine anyway.
            _ => Ok(self.reply(request, 0)?),
        }
    }

    /// Where the range of a request ends, if that is one of the image.
    fn end(&self, request: &Request) -> Option<u64> {
        let (offset, len) = (request.offset.get(), request.length.get());
        if request.command.get() == command::FLUSH {
            return Some(offset);
        }
        let is_too_much = request.command.get() == command::READ && len > PAYLOAD_MAX;
        let end = offset.checked_add(len.into())?;
        (end <= self.view.size() && len > 0 && !is_too_much).then_some(end)
    }

    /// Whoever writes sends the bytes, wanted or not.
    fn skip_payload(&mut self, request: &Request) -> Result<(), Lost> {
        let len = request.length.get();
        if len > PAYLOAD_MAX {
            return Err(Lost::Protocol("writes more at once than was allowed, to what is only read"));
        }
        match io::copy(&mut Read::by_ref(self.stream).take(len.into()), &mut io::sink())? {
            skipped if skipped == u64::from(len) => Ok(()),
            _ => Err(Lost::Stream(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// The answer as one, whose head says that all is well: what cannot be read later on is the end of the connection.
    fn read(&mut self, request: &Request, end: u64) -> Result<(), Lost> {
        let head = SimpleReply { magic: SimpleReply::MAGIC.into(), error: 0.into(), cookie: request.cookie };
        let mut at = request.offset.get();
        let mut next = end.min(at + PIECE);
        if let Err(error) = self.fill(head.as_bytes(), at, next) {
            (self.failed)(error);
            return Ok(self.fail(request, Errno::Io)?);
        }
        loop {
            self.send_buffer(next - at)?;
            (at, next) = (next, end.min(next + PIECE));
            if at == end {
                return Ok(());
            }
            if let Err(error) = self.fill(b"", at, next) {
                (self.failed)(error);
                return Err(Lost::Answer);
            }
        }
    }

    /// The answer in chunks, of which each can be an error: holes by their length alone, and data.
    fn read_in_chunks(&mut self, request: &Request, end: u64) -> io::Result<()> {
        let mut at = request.offset.get();
        let is_whole = request.command_flags.get() & DF != 0;
        if is_whole && end - at > PIECE {
            return self.fail(request, Errno::Overflow);
        }
        while at < end {
            let run = map::run(self.view, at, end);
            let len = if is_whole { end - at } else { run.len.min(PIECE) };
            let done = if at + len == end { Chunk::DONE } else { 0 };
            if run.is_hole && !is_whole {
                let done = if at + run.len == end { Chunk::DONE } else { 0 };
                self.hole(request, done, at, run.len)?;
                at += run.len;
                continue;
            }
            let head = chunk(request, done, Chunk::OFFSET_DATA, 8 + len);
            let head = [head.as_bytes(), U64::new(at).as_bytes()].concat();
            if let Err(error) = self.fill(&head, at, at + len) {
                (self.failed)(error);
                return self.fail(request, Errno::Io);
            }
            self.send_buffer(len)?;
            at += len;
        }
        Ok(())
    }

    fn hole(&mut self, request: &Request, done: u16, at: u64, len: u64) -> io::Result<()> {
        let head = chunk(request, done, Chunk::OFFSET_HOLE, 12);
        // No request is for more.
        send(self.stream, &head, &[U64::new(at).as_bytes(), U32::new(len as u32).as_bytes()].concat())
    }

    fn block_status(&mut self, request: &Request, end: u64) -> io::Result<()> {
        let most = if request.command_flags.get() & REQ_ONE != 0 { 1 } else { DESCRIPTORS_MAX };
        let start = request.offset.get();
        let mut at = start;
        let mut descriptors: Vec<Descriptor> = Vec::new();
        while at < end && descriptors.len() < most && at - start < STATUS_MAX {
            let run = map::run(self.view, at, end);
            let status = if run.is_hole { HOLE_OF_ZEROES } else { 0 };
            descriptors.push(Descriptor { length: (run.len as u32).into(), status: status.into() });
            at += run.len;
        }
        let payload = [U32::new(ALLOCATION_ID).as_bytes(), descriptors.as_bytes()].concat();
        let head = chunk(request, Chunk::DONE, Chunk::BLOCK_STATUS, payload.len() as u64);
        send(self.stream, &head, &payload)
    }

    /// Puts `head` and a range of the image into the buffer.
    fn fill(&mut self, head: &[u8], start: u64, end: u64) -> Result<(), Error> {
        self.buffer.clear();
        self.buffer.extend(head);
        self.buffer.resize(head.len() + (end - start) as usize, 0);
        let out = self.buffer.get_mut(head.len()..).unwrap_or_default();
        self.view.read_at(start, out)
    }

    fn send_buffer(&mut self, bytes: u64) -> io::Result<()> {
        self.stream.write_all(&self.buffer)?;
        self.sent += bytes;
        Ok(())
    }

    /// Says that a request failed; of what is answered in chunks, by the last of them.
    fn fail(&mut self, request: &Request, error: Errno) -> io::Result<()> {
        let is_in_chunks = matches!(request.command.get(), command::READ | command::BLOCK_STATUS);
        if !is_in_chunks || !self.agreed.structured {
            return self.reply(request, error as u32);
        }
        let head = chunk(request, Chunk::DONE, Chunk::ERROR, 6);
        send(self.stream, &head, &[U32::new(error as u32).as_bytes(), &[0; 2]].concat())
    }

    fn reply(&mut self, request: &Request, error: u32) -> io::Result<()> {
        let head =
            SimpleReply { magic: SimpleReply::MAGIC.into(), error: error.into(), cookie: request.cookie };
        send(self.stream, &head, b"")
    }
}

fn chunk(request: &Request, flags: u16, chunk_type: u16, length: u64) -> Chunk {
    Chunk {
        magic: Chunk::MAGIC.into(),
        flags: flags.into(),
        chunk_type: chunk_type.into(),
        cookie: request.cookie,
        // A piece of the image and a few bytes.
        length: (length as u32).into(),
    }
}
