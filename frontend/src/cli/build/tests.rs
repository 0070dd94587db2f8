//! What is typed → the exact docker command.

use clap::Parser;

use super::*;
use crate::ask::ATTRIBUTES;

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
    buildx_arguments(&args, &formats(&args).unwrap(), &[], has_syntax).join(" ")
}

const END: &str = "--build-arg=VMIMAGE_HINTS=flag --build-arg=VMIMAGE_TRANSPORT=sparse --provenance=false --sbom=false --output=type=tar,dest=- --";

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
    let more = ["--kernel", "linux-image-cloud-amd64", "--cmdline", "-q a=b", "--profile", "data"];
    let more = [&more[..], &["--mirror", "http://mirror.example"]].concat();
    assert_eq!(
        arguments(&[&words[..], &more].concat(), true),
        format!(
            "--build-arg VMIMAGE_FORMAT=raw --build-arg VMIMAGE_SIZE=10G --build-arg VMIMAGE_COMPRESSION=none \
             --build-arg VMIMAGE_PROFILE=data --build-arg VMIMAGE_HOSTNAME=web --build-arg VMIMAGE_CMDLINE=-q a=b \
             --build-arg VMIMAGE_KERNEL=linux-image-cloud-amd64 --build-arg VMIMAGE_MIRROR=http://mirror.example {END} ."
        )
    );
}

/// The base is here, so the disk arrives as it is, and what lies over the base is compressed here.
#[test]
fn a_disk_over_a_base_is_asked_for_as_raw() {
    let args = typed(&["-o", "new.qcow2", "--base", "old.qcow2", "--compression", "zlib", "--size", "10G"]);
    assert_eq!(compression(&args, &formats(&args).unwrap()).unwrap(), Compression::Zlib);
    assert_eq!(
        buildx_arguments(&args, &[Destination::ARRIVES_OVER_BASE], &[], true).join(" "),
        format!(
            "--build-arg VMIMAGE_FORMAT=raw --build-arg VMIMAGE_SIZE=10G --build-arg VMIMAGE_COMPRESSION=none {END} ."
        )
    );
}

#[test]
fn a_base_is_for_one_qcow2() {
    for words in [
        &["-o", "new.raw"][..],
        &["-o", "new.qcow2", "-o", "new.raw"],
        &["-o", "-", "--format", "qcow2"],
        &["-o", "new.qcow2", "--platform", "linux/amd64,linux/arm64"],
    ] {
        let args = typed(&[words, &["--base", "old.qcow2"]].concat());
        let error = base(&args, &formats(&args).unwrap()).unwrap_err().to_string();
        assert!(error.starts_with("--base: is for one "), "{words:?}: {error}");
    }
}

#[test]
fn flags_are_the_words_of_the_output() {
    use clap::CommandFactory;
    let command = Typed::command();
    let flags: Vec<_> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
    for attribute in &ATTRIBUTES {
        let flag = attribute.flag();
        // A file's own name needs no other.
        let is_flag = flag == "-o" || flags.iter().any(|known| flag == format!("--{known}"));
        assert!(is_flag && flags.contains(&attribute.name) == (flag != "-o"), "{flag}");
    }
}

/// Every option of docker's: as typed, as handed on.
const DOCKER_OPTIONS: [(&str, &str); 29] = [
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
    ("--no-cache-filter a --no-cache-filter b", "--no-cache-filter a --no-cache-filter b"),
    ("--shm-size 1g", "--shm-size 1g"),
    ("--ulimit nofile=1:2 --ulimit core=0", "--ulimit nofile=1:2 --ulimit core=0"),
    ("--cgroup-parent=x", "--cgroup-parent x"),
    ("--resource memory=2g", "--resource memory=2g"),
    ("--policy filename=p.rego", "--policy filename=p.rego"),
    ("--metadata-file m.json", "--metadata-file m.json"),
    ("-D", "--debug"),
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
fn a_folder_of_packages_is_a_named_context() {
    let args = typed(&["-o", "d.raw"]);
    let contexts = [(PACKAGES_CONTEXT, Some(Path::new("/debs"))), (PREVIOUS_CONTEXT, None)];
    let arguments = buildx_arguments(&args, &[Format::Raw], &contexts, true).join(" ");
    assert_eq!(
        arguments,
        format!("--build-arg VMIMAGE_FORMAT=raw --build-context vmimage-packages=/debs {END} .")
    );
}

#[test]
fn every_artifact_asks_for_its_format() {
    let stock = END.replace("--build-arg=VMIMAGE_TRANSPORT=sparse ", "");
    // What is written in no order cannot reach stdout without its zeroes.
    assert_eq!(
        arguments(&["-o", "-", "--format", "vhdx"], true),
        format!("--build-arg VMIMAGE_FORMAT=vhdx {stock} .")
    );
    assert_eq!(
        arguments(&["-o", "-", "--format", "ovf"], true),
        format!("--build-arg VMIMAGE_FORMAT=ovf {stock} .")
    );
    for (words, formats) in [
        (&["-o", "web.qcow2", "-o", "web.vhdx", "-o", "web.img"][..], "qcow2,vhdx,raw"),
        (&["-o", "web.qcow2", "--format", "raw", "-o", "web.x", "--format", "vdi"], "raw,vdi"),
        (&["-o", "-", "--format", "vhd"], "vhd"),
        (&["-o", "web", "--format", "ovf"], "ovf"),
    ] {
        assert_eq!(arguments(words, true), format!("--build-arg VMIMAGE_FORMAT={formats} {END} ."));
    }
}

#[test]
fn what_no_build_can_make_is_refused() {
    for (words, message) in [
        (&["-o", "web.cab"][..], "web.cab: its extension tells no format"),
        (&["-o", "web.ovf"], "web.ovf: ovf is a folder, which has no extension"),
        (&["-o", "-"], "-o -: stdout has no extension that tells the format"),
        (&["-o", "web.raw", "-o", "web.img"], "format: raw is asked for twice"),
        (&["-o", "a.raw", "-o", "b.vdi", "--format", "raw"], "--format: 1 given for 2 artifacts"),
        (&["-o", "a", "-o", "a", "--format", "raw", "--format", "vdi"], "a: is named twice"),
        (
            &["-o", "a.raw", "-o", "-", "--format", "raw", "--format", "vdi"],
            "-o -: stdout takes one disk, and no other -o beside it",
        ),
        (&["-o", "a.raw", "--compression", "zstd"], "compression: zstd is not for raw files"),
    ] {
        assert_eq!(formats(&typed(words)).unwrap_err().to_string(), message);
    }
}

mod of_a_store {
    //! What is typed → what buildah and podman are told.

    use super::super::store::{asked, options, own_options, refuse_unknown};
    use super::*;
    use crate::ask::Kernel;
    use crate::engine::buildah::Tool;

    #[test]
    fn options_go_to_every_build_or_to_the_users_own() {
        let args = typed(&[
            "-o",
            "d.raw",
            "--network=host",
            "--add-host=a:1",
            "--no-cache",
            "--shm-size=1g",
            "--ulimit=core=0",
            "--cgroup-parent=x",
            "--build-arg=A=1",
            "--build-arg=https_proxy=p",
            "--build-arg=VMIMAGE_SIZE=1G",
            "--secret=id=k,src=f",
            "--ssh=default",
            "--label=l=1",
            "--build-context=n=.",
            "--cache-from=host/c",
            "--cache-to=host/c",
        ]);
        assert_eq!(
            options(&args.docker, Some("linux/arm64")).join(" "),
            "--platform=linux/arm64 --network=host --add-host=a:1 --shm-size=1g --ulimit=core=0 --cgroup-parent=x \
             --no-cache --build-arg=https_proxy=p"
        );
        assert_eq!(
            own_options(&args.docker, Path::new("Dockerfile")).join(" "),
            "--build-arg=A=1 --build-arg=https_proxy=p --build-context=n=. --secret=id=k,src=f --ssh=default \
             --label=l=1 --cache-from=host/c --cache-to=host/c"
        );
    }

    #[test]
    fn an_ignore_file_beside_the_dockerfile_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let dockerfile = folder.path().join("web.Dockerfile");
        let ignore = folder.path().join("web.Dockerfile.dockerignore");
        std::fs::write(&ignore, "").unwrap();
        let options = own_options(&typed(&["-o", "d.raw"]).docker, &dockerfile);
        assert_eq!(options, [format!("--ignorefile={}", ignore.display())]);
    }

    #[test]
    fn the_disk_is_what_the_flags_and_variables_say() {
        let args = typed(&[
            "-o",
            "d.vhdx",
            "--size",
            "4G",
            "--kernel",
            "linux-image-rt-amd64",
            "--build-arg",
            "VMIMAGE_HOSTNAME=web",
            "--build-arg",
            "SOURCE_DATE_EPOCH=7",
        ]);
        let asked = asked(&args, &[Format::Vhdx]).unwrap();
        assert_eq!(asked.disk.spec.formats, [Format::Vhdx]);
        assert_eq!(asked.disk.spec.size, Some(exporter::spec::Size(4 << 30)));
        assert_eq!(asked.disk.spec.hostname.as_deref(), Some("web"));
        assert_eq!(asked.disk.spec.source_date_epoch, Some(7));
        assert_eq!(asked.disk.install.kernel, Some(Kernel::Package("linux-image-rt-amd64".into())));
    }

    #[test]
    fn what_only_docker_has_is_refused() {
        for (words, option) in [
            (&["--frontend", "x"], "--frontend"),
            (&["--builder", "x"], "--builder"),
            (&["--allow", "x"], "--allow"),
            (&["--no-cache-filter", "x"], "--no-cache-filter"),
            (&["--metadata-file", "x"], "--metadata-file"),
            (&["--check", "--pull"], "--check"),
            (&["--tag", "x"], "--tag"),
            (&["--progress", "rawjson"], "--progress"),
            (&["--build-context", "vmimage-previous=update"], "--build-context vmimage-previous"),
            (&["--build-context", "vmimage-packages=debs"], "--build-context vmimage-packages"),
        ] {
            let args = typed(&[&["-o", "d.raw"][..], words].concat());
            let error = refuse_unknown(&args, Tool::Buildah).unwrap_err();
            assert!(error.to_string().starts_with(option), "{error}");
        }
        assert!(refuse_unknown(&typed(&["-o", "d.raw", "--progress", "plain"]), Tool::Podman).is_ok());
        let args = typed(&["-o", "d.raw", "--build-arg", "VMIMAGE_STAGE=rootfs"]);
        assert!(asked(&args, &[Format::Raw]).unwrap_err().to_string().starts_with("VMIMAGE_STAGE"));
    }
}
