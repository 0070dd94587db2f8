//! States made definitions.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use common::check;
use llb::proto::{self, ExecOp, FileActionKind, FileOp, MountType, OpKind};
use llb::{
    CacheSharingOpt, Definition, Edge, Error, Exec, FileActions, Graph, Image, Metadata, Mount,
    MountContentCache, NetMode, OpDigest, Platform, Run, Source, State,
};
use prost::Message;

fn debian() -> State {
    State::image(Image::new("docker.io/library/debian:12").platform(amd64()))
}

fn amd64() -> Platform {
    Platform { os: "linux".to_owned(), architecture: "amd64".to_owned(), ..Platform::default() }
}

/// The ops of a state, decoded, without the terminal.
fn ops(state: &State) -> Vec<proto::Op> {
    let graph = state.to_graph().unwrap();
    assert_eq!(check(&graph.to_definition()), Ok(()));
    graph.vertices().iter().map(|vertex| vertex.decode().unwrap()).collect()
}

fn last_exec(state: &State) -> (proto::Op, ExecOp) {
    let op = ops(state).pop().unwrap();
    match op.op.clone() {
        Some(OpKind::Exec(exec)) => (op, exec),
        other => panic!("{other:?}"),
    }
}

fn last_file(state: &State) -> (proto::Op, FileOp) {
    let op = ops(state).pop().unwrap();
    match op.op.clone() {
        Some(OpKind::File(file)) => (op, file),
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_an_empty_definition() {
    assert_eq!(State::scratch().marshal(), Ok(Definition::default()));
    let read = State::try_from(&Definition::default()).unwrap();
    assert_eq!(read.marshal(), Ok(Definition::default()));
}

#[test]
fn a_folder_of_the_client_is_a_source() {
    let op = ops(&State::source(Source::local("packages", "s1"))).pop().unwrap();
    let Some(OpKind::Source(source)) = op.op else { panic!("{op:?}") };
    assert_eq!((source.identifier.as_str(), source.attrs.len()), ("local://packages", 1));
    assert!(State::source(Source::local("", "s1")).marshal().is_err());
}

#[test]
fn an_image_is_a_source() {
    let image =
        Image::new("docker.io/library/debian:12").platform(amd64()).attr("image.resolvemode", "local");
    let op = ops(&State::image(image)).pop().unwrap();
    let Some(OpKind::Source(source)) = op.op else { panic!("{op:?}") };
    assert_eq!(source.identifier, "docker-image://docker.io/library/debian:12");
    assert_eq!(source.attrs["image.resolvemode"], "local");
    assert_eq!(op.platform, Some(amd64()));
}

#[test]
fn mounts_are_sorted_and_outputs_counted_in_that_order() {
    let tools = State::image(Image::new("docker.io/library/tools:1"));
    let exec = debian().run(
        Run::new(["/bin/true"])
            .mount("/out", Mount::bind(&State::scratch()))
            .mount("/cache", Mount::cache("apt", CacheSharingOpt::Locked))
            .mount(
                "/tools",
                Mount::bind_readonly(&tools).selector("/bin").content_cache(MountContentCache::Off),
            )
            .mount("/again", Mount::bind(&tools).without_output())
            .mount("/tmp", Mount::tmpfs(1 << 20))
            .mount("/run/secret", Mount::secret("key", true))
            .mount("/ssh", Mount::ssh("default", false))
            .mount("/a", Mount::bind(&debian())),
    );
    let (op, process) = last_exec(&exec.mount("/out"));
    let places: Vec<_> = process.mounts.iter().map(|m| (m.dest.as_str(), m.input, m.output)).collect();
    let expected = [
        ("/", 0, 0),
        // The same edge is the same input.
        ("/a", 0, 1),
        ("/again", 1, -1),
        ("/cache", -1, -1),
        ("/out", -1, 2),
        ("/run/secret", -1, -1),
        ("/ssh", -1, -1),
        ("/tmp", -1, -1),
        ("/tools", 1, -1),
    ];
    assert_eq!(places, expected);
    assert_eq!(op.inputs.len(), 2);

    let mount = |dest: &str| process.mounts.iter().find(|mount| mount.dest == dest).unwrap();
    assert_eq!(mount("/cache").mount_type(), MountType::Cache);
    assert_eq!(mount("/cache").cache_opt.as_ref().unwrap().sharing(), CacheSharingOpt::Locked);
    assert_eq!(mount("/tmp").tmpfs_opt.unwrap().size, 1 << 20);
    assert!(mount("/run/secret").secret_opt.as_ref().unwrap().optional);
    assert_eq!(mount("/ssh").ssh_opt.as_ref().unwrap().id, "default");
    assert!(mount("/tools").readonly && !mount("/again").readonly);
    assert_eq!(mount("/tools").selector, "/bin");
    assert_eq!(mount("/tools").content_cache(), MountContentCache::Off);

    let output = |state: State| state.to_graph().unwrap().result().unwrap().index;
    assert_eq!([exec.root(), exec.mount("/a"), exec.mount("/out")].map(output), [0, 1, 2]);
}

#[test]
fn a_process_is_as_it_was_asked_for() {
    let run = Run::shell("true")
        .env("A", "1")
        .env("AB", "2")
        .env("A", "3")
        .cwd("/srv")
        .user("nobody")
        .hostname("builder")
        .host("mirror", "10.0.0.1")
        .proxy(llb::ProxyEnv { http_proxy: "http://proxy".to_owned(), ..Default::default() })
        .network(NetMode::None)
        .readonly_root();
    let run = run.mount("/out", Mount::bind(&State::scratch()));
    let (op, process) = last_exec(&debian().run(run).mount("/out"));
    assert_eq!(process.network(), NetMode::None);
    assert_eq!((process.mounts[0].readonly, process.mounts[0].output), (true, -1));
    assert_eq!(process.mounts[1].output, 0);
    assert_eq!(op.platform, Some(amd64()));
    let expected = proto::Meta {
        args: ["/bin/sh", "-c", "true"].map(str::to_owned).to_vec(),
        env: ["A=3", "AB=2"].map(str::to_owned).to_vec(),
        cwd: "/srv".to_owned(),
        user: "nobody".to_owned(),
        hostname: "builder".to_owned(),
        extra_hosts: vec![proto::HostIp { host: "mirror".to_owned(), ip: "10.0.0.1".to_owned() }],
        proxy_env: Some(proto::ProxyEnv { http_proxy: "http://proxy".to_owned(), ..Default::default() }),
        remove_mount_stubs_recursive: true,
        ..proto::Meta::default()
    };
    assert_eq!(process.meta, Some(expected));
}

#[test]
fn the_platform_is_inherited_unless_it_is_said() {
    let arm64 = Platform { architecture: "arm64".to_owned(), ..amd64() };
    let platform = |state: &State| last_exec(&state.run(Run::shell("true")).root()).0.platform;
    let ran = debian().run(Run::shell("first")).root();
    let other = debian().run(Run::shell("first").platform(arm64.clone())).root();
    let cases = [
        (debian(), Some(amd64())),
        (ran.clone(), Some(amd64())),
        (ran.file(FileActions::new().mkdir("/a", 0o755)), Some(amd64())),
        (State::from_graph(ran.to_graph().unwrap()), Some(amd64())),
        (other, Some(arm64.clone())),
        (debian().with_platform(arm64.clone()), Some(arm64)),
        (State::scratch(), None),
    ];
    for (state, expected) in cases {
        assert_eq!(platform(&state), expected);
    }
}

#[test]
fn file_actions_build_on_each_other() {
    let actions = FileActions::new()
        .mkdir("/etc/app", 0o755)
        .copy(&debian(), "/etc/os-release", "/etc/app/")
        .copy(&debian(), "/etc/hostname", "/etc/app/")
        .mkfile("/etc/app/config", 0o600, "x=1");
    for (base, inputs, expected) in [
        (State::scratch(), 1, [(-1, -1), (1, 0), (2, 0), (3, -1)]),
        (debian().run(Run::shell("true")).root(), 2, [(0, -1), (2, 1), (3, 1), (4, -1)]),
    ] {
        let (op, file) = last_file(&base.file(actions.clone()));
        let places = file.actions.iter().map(|action| (action.input, action.secondary_input));
        assert_eq!(places.collect::<Vec<_>>(), expected);
        assert_eq!(op.inputs.len(), inputs);
        assert_eq!(op.platform, None);
        let outputs: Vec<_> = file.actions.iter().map(|action| action.output).collect();
        assert_eq!(outputs, [-1, -1, -1, 0]);
        let Some(FileActionKind::Mkfile(config)) = &file.actions[3].action else { panic!("{file:?}") };
        assert_eq!(
            (config.path.as_str(), config.mode, &config.data[..]),
            ("/etc/app/config", 0o600, &b"x=1"[..])
        );
    }
}

#[test]
fn what_is_shared_is_there_once() {
    let mut state = debian();
    // Without sharing, 2^40 ops.
    for _ in 0..40 {
        let left = state.run(Run::shell("left")).root();
        state = left.run(Run::shell("both").mount("/other", Mount::bind_readonly(&left))).root();
    }
    assert_eq!(ops(&state).len(), 1 + 2 * 40);
    // Built twice, still the same op.
    let twice = debian().file(FileActions::new().copy(&debian(), "/a", "/b"));
    assert_eq!(ops(&twice).len(), 2);
}

#[test]
fn metadata_is_beside_the_op() {
    let metadata = Metadata::named("[internal] kernel")
        .description("key", "value")
        .progress_group("vmimage", "machine")
        .ignore_cache()
        .export_cache(false)
        .cap("exec.mount.cache.content");
    let named = debian().run(Run::shell("true").metadata(metadata)).root().to_graph().unwrap();
    let digest = named.result().unwrap().digest;
    let encoded = proto::OpMetadata::decode(named.metadata(digest).unwrap()).unwrap();
    assert_eq!(encoded.description["llb.customname"], "[internal] kernel");
    assert_eq!(encoded.description["key"], "value");
    assert!(encoded.ignore_cache && encoded.caps["exec.mount.cache.content"]);
    assert_eq!(encoded.export_cache, Some(proto::ExportCache { value: false }));
    assert_eq!(encoded.progress_group.unwrap().name, "machine");

    let plain = debian().run(Run::shell("true")).root().to_graph().unwrap();
    assert_eq!(plain.result().unwrap().digest, digest);
    for op in plain.to_definition().def {
        assert!(plain.metadata(OpDigest::of(&op)).is_some());
    }
}

#[test]
fn what_cannot_be_is_an_error_at_marshal() {
    let run = |run: Run| debian().run(run);
    let bind = || Mount::bind(&State::scratch());
    let nowhere = State::from_edge(Graph::default(), Edge { digest: OpDigest::of(b""), index: 0 });
    let cases: [(State, &str); 12] = [
        (run(Run::new([""; 0])).root(), r#"run "": there is no program to run"#),
        (run(Run::shell("x").cwd("")).root(), r#"run "/bin/sh -c x": the working directory is empty"#),
        (run(Run::shell("x").mount("/a", bind()).mount("/a", bind())).root(), "two mounts at /a"),
        (run(Run::shell("x").mount("/", bind())).root(), "two mounts at /"),
        (run(Run::shell("x").mount("a", bind())).root(), r#"the mount point "a" is not an absolute path"#),
        (run(Run::shell("x").readonly_root()).root(), "the mount at / is no result"),
        (run(Run::shell("x")).mount("/out"), "the mount at /out is no result"),
        (run(Run::shell("x").mount("/t", Mount::tmpfs(0))).mount("/t"), "the mount at /t is no result"),
        (State::image(Image::new("")), r#"image "": the reference is empty"#),
        (debian().file(FileActions::new()), "there is no action"),
        (
            debian().file(FileActions::new().copy(&State::scratch(), "/a", "/b")),
            "copy /a: the source is an empty file system",
        ),
        (nowhere, "not in the graph"),
    ];
    for (state, message) in cases {
        let error = state.run(Run::shell("later")).root().marshal().unwrap_err();
        assert!(error.to_string().ends_with(message), "{error}");
    }
}

/// A graph whose only op came from line `line` of `file`.
fn located(reference: &str, file: &str, line: u8) -> (Graph, OpDigest) {
    let mut definition = State::image(Image::new(reference)).marshal().unwrap();
    let digest = OpDigest::of(&definition.def[0]);
    let info = [&[0x0a, file.len() as u8], file.as_bytes()].concat();
    // A location in the second file, a range, and a field of a newer daemon.
    let location = [0x0a, 0x0b, 0x08, 0x01, 0x12, 0x04, 0x0a, 0x02, 0x08, line, 0x7a, 0x01, b'x'];
    definition.source = Some(proto::Source {
        locations: [(digest.to_string(), location.to_vec())].into(),
        infos: vec![b"\x0a\x06shared".to_vec(), info],
    });
    (Graph::read(&definition).unwrap(), digest)
}

#[test]
fn source_maps_are_made_one() {
    let (one, first) = located("docker.io/library/one:1", "One", 3);
    let (two, second) = located("docker.io/library/two:1", "Two", 4);
    let mount = Mount::bind_readonly(&State::from_graph(two));
    let both = State::from_graph(one).run(Run::shell("true").mount("/two", mount)).root();
    let source = both.marshal().unwrap().source.unwrap();

    let infos: Vec<_> = source.infos.iter().map(|info| String::from_utf8_lossy(&info[2..])).collect();
    assert_eq!(infos, ["shared", "One", "Two"]);
    let expected =
        |index, line| vec![0x0a, 0x0b, 0x08, index, 0x12, 0x04, 0x0a, 0x02, 0x08, line, 0x7a, 0x01, b'x'];
    assert_eq!(source.locations[&first.to_string()], expected(1, 3));
    assert_eq!(source.locations[&second.to_string()], expected(2, 4));
}

#[test]
fn a_location_in_no_file_is_refused() {
    let (one, _) = located("docker.io/library/one:1", "One", 3);
    let (two, _) = located("docker.io/library/two:1", "Two", 4);
    let mut two = two.to_definition();
    two.source.as_mut().unwrap().infos.pop();
    two.source.as_mut().unwrap().infos[0] = b"\x0a\x05other".to_vec();
    let mount = Mount::bind_readonly(&State::try_from(&two).unwrap());
    let both = State::from_graph(one).run(Run::shell("true").mount("/two", mount)).root();
    assert!(matches!(both.marshal(), Err(Error::Malformed { .. })));
}

#[test]
fn results_can_be_kept_and_used_later() {
    let exec: Exec = debian().run(Run::shell("x").mount("/out", Mount::bind(&State::scratch())));
    let result = exec.mount("/out").file(FileActions::new().mkdir("/a", 0o755));
    let again = State::try_from(&result.marshal().unwrap()).unwrap();
    assert_eq!(again.marshal(), result.marshal());
}
