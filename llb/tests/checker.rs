//! The checker of the other tests rejects what it must.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use common::check;
use llb::{Definition, Image, Run, State};

fn good() -> Definition {
    let root = State::image(Image::new("docker.io/library/debian:12")).run(Run::shell("true")).root();
    root.marshal().unwrap()
}

#[test]
fn a_good_definition_passes() {
    assert_eq!(check(&good()), Ok(()));
    assert_eq!(check(&Definition::default()), Ok(()));
}

#[test]
fn bad_definitions_are_rejected() {
    let breakages: [fn(&mut Definition); 6] = [
        |definition| drop(definition.def.remove(0)),
        |definition| definition.def.swap(0, 1),
        |definition| definition.def.insert(1, definition.def[0].clone()),
        |definition| drop(definition.def.pop()),
        |definition| definition.def[0].push(0),
        |definition| drop(definition.metadata.insert("sha256:0".to_owned(), Vec::new())),
    ];
    for (case, breakage) in breakages.iter().enumerate() {
        let mut definition = good();
        breakage(&mut definition);
        assert!(check(&definition).is_err(), "case {case}");
    }
}
