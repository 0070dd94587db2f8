//! What is asked of GRUB: of its menu, and of what it starts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::setup::Secret;
use super::{Loader, Profile, Spec, TextFormat};

/// GRUB's menu, and who signs what it reads; nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Grub {
    /// The password of GRUB's user `root`: only with it entries are edited, and GRUB's console is to be had. All entries
    /// boot without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<GrubPassword>,
    /// The key that signs all that GRUB reads, which then starts nothing else: a secret of the build, by its id, with an RSA key of
    /// GPG without a passphrase.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::SecretId), example = &"grub")]
    pub key: Option<String>,
}

/// A password of GRUB's: a hash, or a secret of the build with a password or a hash in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum GrubPassword {
    /// A hash, as `grub-mkpasswd-pbkdf2` prints it.
    Hash(#[schemars(extend("format" = TextFormat::GrubPasswordHash))] String),
    /// A secret of the build.
    Secret(Secret),
}

impl Grub {
    /// Whether nothing is asked.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The ids of the secrets that it needs.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        let password = match &self.password {
            Some(GrubPassword::Secret(secret)) => Some(&*secret.secret),
            Some(GrubPassword::Hash(_)) | None => None,
        };
        password.into_iter().chain(self.key.as_deref())
    }
}

/// What is wrong with a key of GRUB's: the key that says it (`table.key`), and why.
pub fn problems(spec: &Spec) -> Vec<(&'static str, String)> {
    const KEY: &str = "grub.key";
    if spec.grub.key.is_none() {
        return Vec::new();
    }
    let wrong = [
        (spec.profile != Profile::Machine, "is of machines, which GRUB starts"),
        (spec.loader != Loader::Grub, "is of GRUB: with systemd-boot, [secure-boot] has a key"),
        (
            spec.layout.has_slots(),
            "is of disks with one root so far: which slot of layout = \"ab\" is started, GRUB reads from a file that the machine writes",
        ),
        (spec.makes_medium(), "is of disks: the formats iso and netboot have a menu that nobody signs"),
        (
            spec.grub.password.is_some(),
            "goes with no password: who knows one has GRUB's console, which starts what nobody has signed",
        ),
        (
            spec.secure_boot.enroll.is_some(),
            "goes with certificate and key of [secure-boot] alone: systemd-boot is what enrolls keys",
        ),
    ];
    let wrong = wrong.into_iter().filter(|(is_so, _)| *is_so);
    wrong.map(|(_, why)| (KEY, why.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(more: &str) -> String {
        let spec: Spec = serde_json::from_str(&format!(r#"{{"grub":{{"key":"grub"}}{more}}}"#)).unwrap();
        let problems = problems(&spec).into_iter().map(|(key, message)| format!("{key} {message}"));
        problems.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_key_is_of_one_root_that_grub_starts() {
        for right in ["", r#","layout":{"preset":"split-boot"}"#, r#","firmware":"bios""#] {
            assert_eq!(said(right), "", "{right}");
        }
        let key = r#","secure_boot":{"key":"db","certificate":"db.crt"}"#;
        assert_eq!(said(key), "");
        for (more, expected) in [
            (r#","layout":{"preset":"ab"}"#, "is of disks with one root"),
            (r#","loader":"systemd-boot""#, "is of GRUB"),
            (r#","profile":"data""#, "is of machines"),
            (r#","profile":"microvm""#, "is of machines"),
            (r#","formats":["iso"]"#, "is of disks: the formats iso"),
            (r#","secure_boot":{"enroll":"keys"}"#, "goes with certificate and key"),
        ] {
            let said = said(more);
            assert!(
                said.starts_with(&format!("grub.key {expected}")) && !said.contains("; "),
                "{more}: {said}"
            );
        }
        let both: Spec = serde_json::from_str(r#"{"grub":{"key":"a","password":{"secret":"b"}}}"#).unwrap();
        assert!(problems(&both)[0].1.starts_with("goes with no password"));
        assert_eq!(both.secrets(), ["b", "a"]);
    }
}
