//! A server that does what a test wants.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// One that answers a single request on each connection.
pub(crate) struct Server {
    /// Of a folder on it.
    pub(crate) url: String,
    requests: Arc<AtomicUsize>,
}

/// The other side of a connection.
pub(crate) struct Stream(Box<dyn ReadWrite>);

pub(crate) trait ReadWrite: Read + Write + Send {}
impl<T: Read + Write + Send> ReadWrite for T {}

pub(crate) struct Request {
    pub(crate) path: String,
    /// In lower case.
    headers: Vec<String>,
}

impl Server {
    pub(crate) fn new(answer: impl Fn(&Request, &mut Stream) + Send + Sync + 'static) -> Self {
        Self::with("http", |stream| Some(Stream::plain(stream)), answer)
    }

    /// One that makes something else of each connection first.
    pub(crate) fn with(
        scheme: &str,
        wrap: impl Fn(TcpStream) -> Option<Stream> + Send + Sync + 'static,
        answer: impl Fn(&Request, &mut Stream) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("{scheme}://{}/", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let (counted, both) = (Arc::clone(&requests), Arc::new((wrap, answer)));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (counted, both) = (Arc::clone(&counted), Arc::clone(&both));
                thread::spawn(move || {
                    let Some(mut stream) = both.0(stream.unwrap()) else { return };
                    if let Some(request) = Request::read(&mut stream) {
                        counted.fetch_add(1, Ordering::Relaxed);
                        both.1(&request, &mut stream);
                    }
                });
            }
        });
        Self { url, requests }
    }

    /// How often it was asked.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Request {
    /// The next one; `None` where the connection has ended.
    pub(crate) fn read(stream: &mut Stream) -> Option<Self> {
        let mut lines = Vec::new();
        // Nothing comes behind a request without a body until it is answered.
        let mut reader = BufReader::new(&mut stream.0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let path = lines.first()?.split(' ').nth(1)?.to_owned();
        Some(Self { path, headers: lines.iter().skip(1).map(|line| line.to_ascii_lowercase()).collect() })
    }

    pub(crate) fn has(&self, header: &str) -> bool {
        self.headers.iter().any(|line| line == &header.to_ascii_lowercase())
    }

    /// Whether a header of that name was sent.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.headers.iter().any(|line| line.starts_with(&format!("{name}:")))
    }

    /// What is asked for: from there, and before there if that is said.
    pub(crate) fn range(&self) -> Option<(usize, Option<usize>)> {
        let range = self.headers.iter().find_map(|line| line.strip_prefix("range: bytes="))?;
        let (first, last) = range.split_once('-').unwrap();
        Some((first.parse().unwrap(), (!last.is_empty()).then(|| last.parse::<usize>().unwrap() + 1)))
    }

    /// Answers as a good server does that has this file.
    pub(crate) fn file(&self, bytes: &[u8], stream: &mut Stream) {
        stream.part(self, bytes, "", usize::MAX);
    }
}

impl Stream {
    pub(crate) fn plain(stream: TcpStream) -> Self {
        Self(Box::new(stream))
    }

    pub(crate) fn of(stream: impl ReadWrite + 'static) -> Self {
        Self(Box::new(stream))
    }

    /// The head of an answer with so many bytes. Nobody may be there any more to read it.
    pub(crate) fn promise(&mut self, status: &str, headers: &str, len: usize) {
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-length: {len}\r\nconnection: close\r\n{headers}\r\n");
        let _ = self.write_all(head.as_bytes());
    }

    pub(crate) fn answer(&mut self, status: &str, headers: &str, body: &[u8]) {
        self.promise(status, headers, body.len());
        let _ = self.write_all(body);
    }

    /// An answer behind which the connection stays.
    pub(crate) fn keep(&mut self, status: &str, headers: &str, body: &[u8]) {
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
        let _ = self.write_all(&[head.as_bytes(), body].concat());
    }

    /// What was asked for of a file, which ends after `most` bytes.
    pub(crate) fn cut(&mut self, request: &Request, bytes: &[u8], most: usize) {
        self.part(request, bytes, "", most);
    }

    pub(crate) fn part(&mut self, request: &Request, bytes: &[u8], headers: &str, most: usize) {
        let (start, end) = request.range().unwrap_or((0, None));
        let end = end.unwrap_or(bytes.len()).min(bytes.len());
        if request.range().is_none() {
            self.promise("200 OK", headers, bytes.len());
        } else if start >= end {
            let line = format!("content-range: bytes */{}\r\n", bytes.len());
            return self.answer("416 Range Not Satisfiable", &line, b"");
        } else {
            let line = format!("{headers}content-range: bytes {start}-{}/{}\r\n", end - 1, bytes.len());
            self.promise("206 Partial Content", &line, end - start);
        }
        let _ = self.write_all(&bytes[start..end][..most.min(end - start)]);
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Longer than any test waits.
pub(crate) fn hang() {
    thread::sleep(Duration::from_secs(600));
}
