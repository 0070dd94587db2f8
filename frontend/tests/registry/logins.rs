//! Logins: they get where they belong, and nowhere else.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::image::Image;
use crate::lab::{Lab, PASSWORD, USER, login};
use crate::server::{Answer, Request, Server, answer};

fn has_login(request: &Request) -> bool {
    request.header("authorization") == Some(&format!("Basic {}", login()))
}

/// A registry that wants name and password.
fn basic() -> Server {
    let image = Image::new();
    Server::new(move |request, _| match has_login(request) {
        true => answer(&image, request),
        false => Answer::status(401).with("WWW-Authenticate", "Basic realm=\"registry\""),
    })
}

/// A registry that wants a token, which it gives itself at `/token`, for `scope` and one of the logins.
fn bearer() -> Server {
    let image = Image::new();
    Server::new(move |request, _| {
        let host = request.header("host").unwrap();
        if let Some(query) = request.path.strip_prefix("/token?") {
            assert!(query.contains("service=here") && query.contains("team%2Fapp%3Apull"), "{query}");
            let body = br#"{"token":"token-of-the-day"}"#.to_vec();
            return if has_login(request) {
                Answer { status: 200, body, ..Answer::default() }
            } else {
                Answer::status(401)
            };
        }
        match request.header("authorization") {
            Some("Bearer token-of-the-day") => answer(&image, request),
            _ => Answer::status(401).with(
                "WWW-Authenticate",
                format!(
                    "Bearer realm=\"http://{host}/token\",service=\"here\",scope=\"repository:team/app:pull\""
                ),
            ),
        }
    })
}

#[test]
fn name_and_password_open_the_registry() {
    for server in [basic(), bearer()] {
        let lab = Lab::new();
        let said = lab.refused(&mut lab.convert(&server.source()));
        assert!(said.contains("the registry wants a login\nhint: log in: docker login 127.0.0.1:"), "{said}");

        lab.log_in(&server.host);
        lab.converted(&mut lab.convert(&server.source()));

        let wrong = serde_json::json!({ "auths": { &server.host: { "auth": "d3Jvbmc6c2VjcmV0" } } });
        let file = lab.path().join("wrong.json");
        fs::write(&file, wrong.to_string()).unwrap();
        let said = lab.refused(lab.convert(&server.source()).arg("--authfile").arg(&file));
        assert!(said.contains("the registry refuses the login\nhint: log in again: "), "{said}");
        assert!(!said.contains("d3Jvbmc6c2VjcmV0"), "{said}");
        let said = lab.refused(lab.convert(&server.source()).env("REGISTRY_AUTH_FILE", &file));
        assert!(said.contains("the registry refuses the login"), "{said}");
        let said = lab.refused(lab.convert(&server.source()).args(["--authfile", "/nonexistent"]));
        assert!(said.contains("/nonexistent: cannot read the logins"), "{said}");
    }
}

#[test]
fn a_token_is_asked_for_once() {
    let (lab, server) = (Lab::new(), bearer());
    lab.log_in(&server.host);
    lab.converted(&mut lab.convert(&server.source()));
    let tokens = server.requests().iter().filter(|request| request.path.starts_with("/token")).count();
    assert_eq!(tokens, 1);
}

#[test]
fn helpers_are_asked() {
    let (lab, server) = (Lab::new(), basic());
    let helper = lab.path().join("docker-credential-vault");
    let answers = serde_json::json!({ "Username": USER, "Secret": PASSWORD });
    let script = format!(
        "#!/bin/sh\nread host\n[ \"$host\" = {} ] || exit 3\ncat <<'END'\n{answers}\nEND\n",
        server.host
    );
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", lab.path().display(), std::env::var("PATH").unwrap());
    let host = &server.host;
    for config in [
        format!(r#"{{"credHelpers":{{"{host}":"vault"}}}}"#),
        format!(r#"{{"auths":{{"{host}":{{}}}},"credsStore":"vault"}}"#),
    ] {
        fs::write(lab.path().join("home/.docker/config.json"), config).unwrap();
        lab.converted(lab.convert(&server.source()).env("PATH", &path));
        let said = lab.refused(&mut lab.convert(&server.source()));
        assert!(
            said.contains("docker-credential-vault: cannot be asked for the login: No such file"),
            "{said}"
        );
    }
    // One that fails says it in words that may hold anything.
    fs::write(&helper, format!("#!/bin/sh\necho '{PASSWORD}'; echo '{PASSWORD}' >&2; exit 1\n")).unwrap();
    let said = lab.refused(lab.convert(&server.source()).env("PATH", &path));
    assert!(said.contains("docker-credential-vault: failed (exit status: 1)"), "{said}");
}

#[test]
fn a_login_does_not_follow_to_another_server() {
    let lab = Lab::new();
    let image = Image::new();
    let store = Server::new(move |request, _| answer(&image, request));
    let (image, at) = (Image::new(), store.host.clone());
    let server =
        Server::new(move |request, _| match (has_login(request), request.path.contains("/blobs/")) {
            (false, _) => Answer::status(401).with("WWW-Authenticate", "Basic realm=\"registry\""),
            (true, false) => answer(&image, request),
            (true, true) => Answer::status(307).with(
                "Location",
                format!("http://localhost:{}{}", at.split(':').nth(1).unwrap(), request.path),
            ),
        });
    lab.log_in(&server.host);
    lab.converted(&mut lab.convert(&server.source()));
    assert_eq!(store.requests().len(), 3, "configuration and layers");
    assert!(store.requests().iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn a_login_is_not_sent_where_everybody_can_read_it() {
    let lab = Lab::new();
    let server = Server::new(|_, _| {
        Answer::status(401).with("WWW-Authenticate", "Bearer realm=\"ftp://registry.invalid/token\"")
    });
    lab.log_in(&server.host);
    let said = lab.refused(&mut lab.convert(&server.source()));
    assert!(said.contains("the registry wants the login sent where everybody can read it"), "{said}");
}
