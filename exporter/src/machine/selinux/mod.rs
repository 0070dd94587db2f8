//! SELinux labels: layers of container images have none, so a machine with a policy gets them at its first
//! boot, by the distribution's own service for `/.autorelabel`, and then boots once more. A root that no boot writes to has
//! them from here.

mod contexts;

use super::{lines, read};
use crate::error::{Error, Kind, Result};
use crate::tree::{Editor, InodeId, Tree};
use contexts::Contexts;

/// Asks the distribution's service for labels; it removes the file.
pub const AUTORELABEL: &str = "/.autorelabel";

const CONFIG: &str = "/etc/selinux/config";
/// What that service runs.
const FIXFILES: [&str; 3] = ["/usr/sbin/fixfiles", "/sbin/fixfiles", "/usr/bin/fixfiles"];
const LABEL: &[u8] = b"security.selinux";
/// As good as any to see whether a tree has labels.
const SOME_PROGRAM: &str = "/usr/lib/systemd/systemd";

pub(super) fn relabel(editor: &mut Editor<'_>) -> Result<Vec<String>> {
    let tree = editor.tree();
    if policy(tree)?.is_none() || is_labelled(tree) || tree.lookup(AUTORELABEL).is_some() {
        return Ok(Vec::new());
    }
    if !FIXFILES.into_iter().any(|path| tree.resolve(path).is_some()) {
        let message = "wants SELinux labels, and there is no fixfiles to make them";
        return Err(Error::new(Kind::NotFound, CONFIG, message)
            .with_hint("install policycoreutils in the Dockerfile, or set SELINUX=disabled there"));
    }
    editor.write_file(AUTORELABEL, *b"", 0o644)?;
    Ok(vec![format!("{AUTORELABEL}: the first boot labels all files for SELinux, and boots again")])
}

/// Label all of the tree, where a policy is in force. Returns a line if it is.
///
/// # Errors
/// If the policy says no labels that can be read.
pub fn label(editor: &mut Editor<'_>) -> Result<Option<String>> {
    let Some(policy) = policy(editor.tree())? else { return Ok(None) };
    let contexts = Contexts::read(editor.tree(), &format!("{policy}/contexts/files"))?;
    for (id, label) in labels(editor.tree(), &contexts) {
        editor.meta_mut(id).xattrs.insert(LABEL.into(), label);
    }
    Ok(Some(format!("/: SELinux labels by {policy}, of all files and at no boot")))
}

/// What has a label, each inode once, by the first of its names.
fn labels(tree: &Tree, contexts: &Contexts) -> Vec<(InodeId, Box<[u8]>)> {
    let mut labels = Vec::new();
    let mut open = vec![(Vec::new(), Tree::ROOT)];
    while let Some((path, id)) = open.pop() {
        let kind = &tree.inode(id).kind;
        let label = contexts.label(if path.is_empty() { b"/" } else { &path }, kind);
        labels.extend(label.map(|label| (id, label.into())));
        let entries = tree.entries(id).into_iter().flatten().rev();
        open.extend(entries.map(|(name, &id)| ([&path, &b"/"[..], name].concat(), id)));
    }
    // Of several names the first one.
    labels.sort_by_key(|(id, _)| *id);
    labels.dedup_by_key(|(id, _)| *id);
    labels
}

/// The folder of the policy that is installed and not switched off (selinux(8)).
fn policy(tree: &Tree) -> Result<Option<String>> {
    let text = read(tree, CONFIG)?;
    let value = |name: &str| {
        let values = lines(&text).filter_map(|line| {
            let line = String::from_utf8_lossy(line);
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        });
        values.last().unwrap_or_default()
    };
    let policy = format!("/etc/selinux/{}", value("SELINUXTYPE"));
    let is_there = tree.children(format!("{policy}/policy")).next().is_some();
    Ok(Some(policy).filter(|_| is_there && matches!(&*value("SELINUX"), "enforcing" | "permissive")))
}

fn is_labelled(tree: &Tree) -> bool {
    let program = tree.resolve(SOME_PROGRAM);
    program.is_some_and(|id| tree.inode(id).meta.xattrs.contains_key(LABEL))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Time;
    use crate::tree::testing::tree;

    const POLICY: (&str, &str) = ("/etc/selinux/targeted/policy/policy.33", "");
    const TOOL: (&str, &str) = ("/usr/sbin/fixfiles", "");

    fn edit(files: &[(&str, &str)]) -> Result<bool> {
        let mut tree = tree(files);
        relabel(&mut Editor::new(&mut tree, Time::default()))?;
        Ok(tree.lookup(AUTORELABEL).is_some())
    }

    #[test]
    fn files_are_labelled_where_a_policy_is_in_force() {
        for (config, labelled) in [
            ("SELINUX=enforcing\nSELINUXTYPE=targeted\n", true),
            ("# SELINUX=disabled\nSELINUX=permissive\n\nSELINUXTYPE=targeted", true),
            ("SELINUX=disabled\nSELINUXTYPE=targeted\n", false),
            ("SELINUX=enforcing\nSELINUXTYPE=mls\n", false),
            ("", false),
        ] {
            assert_eq!(edit(&[(CONFIG, config), POLICY, TOOL]).unwrap(), labelled, "{config}");
        }
        assert!(!edit(&[]).unwrap());
    }

    #[test]
    fn a_root_that_no_boot_writes_to_has_all_labels() {
        let config = (CONFIG, "SELINUX=enforcing\nSELINUXTYPE=targeted\n");
        let contexts = "/.* u:r:any_t:s0\n/etc/selinux(/.*)? u:r:own_t:s0\n/tmp -d <<none>>\n";
        let contexts = ("/etc/selinux/targeted/contexts/files/file_contexts", contexts);
        let mut tree = tree(&[config, POLICY, contexts, ("/tmp/", ""), ("/b", "file")]);
        let file = tree.lookup("/b").unwrap();
        tree.link(tree.lookup("/etc/selinux").unwrap(), b"second", file);
        let notes = label(&mut Editor::new(&mut tree, Time::default())).unwrap();
        assert!(notes.unwrap().contains("/etc/selinux/targeted"));
        let label = |path: &str| tree.inode(tree.lookup(path)?).meta.xattrs.get(LABEL).cloned();
        assert_eq!(label("/").as_deref(), Some(&b"u:r:any_t:s0\0"[..]));
        assert_eq!(label("/b").as_deref(), Some(&b"u:r:any_t:s0\0"[..]));
        assert_eq!(label(CONFIG).as_deref(), Some(&b"u:r:own_t:s0\0"[..]));
        assert_eq!(label("/tmp"), None);
        let mut off =
            crate::tree::testing::tree(&[(CONFIG, "SELINUX=disabled\nSELINUXTYPE=targeted\n"), POLICY]);
        assert_eq!(super::label(&mut Editor::new(&mut off, Time::default())).unwrap(), None);
    }

    #[test]
    fn a_policy_that_nobody_can_label_for_is_an_error() {
        let config = (CONFIG, "SELINUX=enforcing\nSELINUXTYPE=targeted\n");
        assert!(edit(&[config, POLICY]).unwrap_err().hint().is_some());
    }
}
