use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use exporter::spec::layout::slots;

use super::*;
use crate::ask::request::Request;
use crate::ask::{Attribute, Place};
use crate::base::testing::is_kept;

/// A file in which every key is said, and right.
const EVERYTHING: &str = include_str!("../../../../testdata/config/everything.toml");

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
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name != "tests.rs") {
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

/// The TOML of the page, each block a file.
fn recipes() -> Vec<String> {
    let page = include_str!("../../../../docs/layouts.md");
    let blocks = page.split("```toml\n").skip(1).filter_map(|block| block.split("```").next());
    blocks.map(str::to_owned).collect()
}

#[test]
fn the_layouts_of_the_page_are_right() {
    let recipes = recipes();
    assert_eq!(recipes.len(), 12);
    for recipe in &recipes {
        let config = Config::parse("vmimage.toml", recipe).unwrap_or_else(|problems| panic!("{problems}"));
        assert_ne!(config, Config::default());
    }
    let mut asked = crate::ask::Asked::default();
    let config = Config::parse("vmimage.toml", &recipes[0]).unwrap();
    Configuration { config, ..Configuration::default() }.ask(&mut asked);
    let labels: Vec<_> = slots(&asked.spec).into_iter().map(|slot| slot.label).collect();
    assert_eq!(labels, ["bios", "esp", "boot", "root", "srv"]);
}

#[test]
fn what_is_asked_of_good_boots_is_told_at_its_key() {
    are_wrong(&[
        ("layout = \"ab\"\n[update]\nhealthy = \"\"", "3:11", "update.healthy: is no line of shell"),
        (
            "layout = \"ab\"\n[update]\ndeadline = 5",
            "3:12",
            "update.deadline: is not between 10 and 86400 seconds",
        ),
        ("layout = \"ab\"\n[update]\ntries = 0", "3:9", "update.tries: is not between 1 and 9"),
        (
            "layout = \"ab\"\n[update]\nfrom = \"/srv/update\"",
            "3:8",
            "update.from is \"/srv/update\": expected the URL of a folder, or a reference in a registry",
        ),
        ("layout = \"ab\"\n[update]\nevery = \"6h\"", "3:9", "update.every: needs from: where to look"),
        (
            "layout = \"ab\"\n[update]\nfrom = \"a/b\"\nevery = \"often\"",
            "4:9",
            "update.every is \"often\": expected a time from 10s to 365d, a number with s, m, h or d, such as 6h",
        ),
        (
            "layout = \"ab\"\n[update]\nfrom = \"a/b\"\nwindow = \"02:00-04:00\"",
            "4:10",
            "update.window: needs every: the machine restarts by itself then alone",
        ),
        (
            "layout = \"ab\"\n[update]\nwindow = \"2-4\"",
            "3:10",
            "update.window is \"2-4\": expected two times of day",
        ),
        (
            "layout = \"ab\"\n[update]\nca = \"ca.pem\"",
            "3:6",
            "update.ca is \"ca.pem\": expected a path from the root on",
        ),
        (
            "layout = \"ab\"\n[update]\ncertificate = \"/a\"",
            "3:15",
            "update.certificate: needs key: the key of the certificate",
        ),
        (
            "layout = \"ab\"\n[update]\npublic-key = [\"RW\"]",
            "3:15",
            "update.public-key is \"RW\": expected a public key of minisign",
        ),
        (
            "layout = \"ab\"\n[update]\nsign = \"a/b\"",
            "3:8",
            "update.sign is \"a/b\": expected the id of a secret",
        ),
        (
            "layout = \"ab\"\n[update]\nsign = [\"a\", \"a\"]",
            "3:8",
            "update.sign: has other than one key of minisign and one of GPG",
        ),
        ("[update]\ntries = 3", "1:1", "update: is of a machine that has another root to go back to"),
        (
            "format = \"update\"",
            "1:10",
            "format: has update, the root for a machine that has two: ask for layout = \"ab\"",
        ),
    ]);
}

#[test]
fn what_no_bundle_comes_of_is_told_at_its_key() {
    let certificate = "rauc.certificate: is not said, and a bundle of RAUC is always signed";
    are_wrong(&[
        ("layout = \"ab\"\nformat = \"rauc\"", "2:10", certificate),
        ("layout = \"ab\"\nformat = \"rauc\"\n[rauc]\nkey = \"release\"", "3:1", certificate),
        (
            "[rauc]\nkey = \"release\"",
            "1:1",
            "rauc: is of a machine that has two roots: ask for layout = \"ab\"",
        ),
        ("layout = \"ab\"\n[rauc]\nkey = \"a b\"", "3:7", "rauc.key is \"a b\": expected "),
        ("layout = \"ab\"\n[rauc]\nkeyring = \"/ca.crt\"", "3:11", "rauc.keyring is \"/ca.crt\": expected "),
    ]);
}

#[test]
fn a_wrong_layout_is_told_all_at_once_with_the_place_of_each_key() {
    for (text, places) in [
        (
            "[[partitions]]\ntype = \"esp\"\n[[partitions]]\ntype = \"srv\"\ngrow = true\nmount = \"/proc\"\n\
             [[partitions]]\ntype = \"home\"\nsize = \"1G\"\nmax = \"2G\"",
            &[
                "1:1: partitions: one partition has the tree (mount = \"/\"), and here are 0",
                "5:8: partitions.grow: srv cannot grow at boot: there are partitions behind it",
                "6:9: partitions.mount: /proc is made anew at each boot",
                "9:8: partitions.size: size is in place of min and max",
            ][..],
        ),
        (
            "layout = \"simple\"\nprofile = \"data\"",
            &["1:10: layout: layout is for machines: profile is data", "partitions: a disk of files has no"],
        ),
        (
            "sector-size = 4096\nformat = \"vmdk\"",
            &["1:15: sector-size: a vmdk disk has sectors of 512 bytes"],
        ),
        (
            "layout = \"simple\"\n[persist]\nbind = [\"/var\", \"/etc/ssh\"]\n[[partitions]]\ntype = \"srv\"",
            &[
                "2:1: persist: what is kept lies on a partition",
                "3:8: persist.bind: /etc/ssh lies in /etc, which",
            ],
        ),
        (
            "layout = \"simple\"\n[[partitions]]\ntype = \"root\"\nlabel = \"a\"\n[[partitions]]\ntype = \"esp\"\nlabel = \"a\"",
            &["4:9: partitions.label: two partitions have the label \"a\""],
        ),
    ] {
        let shown = problems(text);
        for place in places {
            assert!(shown.contains(place), "{place}:\n{shown}");
        }
        assert_eq!(shown.matches("vmimage.toml:").count(), places.len(), "{shown}");
    }
    are_wrong(&[
        (
            "[[partitions]]\ntype = \"server\"",
            "2:8",
            "partitions.type is \"server\": expected esp, xbootldr, root,",
        ),
        ("[[partitions]]\nsize = \"1G\"", "1:1", "partitions: the key type is required"),
        (
            "[[partitions]]\ntype = \"srv\"\nsize = \"big\"",
            "3:8",
            "partitions.size is \"big\": expected a number with",
        ),
        (
            "[[partitions]]\ntype = \"srv\"\nmount = \"srv\"",
            "3:9",
            "partitions.mount is \"srv\": expected / or a path",
        ),
        (
            "[[partitions]]\ntype = \"srv\"\nsource = \"a/../b\"",
            "3:10",
            "partitions.source is \"a/../b\": expected a path of the image",
        ),
        (
            "[[partitions]]\ntype = \"srv\"\nsource = { from = \"$A\", path = \"/a\" }",
            "3:19",
            "partitions.source.from is \"$A\": expected the name of a stage",
        ),
        (
            "[[partitions]]\ntype = \"srv\"\nsource = { stage = \"a\" }",
            "3:12",
            "unknown key partitions.source.stage: ",
        ),
        (
            "[[partitions]]\ntype = \"srv\"\nfilesystem = \"ntfs\"",
            "3:14",
            "partitions.filesystem is \"ntfs\": one of ext4",
        ),
        (
            "[[partitions]]\ntype = \"srv\"\nattributes = [\"x\"]",
            "3:15",
            "partitions.attributes is \"x\": one of req",
        ),
        ("[[partitions]]\ntype = \"srv\"\nuuid = \"1\"", "3:8", "partitions.uuid is \"1\": expected a UUID"),
        ("sector-size = 1024", "1:15", "sector-size is \"1024\": one of 512, 4096"),
        ("[persist]\noverlay = [\"etc\"]", "2:12", "persist.overlay is \"etc\": expected / or a path"),
        ("[persist]\nbinds = []", "2:1", "unknown key persist.binds: "),
    ]);
}

#[test]
fn a_wrong_network_is_told_all_at_once_with_the_place_of_each_key() {
    let shown = problems(
        "[network]\nmanager = \"none\"\n[[network.interfaces]]\naddresses = [\"10.0.2.50/24\"]\ngateway = \"10.0.3.1\"\n\
         [[network.interfaces]]\nname = \"lan\"\nvlan = { id = 5000, link = \"eth0\" }\n",
    );
    let places = [
        "2:11: network.manager: manager is none, and there are interfaces",
        "5:11: network.interfaces.gateway: 10.0.3.1 is in none of the networks",
        "8:8: network.interfaces.vlan: 5000 is no number of a VLAN",
        "8:8: network.interfaces.vlan: eth0 is none of the interfaces",
    ];
    for place in places {
        assert!(shown.contains(place), "{place}:\n{shown}");
    }
    assert_eq!(shown.matches("vmimage.toml:").count(), places.len(), "{shown}");
    are_wrong(&[
        ("[network]\nmanager = \"wicked\"", "2:11", "network.manager is \"wicked\": one of auto, networkd"),
        ("[network]\ndns = [\"one\"]", "2:8", "network.dns is \"one\": expected an IP address"),
        ("[network]\nhosts = [\"db\"]", "2:10", "network.hosts is \"db\": expected a name with its address"),
        ("dns = [\"1.1.1.1\"]", "1:1", "unknown key dns"),
        (
            "[[network.interfaces]]\nmac = \"52:54\"",
            "2:7",
            "network.interfaces.mac is \"52:54\": expected the MAC address of a card",
        ),
        (
            "[[network.interfaces]]\naddresses = [\"10.0.2.50\"]",
            "2:14",
            "network.interfaces.addresses is \"10.0.2.50\": expected an address with the length",
        ),
        (
            "[[network.interfaces]]\nvlan = { id = 5 }",
            "2:8",
            "network.interfaces.vlan: the key link is required",
        ),
        ("profile = \"data\"\n[network]\ndns = []", "2:2", "network is for machines: profile is data"),
    ]);
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

/// Every path, its line, and what is wrong with it.
#[test]
fn paths_that_are_not_in_the_context_are_told_where_they_are_named() {
    let text = "packages = \"debs\"\n\
                certificates = [\"a.crt\", \"b.crt\"]\n\
                hooks = [{ script = \"run.sh\" }]\n\
                [root]\n\
                authorized-keys = [{ file = \"id.pub\" }]\n\
                [[files]]\n\
                path = \"/srv\"\n\
                source = \"site\"\n\
                [[repositories]]\n\
                name = \"r\"\n\
                source = { file = \"r.list\" }\n\
                key = \"r.asc\"\n";
    let config = Config::parse("f", text).unwrap();
    let paths = config.texts().into_iter().map(str::to_owned).chain(config.mounts().concat());
    let paths: BTreeSet<_> = paths.collect();
    let told = |entries: &Entries| match Config::check_paths("f", text, entries) {
        Ok(()) => Vec::new(),
        Err(problems) => {
            let text = problems.to_string();
            text.lines().filter(|line| line.starts_with("f:")).map(str::to_owned).collect::<Vec<_>>()
        }
    };
    let all = |entry: Entry| paths.iter().map(|path| (path.clone(), entry)).collect::<Entries>();

    let missing = told(&Entries::new());
    assert_eq!(missing.len(), paths.len(), "{missing:?}");
    for expected in [
        "f:1:12: packages: debs is not in the build context",
        "f:2:26: certificates: b.crt is not in the build context",
        "f:3:21: hooks.script: run.sh is not in the build context",
        "f:5:29: root.authorized-keys.file: id.pub is not in the build context",
        "f:8:10: files.source: site is not in the build context",
        "f:11:19: repositories.source.file: r.list is not in the build context",
        "f:12:7: repositories.key: r.asc is not in the build context",
    ] {
        assert!(missing.iter().any(|line| line == expected), "{expected} is not in {missing:?}");
    }
    assert_eq!(told(&all(Entry::File)), ["f:1:12: packages: debs is a file, expected a folder"]);
    let folders = told(&all(Entry::Folder));
    assert_eq!(folders.len(), paths.len() - 2, "{folders:?}");
    assert_eq!(folders[0], "f:2:17: certificates: a.crt is a folder, expected a file");

    let mut right = all(Entry::File);
    right.insert("debs".to_owned(), Entry::Folder);
    right.insert("site".to_owned(), Entry::Folder);
    assert!(told(&right).is_empty(), "{:?}", told(&right));
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

#[test]
fn only_builds_by_docker_know_other_stages() {
    let refused = |source: &str| {
        let text = format!(
            "[[partitions]]\ntype = \"esp\"\n[[partitions]]\ntype = \"root\"\n[[partitions]]\ntype = \"srv\"\nsource = {source}"
        );
        let config = Config::parse("f", &text).unwrap();
        let mut asked = crate::ask::Asked::default();
        Configuration { config, ..Configuration::default() }.ask(&mut asked);
        asked.refuse_stages().map_err(|error| error.to_string())
    };
    assert_eq!(refused("\"site\""), Ok(()));
    let said = refused("{ from = \"assets\", path = \"/site\" }").unwrap_err();
    assert!(said.starts_with("partitions.source: assets:/site is of a stage"), "{said}");
}

#[test]
fn a_kernel_is_a_text_or_a_file_of_a_stage() {
    for (text, file) in [
        ("kernel = \"6.1\"", None),
        ("kernel = \"file:kernels/bzImage\"", Some("kernels/bzImage")),
        ("kernel = \"stage:kernel/bzImage\"", Some("kernel:/bzImage")),
        ("kernel = { from = \"kernel\", path = \"/bzImage\" }", Some("kernel:/bzImage")),
    ] {
        let mut asked = crate::ask::Asked::default();
        let config = Config::parse("vmimage.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        let of_context = text.contains("file:").then(|| vec!["kernels/bzImage".to_owned()]);
        assert_eq!(config.mounts(), Vec::from_iter(of_context), "{text}");
        Configuration { config, ..Configuration::default() }.ask(&mut asked);
        assert_eq!(asked.spec.kernel_file.as_ref().map(ToString::to_string).as_deref(), file, "{text}");
        let is_stage = file.is_some_and(|file| file.contains(':'));
        assert_eq!(asked.refuse_stages().is_err(), is_stage, "{text}");
    }
    are_wrong(&[
        ("kernel = { from = \"kernel\" }", "1:10", "kernel: the key path is required"),
        ("kernel = { from = \"a b\", path = \"/a\" }", "1:19", "kernel.from is \"a b\": expected"),
        ("kernel = { from = \"a\", path = \"/a/../b\" }", "1:31", "kernel.path is \"/a/../b\": expected"),
        ("kernel = \"file:/bzImage\"", "1:10", "kernel is \"file:/bzImage\": distro, keep, "),
        ("kernel = 6", "1:10", "kernel is an integer, expected a string or { from = … }"),
    ]);
}

/// A folder is none, and what is not there is told here and not after the build.
#[test]
fn a_kernel_s_file_is_looked_up_in_the_context() {
    let text = "kernel = \"file:bzImage\"";
    for (entries, message) in [
        (BTreeMap::from([("bzImage".to_owned(), Entry::File)]), None),
        (
            BTreeMap::from([("bzImage".to_owned(), Entry::Folder)]),
            Some("kernel: bzImage is a folder, expected a file"),
        ),
        (BTreeMap::new(), Some("kernel: bzImage is not in the build context")),
    ] {
        let checked = Config::check_paths("f", text, &entries).map_err(|problems| problems.to_string());
        match message {
            None => assert!(checked.is_ok(), "{checked:?}"),
            Some(message) => assert!(checked.unwrap_err().starts_with(&format!("f:1:10: {message}"))),
        }
    }
}

#[test]
fn a_medium_is_read_and_to_other_formats_the_table_says_nothing() {
    let table = "[medium]\nmodes = [\"install\"]\ntimeout = 0\ninstall = \"install.toml\"";
    for (head, is_read) in
        [("format = \"iso\"\n", true), ("format = [\"raw\", \"netboot\"]\n", true), ("", false)]
    {
        let config = Config::parse(FILE, &format!("{head}{table}")).unwrap();
        assert_eq!(config.mounts(), [["install.toml"]]);
        let file = Configuration { config, ..Configuration::default() };
        let request = Request::new(&[], std::iter::empty()).unwrap().over(&BTreeMap::new(), &file).unwrap();
        let disk = request.disk;
        assert_eq!(disk.spec.medium.timeout == 0, is_read, "{head}");
        assert_eq!((disk.install.media, disk.install.full_kernel), (is_read, is_read), "{head}");
    }
    are_wrong(&[
        ("[medium]\nmodes = [\"try\"]", "2:10", "medium.modes is \"try\": one of live, install, rescue"),
        ("format = \"iso\"\n[medium]\nmodes = []", "3:9", "medium.modes: is empty"),
        ("format = \"iso\"\nloader = \"systemd-boot\"", "2:10", "loader: iso has a menu of GRUB's"),
        (
            "format = \"netboot\"\n[medium]\nmodes = [\"live\"]\ninstall = \"a.toml\"",
            "4:11",
            "medium.install: tells the installer",
        ),
        ("profile = \"data\"\n[medium]\ntimeout = 1", "2:2", "medium is for machines: profile is data"),
    ]);
}

#[test]
fn a_microvm_is_read_with_its_limits_and_of_others_the_table_says_nothing() {
    let table = "[microvm]\ncpus = 2\nulimits = { nofile = 4096, memlock = { soft = 1, hard = 8589934592 } }";
    for (head, is_read) in [
        ("profile = \"microvm\"\nformat = \"microvm\"\n", true),
        ("", false),
        ("profile = \"machine\"\n", false),
    ] {
        let config =
            Config::parse("f", &format!("{head}{table}")).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(config.microvm.ulimits["memlock"].both().hard, 8 << 30);
        let file = Configuration { config, ..Configuration::default() };
        let request = Request::new(&[], std::iter::empty()).unwrap().over(&BTreeMap::new(), &file).unwrap();
        assert_eq!(request.disk.spec.microvm.cpus == 2, is_read, "{head}");
        let flag =
            Request::new(&[], [("VMIMAGE_PROFILE", "microvm"), ("VMIMAGE_FORMAT", "microvm")].into_iter());
        assert_eq!(flag.unwrap().over(&BTreeMap::new(), &file).unwrap().disk.spec.microvm.cpus, 2);
    }
    are_wrong(&[
        (
            "[microvm]\nulimits = { nofile = \"many\" }",
            "2:22",
            "microvm.ulimits.nofile is a string, expected",
        ),
        (
            "[microvm]\nulimits = { nofile = { soft = 1 } }",
            "2:22",
            "microvm.ulimits.nofile: the key hard is required",
        ),
        (
            "[microvm]\non-crash = \"panic\"",
            "2:12",
            "microvm.on-crash is \"panic\": one of restart, poweroff, halt",
        ),
        ("[microvm]\ncpu = 1", "2:1", "unknown key microvm.cpu: did you mean cpus?"),
        ("profile = \"data\"\n[microvm]\ncpus = 1", "2:2", "microvm is for machines: profile is data"),
        (
            "profile = \"microvm\"\ninstall = [\"nginx\"]",
            "2:11",
            "install: nothing is installed in a microVM's image",
        ),
        ("profile = \"microvm\"\nlocale = \"de_DE.UTF-8\"", "2:10", "locale: nothing is installed"),
    ]);
}
