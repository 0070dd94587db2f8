//! The menus of a medium: GRUB's on a disc, and those of GRUB and iPXE for machines that start over the network.
//!
//! What no script can know is a line of its own at the left margin, in which a server may put another value:
//!
//! | script | line | says |
//! |---|---|---|
//! | `boot.ipxe` | `set mode live` | what is started where nobody chooses |
//! | `boot.ipxe` | `set base ${cwduri}` | the address of the folder, with a slash at its end |
//! | `grub.cfg` | `set mode=live` | as above |
//! | `grub.cfg` | `set server=$net_default_server` | the web server with its port |

use std::fmt::Write;

use super::grub::{SERIAL_TERMINAL, quote};
use crate::container::medium::{INITRAMFS, KERNEL};
use crate::spec::Mode;

/// The folder of a disc that all of a medium is in.
pub const FOLDER: &str = "vmimage";

/// What the menus of a medium say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Menu {
    /// The system, for people.
    pub title: String,
    /// What can be started; the first is, where nobody chooses.
    pub modes: Vec<Mode>,
    /// Seconds until it is; 0: at once.
    pub timeout: u32,
    /// The identity of the medium.
    pub id: String,
    /// Words for the kernel, in each mode.
    pub words: Vec<String>,
    /// Whether GRUB may lack `linux` and have `linuxefi` instead.
    pub linuxefi: bool,
}

impl Menu {
    /// `\EFI\<vendor>\grub.cfg` of the ESP, and the same file of the disc: find the medium, and go on with its menu.
    ///
    /// GRUB begins where it was started from: a drive (`cd0`), or a partition of a stick (`hd0,gpt2`), of which the whole has
    /// the files. A disc of the same build has the same identity, so that one is looked at first.
    pub fn stub(&self) -> String {
        format!(
            "set disk=$root\n\
             regexp --set=1:disk '^([^,]+,)' \"$root\"\n\
             search.file /{FOLDER}/{} root $disk\n\
             set prefix=($root)/boot/grub\n\
             configfile $prefix/grub.cfg\n",
            self.id
        )
    }

    /// `/boot/grub/grub.cfg` of a disc.
    pub fn of_disc(&self) -> String {
        let first = self.modes.first().map_or("", |mode| mode.name());
        let medium = format!("vmimage.medium={}", self.id);
        let folder = format!("/{FOLDER}/");
        self.grub(&format!("set default={first}\n"), &folder, |mode| {
            [vec![mode_word(mode), quote(&medium)], self.quoted()].concat()
        })
    }

    /// `grub.cfg` of a folder that is served; `digest` is that of `medium.json`. Kernel and initramfs come from the server that
    /// GRUB itself came from, all else by HTTP.
    pub fn of_network(&self, digest: &str) -> String {
        let first = self.modes.first().map_or("", |mode| mode.name());
        let head = format!("set mode={first}\nset server=$net_default_server\nset default=$mode\n");
        let found = [
            "vmimage.medium=http://$server/".to_owned(),
            format!("vmimage.digest={digest}"),
            "BOOTIF=01-$net_default_mac".to_owned(),
        ];
        self.grub(&head, "/", |mode| [vec![mode_word(mode)], found.to_vec(), self.quoted()].concat())
    }

    fn grub(&self, head: &str, folder: &str, words: impl Fn(Mode) -> Vec<String>) -> String {
        let mut text =
            format!("# Written by vmimage.\n{head}set timeout={}\n{SERIAL_TERMINAL}", self.timeout);
        for mode in &self.modes {
            let linux = format!("{folder}{KERNEL} {}", words(*mode).join(" "));
            let initrd = format!("{folder}{INITRAMFS}");
            let title = quote(&self.entry(*mode));
            let _ = writeln!(text, "menuentry {title} --id {} {{", mode.name());
            let _ = match self.linuxefi {
                // GRUB has no other way to ask for a command than to use it.
                true => write!(
                    text,
                    "\tif linux {linux}; then\n\t\tinitrd {initrd}\n\telse\n\t\tlinuxefi {linux}\n\t\tinitrdefi {initrd}\n\tfi\n}}\n"
                ),
                false => write!(text, "\tlinux {linux}\n\tinitrd {initrd}\n}}\n"),
            };
        }
        text
    }

    /// `boot.ipxe`: what iPXE runs; `digest` is that of `medium.json`.
    pub fn of_ipxe(&self, digest: &str) -> String {
        let first = self.modes.first().map_or("", |mode| mode.name());
        let mut text = format!(
            "#!ipxe\n# Written by vmimage.\nset mode {first}\nset base ${{cwduri}}\n\
             isset ${{base}} || set base http://${{next-server}}/\n"
        );
        if self.timeout > 0 && self.modes.len() > 1 {
            let _ = writeln!(text, "menu {}", plain(&self.title));
            for mode in &self.modes {
                let _ = writeln!(text, "item {} {}", mode.name(), plain(&self.entry(*mode)));
            }
            let timeout = u64::from(self.timeout) * 1000;
            let _ = writeln!(text, "choose --timeout {timeout} --default ${{mode}} mode || goto end");
        }
        let words: Vec<_> = self.words.iter().map(|word| plain(word)).collect();
        let _ = write!(
            text,
            "kernel ${{base}}{KERNEL} initrd={INITRAMFS} vmimage.mode=${{mode}} vmimage.medium=${{base}} \
             vmimage.digest={digest} BOOTIF=01-${{netX/mac:hexhyp}} {}\n\
             initrd --name {INITRAMFS} ${{base}}{INITRAMFS}\n\
             boot\n:end\nexit\n",
            words.join(" ")
        );
        text
    }

    fn entry(&self, mode: Mode) -> String {
        match mode {
            Mode::Live => format!("{}: run it, what is written is in memory", self.title),
            Mode::Install => format!("{}: install it on a disk", self.title),
            Mode::Rescue => "Rescue: find an installed system, and a shell in it".to_owned(),
        }
    }

    fn quoted(&self) -> Vec<String> {
        self.words.iter().map(|word| quote(word)).collect()
    }
}

fn mode_word(mode: Mode) -> String {
    format!("vmimage.mode={}", mode.name())
}

/// What means nothing to iPXE, which splits a line at blanks and then expands `${…}`.
fn plain(text: &str) -> String {
    let text = text.chars().filter(|next| !next.is_control()).collect::<String>().replace("${", "$ {");
    text.split_ascii_whitespace().map(no_syntax).collect::<Vec<_>>().join(" ")
}

/// A word that ends no command, as a comment and a separator do, and no line. iPXE knows no quotes, so with them it is a word
/// like any other, and the kernel takes them off.
fn no_syntax(word: &str) -> String {
    let is_syntax = matches!(word, ";" | "&&" | "||") || word.starts_with('#') || word.ends_with('\\');
    if is_syntax { format!("\"{word}\"") } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn menu(modes: &[Mode]) -> Menu {
        Menu {
            title: "Debian GNU/Linux 12".into(),
            modes: modes.to_vec(),
            timeout: 5,
            id: "5b1c0a4e-9d2f-4e3b-8a76-0123456789ab".into(),
            words: vec!["console=tty0".into(), "note=$(evil);".into()],
            linuxefi: false,
        }
    }

    #[test]
    fn a_disc_is_found_by_its_identity_where_it_was_started_first() {
        let stub = menu(&Mode::ALL).stub();
        assert_eq!(
            stub,
            "set disk=$root\nregexp --set=1:disk '^([^,]+,)' \"$root\"\n\
             search.file /vmimage/5b1c0a4e-9d2f-4e3b-8a76-0123456789ab root $disk\n\
             set prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n"
        );
    }

    #[test]
    fn the_menu_of_a_disc_has_an_entry_for_each_mode_and_the_first_is_started() {
        let text = menu(&[Mode::Install, Mode::Rescue]).of_disc();
        assert!(
            text.starts_with("# Written by vmimage.\nset default=install\nset timeout=5\nif [ "),
            "{text}"
        );
        let entries = &text[text.find("menuentry").unwrap()..];
        assert_eq!(
            entries,
            "menuentry 'Debian GNU/Linux 12: install it on a disk' --id install {\n\
             \tlinux /vmimage/vmlinuz vmimage.mode=install vmimage.medium=5b1c0a4e-9d2f-4e3b-8a76-0123456789ab \
             console=tty0 'note=$(evil);'\n\
             \tinitrd /vmimage/initramfs\n}\n\
             menuentry 'Rescue: find an installed system, and a shell in it' --id rescue {\n\
             \tlinux /vmimage/vmlinuz vmimage.mode=rescue vmimage.medium=5b1c0a4e-9d2f-4e3b-8a76-0123456789ab \
             console=tty0 'note=$(evil);'\n\
             \tinitrd /vmimage/initramfs\n}\n"
        );
        let other = Menu { linuxefi: true, ..menu(&[Mode::Live]) }.of_disc();
        assert!(other.contains("\telse\n\t\tlinuxefi /vmimage/vmlinuz vmimage.mode=live "), "{other}");
    }

    #[test]
    fn what_a_server_may_say_is_a_line_of_its_own() {
        let menu = menu(&Mode::ALL);
        let (grub, ipxe) = (menu.of_network("00ff"), menu.of_ipxe("00ff"));
        for (text, lines) in [
            (&grub, ["set mode=live", "set server=$net_default_server"]),
            (&ipxe, ["set mode live", "set base ${cwduri}"]),
        ] {
            for line in lines {
                assert_eq!(text.lines().filter(|other| *other == line).count(), 1, "{line}: {text}");
            }
        }
        let linux = "\tlinux /vmlinuz vmimage.mode=rescue vmimage.medium=http://$server/ vmimage.digest=00ff \
                     BOOTIF=01-$net_default_mac console=tty0 'note=$(evil);'\n\tinitrd /initramfs\n";
        assert!(grub.contains(linux), "{grub}");
        assert!(ipxe.starts_with("#!ipxe\n"), "{ipxe}");
        assert!(ipxe.contains("choose --timeout 5000 --default ${mode} mode || goto end\n"), "{ipxe}");
        let kernel = "kernel ${base}vmlinuz initrd=initramfs vmimage.mode=${mode} vmimage.medium=${base} \
                      vmimage.digest=00ff BOOTIF=01-${netX/mac:hexhyp} console=tty0 note=$(evil);\n";
        assert!(ipxe.contains(kernel), "{ipxe}");
    }

    #[test]
    fn who_need_not_choose_is_not_asked_and_names_are_no_settings() {
        let one = Menu { title: "a ${b}".into(), ..menu(&[Mode::Live]) }.of_ipxe("00");
        assert!(!one.contains("choose"), "{one}");
        let at_once = Menu { timeout: 0, ..menu(&Mode::ALL) }.of_ipxe("00");
        assert!(!at_once.contains("choose"), "{at_once}");
        let several = Menu { title: "a ${b}\nboot".into(), ..menu(&Mode::ALL) }.of_ipxe("00");
        assert!(several.contains("menu a $ {b}boot\n"), "{several}");
    }

    #[test]
    fn no_word_is_a_comment_or_ends_a_command_or_a_line_of_ipxe() {
        let words = ["a=1", "#off", ";", "&&", "||", "a;b", "b#c", "path=C:\\"];
        let menu = Menu {
            title: "Linux #1 && exit ; a\\".into(),
            words: words.map(str::to_owned).to_vec(),
            ..menu(&Mode::ALL)
        };
        let text = menu.of_ipxe("00");
        assert!(text.contains("menu Linux \"#1\" \"&&\" exit \";\" \"a\\\"\n"), "{text}");
        assert!(text.contains(" a=1 \"#off\" \";\" \"&&\" \"||\" a;b b#c \"path=C:\\\"\ninitrd "), "{text}");
        let behind_head = text.lines().skip(2);
        let words: Vec<_> = behind_head.flat_map(str::split_ascii_whitespace).collect();
        assert!(!words.iter().any(|word| word.starts_with('#') || word.ends_with('\\') || *word == ";"));
    }
}
