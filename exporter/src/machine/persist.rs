//! What is kept of what the machine writes, on a partition of its own: what the program before the init is told, what it
//! needs to find, and what is written to elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{fields, lines, read};
use crate::error::{Error, Kind, Result, show_list};
use crate::spec::{Container, Persist};
use crate::tree::{Editor, InodeId, InodeKind, Tree};

/// What is kept, and where.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Which directories; their paths lead through no links.
    pub persist: Persist,
    /// Where the partition is mounted.
    pub at: String,
    /// Whether it grows with the disk.
    pub grows: bool,
    /// Where other partitions are mounted that are written to.
    pub partitions: Vec<String>,
}

/// What the program is told of it.
#[derive(Serialize)]
pub(super) struct Config<'a> {
    /// What the partition is found by, on the disk with the root.
    label: &'static str,
    at: &'a str,
    overlay: &'a [String],
    bind: &'a [String],
    create: &'a [String],
    grows: bool,
}

/// The command of a person in the machine, by the program before the init.
const COMMAND: &str = "/usr/bin/vmimage";
/// What repairs the partition before it is mounted.
const CHECKERS: [&str; 2] = ["/sbin/e2fsck", "/usr/sbin/e2fsck"];
/// What a block group of an ext4 has an inode for, and what one takes at least.
const PER_INODE: u64 = 16 << 10;
const BLOCK: u64 = 4 << 10;
/// A journal and the tables of a small ext4.
const OVERHEAD: u64 = 64 << 20;

impl Persist {
    /// The same with paths that lead through no links of `tree`.
    ///
    /// # Errors
    /// If one leads nowhere.
    pub fn canonical(&self, tree: &Tree) -> Result<Self> {
        let canonical = |path: &String| {
            let endless = || Error::new(Kind::Input, path, "leads to no place of the image's tree");
            tree.canonical(path).ok_or_else(endless)
        };
        let all = |paths: &[String]| paths.iter().map(canonical).collect::<Result<Vec<_>>>();
        Ok(Self { overlay: all(&self.overlay)?, bind: all(&self.bind)?, create: self.create.clone() })
    }
}

impl Kept {
    pub(super) fn config(&self) -> Config<'_> {
        let Self { persist: Persist { overlay, bind, create }, at, grows, .. } = self;
        Config { label: Persist::LABEL, at, overlay, bind, create, grows: *grows }
    }

    /// Make sure of what the program mounts on, and give the machine its command. Returns a line for each change.
    pub(super) fn prepare(&self, editor: &mut Editor<'_>, program: &str) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        editor.mkdir_all(&self.at)?;
        for (key, path) in self.persist.directories() {
            match editor.tree().lookup(path).map(|id| &editor.tree().inode(id).kind) {
                Some(InodeKind::Directory(_)) => {}
                Some(_) => {
                    let message = format!("is no directory, and persist.{key} is to keep what is in it");
                    return Err(Error::new(Kind::Input, path, message));
                }
                None => {
                    editor.mkdir_all(path)?;
                    notes.push(format!("{path}: made, to keep what is written to it"));
                }
            }
        }
        match editor.tree().resolve_nofollow(COMMAND) {
            Some(_) => {
                notes.push(format!("{COMMAND}: the image's own, {program} factory-reset empties {}", self.at))
            }
            None => drop(editor.symlink(COMMAND, program)?),
        }
        let paths: Vec<_> = self.persist.directories().map(|(_, path)| path).collect();
        notes.push(format!("{}: keeps {} of what is written", self.at, show_list(&paths)));
        if CHECKERS.into_iter().all(|path| editor.tree().resolve(path).is_none()) {
            notes.push(format!("{}: not repaired after a power cut, the image has no e2fsck", self.at));
        }
        Ok(notes)
    }

    /// Whether what is written to this place is kept: by the partition, or by another one.
    pub(super) fn has(&self, path: &str) -> bool {
        let directories = self.persist.directories().map(|(_, directory)| directory);
        let places = directories.chain([self.at.as_str()]).chain(self.partitions.iter().map(String::as_str));
        places.into_iter().any(|place| lies_at_or_below(path, place))
    }

    /// How large the partition has to be for what the first boot copies to it.
    pub fn room(&self, tree: &Tree) -> u64 {
        let bound = self.persist.bind.iter().filter_map(|path| tree.lookup(path));
        let bytes: u64 = bound.map(|top| size_of_directory(tree, top)).sum();
        bytes.saturating_add(bytes / 4).saturating_add(OVERHEAD)
    }
}

/// The bytes of a directory and of all below it, on a file system of its own.
fn size_of_directory(tree: &Tree, top: InodeId) -> u64 {
    let (mut open, mut files) = (vec![top], BTreeSet::new());
    while let Some(directory) = open.pop() {
        for &id in tree.entries(directory).into_iter().flat_map(BTreeMap::values) {
            if tree.entries(id).is_some() {
                open.push(id);
            }
            files.insert(id);
        }
    }
    let size = |id: &InodeId| match &tree.inode(*id).kind {
        InodeKind::File(content) => content.data_ranges().iter().map(|range| range.end - range.start).sum(),
        _ => BLOCK,
    };
    files.iter().map(|id| size(id).next_multiple_of(BLOCK).max(PER_INODE)).sum()
}

/// What is in memory, or made anew at each boot, on every machine.
const FLEETING: [&str; 6] = ["/dev", "/proc", "/run", "/sys", "/tmp", "/var/run"];

/// What the image says that it writes to, where neither `kept` nor memory (`volatile`) has it: a line for the report.
///
/// # Errors
/// If a file that says so cannot be read.
pub(super) fn outside(
    tree: &Tree,
    kept: &Kept,
    volatile: &[&str],
    container: Option<&Container>,
) -> Result<Option<String>> {
    let mut written = volumes(container);
    written.extend(homes(tree)?);
    written.extend(made_at_boot(tree)?);
    let is_lost = |path: &str| {
        let in_memory = volatile.iter().chain(&FLEETING).any(|place| lies_at_or_below(path, place));
        let path = tree.canonical(path);
        !in_memory && path.is_some_and(|path| !kept.has(&path))
    };
    let lost: BTreeMap<_, _> = written.into_iter().filter(|(path, _)| is_lost(path)).collect();
    let lost: Vec<_> = lost.into_iter().map(|(path, why)| format!("{path} ({why})")).collect();
    Ok((!lost.is_empty())
        .then(|| format!("/: only read, and so is what the image writes to: {}", show_list(&lost))))
}

/// What the image has its data in, where all of that is in memory: a line for the report.
///
/// # Errors
/// If a file that says so cannot be read.
pub(super) fn forgotten(tree: &Tree, container: Option<&Container>) -> Result<Option<String>> {
    let written: BTreeMap<_, _> = volumes(container).into_iter().chain(homes(tree)?).collect();
    let lost: Vec<_> = written.into_iter().map(|(path, why)| format!("{path} ({why})")).collect();
    let what = "/: in memory, and gone after a reboot, is what the image writes to";
    Ok((!lost.is_empty()).then(|| format!("{what}: {}", show_list(&lost))))
}

/// A place, and who says that it is written to.
type Written = (String, String);

fn volumes(container: Option<&Container>) -> Vec<Written> {
    let volumes = container.into_iter().flat_map(|container| &container.volumes);
    volumes.map(|path| (path.trim_end_matches('/').to_owned(), "VOLUME".to_owned())).collect()
}

/// Homes of those who log in (passwd(5)).
fn homes(tree: &Tree) -> Result<Vec<Written>> {
    let text = read(tree, "/etc/passwd")?;
    let home = |line: &[u8]| {
        let line = String::from_utf8_lossy(line).trim_end().to_owned();
        let fields: Vec<_> = line.split(':').collect();
        let [name, _, _, _, _, home, shell] = fields[..] else { return None };
        let logs_in = !shell.ends_with("/nologin") && !shell.ends_with("/false") && !shell.ends_with("/sync");
        let is_there = home != "/" && tree.resolve(home).is_some();
        (logs_in && is_there).then(|| (home.to_owned(), format!("home of {name}")))
    };
    Ok(lines(&text).filter_map(home).collect())
}

/// Where systemd-tmpfiles(8) makes something at boot.
fn made_at_boot(tree: &Tree) -> Result<Vec<Written>> {
    let mut written = Vec::new();
    for folder in ["/etc/tmpfiles.d", "/usr/lib/tmpfiles.d"] {
        let names: Vec<_> =
            tree.children(folder).map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
        for name in names.iter().filter(|name| name.ends_with(".conf")) {
            let text = read(tree, &format!("{folder}/{name}"))?;
            let lines = lines(&text).map(fields).filter(|line| makes(line));
            written.extend(lines.filter_map(|line| Some((line.get(1)?.clone(), name.clone()))));
        }
    }
    Ok(written)
}

/// A line of tmpfiles.d(5) that makes something which the image has not at a plain place.
fn makes(line: &[String]) -> bool {
    let [kind, path, ..] = line else { return false };
    kind.starts_with(['d', 'D', 'f', 'L', 'C', 'p']) && path.starts_with('/') && !path.contains(['%', '*'])
}

fn lies_at_or_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Time;
    use crate::tree::testing::tree;

    fn kept(persist: &str) -> Kept {
        let persist = serde_json::from_str(persist).unwrap();
        Kept { persist, at: "/persist".into(), grows: true, partitions: vec!["/srv".into()] }
    }

    fn prepared(files: &[(&str, &str)], persist: &str) -> Result<(Tree, Vec<String>)> {
        let mut tree = tree(files);
        let notes =
            kept(persist).prepare(&mut Editor::new(&mut tree, Time::default()), "/usr/lib/vmimage/early")?;
        Ok((tree, notes))
    }

    #[test]
    fn what_it_mounts_on_is_there_and_a_directory() {
        let (tree, notes) = prepared(&[("/etc/motd", "hello")], r#"{"bind":["/data"]}"#).unwrap();
        assert!(["/persist", "/data", "/etc/motd"].iter().all(|path| tree.lookup(path).is_some()));
        assert_eq!(
            notes,
            [
                "/data: made, to keep what is written to it",
                "/persist: keeps /etc, /data of what is written",
                "/persist: not repaired after a power cut, the image has no e2fsck"
            ]
        );
        let InodeKind::Symlink(target) = &tree.inode(tree.lookup(COMMAND).unwrap()).kind else { panic!() };
        assert_eq!(&**target, b"/usr/lib/vmimage/early");
        let own = [("/usr/bin/vmimage", "own"), ("/etc/", ""), ("/var/", ""), ("/usr/sbin/e2fsck", "")];
        let notes = prepared(&own, "{}").unwrap().1;
        assert!(notes[0].starts_with("/usr/bin/vmimage: the image's own") && notes.len() == 2, "{notes:?}");
        let error =
            prepared(&[("/etc/motd", "hello")], r#"{"overlay":["/etc/motd"]}"#).unwrap_err().to_string();
        assert_eq!(error, "/etc/motd: is no directory, and persist.overlay is to keep what is in it");
    }

    #[test]
    fn paths_are_those_that_links_lead_to() {
        let tree = tree(&[("/home", "-> var/home"), ("/var/home/", ""), ("/loop", "-> loop")]);
        let canonical =
            |path: &str| Persist { bind: vec![path.into()], ..Persist::default() }.canonical(&tree);
        assert_eq!(canonical("/home/ada").unwrap().bind, ["/var/home/ada"]);
        assert!(canonical("/loop").unwrap_err().to_string().starts_with("/loop: leads to no place"));
    }

    #[test]
    fn the_partition_has_room_for_what_is_copied_to_it() {
        let large = "x".repeat(100_000);
        let tree = tree(&[("/var/large", &large), ("/var/lib/small", "y"), ("/usr/large", &large)]);
        let room = kept("{}").room(&tree) - OVERHEAD;
        let files = 102_400 + PER_INODE + PER_INODE;
        assert_eq!(room, files + files / 4);
        assert_eq!(kept(r#"{"bind":["/nowhere"]}"#).room(&tree), OVERHEAD);
    }

    #[test]
    fn what_is_written_to_elsewhere_is_told() {
        let files = [
            (
                "/etc/passwd",
                "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/srv/www:/bin/sh\nbin:x:2:2::/bin:/usr/sbin/nologin\n",
            ),
            (
                "/usr/lib/tmpfiles.d/app.conf",
                "# app\nd /opt/app/state 0755\nd /var/lib/app\nD /run/app\nx /opt/y\nd /opt/%b\n",
            ),
            ("/usr/lib/tmpfiles.d/readme", "d /readme\n"),
            ("/root/", ""),
            ("/srv/www/", ""),
            ("/data", "-> var/data"),
            ("/var/data/", ""),
        ];
        let tree = tree(&files);
        let volumes = ["/data", "/cache/"].map(str::to_owned).into();
        let container = Container { volumes, ..Container::default() };
        let told = |persist: &str, volatile: &[&str]| {
            outside(&tree, &kept(persist), volatile, Some(&container)).unwrap()
        };
        let lost = "/: only read, and so is what the image writes to: /cache (VOLUME), /opt/app/state (app.conf), /root (home of root)";
        assert_eq!(told("{}", &[]).as_deref(), Some(lost));
        assert_eq!(told(r#"{"overlay":["/root","/opt"]}"#, &["/cache"]), None);
    }
}
