//! What the kernel's command line tells an initramfs of an encrypted root.

use crate::seed::Uuid;
use crate::spec::layout::{KeyDrive, Lock, Way};
use crate::tree::os::Family;

/// What the root is called once it is open.
pub const ROOT_DEVICE: &str = "/dev/mapper/root";
/// What an initramfs of Debian runs for a key on a drive; the package step has it put there.
pub const KEY_SCRIPT: &str = "/usr/lib/vmimage/key";

/// The words of one family's initramfs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlock(pub Vec<String>);

impl Unlock {
    /// Those that open the LUKS volume `uuid` as [`ROOT_DEVICE`], in the way of `lock`; `None`: no initramfs of that family is
    /// known to.
    ///
    /// Debian's reads `cryptopts` (its `local-top/cryptroot`), and clevis' script there answers what it asks; it knows no TPM.
    /// Alpine's reads `cryptroot`, and keys from nowhere but itself and whole devices (mkinitfs-bootparam(7)). dracut reads
    /// dracut.cmdline(7), and in it systemd-cryptsetup-generator(8).
    pub fn new(family: Family, uuid: Uuid, lock: &Lock) -> Option<Self> {
        let drive = lock.drive();
        let words = match (family, lock.way(), drive) {
            (Family::Debian, Way::Passphrase | Way::Tang, _) => vec![cryptopts(uuid)],
            (Family::Debian, Way::KeyFile, Some(drive)) => {
                vec![format!("{},key={},keyscript={KEY_SCRIPT}", cryptopts(uuid), drive.passdev())]
            }
            (Family::Alpine, Way::Passphrase, _) => {
                vec![format!("cryptroot=UUID={uuid}"), "cryptdm=root".to_owned()]
            }
            (Family::RedHat, way, drive) => {
                let name = format!("rd.luks.name={uuid}=root");
                std::iter::once(name).chain(dracut_words(uuid, way, drive)).collect()
            }
            _ => return None,
        };
        Some(Self(words))
    }
}

fn cryptopts(uuid: Uuid) -> String {
    format!("cryptopts=target=root,source=UUID={uuid},luks")
}

fn dracut_words(uuid: Uuid, way: Way, drive: Option<KeyDrive>) -> Vec<String> {
    match (way, drive) {
        (Way::KeyFile, Some(drive)) => vec![
            format!("rd.luks.key={uuid}={}", drive.key_file()),
            format!("rd.luks.options={uuid}=keyfile-timeout={}s", KeyDrive::TIMEOUT),
        ],
        (Way::Tpm2, _) => vec![format!("rd.luks.options={uuid}=tpm2-device=auto")],
        (Way::Tang, _) => vec!["rd.neednet=1".to_owned()],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STICK: &str = r#"{"passphrase":"a","key":"b","unlock":["key-file","passphrase"],"key-device":"LABEL=KEYS","key-path":"/web.key"}"#;
    const TPM: &str = r#"{"passphrase":"a","unlock":["tpm2","passphrase"]}"#;
    const TANG: &str =
        r#"{"passphrase":"a","unlock":["tang","passphrase"],"tang":{"url":"http://a","thumbprint":"b"}}"#;

    #[test]
    fn each_family_has_words_of_its_own_for_the_ways_that_it_knows() {
        let uuid = Uuid::from_text("01234567-89ab-4def-8123-456789abcdef");
        let words = |family, lock: &str| {
            let lock: Lock = serde_json::from_str(lock).unwrap();
            Unlock::new(family, uuid, &lock).map(|unlock| unlock.0.join(" "))
        };
        let passphrase = r#"{"passphrase":"a"}"#;
        let debian = format!("cryptopts=target=root,source=UUID={uuid},luks");
        assert_eq!(words(Family::Debian, passphrase), Some(debian.clone()));
        assert_eq!(words(Family::Debian, TANG), Some(debian.clone()));
        let script = "keyscript=/usr/lib/vmimage/key";
        let with_key = format!("{debian},key=/dev/disk/by-label/KEYS:/web.key:15,{script}");
        assert_eq!(words(Family::Debian, STICK), Some(with_key));
        assert_eq!(words(Family::Alpine, passphrase), Some(format!("cryptroot=UUID={uuid} cryptdm=root")));
        let dracut = format!("rd.luks.name={uuid}=root");
        assert_eq!(words(Family::RedHat, passphrase), Some(dracut.clone()));
        assert_eq!(
            words(Family::RedHat, STICK),
            Some(format!(
                "{dracut} rd.luks.key={uuid}=/web.key:LABEL=KEYS rd.luks.options={uuid}=keyfile-timeout=15s"
            ))
        );
        let tpm = format!("{dracut} rd.luks.options={uuid}=tpm2-device=auto");
        assert_eq!(words(Family::RedHat, TPM), Some(tpm));
        assert_eq!(words(Family::RedHat, TANG), Some(format!("{dracut} rd.neednet=1")));
        assert_eq!((words(Family::Debian, TPM), words(Family::Suse, passphrase)), (None, None));
        for other in [STICK, TPM, TANG] {
            assert_eq!(words(Family::Alpine, other), None);
        }
    }
}
