//! A web server of the folders in a folder: it knows ranges, counts what it sends, and is as bad as a path wants it to be.
//!
//! `/2/manifest.json` is a file, `/stalls/2/manifest.json` is the same of a server that stalls. Where it can be, faults
//! are of the blocks of a root alone, so that everything before them goes well.

#![allow(dead_code, reason = "who includes it does not ask for all of it")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::iter;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Of these a fault is known as the first folder of a path.
const FAULTS: [(&str, Fault); 7] = [
    ("no-ranges", Fault::NoRanges),
    ("cuts", Fault::Cuts),
    ("stalls", Fault::Stalls),
    ("drips", Fault::Drips),
    ("lies", Fault::Lies),
    ("ends", Fault::Ends),
    ("redirects", Fault::Redirects),
];
/// A connection that is cut has sent so much: enough to be asked again, less than a root.
const CUT: u64 = 70_000;
/// A file of which the rest is missing ends here.
const END: u64 = 1000;
/// The path of what a machine is told to do, instead of a file.
const STEPS: &str = "/steps";

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    /// A range is answered with all of the file, as by `python3 -m http.server`.
    NoRanges,
    /// The connection ends too early, but a bit further each time.
    Cuts,
    /// Nothing comes any more, and the connection stays.
    Stalls,
    /// A byte comes each second.
    Drips,
    /// The answer is of another range than it says.
    Lies,
    /// There is no more of the file than its beginning.
    Ends,
    /// Each place is said to be another.
    Redirects,
}

/// The server; it goes on to the end of the test.
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    folder: PathBuf,
    steps: Mutex<String>,
    asked: Mutex<Vec<String>>,
    sent: AtomicU64,
}

/// A connection, as it is or within TLS.
pub(crate) trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

impl Server {
    /// Of this folder as it is when it is asked.
    pub(crate) fn start(folder: &Path) -> std::io::Result<Self> {
        Self::within(folder, |client| Box::new(client))
    }

    /// The same, speaking within what is made of each connection.
    pub(crate) fn within(
        folder: &Path,
        wrap: impl Fn(TcpStream) -> Box<dyn Stream> + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { folder: folder.to_owned(), ..Shared::default() });
        let server = Self { address, shared: Arc::clone(&shared) };
        let wrap = Arc::new(wrap);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (shared, wrap) = (Arc::clone(&shared), Arc::clone(&wrap));
                std::thread::spawn(move || shared.serve(wrap(client)));
            }
        });
        Ok(server)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// What a machine that asks for `/steps` is to do.
    pub(crate) fn tell(&self, steps: &str) {
        steps.clone_into(&mut self.shared.steps.lock().expect("nobody has panicked"));
    }

    /// The paths that were asked for, since this was called last.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.asked.lock().expect("nobody has panicked"))
    }

    /// Bytes of files that were sent since this was called last.
    pub(crate) fn sent(&self) -> u64 {
        self.shared.sent.swap(0, Ordering::SeqCst)
    }
}

impl Shared {
    /// One request after another; none if the other side has hung up.
    fn serve(&self, client: Box<dyn Stream>) -> Option<()> {
        let mut client = BufReader::new(client);
        while let Some(request) = line(&mut client) {
            let head: Vec<_> =
                iter::from_fn(|| line(&mut client)).take_while(|line| !line.is_empty()).collect();
            let path = request.split(' ').nth(1)?;
            self.asked.lock().ok()?.push(path.to_owned());
            match path == STEPS {
                true => {
                    let steps = self.steps.lock().ok()?.clone();
                    // Who speaks HTTP by a shell waits for the end.
                    let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", steps.len());
                    return client.get_mut().write_all((head + &steps).as_bytes()).ok();
                }
                false => self.answer(client.get_mut(), path, range_of(&head))?,
            }
        }
        Some(())
    }

    /// None ends the connection.
    fn answer(&self, client: &mut dyn Stream, path: &str, range: Option<(u64, Option<u64>)>) -> Option<()> {
        let (fault, path) = fault_of(path);
        if fault == Some(Fault::Redirects) {
            let place = format!("/redirects/{}/{path}", self.asked.lock().ok()?.len());
            return write!(client, "HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n")
                .ok();
        }
        let fault = fault.filter(|fault| *fault == Fault::NoRanges || path.ends_with(".root.zst"));
        let Some(mut file) = self.open(path) else {
            return write!(client, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").ok();
        };
        let len = file.metadata().ok()?.len();
        let range = range.filter(|_| fault != Some(Fault::NoRanges));
        if range.is_some_and(|(start, _)| start >= len) {
            return write!(
                client,
                "HTTP/1.1 416 Range\r\nContent-Range: bytes */{len}\r\nContent-Length: 0\r\n\r\n"
            )
            .ok();
        }
        let wanted = range.map(|(start, last)| start..last.map_or(len, |last| (last + 1).min(len)));
        let head = match &wanted {
            Some(Range { start, end }) => {
                let said = if fault == Some(Fault::Lies) { start + 1 } else { *start };
                format!("206 Partial Content\r\nContent-Range: bytes {said}-{}/{len}", end - 1)
            }
            None => "200 OK".to_owned(),
        };
        let body = wanted.unwrap_or(0..len);
        let bytes = body.end - body.start;
        write!(client, "HTTP/1.1 {head}\r\nAccept-Ranges: bytes\r\nContent-Length: {bytes}\r\n\r\n").ok()?;
        file.seek(SeekFrom::Start(body.start)).ok()?;
        let whole = match fault {
            Some(Fault::Cuts) => CUT.min(bytes),
            Some(Fault::Stalls | Fault::Drips) => 0,
            Some(Fault::Ends) => END.clamp(body.start, body.end) - body.start,
            _ => bytes,
        };
        self.send(client, &mut file, whole)?;
        match fault {
            Some(Fault::Stalls) => {
                // Until the other side has hung up.
                let _ = client.read(&mut [0]);
                None
            }
            Some(Fault::Drips) => (whole..bytes).try_for_each(|_| {
                std::thread::sleep(Duration::from_secs(1));
                self.send(client, &mut file, 1)
            }),
            _ => (whole == bytes).then_some(()),
        }
    }

    /// So many bytes of a file from where it is, counted as they go.
    fn send(&self, client: &mut dyn Stream, file: &mut File, bytes: u64) -> Option<()> {
        let mut buffer = vec![0; 1 << 16];
        let mut left = bytes;
        while left > 0 {
            let part = buffer.get_mut(..usize::try_from(left.min(1 << 16)).ok()?)?;
            file.read_exact(part).ok()?;
            client.write_all(part).ok()?;
            left -= part.len() as u64;
            self.sent.fetch_add(part.len() as u64, Ordering::SeqCst);
        }
        Some(())
    }

    /// Nothing above the folder is a file.
    fn open(&self, path: &str) -> Option<File> {
        let is_below = path.split('/').all(|name| !matches!(name, "" | "." | ".."));
        is_below.then(|| File::open(self.folder.join(path)).ok()).flatten()
    }
}

/// The next line of a request.
fn line(client: &mut impl BufRead) -> Option<String> {
    client.lines().next()?.ok()
}

/// The fault that a path wants, and the path without it.
fn fault_of(path: &str) -> (Option<Fault>, &str) {
    let path = path.trim_start_matches('/');
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    match FAULTS.iter().find(|(name, _)| *name == first) {
        Some((_, fault)) => (Some(*fault), rest),
        None => (None, path),
    }
}

/// The first byte that is asked for, and the last one.
fn range_of(head: &[String]) -> Option<(u64, Option<u64>)> {
    let range = head.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("range").then(|| value.trim())
    })?;
    let (start, end) = range.strip_prefix("bytes=")?.split_once('-')?;
    Some((start.parse().ok()?, end.parse().ok()))
}
