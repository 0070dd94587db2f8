//! HTTP/1.1: the files of the folder and ranges of them, by GET and HEAD.

mod body;
mod range;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, IF_RANGE,
    RANGE,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use super::folder::{Content, Library};
use super::told::{Event, Log, Protocol};
use super::visitors::Visitors;
use crate::base::Result;
use body::FileBody;
use range::Wanted;

/// Until a request has come, and between two of one connection.
const PATIENCE: Duration = Duration::from_secs(30);
/// The lines of a request are no longer together, and no more.
const LONGEST_HEAD: usize = 16 << 10;
const MOST_HEADERS: usize = 64;

/// Answers connections.
pub(super) async fn serve(
    listener: TcpListener,
    library: Arc<Library>,
    visitors: Visitors,
    log: Log,
) -> Result<()> {
    loop {
        let Ok((stream, who)) = listener.accept().await else {
            // Without a file descriptor left it would fail again at once.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Some(visit) = visitors.admit(who) else { continue };
        let library = library.clone();
        tokio::spawn(async move {
            connection(stream, who, &library, log).await;
            drop(visit);
        });
    }
}

/// Answers the requests of one connection. What breaks it is the client's matter: it comes again.
async fn connection(stream: TcpStream, who: SocketAddr, library: &Library, log: Log) {
    let service = service_fn(|request: Request<Incoming>| async move {
        Ok::<_, Infallible>(answer(&request, who, library, log))
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(LONGEST_HEAD)
        .max_headers(MOST_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let _ = served.await;
}

fn answer(request: &Request<Incoming>, who: SocketAddr, library: &Library, log: Log) -> Response<FileBody> {
    let name = request.uri().path();
    let mut response = match (request.method(), library.find(name)) {
        (&Method::GET | &Method::HEAD, Some(content)) => file(name, content, request.headers()),
        (&Method::GET | &Method::HEAD, None) => refuse(StatusCode::NOT_FOUND, None),
        _ => refuse(StatusCode::METHOD_NOT_ALLOWED, Some((ALLOW, "GET, HEAD".to_owned()))),
    };
    let range =
        request.headers().get(RANGE).map(|range| format!(" {}", String::from_utf8_lossy(range.as_bytes())));
    let event = Event {
        protocol: Protocol::Http,
        client: who.ip().to_string(),
        request: format!("{} {name}{}", request.method(), range.unwrap_or_default()),
        answer: response.status().as_u16().to_string(),
        bytes: None,
    };
    match request.method() == Method::GET && response.status().is_success() {
        // When all of it is sent, or will not be.
        true => response.body_mut().tell(event, log),
        false => log.say(&event),
    }
    response
}

/// The file, or the range that is asked for.
fn file(name: &str, content: &Content, headers: &HeaderMap) -> Response<FileBody> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let tag = content.tag();
    // A range of what the client has a part of already, unless that has changed.
    let is_same = headers.get(IF_RANGE).is_none() || text(IF_RANGE) == tag.as_deref();
    let len = content.len();
    let wanted = text(RANGE).filter(|_| is_same).map_or(Wanted::All, |text| Wanted::read(text, len));
    let (status, range) = match wanted {
        Wanted::All => (StatusCode::OK, 0..len),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nothing => {
            let range = (CONTENT_RANGE, format!("bytes */{len}"));
            return refuse(StatusCode::RANGE_NOT_SATISFIABLE, Some(range));
        }
    };
    let mut fields = vec![
        (ACCEPT_RANGES, "bytes".to_owned()),
        (CONTENT_LENGTH, (range.end - range.start).to_string()),
        (CONTENT_TYPE, content_type(name).to_owned()),
    ];
    fields.extend(tag.map(|tag| (ETAG, tag)));
    if status == StatusCode::PARTIAL_CONTENT {
        fields.push((CONTENT_RANGE, format!("bytes {}-{}/{len}", range.start, range.end - 1)));
    }
    respond(status, fields, FileBody::new(content.clone(), range))
}

/// Firmware goes by it (UEFI specification, section 24.7.3.1).
fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "efi" => "application/efi",
        "json" => "application/json",
        "ipxe" | "cfg" | "toml" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

fn refuse(status: StatusCode, field: Option<(HeaderName, String)>) -> Response<FileBody> {
    let text = format!("{}\n", status.canonical_reason().unwrap_or_default());
    let mut fields = vec![(CONTENT_LENGTH, text.len().to_string())];
    fields.extend(field);
    let range = 0..text.len() as u64;
    respond(status, fields, FileBody::new(Content::Text(text.into_bytes().into()), range))
}

fn respond(status: StatusCode, fields: Vec<(HeaderName, String)>, body: FileBody) -> Response<FileBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in fields {
        // All are of ours, and plain.
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What a server with two files answers to these bytes, until it ends the connection.
    async fn answered(request: &[u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let library = Arc::new(Library::of(&[("vmlinuz", b"0123456789"), ("netboot.efi", b"MZ")]));
        let server = tokio::spawn(serve(listener, library, Visitors::default(), Log::new(false)));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // An end by force is one, too.
        let _ = stream.read_to_end(&mut answer).await;
        server.abort();
        String::from_utf8(answer).unwrap().to_ascii_lowercase()
    }

    async fn asked(line: &str, fields: &str) -> String {
        answered(format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes()).await
    }

    #[tokio::test]
    async fn files_and_ranges_of_them_are_sent() {
        for (line, fields, parts) in [
            (
                "GET /vmlinuz",
                "",
                &["http/1.1 200 ok", "accept-ranges: bytes", "content-length: 10", "\r\n\r\n0123456789"][..],
            ),
            ("GET //vmlinuz?x", "", &["200 ok"]),
            ("HEAD /vmlinuz", "", &["200 ok", "content-length: 10"]),
            (
                "GET /vmlinuz",
                "Range: bytes=2-4\r\n",
                &["206 partial", "content-range: bytes 2-4/10", "content-length: 3", "\r\n\r\n234"],
            ),
            ("GET /vmlinuz", "Range: bytes=7-\r\n", &["206 partial", "\r\n\r\n789"]),
            ("GET /vmlinuz", "Range: bytes=-2\r\n", &["206 partial", "\r\n\r\n89"]),
            ("GET /vmlinuz", "Range: bytes=10-\r\n", &["416 range", "content-range: bytes */10"]),
            ("GET /vmlinuz", "Range: bytes=0-1,3-4\r\n", &["200 ok", "0123456789"]),
            ("GET /vmlinuz", "Range: bytes=2-4\r\nIf-Range: \"other\"\r\n", &["200 ok", "0123456789"]),
            ("GET /netboot.efi", "", &["content-type: application/efi", "\r\n\r\nmz"]),
        ] {
            let answer = asked(line, fields).await;
            for part in parts {
                assert!(answer.contains(part), "{line} {fields}: {part:?} is not in {answer}");
            }
        }
        assert!(asked("HEAD /vmlinuz", "").await.ends_with("\r\n\r\n"), "nothing but its head");
    }

    #[tokio::test]
    async fn nothing_else_is() {
        for (line, fields, status) in [
            ("GET /", "", "404"),
            ("GET /../etc/passwd", "", "404"),
            ("GET /%2e%2e/etc/passwd", "", "404"),
            ("GET /etc/passwd", "", "404"),
            ("PUT /vmlinuz", "Content-Length: 0\r\n", "405"),
            ("DELETE /vmlinuz", "", "405"),
        ] {
            let answer = asked(line, fields).await;
            assert!(answer.starts_with(&format!("http/1.1 {status} ")), "{line}: {answer}");
        }
        for request in
            ["\0\0\0\0", "GET\r\n\r\n", "GET /vmlinuz HTTP/9.9\r\n\r\n", &"a".repeat(LONGEST_HEAD * 2)]
        {
            let answer = answered(request.as_bytes()).await;
            assert!(answer.is_empty() || answer.starts_with("http/1.1 4"), "{answer}");
        }
        let many = "X: y\r\n".repeat(MOST_HEADERS);
        assert!(asked("GET /vmlinuz", &many).await.starts_with("http/1.1 431"));
    }
}
