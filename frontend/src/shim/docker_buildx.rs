//! `docker buildx build`, and `docker build`, which is the same under another name.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::image::{self, ImageOutputs};
use super::line::{Client, Dockerfile, Line, SYNTAX, is_argument};
use super::output::{Disks, Output, check_apart};
use super::run::{Act, Builds, DiskRun, TRANSPORT};
use super::words::{Dashes, Grammar, Item, Reader};
use crate::ask::request::STAGE;
use crate::base::{Error, Result};

/// What docker's and buildx's own flags are, from 0.13 to 0.36.
pub(super) const CLIENT: Client = Client {
    global: letters("builder config context c host H log-level l tlscacert tlscert tlskey"),
    plugin: Some("buildx"),
    commands: &[(&["build", "b"], letters(BUILD)), (&["bake", "f"], letters(BAKE))],
};

const fn letters(with_value: &'static str) -> Grammar {
    Grammar { with_value, dashes: Dashes::Letters }
}

const BUILD: &str = "add-host allow annotation attest build-arg build-context builder cache-from cache-to call \
    cgroup-parent cpu-period cpu-quota cpu-shares c cpuset-cpus cpuset-mems file f iidfile invoke isolation \
    label memory m memory-swap metadata-file network no-cache-filter output o platform policy print progress \
    provenance resource root sbom secret security-opt server-config shm-size ssh tag t target ulimit";

const BAKE: &str = "allow builder call file f list metadata-file policy progress provenance sbom set var";

const OUTPUT: &[&str] = &["output", "o"];
/// What a disk has none of: its build would scan what nobody keeps, or be refused by docker's own builder.
pub(super) const ATTESTATIONS: &[&str] = &["attest", "provenance", "sbom"];

/// The value of docker's flag `--config`, in whatever command.
pub(super) fn config(words: &[OsString]) -> Option<OsString> {
    let mut reader = Reader::new(words, CLIENT.global);
    let mut config = None;
    while let Some(items) = reader.read().filter(|items| !matches!(items[..], [Item::Word(_)])) {
        config = items.iter().find_map(|item| item.value_of(&["config"])).map(OsStr::to_owned).or(config);
    }
    config
}

/// What is done in place of a build.
pub(super) fn build(line: &Line) -> Result<Act> {
    if let Some(image) = ImageOutputs::read(&outputs(line))? {
        return Ok(Act::Instead(image_args(line, image)));
    }
    let outputs: Vec<Output> = line.values(OUTPUT).filter_map(disk).collect();
    if outputs.is_empty() {
        if !is_quiet(line) && makes_image_of_disk(line) {
            image::warn(&dockerfile(line));
        }
        return Ok(Act::PassOn);
    }
    let without_disks = || line.with(|item| !is_disk(item), []);
    if asks_only(line) {
        return Ok(Act::Instead(without_disks()));
    }
    let disks = Disks::new(&outputs)?;
    check_apart(&self::outputs(line))?;
    // What else is asked for is built as it would be without us: an image of the Dockerfile is a container's,
    // not one with a disk in it. So it takes a run of its own, and nothing of the engine (several outputs at
    // once are for BuildKit 0.13 and later).
    let others = line.items.iter().any(is_other).then(without_disks);
    if others.is_none() && line.last(&["iidfile"]).is_some() {
        return Err(Error::user("--iidfile: a disk has no image ID")
            .with_hint("ask for an image beside it, with --load or --push, or leave it out"));
    }
    Ok(Act::Run(Builds {
        warm: None,
        disks: vec![DiskRun { args: disk_args(line, &disks, others.is_some()), disks }],
        others,
        reads_stdin: context(line) == "-" || line.last(&["file", "f"]) == Some(OsStr::new("-")),
        quiet: is_quiet(line),
    }))
}

/// Whether a disk becomes an image, because the Dockerfile alone says that there is one.
fn makes_image_of_disk(line: &Line) -> bool {
    let has_stage = line.values(&["build-arg"]).any(|argument| is_argument(argument, STAGE));
    !asks_only(line) && !has_stage && image::are_images(&outputs(line)) && dockerfile(line).makes_disk()
}

fn is_quiet(line: &Line) -> bool {
    line.items.iter().any(|item| item.switches_on(&["quiet", "q"])) || quiet_progress(line)
}

/// Everything that `--output` asks for, and can be read.
fn outputs(line: &Line) -> Vec<Output> {
    line.values(OUTPUT).filter_map(|value| Output::parse(value.to_str()?)).collect()
}

fn image_args(line: &Line, image: ImageOutputs) -> Vec<OsString> {
    let variables = image.variables.into_iter().chain(dockerfile(line).frontend());
    let arguments = variables.flat_map(|(key, value)| ["--build-arg".to_owned(), format!("{key}={value}")]);
    let outputs = image.outputs.into_iter().map(|output| format!("--output={output}"));
    line.with(|item| !item.is(OUTPUT), arguments.chain(outputs))
}

fn disk_args(line: &Line, disks: &Disks, has_others: bool) -> Vec<OsString> {
    let keep = |item: &Item| {
        // The image, if there is one, is what these tell about.
        let tells_of_image = has_others && item.is(&["iidfile", "metadata-file"]);
        !item.is(OUTPUT) && !item.is(&["push", "load"]) && !item.is(ATTESTATIONS) && !tells_of_image
    };
    let variables = disks.variables.iter().cloned().chain(dockerfile(line).frontend());
    let arguments = variables.flat_map(|(key, value)| ["--build-arg".to_owned(), format!("{key}={value}")]);
    line.with(keep, arguments.chain([format!("--output={TRANSPORT}")]))
}

fn is_disk(item: &Item) -> bool {
    item.value_of(OUTPUT).and_then(disk).is_some()
}

/// Whether it asks for something else to be made.
fn is_other(item: &Item) -> bool {
    (item.is(OUTPUT) && !is_disk(item)) || item.switches_on(&["push"]) || item.switches_on(&["load"])
}

fn disk(value: &OsStr) -> Option<Output> {
    Output::parse(value.to_str()?).filter(Output::is_disk)
}

/// Whether nothing is built: help, or a question to the frontend.
pub(super) fn asks_only(line: &Line) -> bool {
    const QUESTIONS: &[&str] = &["help", "h", "check", "print", "list", "list-targets", "list-variables"];
    line.items.iter().any(|item| item.switches_on(QUESTIONS))
        || line.last(&["call"]).is_some_and(|call| call != "build")
}

/// Whether stderr is for programs, or for nothing at all.
pub(super) fn quiet_progress(line: &Line) -> bool {
    line.last(&["progress"])
        .is_some_and(|progress| ["quiet", "none", "rawjson"].iter().any(|mode| progress == *mode))
}

fn context(line: &Line) -> &OsStr {
    line.words().last().unwrap_or(OsStr::new("."))
}

fn dockerfile(line: &Line) -> Dockerfile {
    let path = match line.last(&["file", "f"]) {
        Some(file) => PathBuf::from(file),
        None => Path::new(context(line)).join("Dockerfile"),
    };
    let has_frontend = line.values(&["build-arg"]).any(|argument| is_argument(argument, SYNTAX));
    Dockerfile { path, has_frontend }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    fn act(line: &str) -> Result<Act> {
        build(&Line::read(&words(line), &CLIENT).unwrap())
    }

    fn plan(line: &str) -> Builds {
        match act(line).unwrap() {
            Act::Run(plan) => plan,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn shown(words: &[OsString]) -> String {
        words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    /// The arguments that a disk's build gets in place of the output.
    const ARGUMENTS: &str = "--build-arg VMIMAGE_TRANSPORT=sparse --build-arg VMIMAGE_HINTS=attribute --build-arg VMIMAGE_FORMAT=qcow2 --build-arg BUILDKIT_SYNTAX=example/vmimage \
                             --output=type=tar,dest=-";

    #[test]
    fn every_spelling_is_the_same_build() {
        for (typed, expected) in [
            ("buildx build -o DISK .", "buildx build . ARGS"),
            ("buildx build -oDISK .", "buildx build . ARGS"),
            ("buildx build -o=DISK .", "buildx build . ARGS"),
            ("buildx build --output DISK .", "buildx build . ARGS"),
            ("buildx build --output=DISK .", "buildx build . ARGS"),
            ("buildx build . --output=DISK", "buildx build . ARGS"),
            ("buildx b --output=DISK .", "buildx b . ARGS"),
            ("build -o DISK .", "build . ARGS"),
            ("--context remote buildx build -o DISK .", "--context remote buildx build . ARGS"),
            ("-c build -D buildx build -o DISK .", "-c build -D buildx build . ARGS"),
            ("--config=x buildx --builder b build -o DISK .", "--config=x buildx --builder b build . ARGS"),
            ("buildx -D build -o DISK --builder b .", "buildx -D build --builder b . ARGS"),
            ("buildx build -qo DISK .", "buildx build -q . ARGS"),
            ("buildx build --build-arg --output -o DISK .", "buildx build --build-arg --output . ARGS"),
            ("buildx build -t app -o DISK -f x/y -- dir", "buildx build -t app -f x/y ARGS -- dir"),
            (
                "buildx build --progress=plain -o DISK --platform linux/amd64,linux/arm64 .",
                "buildx build --progress=plain --platform linux/amd64,linux/arm64 . ARGS",
            ),
            ("buildx build -o DISK --metadata-file m .", "buildx build --metadata-file m . ARGS"),
            ("buildx build -o DISK --push=false .", "buildx build . ARGS"),
            ("buildx build -o DISK --sbom=true --provenance mode=max .", "buildx build . ARGS"),
            ("build --attest type=sbom -o DISK --attest=type=provenance .", "build . ARGS"),
        ] {
            let plan = plan(&typed.replace("DISK", "type=vmdisk,dest=d.qcow2"));
            assert_eq!(shown(&plan.disks[0].args), expected.replace("ARGS", ARGUMENTS), "{typed}");
            assert!(plan.warm.is_none() && plan.others.is_none() && plan.disks.len() == 1, "{typed}");
        }
    }

    #[test]
    fn what_is_asked_beside_the_disk_is_built_as_without_us() {
        for (typed, disk, others) in [
            ("build -o DISK -o out .", "build . ARGS", "build -o out ."),
            ("build -t a --push -o DISK .", "build -t a . ARGS", "build -t a --push ."),
            ("build --load -o DISK --iidfile i .", "build . ARGS", "build --load --iidfile i ."),
            (
                "build -o DISK --metadata-file m -o type=oci,dest=x .",
                "build . ARGS",
                "build --metadata-file m -o type=oci,dest=x .",
            ),
            ("build --sbom=true --push -o DISK .", "build . ARGS", "build --sbom=true --push ."),
            ("build -qo DISK --push .", "build -q . ARGS", "build -q --push ."),
        ] {
            let plan = plan(&typed.replace("DISK", "type=vmdisk,dest=d.qcow2"));
            assert_eq!(shown(&plan.disks[0].args), disk.replace("ARGS", ARGUMENTS), "{typed}");
            assert_eq!(shown(&plan.others.unwrap()), others, "{typed}");
        }
    }

    #[test]
    fn two_formats_are_one_build() {
        let plan = plan("build -o type=vmdisk,dest=a.qcow2,size=9G -o type=vmdisk,dest=b.vhdx .");
        assert_eq!(
            shown(&plan.disks[0].args),
            "build . --build-arg VMIMAGE_TRANSPORT=sparse --build-arg VMIMAGE_HINTS=attribute --build-arg VMIMAGE_FORMAT=qcow2,vhdx --build-arg VMIMAGE_SIZE=9G \
             --build-arg BUILDKIT_SYNTAX=example/vmimage --output=type=tar,dest=-"
        );
        assert_eq!(plan.disks.len(), 1);
    }

    #[test]
    fn the_frontend_is_brought_in_only_where_it_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        let context = dir.path().to_str().unwrap();
        let with = |more: &str| {
            let plan = plan(&format!("build -o type=vmdisk,dest=d.raw {more} {context}"));
            shown(&plan.disks[0].args).contains("BUILDKIT_SYNTAX=example/vmimage --output")
        };
        assert!(with(""), "there is no Dockerfile to be read here");
        std::fs::write(dir.path().join("Dockerfile"), "# syntax=example/vmimage:1\nFROM debian\n").unwrap();
        assert!(!with(""));
        assert!(with("-f other"));
        std::fs::write(dir.path().join("Dockerfile"), "# syntax=docker/dockerfile:1\nFROM debian\n").unwrap();
        assert!(with(""));
        assert!(!with("--build-arg BUILDKIT_SYNTAX=example/vmimage:dev"));
        assert!(!with("--build-arg=BUILDKIT_SYNTAX"));
        assert!(with("--build-arg BUILDKIT_SYNTAX_NOT=x"));
    }

    #[test]
    fn an_image_that_holds_a_disk_by_chance_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let context = dir.path().to_str().unwrap();
        std::fs::write(dir.path().join("Dockerfile"), "# syntax=example/vmimage\nFROM debian\n").unwrap();
        std::fs::write(dir.path().join("Plain"), "FROM debian\n").unwrap();
        for (flags, expected) in [
            ("", true),
            ("-t web --push", true),
            ("-o type=image,name=web", true),
            ("-o type=docker -o type=oci,dest=x", true),
            ("-o out", false),
            ("-o type=tar,dest=x --load", false),
            ("--build-arg VMIMAGE_STAGE=containerdisk", false),
            ("--build-arg BUILDKIT_SYNTAX=docker/dockerfile:1", false),
            ("--check", false),
            (&format!("-f {context}/Plain"), false),
        ] {
            let line = words(&format!("build {flags} {context}"));
            assert_eq!(makes_image_of_disk(&Line::read(&line, &CLIENT).unwrap()), expected, "{flags}");
        }
    }

    #[test]
    fn all_else_is_passed_on() {
        for typed in [
            "buildx build .",
            "buildx build -o out .",
            "buildx build -o type=tar,dest=vmdisk .",
            "buildx build -t type=vmdisk .",
            "buildx build --build-arg -o --label type=vmdisk,dest=x .",
            "buildx build -- -o type=vmdisk,dest=x",
            "buildx build -o type=vmdisk,dest .",
        ] {
            assert_eq!(act(typed).unwrap(), Act::PassOn, "{typed}");
        }
        for typed in ["", "buildx", "buildx ls", "docker-cli-plugin-metadata", "buildx --builder build ls"] {
            assert!(Line::read(&words(typed), &CLIENT).is_none(), "{typed}");
        }
        for typed in ["__complete buildx build -o type=vmdisk,dest=x", "docker-cli-plugin-hooks build"] {
            assert!(Line::read(&words(typed), &CLIENT).is_none(), "{typed}");
        }
    }

    #[test]
    fn dockers_configuration_is_found_before_any_command() {
        for (typed, expected) in [
            ("--config x buildx ls", Some("x")),
            ("-c a --config=x --config=y buildx ls", Some("y")),
            ("buildx ls --config x", None),
            ("", None),
        ] {
            assert_eq!(config(&words(typed)).as_deref(), expected.map(OsStr::new), "{typed}");
        }
    }

    #[test]
    fn questions_make_no_disk() {
        for (typed, instead) in [
            ("build --check -o DISK .", "build --check ."),
            ("build --call=outline -o DISK .", "build --call=outline ."),
            ("build -o DISK --print outline .", "build --print outline ."),
            ("build -o DISK --help", "build --help"),
        ] {
            let instead = Act::Instead(words(instead));
            assert_eq!(act(&typed.replace("DISK", "type=vmdisk,dest=d.qcow2")).unwrap(), instead);
        }
        assert!(matches!(act("build --call build -o type=vmdisk,dest=d.raw .").unwrap(), Act::Run(_)));
    }

    #[test]
    fn standard_input_and_silence_are_noticed() {
        let seen = |more: &str| {
            let plan = plan(&format!("build -o type=vmdisk,dest=d.raw {more}"));
            (plan.reads_stdin, plan.quiet)
        };
        assert_eq!(seen("."), (false, false));
        assert_eq!(seen("-"), (true, false));
        assert_eq!(seen("-f - ."), (true, false));
        assert_eq!(seen("-q ."), (false, true));
        assert_eq!(seen("--progress rawjson ."), (false, true));
    }

    #[test]
    fn an_image_of_the_disk_is_made_by_the_real_client_alone() {
        let typed = "build -t a --push --iidfile i -o type=image,format=containerdisk,size=9G .";
        let instead = "build -t a --push --iidfile i . --build-arg VMIMAGE_SIZE=9G \
                       --build-arg VMIMAGE_STAGE=containerdisk --build-arg VMIMAGE_HINTS=attribute --build-arg BUILDKIT_SYNTAX=example/vmimage \
                       --output=type=image,compression=uncompressed,oci-mediatypes=true";
        assert_eq!(act(typed).unwrap(), Act::Instead(words(instead)));
        assert!(act("build -o type=oci,dest=x,format=containerdisk -o out .").is_err());
    }

    #[test]
    fn nothing_is_written_over_a_disk() {
        for (typed, part) in [
            ("-o type=vmdisk,dest=-,format=raw -o -", "dest=- takes one disk"),
            ("-o type=vmdisk,dest=-,format=raw -o type=oci,name=a", "dest=- takes one disk"),
            ("-o type=vmdisk,dest=a.raw -o type=tar,dest=./a.raw", "./a.raw: is a disk and another output"),
            (
                "-o type=vmdisk,dest=a,format=raw -o type=vmdisk,dest=b/../a,format=qcow2",
                "b/../a: is named twice",
            ),
        ] {
            let error = act(&format!("build {typed} .")).unwrap_err().to_string();
            assert!(error.contains(part), "{typed}: {error}");
        }
        for typed in
            ["-o type=vmdisk,dest=-,format=raw -o type=docker", "-o type=vmdisk,dest=a.raw -o - -o b.raw"]
        {
            assert!(matches!(act(&format!("build {typed} .")), Ok(Act::Run(_))), "{typed}");
        }
    }

    #[test]
    fn a_disk_has_no_image_id() {
        let error = act("build --iidfile i -o type=vmdisk,dest=d.raw .").unwrap_err();
        assert!(error.to_string().starts_with("--iidfile: a disk has no image ID"), "{error}");
        let error = act("build -o type=vmdisk,sise=1 .").unwrap_err().to_string();
        assert!(error.contains("unknown attribute sise"), "{error}");
    }
}
