//! Channels: who may send how much, and what waits to be read.
//!
//! Each stream of a channel may have [`WINDOW`] bytes on the way. Who reads them grants as many again. So whoever reads
//! frames never waits for whoever reads a stream, and a stream that nobody reads takes a window of memory at most.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::frame::{Frame, Kind, PAYLOAD_MAX, STREAMS};

/// Bytes of a stream that may be on the way, or wait to be read.
pub const WINDOW: usize = 128 << 10;
/// The streams of a channel.
pub const INPUT: u8 = 0;
/// What a program prints.
pub const OUTPUT: u8 = 1;
/// What it prints of errors.
pub const ERRORS: u8 = 2;

/// Which end of a connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Sends inputs.
    Host,
    /// Sends outputs and errors.
    Agent,
}

impl Side {
    fn sends(self, stream: u8) -> bool {
        (self == Self::Host) == (stream == INPUT)
    }
}

/// Where the frames of one connection are written. Those of an earlier one may still wait for the same stream: they are
/// not written any more once it is [over](Self::end).
pub struct Link {
    out: Arc<Mutex<dyn Write + Send>>,
    over: AtomicBool,
}

impl Link {
    /// For a connection over this stream.
    pub fn new(out: Arc<Mutex<dyn Write + Send>>) -> Self {
        Self { out, over: AtomicBool::new(false) }
    }

    /// Write a frame.
    ///
    /// # Errors
    /// If the connection is over, or its stream fails.
    pub fn send(&self, frame: Frame<'_>) -> io::Result<()> {
        self.write(&frame.encode()?)
    }

    /// Write bytes as they are.
    ///
    /// # Errors
    /// If the connection is over, or its stream fails.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut out = lock(&self.out);
        // Asked when it is our turn: until then another connection may have begun.
        if self.over.load(Ordering::SeqCst) {
            return Err(hung_up());
        }
        out.write_all(bytes)?;
        out.flush()
    }

    /// Nothing more is written.
    pub fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

/// The error of who reads or writes a stream of a connection that is over.
pub fn hung_up() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the other side has hung up")
}

/// What is under a lock, whoever has panicked with it: every state of it is whole.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One channel of a connection.
pub struct Channel {
    number: u16,
    side: Side,
    link: Arc<Link>,
    inboxes: [Inbox; STREAMS],
    credits: [Credit; STREAMS],
}

impl Channel {
    /// A channel that has just been opened.
    pub fn new(number: u16, side: Side, link: Arc<Link>) -> Self {
        Self { number, side, link, inboxes: Default::default(), credits: Default::default() }
    }

    /// Take a frame of a stream in. Never waits.
    ///
    /// # Errors
    /// If the other side does not keep to the protocol: the connection is over.
    pub fn receive(&self, frame: &Frame<'_>) -> Result<(), &'static str> {
        let stream = usize::from(frame.stream);
        let (Some(inbox), Some(credit)) = (self.inboxes.get(stream), self.credits.get(stream)) else {
            return Err("there is no such stream");
        };
        match (frame.kind, self.side.sends(frame.stream)) {
            (Kind::Data, false) => inbox.put(frame.payload),
            (Kind::End, false) => {
                inbox.end(Over::Whole);
                Ok(())
            }
            (Kind::End, true) => {
                credit.cut();
                Ok(())
            }
            (Kind::Credit, true) => {
                let bytes = frame.payload.try_into().map_err(|_| "credit is a number of 4 bytes")?;
                credit.add(u32::from_le_bytes(bytes) as usize)
            }
            _ => Err("this side does not say that of a stream"),
        }
    }

    /// All that is read or written of it fails from now on, and what waits to be read is gone.
    pub fn cut(&self) {
        self.inboxes.iter().for_each(|inbox| inbox.end(Over::Cut));
        self.credits.iter().for_each(Credit::cut);
    }

    /// What has come can be read to its end, and nothing more is written.
    pub fn finish(&self) {
        self.inboxes.iter().for_each(|inbox| inbox.end(Over::Whole));
        self.credits.iter().for_each(Credit::cut);
    }

    /// What comes of a stream is not read any more, and the other side is told.
    pub fn ignore(&self, stream: u8) {
        self.inboxes.get(usize::from(stream)).into_iter().for_each(|inbox| inbox.end(Over::Cut));
        let _ = self.send(Kind::End, stream, &[]);
    }

    /// Send a frame of this channel.
    ///
    /// # Errors
    /// If the connection is over.
    pub fn send(&self, kind: Kind, stream: u8, payload: &[u8]) -> io::Result<()> {
        self.link.send(Frame { kind, stream, channel: self.number, payload })
    }
}

/// A stream that is read.
pub struct Source {
    channel: Arc<Channel>,
    stream: u8,
}

impl Source {
    /// That stream of a channel.
    pub fn new(channel: &Arc<Channel>, stream: u8) -> Self {
        Self { channel: channel.clone(), stream }
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(inbox) = self.channel.inboxes.get(usize::from(self.stream)) else { return Ok(0) };
        let (len, granted) = inbox.take(buffer)?;
        if granted > 0 {
            // Where the connection is over, what has come before can still be read.
            let _ = self.channel.send(Kind::Credit, self.stream, &granted.to_le_bytes());
        }
        Ok(len)
    }
}

/// A stream that is written.
pub struct Outlet {
    channel: Arc<Channel>,
    stream: u8,
}

impl Outlet {
    /// That stream of a channel.
    pub fn new(channel: &Arc<Channel>, stream: u8) -> Self {
        Self { channel: channel.clone(), stream }
    }

    /// It has ended.
    ///
    /// # Errors
    /// If the connection is over.
    pub fn end(&self) -> io::Result<()> {
        self.channel.send(Kind::End, self.stream, &[])
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(credit) = self.channel.credits.get(usize::from(self.stream)) else { return Ok(0) };
        let Some(bytes) = bytes.get(..credit.take(bytes.len().min(PAYLOAD_MAX))?) else { return Ok(0) };
        self.channel.send(Kind::Data, self.stream, bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How a stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// All of it has come.
    Whole,
    /// Nobody wants the rest, or it will not come.
    Cut,
}

/// What has come of a stream and was not read yet.
#[derive(Default)]
struct Inbox {
    state: Mutex<Waiting>,
    changed: Condvar,
}

struct Waiting {
    bytes: VecDeque<u8>,
    /// What the other side may still send.
    room: usize,
    /// What was read and not granted again.
    owed: usize,
    over: Option<Over>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { bytes: VecDeque::new(), room: WINDOW, owed: 0, over: None }
    }
}

impl Inbox {
    fn put(&self, bytes: &[u8]) -> Result<(), &'static str> {
        let mut state = lock(&self.state);
        state.room = state.room.checked_sub(bytes.len()).ok_or("more has come than was granted")?;
        match state.over {
            None => state.bytes.extend(bytes),
            Some(Over::Cut) => {}
            Some(Over::Whole) => return Err("something has come behind the end of a stream"),
        }
        self.changed.notify_all();
        Ok(())
    }

    fn end(&self, how: Over) {
        let mut state = lock(&self.state);
        if how == Over::Cut {
            state.bytes = VecDeque::new();
        }
        state.over = match state.over {
            Some(Over::Cut) => Some(Over::Cut),
            _ => Some(how),
        };
        self.changed.notify_all();
    }

    /// How many bytes were read, 0 at the end; and how many are to be granted.
    fn take(&self, buffer: &mut [u8]) -> io::Result<(usize, u32)> {
        let waits = |state: &mut Waiting| state.bytes.is_empty() && state.over.is_none();
        let mut state =
            self.changed.wait_while(lock(&self.state), waits).unwrap_or_else(PoisonError::into_inner);
        if state.over == Some(Over::Cut) {
            return Err(hung_up());
        }
        let len = state.bytes.read(buffer)?;
        state.owed += len;
        if state.owed < WINDOW / 2 {
            return Ok((len, 0));
        }
        let granted = std::mem::take(&mut state.owed);
        state.room += granted;
        Ok((len, granted as u32))
    }
}

/// What may be sent of a stream.
struct Credit {
    state: Mutex<Left>,
    changed: Condvar,
}

struct Left {
    bytes: usize,
    cut: bool,
}

impl Default for Credit {
    fn default() -> Self {
        Self { state: Mutex::new(Left { bytes: WINDOW, cut: false }), changed: Condvar::new() }
    }
}

impl Credit {
    fn add(&self, bytes: usize) -> Result<(), &'static str> {
        let mut state = lock(&self.state);
        let sum = state.bytes.saturating_add(bytes);
        if sum > WINDOW {
            return Err("more was granted than was sent");
        }
        state.bytes = sum;
        self.changed.notify_all();
        Ok(())
    }

    fn cut(&self) {
        lock(&self.state).cut = true;
        self.changed.notify_all();
    }

    /// Wait until something may be sent; how much of `wanted` it is.
    fn take(&self, wanted: usize) -> io::Result<usize> {
        let waits = |state: &mut Left| state.bytes == 0 && !state.cut;
        let mut state =
            self.changed.wait_while(lock(&self.state), waits).unwrap_or_else(PoisonError::into_inner);
        if state.cut {
            return Err(hung_up());
        }
        let taken = wanted.min(state.bytes);
        state.bytes -= taken;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(side: Side) -> (Arc<Channel>, Arc<Mutex<Vec<u8>>>) {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let link = Arc::new(Link::new(sent.clone()));
        (Arc::new(Channel::new(1, side, link)), sent)
    }

    fn frame(kind: Kind, stream: u8, payload: &[u8]) -> Frame<'_> {
        Frame { kind, stream, channel: 1, payload }
    }

    #[test]
    fn who_reads_grants_and_who_does_not_bounds() {
        let (channel, sent) = channel(Side::Agent);
        for _ in 0..WINDOW / 4096 {
            channel.receive(&frame(Kind::Data, INPUT, &[1; 4096])).unwrap();
        }
        let flood = channel.receive(&frame(Kind::Data, INPUT, &[1]));
        assert_eq!(flood, Err("more has come than was granted"));
        let mut buffer = vec![0; WINDOW];
        let mut source = Source::new(&channel, INPUT);
        source.read_exact(&mut buffer).unwrap();
        let granted: u32 = sent
            .lock()
            .unwrap()
            .chunks(13)
            .map(|frame| u32::from_le_bytes(frame[8..12].try_into().unwrap()))
            .sum();
        assert_eq!(granted as usize, WINDOW);
        channel.receive(&frame(Kind::Data, INPUT, &[2; 9])).unwrap();
        channel.receive(&frame(Kind::End, INPUT, &[])).unwrap();
        let mut rest = Vec::new();
        source.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, [2; 9]);
        assert!(channel.receive(&frame(Kind::Data, INPUT, &[1])).is_err(), "behind the end");
    }

    #[test]
    fn no_more_is_sent_than_was_granted() {
        let (channel, sent) = channel(Side::Agent);
        let mut outlet = Outlet::new(&channel, OUTPUT);
        let bytes = vec![0; 2 * WINDOW];
        let mut done = 0;
        while done < WINDOW {
            done += outlet.write(&bytes).unwrap();
        }
        assert_eq!(done, WINDOW);
        channel.receive(&frame(Kind::Credit, OUTPUT, &5u32.to_le_bytes())).unwrap();
        assert_eq!(outlet.write(&bytes).unwrap(), 5);
        let frames = WINDOW / PAYLOAD_MAX + 1;
        assert_eq!(sent.lock().unwrap().len(), WINDOW + 5 + frames * 9);
        for bytes in [&(WINDOW as u32 + 1).to_le_bytes()[..], &[0xff; 4], &[1; 3], &[]] {
            assert!(channel.receive(&frame(Kind::Credit, OUTPUT, bytes)).is_err(), "{bytes:?}");
        }
        assert!(channel.receive(&frame(Kind::Credit, INPUT, &[0; 4])).is_err(), "the host sends that one");
        assert!(channel.receive(&frame(Kind::Data, OUTPUT, &[0; 4])).is_err(), "this side sends that one");
    }

    #[test]
    fn what_is_over_wakes_who_waits() {
        let (channel, sent) = channel(Side::Host);
        let mut source = Source::new(&channel, OUTPUT);
        let mut outlet = Outlet::new(&channel, INPUT);
        let reads = std::thread::spawn(move || source.read(&mut [0; 8]).unwrap_err().kind());
        let writes = std::thread::spawn(move || outlet.write_all(&[0; 2 * WINDOW]).unwrap_err().kind());
        channel.cut();
        assert_eq!(reads.join().unwrap(), io::ErrorKind::BrokenPipe);
        assert_eq!(writes.join().unwrap(), io::ErrorKind::BrokenPipe);
        let before = sent.lock().unwrap().len();
        channel.link.end();
        assert!(channel.send(Kind::Data, INPUT, b"x").is_err());
        assert_eq!(sent.lock().unwrap().len(), before);
    }
}
