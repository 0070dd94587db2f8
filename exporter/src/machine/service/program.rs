//! Programs by the words of an image: looked up as a container's runtime does, in the image's own `PATH`.

use crate::limits;
use crate::spec::Container;
use crate::tree::{InodeId, InodeKind, Tree};

/// Where the words of a container are looked up.
pub(super) struct Programs {
    /// Where it starts.
    here: String,
    /// The directories of its `PATH`.
    directories: Vec<String>,
}

impl Programs {
    pub(super) fn of(container: &Container) -> Self {
        let here = working_dir(container);
        let path = container.variable("PATH").unwrap_or(Container::DEFAULT_PATH);
        let directories = path.split(':').take(limits::PROGRAM_DIRECTORIES);
        Self { directories: directories.map(|directory| join(&here, directory)).collect(), here }
    }

    /// The file that `word` starts; `None` if it is no program of the tree.
    pub(super) fn find(&self, tree: &Tree, word: &str) -> Option<InodeId> {
        self.path(tree, word).and_then(|path| executable(tree, &path))
    }

    /// Where it lies.
    pub(super) fn path(&self, tree: &Tree, word: &str) -> Option<String> {
        let is_program = |path: &String| executable(tree, path).is_some();
        if word.contains('/') {
            return Some(join(&self.here, word)).filter(is_program);
        }
        self.directories.iter().map(|directory| format!("{directory}/{word}")).find(is_program)
    }
}

/// Where the program starts: `WORKDIR`, which is below `/` in any case.
pub(super) fn working_dir(container: &Container) -> String {
    join("/", &container.working_dir)
}

/// `path` as seen from the directory `from`.
fn join(from: &str, path: &str) -> String {
    match path {
        "" => from.to_owned(),
        absolute if absolute.starts_with('/') => absolute.to_owned(),
        relative => format!("{}/{relative}", from.trim_end_matches('/')),
    }
}

fn executable(tree: &Tree, path: &str) -> Option<InodeId> {
    let is_executable = |id: &InodeId| {
        let inode = tree.inode(*id);
        matches!(inode.kind, InodeKind::File(_)) && inode.meta.permissions & 0o111 != 0
    };
    tree.resolve(path).filter(is_executable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::tree;
    use crate::tree::{Editor, Time};

    #[test]
    fn words_are_looked_up_in_the_images_path_and_directory() {
        let mut tree = tree(&[
            ("/bin", "-> usr/bin"),
            ("/usr/local/bin/app", "not executable"),
            ("/usr/local/bin/web/", ""),
            ("/etc/alternatives/web", "-> /usr/bin/app"),
            ("/usr/bin/web", "-> /etc/alternatives/web"),
            ("/escape", "-> ../../../../bin/sh"),
        ]);
        let mut editor = Editor::new(&mut tree, Time::default());
        let [app, tool] =
            ["/usr/bin/app", "/srv/tool"].map(|path| editor.write_file(path, *b"", 0o755).unwrap());
        let default = Container::default();
        let there =
            Container { working_dir: "srv".into(), env: vec!["PATH=/none:".into()], ..Container::default() };
        for (container, word, found) in [
            (&default, "app", Some(app)),
            (&default, "web", Some(app)),
            (&default, "/bin/app", Some(app)),
            (&default, "usr/../usr/bin/app", Some(app)),
            (&default, "tool", None),
            (&default, "/usr/local/bin/app", None),
            (&default, "/usr/bin", None),
            (&default, "/escape", None),
            (&there, "tool", Some(tool)),
            (&there, "./tool", Some(tool)),
            (&there, "app", None),
        ] {
            assert_eq!(Programs::of(container).find(&tree, word), found, "{word}");
        }
    }
}
