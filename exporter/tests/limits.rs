//! The page on security lists the limits as they are.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::HashMap;
use std::path::Path;

const BEGIN: &str = "<!-- limits -->\n";
const END: &str = "<!-- end of limits -->";

/// A limit: its name, its reason, its value as the source has it; none of a function's.
struct Limit<'a> {
    name: &'a str,
    reason: String,
    value: &'a str,
}

fn limits(source: &str) -> Vec<Limit<'_>> {
    let mut found = Vec::new();
    let mut reason = Vec::new();
    for line in source.lines() {
        if let Some(text) = line.strip_prefix("/// ") {
            reason.push(text);
            continue;
        }
        if let Some(rest) = line.strip_prefix("pub const ") {
            let (name, rest) = rest.split_once([':', '(']).unwrap();
            let value = rest.split_once(" = ").map_or("", |(_, value)| value.trim_end_matches(';'));
            found.push(Limit { name, reason: reason.join(" "), value });
        }
        reason.clear();
    }
    found
}

/// `4 << 20`, `16 * NAME` and the like, from left to right; `None` for what is no number.
fn evaluate<'a>(text: &'a str, known: &HashMap<&'a str, u64>) -> Option<u64> {
    let term = |word: &str| known.get(word).copied().or_else(|| word.replace('_', "").parse().ok());
    let mut words = text.split_whitespace();
    let mut value = term(words.next()?)?;
    while let (Some(operator), Some(word)) = (words.next(), words.next()) {
        value = match operator {
            "<<" => value << term(word)?,
            "*" => value * term(word)?,
            _ => return None,
        };
    }
    Some(value)
}

/// Powers of 1024 as such.
fn show(value: u64) -> String {
    match [(40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")]
        .into_iter()
        .find(|(bits, _)| value > 0 && value.is_multiple_of(1 << bits))
    {
        Some((bits, unit)) => format!("{} {unit}", value >> bits),
        None => value.to_string(),
    }
}

fn table(source: &str) -> String {
    let mut known = HashMap::new();
    let mut table = String::from("| limit | of |\n|---:|---|\n");
    for limit in limits(source) {
        let number = evaluate(limit.value, &known);
        known.extend(number.map(|number| (limit.name, number)));
        let seconds =
            || Some(format!("{} s", limit.value.strip_prefix("Duration::from_secs(")?.strip_suffix(')')?));
        // A function: so many for each byte of the input.
        let value = number.map(show).or_else(seconds).unwrap_or_else(|| "by size".to_owned());
        table += &format!("| {value} | {} |\n", limit.reason.trim_end_matches('.'));
    }
    table
}

#[test]
fn the_page_has_every_limit() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("../docs/security.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let table = table(&std::fs::read_to_string(root.join("src/limits.rs")).unwrap());
    let current = format!("{before}{BEGIN}{table}{END}{after}");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, current).unwrap();
        return;
    }
    assert!(page == current, "docs/security.md is not current: UPDATE=1 cargo test -p exporter the_page_has");
}

#[test]
fn a_limit_is_its_reason_and_its_number() {
    let source = "/// Bytes of a\n/// path (`PATH_MAX`).\npub const PATH: usize = 4095;\n\
                  /// Not a limit.\nfn other() {}\n/// Bytes.\npub const A: u64 = 4 << 20;\n/// More.\npub const B: u64 = 3 * A;\n\
                  /// Time.\npub const C: Duration = Duration::from_secs(30);\n/// Entries.\npub const fn d(stored: u64) -> u64 {\n";
    assert_eq!(
        table(source),
        "| limit | of |\n|---:|---|\n| 4095 | Bytes of a path (`PATH_MAX`) |\n| 4 Mi | Bytes |\n| 12 Mi | More |\n| 30 s | Time |\n| by size | Entries |\n"
    );
}
