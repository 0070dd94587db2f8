//! Who opens encrypted partitions at boot: `/etc/crypttab` for systemd, `/etc/conf.d/dmcrypt` for OpenRC. The root was opened
//! by the initramfs before; its line is for whoever makes another one.

use std::fmt::{self, Write};

use super::bind::{self, Binding};
use super::{fields, first_boot, lines, openrc, read, reencrypt, systemd};
use crate::error::{Error, Kind, Result};
use crate::fs::luks::Kdf;
use crate::seed::{PartitionId, Uuid};
use crate::spec::layout::KeyDrive;
use crate::tree::Editor;
use crate::tree::os::{Init, Os};

const CRYPTTAB: &str = "/etc/crypttab";
const DMCRYPT: &str = "/etc/conf.d/dmcrypt";
/// Where systemd looks for keys, too.
const KEYS: &str = "/etc/cryptsetup-keys.d";

/// A partition that the machine opens.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its name in `/dev/mapper`.
    pub name: String,
    /// That of its LUKS header.
    pub uuid: Uuid,
    /// What opens it.
    pub by: OpenedBy,
    /// Who opens it.
    pub opener: Opener,
    /// Whether the machine swaps to it.
    pub is_swap: bool,
    /// How slow its key slot is, if the first boot gives it a new volume key.
    pub reencrypt: Option<Kdf>,
}

/// Who opens a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opener {
    /// The initramfs: the root.
    Initramfs,
    /// `vmimage-early`, before the init: what is kept.
    Early,
    /// The init.
    Init,
}

/// What opens a partition.
#[derive(Clone)]
pub enum OpenedBy {
    /// Somebody types it.
    Passphrase,
    /// These bytes, which the machine has on its root.
    Key(Vec<u8>),
    /// A key file on a drive, or else somebody types a passphrase.
    Drive(KeyDrive),
    /// What the first boot binds it to, or else somebody types its passphrase.
    Bound(Binding),
    /// The TPM of the machine, which makes the partition with this name at its first boot.
    Tpm(PartitionId),
}

impl fmt::Debug for OpenedBy {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passphrase => f.write_str("Passphrase"),
            Self::Key(_) => f.write_str("Key"),
            Self::Drive(drive) => write!(f, "Drive({drive:?})"),
            Self::Bound(binding) => write!(f, "Bound({binding:?})"),
            Self::Tpm(id) => write!(f, "Tpm({id})"),
        }
    }
}

impl Opened {
    /// The path of its key, if it has one.
    fn key_file(&self) -> Option<String> {
        matches!(self.by, OpenedBy::Key(_)).then(|| format!("{KEYS}/{}.key", self.name))
    }

    /// Its line of crypttab(5).
    fn line(&self) -> String {
        let Self { name, uuid, opener, by, .. } = self;
        if let OpenedBy::Tpm(id) = by {
            return format!("{name} PARTUUID={id} none luks,tpm2-device=auto\n");
        }
        if *opener == Opener::Initramfs {
            // Its ways are on the kernel's command line.
            return format!("{name} UUID={uuid} none luks,x-initrd.attach\n");
        }
        let (key, option) = match by {
            OpenedBy::Drive(drive) => (drive.key_file(), format!(",keyfile-timeout={}s", KeyDrive::TIMEOUT)),
            OpenedBy::Bound(binding) => ("none".to_owned(), format!(",{}", binding.option())),
            _ => (self.key_file().unwrap_or_else(|| "none".to_owned()), String::new()),
        };
        format!("{name} UUID={uuid} {key} luks{option}\n")
    }

    /// Its lines for OpenRC's service.
    fn target(&self) -> String {
        let key = self.key_file().map_or_else(String::new, |key| format!("key='{key}'\n"));
        format!("target='{}'\nsource=UUID='{}'\n{key}", self.name, self.uuid)
    }
}

/// What has to be there for the partitions that the init opens, and the package it is in.
fn opened_by(init: Option<Init>) -> Option<(&'static [&'static str], &'static str)> {
    match init {
        Some(Init::Systemd) => {
            Some((&["/usr/lib/systemd/systemd-cryptsetup", "/lib/systemd/systemd-cryptsetup"], "cryptsetup"))
        }
        Some(Init::OpenRc) => Some((&["/etc/init.d/dmcrypt"], "cryptsetup-openrc")),
        _ => None,
    }
}

/// Have them opened. Returns a line for each thing that was done.
///
/// # Errors
/// If nothing in the machine would open one.
pub fn write(editor: &mut Editor<'_>, os: &Os, opened: &[Opened]) -> Result<Vec<String>> {
    if opened.is_empty() {
        return Ok(Vec::new());
    }
    let is_by = |opener| move |opened: &&Opened| opened.opener == opener;
    if let Some(first) = opened.iter().find(is_by(Opener::Init)) {
        require_opener(editor, os, &first.name)?;
    }
    let on_drive = |opened: &&Opened| matches!(opened.by, OpenedBy::Drive(_));
    if let Some(first) = opened.iter().filter(is_by(Opener::Init)).find(on_drive) {
        require_drive(editor, os, &first.name)?;
    }
    if let Some(early) = opened.iter().find(is_by(Opener::Early)) {
        require_cryptsetup(editor, &early.name)?;
    }
    write_keys(editor, opened)?;
    let old = read(editor.tree(), CRYPTTAB)?;
    let is_ours = |line: &[u8]| {
        fields(line).first().is_some_and(|name| opened.iter().any(|opened| opened.name == *name))
    };
    let listed = opened.iter().filter(|opened| opened.opener != Opener::Early);
    let mut text: Vec<u8> = listed.map(Opened::line).collect::<String>().into_bytes();
    text.extend(lines(&old).filter(|line| !is_ours(line)).flatten());
    editor.write_file(CRYPTTAB, text, 0o600)?;
    let mut notes: Vec<_> =
        opened.iter().map(|Opened { name, .. }| format!("{CRYPTTAB}: {name} is encrypted")).collect();
    for opened in opened {
        if let OpenedBy::Tpm(id) = &opened.by {
            notes.push(first_boot::install(editor, os, &opened.name, *id)?);
        }
        if let OpenedBy::Bound(binding) = &opened.by {
            notes.push(bind::install(editor, os, opened, binding)?);
        }
        if let Some(kdf) = opened.reencrypt {
            notes.push(reencrypt::install(editor, os, &opened.name, kdf)?);
        }
    }
    if os.init == Some(Init::OpenRc) {
        notes.extend(write_dmcrypt(editor, opened)?);
    }
    Ok(notes)
}

fn require_opener(editor: &Editor<'_>, os: &Os, name: &str) -> Result<()> {
    let Some((paths, package)) = opened_by(os.init) else {
        let message = "is encrypted, and of this init nothing is known that opens it: systemd and OpenRC do";
        return Err(Error::new(Kind::Unsupported, name, message));
    };
    if paths.iter().any(|path| editor.tree().resolve(path).is_some()) {
        return Ok(());
    }
    let path = paths.first().copied().unwrap_or_default();
    let message = format!("is not there, and opens the encrypted partition {name}");
    let hint = format!("install {package} (systemd-cryptsetup where that is a package of its own)");
    Err(Error::new(Kind::NotFound, path, message).with_hint(hint))
}

/// The systemd whose crypttab(5) has a device behind the path of a key file: in earlier ones that is a part of the path.
const KNOWS_DRIVES: u32 = 247;

fn require_drive(editor: &Editor<'_>, os: &Os, name: &str) -> Result<()> {
    let wrong = |who: String| {
        let message = format!("is opened by a key file on a drive, which {who}");
        Err(Error::new(Kind::Unsupported, name, message)
            .with_hint("say a passphrase, or a key on an encrypted root"))
    };
    if os.init != Some(Init::Systemd) {
        return wrong("systemd does, and not this init".to_owned());
    }
    match systemd::version(editor.tree()) {
        Some(version) if version < KNOWS_DRIVES => wrong(format!("systemd {version} does not read")),
        _ => Ok(()),
    }
}

/// The program that goes before the init has no other way.
fn require_cryptsetup(editor: &Editor<'_>, name: &str) -> Result<()> {
    let paths = ["/usr/sbin/cryptsetup", "/sbin/cryptsetup"];
    if paths.iter().any(|path| editor.tree().resolve(path).is_some()) {
        return Ok(());
    }
    let message = format!("is not there, and opens the encrypted partition {name}");
    Err(Error::new(Kind::NotFound, paths[0], message).with_hint("install cryptsetup"))
}

/// Keys are root's alone; they lie on a root that is encrypted itself.
fn write_keys(editor: &mut Editor<'_>, opened: &[Opened]) -> Result<()> {
    for opened in opened {
        if let (Some(path), OpenedBy::Key(key)) = (opened.key_file(), &opened.by) {
            let folder = editor.mkdir_all(KEYS)?;
            editor.meta_mut(folder).permissions = 0o700;
            editor.write_file(path, key.clone(), 0o400)?;
        }
    }
    Ok(())
}

/// The service opens all targets of its configuration, behind what the image has there.
fn write_dmcrypt(editor: &mut Editor<'_>, opened: &[Opened]) -> Result<Vec<String>> {
    let others: Vec<_> = opened.iter().filter(|opened| opened.opener == Opener::Init).collect();
    if others.is_empty() {
        return Ok(Vec::new());
    }
    let mut text = String::from_utf8_lossy(&read(editor.tree(), DMCRYPT)?).into_owned();
    text.push_str("\n# Written by vmimage.\n");
    if others.iter().any(|opened| opened.is_swap) {
        text.push_str("rc_before=swap\n");
    }
    for opened in others {
        let _ = writeln!(text, "{}", opened.target());
    }
    editor.write_file(DMCRYPT, text.into_bytes(), 0o644)?;
    openrc::enable(editor, "dmcrypt", "boot")?;
    Ok(vec![format!("{DMCRYPT}: encrypted partitions are opened at boot")])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::{text, tree};
    use crate::tree::{Time, Tree, os};

    const UUID: Uuid = Uuid::from_text("01234567-89ab-4def-8123-456789abcdef");
    const SYSTEMD: [(&str, &str); 2] =
        [("/usr/lib/systemd/systemd", ""), ("/sbin/init", "-> /usr/lib/systemd/systemd")];
    const OPENRC: [(&str, &str); 3] =
        [("/sbin/init", "-> /bin/busybox"), ("/bin/busybox", ""), ("/sbin/openrc", "")];

    fn opened(name: &str, key: Option<&[u8]>) -> Opened {
        let by = key.map_or(OpenedBy::Passphrase, |key| OpenedBy::Key(key.to_vec()));
        let opener = match name {
            "root" => Opener::Initramfs,
            "persist" => Opener::Early,
            _ => Opener::Init,
        };
        Opened { name: name.into(), uuid: UUID, by, opener, is_swap: name == "swap", reencrypt: None }
    }

    fn edited(files: &[(&str, &str)], opened: &[Opened]) -> Result<Tree> {
        let mut tree = tree(files);
        let os = os::detect(&tree).unwrap();
        write(&mut Editor::new(&mut tree, Time::default()), &os, opened)?;
        Ok(tree)
    }

    #[test]
    fn each_has_its_line_and_those_of_others_stay() {
        let files = [
            ("/usr/lib/systemd/systemd-cryptsetup", ""),
            (CRYPTTAB, "# mine\nusb UUID=x none\ndata x y z\n"),
        ];
        let opened = [opened("root", None), opened("data", Some(b"\x00key"))];
        let tree = edited(&[&SYSTEMD[..], &files].concat(), &opened).unwrap();
        let key = "/etc/cryptsetup-keys.d/data.key";
        assert_eq!(
            text(&tree, CRYPTTAB).unwrap(),
            format!(
                "root UUID={UUID} none luks,x-initrd.attach\ndata UUID={UUID} {key} luks\n# mine\nusb UUID=x none\n"
            )
        );
        let permissions = |path| tree.inode(tree.lookup(path).unwrap()).meta.permissions;
        assert_eq!((permissions(key), permissions(KEYS), permissions(CRYPTTAB)), (0o400, 0o700, 0o600));
        assert_eq!(tree.read(key, 100).unwrap().unwrap(), b"\x00key");
    }

    /// With a key file at `LABEL=KEYS`, which only the spec makes.
    fn on_drive(name: &str) -> Opened {
        let lock = r#"{"key":"a","unlock":["key-file"],"key-device":"LABEL=KEYS","key-path":"/web.key"}"#;
        let lock: crate::spec::layout::Lock = serde_json::from_str(lock).unwrap();
        Opened { by: OpenedBy::Drive(lock.drive().unwrap()), ..opened(name, None) }
    }

    #[test]
    fn a_key_file_on_a_drive_is_waited_for_by_a_systemd_that_knows_it() {
        let with = |library: &str| {
            let files = [("/usr/lib/systemd/systemd-cryptsetup", ""), (library, "")];
            edited(&[&SYSTEMD[..], &files].concat(), &[on_drive("root"), on_drive("data")])
        };
        let tree = with("/usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-252.so").unwrap();
        assert_eq!(
            text(&tree, CRYPTTAB).unwrap(),
            format!(
                "root UUID={UUID} none luks,x-initrd.attach\n\
                 data UUID={UUID} /web.key:LABEL=KEYS luks,keyfile-timeout=15s\n"
            )
        );
        let error = with("/usr/lib/systemd/libsystemd-shared-239.so").unwrap_err().to_string();
        assert_eq!(error, "data: is opened by a key file on a drive, which systemd 239 does not read");
        let files = [("/etc/init.d/dmcrypt", ""), ("/etc/runlevels/boot/", "")];
        let error = edited(&[&OPENRC[..], &files].concat(), &[on_drive("data")]).unwrap_err().to_string();
        assert!(error.ends_with("which systemd does, and not this init"), "{error}");
    }

    #[test]
    fn what_is_opened_before_the_init_has_no_line_and_its_key() {
        let opened = [opened("persist", Some(b"key"))];
        let files = [("/usr/sbin/cryptsetup", ""), ("/sbin/init", "own")];
        let tree = edited(&files, &opened).unwrap();
        assert_eq!(text(&tree, CRYPTTAB).unwrap(), "");
        assert_eq!(text(&tree, "/etc/cryptsetup-keys.d/persist.key").unwrap(), "key");
        let error = edited(&files[1..], &opened).unwrap_err().to_string();
        assert_eq!(error, "/usr/sbin/cryptsetup: is not there, and opens the encrypted partition persist");
    }

    #[test]
    fn openrc_opens_all_but_the_root() {
        let files =
            [("/etc/init.d/dmcrypt", ""), ("/etc/runlevels/boot/", ""), (DMCRYPT, "dmcrypt_retries=3\n")];
        let opened = [opened("root", None), opened("data", None), opened("swap", Some(b"k"))];
        let tree = edited(&[&OPENRC[..], &files].concat(), &opened).unwrap();
        assert_eq!(
            text(&tree, DMCRYPT).unwrap(),
            format!(
                "dmcrypt_retries=3\n\n# Written by vmimage.\nrc_before=swap\ntarget='data'\nsource=UUID='{UUID}'\n\n\
                 target='swap'\nsource=UUID='{UUID}'\nkey='/etc/cryptsetup-keys.d/swap.key'\n\n"
            )
        );
        assert!(tree.lookup("/etc/runlevels/boot/dmcrypt").is_some());
    }

    #[test]
    fn a_machine_that_would_open_nothing_is_refused() {
        let data = [opened("data", None)];
        for (files, said) in [
            (&SYSTEMD[..], "systemd-cryptsetup: is not there"),
            (&OPENRC, "/etc/init.d/dmcrypt: is not there"),
            (&[("/sbin/init", "own")], "data: is encrypted, and of this init"),
        ] {
            let error = edited(files, &data).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
            assert!(edited(files, &[opened("root", None)]).is_ok());
            assert!(edited(files, &[]).unwrap().lookup(CRYPTTAB).is_none());
        }
    }
}
