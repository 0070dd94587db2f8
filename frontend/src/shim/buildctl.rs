//! `buildctl build`, typed or run by `nerdctl build`.

use std::ffi::OsStr;
use std::path::Path;

use super::image::ImageOutputs;
use super::line::{Client, Dockerfile, Line, SYNTAX, is_argument};
use super::output::{Disks, Output, check_apart};
use super::run::{Act, Builds, DiskRun, TRANSPORT};
use super::words::{Dashes, Grammar, Item};
use crate::base::{Error, Result};

/// What buildctl's flags are.
pub(super) const CLIENT: Client = Client {
    global: go("addr log-format tlsservername tlscacert tlscert tlskey tlsdir timeout"),
    plugin: None,
    commands: &[(&["build", "b"], go(BUILD))],
};

const fn go(with_value: &'static str) -> Grammar {
    Grammar { with_value, dashes: Dashes::Same }
}

const BUILD: &str = "output o exporter exporter-opt progress trace local oci-layout frontend opt frontend-opt \
    export-cache export-cache-opt import-cache secret allow ssh metadata-file source-policy-file ref-file \
    registry-auth-tlscontext debug-json-cache-metrics";

const OUTPUT: &[&str] = &["output", "o"];
const OPT: &[&str] = &["opt", "frontend-opt"];

/// What nerdctl adds to every output: the names of an image.
const OF_NERDCTL: [&str; 2] = ["name", "dangling-name-prefix"];

/// What is done in place of a build.
pub(super) fn build(line: &Line) -> Result<Act> {
    let all: Vec<_> = line.values(OUTPUT).filter_map(|value| Output::parse(value.to_str()?)).collect();
    if let Some(image) = ImageOutputs::read(&all)? {
        let outputs = image.outputs.into_iter().map(|output| format!("--output={output}"));
        let options = options(line, image.variables);
        return Ok(Act::Instead(line.with(|item| !item.is(OUTPUT), options.chain(outputs))));
    }
    let outputs: Vec<Output> = line.values(OUTPUT).filter_map(disk).collect();
    if outputs.is_empty() || line.items.iter().any(|item| item.is(&["help", "h"])) {
        return Ok(Act::PassOn);
    }
    if line.last(&["frontend"]).is_none() {
        return Err(Error::user(
            "--output type=vmdisk: a disk is made of a Dockerfile, and no frontend is named",
        )
        .with_hint("name one: --frontend dockerfile.v0 --local context=. --local dockerfile=."));
    }
    let disks = Disks::new(&outputs)?;
    check_apart(&all.into_iter().map(with_stdout).collect::<Vec<_>>())?;
    let is_disk = |item: &Item| item.value_of(OUTPUT).and_then(disk).is_some();
    let has_others = line.items.iter().any(|item| item.is(OUTPUT) && !is_disk(item));
    let keep = |item: &Item| {
        let tells_of_image = has_others && item.is(&["metadata-file"]);
        !item.is(OUTPUT) && !is_attestation(item) && !tells_of_image
    };
    let options = options(line, disks.variables.clone());
    let args = line.with(keep, options.chain([format!("--output={TRANSPORT}")]));
    Ok(Act::Run(Builds {
        warm: None,
        disks: vec![DiskRun { args, disks }],
        others: has_others.then(|| line.with(|item| !is_disk(item), [])),
        reads_stdin: false,
        quiet: super::docker_buildx::quiet_progress(line),
    }))
}

/// `--opt attest:sbom=…`: what a disk has none of.
fn is_attestation(item: &Item) -> bool {
    item.value_of(OPT).is_some_and(|option| option.as_encoded_bytes().starts_with(b"attest:"))
}

/// The options that tell the frontend, and bring it in where it is needed.
fn options(line: &Line, variables: Vec<(String, String)>) -> impl Iterator<Item = String> {
    let is_dockerfile = line.last(&["frontend"]).is_some_and(|frontend| frontend == "dockerfile.v0");
    let ours = is_dockerfile.then(|| dockerfile(line).frontend()).flatten();
    let all = variables.into_iter().chain(ours);
    all.map(|(key, value)| format!("--opt=build-arg:{key}={value}"))
}

fn disk(value: &OsStr) -> Option<Output> {
    let mut output = Output::parse(value.to_str()?).filter(Output::is_disk)?;
    output.attributes.retain(|(key, _)| !OF_NERDCTL.contains(&key.as_str()));
    Some(output)
}

/// An archive for docker goes to stdout here: there is no docker to load it.
fn with_stdout(mut output: Output) -> Output {
    if output.kind == "docker" && output.file().is_none() {
        output.kind = "tar".to_owned();
    }
    output
}

fn dockerfile(line: &Line) -> Dockerfile {
    let value = |flags, key: &str| {
        let values = line.values(flags).filter_map(|value| value.to_str()?.split_once('='));
        values.filter(|(name, _)| *name == key).last().map(|(_, value)| value)
    };
    let folder = value(&["local"], "dockerfile").unwrap_or(".");
    let path = Path::new(folder).join(value(OPT, "filename").unwrap_or("Dockerfile"));
    let argument = format!("build-arg:{SYNTAX}");
    let has_frontend = line.values(OPT).any(|option| is_argument(option, &argument));
    Dockerfile { path, has_frontend }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn act(typed: &str) -> Result<Act> {
        let words: Vec<OsString> = typed.split_whitespace().map(OsString::from).collect();
        Line::read(&words, &CLIENT).map_or(Ok(Act::PassOn), |line| build(&line))
    }

    fn planned(typed: &str) -> (String, Option<String>) {
        let Act::Run(plan) = act(typed).unwrap() else { panic!("{typed}: nothing planned") };
        let shown = |words: &[OsString]| {
            words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
        };
        (shown(&plan.disks[0].args), plan.others.as_deref().map(shown))
    }

    #[test]
    fn outputs_become_options() {
        for (typed, disk, others) in [
            (
                "build --frontend dockerfile.v0 --local context=. --local dockerfile=x -o type=vmdisk,dest=a.raw",
                "build --frontend dockerfile.v0 --local context=. --local dockerfile=x \
                 --opt=build-arg:VMIMAGE_TRANSPORT=sparse --opt=build-arg:VMIMAGE_HINTS=attribute --opt=build-arg:VMIMAGE_FORMAT=raw --opt=build-arg:BUILDKIT_SYNTAX=example/vmimage \
                 --output=type=tar,dest=-",
                None,
            ),
            (
                "--addr unix:///x b --frontend=gateway.v0 --opt source=a/b -output=type=vmdisk,dest=a.raw,size=9G",
                "--addr unix:///x b --frontend=gateway.v0 --opt source=a/b --opt=build-arg:VMIMAGE_TRANSPORT=sparse --opt=build-arg:VMIMAGE_HINTS=attribute --opt=build-arg:VMIMAGE_FORMAT=raw \
                 --opt=build-arg:VMIMAGE_SIZE=9G --output=type=tar,dest=-",
                None,
            ),
            (
                "build --frontend dockerfile.v0 --opt build-arg:BUILDKIT_SYNTAX=a/b --metadata-file m \
                 --output type=image,name=x,push=true --output type=vmdisk,dest=a.raw",
                "build --frontend dockerfile.v0 --opt build-arg:BUILDKIT_SYNTAX=a/b \
                 --opt=build-arg:VMIMAGE_TRANSPORT=sparse --opt=build-arg:VMIMAGE_HINTS=attribute --opt=build-arg:VMIMAGE_FORMAT=raw --output=type=tar,dest=-",
                Some(
                    "build --frontend dockerfile.v0 --opt build-arg:BUILDKIT_SYNTAX=a/b --metadata-file m \
                     --output type=image,name=x,push=true",
                ),
            ),
        ] {
            assert_eq!(planned(typed), (disk.to_owned(), others.map(str::to_owned)));
        }
    }

    #[test]
    fn nothing_is_attested_of_a_disk() {
        let typed = "build --frontend gateway.v0 --opt attest:sbom= --opt=attest:provenance=mode=max --opt target=x \
                     -o type=vmdisk,dest=a.raw";
        let disk = "build --frontend gateway.v0 --opt target=x --opt=build-arg:VMIMAGE_TRANSPORT=sparse \
                    --opt=build-arg:VMIMAGE_HINTS=attribute --opt=build-arg:VMIMAGE_FORMAT=raw --output=type=tar,dest=-";
        assert_eq!(planned(typed), (disk.to_owned(), None));
        let (disk, others) = planned(&format!("{typed} -o type=image,name=a"));
        assert!(!disk.contains("attest:"), "{disk}");
        assert!(others.unwrap().contains("--opt attest:sbom= --opt=attest:provenance=mode=max"));
    }

    /// As nerdctl 2.3 puts it together, with and without a tag.
    #[test]
    fn the_names_that_nerdctl_adds_are_no_attributes() {
        for names in ["dangling-name-prefix=<none>", "name=docker.io/library/app:latest"] {
            let typed = format!(
                "--addr=unix:///run/buildkit/buildkitd.sock build --progress=auto --frontend=dockerfile.v0 \
                 --local=context=. --output=type=vmdisk,dest=a.qcow2,{names} --local=dockerfile=/no/such \
                 --opt=filename=Dockerfile"
            );
            let expected = "--addr=unix:///run/buildkit/buildkitd.sock build --progress=auto \
                 --frontend=dockerfile.v0 --local=context=. --local=dockerfile=/no/such --opt=filename=Dockerfile \
                 --opt=build-arg:VMIMAGE_TRANSPORT=sparse --opt=build-arg:VMIMAGE_HINTS=attribute --opt=build-arg:VMIMAGE_FORMAT=qcow2 --opt=build-arg:BUILDKIT_SYNTAX=example/vmimage \
                 --output=type=tar,dest=-";
            assert_eq!(planned(&typed), (expected.to_owned(), None));
        }
    }

    #[test]
    fn an_image_of_the_disk_is_made_by_buildctl_alone() {
        let typed = "build --frontend dockerfile.v0 --local context=. -o type=image,name=a,push=true,format=containerdisk";
        let instead = "build --frontend dockerfile.v0 --local context=. --opt=build-arg:VMIMAGE_STAGE=containerdisk --opt=build-arg:VMIMAGE_HINTS=attribute \
                       --opt=build-arg:BUILDKIT_SYNTAX=example/vmimage \
                       --output=type=image,name=a,push=true,compression=uncompressed,oci-mediatypes=true";
        assert_eq!(
            act(typed).unwrap(),
            Act::Instead(instead.split_whitespace().map(OsString::from).collect())
        );
    }

    #[test]
    fn nothing_is_written_over_a_disk() {
        for others in ["-o type=docker", "-o type=oci", "-o type=tar,dest=-"] {
            let typed = format!("build --frontend dockerfile.v0 -o type=vmdisk,dest=-,format=raw {others}");
            let error = act(&typed).unwrap_err().to_string();
            assert!(error.contains("dest=- takes one disk"), "{typed}: {error}");
        }
        for others in ["-o type=image,name=a", "-o type=docker,dest=a"] {
            let typed = format!("build --frontend dockerfile.v0 -o type=vmdisk,dest=-,format=raw {others}");
            assert!(matches!(act(&typed), Ok(Act::Run(_))), "{typed}");
        }
    }

    #[test]
    fn the_dockerfile_is_found_where_buildctl_finds_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("Web"), "# syntax=example/vmimage\nFROM debian\n").unwrap();
        let folder = dir.path().display();
        let typed = |file: &str| {
            format!(
                "build --frontend dockerfile.v0 --local dockerfile={folder} --opt filename={file} -o type=vmdisk,dest=a.raw"
            )
        };
        assert!(!planned(&typed("Web")).0.contains("BUILDKIT_SYNTAX"));
        assert!(planned(&typed("Other")).0.contains("BUILDKIT_SYNTAX"));
    }

    #[test]
    fn all_else_is_passed_on() {
        for typed in [
            "du",
            "build --frontend dockerfile.v0 --output type=image,name=type=vmdisk",
            "build --opt -o --local type=vmdisk,dest=x",
            "debug workers",
            "build --help -o type=vmdisk,dest=x",
            "",
        ] {
            assert_eq!(act(typed).unwrap(), Act::PassOn, "{typed}");
        }
        let error = act("build -o type=vmdisk,dest=a.raw").unwrap_err();
        assert!(error.to_string().contains("no frontend is named"), "{error}");
    }
}
