//! The rooms of this crate stand on each other in one order: a room knows those below it, and none above.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

/// From the ground floor up. What is new is put where it belongs, and stands in `docs/internals.md`.
const ROOMS: [&str; 12] = [
    "base",
    "machines",
    "ask",
    "provision",
    "engine",
    "source",
    "gateway",
    "solve",
    "assemble",
    "shim",
    "cli",
    "fuzz",
];

#[test]
fn no_room_knows_one_above_it() {
    let sources = sources();
    assert!(sources.len() > 100, "all are looked at");
    assert_eq!(wrong(&sources), [""; 0]);
}

#[test]
fn every_module_of_the_crate_is_a_room() {
    let library = fs::read_to_string(folder().join("lib.rs")).unwrap();
    let modules = library.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "));
    let mut modules: Vec<_> = modules.map(|name| name.trim_end_matches(';')).collect();
    let mut rooms = ROOMS.to_vec();
    modules.sort_unstable();
    rooms.sort_unstable();
    assert_eq!(modules, rooms);
}

#[test]
fn the_rooms_are_described_in_their_order() {
    let page = fs::read_to_string(folder().join("../../docs/internals.md")).unwrap();
    let described = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("/` |"));
    let described: Vec<_> = described.map(|(room, _)| room).collect();
    assert_eq!(described, &ROOMS[..ROOMS.len() - 1], "but for the way in of make fuzz");
}

#[test]
fn a_look_upwards_is_found_in_every_form() {
    for (file, text) in [
        ("base/error.rs", "use crate::gateway::Failure;"),
        ("provision/mod.rs", "fn plan() -> crate::gateway::Failure {"),
        ("base/text.rs", "use crate::{ask, base};"),
        ("base/text.rs", "use crate::{\n    base::{Error, Result},\n    cli::Args,\n};"),
        ("engine/buildah/mod.rs", "    pub(in crate::engine) use crate::source;"),
        ("solve.rs", "use super::cli;"),
        ("solve/steps.rs", "    use super::super::shim::Client;"),
        ("ask/mod.rs", "use crate::attic::Thing;"),
    ] {
        assert_eq!(wrong(&[(file.into(), text.into())]).len(), 1, "{file}: {text}");
    }
}

#[test]
fn a_circle_is_found() {
    let circle = [("ask/mod.rs", "use crate::engine::Choice;"), ("engine/mod.rs", "use crate::ask::Asked;")];
    let circle = circle.map(|(file, text)| (PathBuf::from(file), text.to_owned()));
    assert_eq!(wrong(&circle), ["ask/mod.rs: ask stands below engine"]);
}

#[test]
fn a_look_downwards_or_around_is_right() {
    for (file, text) in [
        ("cli/mod.rs", "use crate::base::{Error, Result};"),
        ("cli/build.rs", "use super::shim;"),
        ("base/text.rs", "// As crate::cli does it.\nuse crate::base::Error;"),
        ("base/text.rs", "use my_crate::cli;\n$crate::cli!()"),
        ("lib.rs", "cli::main()"),
    ] {
        assert_eq!(wrong(&[(file.into(), text.into())]), [""; 0], "{file}: {text}");
    }
}

/// What must not be, of sources by their paths.
fn wrong(sources: &[(PathBuf, String)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, text) in sources {
        let Some(own) = room_of(path) else { continue };
        let mut known = known(path, text);
        known.sort_unstable();
        known.dedup();
        let above =
            known.iter().filter(|name| floor(name).is_none_or(|floor| Some(floor) > self::floor(own)));
        wrong.extend(above.map(|name| match floor(name) {
            Some(_) => format!("{}: {own} stands below {name}", path.display()),
            None => format!("{}: {name} is no room", path.display()),
        }));
    }
    wrong
}

fn floor(room: &str) -> Option<usize> {
    ROOMS.iter().position(|known| *known == room)
}

/// The room of a source; none is above all of them.
fn room_of(path: &Path) -> Option<&str> {
    let first = path.iter().next()?.to_str()?;
    Some(first.strip_suffix(".rs").unwrap_or(first)).filter(|room| !["lib", "main"].contains(room))
}

/// The modules at the root of the crate that a source names.
fn known<'a>(path: &Path, text: &'a str) -> Vec<&'a str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut known = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let line = text[..at].rsplit('\n').next().unwrap_or_default();
        if line.trim_start().starts_with("//") || line.ends_with(|c: char| is_word(c) || c == '$') {
            continue;
        }
        known.extend(first_names(&text[at + "crate::".len()..]));
    }
    // Not more than rooms are looked for here: how deep a module of a test is does not matter then.
    let up = "super::".repeat(depth(path));
    let above = text.match_indices(&up).filter(|(at, _)| !text[..*at].ends_with(is_word));
    let names = above.flat_map(|(at, _)| first_names(&text[at + up.len()..]));
    known.extend(names.filter(|name| floor(name).is_some() && room_of(path) != Some(*name)));
    known
}

/// How many steps lead from a source's module to the root of the crate.
fn depth(path: &Path) -> usize {
    path.iter().count() - usize::from(path.ends_with("mod.rs"))
}

/// The first names of the paths at the beginning of a text: one, or those of a group.
fn first_names(text: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let name = |text: &str| text.find(|c: char| !is_word(c)).unwrap_or(text.len());
    let Some(group) = text.strip_prefix('{') else { return vec![&text[..name(text)]] };
    let mut names = Vec::new();
    let (mut depth, mut begins) = (1, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => begins = true,
            _ if begins && is_word(c) => {
                names.push(&group[at..at + name(&group[at..])]);
                begins = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All sources of the crate, by their paths in its folder.
fn sources() -> Vec<(PathBuf, String)> {
    let (mut folders, mut sources) = (vec![folder()], Vec::new());
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                sources.push((path.strip_prefix(folder()).unwrap().to_owned(), text));
            }
        }
    }
    sources
}
