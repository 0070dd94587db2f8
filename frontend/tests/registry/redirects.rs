//! Where answers of a registry send to: its layers come from there, its login does not go there.

use std::path::Path;

use crate::image::Image;
use crate::lab::{Lab, login, run, text};
use crate::real::make_keys;
use crate::server::{Answer, Request, Server, answer};

fn is_logged_in(request: &Request) -> bool {
    request.header("authorization").is_some()
}

fn with_password() -> Answer {
    Answer::status(401).with("WWW-Authenticate", "Basic realm=\"registry\"")
}

/// A store of files that everybody may read.
fn store() -> Server {
    let image = Image::new();
    Server::new(move |request, _| answer(&image, request))
}

/// A registry with a password that sends on what comes from `folder` of its repository.
fn sending_on(folder: &'static str, to: impl Fn(&Request) -> String + Send + Sync + 'static) -> Server {
    let image = Image::new();
    Server::new(move |request, _| match is_logged_in(request) {
        false => with_password(),
        true if request.path.contains(folder) => Answer::status(307).with("Location", to(request)),
        true => answer(&image, request),
    })
}

#[test]
fn another_port_of_the_host_gets_no_login() {
    for folder in ["/manifests/", "/blobs/"] {
        let (lab, store) = (Lab::new(), store());
        let at = store.host.clone();
        let server = sending_on(folder, move |request| format!("http://{at}{}", request.path));
        lab.log_in(&server.host);
        lab.converted(&mut lab.convert(&server.source()));
        assert!(store.requests().len() >= 2 && !store.requests().iter().any(is_logged_in), "{folder}");
        assert!(server.requests().iter().any(is_logged_in));
    }
}

#[test]
fn a_token_does_not_go_to_another_port() {
    let (lab, store, image) = (Lab::new(), store(), Image::new());
    let at = store.host.clone();
    let server = Server::new(move |request, _| {
        let host = request.header("host").unwrap();
        match request.header("authorization") {
            _ if request.path.starts_with("/token") => {
                Answer { body: br#"{"token":"of-the-day"}"#.to_vec(), ..Answer::status(200) }
            }
            None => Answer::status(401)
                .with("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\",service=\"s\"")),
            Some(_) if request.path.contains("/blobs/") => {
                Answer::status(302).with("Location", format!("//{at}{}", request.path))
            }
            Some(_) => answer(&image, request),
        }
    });
    lab.converted(&mut lab.convert(&server.source()));
    assert_eq!(store.requests().len(), 3);
    assert!(!store.requests().iter().any(is_logged_in));
}

#[test]
fn the_registry_itself_keeps_the_login() {
    let lab = Lab::new();
    let image = Image::new();
    let server = Server::new(move |request, _| match is_logged_in(request) {
        false => with_password(),
        true if request.path.contains("/blobs/") => {
            Answer::status(307).with("Location", request.path.replace("/v2/team/app/blobs/", "/files/"))
        }
        true => answer(&image, &request.at(&request.path.replace("/files/", "/v2/team/app/blobs/"))),
    });
    lab.log_in(&server.host);
    lab.converted(&mut lab.convert(&server.source()));
    let files: Vec<_> =
        server.requests().into_iter().filter(|request| request.path.starts_with("/files/")).collect();
    assert!(files.len() == 3 && files.iter().all(is_logged_in));
}

#[test]
fn what_has_been_elsewhere_comes_back_without_a_login() {
    let lab = Lab::new();
    let back = Server::new(|request, _| {
        let (_, home) = request.path.split_once("?home=").unwrap();
        Answer::status(307).with("Location", format!("http://{home}/v2/back"))
    });
    let at = back.host.clone();
    let server = sending_on("/manifests/", move |request| {
        format!("http://{at}/elsewhere?home={}", request.header("host").unwrap())
    });
    lab.log_in(&server.host);
    lab.refused(&mut lab.convert(&server.source()));
    let returned: Vec<_> =
        server.requests().into_iter().filter(|request| request.path == "/v2/back").collect();
    assert!(!returned.is_empty() && !is_logged_in(&returned[0]), "{returned:?}");
}

#[test]
fn a_server_of_tokens_does_not_pass_the_login_on() {
    for (moved, status) in [("/elsewhere", 307), ("http://AT/token", 302)] {
        let (lab, image) = (Lab::new(), Image::new());
        let other =
            Server::new(|_, _| Answer { body: br#"{"token":"of-the-day"}"#.to_vec(), ..Answer::status(200) });
        let location = moved.replace("AT", &other.host);
        let server = Server::new(move |request, _| match request.header("authorization") {
            _ if request.path.starts_with("/token") => Answer::status(status).with("Location", &location),
            _ if request.path.starts_with("/elsewhere") => {
                Answer { body: br#"{"token":"of-the-day"}"#.to_vec(), ..Answer::status(200) }
            }
            Some("Bearer of-the-day") => answer(&image, request),
            _ => {
                let realm = format!("http://{}/token", request.header("host").unwrap());
                Answer::status(401).with("WWW-Authenticate", format!("Bearer realm=\"{realm}\""))
            }
        });
        lab.log_in(&server.host);
        lab.converted(&mut lab.convert(&server.source()));
        assert!(!other.requests().iter().any(is_logged_in));
        // Within the server of tokens the login stays with it.
        let own: Vec<_> =
            server.requests().into_iter().filter(|request| request.path.starts_with("/elsewhere")).collect();
        assert!(
            own.iter().all(|request| request.header("authorization") == Some(&format!("Basic {}", login())))
        );
        assert_eq!(own.len() + other.requests().len(), 1);
    }
}

#[test]
fn an_identity_token_is_sent_to_one_address() {
    let lab = Lab::new();
    let other = Server::new(|_, _| Answer::status(200));
    let at = other.host.clone();
    let server = Server::new(move |request, _| match request.path.as_str() {
        "/token" => Answer::status(307).with("Location", format!("http://{at}/token")),
        _ => {
            let realm = format!("http://{}/token", request.header("host").unwrap());
            Answer::status(401).with("WWW-Authenticate", format!("Bearer realm=\"{realm}\""))
        }
    });
    let auths = serde_json::json!({ "auths": { &server.host: { "identitytoken": login() } } });
    std::fs::write(lab.path().join("home/.docker/config.json"), auths.to_string()).unwrap();
    let said = lab.refused(&mut lab.convert(&server.source()));
    assert!(said.contains("the registry answers 307"), "{said}");
    assert!(other.requests().is_empty());
}

#[test]
fn another_server_of_tokens_is_named_once_in_plain_progress() {
    let (lab, image) = (Lab::new(), Image::new());
    let tokens =
        Server::new(|_, _| Answer { body: br#"{"token":"of-the-day"}"#.to_vec(), ..Answer::status(200) });
    let at = tokens.host.clone();
    let server = Server::new(move |request, _| match request.header("authorization") {
        Some("Bearer of-the-day") => answer(&image, request),
        _ => Answer::status(401).with("WWW-Authenticate", format!("Bearer realm=\"http://{at}/t\"")),
    });
    lab.log_in(&server.host);
    let convert = |progress: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_vmimage"));
        command.args(["convert", "--no-install", "--profile", "data", &server.source()]).args(progress);
        command.arg("-o").arg(lab.disk()).env_clear().env("HOME", lab.path().join("home"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stderr).unwrap()
    };
    let line = format!("{}: the login is sent to {}, which gives its tokens", server.host, tokens.host);
    let said = convert(&["--progress", "plain"]);
    assert_eq!(said.lines().filter(|other| **other == line).count(), 1, "{said}");
    assert!(!convert(&["--quiet"]).contains("the login"));
    // Each line is an object there.
    assert!(convert(&["--progress", "rawjson"]).lines().all(|line| line.starts_with('{')));
}

/// A registry with TLS whose `folder` is answered as `change` says.
fn with_tls(lab: &Lab, folder: &'static str, change: impl Fn() -> Answer + Send + Sync + 'static) -> Server {
    make_keys(lab.path());
    let image = Image::new();
    let server = Server::with_tls(lab.path(), move |request, _| match request.path.contains(folder) {
        true => change(),
        false => answer(&image, request),
    });
    lab.trust(&server.host);
    lab.log_in(&server.host);
    server
}

#[test]
fn a_way_out_of_tls_is_not_taken() {
    for folder in ["/manifests/", "/blobs/"] {
        let (lab, store) = (Lab::new(), store());
        let at = store.host.clone();
        let server = with_tls(&lab, folder, move || {
            Answer::status(307).with("Location", format!("http://{at}/v2/team/app/manifests/v1"))
        });
        let said = lab.refused(&mut lab.convert(&server.source()));
        assert!(said.contains("sends on to where everybody can read it, without TLS"), "{said}");
        assert!(store.requests().is_empty());
    }
}

#[test]
fn a_password_is_not_told_without_tls() {
    let tokens = Server::new(|_, _| Answer::status(200));
    let at = tokens.host.clone();
    let lab = Lab::new();
    let server = with_tls(&lab, "/manifests/", move || {
        Answer::status(401).with("WWW-Authenticate", format!("Bearer realm=\"http://{at}/token\""))
    });
    let said = lab.refused(&mut lab.convert(&server.source()));
    assert!(said.contains("the registry wants the login sent where everybody can read it"), "{said}");
    std::fs::remove_file(lab.path().join("home/.docker/config.json")).unwrap();
    let said = lab.refused(&mut lab.convert(&server.source()));
    assert!(said.contains("the registry wants a token fetched where everybody can change it"), "{said}");
    assert!(tokens.requests().is_empty());
}

fn push(lab: &Lab, disk: &Path, server: &Server) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_vmimage"));
    command
        .args(["push", "--quiet", "--platform", "linux/amd64"])
        .arg(disk)
        .arg(format!("{}/web:v1", server.host));
    command.env_clear().env("HOME", lab.path().join("home"));
    command
}

#[test]
fn an_upload_goes_where_it_is_wanted_without_the_login() {
    let lab = Lab::new();
    let disk = lab.path().join("disk.raw");
    std::fs::write(&disk, [1; 4096]).unwrap();
    let store = Server::new(|_, _| Answer::status(201));
    let at = store.host.clone();
    let server = Server::new(move |request, _| match &*request.method {
        _ if !is_logged_in(request) => with_password(),
        "HEAD" => Answer::status(404),
        "POST" => Answer::status(202).with("Location", format!("http://{at}/upload?sig=1")),
        _ => Answer::status(201),
    });
    lab.log_in(&server.host);
    run(&mut push(&lab, &disk, &server));
    assert_eq!(store.requests().len(), 2, "a layer and a configuration");
    assert!(store.requests().iter().all(|request| {
        !is_logged_in(request) && request.path.starts_with("/upload?sig=1&digest=sha256%3A")
    }));
    // Not out of TLS.
    let at = store.host.clone();
    make_keys(lab.path());
    let closed = Server::with_tls(lab.path(), move |request, _| match &*request.method {
        "HEAD" => Answer::status(404),
        _ => Answer::status(202).with("Location", format!("http://{at}/plain")),
    });
    lab.trust(&closed.host);
    let said = lab.refused(&mut push(&lab, &disk, &closed));
    assert!(said.contains("sends on to where everybody can read it, without TLS"), "{said}");
    assert!(!store.requests().iter().any(|request| request.path.starts_with("/plain")));
}
