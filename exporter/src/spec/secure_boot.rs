//! Secure Boot by keys of one's own, and the unified kernel images that it starts.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Loader, Profile, Spec, TextFormat};

/// Who signs what UEFI starts, with `loader = "systemd-boot"`, `key` of `[grub]`, or as the format `uki`, and what the firmware
/// is to know of that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SecureBoot {
    /// The certificate (PEM) of the key, a file of the build context: the one in the firmware's `db`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::ContextPath), example = &"keys/db.crt")]
    pub certificate: Option<String>,
    /// The key that the boot loader and the kernels, unified kernel images and addons are signed with: a secret of the build, by its id,
    /// with an RSA key (PEM) without a passphrase.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::SecretId), example = &"secure-boot")]
    pub key: Option<String>,
    /// A folder of the build context with `PK.auth`, `KEK.auth` and `db.auth`, and `dbx.auth` where there is one: systemd-boot
    /// writes them into a firmware that has no keys yet (setup mode).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::ContextPath), example = &"keys")]
    pub enroll: Option<String>,
    /// When it does that: by itself in virtual machines alone (`if-safe`), in every machine (`force`), or when somebody chooses it
    /// in the menu (`manual`).
    #[serde(skip_serializing_if = "EnrollMode::is_default")]
    #[schemars(schema_with = "EnrollMode::schema")]
    pub enroll_mode: EnrollMode,
    /// Words for the kernel of every image, each a signed file of its own on the ESP, by a name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub addons: BTreeMap<String, String>,
}

/// When systemd-boot writes keys into a firmware that has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnrollMode {
    /// By itself in virtual machines alone: where devices have programs of their own, these may not be signed by any of the keys.
    #[default]
    IfSafe,
    /// By itself, after some seconds in which it can be stopped.
    Force,
    /// When somebody chooses it in the menu.
    Manual,
}

impl EnrollMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::IfSafe, Self::Force, Self::Manual];

    /// In the words of loader.conf(5).
    pub fn name(self) -> &'static str {
        match self {
            Self::IfSafe => "if-safe",
            Self::Force => "force",
            Self::Manual => "manual",
        }
    }

    /// Whether it is that of everybody who says nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "enum": Self::ALL })
    }
}

impl fmt::Display for EnrollMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl SecureBoot {
    /// Whether nothing is asked.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The files and folders of the build context that it names.
    pub(super) fn context_files(&self) -> impl Iterator<Item = &str> {
        [&self.certificate, &self.enroll].into_iter().filter_map(Option::as_deref)
    }
}

impl Spec {
    /// Whether the kernels that systemd-boot starts are unified kernel images.
    pub fn starts_ukis(&self) -> bool {
        let is_asked = self.uki.unwrap_or(self.secure_boot.key.is_some() || self.layout.has_verity());
        is_asked && self.loader == Loader::SystemdBoot && self.boots_by_firmware()
    }
}

/// What is wrong: the key that says it (`table.key`), and why.
pub fn problems(spec: &Spec) -> Vec<(&'static str, String)> {
    let asked = &spec.secure_boot;
    let is_asked = !asked.is_default();
    let mut problems = Vec::new();
    let mut add_if = |is_so: bool, key: &'static str, message: &str| {
        problems.extend(is_so.then(|| (key, message.to_owned())));
    };
    if spec.is_uki() {
        let others = SecureBoot { certificate: None, key: None, ..asked.clone() };
        let of_disks = !others.is_default() || spec.uki == Some(true);
        let message =
            "a uki by itself is signed by key and certificate: all else is of disks that UEFI starts";
        add_if(of_disks, if is_asked { "secure-boot" } else { "uki" }, message);
        pair(asked, &mut add_if);
        return problems;
    }
    let is_of_machines = spec.profile != Profile::Data && spec.boots_by_firmware();
    let asker = if is_asked { "secure-boot" } else { "uki" };
    if (is_asked || spec.uki == Some(true)) && !is_of_machines {
        add_if(true, asker, "is of disks that UEFI starts");
        return problems;
    }
    let has_grub = spec.loader != Loader::SystemdBoot;
    let why_grub = "needs loader = \"systemd-boot\", or key of [grub]: GRUB starts kernels, and has the distribution's own signature";
    let has_grub_key = spec.grub.key.is_some();
    add_if(has_grub && (is_asked && !has_grub_key || spec.uki == Some(true)), asker, why_grub);
    if has_grub && !has_grub_key {
        return problems;
    }
    pair(asked, &mut add_if);
    let kernels =
        "is false, and nobody signs kernels that are no unified kernel images: leave it out, or the key";
    add_if(asked.key.is_some() && !has_grub && spec.uki == Some(false), "uki", kernels);
    let slots = "is of disks with one root so far: the slots of layout = \"ab\" have entries of type 1";
    add_if(spec.starts_ukis() && spec.layout.has_slots(), asker, slots);
    let has_addons = !asked.addons.is_empty();
    add_if(
        has_addons && !spec.starts_ukis(),
        "secure-boot.addons",
        "are of unified kernel images: uki is not true",
    );
    let mode = "needs enroll: the folder with the keys";
    add_if(!asked.enroll_mode.is_default() && asked.enroll.is_none(), "secure-boot.enroll-mode", mode);
    for (name, words) in &asked.addons {
        if let Err(expected) = TextFormat::ImageId.check(name) {
            add_if(true, "secure-boot.addons", &format!("has {name:?}, which is not {expected}"));
        }
        if let Err(expected) = TextFormat::KernelArguments.check(words) {
            add_if(true, "secure-boot.addons", &format!("{name} is {words:?}, which is not {expected}"));
        }
    }
    problems
}

/// A key with its certificate.
fn pair(asked: &SecureBoot, add_if: &mut impl FnMut(bool, &'static str, &str)) {
    let (has_key, has_certificate) = (asked.key.is_some(), asked.certificate.is_some());
    add_if(has_key && !has_certificate, "secure-boot.key", "needs certificate: what the key is of");
    add_if(has_certificate && !has_key, "secure-boot.certificate", "needs key: what signs by it");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(spec: &str) -> String {
        let spec: Spec = serde_json::from_str(spec).unwrap();
        let problems = problems(&spec).into_iter().map(|(key, message)| format!("{key} {message}"));
        problems.collect::<Vec<_>>().join("; ")
    }

    fn of(more: &str) -> String {
        said(&format!(r#"{{"loader":"systemd-boot",{more}}}"#))
    }

    const KEY: &str = r#""key":"db","certificate":"keys/db.crt""#;

    #[test]
    fn what_goes_together_has_no_problems() {
        for more in [
            r#""uki":true"#.to_owned(),
            r#""uki":false,"layout":{"preset":"ab"}"#.to_owned(),
            r#""secure_boot":{"enroll":"keys","enroll-mode":"force"}"#.to_owned(),
            r#""uki":true,"secure_boot":{"addons":{"console":"console=ttyS0"}}"#.to_owned(),
            format!(r#""secure_boot":{{{KEY},"enroll":"keys","addons":{{"debug":"loglevel=7"}}}}"#),
        ] {
            assert_eq!(of(&more), "", "{more}");
        }
        let uki = r#""profile":"microvm","formats":["uki"],"#;
        assert_eq!(said(&format!(r#"{{{uki}"secure_boot":{{{KEY}}}}}"#)), "");
        assert_eq!(said("{}"), "");
        assert_eq!(said(r#"{"uki":false}"#), "");
    }

    #[test]
    fn what_does_not_is_told_by_its_key() {
        for (more, expected) in [
            (r#""secure_boot":{"key":"db"}"#.to_owned(), "secure-boot.key needs certificate"),
            (r#""secure_boot":{"certificate":"c"}"#.to_owned(), "secure-boot.certificate needs key"),
            (format!(r#""uki":false,"secure_boot":{{{KEY}}}"#), "uki is false, and nobody signs"),
            (r#""uki":true,"layout":{"preset":"ab"}"#.to_owned(), "uki is of disks with one root"),
            (r#""secure_boot":{"addons":{"a":"b"}}"#.to_owned(), "secure-boot.addons are of unified"),
            (r#""secure_boot":{"enroll-mode":"force"}"#.to_owned(), "secure-boot.enroll-mode needs enroll"),
            (
                r#""uki":true,"secure_boot":{"addons":{"../a":"b"}}"#.to_owned(),
                "secure-boot.addons has \"../a\"",
            ),
            (r#""uki":true,"secure_boot":{"addons":{"a":"b\nc"}}"#.to_owned(), "secure-boot.addons a is \"b"),
            (r#""uki":true,"profile":"data""#.to_owned(), "uki is of disks that UEFI starts"),
        ] {
            let said = of(&more);
            assert!(said.starts_with(expected) && !said.contains("; "), "{more}: {said}");
        }
        for (formats, more, expected) in [
            ("uki", r#""secure_boot":{"key":"db"}"#.to_owned(), "secure-boot.key needs certificate"),
            (
                "uki",
                r#""secure_boot":{"enroll":"keys"}"#.into(),
                "secure-boot a uki by itself is signed by key",
            ),
            ("uki", r#""uki":true"#.into(), "uki a uki by itself"),
            ("microvm", format!(r#""secure_boot":{{{KEY}}}"#), "secure-boot is of disks that UEFI starts"),
        ] {
            let said = said(&format!(r#"{{"profile":"microvm","formats":["{formats}"],{more}}}"#));
            assert!(said.starts_with(expected) && !said.contains("; "), "{more}: {said}");
        }
        assert!(said(r#"{"uki":true}"#).starts_with("uki needs loader"));
        assert!(said(&format!(r#"{{"secure_boot":{{{KEY}}}}}"#)).starts_with("secure-boot needs loader"));
        assert!(serde_json::from_str::<SecureBoot>(r#"{"cert":"a.crt"}"#).is_err());
    }

    #[test]
    fn a_key_makes_the_kernels_unified_images_and_is_a_secret() {
        let of = |more: &str| -> Spec {
            serde_json::from_str(&format!(r#"{{"loader":"systemd-boot"{more}}}"#)).unwrap()
        };
        assert!(!of("").starts_ukis() && of(r#","uki":true"#).starts_ukis());
        let signed = of(&format!(r#","secure_boot":{{{KEY},"enroll":"keys"}}"#));
        assert!(signed.starts_ukis());
        assert_eq!(signed.secrets(), ["db"]);
        assert_eq!(signed.context_files(), ["keys", "keys/db.crt"]);
        assert!(!Spec { loader: Loader::Grub, ..signed }.starts_ukis());
    }
}
