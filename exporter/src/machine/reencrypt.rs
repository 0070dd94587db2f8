//! A new volume key at the first boot: that of the build was known to the builder, and is the same on every copy of the disk.

use super::systemd;
use crate::error::{Error, Kind, Result};
use crate::fs::luks::Kdf;
use crate::tree::Editor;
use crate::tree::os::{Init, Os};

const PROGRAM: &str = "/usr/lib/vmimage/reencrypt";
const SCRIPT: &[u8] = include_bytes!("reencrypt.sh");

/// Have the partition that is open as `name` encrypted anew, with a key slot as slow as it was.
pub(super) fn install(editor: &mut Editor<'_>, os: &Os, name: &str, kdf: Kdf) -> Result<String> {
    if os.init != Some(Init::Systemd) {
        let message = "is to be encrypted anew at the first boot, which systemd does";
        return Err(Error::new(Kind::Unsupported, name, message).with_hint("leave out reencrypt"));
    }
    let unit = format!("vmimage-reencrypt-{name}.service");
    editor.write_file(PROGRAM, SCRIPT, 0o755)?;
    editor.write_file(format!("{}/{unit}", systemd::USR), service(name, kdf).into_bytes(), 0o644)?;
    systemd::enable(editor, &unit)?;
    Ok(format!("{PROGRAM}: installed, the first boot gives {name} a new volume key"))
}

/// Who is asked for the passphrase is asked before there are logins; the rest is beside them.
fn service(name: &str, kdf: Kdf) -> String {
    let kdf = match kdf {
        Kdf::Argon2id { time, memory } => format!(
            "--pbkdf argon2id --pbkdf-memory {memory} --pbkdf-force-iterations {time} --pbkdf-parallel 1"
        ),
        Kdf::Pbkdf2 { iterations } => format!("--pbkdf pbkdf2 --pbkdf-force-iterations {iterations}"),
    };
    format!(
        "\
[Unit]
Description=Give the encrypted partition {name} a new volume key
Before=systemd-user-sessions.service

[Service]
Type=forking
RemainAfterExit=yes
TimeoutStartSec=infinity
ExecStart={PROGRAM} {name} {kdf}
StandardOutput=journal+console
StandardError=journal+console

[Install]
WantedBy=multi-user.target
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::{text, tree};
    use crate::tree::{Time, os};

    #[test]
    fn the_new_key_slot_is_as_slow_as_the_old_one() {
        let files = [("/usr/lib/systemd/systemd", ""), ("/sbin/init", "-> /usr/lib/systemd/systemd")];
        for (kdf, words) in [
            (
                Kdf::Argon2id { time: 4, memory: 8192 },
                "argon2id --pbkdf-memory 8192 --pbkdf-force-iterations 4",
            ),
            (Kdf::Pbkdf2 { iterations: 1000 }, "pbkdf2 --pbkdf-force-iterations 1000\n"),
        ] {
            let mut tree = tree(&files);
            let os = os::detect(&tree).unwrap();
            install(&mut Editor::new(&mut tree, Time::default()), &os, "root", kdf).unwrap();
            let unit = text(&tree, "/usr/lib/systemd/system/vmimage-reencrypt-root.service").unwrap();
            assert!(unit.contains(&format!("ExecStart={PROGRAM} root --pbkdf {words}")), "{unit}");
            assert!(
                tree.lookup("/etc/systemd/system/multi-user.target.wants/vmimage-reencrypt-root.service")
                    .is_some()
            );
        }
        let mut other = tree(&[("/sbin/init", "own")]);
        let os = os::detect(&other).unwrap();
        let editor = &mut Editor::new(&mut other, Time::default());
        assert!(install(editor, &os, "root", Kdf::Pbkdf2 { iterations: 1000 }).is_err());
    }
}
