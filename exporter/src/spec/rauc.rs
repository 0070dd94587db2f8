//! Who signs bundles for RAUC, and whose bundles the machine takes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::layout::{self, Content};
use super::{Loader, Profile, Spec, TextFormat};
use crate::container::Format;
use crate::fs::FileSystem;

/// Bundles of RAUC, with the layout `ab` and GRUB. The files are of the build context, in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rauc {
    /// The certificate that bundles are signed with, and behind it those that lead to the one that is trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::ContextPath), example = &"keys/release.crt")]
    pub certificate: Option<String>,
    /// Its key: a secret of the build, by its id, with an RSA key without a passphrase.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::SecretId), example = &"release")]
    pub key: Option<String>,
    /// The certificates whose bundles the machine takes; by default the one in `certificate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::ContextPath), example = &"keys/ca.crt")]
    pub keyring: Option<String>,
}

impl Rauc {
    /// Whether nothing is asked.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The files of the build context that it names.
    pub(super) fn context_files(&self) -> impl Iterator<Item = &str> {
        [&self.certificate, &self.keyring].into_iter().filter_map(Option::as_deref)
    }
}

/// What is wrong: the key that says it (`table.key`), and why.
pub fn problems(spec: &Spec) -> Vec<(&'static str, String)> {
    let Rauc { certificate, key, .. } = &spec.rauc;
    let is_asked = spec.formats.contains(&Format::Rauc);
    let mut problems = Vec::new();
    let mut add = |key, message: &str| problems.push((key, message.to_owned()));
    let (asker, subject) = if is_asked { ("format", "has rauc, which ") } else { ("rauc", "") };
    if is_asked || !spec.rauc.is_default() {
        if !spec.layout.has_slots() || spec.profile != Profile::Machine {
            add(asker, &format!("{subject}is of a machine that has two roots: ask for layout = \"ab\""));
        } else if spec.loader != Loader::Grub {
            add(
                asker,
                &format!("{subject}needs GRUB: RAUC does not know the entries of {}", spec.loader.name()),
            );
        }
    }
    if let Some(other) = root(spec).filter(|root| is_asked && *root != FileSystem::Ext4) {
        let message = format!(
            "has rauc, whose bundles have a root of ext4 with its kernels, and the root is {}",
            other.name()
        );
        add("format", &message);
    }
    if is_asked && certificate.is_none() {
        add("rauc.certificate", "is not said, and a bundle of RAUC is always signed");
    }
    if !is_asked && key.is_some() && certificate.is_none() {
        add("rauc.key", "needs certificate: what the key is of");
    }
    if is_asked && key.is_none() {
        add("rauc.key", "is not said, and a bundle of RAUC is always signed");
    }
    problems
}

/// What the root is made of, where it is in a slot.
fn root(spec: &Spec) -> Option<FileSystem> {
    let slots = layout::slots(spec);
    let root = slots.iter().find(|slot| slot.content == Content::Root).filter(|_| spec.layout.has_slots());
    root.and_then(|slot| slot.file_system)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(layout: &str, rauc: &str, formats: &[Format], loader: Loader) -> String {
        let (layout, rauc) = (serde_json::from_str(layout).unwrap(), serde_json::from_str(rauc).unwrap());
        let spec = Spec { layout, rauc, formats: formats.to_vec(), loader, ..Spec::default() };
        let problems = problems(&spec).into_iter().map(|(key, message)| format!("{key} {message}"));
        problems.collect::<Vec<_>>().join("; ")
    }

    const AB: &str = r#"{"preset":"ab"}"#;
    const SIGNED: &str = r#"{"certificate":"a.crt","key":"release"}"#;

    #[test]
    fn what_no_bundle_comes_of_is_told_by_its_key() {
        let (both, disk) = ([Format::Qcow2, Format::Rauc], [Format::Qcow2]);
        assert_eq!(said(AB, SIGNED, &both, Loader::Grub), "");
        assert_eq!(said("{}", "{}", &disk, Loader::Grub), "");
        assert_eq!(said(AB, r#"{"keyring":"ca.crt"}"#, &disk, Loader::Grub), "");
        let key_alone = "rauc.key needs certificate: what the key is of";
        assert_eq!(said(AB, r#"{"key":"release"}"#, &disk, Loader::Grub), key_alone);
        let two_roots = "is of a machine that has two roots: ask for layout = \"ab\"";
        assert_eq!(said("{}", SIGNED, &both, Loader::Grub), format!("format has rauc, which {two_roots}"));
        assert_eq!(said("{}", SIGNED, &disk, Loader::Grub), format!("rauc {two_roots}"));
        assert_eq!(
            said(AB, SIGNED, &both, Loader::SystemdBoot),
            "format has rauc, which needs GRUB: RAUC does not know the entries of systemd-boot"
        );
        let erofs = r#"{"preset":"ab","partitions":[{"type":"root","filesystem":"erofs"}]}"#;
        assert_eq!(
            said(erofs, SIGNED, &both, Loader::Grub),
            "format has rauc, whose bundles have a root of ext4 with its kernels, and the root is erofs"
        );
        assert_eq!(said(erofs, SIGNED, &disk, Loader::Grub), "");
        assert_eq!(
            said(AB, "{}", &both, Loader::Grub),
            "rauc.certificate is not said, and a bundle of RAUC is always signed; \
             rauc.key is not said, and a bundle of RAUC is always signed"
        );
        assert!(serde_json::from_str::<Rauc>(r#"{"cert":"a.crt"}"#).is_err());
    }

    #[test]
    fn the_key_is_needed_for_a_bundle_alone() {
        let rauc: Rauc =
            serde_json::from_str(r#"{"certificate":"a","key":"release","keyring":"b"}"#).unwrap();
        let spec = |formats| Spec { rauc: rauc.clone(), formats, ..Spec::default() };
        assert_eq!(spec(vec![Format::Qcow2]).secrets(), <[&str; 0]>::default());
        assert_eq!(spec(vec![Format::Rauc]).secrets(), ["release"]);
        assert_eq!(spec(vec![Format::Qcow2]).context_files(), ["a", "b"]);
    }
}
