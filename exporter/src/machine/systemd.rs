//! Units of systemd: where they are, and `systemctl enable` on a tree.

use std::collections::BTreeSet;

use super::{Texts, lines};
use crate::error::Result;
use crate::limits::{self, Budget};
use crate::tree::{Editor, InodeKind, Tree};

/// Where the administrator's units and the links of enabled ones are.
pub(super) const ETC: &str = "/etc/systemd/system";
/// Where packages put units; read by every systemd, also where `/lib` is no link to `/usr/lib`.
pub(super) const USR: &str = "/usr/lib/systemd/system";

/// Where systemd's own library is, whose name has the version.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/systemd",
    "/lib/systemd",
    "/usr/lib/x86_64-linux-gnu/systemd",
    "/usr/lib/aarch64-linux-gnu/systemd",
];

/// Which systemd it is, such as 252; `None` if that is not told by a file's name.
pub(super) fn version(tree: &Tree) -> Option<u32> {
    let mut names = LIBRARIES.iter().flat_map(|folder| tree.children(folder));
    names.find_map(|(name, _)| {
        let version = std::str::from_utf8(name).ok()?.strip_prefix("libsystemd-shared-")?;
        version.split(|char: char| !char.is_ascii_digit()).next()?.parse().ok()
    })
}

/// The path of a unit's file; that of its template for an instance (`getty@tty1.service`).
pub(super) fn unit_file(tree: &Tree, unit: &str) -> Option<String> {
    let file = match unit.split_once('@').zip(unit.rsplit_once('.')) {
        Some(((name, _), (_, kind))) => format!("{name}@.{kind}"),
        None => unit.to_owned(),
    };
    let paths = [ETC, USR, "/lib/systemd/system"].map(|directory| format!("{directory}/{file}"));
    paths
        .into_iter()
        .find(|path| tree.resolve(path).is_some_and(|id| matches!(tree.inode(id).kind, InodeKind::File(_))))
}

/// A path as the name of an instance has it: systemd.unit(5), "String escaping for inclusion in unit names".
pub(super) fn escape_path(path: &str) -> String {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return "-".to_owned();
    }
    let escape = |(index, byte): (usize, u8)| match byte {
        b'/' => "-".to_owned(),
        b'.' if index == 0 => "\\x2e".to_owned(),
        _ if byte.is_ascii_alphanumeric() || b":_.".contains(&byte) => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    };
    parts.join("/").bytes().enumerate().map(escape).collect()
}

/// Whether a unit is masked: a link to `/dev/null` in `/etc/systemd/system`.
pub(super) fn is_masked(tree: &Tree, unit: &str) -> bool {
    let link = tree.resolve_nofollow(format!("{ETC}/{unit}"));
    link.is_some_and(
        |id| matches!(&tree.inode(id).kind, InodeKind::Symlink(target) if **target == *b"/dev/null"),
    )
}

/// Whether some target wants or requires a unit.
pub(super) fn is_enabled(tree: &Tree, unit: &str) -> bool {
    tree.children(ETC).any(|(name, id)| {
        let pulls_in = name.ends_with(b".wants") || name.ends_with(b".requires");
        pulls_in && tree.entries(id).is_some_and(|entries| entries.contains_key(unit.as_bytes()))
    })
}

/// Make the links that the `[Install]` section of `unit` asks for, and those of the units it names by
/// `Also=`. Units that don't exist or are masked are left alone. Returns whether a link was made.
pub(super) fn enable(editor: &mut Editor<'_>, unit: &str) -> Result<bool> {
    let mut todo = vec![unit.to_owned()];
    let mut seen = BTreeSet::new();
    let mut changed = false;
    let mut texts = Texts::new();
    let mut names = Budget::new("names in [Install] sections", limits::UNIT_NAMES);
    while let Some(unit) = todo.pop() {
        let file = unit_file(editor.tree(), &unit).filter(|_| !is_masked(editor.tree(), &unit));
        let Some(file) = file.filter(|_| seen.insert(unit.clone())) else { continue };
        for (key, value) in install_section(&texts.read(editor.tree(), &file)?) {
            names.spend(1).map_err(|exceeded| exceeded.at(&file))?;
            let link = match &*key {
                "WantedBy" => format!("{ETC}/{value}.wants/{unit}"),
                "RequiredBy" => format!("{ETC}/{value}.requires/{unit}"),
                "Alias" => format!("{ETC}/{value}"),
                _ => {
                    todo.push(value);
                    continue;
                }
            };
            if editor.tree().resolve_nofollow(&link).is_none() {
                editor.symlink(link, &file)?;
                changed = true;
            }
        }
    }
    Ok(changed)
}

/// Remove every link of the administrator that `enable` has made for `unit`, its aliases among them; whether there was
/// one. What a package put below `/usr` stays.
pub(super) fn disable(editor: &mut Editor<'_>, unit: &str) -> bool {
    let links_to_unit = |id| {
        let InodeKind::Symlink(target) = &editor.tree().inode(id).kind else { return false };
        target.rsplit(|&byte| byte == b'/').next() == Some(unit.as_bytes())
    };
    let mut links = Vec::new();
    for (name, id) in editor.tree().children(ETC) {
        let name = String::from_utf8_lossy(name);
        let Some(entries) = editor.tree().entries(id) else {
            links.extend(links_to_unit(id).then(|| format!("{ETC}/{name}")));
            continue;
        };
        let pulls_in = name.ends_with(".wants") || name.ends_with(".requires");
        if pulls_in && entries.contains_key(unit.as_bytes()) {
            links.push(format!("{ETC}/{name}/{unit}"));
        }
    }
    links.iter().filter(|link| editor.remove(link)).count() > 0
}

/// The settings of the `[Install]` section that name units, one pair for each name. Names with a `%` or a
/// slash are no plain unit names and left out.
fn install_section(unit: &[u8]) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    let mut in_section = false;
    for line in lines(unit) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        if line.starts_with('[') {
            in_section = line == "[Install]";
        }
        let Some((key, values)) = line.split_once('=').filter(|_| in_section) else { continue };
        if matches!(key.trim(), "WantedBy" | "RequiredBy" | "Alias" | "Also") {
            let values = values.split_whitespace().filter(|value| !value.contains(['%', '/']));
            settings.extend(values.map(|value| (key.trim().to_owned(), value.to_owned())));
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Time;
    use crate::tree::testing::tree;

    const LIB: &str = "/usr/lib/systemd/system";

    /// The links in `/etc/systemd/system` after `unit` was enabled, as `name -> target`.
    fn enabled(files: &[(&str, &str)], unit: &str) -> Vec<String> {
        let files: Vec<_> = files.iter().map(|(name, text)| (format!("{LIB}/{name}"), *text)).collect();
        let files: Vec<_> = files.iter().map(|(name, text)| (&**name, *text)).collect();
        let mut tree = tree(&files);
        enable(&mut Editor::new(&mut tree, Time::default()), unit).unwrap();
        assert!(
            !enable(&mut Editor::new(&mut tree, Time::default()), unit).unwrap(),
            "a second time changes something"
        );
        let dump = tree.dump(Default::default()).unwrap();
        let links = dump.lines().filter(|line| line.starts_with(ETC) && line.contains(" l "));
        links
            .map(|line| {
                format!("{} -> {}", line.split(' ').next().unwrap(), line.rsplit(' ').next().unwrap())
            })
            .collect()
    }

    /// As `systemd-escape --path` says it.
    #[test]
    fn a_path_becomes_the_name_of_an_instance() {
        for (path, name) in [
            ("/", "-"),
            ("/srv", "srv"),
            ("//var/lib//app data/", r"var-lib-app\x20data"),
            ("/.a/.b-c", r"\x2ea-.b\x2dc"),
            ("/ä:_", r"\xc3\xa4:_"),
        ] {
            assert_eq!(escape_path(path), name);
        }
    }

    #[test]
    fn the_install_section_says_what_is_linked() {
        let files = [
            (
                "a.service",
                "[Unit]\nAlias=no.service\n[Install]\nWantedBy=x.target y.target\nAlso=b.socket a.service\nAlias = c.service\n",
            ),
            ("b.socket", "[Install]\r\nRequiredBy=sockets.target\r\nAlso=../../evil none.service\n"),
        ];
        let expected = [
            "/etc/systemd/system/c.service -> /usr/lib/systemd/system/a.service",
            "/etc/systemd/system/sockets.target.requires/b.socket -> /usr/lib/systemd/system/b.socket",
            "/etc/systemd/system/x.target.wants/a.service -> /usr/lib/systemd/system/a.service",
            "/etc/systemd/system/y.target.wants/a.service -> /usr/lib/systemd/system/a.service",
        ];
        assert_eq!(enabled(&files, "a.service"), expected);
    }

    #[test]
    fn disabling_takes_all_links_away_and_no_file() {
        let mut tree = tree(&[
            (
                "/usr/lib/systemd/system/a.service",
                "[Install]\nWantedBy=x.target\nRequiredBy=y.target\nAlias=b.service\n",
            ),
            ("/etc/systemd/system/x.target.wants/other.service", "-> /usr/lib/systemd/system/other.service"),
        ]);
        let mut editor = Editor::new(&mut tree, Time::default());
        enable(&mut editor, "a.service").unwrap();
        assert!(is_enabled(editor.tree(), "a.service"));
        assert!(disable(&mut editor, "a.service"));
        assert!(!disable(&mut editor, "a.service"));
        assert!(!is_enabled(editor.tree(), "a.service"));
        assert!(editor.tree().resolve_nofollow("/etc/systemd/system/b.service").is_none());
        assert!(is_enabled(editor.tree(), "other.service"));
        assert!(unit_file(editor.tree(), "a.service").is_some());
    }

    #[test]
    fn an_instance_links_to_its_template() {
        let files = [("getty@.service", "[Install]\nWantedBy=getty.target\n")];
        let expected = [
            "/etc/systemd/system/getty.target.wants/getty@tty1.service -> /usr/lib/systemd/system/getty@.service",
        ];
        assert_eq!(enabled(&files, "getty@tty1.service"), expected);
    }

    #[test]
    fn masked_units_and_missing_ones_are_left_alone() {
        let mut tree = tree(&[
            ("/usr/lib/systemd/system/a.service", "[Install]\nWantedBy=x.target\n"),
            ("/etc/systemd/system/a.service", "-> /dev/null"),
        ]);
        let mut editor = Editor::new(&mut tree, Time::default());
        assert!(!enable(&mut editor, "a.service").unwrap());
        assert!(!enable(&mut editor, "none.service").unwrap());
    }

    /// Each was a link, of any number of files that name one another.
    #[test]
    fn an_install_section_has_so_many_names() {
        let most = limits::UNIT_NAMES;
        let also = |count: u64| (1..=count).map(|at| format!("u{at}.service")).collect::<Vec<_>>().join(" ");
        let chain = |at: u64| format!("[Install]\nAlso=u{}.service\n", at + 1);
        let chain: Vec<_> = (0..2 * most).map(|at| (format!("{USR}/u{at}.service"), chain(at))).collect();
        let chain: Vec<_> = chain.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let unit = |text: String| tree(&[(&format!("{USR}/u0.service"), &text)]);
        for (mut tree, is_right) in [
            (unit(format!("[Install]\nAlso={}\n", also(most))), true),
            (unit(format!("[Install]\nAlso={}\n", also(most + 1))), false),
            (unit(format!("[Install]\nWantedBy={}\n", also(most + 1))), false),
            (tree(&chain), false),
        ] {
            let enabled = enable(&mut Editor::new(&mut tree, Time::default()), "u0.service");
            let said = enabled.map_err(|error| error.to_string());
            assert_eq!(said.is_ok(), is_right, "{said:?}");
            assert!(
                said.err()
                    .is_none_or(|said| said.ends_with("names in [Install] sections, which is the limit"))
            );
        }
    }
}
