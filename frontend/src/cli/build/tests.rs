//! What is typed → the exact docker command.

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Typed {
    #[command(flatten)]
    args: Args,
}

fn typed(words: &[&str]) -> Args {
    Typed::parse_from(["build"].iter().chain(words)).args
}

fn arguments(words: &[&str], has_syntax: bool) -> String {
    let args = typed(words);
    let format = format_of(&args).unwrap();
    buildx_arguments(&args, format, has_syntax).join(" ")
}

const END: &str = "--provenance=false --sbom=false --output=type=tar,dest=- --";

#[test]
fn the_least_that_can_be_typed() {
    assert_eq!(
        arguments(&["-o", "web.qcow2"], false),
        format!("--build-arg BUILDKIT_SYNTAX=example/vmimage --build-arg VMIMAGE_FORMAT=qcow2 {END} .")
    );
}

#[test]
fn a_syntax_line_is_left_alone_unless_a_frontend_is_asked_for() {
    assert_eq!(
        arguments(&["-o", "web.img", "app"], true),
        format!("--build-arg VMIMAGE_FORMAT=raw {END} app")
    );
    assert_eq!(
        arguments(&["-o", "web.img", "--frontend", "example/vmimage:dev"], true),
        format!("--build-arg BUILDKIT_SYNTAX=example/vmimage:dev --build-arg VMIMAGE_FORMAT=raw {END} .")
    );
}

#[test]
fn every_disk_option_is_a_variable() {
    let words =
        ["-o", "d.x", "--format", "raw", "--size", "10G", "--compression", "none", "--hostname", "web"];
    let more = ["--kernel", "linux-image-cloud-amd64", "--cmdline", "-q a=b"];
    assert_eq!(
        arguments(&[&words[..], &more].concat(), true),
        format!(
            "--build-arg VMIMAGE_FORMAT=raw --build-arg VMIMAGE_SIZE=10G --build-arg VMIMAGE_COMPRESSION=none \
             --build-arg VMIMAGE_HOSTNAME=web --build-arg VMIMAGE_KERNEL=linux-image-cloud-amd64 \
             --build-arg VMIMAGE_CMDLINE=-q a=b {END} ."
        )
    );
}

/// Every option of docker's: as typed, as handed on.
const DOCKER_OPTIONS: [(&str, &str); 21] = [
    ("-f x/Dockerfile", "--file x/Dockerfile"),
    ("--file -", "--file -"),
    ("--target app", "--target app"),
    ("--builder b", "--builder b"),
    ("--progress plain", "--progress plain"),
    ("--network host", "--network host"),
    ("--build-arg A=1 --build-arg B", "--build-arg A=1 --build-arg B"),
    ("--build-context n=dir", "--build-context n=dir"),
    ("--secret id=k,src=f", "--secret id=k,src=f"),
    ("--ssh default", "--ssh default"),
    ("--platform linux/amd64,linux/arm64", "--platform linux/amd64,linux/arm64"),
    ("--cache-from type=gha", "--cache-from type=gha"),
    ("--cache-to type=gha", "--cache-to type=gha"),
    ("--label a=b --label c=d", "--label a=b --label c=d"),
    ("--add-host h:1.2.3.4", "--add-host h:1.2.3.4"),
    ("--allow network.host", "--allow network.host"),
    ("--no-cache", "--no-cache"),
    ("--pull", "--pull"),
    ("-q", "--quiet"),
    ("--quiet --pull", "--pull --quiet"),
    ("--target=app", "--target app"),
];

#[test]
fn docker_options_are_handed_on() {
    for (given, expected) in DOCKER_OPTIONS {
        let words: Vec<&str> = ["-o", "d.raw"].into_iter().chain(given.split(' ')).collect();
        assert_eq!(
            arguments(&words, true),
            format!("--build-arg VMIMAGE_FORMAT=raw {expected} {END} ."),
            "{given}"
        );
    }
}

#[test]
fn a_name_without_a_format_is_refused() {
    let error = format_of(&typed(&["-o", "web.iso"])).unwrap_err();
    assert_eq!(error.to_string(), "web.iso: its ending tells no format");
    assert!(error.hint().unwrap().starts_with("end it in one of .raw .qcow2"));
}
