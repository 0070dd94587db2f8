//! All that was asked of a disk.

use exporter::spec::Spec;
use exporter::spec::layout::Source;

use super::{Hook, Install, Wish};
use crate::base::{Error, Result};

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

    /// For builds that know no other stages, nor named contexts.
    pub(crate) fn refuse_stages(&self) -> Result<()> {
        let Spec { layout, kernel_file, .. } = &self.spec;
        let of_partitions = layout.partitions.iter().filter_map(|partition| partition.source.as_ref());
        let named = of_partitions.map(|source| ("partitions.source", source));
        let mut named = named.chain(kernel_file.iter().map(|source| ("kernel", source)));
        let Some((key, source)) = named.find(|(_, source)| matches!(source, Source::Stage(_))) else {
            return Ok(());
        };
        let message =
            format!("{key}: {source} is of a stage or a named context, which only builds by docker have");
        Err(Error::user(message)
            .with_hint("build with --engine docker, or name a file or folder of the build context"))
    }
}
