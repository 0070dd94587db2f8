//! The ways to open a partition that the build has encrypted, when the machine boots.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Lock;

/// A way to open it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Somebody types the passphrase.
    Passphrase,
    /// A key file on a drive that is in the machine, such as a USB stick.
    KeyFile,
    /// The TPM 2.0 of the machine, which the first boot binds it to.
    Tpm2,
    /// A Tang server of the network, which the first boot binds it to.
    Tang,
}

impl Way {
    pub(super) fn schema() -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "enum": [Self::Passphrase, Self::KeyFile, Self::Tpm2, Self::Tang] })
    }

    /// What it is, at the end of a sentence.
    pub fn described(self) -> &'static str {
        match self {
            Self::Passphrase => "a passphrase",
            Self::KeyFile => "a key file on a drive",
            Self::Tpm2 => "the TPM of the machine",
            Self::Tang => "a Tang server",
        }
    }
}

/// A server that has one half of a key, and gives it to who is in its network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tang {
    /// Where it answers.
    #[schemars(example = &"http://tang.example")]
    pub url: String,
    /// That of the key that it signs with, as `tang-show-keys` prints it: by this the machine knows it.
    #[schemars(example = &"ArJrDoaMEFbTpVPKHV0eHVMKHmqGGYfHNgOTqKaGDPw")]
    pub thumbprint: String,
}

impl Tang {
    /// What is wrong with its words; they go into a unit and to a shell.
    fn problem(&self) -> Option<String> {
        let rest = ["http://", "https://"].iter().find_map(|scheme| self.url.strip_prefix(scheme));
        if !rest.is_some_and(|rest| is_plain(rest, ".-_:/[]")) {
            return Some(format!(
                "{:?} is not the URL of a Tang server, such as http://tang.example",
                self.url
            ));
        }
        let is_right = THUMBPRINTS.contains(&self.thumbprint.len()) && is_plain(&self.thumbprint, "-_");
        (!is_right).then(|| format!("{:?} is not a thumbprint, as tang-show-keys prints it", self.thumbprint))
    }
}

/// Bytes of SHA-1 and of SHA-256 in base64url: Tang has had both (RFC 7638).
const THUMBPRINTS: [usize; 2] = [27, 43];

/// Where a machine finds a key file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDrive {
    /// `LABEL` or `UUID`.
    tag: &'static str,
    value: String,
    path: String,
}

/// What a file system is found by, and the folder in which udev has it by that.
const TAGS: [(&str, &str); 2] = [("LABEL", "by-label"), ("UUID", "by-uuid")];

impl KeyDrive {
    /// For how many seconds a machine waits for it, before it asks for a passphrase.
    pub const TIMEOUT: u32 = 15;

    /// The file `path` on `device`, `LABEL=…` or `UUID=…`; `None` if they are not that, or have what initramfs, crypttab or a
    /// kernel's command line would read as something else.
    fn new(device: &str, path: &str) -> Option<Self> {
        let (tag, value) = device.split_once('=')?;
        let (tag, _) = TAGS.into_iter().find(|(known, _)| *known == tag)?;
        let mut parts = path.strip_prefix('/')?.split('/');
        let is_path = parts.all(|part| is_plain(part, "-_.") && part != "." && part != "..");
        let is_right = is_plain(value, "-_.") && is_path;
        is_right.then(|| Self { tag, value: value.to_owned(), path: path.to_owned() })
    }

    /// As crypttab(5) of systemd has it, and `rd.luks.key`.
    pub fn key_file(&self) -> String {
        format!("{}:{}={}", self.path, self.tag, self.value)
    }

    /// As Debian's `passdev` has it.
    pub fn passdev(&self) -> String {
        let folder = TAGS.into_iter().find(|(tag, _)| *tag == self.tag).map_or("", |(_, folder)| folder);
        format!("/dev/disk/{folder}/{}:{}:{}", self.value, self.path, Self::TIMEOUT)
    }
}

/// Whether a text is letters, digits and `others`.
fn is_plain(text: &str, others: &str) -> bool {
    !text.is_empty() && text.chars().all(|char| char.is_ascii_alphanumeric() || others.contains(char))
}

impl Lock {
    /// What opens it where nobody types its passphrase; that, if nothing else does.
    pub fn way(&self) -> Way {
        self.unlock.iter().copied().find(|way| *way != Way::Passphrase).unwrap_or(Way::Passphrase)
    }

    /// Where its key file is, if that is on a drive.
    pub fn drive(&self) -> Option<KeyDrive> {
        if self.way() != Way::KeyFile {
            return None;
        }
        KeyDrive::new(self.key_device.as_deref()?, self.key_path.as_deref()?)
    }

    /// What contradicts itself in the ways that open it.
    pub(super) fn wrong_ways(&self) -> Option<String> {
        let Self { passphrase, key, unlock, key_device, key_path, tang, reencrypt, .. } = self;
        let has = |way| unlock.contains(&way);
        let is_on_drive = key_device.is_some() || key_path.is_some();
        let is_bound = has(Way::Tpm2) || has(Way::Tang);
        let further = unlock.iter().filter(|way| **way != Way::Passphrase).count();
        let rows = [
            (
                further > 1 || unlock.len() > further + 1,
                "unlock takes passphrase and one way more: what asks for keys at boot knows one place for them",
            ),
            (has(Way::Passphrase) && passphrase.is_none(), "unlock has passphrase: say which secret it is"),
            (
                further > 0 && passphrase.is_some() && !has(Way::Passphrase),
                "the passphrase opens it as well: have it in unlock",
            ),
            (
                has(Way::KeyFile) && (key.is_none() || key_device.is_none() || key_path.is_none()),
                "unlock has key-file: say its secret (key), and where the machine finds it (key-device, key-path)",
            ),
            (
                is_on_drive && !has(Way::KeyFile),
                "key-device and key-path are of a key file on a drive: have key-file in unlock",
            ),
            (key.is_some() && is_bound, "a key opens it already: leave out key, or the TPM and Tang"),
            (
                has(Way::Tang) != tang.is_some(),
                "a Tang server takes both: tang in unlock, and tang = { url = …, thumbprint = … }",
            ),
            (
                *reencrypt && further > 0,
                "with a new volume key one key slot is left: leave out reencrypt, or what unlock has beside passphrase",
            ),
        ];
        let found = rows.into_iter().find(|(is_wrong, _)| *is_wrong).map(|(_, message)| message.to_owned());
        found.or_else(|| self.wrong_drive()).or_else(|| self.tang.as_ref().and_then(Tang::problem))
    }

    fn wrong_drive(&self) -> Option<String> {
        let is_wrong = self.way() == Way::KeyFile && self.drive().is_none();
        is_wrong.then(|| {
            "key-device is LABEL=NAME or UUID=NAME, and key-path the path of a file there, such as /web.key: both of \
             letters, digits, -, _ and ."
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::layout::Encrypt;

    const STICK: &str = r#""key":"stick","key-device":"LABEL=KEYS","key-path":"/keys/web.key""#;
    const TANG: &str =
        r#""tang":{"url":"http://10.0.2.2:7500","thumbprint":"ArJrDoaMEFbTpVPKHV0eHVMKHmqGGYfHNgOTqKaGDPw"}"#;

    fn asked(text: &str) -> Lock {
        let asked: Encrypt = serde_json::from_str(text).unwrap();
        let again: Encrypt = serde_json::from_str(&serde_json::to_string(&asked).unwrap()).unwrap();
        assert_eq!(again, asked);
        asked.now().unwrap().clone()
    }

    #[test]
    fn each_way_goes_with_a_passphrase() {
        for (text, way, secrets) in [
            (r#"{"passphrase":"a"}"#.to_owned(), Way::Passphrase, vec!["a"]),
            (
                r#"{"passphrase":"a","unlock":["passphrase"],"reencrypt":true}"#.to_owned(),
                Way::Passphrase,
                vec!["a"],
            ),
            (format!(r#"{{{STICK},"unlock":["key-file"]}}"#), Way::KeyFile, vec!["stick"]),
            (
                format!(r#"{{"passphrase":"a",{STICK},"unlock":["key-file","passphrase"]}}"#),
                Way::KeyFile,
                vec!["a", "stick"],
            ),
            (r#"{"passphrase":"a","unlock":["passphrase","tpm2"]}"#.to_owned(), Way::Tpm2, vec!["a"]),
            (format!(r#"{{"passphrase":"a","unlock":["tang","passphrase"],{TANG}}}"#), Way::Tang, vec!["a"]),
        ] {
            let lock = asked(&text);
            assert_eq!(
                (lock.way(), lock.problem(), lock.drive().is_some()),
                (way, None, way == Way::KeyFile),
                "{text}"
            );
            assert_eq!(lock.secrets().collect::<Vec<_>>(), secrets, "{text}");
        }
    }

    #[test]
    fn who_looks_for_a_key_file_is_told_in_its_own_words() {
        let drive = KeyDrive::new("UUID=3E1F-0A2B", "/keys/web.key").unwrap();
        assert_eq!(drive.key_file(), "/keys/web.key:UUID=3E1F-0A2B");
        assert_eq!(drive.passdev(), "/dev/disk/by-uuid/3E1F-0A2B:/keys/web.key:15");
        let drive = KeyDrive::new("LABEL=KEYS", "/a").unwrap();
        assert_eq!(drive.passdev(), "/dev/disk/by-label/KEYS:/a:15");
    }

    #[test]
    fn ways_that_contradict_each_other_are_told() {
        for (text, said) in [
            (r#""passphrase":"a","unlock":["passphrase","tpm2","tang"]"#.to_owned(), "one way more"),
            (r#""passphrase":"a","unlock":["passphrase","passphrase"]"#.to_owned(), "one way more"),
            (format!(r#"{STICK},"unlock":["passphrase","key-file"]"#), "say which secret it is"),
            (r#""passphrase":"a","unlock":["tpm2"]"#.to_owned(), "have it in unlock"),
            (r#""key":"a","unlock":["key-file"],"key-path":"/a""#.to_owned(), "where the machine finds it"),
            (STICK.to_owned(), "have key-file in unlock"),
            (format!(r#""passphrase":"a",{STICK}"#), "say passphrase or key"),
            (r#""key":"a","unlock":["tpm2"]"#.to_owned(), "a key opens it already"),
            (format!(r#""passphrase":"a",{TANG}"#), "takes both"),
            (r#""passphrase":"a","unlock":["passphrase","tang"]"#.to_owned(), "takes both"),
            (r#""unlock":["tpm2"]"#.to_owned(), "say passphrase or key"),
            (
                r#""passphrase":"a","unlock":["passphrase","tpm2"],"reencrypt":true"#.to_owned(),
                "one key slot is left",
            ),
        ] {
            let lock = asked(&format!("{{{text}}}"));
            assert!(
                lock.problem().is_some_and(|problem| problem.contains(said)),
                "{text}: {:?}",
                lock.problem()
            );
        }
        assert!(serde_json::from_str::<Encrypt>(r#"{"passphrase":"a","unlock":["fido2"]}"#).is_err());
    }

    #[test]
    fn what_somebody_would_read_as_something_else_is_refused() {
        for (device, path) in [
            ("KEYS", "/a"),
            ("/dev/sdb1", "/a"),
            ("LABEL=", "/a"),
            ("LABEL=MY KEYS", "/a"),
            ("LABEL=KEYS,luks", "/a"),
            ("LABEL=KEYS", "a"),
            ("LABEL=KEYS", "/"),
            ("LABEL=KEYS", "/../a"),
            ("LABEL=KEYS", "/a:b"),
            ("LABEL=KEYS", "/a b"),
            ("LABEL=KEYS", "//a"),
        ] {
            assert_eq!(KeyDrive::new(device, path), None, "{device} {path}");
        }
        let right = asked(&format!(r#"{{"passphrase":"a","unlock":["passphrase","tang"],{TANG}}}"#));
        for (from, to) in [
            ("http://", "ftp://"),
            ("10.0.2.2", "user@10.0.2.2"),
            ("10.0.2.2", "$(id)"),
            ("10.0.2.2", "a'b"),
            ("10.0.2.2", "%n"),
            ("ArJ", "A"),
            ("ArJ", "A;J"),
        ] {
            let mut lock = right.clone();
            let tang = lock.tang.as_mut().unwrap();
            let text = [&mut tang.url, &mut tang.thumbprint];
            text.into_iter().for_each(|text| *text = text.replace(from, to));
            assert!(lock.problem().is_some_and(|problem| problem.contains("is not")), "{from} {to}");
        }
    }
}
