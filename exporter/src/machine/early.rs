//! The program that goes before the machine's init, whichever that is, where the root is only read: its configuration, and
//! what it needs to find.

use std::sync::Arc;

use serde::Serialize;

use super::persist::{self, Kept};
use crate::error::{Error, Kind, Result, show_list};
use crate::spec::{Container, Volatile};
use crate::tree::{Editor, InodeKind, Tree};

/// Where it lies, for the kernel's command line.
pub const PROGRAM: &str = "/usr/lib/vmimage/early";
/// What it does.
const CONFIG: &str = "/usr/lib/vmimage/early.json";

/// What is written to on every machine, and its permissions if it has to be made.
const STATE: [(&str, u16); 2] = [("/var", 0o755), ("/tmp", 0o1777)];
/// As a container has it: our own init puts nothing over it.
const RUN: (&str, u16) = ("/run", 0o755);
/// Where host keys are made at boot, for a server that no image keeps them for.
const SSH: &str = "/etc/ssh";
/// What of systemd mounts the ESP of a disk, and where, even if fstab mounts it elsewhere.
const GPT_AUTO: &str = "/lib/systemd/system-generators/systemd-gpt-auto-generator";
const ESP: &str = "/efi";
const SSH_SERVERS: [&str; 2] = ["/usr/sbin/sshd", "/usr/bin/sshd"];

/// What the program is told.
#[derive(Clone, Debug)]
pub struct Early<'a> {
    /// The program `vmimage-early` for the machine's architecture.
    pub program: Arc<[u8]>,
    /// What is written to memory.
    pub volatile: Volatile,
    /// What is kept on a partition.
    pub kept: Option<Kept>,
    /// What the image says of its containers.
    pub container: Option<&'a Container>,
    /// The machine's init.
    pub init: &'a str,
    /// Whether that is vmimage's own.
    pub is_own: bool,
    /// The seconds in which somebody has to say that the boot was good, or the machine restarts.
    pub deadline: Option<u32>,
}

/// The configuration, as the program reads it.
#[derive(Serialize)]
struct Config<'a> {
    volatile: &'a [&'a str],
    init: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    persist: Option<persist::Config<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<u32>,
}

/// Have the program make the root of the machine in `editor` read-only. Returns what was changed, a line for each change.
///
/// # Errors
/// If a directory that has to be one is something else.
pub fn install(editor: &mut Editor<'_>, early: &Early<'_>) -> Result<Vec<String>> {
    let kept = early.kept.as_ref();
    let mut notes = kept.map(|kept| kept.prepare(editor, PROGRAM)).transpose()?.unwrap_or_default();
    let (volatile, over) = match early.volatile {
        Volatile::No if kept.is_none() => return Ok(Vec::new()),
        Volatile::Overlay => (vec!["/"], "all of it".to_owned()),
        Volatile::No | Volatile::State => {
            let state = state(editor, early)?;
            let over = show_list(&state);
            (state, over)
        }
    };
    let Early { init, deadline, .. } = *early;
    let config = Config { volatile: &volatile, init, persist: kept.map(Kept::config), deadline };
    let failed = |error: serde_json::Error| Error::new(Kind::Input, CONFIG, error.to_string());
    editor.write_file(CONFIG, serde_json::to_vec(&config).map_err(failed)?, 0o644)?;
    editor.write_file(PROGRAM, early.program.clone(), 0o755)?;
    let over = if over.is_empty() { over } else { format!(", with overlays in memory over {over}") };
    notes.push(format!("{PROGRAM}: before {}, makes / read-only{over}", early.init));
    if kept.is_none_or(|kept| !kept.has("/etc")) {
        let what = "what is written, machine-id and SSH host keys included, is new at each boot";
        notes.push(format!("/: {what}; it does not grow"));
    }
    if kept.is_none() && early.volatile == Volatile::Overlay {
        notes.extend(persist::forgotten(editor.tree(), early.container)?);
    }
    if let Some(kept) = kept.filter(|_| early.volatile != Volatile::Overlay) {
        notes.extend(persist::outside(editor.tree(), kept, &volatile, early.container)?);
    }
    Ok(notes)
}

/// The directories that are written to, on a machine whose other ones are not, without those that a partition keeps.
fn state(editor: &mut Editor<'_>, early: &Early<'_>) -> Result<Vec<&'static str>> {
    let mut directories = Vec::new();
    for (path, permissions) in STATE.into_iter().chain(early.is_own.then_some(RUN)) {
        if editor.tree().lookup(path).is_none() {
            editor.set_directory(path, permissions)?;
        }
        // A link leads to one of the others, or to where nothing is written.
        if is_directory(editor.tree(), path) {
            directories.push(path);
        }
    }
    // By a BIOS, too: it looks at the disk. Where the directory is not, it would have to be made.
    if editor.tree().resolve(GPT_AUTO).is_some() && editor.tree().lookup(ESP).is_none() {
        editor.set_directory(ESP, 0o755)?;
    }
    let tree = editor.tree();
    let has_server = SSH_SERVERS.into_iter().any(|path| tree.resolve(path).is_some());
    if !early.is_own && has_server && is_directory(tree, SSH) {
        directories.push(SSH);
    }
    if directories.first() != Some(&"/var") {
        return Err(Error::new(Kind::Input, "/var", "is no directory, and its files are to be volatile"));
    }
    directories.retain(|path| early.kept.as_ref().is_none_or(|kept| !kept.has(path)));
    Ok(directories)
}

fn is_directory(tree: &Tree, path: &str) -> bool {
    tree.lookup(path).is_some_and(|id| matches!(tree.inode(id).kind, InodeKind::Directory(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Time;
    use crate::tree::testing::{text, tree};

    fn early(volatile: Volatile, kept: Option<Kept>, is_own: bool) -> Early<'static> {
        let program = Arc::from(*b"program");
        Early { program, volatile, kept, container: None, init: "/sbin/init", is_own, deadline: None }
    }

    fn config(files: &[(&str, &str)], volatile: Volatile, is_own: bool) -> Result<(String, Tree)> {
        let mut tree = tree(files);
        let early = early(volatile, None, is_own);
        let notes = install(&mut Editor::new(&mut tree, Time::default()), &early)?;
        assert_eq!(notes.len(), 2 * usize::from(!volatile.is_no()));
        Ok((text(&tree, CONFIG).unwrap_or_default(), tree))
    }

    #[test]
    fn systemd_finds_the_directory_that_it_mounts_an_esp_at() {
        for (generator, volatile, expected) in [
            (GPT_AUTO, Volatile::State, true),
            ("/lib/x", Volatile::State, false),
            (GPT_AUTO, Volatile::No, false),
        ] {
            let (_, tree) = config(&[(generator, ""), ("/var/lib/", "")], volatile, false).unwrap();
            assert_eq!(tree.lookup(ESP).is_some(), expected, "{generator} {volatile:?}");
        }
    }

    #[test]
    fn the_program_is_told_what_is_written_to() {
        let sshd = [("/usr/sbin/sshd", ""), ("/etc/ssh/sshd_config", ""), ("/var/lib/", "")];
        let link = [("/var/tmp/", ""), ("/tmp", "-> var/tmp")];
        for (files, volatile, is_own, expected) in [
            (&sshd[..], Volatile::Overlay, false, r#"["/"]"#),
            (&sshd, Volatile::State, false, r#"["/var","/tmp","/etc/ssh"]"#),
            (&sshd[1..], Volatile::State, false, r#"["/var","/tmp"]"#),
            (&link, Volatile::State, false, r#"["/var"]"#),
            (&sshd, Volatile::State, true, r#"["/var","/tmp","/run"]"#),
        ] {
            let (config, tree) = config(files, volatile, is_own).unwrap();
            assert_eq!(config, format!(r#"{{"volatile":{expected},"init":"/sbin/init"}}"#));
            assert_eq!(text(&tree, PROGRAM).unwrap(), "program");
        }
    }

    #[test]
    fn what_has_to_be_there_is_made_and_nothing_where_nothing_is_asked() {
        let (_, tree) = config(&[], Volatile::State, false).unwrap();
        for (path, permissions) in STATE {
            assert_eq!(tree.inode(tree.lookup(path).unwrap()).meta.permissions, permissions);
        }
        let (config, tree) = config(&[], Volatile::No, false).unwrap();
        assert!(config.is_empty() && tree.lookup("/usr").is_none());
        let error = super::tests::config(&[("/var", "a file")], Volatile::State, false).err().unwrap();
        assert!(error.to_string().starts_with("/var: is no directory"), "{error}");
    }

    #[test]
    fn what_is_gone_after_a_reboot_is_named() {
        let volumes = ["/data".to_owned()].into();
        let container = Container { volumes, ..Container::default() };
        let named = |volatile| {
            let mut tree = tree(&[("/etc/passwd", "root:x:0:0::/root:/bin/sh\n"), ("/root/", "")]);
            let early = Early { container: Some(&container), ..early(volatile, None, false) };
            let notes = install(&mut Editor::new(&mut tree, Time::default()), &early).unwrap();
            notes.into_iter().find(|note| note.starts_with("/: in memory"))
        };
        let expected = "/: in memory, and gone after a reboot, is what the image writes to: /data (VOLUME), /root (home of root)";
        assert_eq!(named(Volatile::Overlay).as_deref(), Some(expected));
        assert_eq!(named(Volatile::State), None);
    }

    #[test]
    fn what_is_kept_is_not_in_memory() {
        let installed = |persist: &str, volatile| {
            let files = [
                ("/usr/sbin/sshd", ""),
                ("/etc/ssh/sshd_config", ""),
                ("/var/lib/", ""),
                ("/sbin/e2fsck", ""),
            ];
            let mut tree = tree(&files);
            let persist = serde_json::from_str(persist).unwrap();
            let kept = Kept { persist, at: "/persist".into(), grows: true, partitions: vec!["/tmp".into()] };
            let early = early(volatile, Some(kept), false);
            let notes = install(&mut Editor::new(&mut tree, Time::default()), &early).unwrap();
            (text(&tree, CONFIG).unwrap(), notes)
        };
        let told = |overlay: &str, bind: &str| {
            format!(
                r#""init":"/sbin/init","persist":{{"label":"persist","at":"/persist","overlay":[{overlay}],"bind":[{bind}],"create":[],"grows":true}}}}"#
            )
        };
        let (config, notes) = installed("{}", Volatile::No);
        assert_eq!(config, format!(r#"{{"volatile":[],{}"#, told(r#""/etc""#, r#""/var""#)));
        assert_eq!(notes[1], "/usr/lib/vmimage/early: before /sbin/init, makes / read-only");
        let (config, notes) = installed(r#"{"overlay":[],"bind":["/srv"]}"#, Volatile::State);
        assert_eq!(config, format!(r#"{{"volatile":["/var","/etc/ssh"],{}"#, told("", r#""/srv""#)));
        assert!(notes.iter().any(|note| note.contains("machine-id and SSH host keys")), "{notes:?}");
        assert!(installed("{}", Volatile::Overlay).0.starts_with(r#"{"volatile":["/"],"#));
    }
}
