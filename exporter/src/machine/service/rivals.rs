//! Services of the distribution that run the same program: two of them would want the same port.
//!
//! Debian's packages enable what they install. Which unit is meant is told by the file that its `ExecStart=`
//! leads to, and interpreters, which many services have in common, are no sign.

use std::collections::{BTreeMap, BTreeSet};

use super::command::{base_name, is_interpreter};
use super::program::Programs;
use crate::error::Result;
use crate::machine::{Texts, lines, systemd};
use crate::spec::Container;
use crate::tree::{Editor, InodeId, InodeKind, Tree};

/// A command that names a program after so many words is nobody's.
const WORDS: usize = 1_000;

/// Disable the units that start a program which `container` starts. Returns their names.
pub(super) fn disable(editor: &mut Editor<'_>, container: &Container) -> Result<Vec<String>> {
    let own = programs(editor.tree(), container);
    let mut disabled = BTreeSet::new();
    let mut texts = Texts::new();
    for Unit { file, links } in enabled(editor.tree()).into_values() {
        if starts(editor.tree(), &file, &own, &mut texts)? {
            for (link, unit) in links {
                editor.remove(link);
                disabled.insert(unit);
            }
        }
    }
    Ok(disabled.into_iter().collect())
}

/// The files of the programs in the image's words, lines of shell among them.
fn programs(tree: &Tree, container: &Container) -> BTreeSet<InodeId> {
    let words = container.command().flat_map(str::split_whitespace).take(WORDS);
    let words = words.filter(|word| !word.starts_with('-') && !is_interpreter(base_name(word)));
    let programs = Programs::of(container);
    words.filter_map(|word| programs.find(tree, word)).collect()
}

/// A unit's file, and the links that enable it with the names they have for it.
struct Unit {
    file: String,
    links: Vec<(String, String)>,
}

/// The services that are enabled, in the order in which their files are best read.
fn enabled(tree: &Tree) -> BTreeMap<(Option<(u32, u64)>, InodeId), Unit> {
    let mut found = BTreeMap::new();
    for (directory, id) in tree.children(systemd::ETC) {
        let pulls_in = directory.ends_with(b".wants") || directory.ends_with(b".requires");
        let directory = String::from_utf8_lossy(directory);
        for (unit, &link) in tree.entries(id).filter(|_| pulls_in).into_iter().flatten() {
            let unit = String::from_utf8_lossy(unit).into_owned();
            if !matches!(tree.inode(link).kind, InodeKind::Symlink(_)) || !unit.ends_with(".service") {
                continue;
            }
            let Some(file) = systemd::unit_file(tree, &unit) else { continue };
            let Some(id) = tree.resolve(&file) else { continue };
            let order =
                if let InodeKind::File(content) = &tree.inode(id).kind { content.order() } else { None };
            let known = found.entry((order, id)).or_insert(Unit { file, links: Vec::new() });
            known.links.push((format!("{}/{directory}/{unit}", systemd::ETC), unit));
        }
    }
    found
}

/// Whether the unit in `file`, of the distribution, starts one of `programs`.
fn starts(tree: &Tree, file: &str, programs: &BTreeSet<InodeId>, texts: &mut Texts) -> Result<bool> {
    let text = texts.read(tree, file)?;
    if text.starts_with(super::systemd::MARK.as_bytes()) {
        return Ok(false);
    }
    let is_ours = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        let (key, command) = line.split_once('=')?;
        // What comes before the path changes how it is started: systemd.service(5), "Special executable prefixes".
        let path = command.trim().trim_start_matches(['-', '@', ':', '+', '!', '|', '"']);
        let path = path.split([' ', '\t', '"']).next().filter(|_| key.trim() == "ExecStart")?;
        let program = tree.resolve(path).filter(|_| !is_interpreter(base_name(path)))?;
        programs.contains(&program).then_some(())
    };
    Ok(lines(&text).any(|line| is_ours(line).is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Time;
    use crate::tree::testing::tree;

    const LIB: &str = "/usr/lib/systemd/system";
    const WANTS: &str = "/etc/systemd/system/multi-user.target.wants";

    /// The services that are left of those whose `ExecStart=` are given.
    fn left(units: &[(&str, &str)], command: &[&str]) -> Vec<String> {
        let mut tree = tree(&[("/usr/bin/redis-server", "-> redis-check"), ("/bin", "-> usr/bin")]);
        let mut editor = Editor::new(&mut tree, Time::default());
        for program in ["/usr/sbin/nginx", "/usr/bin/redis-check", "/usr/bin/python3"] {
            editor.write_file(program, *b"", 0o755).unwrap();
        }
        for (name, start) in units {
            let text = format!("[Service]\nExecStartPre=/usr/sbin/nginx -t\n{start}\n");
            editor.write_file(format!("{LIB}/{name}"), text.into_bytes(), 0o644).unwrap();
            editor.symlink(format!("{WANTS}/{name}"), format!("/lib/systemd/system/{name}")).unwrap();
        }
        let cmd = command.iter().map(|word| (*word).to_owned()).collect();
        let disabled = disable(&mut editor, &Container { cmd, ..Container::default() }).unwrap();
        let left = tree.children(WANTS).map(|(name, _)| String::from_utf8_lossy(name).into_owned());
        let left: Vec<_> = left.collect();
        assert!(disabled.iter().all(|unit| !left.contains(unit)), "{disabled:?} {left:?}");
        left
    }

    #[test]
    fn the_same_program_is_started_once() {
        let nginx = ("nginx.service", "ExecStart=-/usr/sbin/nginx -g 'daemon on;'");
        let redis = ("redis-server.service", "ExecStart=/bin/redis-server /etc/redis/redis.conf");
        let both = [nginx, redis];
        assert_eq!(
            left(&both, &["docker-entrypoint.sh", "nginx", "-g", "daemon off;"]),
            ["redis-server.service"]
        );
        assert_eq!(left(&both, &["/bin/sh", "-c", "exec nginx -g 'daemon off;'"]), ["redis-server.service"]);
        assert_eq!(left(&both, &["redis-server"]), ["nginx.service"]);
        assert_eq!(left(&both, &["caddy"]).len(), 2);
    }

    #[test]
    fn what_only_has_the_same_interpreter_stays() {
        let units = [("dispatcher.service", "ExecStart=/usr/bin/python3 /usr/bin/dispatcher")];
        assert_eq!(left(&units, &["python3", "/srv/app.py"]).len(), 1);
    }
}
