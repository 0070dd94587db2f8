//! A registry that answers whatever it is told to, for `make fuzz`. One attempt each: a second one would wait.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use exporter::limits;

use super::client::{Client, MANIFESTS, content_type};
use super::failure::Failure;
use crate::base::reference::Reference;
use crate::source::Access;

/// Between two answers.
const BETWEEN: &[u8] = b"\n--answer--\n";

/// The registry, and who asks it.
pub struct Registry {
    client: Client<'static>,
    answers: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Registry")
    }
}

impl Registry {
    /// On this machine, with a login for it.
    ///
    /// # Errors
    /// Where there is no port or no file.
    pub fn start() -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let host = listener.local_addr().map_err(|error| error.to_string())?.to_string();
        let json = format!(r#"{{"auths":{{"{host}":{{"auth":"dTpw"}}}}}}"#);
        let logins = std::env::temp_dir().join(format!("vmimage-fuzz-{}.json", std::process::id()));
        std::fs::write(&logins, json).map_err(|error| error.to_string())?;
        let answers = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let (queue, own) = (answers.clone(), host.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let _ = respond(stream, &at_home(&answer.unwrap_or_default(), &own));
            }
        });
        // As long as the process: there is one registry in it.
        let access: &'static Access<'static> = Box::leak(Box::new(Access {
            plain_http: true,
            mirrors: &[],
            auth_file: Some(Box::leak(logins.into_boxed_path())),
            store_reader: None,
            progress: &|_| {},
            note: &|_| {},
        }));
        let reference: Reference = format!("{host}/team/app:1").parse()?;
        let client = Client::new(&format!("docker://{reference}"), &reference, None, access);
        Ok(Self { client: client.map_err(|error| error.to_string())?, answers })
    }

    /// Asks for a manifest, with these answers one after the other.
    ///
    /// # Errors
    /// Why there is none.
    pub fn ask(&self, script: &[u8]) -> Result<(), String> {
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner) = split(script);
        *self.client.authorization() = None;
        let answer = self.client.get("manifests/1", &[("Accept", &MANIFESTS.join(","))]);
        let read = answer.and_then(|response| {
            let media_type = content_type(&response);
            Ok((media_type, self.client.read(response, limits::MANIFEST)?))
        });
        let (media_type, bytes) = read.map_err(|failure| match failure {
            Failure::Passing(reason) => reason,
            Failure::Final(error) => error.to_string(),
        })?;
        assert!(bytes.len() as u64 <= limits::MANIFEST);
        self.client.manifest_type(media_type, &bytes).map(drop).map_err(|error| error.to_string())
    }
}

/// The answers, the last one first.
fn split(script: &[u8]) -> Vec<Vec<u8>> {
    let mut answers = Vec::new();
    let mut rest = script;
    while let Some(end) = rest.windows(BETWEEN.len()).position(|window| window == BETWEEN) {
        answers.push(rest[..end].to_vec());
        rest = &rest[end + BETWEEN.len()..];
    }
    answers.push(rest.to_vec());
    answers.reverse();
    answers
}

/// The answer with every authority of a URL in it replaced: nothing here asks another machine.
fn at_home(answer: &[u8], host: &str) -> Vec<u8> {
    let mut changed = Vec::new();
    let mut rest = answer;
    while let Some(at) = rest.windows(2).position(|window| window == b"//") {
        changed.extend(&rest[..at + 2]);
        changed.extend(host.as_bytes());
        rest = &rest[at + 2..];
        let end = |byte: &u8| matches!(byte, b'/' | b'?' | b'#' | b'"') || byte.is_ascii_whitespace();
        rest = &rest[rest.iter().position(end).unwrap_or(rest.len())..];
    }
    changed.extend(rest);
    changed
}

/// Sends the answer once something was asked.
fn respond(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    let mut asked: Vec<u8> = Vec::new();
    let mut buffer = [0; 4096];
    while !asked.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            len => asked.extend(&buffer[..len]),
        }
    }
    stream.write_all(answer)
}
