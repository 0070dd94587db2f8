//! The extended attributes of one inode.

use std::collections::{BTreeMap, btree_map};
use std::ops::{Deref, DerefMut};

type Map = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// Extended attributes by full name (`user.note`, `security.capability`), values as the kernel's
/// `getxattr` gives them.
///
/// Most inodes have none, so a set without any is a single empty pointer.
#[derive(Clone, Debug, Default)]
pub struct Xattrs(Option<Box<Map>>);

impl Xattrs {
    /// No attributes.
    pub const fn new() -> Self {
        Self(None)
    }
}

impl Deref for Xattrs {
    type Target = Map;

    fn deref(&self) -> &Map {
        static NONE: Map = Map::new();
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl DerefMut for Xattrs {
    fn deref_mut(&mut self) -> &mut Map {
        self.0.get_or_insert_default()
    }
}

impl PartialEq for Xattrs {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Xattrs {}

impl FromIterator<(Box<[u8]>, Box<[u8]>)> for Xattrs {
    fn from_iter<I: IntoIterator<Item = (Box<[u8]>, Box<[u8]>)>>(attributes: I) -> Self {
        let map = Map::from_iter(attributes);
        Self((!map.is_empty()).then(|| map.into()))
    }
}

impl<'a> IntoIterator for &'a Xattrs {
    type Item = (&'a Box<[u8]>, &'a Box<[u8]>);
    type IntoIter = btree_map::Iter<'a, Box<[u8]>, Box<[u8]>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
