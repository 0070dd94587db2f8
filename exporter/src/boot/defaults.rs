//! What an image says of its boot menu where its distribution's tools read that, and where they find again what was asked
//! for here: the first `update-grub` inside the machine changes nothing of it.
//!
//! ```text
//! /etc/default/grub, /etc/default/grub.d/*.cfg   grub-mkconfig (the folder: Debian's and its relatives')
//! /etc/kernel/cmdline                            kernel-install, and Fedora's entries
//! /etc/update-extlinux.conf                      Alpine's update-extlinux
//! ```

use super::grub;
use super::password;
use super::shell::{self, Variables};
use crate::error::{Error, Kind, Result, show_list, show_text};
use crate::limits::{self, Budget};
use crate::tree::os::{Family, Os};
use crate::tree::{Editor, Texts, Tree};

const GRUB: &str = "/etc/default/grub";
const GRUB_FOLDER: &str = "/etc/default/grub.d";
/// What grub-mkconfig runs, after what has to come first and before what makes entries.
const PASSWORD: &str = "/etc/grub.d/01_vmimage-password";
/// Read after all others.
const OURS: &str = "zz-vmimage.cfg";
const KERNEL_INSTALL: &str = "/etc/kernel/cmdline";
const EXTLINUX: &str = "/etc/update-extlinux.conf";
/// Around our lines in a file of the image's.
const BEGIN: &str = "# What this machine was made with (vmimage). What the lines above say is kept.\n";
const END: &str = "# End of what vmimage has written.\n";

const LINUX: &str = "GRUB_CMDLINE_LINUX";
const LINUX_DEFAULT: &str = "GRUB_CMDLINE_LINUX_DEFAULT";
const TIMEOUT: &str = "GRUB_TIMEOUT";
const TIMEOUT_STYLE: &str = "GRUB_TIMEOUT_STYLE";
const DEFAULT: &str = "GRUB_DEFAULT";

/// What an image says of its boot menu.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// Words for the kernel's command line, by GRUB's settings.
    pub words: Vec<String>,
    /// Further ones, by those of other tools.
    pub further: Vec<String>,
    /// Seconds until the first entry is booted; -1: it waits.
    pub timeout: Option<i32>,
    /// How they are shown: `menu`, `countdown`, `hidden`.
    pub timeout_style: Option<String>,
    /// The entry is the one that `grub-set-default` and `grub-reboot` save.
    pub is_saved: bool,
    /// The kernel to begin with, as GRUB's titles and ids of entries name it.
    pub kernel: Option<String>,
    /// A line for each thing that counts, or cannot.
    pub notes: Vec<String>,
}

impl Defaults {
    /// What the image of `tree` says.
    pub fn read(tree: &Tree) -> Result<Self> {
        let mut defaults = Self::default();
        let variables = grub_variables(tree)?;
        let mut known = |name: &str| match variables.get(name) {
            None => None,
            Some(Some(value)) => Some(value.trim()).filter(|value| !value.is_empty()),
            Some(None) => {
                defaults
                    .notes
                    .push(format!("{GRUB}: only a shell can tell {name}, the menu goes without it"));
                None
            }
        };
        let [linux, linux_default, timeout, style, default] =
            [LINUX, LINUX_DEFAULT, TIMEOUT, TIMEOUT_STYLE, DEFAULT].map(&mut known);
        for words in [linux, linux_default].into_iter().flatten() {
            defaults.words.extend(arguments(GRUB, words)?.map(str::to_owned));
        }
        defaults.timeout = timeout.and_then(|text| text.parse().ok());
        let is_style = |style: &&str| matches!(*style, "menu" | "countdown" | "hidden");
        defaults.timeout_style = style.filter(is_style).map(str::to_owned);
        defaults.choose(default);
        defaults.tell(&variables);
        defaults.read_further(tree)?;
        Ok(defaults)
    }

    /// `GRUB_DEFAULT`: the number, title or id of an entry, below those of its submenu.
    fn choose(&mut self, value: Option<&str>) {
        let Some(value) = value else { return };
        let entry = value.rsplit('>').next().unwrap_or_default();
        let by_id = || entry.strip_prefix("gnulinux-")?.split_once("-advanced").map(|(version, _)| version);
        match entry.rsplit_once(", with Linux ").map(|(_, version)| version).or_else(by_id) {
            _ if value == "0" || entry.starts_with("gnulinux-simple") => {}
            _ if value == "saved" => self.is_saved = true,
            Some(version) => self.kernel = Some(version.to_owned()),
            None => self.notes.push(format!(
                "{GRUB}: {DEFAULT}={} is an entry of another menu, the first one boots: \
                 name a kernel (\"…, with Linux VERSION\")",
                show_text(value)
            )),
        }
    }

    fn tell(&mut self, variables: &Variables) {
        let is_ours =
            |name: &&String| [LINUX, LINUX_DEFAULT, TIMEOUT, TIMEOUT_STYLE, DEFAULT].contains(&name.as_str());
        let (counting, others): (Vec<_>, Vec<_>) =
            variables.keys().filter(|name| name.starts_with("GRUB_")).partition(is_ours);
        if !counting.is_empty() {
            self.notes.push(format!("{GRUB}: {} of the image in the menu", show_list(&counting)));
        }
        if !others.is_empty() {
            self.notes.push(format!("{GRUB}: {} for grub-mkconfig alone", show_list(&others)));
        }
    }

    /// Words that other tools would add, as far as they are not there yet.
    fn read_further(&mut self, tree: &Tree) -> Result<()> {
        let mut variables = Variables::new();
        let mut values = values();
        shell::assign(&without_ours(&read(tree, EXTLINUX)?), &mut variables, &mut values)
            .map_err(|exceeded| exceeded.at(EXTLINUX))?;
        let options = variables.remove("default_kernel_opts").flatten().unwrap_or_default();
        let own = |word: &&str| {
            let is_of_disk = ["root=", "BOOT_IMAGE=", "initrd="].iter().any(|start| word.starts_with(start));
            !is_of_disk && !matches!(*word, "ro" | "rw")
        };
        for (file, text) in [(KERNEL_INSTALL, read(tree, KERNEL_INSTALL)?), (EXTLINUX, options)] {
            let new = arguments(file, &text)?.filter(own).map(str::to_owned);
            let is_known = |word: &String| self.words.contains(word) || self.further.contains(word);
            let new: Vec<_> = new.filter(|word| !is_known(word)).collect();
            if !new.is_empty() {
                self.notes.push(format!("{file}: {} of the image in the menu", new.join(" ")));
            }
            self.further.extend(new);
        }
        Ok(())
    }
}

/// All that `grub-mkconfig` would read, but what was written here when the tree was made a machine before.
fn grub_variables(tree: &Tree) -> Result<Variables> {
    let mut variables = Variables::new();
    let (mut texts, mut values) = (Texts::new(), values());
    let mut assign = |path: &str, text: &str| {
        shell::assign(text, &mut variables, &mut values).map_err(|exceeded| exceeded.at(path))
    };
    assign(GRUB, &without_ours(&read(tree, GRUB)?))?;
    let parts = tree.children(GRUB_FOLDER).filter_map(|(name, _)| std::str::from_utf8(name).ok());
    for name in parts.filter(|name| name.ends_with(".cfg") && *name != OURS) {
        let path = format!("{GRUB_FOLDER}/{name}");
        assign(&path, &String::from_utf8_lossy(&texts.read(tree, &path)?))?;
    }
    Ok(variables)
}

/// What variables in the values of settings may come to: as much as one file.
fn values() -> Budget {
    Budget::new("bytes of variables in values", limits::TEXT)
}

/// The words of a setting that is for the kernel's command line.
fn arguments<'t>(place: &str, text: &'t str) -> Result<impl Iterator<Item = &'t str>> {
    if text.len() > limits::KERNEL_ARGUMENTS {
        let message = format!(
            "{} bytes of kernel arguments, at most {} are read",
            text.len(),
            limits::KERNEL_ARGUMENTS
        );
        return Err(Error::new(Kind::Input, place, message));
    }
    Ok(text.split_ascii_whitespace())
}

fn read(tree: &Tree, path: &str) -> Result<String> {
    Ok(String::from_utf8_lossy(&tree.read(path, limits::TEXT)?.unwrap_or_default()).into_owned())
}

fn without_ours(text: &str) -> String {
    match text.split_once(BEGIN) {
        Some((before, rest)) => format!("{before}{}", rest.split_once(END).map_or("", |(_, after)| after)),
        None => text.to_owned(),
    }
}

/// What the menu of this machine says.
pub struct Written<'a> {
    /// The words of every machine, before those of the image.
    pub fixed: Vec<String>,
    /// Those that were asked for, after them.
    pub asked: Vec<String>,
    /// All of the command line.
    pub cmdline: &'a str,
    /// The link that leads to the kernel that boots, where there are others.
    pub link: Option<&'a str>,
    /// The hash of GRUB's password, if it has one.
    pub password: Option<&'a str>,
}

/// Write down what the menu says, for the tools of the distribution that are there or may come. Returns what was changed.
pub fn write(editor: &mut Editor<'_>, os: &Os, written: &Written<'_>) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let has = |editor: &Editor<'_>, path: &str| editor.tree().resolve(path).is_some();
    if os.family == Family::Debian && has(editor, "/usr/bin/dpkg") {
        let path = format!("{GRUB_FOLDER}/{OURS}");
        editor.write_file(&path, written.for_grub().into_bytes(), 0o644)?;
        notes.push(format!("{path}: the command line, for update-grub"));
    } else if [GRUB, "/usr/sbin/grub-mkconfig", "/usr/sbin/grub2-mkconfig", "/usr/bin/grub-mkconfig"]
        .iter()
        .any(|path| has(editor, path))
    {
        notes.push(append(editor, GRUB, &written.for_grub())?);
    }
    // Beside what it has read, or what it will read once it is there.
    if let Some(hash) = written.password.filter(|_| !notes.is_empty()) {
        editor.write_file(PASSWORD, password::mkconfig_script(hash).into_bytes(), 0o700)?;
        notes.push(format!("{PASSWORD}: GRUB's password, for update-grub"));
    }
    if os.family == Family::RedHat && has(editor, "/usr/bin/rpm") || has(editor, KERNEL_INSTALL) {
        notes.push(write_kernel_cmdline(editor, written.cmdline)?);
    }
    if has(editor, EXTLINUX) {
        notes.push(append(editor, EXTLINUX, &written.for_extlinux())?);
    }
    Ok(notes)
}

/// The command line of the entries that kernel-install(8) writes.
pub fn write_kernel_cmdline(editor: &mut Editor<'_>, cmdline: &str) -> Result<String> {
    editor.rewrite_file(KERNEL_INSTALL, format!("{cmdline}\n").into_bytes(), 0o644)?;
    Ok(format!("{KERNEL_INSTALL}: the command line, for kernels to come"))
}

/// Lines at the end of a file of the image, in place of those of the last time.
fn append(editor: &mut Editor<'_>, path: &str, lines: &str) -> Result<String> {
    let mut text = without_ours(&read(editor.tree(), path)?);
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    editor.rewrite_file(path, (text + lines).into_bytes(), 0o644)?;
    Ok(format!("{path}: the command line, as in the menu"))
}

impl Written<'_> {
    fn for_grub(&self) -> String {
        let quoted = |words: &[String]| {
            let words: Vec<_> = words.iter().map(|word| grub::quote(word)).collect();
            shell::quote(&words.join(" "))
        };
        let mut text = format!("{BEGIN}{LINUX}=\"{} ${LINUX}\"\n", quoted(&self.fixed));
        if !self.asked.is_empty() {
            text += &format!("{LINUX_DEFAULT}=\"${LINUX_DEFAULT} {}\"\n", quoted(&self.asked));
        }
        text + &self.link.map(follow).unwrap_or_default() + END
    }

    fn for_extlinux(&self) -> String {
        let root = self.cmdline.split(' ').find(|word| word.starts_with("root=")).unwrap_or_default();
        let (modules, fixed): (Vec<_>, Vec<_>) =
            self.fixed.iter().map(String::as_str).partition(|word| word.starts_with("modules="));
        let [modules, fixed] = [modules, fixed].map(|words| words.join(" "));
        let asked = shell::quote(&self.asked.join(" "));
        let asked = if asked.is_empty() { asked } else { format!(" {asked}") };
        format!(
            "{BEGIN}{root}\n{modules}\ndefault_kernel_opts=\"{fixed} $default_kernel_opts{asked}\"\n{END}"
        )
    }
}

/// GRUB's tools know no links, and begin with the newest kernel.
fn follow(link: &str) -> String {
    format!(
        "if [ \"${{{DEFAULT}:-0}}\" = 0 ] && kernel=$(readlink {link}); then\n\
         \t{DEFAULT}=\"gnulinux-advanced-$GRUB_DEVICE_UUID>gnulinux-${{kernel##*vmlinuz-}}-advanced-$GRUB_DEVICE_UUID\"\n\
         fi\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::{text, tree};
    use crate::tree::{Time, os};

    fn read(files: &[(&str, &str)]) -> Defaults {
        Defaults::read(&tree(files)).unwrap()
    }

    #[test]
    fn the_menu_has_what_the_image_says() {
        let cloud =
            "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT console=ttyS1\"\nGRUB_TIMEOUT=0\n";
        for (files, words, timeout) in [
            (&[][..], "", None),
            (
                &[(GRUB, "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX=\"net.ifnames=0 a=b\"\n")],
                "net.ifnames=0 a=b quiet",
                None,
            ),
            (
                &[
                    (GRUB, "GRUB_CMDLINE_LINUX_DEFAULT=quiet\nGRUB_TIMEOUT=5"),
                    ("/etc/default/grub.d/50-cloud.cfg", cloud),
                ],
                "quiet console=ttyS1",
                Some(0),
            ),
            (&[("/etc/default/grub.d/notes.txt", "GRUB_CMDLINE_LINUX=x")], "", None),
            (&[("/etc/default/grub.d/zz-vmimage.cfg", "GRUB_CMDLINE_LINUX=x")], "", None),
            (&[(GRUB, "GRUB_TIMEOUT=-1\n#GRUB_CMDLINE_LINUX=x")], "", Some(-1)),
        ] {
            let defaults = read(files);
            assert_eq!((&*defaults.words.join(" "), defaults.timeout), (words, timeout), "{files:?}");
        }
    }

    #[test]
    fn a_default_entry_is_a_kernel_or_is_told() {
        for (value, is_saved, kernel, is_told) in [
            ("0", false, None, false),
            ("saved", true, None, false),
            (
                "'Advanced options for Debian GNU/Linux>Debian GNU/Linux, with Linux 6.1.0-9-amd64'",
                false,
                Some("6.1.0-9-amd64"),
                false,
            ),
            ("'gnulinux-advanced-u>gnulinux-6.1-advanced-u'", false, Some("6.1"), false),
            ("gnulinux-simple-u", false, None, false),
            ("'1>2'", false, None, true),
            ("2", false, None, true),
        ] {
            let defaults = read(&[(GRUB, &format!("GRUB_DEFAULT={value}\n"))]);
            let told = defaults.notes.iter().any(|note| note.contains("is an entry of another menu"));
            assert_eq!(
                (defaults.is_saved, defaults.kernel.as_deref(), told),
                (is_saved, kernel, is_told),
                "{value}"
            );
        }
    }

    #[test]
    fn what_has_no_effect_is_told() {
        let told = |files| read(files).notes.join("\n");
        assert!(
            told(&[(GRUB, "GRUB_CMDLINE_LINUX=$(cat /x)")])
                .contains("only a shell can tell GRUB_CMDLINE_LINUX,")
        );
        assert!(told(&[(GRUB, "GRUB_TERMINAL=gfxterm")]).contains("GRUB_TERMINAL for grub-mkconfig alone"));
        assert_eq!(told(&[]), "");
    }

    #[test]
    fn other_tools_words_come_once() {
        let files = [
            (GRUB, "GRUB_CMDLINE_LINUX=quiet"),
            (KERNEL_INSTALL, "root=/dev/sda1 rw quiet audit=1\n"),
            (EXTLINUX, "# Alpine\ndefault_kernel_opts=\"quiet lsm=landlock\"\nmodules=sd-mod\n"),
        ];
        assert_eq!(read(&files).further, ["audit=1", "lsm=landlock"]);
    }

    const PRINT: &str =
        "printf '%s\\n' \"$GRUB_CMDLINE_LINUX $GRUB_CMDLINE_LINUX_DEFAULT\" \"$GRUB_DEFAULT\"";

    /// What `grub-mkconfig` makes of the files, by a shell.
    fn mkconfig(tree: &Tree) -> String {
        let files = [GRUB.to_owned(), format!("{GRUB_FOLDER}/{OURS}")];
        let script = files.iter().filter_map(|path| text(tree, path)).collect::<Vec<_>>().join("\n");
        let script =
            format!("readlink() {{ echo boot/vmlinuz-6.1; }}\nGRUB_DEVICE_UUID=u\n{script}\n{PRINT}");
        let output = std::process::Command::new("sh").args(["-ec", &script]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn written(files: &[(&str, &str)], asked: &str, link: Option<&str>) -> Tree {
        let mut tree = tree(files);
        let os = os::detect(&tree).unwrap();
        let asked = asked.split_ascii_whitespace().map(str::to_owned).collect();
        let fixed = vec!["modules=ext4".to_owned(), "console=ttyS0".to_owned()];
        let cmdline = "root=UUID=u ro console=ttyS0 quiet";
        let written = Written { fixed, asked, cmdline, link, password: None };
        for _ in 0..2 {
            write(&mut Editor::new(&mut tree, Time::default()), &os, &written).unwrap();
        }
        tree
    }

    #[test]
    fn grub_mkconfig_says_what_the_menu_says() {
        let debian = [("/etc/os-release", "ID=debian\n"), ("/usr/bin/dpkg", "")];
        let fedora = [("/etc/os-release", "ID=fedora\n"), ("/usr/sbin/grub2-mkconfig", "")];
        let suse = [("/etc/os-release", "ID=sles\nID_LIKE=suse\n"), ("/x", "")];
        let own = (GRUB, "GRUB_CMDLINE_LINUX='a=b'\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"");
        let empty = (GRUB, "GRUB_CMDLINE_LINUX=\nGRUB_CMDLINE_LINUX_DEFAULT=\n");
        for distribution in [debian, fedora, suse] {
            let files = [&distribution[..], &[own]].concat();
            let said = mkconfig(&written(&files, "panic=5 x=\"y\" note=$(evil)", None));
            assert_eq!(said, "modules=ext4 console=ttyS0 a=b quiet panic=5 'x=\"y\"' 'note=$(evil)'\n\n");
            let files = [&distribution[..], &[empty]].concat();
            assert_eq!(mkconfig(&written(&files, "", None)).trim_end(), "modules=ext4 console=ttyS0");
            let said = mkconfig(&written(&files, "", Some("/vmlinuz")));
            assert!(said.ends_with("\ngnulinux-advanced-u>gnulinux-6.1-advanced-u\n"), "{said}");
        }
        let chosen = [
            &debian[..],
            &[(GRUB, "GRUB_CMDLINE_LINUX=\nGRUB_CMDLINE_LINUX_DEFAULT=\nGRUB_DEFAULT=saved\n")],
        ]
        .concat();
        assert!(mkconfig(&written(&chosen, "", Some("/vmlinuz"))).ends_with("\nsaved\n"));
    }

    #[test]
    fn files_are_written_where_something_reads_them() {
        let paths = [GRUB, "/etc/default/grub.d/zz-vmimage.cfg", KERNEL_INSTALL, EXTLINUX];
        for (files, expected) in [
            (&[("/etc/os-release", "ID=debian\n"), ("/usr/bin/dpkg", "")][..], [false, true, false, false]),
            (&[("/etc/os-release", "ID=debian\n")], [false; 4]),
            (&[("/etc/os-release", "ID=fedora\n"), ("/usr/bin/rpm", "")], [false, false, true, false]),
            (&[("/etc/os-release", "ID=arch\n"), (GRUB, "")], [true, false, false, false]),
            (
                &[("/etc/os-release", "ID=alpine\n"), (EXTLINUX, "default_kernel_opts=quiet")],
                [false, false, false, true],
            ),
        ] {
            let tree = written(files, "audit=1", None);
            assert_eq!(paths.map(|path| tree.lookup(path).is_some()), expected, "{files:?}");
        }
        let alpine = written(
            &[("/etc/os-release", "ID=alpine\n"), (EXTLINUX, "default_kernel_opts=quiet")],
            "audit=1",
            None,
        );
        let text = text(&alpine, EXTLINUX).unwrap();
        let lines =
            "root=UUID=u\nmodules=ext4\ndefault_kernel_opts=\"console=ttyS0 $default_kernel_opts audit=1\"\n";
        assert_eq!(text, format!("default_kernel_opts=quiet\n{BEGIN}{lines}{END}"));
    }

    #[test]
    fn a_password_is_asked_for_by_the_menus_of_the_machine() {
        let debian = [("/etc/os-release", "ID=debian\n"), ("/usr/bin/dpkg", "")];
        let arch = [("/etc/os-release", "ID=arch\n"), ("/usr/bin/grub-mkconfig", "")];
        for (files, password, expected) in [
            (&debian[..], Some("grub.pbkdf2.x"), true),
            (&arch, Some("grub.pbkdf2.x"), true),
            (&debian, None, false),
            (&debian[..1], Some("grub.pbkdf2.x"), false),
        ] {
            let mut tree = tree(files);
            let os = os::detect(&tree).unwrap();
            let written =
                Written { fixed: Vec::new(), asked: Vec::new(), cmdline: "ro", link: None, password };
            write(&mut Editor::new(&mut tree, Time::default()), &os, &written).unwrap();
            let script = text(&tree, PASSWORD);
            assert_eq!(script.is_some_and(|script| script.contains(" root grub.pbkdf2.x\n")), expected);
            let mode = tree.lookup(PASSWORD).map(|id| tree.inode(id).meta.permissions);
            assert!(mode.is_none_or(|mode| mode == 0o700), "the hash is for root alone");
        }
    }

    #[test]
    fn settings_without_end_are_refused() {
        let long = "a ".repeat(limits::KERNEL_ARGUMENTS / 2);
        let text = |text: &str| format!("GRUB_CMDLINE_LINUX=\"{text}\"\n");
        let doubled: String = (1..60).map(|at| format!("A{at}=$A{0}$A{0}\n", at - 1)).collect();
        let arguments = "bytes of kernel arguments, at most 4096 are read";
        for (path, text, said) in [
            (GRUB, text(&long), None),
            (GRUB, text(&format!("{long}b")), Some("/etc/default/grub: 4097 bytes of kernel arguments")),
            (KERNEL_INSTALL, format!("{long}{long}"), Some("/etc/kernel/cmdline: 8192 bytes of kernel")),
            (EXTLINUX, format!("default_kernel_opts=\"{long}b\""), Some(arguments)),
            (GRUB, format!("A0=aaaa\n{doubled}"), Some("bytes of variables in values, which is the limit")),
            (
                "/etc/default/grub.d/a.cfg",
                format!("A0=aaaa\n{doubled}"),
                Some("/etc/default/grub.d/a.cfg: more than"),
            ),
            (EXTLINUX, format!("A0=aaaa\n{doubled}"), Some("/etc/update-extlinux.conf: more than")),
        ] {
            let read = Defaults::read(&tree(&[(path, &text)])).map_err(|error| error.to_string());
            assert_eq!(read.is_ok(), said.is_none(), "{path}");
            assert!(read.err().zip(said).is_none_or(|(error, said)| error.contains(said)), "{path}");
        }
    }

    /// A folder of links to one file.
    #[test]
    fn one_file_of_many_names_is_not_many_settings() {
        let text = format!("A=a\n#{}", "a".repeat((1 << 20) - 5));
        let mut tree = tree(&[("/etc/default/text", &text), ("/etc/default/grub.d/", "")]);
        let mut editor = Editor::new(&mut tree, Time::default());
        for at in 0..2000 {
            editor.symlink(format!("{GRUB_FOLDER}/{at}.cfg"), "../text").unwrap();
        }
        let error = Defaults::read(&tree).unwrap_err().to_string();
        assert!(error.contains("more than 16777216 bytes of such texts"), "{error}");
    }
}
