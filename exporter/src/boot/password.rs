//! Who gets more of GRUB than what is in its menu: everybody, who knows a password, or nobody.

/// Who edits entries, and gets at GRUB's console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Everybody.
    Open,
    /// Who knows the password with this hash.
    Password(String),
    /// Nobody: what GRUB reads is signed.
    Signed,
}

impl Lock {
    /// Whether there are entries that boot for everybody, since others would not.
    pub fn is_closed(&self) -> bool {
        *self != Self::Open
    }

    /// The hash of the password, if there is one.
    pub fn password(&self) -> Option<&str> {
        match self {
            Self::Password(hash) => Some(hash),
            Self::Open | Self::Signed => None,
        }
    }

    /// What GRUB runs so that it is so, in the configuration that it reads first, wherever that may end.
    pub(super) fn commands(&self) -> String {
        match self {
            Self::Open => String::new(),
            Self::Password(hash) => commands(hash),
            // Its user has no password, so nobody is that user.
            Self::Signed => format!("set superusers={USER}\nexport superusers\n"),
        }
    }

    /// What says that the menu is not what was signed: GRUB itself goes on in silence, without it.
    pub(super) fn check(&self) -> &'static str {
        match self {
            Self::Open | Self::Password(_) => "",
            Self::Signed => "verify_detached $prefix/grub.cfg $prefix/grub.cfg.sig\n",
        }
    }
}

/// The user of GRUB's, by the name that the tools of Fedora and SUSE give it.
const USER: &str = "root";
/// The module that knows it.
pub const MODULE: &str = "password_pbkdf2";

/// Asks for the password of this hash: in the configuration that GRUB reads first, so that it is asked for wherever that
/// may end, and exported, so that the menus which are read next know it too.
pub fn commands(hash: &str) -> String {
    format!("set superusers={USER}\nexport superusers\n{MODULE} {USER} {hash}\n")
}

/// A script of grub-mkconfig(8) for the menu that it makes. Every entry of that asks for a password, unless it says
/// otherwise, and all of them begin with this variable.
pub(super) fn mkconfig_script(hash: &str) -> String {
    let commands = commands(hash);
    format!(
        "#!/bin/sh\ncat <<'END'\n{commands}menuentry_id_option=\"--unrestricted $menuentry_id_option\"\nEND\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_menu_of_grub_mkconfig_has_it_and_boots_without() {
        let output =
            std::process::Command::new("sh").args(["-c", &mkconfig_script("grub.pbkdf2.x")]).output();
        assert_eq!(
            String::from_utf8(output.unwrap().stdout).unwrap(),
            "set superusers=root\nexport superusers\npassword_pbkdf2 root grub.pbkdf2.x\n\
             menuentry_id_option=\"--unrestricted $menuentry_id_option\"\n"
        );
    }
}
