mod files;
mod layouts;
mod tables;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::*;
use crate::ask::{Attribute, Place};
use crate::base::testing::is_kept;

/// A file in which every key is said, and right; but those of the next one, since one disk has not all of them.
const EVERYTHING: &str = include_str!("../../../../testdata/config/everything.toml");
const SEALED: &str = include_str!("../../../../testdata/config/sealed.toml");
const GRUB_KEY: &str = include_str!("../../../../testdata/config/grub_key.toml");

fn problems(text: &str) -> String {
    Config::parse("vmimage.toml", text).expect_err(text).to_string()
}

/// The settings that a text of a program tells to write: `key = "…"`, `key = […]`.
fn settings(text: &str) -> Vec<String> {
    let text = text.replace("\\\"", "\"");
    let at = |(place, _): (usize, &str)| {
        let key = text[..place].rsplit(|c: char| !c.is_ascii_lowercase() && c != '.').next()?;
        let rest = Some(&text[place + 3..]).filter(|_| !key.is_empty())?;
        let end = match rest.chars().next()? {
            '[' => rest.find(']')? + 1,
            _ => rest[1..].find('"')? + 2,
        };
        Some(format!("{key} = {}", &rest[..end]))
    };
    let lists = text.match_indices(" = [").filter_map(at);
    lists.chain(text.match_indices(" = \"").filter_map(at)).collect()
}

/// The texts of hints in a source file.
fn hints(source: &str) -> impl Iterator<Item = &str> {
    source.split("hint").skip(1).filter_map(|text| {
        let ends = [";", "\n}"].into_iter().filter_map(|end| text.find(end));
        let end = ends.min().unwrap_or(text.len());
        Some(&text[..end]).filter(|text| text.starts_with('(') || text.starts_with(" = "))
    })
}

#[test]
fn what_hints_tell_to_write_can_be_written() {
    let mut folders = vec![
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../exporter/src"),
    ];
    let mut found = 0;
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if ["tests", "tests.rs"].iter().any(|tests| path.ends_with(tests)) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                let source = fs::read_to_string(&path).unwrap();
                for setting in hints(&source).flat_map(settings) {
                    let wrong = Config::parse("hint", &setting).err();
                    assert!(wrong.is_none(), "{}: {setting}: {}", path.display(), wrong.unwrap());
                    found += 1;
                }
            }
        }
    }
    assert!(found >= 4, "{found}");
    assert!(Config::parse("hint", &settings("(\"packages = [\\\"bash\\\"]\")")[0]).is_err());
}

#[test]
fn the_published_schema_is_current() {
    is_kept("frontend/vmimage.schema.json", &schema_text());
}

#[test]
fn the_published_reference_is_current() {
    is_kept("frontend/CONFIG.md", &reference());
}

/// Every key of the schema as a path: `users.name`.
fn keys(schema: &serde_json::Value, root: &serde_json::Value, path: &str, found: &mut BTreeSet<String>) {
    let name = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/"));
    let schema = name.map_or(schema, |name| &root["$defs"][name]);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        found.insert(path.trim_start_matches('.').to_owned());
        keys(property, root, &path, found);
        keys(&property["items"], root, &path, found);
    }
}

fn said(value: &serde_json::Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(table) => table.iter().for_each(|(name, value)| {
            let path = format!("{path}.{name}");
            found.insert(path.trim_start_matches('.').to_owned());
            said(value, &path, found);
        }),
        serde_json::Value::Array(values) => values.iter().for_each(|value| said(value, path, found)),
        _ => {}
    }
}

#[test]
fn the_file_with_everything_says_every_key_and_nothing_is_wrong_in_it() {
    let config = Config::parse("everything.toml", EVERYTHING).unwrap_or_else(|problems| panic!("{problems}"));
    let schema = schema();
    let (mut known, mut used) = (BTreeSet::new(), BTreeSet::new());
    keys(&schema, &schema, "", &mut known);
    said(&toml::from_str(EVERYTHING).unwrap(), "", &mut used);
    let sealed = Config::parse("sealed.toml", SEALED).unwrap_or_else(|problems| panic!("{problems}"));
    said(&toml::from_str(SEALED).unwrap(), "", &mut used);
    assert_eq!(sealed.uki, Some(true));
    let grub = Config::parse("grub_key.toml", GRUB_KEY).unwrap_or_else(|problems| panic!("{problems}"));
    said(&toml::from_str(GRUB_KEY).unwrap(), "", &mut used);
    assert_eq!(grub.grub.key.as_deref(), Some("grub"));
    let unused: Vec<_> = known.difference(&used).collect();
    assert!(unused.is_empty() && known.len() > 40, "{unused:?}");
    assert_ne!(config, Config::default());
}

#[test]
fn every_attribute_but_the_file_itself_is_a_key() {
    let keys: Vec<_> = Attribute::of(Place::Key).map(|attribute| attribute.name).collect();
    for name in &keys {
        assert!(schema()["properties"].get(name).is_some(), "{name}");
    }
    let config = Config::parse("everything.toml", EVERYTHING).unwrap();
    let asked: BTreeSet<_> = config.wishes.iter().map(|wish| wish.attribute().name).collect();
    assert!(asked.iter().all(|name| keys.contains(name)) && asked.len() == keys.len(), "{asked:?}");
}

/// A file with this in it is refused, with this message at this place (`line:column`) and the line shown.
#[track_caller]
fn are_wrong(cases: &[(&str, &str, &str)]) {
    for (text, place, message) in cases {
        let shown = problems(text);
        assert!(shown.contains(&format!("vmimage.toml:{place}: {message}")), "{text}\n{shown}");
        let (line, caret) = (shown.lines().nth(1).unwrap(), shown.lines().nth(2).unwrap());
        let number = place.split(':').next().unwrap();
        assert!(line.starts_with(&format!(" {number} | ")) && caret.contains('^'), "{shown}");
    }
}

#[test]
fn a_wrong_attribute_is_told_in_its_own_words() {
    for attribute in Attribute::of(Place::Key) {
        let name = attribute.name;
        let place = format!("1:{}", name.len() + 4);
        for (wrong, expected) in attribute.wrong {
            let (text, message) = (format!("{name} = {wrong:?}"), format!("{name} is {wrong:?}: {expected}"));
            are_wrong(&[(&text, &place, &message)]);
        }
    }
}

#[test]
fn what_is_wrong_names_the_key_the_line_and_what_is_allowed() {
    are_wrong(&[
        ("format = [\"qcow2\", \"floppy\"]", "1:20", "format is \"floppy\": one of raw, qcow2, "),
        ("size = 10", "1:8", "size is an integer, expected a string"),
        ("packages = \"/debs\"", "1:12", "packages is \"/debs\": expected a path in the build context"),
        (
            "proxy = \"proxy:3128\"",
            "1:9",
            "proxy is \"proxy:3128\": expected the URL of a proxy, without a login",
        ),
        (
            "modules = [\"nbd\", \"-r\"]",
            "1:11",
            "modules is \"nbd,-r\": \"-r\" is not the name of a kernel module",
        ),
        ("service = 1", "1:11", "service is an integer, expected a boolean or a string"),
        ("install = 5", "1:11", "install is an integer, expected a string or an array"),
        (
            "certificates = [\"../ca.crt\"]",
            "1:17",
            "certificates is \"../ca.crt\": expected a path in the build context",
        ),
        (
            "[[repositories]]\nname = \"a/b\"\nsource = 1",
            "2:8",
            "repositories.name is \"a/b\": expected a name of letters",
        ),
        (
            "[[repositories]]\nname = \"a\"\nsource = 1",
            "3:10",
            "repositories.source is an integer, expected a string or { file = … }",
        ),
        ("[[repositories]]\nname = \"a\"", "1:1", "repositories: the key source is required"),
        (
            "[[repositories]]\nname = \"a\"\nsource = \"x\"\nkey = \"/k\"",
            "4:7",
            "repositories.key is \"/k\": expected a path in the build context",
        ),
        ("[[groups]]\nname = \"A\"", "2:8", "groups.name is \"A\": expected a name of lower-case letters"),
        ("[[groups]]\nname = \"a\"\ngid = -1", "3:7", "groups.gid is -1: a number from 0 to 4294967295"),
        ("[[groups]]\nname = \"a\"\nmembers = [\"B\"]", "3:12", "groups.members is \"B\": expected a name"),
        (
            "[[users]]\nname = \"a:b\"",
            "2:8",
            "users.name is \"a:b\": expected a name of lower-case letters, digits, - and _, at most 32",
        ),
        ("[[users]]\nname = \"a\"\nuid = \"1\"", "3:7", "users.uid is a string, expected an integer"),
        (
            "[[users]]\nname = \"a\"\ngid = 5000000000",
            "3:7",
            "users.gid is 5000000000: a number from 0 to 4294967295",
        ),
        ("[[users]]\nname = \"a\"\ngroups = [\"-\"]", "3:11", "users.groups is \"-\": expected a name"),
        (
            "[[users]]\nname = \"a\"\ncomment = \"a:b\"",
            "3:11",
            "users.comment is \"a:b\": expected a text without colons",
        ),
        (
            "[[users]]\nname = \"a\"\nhome = \"home\"",
            "3:8",
            "users.home is \"home\": expected a path from the root on",
        ),
        (
            "[[users]]\nname = \"a\"\nshell = \"sh\"",
            "3:9",
            "users.shell is \"sh\": expected a path from the root on",
        ),
        ("[[users]]\nname = \"a\"\npassword = \"hunter2\"", "3:12", "users.password is not a hash"),
        (
            "[[users]]\nname = \"a\"\npassword = { sekret = \"x\" }",
            "3:14",
            "unknown key users.password.sekret: did you mean secret?",
        ),
        (
            "[[users]]\nname = \"a\"\npassword = { secret = \"a/b\" }",
            "3:23",
            "users.password.secret is \"a/b\": expected the id of a secret",
        ),
        (
            "[[users]]\nname = \"a\"\nauthorized-keys = [\"x\"]",
            "3:20",
            "users.authorized-keys is \"x\": expected one public key",
        ),
        (
            "[[users]]\nname = \"a\"\nauthorized-keys = [{ file = \"..\" }]",
            "3:29",
            "users.authorized-keys.file is \"..\": expected a path",
        ),
        ("[[users]]\nname = \"a\"\nsudo = \"yes\"", "3:8", "users.sudo is a string, expected a boolean"),
        ("[[users]]\nname = \"a\"\nlocked = 1", "3:10", "users.locked is an integer, expected a boolean"),
        ("[grub]\npassword = \"hunter2\"", "2:12", "grub.password is not a hash: expected a hash of grub-"),
        ("[grub]\npassword = 1", "2:12", "grub.password is an integer, expected a string or { secret = … }"),
        (
            "[image]\nid = \"My Kiosk\"",
            "2:6",
            "image.id is \"My Kiosk\": expected lower-case letters, digits",
        ),
        ("[root]\npassword = 1", "2:12", "root.password is an integer, expected a string or { secret = … }"),
        ("[root]\nauthorized-keys = \"x\"", "2:19", "root.authorized-keys is a string, expected an array"),
        (
            "[[files]]\npath = \"etc\"\ncontent = \"\"",
            "2:8",
            "files.path is \"etc\": expected a path from the root on",
        ),
        ("[[files]]\npath = \"/a\"\ncontent = 1", "3:11", "files.content is an integer, expected a string"),
        (
            "[[files]]\npath = \"/a\"\nsource = \"/etc/shadow\"",
            "3:10",
            "files.source is \"/etc/shadow\": expected a path in the build context",
        ),
        (
            "[[files]]\npath = \"/a\"\nsecret = \"\"",
            "3:10",
            "files.secret is \"\": expected the id of a secret",
        ),
        (
            "[[files]]\npath = \"/a\"\ncontent = \"\"\nmode = \"rw\"",
            "4:8",
            "files.mode is \"rw\": expected permissions in octal, such as 0644",
        ),
        (
            "[[files]]\npath = \"/a\"\ncontent = \"\"\nowner = \":\"",
            "4:9",
            "files.owner is \":\": expected USER or USER:GROUP",
        ),
        (
            "[services]\nenable = [\"a b\"]",
            "2:11",
            "services.enable is \"a b\": expected the name of a service",
        ),
        (
            "[services]\ndisable = [\"../x\"]",
            "2:12",
            "services.disable is \"../x\": expected the name of a service",
        ),
        ("[services]\nmask = \"x\"", "2:8", "services.mask is a string, expected an array"),
        ("[[hooks]]\nrun = 1", "2:7", "hooks.run is an integer, expected a string"),
        (
            "[[hooks]]\nscript = \"../x\"",
            "2:10",
            "hooks.script is \"../x\": expected a path in the build context",
        ),
        ("[[hooks]]\nrun = \"\"\nnetwork = \"no\"", "3:11", "hooks.network is a string, expected a boolean"),
        ("sise = \"10G\"", "1:1", "unknown key sise: did you mean size?"),
        ("boat = 1", "1:1", "unknown key boat: the keys are "),
        (
            "[[users]]\nname = \"a\"\nauthorized_keys = []",
            "3:1",
            "unknown key users.authorized_keys: did you mean authorized-keys?",
        ),
        ("[users]\nname = \"a\"", "1:1", "users is a table, expected an array"),
        ("size = \"10G", "1:12", ""),
    ]);
}

#[test]
fn keys_that_do_not_go_together_are_told_where_they_are() {
    are_wrong(&[
        ("profile = \"data\"\nhostname = \"a\"", "2:1", "hostname is for machines: profile is data"),
        (
            "[[users]]\nname = \"root\"",
            "2:8",
            "users.name is \"root\": the table [root] is for the administrator",
        ),
        (
            "[[users]]\nname = \"a\"\n[[users]]\nname = \"a\"",
            "4:8",
            "users.name is \"a\" for the second time",
        ),
        (
            "[[users]]\nname = \"a\"\nuid = 7\n[[users]]\nname = \"b\"\nuid = 7",
            "6:7",
            "users.uid is 7 for the second time",
        ),
        (
            "[[groups]]\nname = \"a\"\n[[groups]]\nname = \"a\"",
            "4:8",
            "groups.name is \"a\" for the second time",
        ),
        (
            "[[groups]]\nname = \"a\"\ngid = 7\n[[groups]]\nname = \"b\"\ngid = 7",
            "6:7",
            "groups.gid is 7 for the second time",
        ),
        ("[[files]]\npath = \"/a\"", "1:1", "files: one of the keys content, source, secret is required"),
        (
            "[[files]]\npath = \"/a\"\ncontent = \"\"\nsecret = \"x\"",
            "4:10",
            "files has content and secret at once",
        ),
        (
            "[[files]]\npath = \"/a\"\ncontent = \"\"\n[[files]]\npath = \"/a\"\ncontent = \"\"",
            "5:8",
            "files.path is \"/a\" for the second time",
        ),
        ("[[hooks]]\nnetwork = true", "1:1", "hooks: one of the keys run, script is required"),
        ("[[hooks]]\nrun = \"true\"\nscript = \"x\"", "3:10", "hooks has run and script at once"),
        (
            "[services]\nenable = [\"a\"]\nmask = [\"a\"]",
            "3:8",
            "services.mask has \"a\", and services.enable has it too",
        ),
        (
            "[[repositories]]\nname = \"a\"\nsource = \"\"\n[[repositories]]\nname = \"a\"\nsource = \"\"",
            "5:8",
            "repositories.name is \"a\" for the second time",
        ),
    ]);
}

#[test]
fn all_that_is_wrong_is_told_at_once_in_the_order_of_the_file() {
    let shown =
        problems("size = \"big\"\nsise = 1\n[[users]]\nname = \"A\"\nuid = true\n[services]\nenable = 1\n");
    let places: Vec<_> =
        shown.lines().filter_map(|line| line.strip_prefix("vmimage.toml:")?.split(": ").next()).collect();
    assert_eq!(places, ["1:8", "2:1", "4:8", "5:7", "7:10"], "{shown}");
}

/// The password is not shown, nor the line it is on.
#[test]
fn a_password_in_the_file_is_not_repeated() {
    for table in ["[[users]]\nname = \"a\"", "[grub]"] {
        let shown = problems(&format!("{table}\npassword = \"hunter2\"\n"));
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("{ secret = \"id\" }"), "{shown}");
    }
}

/// A file of 95 KB with thousands of problems on one line: each was told with all of it, which took gigabytes.
#[test]
fn a_long_line_full_of_problems_is_told_shortly() {
    let keys: String = (0..8000).map(|at| format!("{{k{at}=1}},")).collect();
    for (text, least) in [
        (format!("users = [{}]", "{},".repeat(30_000)), 29_000),
        (format!("groups = [{keys}]"), 16_000 - 20),
        (format!("{} = 1", "k".repeat(95_000)), 0),
        (format!("timezone = \"{}\"", "\u{fc}".repeat(47_000)), 0),
        (format!("install = [{}]", "\"-\",".repeat(19_000)), 0),
        ("a.".repeat(40_000) + "a = 1", 0),
        (format!("a = {}", "[".repeat(95_000)), 0),
        (format!("a = {}", "{a=".repeat(30_000)), 0),
        (format!("[{}a]", "a.".repeat(40_000)), 0),
        ("]".repeat(95_000), 0),
        ("[[users]]\n".repeat(9_500), 9_000),
        ("a=1\n".repeat(24_000), 0),
    ] {
        let shown = problems(&text);
        assert!(shown.len() < 40 << 10, "{} bytes", shown.len());
        let more = shown.rsplit_once(": and ").and_then(|(_, more)| more.strip_suffix(" more")?.parse().ok());
        assert!(more.unwrap_or(0) >= least, "{more:?}");
    }
}
