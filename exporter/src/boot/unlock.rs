//! What the kernel's command line tells an initramfs of an encrypted root.

use crate::seed::Uuid;
use crate::tree::os::Family;

/// What the root is called once it is open.
pub const ROOT_DEVICE: &str = "/dev/mapper/root";

/// The words of one family's initramfs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlock(pub Vec<String>);

impl Unlock {
    /// Those that open the LUKS volume `uuid` as [`ROOT_DEVICE`]; `None`: no initramfs of that family is known to.
    ///
    /// Debian's reads `cryptopts` (its `local-top/cryptroot`), Alpine's `cryptroot` (mkinitfs-bootparam(7)), and dracut
    /// dracut.cmdline(7).
    pub fn new(family: Family, uuid: Uuid) -> Option<Self> {
        let words = match family {
            Family::Debian => vec![format!("cryptopts=target=root,source=UUID={uuid},luks")],
            Family::Alpine => vec![format!("cryptroot=UUID={uuid}"), "cryptdm=root".to_owned()],
            Family::RedHat => vec![format!("rd.luks.name={uuid}=root")],
            _ => return None,
        };
        Some(Self(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_has_words_of_its_own_and_others_none() {
        let uuid = Uuid::from_text("01234567-89ab-4def-8123-456789abcdef");
        let words = |family| Unlock::new(family, uuid).map(|unlock| unlock.0.join(" "));
        let debian = format!("cryptopts=target=root,source=UUID={uuid},luks");
        assert_eq!(words(Family::Debian), Some(debian));
        assert_eq!(words(Family::Alpine), Some(format!("cryptroot=UUID={uuid} cryptdm=root")));
        assert_eq!(words(Family::RedHat), Some(format!("rd.luks.name={uuid}=root")));
        assert_eq!(words(Family::Suse), None);
    }
}
