//! A file on its way to a client, window by window.

use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::super::folder::Content;
use super::opcode;
use super::request::Options;

/// What a block has if nothing is said (RFC 1350).
const USUAL_BLOCK: u16 = 512;
/// What fits into an Ethernet frame: 1500 bytes without the headers of IP, UDP and TFTP. Larger blocks would be cut up.
const LARGEST_BLOCK: u16 = 1500 - 20 - 8 - 4;
/// More blocks at once overrun the network cards that firmware drives.
const LARGEST_WINDOW: u16 = 64;
/// How often a window is sent before the client counts as gone.
const TRIES: u32 = 6;

/// What both sides have agreed on.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Terms {
    pub(in super::super) block_size: u16,
    pub(in super::super) window: u16,
    timeout: Duration,
    /// The options that were asked for, with what they are now.
    acknowledged: Vec<(&'static str, u64)>,
}

impl Terms {
    /// Those for a file of `len` bytes.
    pub(in super::super) fn agree(options: &Options, len: u64) -> Self {
        let block_size = options.block_size.map(|size| size.min(LARGEST_BLOCK));
        let window = options.window.map(|window| window.min(LARGEST_WINDOW));
        let asked = [
            ("blksize", block_size.map(u64::from)),
            ("timeout", options.timeout.map(u64::from)),
            ("tsize", options.size.then_some(len)),
            ("windowsize", window.map(u64::from)),
        ];
        Self {
            block_size: block_size.unwrap_or(USUAL_BLOCK),
            window: window.unwrap_or(1),
            timeout: Duration::from_secs(options.timeout.unwrap_or(1).into()),
            acknowledged: asked.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
        }
    }

    /// What the client is told before the first block; `None` if it has asked for nothing.
    pub(in super::super) fn acknowledgement(&self) -> Option<Vec<u8>> {
        let mut message = opcode::OPTION_ACK.to_be_bytes().to_vec();
        for (name, value) in &self.acknowledged {
            message.extend(format!("{name}\0{value}\0").into_bytes());
        }
        (!self.acknowledged.is_empty()).then_some(message)
    }
}

/// A transfer.
pub(super) struct Transfer<'a> {
    socket: &'a UdpSocket,
    content: &'a Content,
    terms: Terms,
    /// Blocks that the client has.
    done: u64,
    buffer: Vec<u8>,
}

/// What comes back.
#[derive(Debug, PartialEq)]
enum Answer {
    /// It has the block of this number, and all before it.
    Got(u16),
    /// It wants no more.
    Error(String),
    /// Something else.
    Other,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(socket: &'a UdpSocket, content: &'a Content, terms: Terms) -> Self {
        let buffer = vec![0; 4 + usize::from(terms.block_size)];
        Self { socket, content, terms, done: 0, buffer }
    }

    /// Sends all of it; says how many bytes that were.
    pub(super) async fn run(mut self) -> Result<u64, String> {
        if let Some(message) = self.terms.acknowledgement() {
            self.agree(&message).await?;
        }
        // The last block is shorter than the others, and may be empty.
        let blocks = self.content.len() / u64::from(self.terms.block_size) + 1;
        let mut tries = 0;
        while self.done < blocks {
            let last = blocks.min(self.done + u64::from(self.terms.window));
            for block in self.done..last {
                self.send(block).await?;
            }
            match self.advance(last).await? {
                true => tries = 0,
                false => tries += 1,
            }
            if tries == TRIES {
                return Err(format!("no answer after {} blocks", self.done));
            }
        }
        Ok(self.content.len())
    }

    /// Tells the client what was agreed on, until it has heard it.
    async fn agree(&self, message: &[u8]) -> Result<(), String> {
        for _ in 0..TRIES {
            self.socket.send(message).await.map_err(|error| error.to_string())?;
            let until = Instant::now() + self.terms.timeout;
            while let Some(answer) = self.answer(until).await? {
                match answer {
                    Answer::Got(0) => return Ok(()),
                    Answer::Error(reason) => return Err(reason),
                    _ => {}
                }
            }
        }
        Err("no answer".to_owned())
    }

    /// Sends a block, which are counted from 0 here and from 1 on the way.
    async fn send(&mut self, block: u64) -> Result<(), String> {
        let at = block * u64::from(self.terms.block_size);
        let len = (self.content.len() - at).min(self.terms.block_size.into()) as usize;
        // Numbers begin anew where a file has more blocks than there are numbers.
        let number = (block + 1) as u16;
        self.buffer[..2].copy_from_slice(&opcode::DATA.to_be_bytes());
        self.buffer[2..4].copy_from_slice(&number.to_be_bytes());
        self.content.read_at(at, &mut self.buffer[4..4 + len]).map_err(|error| error.to_string())?;
        self.socket.send(&self.buffer[..4 + len]).await.map_err(|error| error.to_string())?;
        Ok(())
    }

    /// Waits until the client has some of the blocks up to `last`; whether it has.
    async fn advance(&mut self, last: u64) -> Result<bool, String> {
        let until = Instant::now() + self.terms.timeout;
        while let Some(answer) = self.answer(until).await? {
            match answer {
                Answer::Got(number) => {
                    let more = u64::from(number.wrapping_sub(self.done as u16));
                    // An old one says nothing: to answer it would send everything twice from there on.
                    if (1..=last - self.done).contains(&more) {
                        self.done += more;
                        return Ok(true);
                    }
                }
                Answer::Error(reason) => return Err(reason),
                Answer::Other => {}
            }
        }
        Ok(false)
    }

    /// The next answer; `None` if the time is over.
    async fn answer(&self, until: Instant) -> Result<Option<Answer>, String> {
        let mut buffer = [0; 512];
        match timeout_at(until, self.socket.recv(&mut buffer)).await {
            Ok(Ok(len)) => Ok(Some(Answer::read(&buffer[..len]))),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Ok(None),
        }
    }
}

impl Answer {
    fn read(message: &[u8]) -> Self {
        let Some((numbers, text)) = message.split_first_chunk::<4>() else { return Self::Other };
        let [a, b, c, d] = *numbers;
        match u16::from_be_bytes([a, b]) {
            opcode::ACK => Self::Got(u16::from_be_bytes([c, d])),
            opcode::ERROR => {
                let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
                Self::Error(format!("the client wants no more: {}", String::from_utf8_lossy(text)))
            }
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that says what it does: sends `answers` one by one, each after what it waits for.
    async fn fetch(
        content: &[u8],
        options: Options,
        lose: impl Fn(u64) -> bool,
    ) -> (Result<u64, String>, Vec<u8>) {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        server.connect(client.local_addr().unwrap()).await.unwrap();
        client.connect(server.local_addr().unwrap()).await.unwrap();
        let content = Content::Text(content.into());
        let terms = Terms::agree(&options, content.len());
        let (block_size, window) = (usize::from(terms.block_size), u64::from(terms.window));
        let receive = async {
            let (mut got, mut next, mut since, mut seen) = (Vec::new(), 1_u64, 0, 0);
            let mut buffer = vec![0; 2000];
            loop {
                let len = client.recv(&mut buffer).await.unwrap();
                let (code, number) = (buffer[1], u16::from_be_bytes([buffer[2], buffer[3]]));
                if code == 6 {
                    client.send(&[0, 4, 0, 0]).await.unwrap();
                    continue;
                }
                seen += 1;
                if lose(seen) {
                    continue;
                }
                if number == next as u16 {
                    got.extend(&buffer[4..len]);
                    (next, since) = (next + 1, since + 1);
                } else {
                    since = window;
                }
                let is_last = number == (next - 1) as u16 && len < 4 + block_size;
                if since == window || is_last {
                    since = 0;
                    let have = ((next - 1) as u16).to_be_bytes();
                    // Twice, as networks may bring it.
                    client.send(&[0, 4, have[0], have[1]]).await.unwrap();
                    client.send(&[0, 4, have[0], have[1]]).await.unwrap();
                }
                if is_last {
                    return got;
                }
            }
        };
        tokio::join!(Transfer::new(&server, &content, terms).run(), receive)
    }

    #[tokio::test]
    async fn a_file_comes_whole_in_blocks_and_windows() {
        let bytes: Vec<_> = (0..100_000_u32).flat_map(u32::to_be_bytes).collect();
        for (len, options) in [
            (0, Options::default()),
            (511, Options::default()),
            (512, Options::default()),
            (5000, Options { block_size: Some(65464), size: true, ..Options::default() }),
            (400_000, Options { block_size: Some(1468), window: Some(65535), ..Options::default() }),
            // More than 65535 blocks.
            (64 * 1024 * 5, Options { block_size: Some(8), window: Some(64), ..Options::default() }),
        ] {
            let (sent, got) = fetch(&bytes[..len], options, |_| false).await;
            let small = usize::from(options.block_size == Some(8));
            let whole = &bytes[..len];
            assert!(got == whole, "{len} bytes with {options:?}");
            assert_eq!(sent, Ok(len as u64), "{small}");
        }
    }

    #[tokio::test]
    async fn what_is_lost_is_sent_again() {
        let options = Options { window: Some(4), ..Options::default() };
        let (sent, got) = fetch(&[7; 10_000], options, |seen| seen == 2 || seen == 9).await;
        assert_eq!((sent, got.len()), (Ok(10_000), 10_000));
    }

    #[tokio::test]
    async fn a_client_that_wants_no_more_gets_no_more() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        server.connect(client.local_addr().unwrap()).await.unwrap();
        client.send_to(b"\0\x05\0\x08enough\x1b[2J\0", server.local_addr().unwrap()).await.unwrap();
        let content = Content::Text([0; 9][..].into());
        let terms = Terms::agree(&Options { size: true, ..Options::default() }, 9);
        assert_eq!(terms.acknowledgement().unwrap(), *b"\0\x06tsize\x009\0");
        let ended = Transfer::new(&server, &content, terms).run().await;
        assert_eq!(ended, Err("the client wants no more: enough\x1b[2J".to_owned()));
    }

    #[test]
    fn nothing_larger_than_a_frame_is_agreed_on() {
        let options = Options {
            block_size: Some(65464),
            window: Some(65535),
            timeout: Some(255),
            ..Options::default()
        };
        let terms = Terms::agree(&options, 0);
        assert_eq!((terms.block_size, terms.window), (1468, 64));
        assert_eq!(
            terms.acknowledgement().unwrap(),
            *b"\0\x06blksize\x001468\0timeout\x00255\0windowsize\x0064\0"
        );
        assert_eq!(Terms::agree(&Options::default(), 0).acknowledgement(), None);
        assert_eq!(Answer::read(b"\0\x04\0"), Answer::Other);
    }
}
