//! What goes wrong on the way: it is overcome, or said in one message with nothing left behind.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::image::{Image, MANIFEST};
use crate::lab::{Lab, run};
use crate::server::{Answer, Server, answer};

/// The disk of the image by the way that needs no registry.
fn expected(lab: &Lab) -> Vec<u8> {
    let layout = Image::new().layout(lab.path());
    lab.converted(&mut lab.convert(&format!("oci:{}", layout.display())))
}

/// A registry in which the lower layer is answered as `change` makes it.
fn with_layer(change: impl Fn(Answer, usize) -> Answer + Send + Sync + 'static) -> Server {
    let image = Image::new();
    let layer = format!("/v2/team/app/blobs/{}", image.layers[0].digest());
    Server::new(move |request, before| match answer(&image, request) {
        right if request.path == layer => change(right, before),
        right => right,
    })
}

#[test]
fn an_image_is_downloaded_once_whatever_its_types_are_called() {
    let lab = Lab::new();
    let disk = expected(&lab);
    for image in [Image::new(), Image::of_docker()] {
        let server = Server::new(move |request, _| answer(&image, request));
        assert!(lab.converted(&mut lab.convert(&server.source())) == disk);
        let mut paths: Vec<_> = server.requests().into_iter().map(|request| request.path).collect();
        paths.sort();
        let count = paths.len();
        paths.dedup();
        // Tag, manifest, configuration and two layers; nothing of the other platform.
        assert_eq!((paths.len(), count), (5, 5), "{paths:?}");
    }
}

#[test]
fn a_platform_is_chosen_and_a_missing_one_named() {
    let lab = Lab::new();
    let image = Image::new();
    let server = Server::new(move |request, _| answer(&image, request));
    lab.converted(lab.convert(&server.source()).args(["--platform", "linux/arm64"]));
    let image = Image::new();
    let (digest, manifest) = (image.manifest.digest(), image.manifest.clone());
    let only = Server::new(move |request, _| match request.path.ends_with("/v1") {
        true => Answer { status: 200, body: manifest.bytes.clone(), ..Answer::default() }
            .with("Content-Type", MANIFEST),
        false => answer(&image, request),
    });
    let said = lab.refused(lab.convert(&only.source()).args(["--platform", "linux/arm64"]));
    assert!(said.contains("there is no image for linux/arm64\nhint: it holds linux/amd64"), "{said}");
    lab.converted(&mut lab.convert(&format!("docker://{}/team/app@{digest}", only.host)));
    lab.converted(&mut lab.convert(&format!("docker://{}/team/app:other@{digest}", only.host)));
}

#[test]
fn a_broken_connection_goes_on_where_it_broke() {
    let lab = Lab::new();
    let server = with_layer(|right, before| match before {
        0 => Answer { cut: Some(1_000_000), ..right },
        1 => Answer { cut: Some(0), ..right },
        _ => right,
    });
    assert!(lab.converted(&mut lab.convert(&server.source())) == expected(&lab));
    let ranges: Vec<_> =
        server.requests().iter().filter_map(|request| request.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, ["bytes=1000000-"; 2]);
}

#[test]
fn a_server_without_ranges_starts_anew() {
    let lab = Lab::new();
    let layer = Image::new().layers[0].clone();
    let server = with_layer(move |right, before| match before {
        0 => Answer { cut: Some(1_000_000), ..right },
        _ => Answer { status: 200, body: layer.bytes.clone(), ..right },
    });
    assert!(lab.converted(&mut lab.convert(&server.source())) == expected(&lab));
}

#[test]
fn a_registry_that_is_busy_is_asked_again() {
    let lab = Lab::new();
    let image = Image::new();
    let server = Server::new(move |request, before| match before {
        0 => Answer::status(if request.path.contains("manifests") { 429 } else { 503 }),
        _ => answer(&image, request),
    });
    assert!(lab.converted(&mut lab.convert(&server.source())) == expected(&lab));
}

#[test]
fn a_refusal_is_none_of_the_network_and_asked_for_once() {
    let lab = Lab::new();
    let sent_on = |to: &str| Answer::status(307).with("Location", to);
    for (answered, said) in [
        (sent_on("/v2/team/app/manifests/v1"), "sends on from one place to the next without an end"),
        (sent_on("http://me:secret@there/"), "sends on to an address that is none"),
        (sent_on("nowhere://there/"), "sends on to an address that is none"),
        (sent_on("http://a b/"), "sends on to an address that is none"),
        (Answer::status(200).with("X-Long", "x".repeat(200_000)), "answers with more headers than are read"),
        (Answer::status(501), "the registry answers 501 Not Implemented"),
        (Answer::status(418), "the registry answers 418 I'm a teapot"),
    ] {
        let server = Server::new(move |_, _| answered.clone());
        let text = lab.refused(&mut lab.convert(&server.source()));
        assert!(text.contains(said), "{text}");
        assert!(!text.contains("secret"), "{text}");
        assert!(!text.contains("cannot be reached") && !text.contains("in a row"), "{text}");
        // Of what is sent on without an end, ten steps are taken.
        let asked = server.requests().iter().filter(|request| request.path.ends_with("/v1")).count();
        assert!((1..=11).contains(&asked), "{asked}");
    }
}

#[test]
fn what_does_not_come_whole_is_said() {
    let lab = Lab::new();
    let always_cut = with_layer(|right, _| Answer { cut: Some(right.body.len() / 2), ..right });
    let said = lab.refused(&mut lab.convert(&always_cut.source()));
    assert!(
        said.contains(": the connection broke after ") && said.ends_with(", 5 times in a row\n"),
        "{said}"
    );

    let short = with_layer(|right, _| Answer { body: right.body[..1_000_000].to_vec(), ..right });
    let said = lab.refused(&mut lab.convert(&short.source()));
    assert!(said.contains(" has 1000000 bytes in the registry, "), "{said}");

    let long = with_layer(|mut right, _| {
        right.body.push(0);
        right
    });
    let said = lab.refused(&mut lab.convert(&long.source()));
    assert!(said.contains(" bytes in the registry, "), "{said}");

    let missing = with_layer(|_, _| {
        let body = br#"{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown\u001b[2J"}]}"#;
        Answer { status: 404, body: body.to_vec(), ..Answer::default() }
    });
    let said = lab.refused(&mut lab.convert(&missing.source()));
    assert!(said.contains("the registry answers 404 Not Found: blob unknown\\u{1b}[2J\n"), "{said}");
}

#[test]
fn what_is_not_what_it_should_be_is_refused() {
    let lab = Lab::new();
    let flipped = with_layer(|mut right, _| {
        right.body[2_000_000] ^= 1;
        right
    });
    let said = lab.refused(&mut lab.convert(&flipped.source()));
    assert!(
        said.contains("layer 1 of 2 ") && said.contains("the content is damaged: its digest is "),
        "{said}"
    );

    let image = Image::new();
    let digest = image.manifest.digest();
    let other = Server::new(move |request, _| answer(&image, &request.at("/v2/team/app/manifests/v1")));
    let said = lab.refused(&mut lab.convert(&format!("docker://{}/team/app@{digest}", other.host)));
    assert!(said.contains(&format!("does not have the digest {digest}")), "{said}");

    for (media_type, body) in [
        ("text/html", "<html>"),
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", r#"{"schemaVersion":1}"#),
        ("application/json", r#"{"mediaType":"application/vnd.example"}"#),
    ] {
        let answer =
            Answer { status: 200, body: body.into(), ..Answer::default() }.with("Content-Type", media_type);
        let server = Server::new(move |_, _| answer.clone());
        let said = lab.refused(&mut lab.convert(&server.source()));
        assert!(said.contains(&format!("of the type {media_type:?} there, not an image")), "{said}");
    }
}

#[test]
fn nobody_there_is_said_at_once() {
    let lab = Lab::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = lab.refused(&mut lab.convert(&format!("docker://{free}/team/app")));
    assert_eq!(
        said,
        format!(
            "error: docker://{free}/team/app:latest: {free} cannot be reached: Connection refused (os error 111)\n"
        )
    );
    let said = lab.refused(&mut lab.convert("docker://no-such-host.invalid/app"));
    assert!(said.contains("no-such-host.invalid cannot be reached: "), "{said}");
}

#[test]
fn a_mirror_is_asked_first() {
    let lab = Lab::new();
    let image = Image::new();
    let mirror = Server::new(move |request, _| match request.path.strip_prefix("/v2/hub/") {
        Some(path) => answer(&image, &request.at(&format!("/v2/{path}"))),
        None => Answer::status(404),
    });
    let option = format!("registry.invalid=http://{}/hub", mirror.host);
    let mut command = lab.convert("docker://registry.invalid/team/app:v1");
    assert!(lab.converted(command.args(["--registry-mirror", &option])) == expected(&lab));

    // What it does not have may be where it comes from.
    let mut command = lab.convert("docker://registry.invalid/team/other:v1");
    let said = lab.refused(command.args(["--registry-mirror", &option]));
    assert!(
        said.contains("registry.invalid cannot be reached") && said.contains("the mirror http://"),
        "{said}"
    );
    let image = Image::new();
    let origin = Server::new(move |request, _| answer(&image, request));
    let option = format!("{}=http://{}/nothing", origin.host, mirror.host);
    lab.converted(lab.convert(&origin.source()).args(["--registry-mirror", &option]));
}

#[test]
fn a_disk_that_cannot_be_written_is_found_before_the_download() {
    let lab = Lab::new();
    let image = Image::new();
    let server = Server::new(move |request, _| answer(&image, request));
    for (disk, format, said, hint) in [
        ("missing/web.raw", "raw", "missing does not exist", "mkdir -p"),
        ("web.cab", "", "its extension tells no format", "--format"),
        ("/proc/web.raw", "raw", "/proc/web.raw: cannot create the file", ""),
        ("../home", "raw", "the destination is a directory", "name a file"),
    ] {
        let mut command = lab.convert_to(&server.source(), Path::new(disk));
        command.current_dir(lab.path().join("out"));
        if !format.is_empty() {
            command.args(["--format", format]);
        }
        let text = lab.refused(&mut command);
        assert!(text.contains(said) && text.contains(hint), "{text}");
    }
    assert!(server.requests().is_empty());
}

#[test]
fn a_folder_without_permission_is_said() {
    let lab = Lab::new();
    fs::set_permissions(lab.path(), PermissionsExt::from_mode(0o755)).unwrap();
    // The program itself may lie where nobody gets to.
    let program = lab.path().join("vmimage");
    fs::copy(env!("CARGO_BIN_EXE_vmimage"), &program).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
    command.args(["convert", "--profile", "data", "docker://127.0.0.1:1/app", "-o"]).arg(lab.disk());
    let text = lab.refused(&mut command);
    assert!(text.contains("cannot create the file: Permission denied") && text.contains("hint: "), "{text}");
}

/// A little memory as a file system; unmounted when dropped.
struct Small<'a>(&'a Lab);

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path().join("out")).status();
    }
}

#[test]
fn no_room_for_the_layers_is_said() {
    let lab = Lab::new();
    let image = Image::new();
    let server = Server::new(move |request, _| answer(&image, request));
    run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(lab.path().join("out")));
    let small = Small(&lab);
    let text = lab.refused(&mut lab.convert(&server.source()));
    assert!(text.contains("cannot keep what is downloaded in a temporary file in "), "{text}");
    assert!(text.contains("No space left on device") && text.contains("\nhint: free some space"), "{text}");
    drop(small);
}

#[test]
fn a_run_that_is_ended_in_mid_download_leaves_nothing() {
    let lab = Lab::new();
    let stalled = with_layer(|right, _| {
        std::thread::sleep(std::time::Duration::from_secs(60));
        right
    });
    let mut child = lab.convert(&stalled.source()).spawn().unwrap();
    while !stalled.requests().iter().any(|request| request.path.contains("blobs")) {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    run(Command::new("kill").arg(child.id().to_string()));
    assert!(!child.wait().unwrap().success());
    assert_eq!(fs::read_dir(lab.path().join("out")).unwrap().count(), 0);
}
