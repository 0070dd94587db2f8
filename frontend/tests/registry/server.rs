//! A registry of one image that answers as a test wants it to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::image::Image;

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
}

impl Request {
    /// The same for another file.
    pub(crate) fn at(&self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self.clone() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// What is answered.
#[derive(Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// Close the connection after so many bytes of the body.
    pub(crate) cut: Option<usize>,
    /// Send a byte of the body a second.
    pub(crate) drips: bool,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// The right answer to a request for a file of `image`, from where it is asked for on.
pub(crate) fn answer(image: &Image, request: &Request) -> Answer {
    let version = request.path.rsplit('/').next().unwrap();
    let blob = match version {
        "v1" => Some(&image.index),
        digest => image.blobs.iter().find(|blob| blob.digest() == digest),
    };
    let Some(blob) = blob.filter(|_| request.path.starts_with("/v2/team/app/")) else {
        return Answer::status(404);
    };
    let start = request.header("range").map(|range| range.trim_start_matches("bytes=").trim_end_matches('-'));
    let start: usize = start.map_or(0, |start| start.parse().unwrap());
    let status = if start > 0 { 206 } else { 200 };
    Answer { status, body: blob.bytes[start..].to_vec(), ..Answer::default() }
        .with("Content-Type", blob.media_type.clone())
}

/// The server; it lives as long as the test.
pub(crate) struct Server {
    /// `127.0.0.1:PORT`
    pub(crate) host: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// `respond` is told how many requests of the same path came before.
    pub(crate) fn new(respond: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(None, respond)
    }

    /// With the `server.crt` and `server.key` in `folder`.
    pub(crate) fn with_tls(
        folder: &Path,
        respond: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let certificates = CertificateDer::pem_file_iter(folder.join("server.crt")).unwrap();
        let certificates = certificates.collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        Self::start(Some(Arc::new(config.with_single_cert(certificates, key).unwrap())), respond)
    }

    fn start(
        tls: Option<Arc<ServerConfig>>,
        respond: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::<Request>::new()));
        let seen = Arc::clone(&requests);
        let respond = Arc::new(respond);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, respond, tls) = (Arc::clone(&seen), Arc::clone(&respond), tls.clone());
                std::thread::spawn(move || {
                    let Some(mut stream) = open(stream.unwrap(), tls) else { return };
                    let Some(request) = read(&mut stream) else { return };
                    let before = {
                        let mut seen = seen.lock().unwrap();
                        seen.push(request.clone());
                        seen.iter().filter(|other| other.path == request.path).count() - 1
                    };
                    write(stream, &respond(&request, before));
                });
            }
        });
        Self { host, requests }
    }

    pub(crate) fn source(&self) -> String {
        format!("docker://{}/team/app:v1", self.host)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// The connection; none if it is not HTTP, as the first words of TLS are, where it should be.
fn open(stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> Option<Box<dyn Stream>> {
    if let Some(config) = tls {
        return Some(Box::new(StreamOwned::new(ServerConnection::new(config).unwrap(), stream)));
    }
    let mut first = [0];
    stream.peek(&mut first).ok().filter(|_| first[0].is_ascii_uppercase())?;
    Some(Box::new(stream))
}

/// One request; none if the other side does not trust this one.
fn read(stream: &mut Box<dyn Stream>) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    let request = Request { method, path, headers };
    let len = request.header("content-length").map_or(0, |len| len.parse().unwrap());
    std::io::copy(&mut reader.take(len), &mut std::io::sink()).ok()?;
    Some(request)
}

fn write(mut stream: Box<dyn Stream>, answer: &Answer) {
    let Answer { status, headers, body, cut, drips } = answer;
    let mut head =
        format!("HTTP/1.1 {status} Status\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    // Who has heard enough closes the connection.
    let _ = stream.write_all(format!("{head}\r\n").as_bytes());
    let body = &body[..cut.unwrap_or(body.len())];
    if !drips {
        let _ = stream.write_all(body);
        let _ = stream.flush();
        return;
    }
    for byte in body {
        if stream.write_all(&[*byte]).and_then(|()| stream.flush()).is_err() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}
