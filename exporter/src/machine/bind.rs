//! What a first boot binds an encrypted partition to: the TPM of the machine, or a Tang server. The passphrase stays.
//!
//! ```text
//! opened by its passphrase ─▶ vmimage-bind: asks for it, unless systemd remembers it ─▶ one key slot and one token more
//! ```

use super::crypttab::{Opened, Opener};
use super::first_boot;
use super::systemd::{self, escape_path};
use crate::error::{Error, Kind, Result};
use crate::spec::layout::Tang;
use crate::tree::os::{Family, Init, Os};
use crate::tree::{Editor, Tree};

const PROGRAM: &str = "/usr/lib/vmimage/bind";
const SCRIPT: &[u8] = include_bytes!("bind.sh");
/// What answers systemd's questions for passphrases, as far as Tang servers are there.
const ANSWERS: &str = "clevis-luks-askpass.path";
/// Where that is.
const OF_SYSTEMD: &[&str] =
    &["/usr/lib/systemd/system/clevis-luks-askpass.path", "/lib/systemd/system/clevis-luks-askpass.path"];
/// Clevis in an initramfs: of initramfs-tools, and of dracut in what it was numbered.
const OF_INITRAMFS_TOOLS: &[&str] = &["/usr/share/initramfs-tools/hooks/clevis"];
const OF_DRACUT: &[&str] = &["/usr/lib/dracut/modules.d/60clevis", "/usr/lib/dracut/modules.d/50clevis"];

/// What opens it beside its passphrase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// The TPM 2.0 of the machine.
    Tpm,
    /// A Tang server, by clevis.
    Tang(Tang),
}

impl Binding {
    /// The option of crypttab(5) for it: with a server, it is opened once there is a network.
    pub(super) fn option(&self) -> &'static str {
        match self {
            Self::Tpm => "tpm2-device=auto",
            Self::Tang(_) => "_netdev",
        }
    }

    /// What the program is told.
    fn words(&self) -> String {
        match self {
            Self::Tpm => "tpm2".to_owned(),
            Self::Tang(Tang { url, thumbprint }) => format!("tang {url} {thumbprint}"),
        }
    }
}

/// Have `opened` bound.
///
/// # Errors
/// If something is missing for that, which the machine would tell when it starts.
pub(super) fn install(
    editor: &mut Editor<'_>,
    os: &Os,
    opened: &Opened,
    binding: &Binding,
) -> Result<String> {
    let Opened { name, opener, .. } = opened;
    require(editor.tree(), os, opened, binding)?;
    let unit = format!("vmimage-bind-{name}.service");
    editor.write_file(PROGRAM, SCRIPT, 0o755)?;
    editor.write_file(format!("{}/{unit}", systemd::USR), service(name, binding).into_bytes(), 0o644)?;
    systemd::enable(editor, &unit)?;
    if matches!(binding, Binding::Tang(_)) && *opener == Opener::Init {
        systemd::enable(editor, ANSWERS)?;
    }
    let by = match binding {
        Binding::Tpm => "the TPM of the machine",
        Binding::Tang(Tang { url, .. }) => url,
    };
    Ok(format!("{PROGRAM}: installed, the first boot has {name} opened by {by}"))
}

/// Who is asked for the passphrase is asked before there are logins; the rest is beside them. What systemd remembers
/// is in the keyring of the user.
fn service(name: &str, binding: &Binding) -> String {
    let (opener, words) = (escape_path(name), binding.words());
    format!(
        "\
[Unit]
Description=Have the encrypted partition {name} opened without its passphrase
After=systemd-cryptsetup@{opener}.service
Before=systemd-user-sessions.service

[Service]
Type=forking
RemainAfterExit=yes
TimeoutStartSec=infinity
KeyringMode=shared
ExecStart={PROGRAM} {name} {words}
StandardOutput=journal+console
StandardError=journal+console

[Install]
WantedBy=multi-user.target
"
    )
}

/// That nothing is missing that only the machine would tell.
fn require(tree: &Tree, os: &Os, opened: &Opened, binding: &Binding) -> Result<()> {
    let Opened { name, opener, .. } = opened;
    if os.init != Some(Init::Systemd) {
        let message = "is to be opened without its passphrase, which systemd does";
        return Err(Error::new(Kind::Unsupported, name, message).with_hint("leave out unlock"));
    }
    let (files, package) = match (binding, opener, os.family) {
        (Binding::Tpm, ..) => return first_boot::require_tpm(tree, name),
        (_, Opener::Initramfs, Family::Debian) => (OF_INITRAMFS_TOOLS, "clevis-initramfs"),
        (_, Opener::Initramfs, _) => (OF_DRACUT, "clevis-dracut"),
        _ => (OF_SYSTEMD, "clevis-systemd"),
    };
    for (paths, package) in [(&["/usr/bin/clevis-luks-bind"][..], "clevis-luks"), (files, package)] {
        if !paths.iter().any(|path| tree.resolve(path).is_some()) {
            let message = format!("is not there, and {name} is to be opened by a Tang server");
            let path = paths.first().copied().unwrap_or_default();
            return Err(Error::new(Kind::NotFound, path, message).with_hint(format!("install {package}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::crypttab::OpenedBy;
    use crate::seed::Uuid;
    use crate::tree::testing::{text, tree};
    use crate::tree::{Time, os};

    const SYSTEMD: [(&str, &str); 3] = [
        ("/usr/lib/systemd/systemd", ""),
        ("/sbin/init", "-> /usr/lib/systemd/systemd"),
        ("/etc/os-release", "ID=debian\n"),
    ];
    const CLEVIS: [(&str, &str); 3] = [
        ("/usr/bin/clevis-luks-bind", ""),
        ("/usr/share/initramfs-tools/hooks/clevis", ""),
        ("/usr/lib/systemd/system/clevis-luks-askpass.path", "[Install]\nWantedBy=cryptsetup.target\n"),
    ];
    const WANTS: &str = "/etc/systemd/system/cryptsetup.target.wants/clevis-luks-askpass.path";

    fn tang() -> Binding {
        Binding::Tang(Tang { url: "http://tang.example".into(), thumbprint: "abc".into() })
    }

    fn installed(files: &[(&str, &str)], opener: Opener, binding: Binding) -> Result<Tree> {
        let mut tree = tree(files);
        let os = os::detect(&tree).unwrap();
        let (name, uuid, by) = ("data-1".to_owned(), Uuid([1; 16]), OpenedBy::Bound(binding.clone()));
        let opened = Opened { name, uuid, by, opener, is_swap: false, reencrypt: None };
        install(&mut Editor::new(&mut tree, Time::default()), &os, &opened, &binding)?;
        Ok(tree)
    }

    #[test]
    fn a_first_boot_is_told_what_to_bind_it_to() {
        let files = [&SYSTEMD[..], &CLEVIS].concat();
        for (opener, answers) in [(Opener::Init, true), (Opener::Initramfs, false)] {
            let tree = installed(&files, opener, tang()).unwrap();
            let unit = text(&tree, "/usr/lib/systemd/system/vmimage-bind-data-1.service").unwrap();
            assert!(
                unit.contains("\nExecStart=/usr/lib/vmimage/bind data-1 tang http://tang.example abc\n"),
                "{unit}"
            );
            assert!(unit.contains("\nAfter=systemd-cryptsetup@data\\x2d1.service\n"), "{unit}");
            let enabled = "/etc/systemd/system/multi-user.target.wants/vmimage-bind-data-1.service";
            assert!(tree.lookup(enabled).is_some());
            assert_eq!(tree.lookup(WANTS).is_some(), answers, "the initramfs has its own");
        }
    }

    /// What the machine's programs are asked for when the first boot binds `data`, a word of a line for each; `cryptsetup
    /// luksDump` says `dump`. What systemd remembers is a passphrase that does not open it.
    fn bound(dump: &str, words: &[&str]) -> (String, String) {
        let folder = tempfile::tempdir().unwrap();
        let program = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        };
        let told = folder.path().join("told");
        let tell = format!(">>'{}'", told.display());
        let say = format!(
            "status) echo '  device:  /dev/fake' ;; luksDump) echo '{dump}' ;; open) [ \"$(cat)\" = right ] ;;"
        );
        program("cryptsetup", format!("case $1 in {say} esac"));
        program(
            "systemd-ask-password",
            format!("echo ask {tell}; case \"$*\" in *--accept-cached*) echo wrong ;; *) echo right ;; esac"),
        );
        program("systemd-cryptenroll", format!("echo \"enrol $PASSWORD $*\" {tell}"));
        program("clevis", format!("echo \"clevis $(cat) $*\" {tell}"));
        program("sleep", String::new());
        let mut command = std::process::Command::new("sh");
        let path = format!("{}:/usr/bin:/bin", folder.path().display());
        command
            .args(["-c", std::str::from_utf8(SCRIPT).unwrap(), "bind", "data"])
            .args(words)
            .env("PATH", path);
        // Until the last that writes there has ended, the one in the background too.
        let said = command.output().unwrap();
        assert!(said.status.success(), "{said:?}");
        let told = std::fs::read_to_string(told).unwrap_or_default();
        (told, String::from_utf8(said.stdout).unwrap())
    }

    #[test]
    fn the_program_asks_until_the_passphrase_is_right_and_binds_once() {
        let words = ["tang", "http://tang.example", "abc"];
        let (told, said) = bound("Tokens:", &words);
        let config = r#"{"url":"http://tang.example","thp":"abc"}"#;
        assert_eq!(told, format!("ask\nask\nclevis right luks bind -y -d /dev/fake -k - tang {config}\n"));
        assert_eq!(said, "vmimage-bind: data: the Tang server http://tang.example opens it from now on\n");
        assert_eq!(bound("Tokens:\n  0: clevis", &words), Default::default());
        let is_bound = bound("Tokens:\n  0: systemd-tpm2", &["tpm2"]);
        assert_eq!(is_bound, Default::default());
    }

    #[test]
    fn without_a_tpm_nothing_is_asked() {
        if std::path::Path::new("/dev/tpmrm0").exists() {
            return;
        }
        let (told, said) = bound("Tokens:", &["tpm2"]);
        assert_eq!(
            (told.as_str(), said.contains("has no TPM 2.0, the passphrase opens it")),
            ("", true),
            "{said}"
        );
    }

    #[test]
    fn what_is_missing_is_told() {
        for (lacking, opener, package) in [
            (0, Opener::Init, "clevis-luks-bind"),
            (1, Opener::Initramfs, "hooks/clevis"),
            (2, Opener::Init, "clevis-luks-askpass.path"),
        ] {
            let mut files = [&SYSTEMD[..], &CLEVIS].concat();
            files.remove(SYSTEMD.len() + lacking);
            let error = installed(&files, opener, tang()).unwrap_err().to_string();
            assert!(error.contains(package) && error.contains("is not there"), "{error}");
        }
        let error = installed(&SYSTEMD, Opener::Init, Binding::Tpm).unwrap_err().to_string();
        assert!(error.starts_with("/usr/sbin/cryptsetup: is not there"), "{error}");
        let other = installed(&[("/sbin/init", "own")], Opener::Init, tang()).unwrap_err().to_string();
        assert_eq!(other, "data-1: is to be opened without its passphrase, which systemd does");
    }
}
