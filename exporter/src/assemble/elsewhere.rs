//! What partitions have that is not of the image: of the build context, of other stages, of named contexts.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::error::{Error, Kind, Result};
use crate::machine::Materials;
use crate::spec::Spec;
use crate::spec::layout::{Content, Slot, Source, StageSource, slots};
use crate::tree::{self, Detail, Editor, InodeKind, Meta, Time, Tree, Xattrs};

/// By where it is from.
#[derive(Default)]
pub(super) struct Elsewhere(BTreeMap<Source, Found>);

/// What was found there.
enum Found {
    Folder(Tree),
    File(tree::Content),
}

impl Elsewhere {
    /// Looks for all that the partitions of `spec` name. What is made of the build context has the time of what is made.
    pub(super) fn find(spec: &Spec, materials: &Materials, time: Time) -> Result<Self> {
        let slots = slots(spec);
        let found = slots.iter().filter_map(|slot| match slot {
            Slot { content: Content::Elsewhere(source), file_system, .. } => {
                let found = find(source, file_system.is_some(), materials, time);
                Some(found.map(|found| (source.clone(), found)))
            }
            _ => None,
        });
        let mut found: BTreeMap<_, _> = found.collect::<Result<_>>()?;
        if spec.source_date_epoch.is_some() {
            for found in found.values_mut() {
                if let Found::Folder(tree) = found {
                    Editor::new(tree, time).clamp_times(time);
                }
            }
        }
        Ok(Self(found))
    }

    /// A hash of it all, with the files' contents; `None` if there is nothing.
    pub(super) fn digest(&self) -> Result<Option<[u8; 32]>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut hasher = Sha256::new();
        for found in self.0.values() {
            hasher.update(found.digest()?);
        }
        Ok(Some(hasher.finalize().into()))
    }

    /// A folder with all below it.
    pub(super) fn tree(&self, source: &Source) -> Result<Tree> {
        match self.0.get(source) {
            Some(Found::Folder(tree)) => Ok(tree.clone()),
            _ => Err(unfit(source, true)),
        }
    }

    /// A file.
    pub(super) fn file(&self, source: &Source) -> Result<tree::Content> {
        match self.0.get(source) {
            Some(Found::File(content)) => Ok(content.clone()),
            _ => Err(unfit(source, false)),
        }
    }
}

impl Found {
    fn digest(&self) -> Result<[u8; 32]> {
        let detail = Detail { hashes: true, holes: false };
        match self {
            Self::Folder(tree) => tree.digest(detail),
            Self::File(content) => {
                let mut tree = Tree::new(Meta::default());
                let file = tree::Inode { meta: Meta::default(), kind: InodeKind::File(content.clone()) };
                tree.insert(Tree::ROOT, b"file", file);
                tree.digest(detail)
            }
        }
    }
}

fn find(source: &Source, is_folder: bool, materials: &Materials, time: Time) -> Result<Found> {
    let (tree, id) = match source {
        Source::Path(path) => (&materials.context, materials.file(path)?),
        Source::Stage(StageSource { from, path }) => materials.in_stage(from, path)?,
    };
    match &tree.inode(id).kind {
        InodeKind::Directory(_) if is_folder => {
            let folder = tree.subtree(id);
            Ok(Found::Folder(if source.stage().is_some() { folder } else { as_copied(folder, time) }))
        }
        InodeKind::File(content) if !is_folder => Ok(Found::File(content.clone())),
        _ => Err(unfit(source, is_folder)),
    }
}

fn unfit(source: &Source, is_folder: bool) -> Error {
    let message = match is_folder {
        true => "is no folder, and the files of a partition are from one",
        false => "is no regular file, and a partition is to have its bytes",
    };
    Error::new(Kind::Input, source.to_string(), message)
}

/// Owners, times and attributes are those of whoever checked the context out.
fn as_copied(mut folder: Tree, time: Time) -> Tree {
    let mut ids: Vec<_> = folder.walk().map(|(_, _, id)| id).collect();
    ids.push(Tree::ROOT);
    for id in ids {
        let meta = &mut folder.inode_mut(id).meta;
        (meta.uid, meta.gid, meta.mtime, meta.xattrs) = (0, 0, time, Xattrs::default());
    }
    folder
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::{text, tree};

    const NOW: Time = Time { seconds: 1_700_000_000, nanoseconds: 0 };

    /// A context and a stage with files of somebody.
    fn materials(page: &str) -> Materials {
        let theirs = |files: &[(&str, &str)]| {
            let mut tree = tree(files);
            let ids: Vec<_> = tree.walk().map(|(_, _, id)| id).collect();
            ids.into_iter().for_each(|id| tree.inode_mut(id).meta.uid = 1000);
            tree
        };
        let context = theirs(&[("/site/a/index.html", page), ("/raw", "bytes"), ("/link", "-> site")]);
        let stage = theirs(&[("/srv/page", "built"), ("/current", "-> srv")]);
        Materials { context, stages: [("assets".to_owned(), stage)].into(), ..Materials::default() }
    }

    fn find(partition: &str, materials: &Materials) -> Result<Elsewhere> {
        let layout = format!(r#"{{"preset":"simple","partitions":[{partition}]}}"#);
        let spec = Spec { layout: serde_json::from_str(&layout).unwrap(), ..Spec::default() };
        Elsewhere::find(&spec, materials, NOW)
    }

    #[test]
    fn a_folder_of_the_context_is_roots_and_one_of_a_stage_is_whose_it_is() {
        for (source, path, content, owner) in [
            (r#""site""#, "/a/index.html", "hello", 0),
            (r#"{"from":"assets","path":"/srv"}"#, "/page", "built", 1000),
            (r#"{"from":"assets","path":"/current"}"#, "/page", "built", 1000),
        ] {
            let found = find(&format!(r#"{{"type":"srv","source":{source}}}"#), &materials("hello")).unwrap();
            let source: Source = serde_json::from_str(source).unwrap();
            let tree = found.tree(&source).unwrap();
            assert_eq!(text(&tree, path).as_deref(), Some(content), "{source}");
            assert_eq!(tree.inode(tree.lookup(path).unwrap()).meta.uid, owner, "{source}");
        }
    }

    #[test]
    fn a_file_is_laid_down_as_it_is() {
        let raw = r#"{"type":"linux-generic","filesystem":"none","source":"raw"}"#;
        let found = find(raw, &materials("")).unwrap();
        assert_eq!(found.file(&Source::Path("raw".to_owned())).unwrap().len(), 5);
    }

    #[test]
    fn what_cannot_be_had_is_named() {
        for (partition, expected) in [
            (r#"{"type":"srv","source":"none"}"#, "none: is not in the build context"),
            (r#"{"type":"srv","source":"raw"}"#, "raw: is no folder"),
            (r#"{"type":"srv","source":"link"}"#, "link: is no folder"),
            (r#"{"type":"srv","source":"link/a"}"#, "link/a: is not in the build context"),
            (r#"{"type":"srv","filesystem":"none","source":"site"}"#, "site: is no regular file"),
            (
                r#"{"type":"srv","source":{"from":"other","path":"/"}}"#,
                "other: is a stage or a named context",
            ),
            (r#"{"type":"srv","source":{"from":"assets","path":"/b"}}"#, "assets:/b: is not there"),
        ] {
            let error =
                find(partition, &materials("")).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.starts_with(expected), "{partition}: {error}");
        }
    }

    #[test]
    fn only_what_is_named_makes_another_disk() {
        let digest =
            |partition: &str, page: &str| find(partition, &materials(page)).unwrap().digest().unwrap();
        assert_eq!(digest(r#"{"type":"srv"}"#, "one"), None);
        let site = r#"{"type":"srv","source":"site"}"#;
        assert_ne!(digest(site, "one"), digest(site, "two"));
        let raw = r#"{"type":"srv","filesystem":"none","source":"raw"}"#;
        assert_eq!(digest(raw, "one"), digest(raw, "two"));
    }
}
