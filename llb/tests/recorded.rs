//! Definitions as BuildKit's `dockerfile.v0` made them: see `testdata/definitions/README.md`.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use common::check;
use llb::proto::{self, OpKind};
use llb::{Base, Definition, Edge, Error, Graph, OpDigest, Run, State};
use prost::Message;

/// What each recording stands on, and how many of its ops stand on that base in turn.
const RECORDED: [(&str, Option<&str>, usize); 13] = [
    ("arg-in-from", Some("docker.io/library/debian:12"), 1),
    ("copy-from", Some("docker.io/library/debian:12"), 4),
    ("copy-link", Some("docker.io/library/debian:12"), 4),
    ("from-alias", Some("docker.io/library/debian:12"), 2),
    ("from-only", Some("docker.io/library/debian:12"), 0),
    ("heredoc", Some("docker.io/library/debian:12"), 2),
    ("merge.containerd", Some("docker.io/library/debian:12"), 3),
    ("mounts", Some("docker.io/library/debian:12"), 2),
    ("multi-stage", Some("docker.io/library/debian:12"), 6),
    ("scratch", None, 0),
    ("single", Some("docker.io/library/debian:12"), 2),
    ("two-bases", Some("docker.io/library/debian:12"), 2),
    ("two-bases.containerd", Some("docker.io/library/debian:12"), 2),
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/definitions")
}

fn read(name: &str) -> Definition {
    let bytes = fs::read(folder().join(format!("{name}.pb"))).unwrap();
    Definition::decode(&bytes[..]).unwrap()
}

/// The edge a recording stands on.
fn base_of(graph: &Graph) -> Option<Edge> {
    match graph.base().unwrap() {
        Base::Image { digest, .. } => Some(Edge { digest, index: 0 }),
        Base::Scratch => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_recording_is_listed() {
    let mut listed = BTreeSet::from(["README.md".to_owned()]);
    for (name, ..) in RECORDED {
        listed.extend([format!("{name}.pb"), dockerfile(name)]);
    }
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let files: BTreeSet<_> = entries.map(|name| name.into_string().unwrap()).collect();
    assert_eq!(files, listed);
}

/// The file name of the Dockerfile, which recordings from several image stores share.
fn dockerfile(name: &str) -> String {
    format!("{}.Dockerfile", name.trim_end_matches(".containerd"))
}

/// Source maps hold the whole file.
#[test]
fn the_dockerfile_beside_a_recording_is_its_own() {
    for (name, ..) in RECORDED {
        let text = fs::read(folder().join(dockerfile(name))).unwrap();
        let infos = read(name).source.unwrap().infos;
        assert!(infos.iter().any(|info| info.windows(text.len()).any(|part| part == text)), "{name}");
    }
}

#[test]
fn reading_changes_nothing() {
    for (name, ..) in RECORDED {
        let definition = read(name);
        assert_eq!(check(&definition), Ok(()), "{name}");
        assert_eq!(Graph::read(&definition).unwrap().to_definition(), definition, "{name}");
    }
}

/// The daemon takes the digest of what it encodes itself: ours must be the same.
#[test]
fn ops_are_encoded_as_the_daemon_does() {
    for (name, ..) in RECORDED {
        for op in read(name).def {
            assert_eq!(proto::Op::decode(&op[..]).unwrap().encode_to_vec(), op, "{name}");
        }
    }
}

#[test]
fn the_base_is_that_of_the_last_stage() {
    for (name, expected, _) in RECORDED {
        match (Graph::read(&read(name)).unwrap().base().unwrap(), expected) {
            (Base::Scratch, None) => {}
            (Base::Image { identifier, platform, .. }, Some(expected)) => {
                assert!(
                    identifier.starts_with(&format!("docker-image://{expected}")),
                    "{name}: {identifier}"
                );
                assert_eq!(platform.map(|platform| platform.os).as_deref(), Some("linux"), "{name}");
            }
            (base, _) => panic!("{name}: {base:?}"),
        }
    }
}

#[test]
fn a_graft_moves_what_stands_on_the_base() {
    for (name, expected, above) in RECORDED {
        let definition = read(name);
        let graph = Graph::read(&definition).unwrap();
        let Some(base) = base_of(&graph) else {
            assert_eq!(expected, None, "{name}");
            continue;
        };
        let head = State::from_edge(graph.clone(), base).run(Run::shell("install a kernel")).root();
        let grafted = graph.graft(base.digest, &head).unwrap();
        let grafted_definition = grafted.to_definition();

        assert_eq!(check(&grafted_definition), Ok(()), "{name}");
        assert_eq!(grafted_definition.def.len(), definition.def.len() + 1, "{name}");
        let new = |op: &&Vec<u8>| graph.vertex(OpDigest::of(op)).is_none();
        // The head, the terminal, and all between.
        assert_eq!(grafted_definition.def.iter().filter(new).count(), above + 2, "{name}");
        assert_eq!(locations(&grafted_definition), locations(&definition), "{name}");
        assert_eq!(base_of(&grafted), Some(base), "{name}");
    }
}

/// Source locations and files, in an order that does not depend on digests.
fn locations(definition: &Definition) -> Vec<Vec<u8>> {
    let source = definition.source.as_ref().unwrap();
    let mut locations: Vec<_> = source.locations.values().chain(&source.infos).cloned().collect();
    locations.sort();
    locations
}

/// Steps encoded by this crate are those `dockerfile.v0` makes from the same `RUN`.
#[test]
fn a_step_is_encoded_as_dockerfile_does() {
    let graph = Graph::read(&read("from-alias")).unwrap();
    let base = base_of(&graph).unwrap();
    let run = graph.vertices().iter().find(|vertex| vertex.inputs().any(|edge| edge == base)).unwrap();
    let Some(OpKind::Exec(exec)) = run.decode().unwrap().op else { panic!("{run:?}") };
    let meta = exec.meta.unwrap();

    let mut ours = Run::new(meta.args).cwd(meta.cwd);
    for assignment in &meta.env {
        let (name, value) = assignment.split_once('=').unwrap();
        ours = ours.env(name, value);
    }
    let marshalled = State::from_edge(graph.clone(), base).run(ours).root().to_graph().unwrap();
    assert_eq!(marshalled.result().unwrap().digest, run.digest());
}

#[test]
fn a_graft_needs_a_head_on_the_base() {
    let graph = Graph::read(&read("from-alias")).unwrap();
    let base = base_of(&graph).unwrap().digest;
    let elsewhere = State::scratch().run(Run::shell("true")).root();
    for head in [elsewhere, State::scratch()] {
        assert_eq!(graph.graft(base, &head), Err(Error::HeadWithoutBase { base }));
    }
    let unknown = OpDigest::of(b"");
    assert_eq!(graph.graft(unknown, &State::scratch()), Err(Error::UnknownOp(unknown)));
}
