//! Registries on loopback, with and without tokens, honest and not.

use std::fs;
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

use super::super::http::tests::server::{Request, Server, Stream};
use super::super::http::tests::{LIMITS, content};
use super::*;

const ROOT: &str = "kiosk_1.root.zst";

fn layer() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in [("SHA256SUMS", &b"sums"[..]), ("manifest.json", b"{}"), (ROOT, &content(50_000))] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

fn manifest() -> String {
    let (digest, size) = (digest(&layer()), layer().len());
    let kind = "application/vnd.oci.image.layer.v1.tar";
    format!(r#"{{"schemaVersion":2,"layers":[{{"mediaType":"{kind}","digest":"{digest}","size":{size}}}]}}"#)
}

/// Answers as a registry does that has the update under the tag `stable`.
fn honest(request: &Request, stream: &mut Stream) {
    let manifest = manifest();
    let Some(path) = request.path.strip_prefix("/v2/team/kiosk/") else {
        return stream.answer("404 Not Found", "", b"");
    };
    if path == "manifests/stable" || path == format!("manifests/{}", digest(manifest.as_bytes())) {
        stream.answer("200 OK", "", manifest.as_bytes());
    } else if path == format!("blobs/{}", digest(&layer())) {
        request.file(&layer(), stream);
    } else {
        stream.answer("404 Not Found", "", b"");
    }
}

fn registry_with(server: &Server, reference: &str, logins: Vec<PathBuf>) -> Registry {
    let host = server.url.trim_start_matches("http://").trim_end_matches('/');
    let from = format!("{host}/{reference}");
    Registry::with(&from, Client::new(Trust::default(), LIMITS), "amd64", logins).unwrap()
}

fn registry(server: &Server, reference: &str) -> Registry {
    registry_with(server, reference, Vec::new())
}

fn fetch(registry: &mut Registry, range: Range<u64>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    registry.open(ROOT, range)?.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

#[test]
fn files_are_ranges_of_the_layer() {
    let server = Server::new(honest);
    let mut registry = registry(&server, "team/kiosk:stable");
    assert_eq!(registry.small("SHA256SUMS", 4), Ok(Some(b"sums".to_vec())));
    assert_eq!(registry.small("SHA256SUMS.minisig", 4), Ok(None));
    assert!(registry.small("SHA256SUMS", 3).unwrap_err().contains("more than the 3 bytes"));
    for range in [0..50_000, 49_999..50_000, 10_000..20_000] {
        assert_eq!(
            fetch(&mut registry, range.clone()).unwrap(),
            content(50_000)[range.start as usize..range.end as usize]
        );
    }
    assert!(fetch(&mut registry, 0..50_001).unwrap_err().contains("has not the 50001 bytes"));
    assert!(registry.open("x", 0..1).err().unwrap().contains("has no x"));
    assert!(registry.has_ranges());
    // The layer was not fetched as a whole for its headers.
    assert!(registry.moved() < 50_000 + 1 + 10_000 + 20_000, "{}", registry.moved());
}

#[test]
fn a_registry_without_ranges_gives_the_same() {
    let server = Server::new(|request, stream| match request.path.contains("/blobs/") {
        true => stream.answer("200 OK", "", &layer()),
        false => honest(request, stream),
    });
    let mut registry = registry(&server, "team/kiosk:stable");
    assert_eq!(registry.small("manifest.json", 4), Ok(Some(b"{}".to_vec())));
    assert!(!registry.has_ranges());
    assert_eq!(fetch(&mut registry, 10_000..20_000).unwrap(), content(50_000)[10_000..20_000]);
}

#[test]
fn what_is_not_there_is_said() {
    let server = Server::new(honest);
    let error = registry(&server, "team/kiosk:none").small("SHA256SUMS", 4).unwrap_err();
    assert!(error.contains("team/kiosk:none: the registry has nothing of that name"), "{error}");
}

#[test]
fn a_digest_is_held_to() {
    let good = digest(manifest().as_bytes());
    let server = Server::new(honest);
    let mut pinned = registry(&server, &format!("team/kiosk@{good}"));
    assert_eq!(pinned.small("SHA256SUMS", 4), Ok(Some(b"sums".to_vec())));
    let server = Server::new(|_, stream| stream.answer("200 OK", "", b"{}"));
    let error = registry(&server, &format!("team/kiosk@{good}")).small("SHA256SUMS", 4).unwrap_err();
    assert!(error.contains("another manifest"), "{error}");
}

#[test]
fn an_index_is_followed_but_not_for_ever() {
    let index = |digest: &str| {
        let platform = r#""platform":{"os":"linux","architecture":"amd64"}"#;
        format!(r#"{{"manifests":[{{"mediaType":"m","digest":"{digest}","size":1,{platform}}}]}}"#)
    };
    let of_it = index(&digest(manifest().as_bytes()));
    let server = Server::new(move |request, stream| match request.path.ends_with("/manifests/all") {
        true => stream.answer("200 OK", "", of_it.as_bytes()),
        false => honest(request, stream),
    });
    assert_eq!(registry(&server, "team/kiosk:all").small("manifest.json", 4), Ok(Some(b"{}".to_vec())));
    // One that leads to itself cannot have its own digest in it.
    let circle = index(&digest(b"x"));
    let server = Server::new(move |_, stream| stream.answer("200 OK", "", circle.as_bytes()));
    let error = registry(&server, "team/kiosk:all").small("manifest.json", 4).unwrap_err();
    assert!(error.contains("another manifest"), "{error}");
}

#[test]
fn a_layer_that_is_shorter_than_it_says_is_refused() {
    let server = Server::new(|request, stream| match request.path.contains("/blobs/") {
        true => request.file(&layer()[..10_000], stream),
        false => honest(request, stream),
    });
    let error = registry(&server, "team/kiosk:stable").small("SHA256SUMS", 4).unwrap_err();
    assert!(error.contains("has not the"), "{error}");
}

/// A registry that gives things away for a token, and tokens for a login if it has one. What it was told is kept.
fn guarded(login: Option<&'static str>) -> (Server, Arc<Mutex<String>>) {
    let url = Arc::new(Mutex::new(String::new()));
    let known = Arc::clone(&url);
    let server = Server::new(move |request, stream| {
        let url = known.lock().unwrap().clone();
        let is_let_in = login.is_none_or(|login| request.has(&format!("authorization: {login}")));
        if request.path.starts_with("/token?service=own&scope=repository%3Ateam%2Fkiosk%3Apull") {
            match is_let_in {
                true => stream.answer("200 OK", "", br#"{"token":"abc.def"}"#),
                false => stream.answer("401 Unauthorized", "", b""),
            }
        } else if request.has("authorization: bearer abc.def") {
            honest(request, stream);
        } else {
            let line = format!("www-authenticate: Bearer realm=\"{url}token\",service=\"own\"\r\n");
            stream.answer("401 Unauthorized", &line, b"");
        }
    });
    server.url.clone_into(&mut url.lock().unwrap());
    (server, url)
}

#[test]
fn everybody_gets_a_token_where_it_is_given_to_everybody() {
    let (server, _) = guarded(None);
    let mut registry = registry(&server, "team/kiosk:stable");
    assert_eq!(registry.small("SHA256SUMS", 4), Ok(Some(b"sums".to_vec())));
    let asked = server.requests();
    assert_eq!(fetch(&mut registry, 0..1000).unwrap(), content(50_000)[..1000]);
    assert_eq!(server.requests(), asked + 1, "the token is kept");
}

#[test]
fn the_login_of_the_machine_is_used_for_its_registry() {
    let (server, _) = guarded(Some("Basic bWU6c2VjcmV0"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registry.json");
    let host = server.url.trim_start_matches("http://").trim_end_matches('/');
    fs::write(&file, format!(r#"{{"auths":{{"{host}":{{"auth":"bWU6c2VjcmV0"}}}}}}"#)).unwrap();
    let mut of_it = registry_with(&server, "team/kiosk:stable", vec![file]);
    assert_eq!(of_it.small("SHA256SUMS", 4), Ok(Some(b"sums".to_vec())));
    let error = registry(&server, "team/kiosk:stable").small("SHA256SUMS", 4).unwrap_err();
    assert!(error.contains("does not let this machine have it\nhint: a login for"), "{error}");
}

#[test]
fn a_token_that_has_run_out_is_asked_for_again() {
    let (server, url) = guarded(None);
    let mut registry = registry(&server, "team/kiosk:stable");
    registry.authorization = Some("Bearer old".to_owned());
    assert_eq!(registry.small("SHA256SUMS", 4), Ok(Some(b"sums".to_vec())));
    assert_eq!(url.lock().unwrap().clone(), server.url);
}

#[test]
fn a_store_elsewhere_is_not_told_who_asks() {
    let store = Server::new(|request, stream| match request.names("authorization") {
        true => stream.answer("400 Bad Request", "", b""),
        false => request.file(&layer(), stream),
    });
    let line = format!("location: {}blob?signed=1\r\n", store.url);
    let server = Server::new(move |request, stream| match request.path.contains("/blobs/") {
        true => stream.answer("307 Temporary Redirect", &line, b""),
        false => honest(request, stream),
    });
    let mut registry = registry(&server, "team/kiosk:stable");
    registry.authorization = Some("Bearer abc".to_owned());
    assert_eq!(fetch(&mut registry, 0..1000).unwrap(), content(50_000)[..1000]);
    assert!(store.requests() > 0);
}

#[test]
fn a_token_is_not_fetched_from_everywhere() {
    for (challenge, message) in [
        ("Bearer realm=\"ftp://a/\"", "names no server"),
        ("Bearer service=\"x\"", "of a kind that is not known"),
        ("Negotiate", "of a kind that is not known"),
        ("Basic realm=\"x\"", "does not let this machine have it"),
    ] {
        let line = format!("www-authenticate: {challenge}\r\n");
        let server = Server::new(move |_, stream| stream.answer("401 Unauthorized", &line, b""));
        let error = registry(&server, "team/kiosk:stable").small("SHA256SUMS", 4).unwrap_err();
        assert!(error.contains(message), "{message:?} is expected, and it is {error}");
        assert_eq!(server.requests(), 1);
    }
    // A login is not told where everybody can read it.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registry.json");
    fs::write(&file, r#"{"auths":{"r.example":{"auth":"bWU6c2VjcmV0"}}}"#).unwrap();
    let line = "www-authenticate: Bearer realm=\"http://r.example/token\"\r\n";
    let server = Server::new(move |_, stream| stream.answer("401 Unauthorized", line, b""));
    let mut registry = registry_with(&server, "team/kiosk:stable", vec![file]);
    registry.reference.host = "r.example".to_owned();
    let error = registry.small("SHA256SUMS", 4).unwrap_err();
    assert!(error.contains("where everybody can read it"), "{error}");
}
