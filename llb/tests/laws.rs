//! What holds for every graph, tried on random ones.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::check;
use llb::proto::{self, OpKind};
use llb::{Base, Definition, Edge, Graph, Image, OpDigest, Run, State};
use proptest::prelude::*;
use prost::Message;

/// An op to be: what it is and which earlier ops it takes, by place and output.
#[derive(Clone, Debug)]
struct Recipe {
    kind: Kind,
    inputs: Vec<(usize, u32)>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// `RUN` with a mount for each input.
    Exec,
    /// `COPY --from`: an action for each input.
    Copy,
    /// `COPY --link`.
    Merge,
    /// Another image.
    Image,
}

/// The outputs ops have in these tests; the base, at place 0, has one.
const OUTPUTS: u32 = 3;

fn recipes() -> impl Strategy<Value = Vec<Recipe>> {
    let kind = prop_oneof![Just(Kind::Exec), Just(Kind::Copy), Just(Kind::Merge), Just(Kind::Image)];
    let inputs = prop::collection::vec((any::<prop::sample::Index>(), 0..OUTPUTS), 1..4);
    prop::collection::vec((kind, inputs), 1..12).prop_map(|ops| {
        let place = |(own, (kind, inputs)): (usize, (Kind, Vec<(prop::sample::Index, u32)>))| {
            let input = |(index, output): (prop::sample::Index, u32)| match index.index(own + 1) {
                0 => (0, 0),
                place => (place, output),
            };
            let inputs = inputs.into_iter().map(input);
            Recipe { kind, inputs: if matches!(kind, Kind::Image) { Vec::new() } else { inputs.collect() } }
        };
        ops.into_iter().enumerate().map(place).collect()
    })
}

fn base() -> Vec<u8> {
    let source = proto::SourceOp {
        identifier: "docker-image://docker.io/library/debian:12@sha256:00".to_owned(),
        ..proto::SourceOp::default()
    };
    proto::Op { op: Some(OpKind::Source(source)), ..proto::Op::default() }.encode_to_vec()
}

/// The definition of recipes, the last of which is the result, with `head` where they take the base.
fn build(recipes: &[Recipe], head: Edge) -> Definition {
    let mut built = Definition { source: Some(proto::Source::default()), ..Definition::default() };
    let mut edges = vec![head];
    add(&mut built, base(), "base");
    for (place, recipe) in recipes.iter().enumerate() {
        let inputs: Vec<_> =
            recipe.inputs.iter().map(|(place, index)| Edge { index: *index, ..edges[*place] }).collect();
        let digest = add(&mut built, encode(recipe.kind, &inputs, place), &format!("op {place}"));
        edges.push(Edge { digest, index: 0 });
    }
    let last = *edges.last().unwrap();
    add(&mut built, encode_inputs(&[last]), "terminal");
    built.source.as_mut().unwrap().infos.push(b"\x0a\x0aDockerfile".to_vec());
    built
}

/// Adds an op whose metadata and location tell which one it is.
fn add(definition: &mut Definition, op: Vec<u8>, label: &str) -> OpDigest {
    let digest = OpDigest::of(&op);
    definition.def.push(op);
    definition.metadata.insert(digest.to_string(), label.as_bytes().to_vec());
    // No index, so 0, and the label as an unknown field.
    let location = [&[0x7a, label.len() as u8], label.as_bytes()].concat();
    let locations = [&[0x0a, location.len() as u8], &location[..]].concat();
    definition.source.as_mut().unwrap().locations.insert(digest.to_string(), locations);
    digest
}

/// An op with what a newer daemon might add, and with the base's digest in places that are no edge.
fn encode(kind: Kind, inputs: &[Edge], place: usize) -> Vec<u8> {
    let decoy = OpDigest::of(&base()).to_string();
    let indexes = 0..inputs.len() as i64;
    let op = match kind {
        Kind::Exec => OpKind::Exec(proto::ExecOp {
            meta: Some(proto::Meta {
                args: vec![place.to_string(), decoy.clone()],
                env: vec![format!("BASE={decoy}")],
                ..proto::Meta::default()
            }),
            mounts: indexes
                .map(|input| proto::Mount { input, output: input, ..Default::default() })
                .collect(),
            ..proto::ExecOp::default()
        }),
        Kind::Copy => OpKind::File(proto::FileOp {
            actions: indexes.map(|input| proto::FileAction { input, ..Default::default() }).collect(),
        }),
        Kind::Merge => OpKind::Merge(proto::MergeOp {
            inputs: indexes.map(|input| proto::InputIndex { input }).collect(),
        }),
        Kind::Image => OpKind::Source(proto::SourceOp {
            identifier: format!("docker-image://docker.io/library/other:{place}@{decoy}"),
            ..proto::SourceOp::default()
        }),
    };
    let op = proto::Op { op: Some(op), ..proto::Op::default() };
    let mut bytes = encode_inputs(inputs);
    bytes.extend(op.encode_to_vec());
    let unknown = format!("{decoy} {place}");
    bytes.extend([0xfa, 0x01, unknown.len() as u8]);
    bytes.extend(unknown.as_bytes());
    bytes
}

/// The input fields of an op, each with an unknown field before and after its digest.
fn encode_inputs(inputs: &[Edge]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for edge in inputs {
        let digest = edge.digest.to_string();
        let mut input = vec![0x78, 7, 0x0a, digest.len() as u8];
        input.extend(digest.as_bytes());
        input.extend([0x10, edge.index as u8, 0x72, 1, b'z']);
        bytes.extend([0x0a, input.len() as u8]);
        bytes.extend(input);
    }
    bytes
}

fn kernel_on(graph: &Graph, base: Edge) -> State {
    let extra = State::image(Image::new("docker.io/library/boot:1"));
    let mount = llb::Mount::bind_readonly(&extra);
    let installed =
        State::from_edge(graph.clone(), base).run(Run::shell("install kernel").mount("/x", mount));
    installed.root().run(Run::shell("make initrd")).root()
}

fn set(definition: &Definition) -> BTreeSet<&Vec<u8>> {
    definition.def.iter().collect()
}

proptest! {
    /// Read and written, a definition is what it was.
    #[test]
    fn reading_changes_nothing(recipes in recipes()) {
        let definition = build(&recipes, Edge { digest: OpDigest::of(&base()), index: 0 });
        prop_assert_eq!(check(&definition), Ok(()));
        prop_assert_eq!(Graph::read(&definition).unwrap().to_definition(), definition);
    }

    /// Ops may come in any order but for the terminal; inputs are put first.
    #[test]
    fn order_is_free(recipes in recipes(), seed in any::<u64>()) {
        let sorted = build(&recipes, Edge { digest: OpDigest::of(&base()), index: 0 });
        let mut shuffled = sorted.clone();
        let last = shuffled.def.len() - 1;
        shuffled.def[..last].sort_by_key(|op| OpDigest::of(&[&op[..], &seed.to_le_bytes()].concat()));
        let graph = Graph::read(&shuffled).unwrap();
        prop_assert_eq!(graph.result(), Graph::read(&sorted).unwrap().result());
        let read = graph.to_definition();
        prop_assert_eq!(check(&read), Ok(()));
        prop_assert_eq!(set(&read), set(&sorted));
    }

    /// A grafted graph is the one that is built on the head from the start: only digests of inputs
    /// differ, no op is there twice, what does not stand on the base is the same, and metadata and
    /// locations are where their ops are.
    #[test]
    fn grafting_is_building_on_the_head(recipes in recipes()) {
        let base = Edge { digest: OpDigest::of(&base()), index: 0 };
        let definition = build(&recipes, base);
        let graph = Graph::read(&definition).unwrap();
        let head = kernel_on(&graph, base);
        let inserted = head.to_graph().unwrap();

        let grafted = graph.graft(base.digest, &head).unwrap().to_definition();
        let mut expected = build(&recipes, inserted.result().unwrap());
        let own = inserted.vertices().iter().filter(|vertex| vertex.digest() != base.digest);
        for vertex in own {
            expected.def.push(vertex.bytes().to_vec());
            let metadata = inserted.metadata(vertex.digest()).unwrap().to_vec();
            expected.metadata.insert(vertex.digest().to_string(), metadata);
        }

        prop_assert_eq!(check(&grafted), Ok(()));
        prop_assert_eq!(set(&grafted), set(&expected));
        prop_assert_eq!(grafted.def.len(), definition.def.len() + 3);
        prop_assert_eq!(grafted.metadata, expected.metadata);
        prop_assert_eq!(grafted.source, expected.source);
    }

    /// The same states make the same bytes.
    #[test]
    fn marshalling_is_deterministic(recipes in recipes()) {
        let definition = build(&recipes, Edge { digest: OpDigest::of(&base()), index: 0 });
        let marshal = || {
            let state = State::try_from(&definition).unwrap();
            state.run(Run::shell("true")).root().marshal().unwrap().encode_to_vec()
        };
        prop_assert_eq!(marshal(), marshal());
    }

    /// The base that is found is an image of the graph, or nothing but what an op names.
    #[test]
    fn the_chain_ends(recipes in recipes()) {
        let graph = Graph::read(&build(&recipes, Edge { digest: OpDigest::of(&base()), index: 0 })).unwrap();
        match graph.base() {
            Ok(Base::Image { digest, identifier, .. }) => {
                let op = graph.vertex(digest).unwrap().decode().unwrap();
                prop_assert!(matches!(op.op, Some(OpKind::Source(source)) if source.identifier == identifier));
            }
            Ok(other) => prop_assert!(false, "{other:?}"),
            // The random graph takes an output that an op has not.
            Err(error) => prop_assert!(matches!(error, llb::Error::BadIndex { .. }), "{error}"),
        }
    }

    /// Bytes that are no graph are an error, never a panic.
    #[test]
    fn any_bytes_can_be_read(def in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..90), 0..4)) {
        let graph = Graph::read(&Definition { def, ..Definition::default() });
        if let Ok(graph) = graph {
            let _ = graph.base();
        }
    }
}

#[test]
fn a_stage_of_the_user_may_be_part_of_the_head() {
    let base = Edge { digest: OpDigest::of(&base()), index: 0 };
    let stage = Recipe { kind: Kind::Exec, inputs: vec![(0, 0)] };
    let copy = Recipe { kind: Kind::Copy, inputs: vec![(0, 0), (1, 0)] };
    let definition = build(&[stage, copy], base);
    let graph = Graph::read(&definition).unwrap();
    let stage = Edge { digest: OpDigest::of(&definition.def[1]), index: 0 };

    let mount = llb::Mount::bind_readonly(&State::from_edge(graph.clone(), stage));
    let run = Run::shell("install what the stage made").mount("/stage", mount);
    let head = State::from_edge(graph.clone(), base).run(run).root();
    let grafted = graph.graft(base.digest, &head).unwrap().to_definition();

    assert_eq!(check(&grafted), Ok(()));
    let labels: BTreeMap<_, usize> = grafted.metadata.values().fold(BTreeMap::new(), |mut labels, label| {
        *labels.entry(String::from_utf8_lossy(label)).or_default() += 1;
        labels
    });
    // On the base for the head, on the head for the user.
    assert_eq!(labels["op 0"], 2);
    assert_eq!(labels["op 1"], 1);
}
