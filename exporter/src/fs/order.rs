//! The order in which contents lie on a disk.

use crate::tree::{InodeId, InodeKind, Tree};

/// Which of `inodes` comes next on the disk: all directories (a walk over names then reads one area), then the others,
/// those that lie in archives last and in the order of the archives, so that writing the disk decodes each archive once.
pub(super) fn disk_order<'a>(
    tree: &'a Tree,
    inodes: impl Iterator<Item = InodeId> + Clone + 'a,
) -> impl Iterator<Item = usize> + 'a {
    let kinds = inodes.map(move |id| &tree.inode(id).kind).enumerate();
    let order = |kind: &InodeKind| if let InodeKind::File(content) = kind { content.order() } else { None };
    let archived = kinds.clone().filter_map(move |(index, kind)| Some((order(kind)?, index)));
    let mut archived: Vec<_> = archived.collect();
    archived.sort_unstable();
    let is_directory = |kind: &InodeKind| matches!(kind, InodeKind::Directory(_));
    let directories = kinds.clone().filter(move |(_, kind)| is_directory(kind));
    let others = kinds.filter(move |(_, kind)| !is_directory(kind) && order(kind).is_none());
    directories.chain(others).map(|(index, _)| index).chain(archived.into_iter().map(|(_, index)| index))
}
