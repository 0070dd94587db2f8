//! What goes over the wire, in the names of the specification: all numbers are big-endian.
//!
//! Source: `doc/proto.md` of github.com/NetworkBlockDevice/nbd, "Protocol phases" and "Values".

use std::mem::size_of;

use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a request's data: what no side takes for an attack.
pub(super) const PAYLOAD_MAX: u32 = 32 << 20;
/// Bytes of a string.
pub(super) const STRING_MAX: usize = 4096;

/// What the server says first.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Greeting {
    pub(super) magic: [u8; 8],
    pub(super) option_magic: [u8; 8],
    pub(super) handshake_flags: U16,
}

impl Greeting {
    pub(super) const MAGIC: [u8; 8] = *b"NBDMAGIC";
    /// `NBD_FLAG_FIXED_NEWSTYLE`, and the client's answer.
    pub(super) const FIXED_NEWSTYLE: u16 = 1;
    /// `NBD_FLAG_NO_ZEROES`, and the client's answer.
    pub(super) const NO_ZEROES: u16 = 2;
}

/// What a client asks for before it reads.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct OptionHeader {
    pub(super) magic: [u8; 8],
    pub(super) option: U32,
    pub(super) length: U32,
}

impl OptionHeader {
    pub(super) const MAGIC: [u8; 8] = *b"IHAVEOPT";
}

/// `NBD_OPT_…`
pub(super) mod option {
    pub(in super::super) const EXPORT_NAME: u32 = 1;
    pub(in super::super) const ABORT: u32 = 2;
    pub(in super::super) const LIST: u32 = 3;
    pub(in super::super) const INFO: u32 = 6;
    pub(in super::super) const GO: u32 = 7;
    pub(in super::super) const STRUCTURED_REPLY: u32 = 8;
    pub(in super::super) const LIST_META_CONTEXT: u32 = 9;
    pub(in super::super) const SET_META_CONTEXT: u32 = 10;
}

/// The head of an answer to an option.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct OptionReply {
    pub(super) magic: U64,
    pub(super) option: U32,
    pub(super) reply_type: U32,
    pub(super) length: U32,
}

impl OptionReply {
    pub(super) const MAGIC: u64 = 0x0003_e889_0455_65a9;
}

/// `NBD_REP_…`
pub(super) mod reply {
    pub(in super::super) const ACK: u32 = 1;
    pub(in super::super) const SERVER: u32 = 2;
    pub(in super::super) const INFO: u32 = 3;
    pub(in super::super) const META_CONTEXT: u32 = 4;
    pub(in super::super) const ERR_UNSUP: u32 = (1 << 31) + 1;
    pub(in super::super) const ERR_INVALID: u32 = (1 << 31) + 3;
    pub(in super::super) const ERR_UNKNOWN: u32 = (1 << 31) + 6;
}

/// `NBD_INFO_EXPORT`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ExportInfo {
    pub(super) info_type: U16,
    pub(super) size: U64,
    pub(super) transmission_flags: U16,
}

/// `NBD_INFO_BLOCK_SIZE`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct BlockSizeInfo {
    pub(super) info_type: U16,
    pub(super) minimum: U32,
    pub(super) preferred: U32,
    pub(super) maximum_payload: U32,
}

/// `NBD_INFO_…`
pub(super) mod info {
    pub(in super::super) const EXPORT: u16 = 0;
    pub(in super::super) const DESCRIPTION: u16 = 2;
    pub(in super::super) const BLOCK_SIZE: u16 = 3;
}

/// Transmission flags, `NBD_FLAG_…`
pub(super) mod flag {
    pub(in super::super) const HAS_FLAGS: u16 = 1;
    pub(in super::super) const READ_ONLY: u16 = 1 << 1;
    pub(in super::super) const SEND_FLUSH: u16 = 1 << 2;
    pub(in super::super) const SEND_DF: u16 = 1 << 7;
    pub(in super::super) const CAN_MULTI_CONN: u16 = 1 << 8;
    pub(in super::super) const SEND_CACHE: u16 = 1 << 10;
}

/// The one metadata context.
pub(super) const ALLOCATION: &str = "base:allocation";
/// What it is called by in the transmission.
pub(super) const ALLOCATION_ID: u32 = 1;
/// `NBD_STATE_HOLE` and `NBD_STATE_ZERO`.
pub(super) const HOLE_OF_ZEROES: u32 = 3;

/// What a client asks for in the transmission.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Request {
    pub(super) magic: U32,
    pub(super) command_flags: U16,
    pub(super) command: U16,
    pub(super) cookie: U64,
    pub(super) offset: U64,
    pub(super) length: U32,
}

impl Request {
    pub(super) const MAGIC: u32 = 0x2560_9513;
}

/// `NBD_CMD_…`
pub(super) mod command {
    pub(in super::super) const READ: u16 = 0;
    pub(in super::super) const WRITE: u16 = 1;
    pub(in super::super) const DISC: u16 = 2;
    pub(in super::super) const FLUSH: u16 = 3;
    pub(in super::super) const TRIM: u16 = 4;
    pub(in super::super) const CACHE: u16 = 5;
    pub(in super::super) const WRITE_ZEROES: u16 = 6;
    pub(in super::super) const BLOCK_STATUS: u16 = 7;
}

/// `NBD_CMD_FLAG_DF`: the answer in one piece.
pub(super) const DF: u16 = 1 << 2;
/// `NBD_CMD_FLAG_REQ_ONE`: one extent.
pub(super) const REQ_ONE: u16 = 1 << 3;

/// An answer, which the data follow.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct SimpleReply {
    pub(super) magic: U32,
    pub(super) error: U32,
    pub(super) cookie: U64,
}

impl SimpleReply {
    pub(super) const MAGIC: u32 = 0x6744_6698;
}

/// The head of a part of an answer: a structured reply chunk.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Chunk {
    pub(super) magic: U32,
    pub(super) flags: U16,
    pub(super) chunk_type: U16,
    pub(super) cookie: U64,
    pub(super) length: U32,
}

impl Chunk {
    pub(super) const MAGIC: u32 = 0x668e_33ef;
    /// `NBD_REPLY_FLAG_DONE`: the last one.
    pub(super) const DONE: u16 = 1;
    pub(super) const OFFSET_DATA: u16 = 1;
    pub(super) const OFFSET_HOLE: u16 = 2;
    pub(super) const BLOCK_STATUS: u16 = 5;
    pub(super) const ERROR: u16 = (1 << 15) + 1;
}

/// A descriptor of a block status.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Descriptor {
    pub(super) length: U32,
    pub(super) status: U32,
}

/// Errors of the specification, which are those of Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Errno {
    Perm = 1,
    Io = 5,
    Inval = 22,
    Overflow = 75,
}

const _: () = assert!(size_of::<Greeting>() == 18 && size_of::<OptionHeader>() == 16);
const _: () = assert!(size_of::<OptionReply>() == 20 && size_of::<ExportInfo>() == 12);
const _: () = assert!(size_of::<BlockSizeInfo>() == 14 && size_of::<Request>() == 28);
const _: () = assert!(size_of::<SimpleReply>() == 16 && size_of::<Chunk>() == 20);
