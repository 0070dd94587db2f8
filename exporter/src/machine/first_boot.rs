//! Encrypted partitions that the machine makes at its first boot, for a key that its TPM alone has.
//!
//! ```text
//! partition, empty ─▶ vmimage-encrypt: LUKS, enrolled in the TPM ─▶ systemd-cryptsetup opens it, systemd-makefs ─▶ mounted
//! ```

use super::systemd::{self, escape_path};
use crate::error::{Error, Kind, Result};
use crate::seed::PartitionId;
use crate::tree::os::{Init, Os};
use crate::tree::{Editor, Tree};

const PROGRAM: &str = "/usr/lib/vmimage/encrypt";
const SCRIPT: &[u8] = include_bytes!("encrypt.sh");

const MAKEFS: [&str; 2] = ["/usr/lib/systemd/systemd-makefs", "/lib/systemd/systemd-makefs"];

/// A program, wherever it lies, and the package that it is in.
type Needed = ([&'static str; 2], &'static str);
/// What binds a partition to a TPM.
const TO_ENROL: [Needed; 2] = [
    (["/usr/sbin/cryptsetup", "/sbin/cryptsetup"], "cryptsetup"),
    (["/usr/bin/systemd-cryptenroll", "/bin/systemd-cryptenroll"], "systemd 248 or later"),
];
/// What makes the file system.
const TO_MAKE: [Needed; 2] = [(MAKEFS, "systemd"), (["/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4"], "e2fsprogs")];

/// Where the library that talks to a TPM lies, in a folder of its architecture or none.
const LIBRARY: &str = "libtss2-tcti-device.so.0";
const FOLDERS: [&str; 4] =
    ["/usr/lib64", "/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];

/// Have `name` made of the partition `id`, before anything opens it.
pub(super) fn install(editor: &mut Editor<'_>, os: &Os, name: &str, id: PartitionId) -> Result<String> {
    require(editor, os, name)?;
    let device = format!("/dev/disk/by-partuuid/{id}");
    let unit = format!("vmimage-encrypt-{name}.service");
    let opener = format!("systemd-cryptsetup@{}.service", escape_path(name));
    editor.write_file(PROGRAM, SCRIPT, 0o755)?;
    editor.write_file(
        format!("{}/{unit}", systemd::USR),
        service(name, &device, &opener).into_bytes(),
        0o644,
    )?;
    let opens = opens(editor.tree(), name, &unit).into_bytes();
    editor.write_file(format!("{}/{opener}.d/vmimage.conf", systemd::USR), opens, 0o644)?;
    Ok(format!("{PROGRAM}: installed, {name} is made at the first boot and opened by the TPM"))
}

/// What opens it waits for `unit`, and makes the file system in it unless there is one. systemd-makefs@.service would
/// wait for the device, which udev calls ready when it has one.
fn opens(tree: &Tree, name: &str, unit: &str) -> String {
    let path = MAKEFS.into_iter().find(|path| tree.resolve(path).is_some()).unwrap_or(MAKEFS[0]);
    format!(
        "[Unit]\nRequires={unit}\nAfter={unit}\n\n[Service]\nExecStartPost={path} ext4 /dev/mapper/{name}\n"
    )
}

fn service(name: &str, device: &str, opener: &str) -> String {
    let unit = format!("{}.device", escape_path(device));
    format!(
        "\
[Unit]
Description=Encrypt the partition {name} at the first boot
DefaultDependencies=no
Requires={unit}
After={unit}
Before={opener} shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={PROGRAM} {name} {device}
StandardOutput=journal+console
StandardError=journal+console
"
    )
}

/// That nothing is missing that only the first boot would tell.
fn require(editor: &Editor<'_>, os: &Os, name: &str) -> Result<()> {
    if os.init != Some(Init::Systemd) {
        let message = "is to be encrypted at the first boot, which systemd does";
        return Err(Error::new(Kind::Unsupported, name, message).with_hint("say a passphrase"));
    }
    require_tpm(editor.tree(), name)?;
    require_all(editor.tree(), name, &TO_MAKE)
}

/// What talks to a TPM, for the partition `name`.
pub(super) fn require_tpm(tree: &Tree, name: &str) -> Result<()> {
    require_all(tree, name, &TO_ENROL)?;
    let is_there = FOLDERS.iter().any(|folder| tree.resolve(format!("{folder}/{LIBRARY}")).is_some());
    if is_there {
        Ok(())
    } else {
        Err(lacks(LIBRARY, name, "libtss2-tcti-device0 and tpm2-tools, or tpm2-tss"))
    }
}

fn require_all(tree: &Tree, name: &str, needed: &[Needed]) -> Result<()> {
    let is_there = |paths: &[&str; 2]| paths.iter().any(|path| tree.resolve(path).is_some());
    match needed.iter().find(|(paths, _)| !is_there(paths)) {
        Some((paths, package)) => Err(lacks(paths[0], name, package)),
        None => Ok(()),
    }
}

fn lacks(path: &str, name: &str, package: &str) -> Error {
    let message = format!("is not there, and {name} is to be encrypted for a TPM");
    Error::new(Kind::NotFound, path, message).with_hint(format!("install {package}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Uuid;
    use crate::tree::testing::{text, tree};
    use crate::tree::{Time, os};

    const ID: Uuid = Uuid::from_text("01234567-89ab-4def-8123-456789abcdef");

    #[test]
    fn it_is_made_before_it_is_opened_and_what_is_missing_is_told() {
        let mut files = vec![("/usr/lib/systemd/systemd", ""), ("/sbin/init", "-> /usr/lib/systemd/systemd")];
        let mut said = Vec::new();
        let programs = TO_ENROL.iter().chain(&TO_MAKE).map(|(paths, _)| paths[0]);
        for path in programs.chain(["/usr/lib/x86_64-linux-gnu/libtss2-tcti-device.so.0", ""]) {
            let mut tree = tree(&files);
            let os = os::detect(&tree).unwrap();
            let mut editor = Editor::new(&mut tree, Time::default());
            let done = install(&mut editor, &os, "data-1", ID.into());
            said.push(done.map_err(|error| error.to_string()));
            if path.is_empty() {
                let unit = text(&tree, "/usr/lib/systemd/system/vmimage-encrypt-data-1.service").unwrap();
                let device =
                    "dev-disk-by\\x2dpartuuid-01234567\\x2d89ab\\x2d4def\\x2d8123\\x2d456789abcdef.device";
                for line in [
                    &format!("After={device}"),
                    "Before=systemd-cryptsetup@data\\x2d1.service shutdown.target",
                    &format!("ExecStart={PROGRAM} data-1 /dev/disk/by-partuuid/{ID}"),
                ] {
                    assert!(unit.lines().any(|other| other == line), "{line}: {unit}");
                }
                let opener = "/usr/lib/systemd/system/systemd-cryptsetup@data\\x2d1.service.d/vmimage.conf";
                let opener = text(&tree, opener).unwrap();
                assert!(opener.contains("Requires=vmimage-encrypt-data-1.service\n"), "{opener}");
                let makes = "ExecStartPost=/usr/lib/systemd/systemd-makefs ext4 /dev/mapper/data-1\n";
                assert!(opener.contains(makes), "{opener}");
            }
            files.push((path, ""));
        }
        let refused = said.iter().filter_map(|said| said.as_ref().err());
        assert_eq!(refused.count(), TO_ENROL.len() + TO_MAKE.len() + 1, "{said:?}");
        assert!(said.last().is_some_and(|said| said.is_ok()), "{said:?}");
    }
}
