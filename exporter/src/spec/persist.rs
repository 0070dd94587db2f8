//! What a machine keeps of what it writes, on a partition of its own beside a root that is only read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::layout::Preset;
use super::{Profile, Spec, TextFormat};

/// What is kept. Paths are those of the machine, but for what is made on the partition itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Persist {
    /// Directories in which what the machine changes is kept, file by file (an overlay); all else in them is the image's,
    /// after an update the new one's.
    #[schemars(extend("items" = TextFormat::PlainPath.schema()), example = vec!["/etc", "/root"])]
    pub overlay: Vec<String>,
    /// Directories that lie on the partition as a whole: copied there from the image at the first boot, and the machine's
    /// from then on.
    #[schemars(extend("items" = TextFormat::PlainPath.schema()), example = vec!["/var", "/srv"])]
    pub bind: Vec<String>,
    /// Directories that are made on the partition: `/data` is `/persist/data` of the machine.
    #[schemars(extend("items" = TextFormat::PlainPath.schema()), example = vec!["/data"])]
    pub create: Vec<String>,
}

impl Persist {
    /// What the partition is found by in the table.
    pub const LABEL: &str = "persist";

    /// The directories of the machine that are kept, each with the key that says so.
    pub fn directories(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let overlay = self.overlay.iter().map(|path| ("overlay", path.as_str()));
        overlay.chain(self.bind.iter().map(|path| ("bind", path.as_str())))
    }
}

impl Default for Persist {
    fn default() -> Self {
        Self { overlay: vec!["/etc".into()], bind: vec!["/var".into()], create: Vec::new() }
    }
}

impl Spec {
    /// What the machine keeps: what was asked, else what its layout has by itself.
    pub fn kept(&self) -> Option<Persist> {
        let has_own = self.layout.preset.is_some_and(Preset::keeps);
        let kept = self.persist.clone().or_else(|| has_own.then(Persist::default));
        kept.filter(|_| self.profile == Profile::Machine)
    }

    /// Whether the machine never writes to its root.
    pub fn has_fixed_root(&self) -> bool {
        !self.volatile.is_no() || self.is_uki() || self.kept().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Volatile;

    #[test]
    fn what_is_not_said_is_as_by_default_and_nothing_is_kept_without_the_table() {
        let kept: Persist = serde_json::from_str(r#"{"bind":["/srv"]}"#).unwrap();
        assert_eq!((&*kept.overlay, &*kept.bind), (&["/etc".to_owned()][..], &["/srv".to_owned()][..]));
        assert_eq!(kept.directories().collect::<Vec<_>>(), [("overlay", "/etc"), ("bind", "/srv")]);
        assert!(serde_json::from_str::<Persist>(r#"{"binds":[]}"#).is_err());
        let spec = Spec { persist: Some(kept.clone()), ..Spec::default() };
        assert_eq!((spec.kept(), spec.has_fixed_root()), (Some(kept), true));
        assert_eq!(Spec { profile: Profile::Data, ..spec }.kept(), None);
        assert!(!Spec::default().has_fixed_root());
        assert!(Spec { volatile: Volatile::State, ..Spec::default() }.has_fixed_root());
    }
}
