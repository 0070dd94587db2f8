//! The rooms of the crate, its modules at the top: what one of them uses never uses it in turn. So each can be read,
//! tested and moved with what lies below it alone.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// What each room uses.
type Uses = BTreeMap<String, BTreeSet<String>>;

/// Add what the files below `folder` use; those at the top are rooms of their own, as is each folder there.
fn read(folder: &Path, room: Option<&str>, uses: &mut Uses) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        // Tests may use everything.
        if matches!(name, "lib" | "tests" | "testing") {
            continue;
        }
        let room = room.unwrap_or(name);
        if path.is_dir() {
            read(&path, Some(room), uses);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let used = used(&fs::read_to_string(&path).unwrap());
            uses.entry(room.to_owned()).or_default().extend(used.into_iter().filter(|used| used != room));
        }
    }
}

/// The rooms that a file names, by `crate::ROOM`, but for its tests at the end.
fn used(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let paths = lines.flat_map(|line| line.split("crate::").skip(1));
    let word = |path: &str| path.chars().take_while(|next| next.is_alphanumeric() || *next == '_').collect();
    paths.map(word).collect()
}

/// Rooms that lead to each other, each using the next and the last the first.
fn circle(uses: &Uses) -> Option<Vec<&str>> {
    let mut done = BTreeSet::new();
    uses.keys().find_map(|room| circle_from(room, uses, &mut Vec::new(), &mut done))
}

fn circle_from<'a>(
    room: &'a str,
    uses: &'a Uses,
    way: &mut Vec<&'a str>,
    done: &mut BTreeSet<&'a str>,
) -> Option<Vec<&'a str>> {
    if let Some(start) = way.iter().position(|on_the_way| *on_the_way == room) {
        return Some(way[start..].to_vec());
    }
    if !done.insert(room) {
        return None;
    }
    way.push(room);
    let found = uses.get(room).into_iter().flatten().find_map(|used| circle_from(used, uses, way, done));
    way.pop();
    found
}

#[test]
fn no_room_is_used_by_what_it_uses() {
    let mut uses = Uses::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), None, &mut uses);
    assert!(uses["assemble"].contains("disk") && uses["disk"].contains("error"), "{uses:?}");
    assert_eq!(circle(&uses), None);
}

/// The search above must be able to find one.
#[test]
fn a_circle_is_found_however_long_it_is() {
    let uses = |lines: &[(&str, &str)]| -> Uses {
        lines.iter().map(|(room, text)| ((*room).to_owned(), used(text))).collect()
    };
    let mut lines =
        vec![("a", "use crate::b::C;\n// use crate::d;\n"), ("b", "fn x() -> crate::c::D {}"), ("c", "")];
    assert_eq!(circle(&uses(&lines)), None);
    lines[2].1 = "#[cfg(test)]\nmod tests {\n    use crate::a;\n";
    assert_eq!(circle(&uses(&lines)), None);
    lines[2].1 = "pub(crate) use crate::a;\n";
    assert_eq!(circle(&uses(&lines)), Some(vec!["a", "b", "c"]));
}
