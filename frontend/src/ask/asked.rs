//! All that was asked of a disk.

use exporter::spec::Spec;

use super::{Hook, Install, Wish};

/// All that was asked of a disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Asked {
    /// What the exporter makes of it.
    pub(crate) spec: Spec,
    /// What is installed for it.
    pub(crate) install: Install,
    /// Scripts run on the user's finished file system, in their order.
    pub(crate) hooks: Vec<Hook>,
    /// The configuration's file, if it has another name than usual.
    pub(crate) config: Option<String>,
}

impl Asked {
    /// Asks for all of these, too; of one attribute the last counts.
    pub(crate) fn ask(&mut self, wishes: &[Wish]) {
        wishes.iter().for_each(|wish| wish.change(self));
    }
}
