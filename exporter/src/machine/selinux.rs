//! SELinux labels: layers of container images have none, so a machine with a policy gets them at its first
//! boot, by the distribution's own service for `/.autorelabel`, and then boots once more.

use super::{lines, read};
use crate::error::{Error, Kind, Result};
use crate::tree::{Editor, Tree};

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
    if !has_policy(tree)? || is_labelled(tree) || tree.lookup(AUTORELABEL).is_some() {
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

/// Whether a policy is installed and not switched off (selinux(8)).
fn has_policy(tree: &Tree) -> Result<bool> {
    let text = read(tree, CONFIG)?;
    let value = |name: &str| {
        let values = lines(&text).filter_map(|line| {
            let line = String::from_utf8_lossy(line);
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        });
        values.last().unwrap_or_default()
    };
    let policy = format!("/etc/selinux/{}/policy", value("SELINUXTYPE"));
    Ok(matches!(&*value("SELINUX"), "enforcing" | "permissive") && tree.children(&policy).next().is_some())
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
    fn a_policy_that_nobody_can_label_for_is_an_error() {
        let config = (CONFIG, "SELINUX=enforcing\nSELINUXTYPE=targeted\n");
        assert!(edit(&[config, POLICY]).unwrap_err().hint().is_some());
    }
}
