//! A web server that answers whatever it is told to, name servers, and layers of registries, for `make fuzz`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use super::http::{Address, Client, Http, Limits, Trust};
use super::{Source, http, members};

/// Between two answers.
const BETWEEN: &str = "\n--answer--\n";
/// One attempt each: a second one would wait.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    stall: Duration::from_secs(5),
    window: Duration::from_secs(5),
    least: 1,
    pauses: &[],
};
/// The longest small file, and what is asked for of a large one.
const SMALL: u64 = 1000;
const RANGE: std::ops::Range<u64> = 4..20;

/// Asks for a small file and for a part of a large one, with these answers one after the other.
///
/// # Errors
/// Why there is none.
pub(crate) fn server(script: &[u8]) -> Result<(), String> {
    static SERVER: LazyLock<Result<Server, String>> = LazyLock::new(Server::start);
    let server = SERVER.as_ref().map_err(Clone::clone)?;
    *server.answers.lock().unwrap_or_else(PoisonError::into_inner) = split(script);
    let folder = Address::folder(&format!("http://{}/kiosk/", server.host)).ok_or("it is no address")?;
    let mut http = Http::with(Client::new(Trust::default(), LIMITS), folder);
    let small = http.small("SHA256SUMS", SMALL)?.unwrap_or_default();
    assert!(small.len() as u64 <= SMALL, "a small file is small");
    let mut part = Vec::new();
    http.open("root.zst", RANGE)?.read_to_end(&mut part).map_err(|error| error.to_string())?;
    assert_eq!(part.len() as u64, RANGE.end - RANGE.start, "what was asked for has come");
    assert!(http.moved() >= (small.len() + part.len()) as u64);
    Ok(())
}

/// Reads what a name server answers to the question for the address of `u.example`.
///
/// # Errors
/// If it is no answer to that.
pub(crate) fn names(answer: &[u8]) -> Result<(), String> {
    http::fuzz_answer(answer)
}

/// Reads where the files of a layer lie.
///
/// # Errors
/// If it is no tar.
pub(crate) fn layer(tar: &[u8]) -> Result<(), String> {
    let size = tar.len() as u64;
    let files = members::files(size, |range| {
        let (start, end) = (usize::try_from(range.start).ok(), usize::try_from(range.end).ok());
        let bytes = start.zip(end).and_then(|(start, end)| tar.get(start..end));
        Ok(bytes.expect("only what is in the layer is read").to_vec())
    })?;
    assert!(
        files.values().all(|range| range.start <= range.end && range.end <= size),
        "files lie in the layer"
    );
    Ok(())
}

struct Server {
    host: String,
    /// The last one first.
    answers: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Server {
    fn start() -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let host = listener.local_addr().map_err(|error| error.to_string())?.to_string();
        let answers = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let (queue, own) = (Arc::clone(&answers), host.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                // Who asks may be gone.
                let _ = respond(stream, &at_home(&answer.unwrap_or_default(), &own));
            }
        });
        Ok(Self { host, answers })
    }
}

/// The answers, the last one first.
fn split(script: &[u8]) -> Vec<Vec<u8>> {
    let mut answers = vec![Vec::new()];
    let mut rest = script;
    while let Some((first, more)) = rest.split_first() {
        match rest.strip_prefix(BETWEEN.as_bytes()) {
            Some(next) => {
                answers.push(Vec::new());
                rest = next;
            }
            None => {
                answers.last_mut().into_iter().for_each(|answer| answer.push(*first));
                rest = more;
            }
        }
    }
    answers.reverse();
    answers
}

/// The answer with every authority of an address in it replaced: nothing here asks another machine.
fn at_home(answer: &[u8], host: &str) -> Vec<u8> {
    let mut changed = Vec::new();
    let mut rest = answer;
    while let Some(at) = rest.windows(2).position(|window| window == b"//") {
        changed.extend(&rest[..at + 2]);
        changed.extend(host.as_bytes());
        rest = &rest[at + 2..];
        let end = |byte: &u8| matches!(byte, b'/' | b'?' | b'#') || byte.is_ascii_whitespace();
        rest = &rest[rest.iter().position(end).unwrap_or(rest.len())..];
    }
    changed.extend(rest);
    changed
}

/// Sends the answer once something was asked.
fn respond(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    let mut asked: Vec<u8> = Vec::new();
    let mut buffer = [0; 4096];
    while !asked.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            len => asked.extend(&buffer[..len]),
        }
    }
    stream.write_all(answer)
}
