//! The table against every buildx that can be had, the command line and the page.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use clap::{CommandFactory, Parser};

use super::*;
use crate::base::testing::is_kept;
use crate::cli::build::Args;

#[derive(Parser)]
struct Typed {
    #[command(flatten)]
    args: Args,
}

fn typed(words: &str) -> Args {
    Typed::parse_from(["build", "-o", "d.raw"].into_iter().chain(words.split_whitespace())).args
}

fn names() -> BTreeSet<String> {
    FLAGS.iter().map(|flag| format!("--{}", flag.name)).collect()
}

/// A file below `testdata`.
fn at_top(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// The flags of a release, as they are kept in `testdata/buildx`.
fn recorded(version: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(at_top(&format!("testdata/buildx/flags-{version}"))).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

/// The flags that a help text lists, but for `--help` itself.
fn listed(help: &str) -> BTreeSet<String> {
    let flag = |line: &str| {
        let line = line.trim_start();
        let long =
            line.strip_prefix('-').and_then(|rest| rest.split_once(", ")).map_or(line, |(_, long)| long);
        long.starts_with("--").then(|| long.split_whitespace().next().unwrap_or_default().to_owned())
    };
    help.lines().filter_map(flag).filter(|name| name != "--help").collect()
}

#[test]
fn the_newest_buildx_has_these_flags() {
    assert_eq!(names(), recorded("0.36.1"));
    let before = recorded("0.29.1");
    assert_eq!(before.difference(&names()).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn the_buildx_that_is_installed_has_no_others() {
    let help = Command::new("docker").args(["buildx", "build", "--help"]).output().unwrap();
    let listed = listed(&String::from_utf8(help.stdout).unwrap());
    assert!(listed.contains("--build-arg") && listed.contains("--tag"), "{listed:?}");
    assert_eq!(listed.difference(&names()).collect::<Vec<_>>(), Vec::<&String>::new());
    // A help text with a flag that nobody has heard of.
    let newer = self::listed("  -t, --tag stringArray   Name\n      --teleport   Go there\n");
    assert_eq!(newer.difference(&names()).collect::<Vec<_>>(), ["--teleport"]);
}

#[test]
fn the_command_line_takes_them_all() {
    let command = Typed::command();
    let taken: BTreeSet<_> =
        command.get_arguments().filter_map(clap::Arg::get_long).map(|name| format!("--{name}")).collect();
    assert_eq!(names().difference(&taken).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn images_are_pointed_to_where_they_are_made() {
    for (words, message) in [
        ("-t web", "--tag: vmimage build makes a disk, and no image"),
        ("--load", "--load: vmimage build makes a disk, and no image"),
        ("--push --pull", "--push: vmimage build makes a disk, and no image"),
        ("--iidfile id", "--iidfile: a disk has no image ID"),
    ] {
        for tool in [None, Some(Tool::Buildah), Some(Tool::Podman)] {
            let error = refuse(&typed(words).docker, tool).unwrap_err();
            assert_eq!(error.to_string(), message);
            assert!(
                error
                    .hint()
                    .unwrap()
                    .to_string()
                    .contains("docker build -t NAME --load -o type=vmdisk,dest=")
            );
        }
    }
    assert!(refuse(&typed("--sbom true --pull --shm-size 1g").docker, Some(Tool::Buildah)).is_ok());
    assert!(refuse(&typed("--allow x").docker, None).is_ok());
    assert!(refuse(&typed("--allow x").docker, Some(Tool::Podman)).is_err());
}

#[test]
fn questions_are_told_from_builds() {
    for words in ["--check", "--call outline,format=json .", "--call=targets -f x"] {
        assert!(typed(words).docker.only_asks(), "{words}");
    }
    for words in ["", "--pull", "--debug ."] {
        assert!(!typed(words).docker.only_asks(), "{words}");
    }
    assert!(Typed::try_parse_from(["build", "--call", "build"]).is_err());
}

#[test]
fn what_is_switched_off_needs_no_warning() {
    for (value, off) in [
        (Some("false"), true),
        (Some("type=sbom,disabled=true"), true),
        (Some("true"), false),
        (Some("mode=max"), false),
        (None, false),
    ] {
        assert_eq!(is_off(value), off, "{value:?}");
    }
}

/// The table as `docs/build-flags.md` has it.
fn page() -> String {
    let mut page = String::from(
        "# The flags of `docker buildx build`\n\n\
         What `vmimage build` makes of each, by the newest buildx, 0.36. A test compares this table with the flags of that\n\
         release, of 0.29 and of the one that is installed. An older docker refuses by itself what it does not know.\n\n\
         | flag | with docker | with buildah and podman |\n|---|---|---|\n",
    );
    let shown = |fate| match fate {
        Passed => "as typed".to_owned(),
        Own => "done by vmimage".to_owned(),
        Dropped(why) => format!("left out with a warning: {why}"),
        Refused(why) => format!("refused: {why}"),
        Unknown => "refused: docker's alone".to_owned(),
    };
    for flag in FLAGS {
        writeln!(page, "| `--{}` | {} | {} |", flag.name, shown(flag.docker), shown(flag.store)).unwrap();
    }
    page + NOTES
}

const NOTES: &str = "
`--check` and `--call` build nothing and want no `-o`. With buildah and podman, `--progress` knows `auto` and `plain`. Flags
that buildx itself hides (`--rm`, `--squash`, `--isolation`, `--memory` and others of the classic builder) are refused:
BuildKit gives most of them no meaning, and `--resource` stands for the rest.

For an image beside the disk, `vmimage install` and then `docker build -t NAME --load -o type=vmdisk,dest=web.qcow2 .`: there
every flag is docker's own. Attestations are left out of the disk's build there too; with an image beside the disk they are the
image's.

## How a disk reaches the client

`vmimage build` and the programs that `vmimage install` puts in front of docker's and buildctl's ask the frontend for files
without their zeroes (the build argument `VMIMAGE_TRANSPORT=sparse`): of raw, VHD, VHDX, VDI and uncompressed qcow2 files a
stream arrives that says what the file holds and where. The file is made as it arrives, with holes, and is the same byte for
byte. Other clients (`docker buildx build -o .`) get the file itself, zeroes and all; VHDX and other formats that are written in
no order also come so on their way to stdout. A folder is a folder in that stream, which is one tar, whoever the client is:
[formats.md](formats.md).

## Docker Compose

`docker compose build` always makes an image. A service whose Dockerfile has `# syntax=example/vmimage` gives one that holds
`disk.qcow2` and cannot be run; Compose ignores outputs (`x-bake` too). The build warns of it. Make the disk with `vmimage build`
or `docker build -o type=vmdisk,dest=web.qcow2`, leave the syntax line out of Dockerfiles that Compose builds as well, or ask for
a container disk on purpose (`args: { VMIMAGE_STAGE: containerdisk }`). `docker build -t NAME` of such a Dockerfile, with nothing
asked for but the image, is warned of where vmimage is installed in front of buildx.
";

#[test]
fn the_page_is_this_table() {
    is_kept("docs/build-flags.md", &page());
}
