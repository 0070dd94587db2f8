//! The handshake: fixed newstyle negotiation, without TLS.
//!
//! ```text
//! server: NBDMAGIC IHAVEOPT flags ─▶ client: flags ─▶ option ─▶ reply … ─▶ GO ─▶ reply ─▶ transmission
//! ```

use std::io::{self, Read, Write};

use zerocopy::byteorder::big_endian::{U16, U32};
use zerocopy::{FromBytes, IntoBytes};

use super::format::{
    ALLOCATION, ALLOCATION_ID, BlockSizeInfo, ExportInfo, Greeting, OptionHeader, OptionReply, PAYLOAD_MAX,
    STRING_MAX, flag, info, option, reply,
};
use super::wire::{Lost, receive_next, send};

/// Bytes of an option: more than the longest name and all kinds of information that there are.
const OPTION_MAX: u32 = 64 << 10;
/// What readers do best.
const PREFERRED_BLOCK: u32 = 4096;

/// What is served, by the name of nothing, which clients ask for if they are told no other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Export<'a> {
    /// In bytes.
    pub(super) size: u64,
    /// For people.
    pub(super) description: &'a str,
}

/// What a client and the server have agreed upon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Agreed {
    /// Answers in chunks.
    pub(super) structured: bool,
    /// The client may ask what is allocated.
    pub(super) allocation: bool,
}

/// Negotiates with a client; `None` if it leaves without a wish to read.
///
/// # Errors
/// If it goes, or what it sends is no handshake.
pub(super) fn shake<S: Read + Write>(stream: &mut S, export: Export<'_>) -> Result<Option<Agreed>, Lost> {
    let offered = Greeting::FIXED_NEWSTYLE | Greeting::NO_ZEROES;
    let greeting = Greeting {
        magic: Greeting::MAGIC,
        option_magic: OptionHeader::MAGIC,
        handshake_flags: offered.into(),
    };
    stream.write_all(greeting.as_bytes())?;
    let Some(flags) = receive_next::<U32>(stream)? else { return Ok(None) };
    if flags.get() & !u32::from(offered) != 0 {
        return Err(Lost::Protocol("asks for a handshake that was not offered"));
    }
    let has_zeroes = flags.get() & u32::from(Greeting::NO_ZEROES) == 0;
    let mut handshake = Handshake { stream, export, has_zeroes, agreed: Agreed::default() };
    loop {
        match handshake.option()? {
            Next::Option => {}
            Next::Transmission => return Ok(Some(handshake.agreed)),
            Next::End => return Ok(None),
        }
    }
}

/// What comes after an option.
enum Next {
    Option,
    Transmission,
    End,
}

struct Handshake<'a, S> {
    stream: &'a mut S,
    export: Export<'a>,
    has_zeroes: bool,
    agreed: Agreed,
}

/// An option whose data are not what they should be.
struct Malformed;

impl<S: Read + Write> Handshake<'_, S> {
    fn option(&mut self) -> Result<Next, Lost> {
        let Some(header) = receive_next::<OptionHeader>(self.stream)? else { return Ok(Next::End) };
        let OptionHeader { magic, option, length } = header;
        if magic != OptionHeader::MAGIC {
            return Err(Lost::Protocol("sends what is no option"));
        }
        if length.get() > OPTION_MAX {
            return Err(Lost::Protocol("sends an option that is too long"));
        }
        let mut data = vec![0; length.get() as usize];
        self.stream.read_exact(&mut data)?;
        self.answer(option.get(), &data)
    }

    fn answer(&mut self, option: u32, data: &[u8]) -> Result<Next, Lost> {
        let done = match option {
            option::EXPORT_NAME => return self.export_name(data),
            option::ABORT => {
                // It need not wait for that.
                let _ = self.reply(option, reply::ACK, b"");
                return Ok(Next::End);
            }
            option::LIST if data.is_empty() => self.list(),
            option::INFO | option::GO => match Wanted::parse(data) {
                Ok(wanted) if wanted.name.is_empty() => {
                    self.tell(option, &wanted)?;
                    return Ok(if option == option::GO { Next::Transmission } else { Next::Option });
                }
                Ok(_) => {
                    self.reply(option, reply::ERR_UNKNOWN, b"there is one export, and its name is empty")
                }
                Err(Malformed) => self.reply(option, reply::ERR_INVALID, b""),
            },
            option::STRUCTURED_REPLY if data.is_empty() => {
                self.agreed.structured = true;
                self.reply(option, reply::ACK, b"")
            }
            option::LIST_META_CONTEXT | option::SET_META_CONTEXT => self.contexts(option, data),
            option::LIST | option::STRUCTURED_REPLY => self.reply(option, reply::ERR_INVALID, b""),
            _ => self.reply(option, reply::ERR_UNSUP, b""),
        };
        Ok(done.map(|()| Next::Option)?)
    }

    /// The old way in, which knows no errors.
    fn export_name(&mut self, name: &[u8]) -> Result<Next, Lost> {
        if !name.is_empty() {
            return Err(Lost::Protocol("asks for an export that is not there"));
        }
        let ExportInfo { size, transmission_flags, .. } = self.export_info();
        let zeroes: &[u8] = if self.has_zeroes { &[0; 124] } else { &[] };
        self.stream.write_all(&[size.as_bytes(), transmission_flags.as_bytes(), zeroes].concat())?;
        Ok(Next::Transmission)
    }

    fn list(&mut self) -> io::Result<()> {
        let description = self.export.description.as_bytes();
        let entry = [U32::new(0).as_bytes(), cut(description)].concat();
        self.reply(option::LIST, reply::SERVER, &entry)?;
        self.reply(option::LIST, reply::ACK, b"")
    }

    /// All that there is to know of the export.
    fn tell(&mut self, option: u32, wanted: &Wanted<'_>) -> io::Result<()> {
        let block_size = BlockSizeInfo {
            info_type: info::BLOCK_SIZE.into(),
            minimum: 1.into(),
            preferred: PREFERRED_BLOCK.into(),
            maximum_payload: PAYLOAD_MAX.into(),
        };
        let export = self.export_info();
        self.reply(option, reply::INFO, export.as_bytes())?;
        self.reply(option, reply::INFO, block_size.as_bytes())?;
        if wanted.asks_for(info::DESCRIPTION) {
            let kind = U16::new(info::DESCRIPTION);
            let description = [kind.as_bytes(), cut(self.export.description.as_bytes())].concat();
            self.reply(option, reply::INFO, &description)?;
        }
        self.reply(option, reply::ACK, b"")
    }

    fn export_info(&self) -> ExportInfo {
        let usual =
            flag::HAS_FLAGS | flag::READ_ONLY | flag::SEND_FLUSH | flag::CAN_MULTI_CONN | flag::SEND_CACHE;
        let whole = if self.agreed.structured { flag::SEND_DF } else { 0 };
        ExportInfo {
            info_type: info::EXPORT.into(),
            size: self.export.size.into(),
            transmission_flags: (usual | whole).into(),
        }
    }

    fn contexts(&mut self, option: u32, data: &[u8]) -> io::Result<()> {
        let is_set = option == option::SET_META_CONTEXT;
        if is_set {
            self.agreed.allocation = false;
        }
        let Ok(Queries { name, queries }) = Queries::parse(data) else {
            return self.reply(option, reply::ERR_INVALID, b"");
        };
        if is_set && !self.agreed.structured {
            return self.reply(option, reply::ERR_INVALID, b"structured replies come first");
        }
        if !name.is_empty() {
            return self.reply(option, reply::ERR_UNKNOWN, b"there is one export, and its name is empty");
        }
        let is_meant = |query: &&[u8]| *query == ALLOCATION.as_bytes() || !is_set && *query == b"base:";
        if queries.iter().any(is_meant) || !is_set && queries.is_empty() {
            self.agreed.allocation |= is_set;
            let id = U32::new(if is_set { ALLOCATION_ID } else { 0 });
            self.reply(option, reply::META_CONTEXT, &[id.as_bytes(), ALLOCATION.as_bytes()].concat())?;
        }
        self.reply(option, reply::ACK, b"")
    }

    fn reply(&mut self, option: u32, reply_type: u32, data: &[u8]) -> io::Result<()> {
        let head = OptionReply {
            magic: OptionReply::MAGIC.into(),
            option: option.into(),
            reply_type: reply_type.into(),
            length: (data.len() as u32).into(),
        };
        send(self.stream, &head, data)
    }
}

/// As much of a text as a string may have.
fn cut(text: &[u8]) -> &[u8] {
    let text = text.get(..STRING_MAX).unwrap_or(text);
    // Not in the middle of a character.
    text.utf8_chunks().next().map_or(b"", |chunk| chunk.valid().as_bytes())
}

/// The data of `NBD_OPT_INFO` and `NBD_OPT_GO`.
struct Wanted<'a> {
    name: &'a [u8],
    info: &'a [[u8; 2]],
}

impl<'a> Wanted<'a> {
    fn parse(mut data: &'a [u8]) -> Result<Self, Malformed> {
        let name = string(&mut data)?;
        let count = number::<U16>(&mut data)?.get();
        match data.as_chunks() {
            (info, []) if info.len() == usize::from(count) => Ok(Self { name, info }),
            _ => Err(Malformed),
        }
    }

    fn asks_for(&self, info: u16) -> bool {
        self.info.contains(&info.to_be_bytes())
    }
}

/// The data of `NBD_OPT_LIST_META_CONTEXT` and `NBD_OPT_SET_META_CONTEXT`.
struct Queries<'a> {
    name: &'a [u8],
    queries: Vec<&'a [u8]>,
}

impl<'a> Queries<'a> {
    fn parse(mut data: &'a [u8]) -> Result<Self, Malformed> {
        let name = string(&mut data)?;
        let count = number::<U32>(&mut data)?.get();
        // Each takes four bytes at least.
        if count as usize > data.len() / 4 {
            return Err(Malformed);
        }
        let queries = (0..count).map(|_| string(&mut data)).collect::<Result<_, _>>()?;
        if data.is_empty() { Ok(Self { name, queries }) } else { Err(Malformed) }
    }
}

/// The next string of `data`, which has its length before it.
fn string<'a>(data: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let len = number::<U32>(data)?.get() as usize;
    let (text, rest) = data.split_at_checked(len).filter(|_| len <= STRING_MAX).ok_or(Malformed)?;
    *data = rest;
    Ok(text)
}

fn number<T: FromBytes + zerocopy::KnownLayout>(data: &mut &[u8]) -> Result<T, Malformed> {
    let (number, rest) = T::read_from_prefix(data).map_err(|_| Malformed)?;
    *data = rest;
    Ok(number)
}
