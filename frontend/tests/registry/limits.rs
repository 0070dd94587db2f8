//! What a registry may cost: every answer has a size, every way an end.

use crate::image::{Image, MANIFEST};
use crate::lab::Lab;
use crate::server::{Answer, Server, answer};

fn of_size(len: usize, head: &str, tail: &str) -> Answer {
    let padding = " ".repeat(len.saturating_sub(head.len() + tail.len()));
    Answer { body: format!("{head}{padding}{tail}").into_bytes(), ..Answer::status(200) }
        .with("Content-Type", MANIFEST)
}

#[test]
fn a_manifest_has_an_end() {
    let lab = Lab::new();
    // Of spaces alone it is no manifest.
    for (len, expected) in [
        ((4 << 20) - 1, "EOF while parsing"),
        (4 << 20, "answers with more than 4194304 bytes"),
        (64 << 20, "answers with more than 4194304 bytes"),
    ] {
        let large = of_size(len, "", "");
        let server = Server::new(move |_, _| large.clone());
        let said = lab.refused(&mut lab.convert(&server.source()));
        assert!(said.contains(expected), "{len}: {said}");
    }
}

#[test]
fn a_token_has_an_end() {
    let token = |len: usize| format!("{{\"token\":\"{}\"}}", "t".repeat(len));
    for (answered, expected) in [
        (of_size(0, &token(65 << 10), ""), "gives no token"),
        (of_size(0, "{\"token\":\"\"}", ""), "gives no token"),
        (of_size(0, "{\"token\":\"a\\r\\nX-Evil: b\"}", ""), "answers in a way that HTTP does not have"),
        (of_size((1 << 20) + 1, "{\"token\":\"t\"", "}"), "answers with more than 1048576 bytes"),
    ] {
        let lab = Lab::new();
        let server = Server::new(move |request, _| match request.path.starts_with("/token") {
            true => answered.clone(),
            false => {
                let realm = format!("http://{}/token", request.header("host").unwrap());
                Answer::status(401).with("WWW-Authenticate", format!("Bearer realm=\"{realm}\""))
            }
        });
        let said = lab.refused(&mut lab.convert(&server.source()));
        assert!(said.contains(expected), "{said}");
        // Of one that is not taken there is no second.
        let asked = server.requests().iter().filter(|request| request.path.starts_with("/token")).count();
        assert_eq!(asked, 1);
    }
}

#[test]
fn an_error_has_an_end() {
    let lab = Lab::new();
    let long = "no ".repeat(1000);
    let body = format!("{{\"errors\":[{{\"message\":\"{long}\"}}]}}");
    for (answered, longest) in [
        (Answer { body: body.into_bytes(), ..Answer::status(400) }, 400),
        (Answer { body: vec![b' '; 2 << 20], ..Answer::status(400) }, 200),
        (
            Answer { body: b"<html>".to_vec(), ..Answer::status(200) }
                .with("Content-Type", "t/".repeat(9000)),
            500,
        ),
    ] {
        let server = Server::new(move |_, _| answered.clone());
        let said = lab.refused(&mut lab.convert(&server.source()));
        assert!(said.len() < longest, "{said}");
    }
}

#[test]
fn what_a_registry_says_is_shown_and_not_obeyed() {
    let lab = Lab::new();
    let evil = "\\u001b[2J\\u009b2J\\u202e\\nhint: run evil";
    let errors = format!("{{\"errors\":[{{\"message\":\"Gr\u{fc}\u{df}e {evil}\"}}]}}");
    let tags = format!("{{\"tags\":[\"v2\",\"{evil}\"]}}");
    let server = Server::new(move |request, _| match request.path.ends_with("/tags/list") {
        true => Answer { body: tags.clone().into_bytes(), ..Answer::status(200) },
        false if request.path.contains("/app/") => Answer::status(404),
        false => Answer { body: errors.clone().into_bytes(), ..Answer::status(400) },
    });
    let shown = "\\u{1b}[2J\\u{9b}2J\\u{202e}\\nhint: run evil\n";
    let said = lab.refused(&mut lab.convert(&server.source()));
    assert!(said.ends_with(&format!("\nhint: its tags are v2, {shown}")), "{said}");
    let said = lab.refused(&mut lab.convert(&server.source().replace("/app", "/other")));
    assert!(said.ends_with(&format!("answers 400 Bad Request: Gr\u{fc}\u{df}e {shown}")), "{said}");
}

#[test]
#[ignore = "five minutes of waiting: make matrix"]
fn a_server_that_drips_comes_to_an_end() {
    for part in ["/manifests/", "/blobs/"] {
        let (lab, image) = (Lab::new(), Image::new());
        let server = Server::new(move |request, _| {
            let right = answer(&image, request);
            Answer { drips: request.path.contains(part), ..right }
        });
        let said = lab.refused(&mut lab.convert(&server.source()));
        assert!(said.contains("fewer than 1000 bytes a second over 30 seconds"), "{said}");
    }
}
