//! Frames: a header, a payload, and a byte that says that all of it has come.
//!
//! | bytes | what |
//! |---:|---|
//! | 1 | [`Kind`] |
//! | 1 | stream of the channel: 0 input, 1 output, 2 errors |
//! | 2 | channel, little-endian; 0 is the connection |
//! | 4 | length of the payload, little-endian, at most [`PAYLOAD_MAX`] |
//! | … | payload |
//! | 1 | [`LAST`] |
//!
//! A host may hang up in the middle of a frame, and another may come before anybody notices: the port does not say so.
//! So a host begins with as many zeros as the longest frame has bytes. They make up for what is missing of the frame
//! that was cut off, whose last byte is then none, so nothing becomes of it; zeros in the place of a frame are skipped.
//! Behind them comes the hello, which is looked for byte by byte wherever frames have ended.

use std::io::{self, Read};

/// The longest payload, in bytes.
pub const PAYLOAD_MAX: usize = 64 << 10;
/// Bytes of a header.
pub const HEADER_LEN: usize = 8;
/// The last byte of every frame: ETB, the end of a block of a transmission.
pub const LAST: u8 = 0x17;
/// What an agent sends that cannot go on: no frame begins with it.
pub const HANG_UP: u8 = 0xff;
/// The words of a hello; a later protocol that is not this one has others.
pub const MAGIC: [u8; 16] = *b"vmimage agent 1\n";
/// Bytes of a hello, header and last byte included.
pub const HELLO_LEN: usize = HEADER_LEN + MAGIC.len() + size_of::<Nonce>() + 1;
/// Zeros in front of a host's hello.
pub const ZEROS: usize = HEADER_LEN + PAYLOAD_MAX + 1;

/// What tells a connection from those before it: random, chosen by the host, said again by the agent.
pub type Nonce = [u8; 8];

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A connection begins: [`MAGIC`] and the nonce. Ends all that an earlier one has left.
    Hello = 1,
    /// Host: a channel, and what it is for (a [`Request`](crate::message::Request)).
    Open = 2,
    /// Bytes of a stream.
    Data = 3,
    /// A stream has ended; of the input, from the agent: nobody reads it any more.
    End = 4,
    /// So many more bytes of a stream may be sent: a little-endian number of 4 bytes.
    Credit = 5,
    /// Host: a [`Control`](crate::message::Control).
    Control = 6,
    /// Agent: the channel is over, and what came of it (a [`Done`](crate::message::Done)).
    Done = 7,
    /// Host: the channel is not wanted any more. It is over when the agent says so.
    Close = 8,
}

impl Kind {
    fn parse(byte: u8) -> Option<Self> {
        use Kind::*;
        [Hello, Open, Data, End, Credit, Control, Done, Close].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A frame as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is.
    pub kind: Kind,
    /// Of which stream of the channel.
    pub stream: u8,
    /// Of which channel.
    pub channel: u16,
    /// What it says.
    pub payload: &'a [u8],
}

/// Streams of a channel.
pub const STREAMS: usize = 3;

impl Frame<'_> {
    /// Its bytes.
    ///
    /// # Errors
    /// If the payload is too long for a frame.
    pub fn encode(&self) -> io::Result<Vec<u8>> {
        if self.payload.len() > PAYLOAD_MAX {
            return Err(io::Error::other(format!(
                "more than {PAYLOAD_MAX} bytes are too many for one frame"
            )));
        }
        let mut bytes = Vec::with_capacity(HEADER_LEN + self.payload.len() + 1);
        bytes.extend([self.kind as u8, self.stream]);
        bytes.extend(self.channel.to_le_bytes());
        bytes.extend((self.payload.len() as u32).to_le_bytes());
        bytes.extend(self.payload);
        bytes.push(LAST);
        Ok(bytes)
    }
}

/// The bytes of a hello.
pub fn hello(nonce: Nonce) -> [u8; HELLO_LEN] {
    let mut bytes = [0; HELLO_LEN];
    let (start, rest) = bytes.split_at_mut(HELLO_START.len());
    start.copy_from_slice(&HELLO_START);
    let (middle, last) = rest.split_at_mut(nonce.len());
    middle.copy_from_slice(&nonce);
    last.copy_from_slice(&[LAST]);
    bytes
}

/// Of a hello that came as a frame, its nonce.
pub fn nonce(payload: &[u8]) -> Option<Nonce> {
    payload.strip_prefix(&MAGIC)?.try_into().ok()
}

/// All of a hello in front of the nonce.
const HELLO_START: [u8; HEADER_LEN + MAGIC.len()] = {
    let mut bytes = [0; HEADER_LEN + MAGIC.len()];
    bytes[0] = Kind::Hello as u8;
    bytes[4] = (MAGIC.len() + size_of::<Nonce>()) as u8;
    let mut at = 0;
    while at < MAGIC.len() {
        bytes[HEADER_LEN + at] = MAGIC[at];
        at += 1;
    }
    bytes
};

/// Why no more frames can be read.
#[derive(Debug)]
pub enum Lost {
    /// What came is no frame: the text says why. Another hello may follow.
    NoFrame(&'static str),
    /// The stream has ended, or failed. That of a port goes on when another host comes.
    Stream(io::Error),
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self::Stream(error)
    }
}

/// Reads frames. Keeps one payload in memory.
#[derive(Debug)]
pub struct Reader<R> {
    stream: io::BufReader<R>,
    payload: Vec<u8>,
}

impl<R: Read> Reader<R> {
    /// A reader of a stream that may be anywhere.
    pub fn new(stream: R) -> Self {
        Self { stream: io::BufReader::with_capacity(PAYLOAD_MAX, stream), payload: Vec::new() }
    }

    /// Skip all up to the next hello, and it.
    ///
    /// # Errors
    /// If the stream ends or fails before.
    pub fn hello(&mut self) -> io::Result<Nonce> {
        loop {
            self.seek(HELLO_START)?;
            let mut rest = [0; size_of::<Nonce>() + 1];
            self.stream.read_exact(&mut rest)?;
            if let [nonce @ .., LAST] = rest {
                return Ok(nonce);
            }
        }
    }

    /// Skip all up to the hello with this nonce, and it: what comes before is for somebody else.
    ///
    /// # Errors
    /// If the stream ends or fails before.
    pub fn answer(&mut self, nonce: Nonce) -> io::Result<()> {
        self.seek(hello(nonce))
    }

    fn seek<const N: usize>(&mut self, pattern: [u8; N]) -> io::Result<()> {
        let mut last = [0; N];
        while last != pattern {
            last.copy_within(1.., 0);
            self.stream.read_exact(last.last_mut().map(std::slice::from_mut).unwrap_or_default())?;
        }
        Ok(())
    }

    /// The next frame.
    ///
    /// # Errors
    /// If what comes is none, or the stream ends or fails.
    pub fn frame(&mut self) -> Result<Frame<'_>, Lost> {
        // Nothing may follow behind a byte that begins no frame.
        let kind = Kind::parse(self.first()?).ok_or(Lost::NoFrame("there is no such frame"))?;
        let mut rest = [0; HEADER_LEN - 1];
        self.stream.read_exact(&mut rest)?;
        let [stream, channel @ .., l0, l1, l2, l3] = rest;
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if usize::from(stream) >= STREAMS {
            return Err(Lost::NoFrame("there is no such stream"));
        }
        if len > PAYLOAD_MAX {
            return Err(Lost::NoFrame("it is too long"));
        }
        self.payload.resize(len, 0);
        self.stream.read_exact(&mut self.payload)?;
        if self.byte()? != LAST {
            return Err(Lost::NoFrame("it was cut off"));
        }
        Ok(Frame { kind, stream, channel: u16::from_le_bytes(channel), payload: &self.payload })
    }

    /// The first byte that is no zero.
    fn first(&mut self) -> io::Result<u8> {
        loop {
            match self.byte()? {
                0 => {}
                byte => return Ok(byte),
            }
        }
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte)?;
        Ok(byte[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: Nonce = *b"12345678";

    fn data(payload: &[u8]) -> Vec<u8> {
        Frame { kind: Kind::Data, stream: 1, channel: 0x0203, payload }.encode().unwrap()
    }

    #[test]
    fn a_frame_is_what_the_table_says() {
        let bytes = data(b"abc");
        assert_eq!(bytes, b"\x03\x01\x03\x02\x03\0\0\0abc\x17");
        let mut reader = Reader::new(&bytes[..]);
        let frame = reader.frame().unwrap();
        assert_eq!((frame.kind, frame.stream, frame.channel), (Kind::Data, 1, 0x0203));
        assert_eq!(frame.payload, b"abc");
        assert!(matches!(reader.frame(), Err(Lost::Stream(_))));
        assert!(Frame { payload: &[0; PAYLOAD_MAX + 1], ..frame_of() }.encode().is_err());
    }

    fn frame_of() -> Frame<'static> {
        Frame { kind: Kind::Data, stream: 0, channel: 1, payload: b"" }
    }

    #[test]
    fn what_is_no_frame_is_refused_before_its_length_is_believed() {
        for (bytes, reason) in [
            (&b"\x09\0\x01\0\0\0\0\0\x17"[..], "no such frame"),
            (&[0, 0, HANG_UP], "no such frame"),
            (b"\x03\x03\x01\0\0\0\0\0\x17", "no such stream"),
            (b"\x03\x01\x01\0\x01\0\x01\0", "too long"),
            (b"\x03\x01\x01\0\xff\xff\xff\xff", "too long"),
            (b"\x03\x01\x01\0\x01\0\0\0a\x18", "cut off"),
        ] {
            match Reader::new(bytes).frame() {
                Err(Lost::NoFrame(said)) => assert!(said.contains(reason), "{said}"),
                other => panic!("{reason}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_hello_is_found_behind_whatever_was_cut_off_before() {
        let whole = data(&[1; PAYLOAD_MAX]);
        for cut in (0..40).chain([PAYLOAD_MAX, whole.len() - 1]) {
            let bytes = [&whole[..cut], &[0; ZEROS], &hello(NONCE)[..], &data(b"new")].concat();
            let mut reader = Reader::new(&bytes[..]);
            let nonce = match reader.frame() {
                // Nothing of a frame had come.
                Ok(Frame { kind: Kind::Hello, payload, .. }) => super::nonce(payload).unwrap(),
                Err(Lost::NoFrame(_)) => reader.hello().unwrap(),
                other => panic!("after {cut} bytes: {other:?}"),
            };
            assert_eq!((nonce, reader.frame().unwrap().payload), (NONCE, &b"new"[..]), "after {cut} bytes");
        }
    }

    #[test]
    fn a_hello_that_only_begins_like_one_is_none() {
        let mut damaged = hello(*b"damaged!");
        damaged[HELLO_LEN - 1] = 0;
        let bytes = [&HELLO_START[..7], &damaged[..], &hello(NONCE)[..]].concat();
        assert_eq!(Reader::new(&bytes[..]).hello().unwrap(), NONCE);
        let answers = [&hello(*b"earlier!")[..], b"rest", &hello(NONCE)[..], &data(b"x")].concat();
        let mut reader = Reader::new(&answers[..]);
        reader.answer(NONCE).unwrap();
        assert_eq!(reader.frame().unwrap().payload, b"x");
        assert!(Reader::new(&answers[..]).answer(*b"nobody's").is_err());
    }
}
