//! GRUB's password: whoever does not know it boots what is in the menu, and neither edits an entry nor gets at the console.

/// Its user, by the name that the tools of Fedora and SUSE give it.
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
