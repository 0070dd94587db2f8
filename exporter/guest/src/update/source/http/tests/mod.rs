//! Servers on loopback that do what servers should not.

pub(crate) mod server;
mod tls;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::*;
use server::{Request, Server, Stream, hang};

/// As patient as a test may be.
pub(crate) const LIMITS: Limits = Limits {
    connect: Duration::from_secs(20),
    stall: Duration::from_secs(1),
    window: Duration::from_secs(1),
    least: 1000,
    pauses: &[Duration::from_millis(1), Duration::from_millis(1)],
};
/// How often a server is asked that never gets on.
const TRIES: usize = 3;
const NAME: &str = "kiosk_1.root.zst";

/// Bytes that tell where they are.
pub(crate) fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 251 + at % 251) as u8).collect()
}

fn http(server: &Server) -> Http {
    open(&server.url)
}

/// A folder.
pub(crate) fn open(url: &str) -> Http {
    Http { client: Client::new(Trust::default(), LIMITS), folder: Address::folder(url).unwrap() }
}

fn fetch(http: &mut Http, range: Range<u64>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut reader = http.open(NAME, range)?;
    reader.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// What comes of fetching 5000 bytes from a server that does this.
fn outcome(
    answer: impl Fn(&Request, &mut Stream) + Send + Sync + 'static,
) -> (Result<Vec<u8>, String>, usize) {
    let server = Server::new(answer);
    let outcome = fetch(&mut http(&server), 0..5000);
    (outcome, server.requests())
}

fn assert_fails(answer: impl Fn(&Request, &mut Stream) + Send + Sync + 'static, message: &str, tries: usize) {
    let (outcome, requests) = outcome(answer);
    let error = outcome.unwrap_err();
    assert!(error.contains(message), "{message:?} is expected, and it is {error}");
    assert!(error.starts_with("http://127.0.0.1:") && error.contains(NAME), "{error}");
    assert_eq!(requests, tries, "{error}");
}

#[test]
fn a_range_is_what_was_asked_for_and_nothing_more() {
    let server = Server::new(|request, stream| request.file(&content(9000), stream));
    let mut http = http(&server);
    for range in [0..9000_u64, 1..2, 8999..9000, 4000..8000, 7..7] {
        let (start, end) = (range.start as usize, range.end as usize);
        assert_eq!(fetch(&mut http, range).unwrap(), content(9000)[start..end]);
    }
    assert!(http.has_ranges());
    assert_eq!(http.moved(), 9000 + 1 + 1 + 4000);
    assert_eq!(server.requests(), 4);
}

#[test]
fn small_files_are_there_or_not() {
    let server = Server::new(|request, stream| match &*request.path {
        "/SHA256SUMS" => request.file(b"sums", stream),
        "/empty" => request.file(b"", stream),
        "/manifest.json" => stream.answer("404 Not Found", "", b"no"),
        "/%2e%2E" | "/..%2Fx" => stream.answer("404 Not Found", "", b"no"),
        _ => stream.answer("403 Forbidden", "", b"no"),
    });
    let mut http = http(&server);
    assert_eq!(http.small("SHA256SUMS", 4), Ok(Some(b"sums".to_vec())));
    assert_eq!(http.small("empty", 4), Ok(Some(Vec::new())));
    assert_eq!(http.small("manifest.json", 4), Ok(None));
    assert_eq!(http.small("../x", 4), Ok(None));
    let error = http.small("SHA256SUMS", 3).unwrap_err();
    assert!(error.contains("/SHA256SUMS: it has more than the 3 bytes"), "{error}");
    let error = http.small("x", 3).unwrap_err();
    assert!(
        error.starts_with(&format!("{}x: 127.0.0.1:", server.url)) && error.contains("403 Forbidden"),
        "{error}"
    );
}

#[test]
fn a_small_file_that_does_not_end_is_left() {
    let endless = |_: &Request, stream: &mut Stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    };
    let error = http(&Server::new(endless)).small("SHA256SUMS", 100_000).unwrap_err();
    assert!(error.contains("more than the 100000 bytes"), "{error}");
}

#[test]
fn files_are_asked_for_as_they_are_stored() {
    let server = Server::new(|request, stream| match request.has("accept-encoding: identity") {
        true => request.file(&content(5000), stream),
        false => stream.answer("400 Bad Request", "", b""),
    });
    assert_eq!(fetch(&mut http(&server), 0..5000).unwrap(), content(5000));
}

#[test]
fn a_server_without_ranges_is_read_from_the_front() {
    let server = Server::new(|_, stream| stream.answer("200 OK", "", &content(9000)));
    let mut http = http(&server);
    assert_eq!(http.small("x", 9000).unwrap().unwrap(), content(9000));
    assert!(!http.has_ranges());
    assert_eq!(fetch(&mut http, 4000..8000).unwrap(), content(9000)[4000..8000]);
    assert_eq!(http.moved(), 9000 + 8000);
}

#[test]
fn a_cut_is_taken_up_where_it_was() {
    let server = Server::new(|request, stream| stream.cut(request, &content(20_000), 3000));
    let mut http = http(&server);
    assert_eq!(fetch(&mut http, 100..20_000).unwrap(), content(20_000)[100..]);
    assert_eq!(http.moved(), 19_900);
    assert_eq!(server.requests(), 7);
}

#[test]
fn a_cut_of_a_server_without_ranges_is_taken_up_too() {
    let requests = AtomicUsize::new(0);
    let server = Server::new(move |_, stream| {
        let most = 4000 * (requests.fetch_add(1, Ordering::Relaxed) + 1);
        stream.promise("200 OK", "", 9000);
        let _ = stream.write_all(&content(9000)[..most.min(9000)]);
    });
    let mut http = http(&server);
    assert_eq!(fetch(&mut http, 0..9000).unwrap(), content(9000));
    assert_eq!(http.moved(), 4000 + 8000 + 9000);
}

#[test]
fn a_server_that_never_gets_on_is_given_up() {
    assert_fails(|request, stream| stream.cut(request, &content(5000), 0), "3 times in a row", TRIES);
    // A little each time is not enough.
    assert_fails(
        |request, stream| stream.cut(request, &content(5000), 100),
        "byte 300, 4700 are missing",
        TRIES,
    );
    assert_fails(|_, stream| stream.answer("503 Service Unavailable", "", b""), "answers 503", TRIES);
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    let requests = AtomicUsize::new(0);
    let (outcome, requests) =
        outcome(move |request, stream| match requests.fetch_add(1, Ordering::Relaxed) {
            0 => stream.answer("429 Too Many Requests", "", b""),
            1 => {}
            _ => request.file(&content(5000), stream),
        });
    assert_eq!((outcome.unwrap(), requests), (content(5000), 3));
}

#[test]
fn a_server_that_stalls_is_given_up() {
    let stall = |_: &Request, stream: &mut Stream| {
        stream.promise("206 Partial Content", "content-range: bytes 0-4999/5000\r\n", 5000);
        hang();
    };
    assert_fails(stall, "nothing came for too long", TRIES);
    assert_fails(|_, _| hang(), "nothing came for too long", 1);
}

#[test]
fn a_server_that_drips_is_given_up() {
    let drip = |request: &Request, stream: &mut Stream| {
        let (start, _) = request.range().unwrap();
        let line = format!("content-range: bytes {start}-4999/5000\r\n");
        stream.promise("206 Partial Content", &line, 5000 - start);
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    };
    assert_fails(drip, "it is too slow", TRIES);
}

#[test]
fn lies_about_lengths_are_seen_at_once() {
    let range = |line: &'static str, len: usize| {
        move |_: &Request, stream: &mut Stream| stream.answer("206 Partial Content", line, &content(len))
    };
    for (line, len) in [
        ("content-range: bytes 0-4999/5000\r\n", 4999),
        ("content-range: bytes 1-4999/5000\r\n", 4999),
        ("content-range: bytes 0-5999/6000\r\n", 6000),
        ("content-range: bytes 0-4999/4000\r\n", 5000),
        ("content-range: lines 0-4999/5000\r\n", 5000),
        ("", 5000),
    ] {
        assert_fails(range(line, len), "range", 1);
    }
    assert_fails(range("content-range: bytes 0-3999/4000\r\n", 4000), "has not the 5000 bytes", 1);
    assert_fails(|_, stream| stream.answer("200 OK", "", &content(4000)), "has not the 5000 bytes", 1);
    assert_fails(
        |_, stream| stream.answer("416 Range Not Satisfiable", "content-range: bytes */9\r\n", b""),
        "has not the 5000 bytes",
        1,
    );
}

#[test]
fn less_than_was_asked_for_is_asked_on() {
    let server = Server::new(|request, stream| {
        let (start, _) = request.range().unwrap();
        let end = (start + 2000).min(5000);
        let line = format!("content-range: bytes {start}-{}/5000\r\n", end - 1);
        stream.answer("206 Partial Content", &line, &content(5000)[start..end]);
    });
    assert_eq!(fetch(&mut http(&server), 0..5000).unwrap(), content(5000));
    assert_eq!(server.requests(), 3);
}

#[test]
fn a_file_that_changes_meanwhile_is_not_mixed() {
    for (first, then) in
        [("etag: \"a\"\r\n", "etag: \"b\"\r\n"), ("last-modified: yesterday\r\n", "last-modified: today\r\n")]
    {
        let requests = AtomicUsize::new(0);
        let (outcome, _) = outcome(move |request, stream| {
            let line = if requests.fetch_add(1, Ordering::Relaxed) == 0 { first } else { then };
            stream.part(request, &content(5000), line, 3000);
        });
        assert!(outcome.unwrap_err().contains("was changed on the server"), "{then}");
    }
    let (same, _) =
        outcome(|request, stream| stream.part(request, &content(5000), "etag: W/\"a\"\r\n", 3000));
    assert_eq!(same.unwrap(), content(5000));
    let requests = AtomicUsize::new(0);
    let (longer, _) = outcome(move |request, stream| {
        let len = 5000 + requests.fetch_add(1, Ordering::Relaxed);
        stream.part(request, &content(len), "", 3000);
    });
    assert!(longer.unwrap_err().contains("was changed on the server"));
}

#[test]
fn redirects_are_followed_to_their_end() {
    let server =
        Server::new(|request, stream| match request.path.strip_prefix("/step").map(|rest| rest.parse()) {
            Some(Ok(10_u32)) => request.file(&content(5000), stream),
            Some(Ok(number)) => stream.answer("302 Found", &format!("location: step{}\r\n", number + 1), b""),
            _ => stream.answer("301 Moved Permanently", "location: /step1\r\n", b""),
        });
    assert_eq!(fetch(&mut http(&server), 0..5000).unwrap(), content(5000));
    assert_eq!(server.requests(), 11);
    assert_fails(
        |_, stream| stream.answer("307 Temporary Redirect", "location: x\r\n", b""),
        "without an end",
        11,
    );
    assert_fails(
        |_, stream| stream.answer("302 Found", "location: ftp://a/\r\n", b""),
        "an address that is none",
        1,
    );
    assert_fails(|_, stream| stream.answer("302 Found", "", b""), "an address that is none", 1);
}

#[test]
fn more_headers_than_anybody_needs_are_not_read() {
    let flood = |line: &'static [u8]| {
        move |_: &Request, stream: &mut Stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx: y");
            while stream.write_all(line).is_ok() {}
        }
    };
    assert_fails(flood(b"\r\nx: 0123456789abcdef"), "too many headers", 1);
    assert_fails(flood(b"0123456789abcdef"), "more headers than are read", 1);
    assert_fails(|_, stream| drop(stream.write_all(b"SSH-2.0-x\r\n\r\n")), "HTTP does not have", 1);
}

#[test]
fn a_connection_is_used_again() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    // One connection, and nobody else is let in.
    thread::spawn(move || {
        let mut stream = Stream::plain(listener.accept().unwrap().0);
        drop(listener);
        while let Some(request) = Request::read(&mut stream) {
            let (start, end) = request.range().unwrap();
            let bytes = &content(5000)[start..end.unwrap()];
            let line = format!("content-range: bytes {start}-{}/5000\r\n", start + bytes.len() - 1);
            stream.keep("206 Partial Content", &line, bytes);
        }
    });
    let mut http =
        Http { client: Client::new(Trust::default(), LIMITS), folder: Address::folder(&url).unwrap() };
    for start in 0..5 {
        let range = start * 1000..start * 1000 + 1000;
        assert_eq!(
            fetch(&mut http, range.clone()).unwrap(),
            content(5000)[range.start as usize..range.end as usize]
        );
    }
}

#[test]
fn who_is_not_there_is_not_waited_for() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let mut http =
        Http { client: Client::new(Trust::default(), LIMITS), folder: Address::folder(&url).unwrap() };
    let error = http.small("SHA256SUMS", 10).unwrap_err();
    assert!(error.contains("cannot be reached") && !error.contains("times"), "{error}");
}

#[test]
fn what_is_no_folder_is_refused_before_anybody_is_asked() {
    let config: Config = serde_json::from_str(
        r#"{"id":"k","version":"1","compatible":"k","architecture":"x86_64","loader":"grub"}"#,
    )
    .unwrap();
    for url in ["http://", "https://me:secret@a.example/", "https://a.example/?x"] {
        let error = Http::new(url, &config).err().unwrap();
        assert!(error.contains("hint: it is written as https://"), "{error}");
    }
    assert!(Http::new("http://10.0.2.2:8000/", &config).is_ok());
}
