//! What container bases have in them that a machine is not served by, and what becomes of it: the one table that the
//! edits of this crate and the package step of a build go by. `docs/container-base.md` is written from it.

use std::fmt::Write;

use super::stand_in::PROGRAMS;
use super::{identity, leftovers, resolver, systemd};
use crate::error::Result;
use crate::tree::{Editor, Tree};

/// A line of the table.
pub(super) struct Trace {
    paths: &'static [&'static str],
    fate: Fate,
    /// What is told of it, in the report and in the docs.
    reason: &'static str,
    /// Whose it is.
    of: Origin,
}

/// Who leaves something in a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The engine that has built and unpacked it: it goes in every case.
    Engine,
    /// Who made the image for a container: it goes where a distribution's init starts the machine.
    Image,
}

/// Whether a line of the table is meant, for what lies at a path.
type Test = fn(&Tree, &str) -> Result<bool>;

/// An edit of what lies at a path, and its lines for the report.
type Edit = fn(&mut Editor<'_>, &str) -> Result<Vec<String>>;

/// What becomes of it.
enum Fate {
    Removed,
    RemovedIf(Test),
    /// A directory to mount on, with these permissions.
    Emptied(u16),
    /// Units that are links to `/dev/null`.
    Unmasked,
    /// This is done to what lies there, if it has to be; what the edit says is for the report.
    Edited(&'static str, Edit),
    /// Another part of the program does this, with these paths.
    Elsewhere(&'static str),
    /// It stays; said where it is so.
    Kept(Test),
    /// It stays, and nobody has to be told.
    Silent,
}

const fn trace(of: Origin, paths: &'static [&'static str], fate: Fate, reason: &'static str) -> Trace {
    Trace { paths, fate, reason, of }
}

#[rustfmt::skip]
const TRACES: &[Trace] = {
    use Fate::{Edited, Elsewhere, Emptied, Kept, Removed, RemovedIf, Silent, Unmasked};
    use Origin::{Engine, Image};
    &[
    trace(Engine, &leftovers::MARKS, Removed, "programs that see it think that they run in a container"),
    trace(Engine, &[resolver::RESOLV_CONF], RemovedIf(resolver::is_engines), "it was empty, or the file of a container"),
    trace(Engine, &leftovers::KERNEL_MOUNT_POINTS, Emptied(0o755), "a file system of the kernel is mounted over it"),
    trace(Engine, &[leftovers::JOURNAL], Edited("its access control lists are left to systemd, which sets them at boot", leftovers::leave_to_systemd), "docker keeps them in a build, layers of buildah lose them"),
    trace(Image, &["/run"], Emptied(0o755), "a file system of the running machine is mounted over it"),
    trace(Image, &["/tmp"], Emptied(0o1777), "a file system of the running machine is mounted over it"),
    trace(Image, &[leftovers::POLICY_RC_D], RemovedIf(leftovers::forbids_all_services), "it kept services from starting"),
    trace(Image, &leftovers::MASKED_IN_CONTAINERS, Unmasked, "a machine needs it"),
    trace(Image, &PROGRAMS, Elsewhere("restored by the package step: a diversion to a stand-in is undone, a package whose program is one is installed again; named in the report where no step runs"), "a link to true(1), or a script that does nothing, makes no initramfs and starts no service"),
    trace(Image, &leftovers::DPKG_SETTINGS, Edited("`force-unsafe-io` is taken out", leftovers::sync_again), "with it a power cut may leave files of packages empty"),
    trace(Image, &leftovers::APT_FOR_LAYERS, Removed, "it keeps layers small, and apt without its caches"),
    trace(Image, &["/etc/rc.conf"], Elsewhere("`rc_sys` is commented out"), "OpenRC leaves services out that a machine needs"),
    trace(Image, &[identity::MACHINE_ID, identity::DBUS_MACHINE_ID], Elsewhere("made anew at boot"), "machines with one id get one address"),
    trace(Image, &[identity::SSH_HOST_KEYS], Elsewhere("made anew at boot; kept, and named, where nothing would make them"), "who has the image could be any of its machines"),
    trace(Image, &identity::SNAKE_OIL, Elsewhere("made anew at boot; kept, and named, where nothing would make them"), "who has the image has the key of every one of its machines"),
    trace(Image, &identity::SEEDS, Elsewhere("removed"), "machines would draw the same numbers"),
    trace(Image, &identity::LEASE_DIRECTORIES, Elsewhere("leases, client ids and secrets are removed"), "machines would ask for one address"),
    trace(Image, &identity::CLOUD_INIT, Elsewhere("removed"), "cloud-init would take the machine for one that it has set up"),
    trace(Image, &[identity::ZYPP_ID], Elsewhere("removed, made anew by zypper"), "SUSE's servers count machines by it"),
    trace(Image, &identity::SHARED_KEYS, Kept(exists), "every machine of this image has the same key"),
    trace(Image, &[leftovers::DPKG_SETTINGS[1]], Kept(leftovers::excludes_files), "packages come without the files that a path-exclude names"),
    trace(Image, &leftovers::RPM_SETTINGS, Kept(leftovers::excludes_files), "packages come without their documentation"),
    trace(Image, &["/etc/initramfs-tools/update-initramfs.conf"], Kept(leftovers::updates_no_initramfs), "update_initramfs=no: an initramfs is not made anew in the machine"),
    trace(Image, &["other masked units, a `policy-rc.d` with an exception, diversions to a program that does something"], Silent, "somebody chose it"),
    trace(Image, &["`ENV container=…`, `INITRD=No` and all other variables"], Silent, "the service has them, the machine does not"),
    ]
};

/// Undo what the table says of `origin`. Returns what was changed, and what stays that is worth a line.
pub(super) fn undo(editor: &mut Editor<'_>, origin: Origin) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for Trace { paths, fate, reason, .. } in TRACES.iter().filter(|trace| trace.of == origin) {
        for path in *paths {
            notes.extend(apply(editor, fate, path, reason)?);
        }
    }
    Ok(notes)
}

fn apply(editor: &mut Editor<'_>, fate: &Fate, path: &str, reason: &str) -> Result<Vec<String>> {
    let is_meant = match fate {
        Fate::RemovedIf(test) | Fate::Kept(test) => test(editor.tree(), path)?,
        Fate::Unmasked => systemd::is_masked(editor.tree(), path),
        _ => true,
    };
    Ok(match fate {
        _ if !is_meant => Vec::new(),
        Fate::Removed => editor.remove(path).then(|| format!("{path}: removed")).into_iter().collect(),
        Fate::RemovedIf(_) => {
            editor.remove(path).then(|| format!("{path}: removed, {reason}")).into_iter().collect()
        }
        Fate::Emptied(permissions) => {
            leftovers::clear_mount_point(editor, path, *permissions)?.into_iter().collect()
        }
        Fate::Unmasked => {
            let is_gone = editor.remove(format!("{}/{path}", systemd::ETC));
            is_gone.then(|| format!("systemd: {path} unmasked")).into_iter().collect()
        }
        Fate::Edited(_, edit) => edit(editor, path)?,
        Fate::Kept(_) => vec![format!("{path}: kept, {reason}")],
        Fate::Elsewhere(_) | Fate::Silent => Vec::new(),
    })
}

fn exists(tree: &Tree, path: &str) -> Result<bool> {
    Ok(tree.resolve(path).is_some())
}

impl Trace {
    /// A row of the docs' table.
    fn row(&self) -> String {
        let quote = if matches!(self.fate, Fate::Silent) { "" } else { "`" };
        let paths: Vec<_> = self.paths.iter().map(|path| format!("{quote}{path}{quote}")).collect();
        let fate = match self.fate {
            Fate::Removed => "removed",
            Fate::RemovedIf(_) => "removed, if that is all it is",
            Fate::Emptied(_) => "emptied",
            Fate::Unmasked => "unmasked",
            Fate::Edited(fate, _) | Fate::Elsewhere(fate) => fate,
            Fate::Kept(_) => "kept, and named in the report",
            Fate::Silent => "kept",
        };
        format!("| {} | {fate} | {} |", paths.join(", "), self.reason)
    }
}

/// The table as Markdown.
pub fn documented() -> String {
    let mut text = String::from("| In the image | In the machine | Why |\n|---|---|---|\n");
    for trace in TRACES {
        let _ = writeln!(text, "{}", trace.row());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::tree::Time;
    use crate::tree::testing::tree;

    /// With `UPDATE=1` the table is written anew.
    #[test]
    fn the_published_table_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/container-base.md");
        let page = fs::read_to_string(&path).unwrap();
        let prose = page.split("| In the image |").next().unwrap();
        let current = format!("{prose}{}", documented());
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &current).unwrap();
        }
        let file = fs::read_to_string(&path).unwrap();
        assert!(
            file == current,
            "docs/container-base.md is not current: UPDATE=1 cargo test -p exporter published"
        );
    }

    /// What the docs call removed is removed, and what they call kept is there.
    #[test]
    fn the_table_is_what_is_done() {
        for trace in TRACES {
            for path in trace.paths.iter().filter(|path| path.starts_with('/') && !path.contains('*')) {
                let mut tree = tree(&[(path, "")]);
                let notes = undo(&mut Editor::new(&mut tree, Time::default()), trace.of).unwrap();
                let is_there = tree.resolve_nofollow(path).is_some();
                match trace.fate {
                    Fate::Removed => assert!(!is_there && notes.len() == 1, "{path}: {notes:?}"),
                    Fate::Emptied(permissions) => {
                        let id = tree.resolve(path).unwrap();
                        assert!(tree.entries(id).is_some_and(std::collections::BTreeMap::is_empty), "{path}");
                        assert_eq!(tree.inode(id).meta.permissions, permissions, "{path}");
                    }
                    Fate::RemovedIf(test) | Fate::Kept(test) => {
                        let is_meant = test(&tree, path).unwrap() || !is_there;
                        assert_eq!(
                            notes.iter().any(|note| note.contains(path)),
                            is_meant,
                            "{path}: {notes:?}"
                        );
                    }
                    _ => assert!(is_there, "{path}"),
                }
            }
        }
    }

    #[test]
    fn no_line_of_the_table_is_double() {
        let mut rows: Vec<_> = TRACES.iter().map(|trace| (trace.paths, trace.reason)).collect();
        rows.sort_unstable();
        let count = rows.len();
        rows.dedup();
        assert_eq!(rows.len(), count);
    }
}
