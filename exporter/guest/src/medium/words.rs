//! What the kernel's command line says to a medium.
//!
//! ```text
//! vmimage.mode=live|install|rescue      vmimage.medium=UUID|URL      vmimage.digest=SHA256 of medium.json
//! vmimage.ram  vmimage.lazy             vmimage.install=URL|PATH     vmimage.install.KEY=VALUE
//! ```

use crate::init::words::{MODE, Words as Kernels};

/// The folder of a medium, on a disc.
pub(crate) const FOLDER: &str = "vmimage";
/// What the single keys of the installer begin with.
const KEY: &str = "vmimage.install.";

/// What the machine is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// To run the system of the medium: what is written goes into memory.
    Live,
    /// To write that system on a disk.
    Install,
    /// To get at a system that is installed.
    Rescue,
}

/// Where the medium is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A disc or a USB stick: the block device whose tree has the file `/vmimage/ID`.
    Disc(String),
    /// A folder on a web server.
    Folder(String),
    /// A folder of the initramfs, as in a program for UEFI that has all in it.
    Initramfs,
}

/// The words of a medium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) mode: Mode,
    pub(crate) place: Place,
    /// SHA-256 of `medium.json`, in hexadecimal digits.
    pub(crate) digest: Option<String>,
    /// Whether the root is copied into memory first.
    pub(crate) is_in_memory: bool,
    /// Whether the root is read from the web server as it is needed.
    pub(crate) is_lazy: bool,
    /// Where more of the installer's configuration is: a URL, or a path on the medium.
    pub(crate) install: Option<String>,
    /// Single keys of that configuration, in the order of the command line.
    pub(crate) install_keys: Vec<(String, String)>,
    /// The init of the live system, in the place of what the medium says.
    pub(crate) init: Option<String>,
}

impl Words {
    /// # Errors
    /// Words that are missing or make no sense, with what they should be.
    pub(crate) fn parse(words: &Kernels) -> Result<Self, String> {
        let is_set = |name: &str| words.all().any(|word| word == name);
        let keys = words.all().filter_map(|word| word.strip_prefix(KEY)?.split_once('='));
        let found = Self {
            mode: mode(words.value(MODE))?,
            place: place(words.value("vmimage.medium"))?,
            digest: words.value("vmimage.digest").map(digest).transpose()?,
            is_in_memory: is_set("vmimage.ram"),
            is_lazy: is_set("vmimage.lazy"),
            install: words.value("vmimage.install").map(str::to_owned),
            install_keys: keys.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            init: words.value("init").map(str::to_owned),
        };
        found.check().map(|()| found)
    }

    /// What excludes each other.
    fn check(&self) -> Result<(), String> {
        match (&self.place, self.is_lazy, self.is_in_memory) {
            (_, true, true) => Err("vmimage.ram and vmimage.lazy exclude each other".to_owned()),
            (Place::Disc(_), true, _) => {
                Err("vmimage.lazy is for a medium on a web server: a disc is read as it is needed anyway"
                    .to_owned())
            }
            (Place::Initramfs, true, _) | (Place::Initramfs, _, true) => {
                Err("vmimage.medium=initramfs: the medium is in memory already, and neither vmimage.lazy nor vmimage.ram changes that"
                    .to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Whether the installer needs the network for what the command line tells it.
    pub(crate) fn installs_from_afar(&self) -> bool {
        let is_url = |text: &str| text.starts_with("http://") || text.starts_with("https://");
        self.install.as_deref().is_some_and(is_url)
            || self.install_keys.iter().any(|(key, _)| key == "source")
    }
}

fn mode(word: Option<&str>) -> Result<Mode, String> {
    match word {
        Some("live") => Ok(Mode::Live),
        Some("install") => Ok(Mode::Install),
        Some("rescue") => Ok(Mode::Rescue),
        // What runs in a live system has to know by this word that it is one.
        other => {
            let word = other.unwrap_or_default();
            Err(format!("vmimage.mode={word}: is none of live, install and rescue"))
        }
    }
}

fn place(word: Option<&str>) -> Result<Place, String> {
    let word = word.unwrap_or_default();
    if word.starts_with("http://") || word.starts_with("https://") {
        return Ok(Place::Folder(word.to_owned()));
    }
    if word == "initramfs" {
        return Ok(Place::Initramfs);
    }
    // It becomes the name of a file.
    let is_id = word.len() == 36 && word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    match is_id {
        true => Ok(Place::Disc(word.to_ascii_lowercase())),
        false => Err(format!(
            "vmimage.medium={word}: is neither the UUID of a medium nor the http:// or https:// address of its folder"
        )),
    }
}

fn digest(word: &str) -> Result<String, String> {
    match word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(word.to_ascii_lowercase()),
        false => Err(format!("vmimage.digest={word}: a SHA-256 has 64 hexadecimal digits")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "5b1c0a4e-9d2f-4e3b-8a76-0123456789ab";

    fn parse(line: &str) -> Result<Words, String> {
        Words::parse(&Kernels::parse(line))
    }

    #[test]
    fn a_medium_is_a_disc_or_a_folder() {
        let words =
            parse(&format!("quiet vmimage.mode=live vmimage.medium={} vmimage.ram", ID.to_uppercase()))
                .unwrap();
        assert_eq!((words.mode, words.place), (Mode::Live, Place::Disc(ID.to_owned())));
        assert!(words.is_in_memory && !words.is_lazy && words.digest.is_none());
        assert_eq!(parse("vmimage.mode=live vmimage.medium=initramfs").unwrap().place, Place::Initramfs);
        assert!(parse("vmimage.mode=live vmimage.medium=initramfs vmimage.lazy").is_err());
        let sum = "Ab".repeat(32);
        let line =
            format!("vmimage.mode=install vmimage.medium=http://a/b/ vmimage.digest={sum} vmimage.lazy");
        let words = parse(&line).unwrap();
        assert_eq!((words.mode, words.place), (Mode::Install, Place::Folder("http://a/b/".to_owned())));
        assert_eq!((words.digest, words.is_lazy), (Some(sum.to_lowercase()), true));
    }

    #[test]
    fn the_installer_gets_its_words_in_their_order() {
        let line = format!(
            "vmimage.mode=install vmimage.medium={ID} vmimage.install=install.toml vmimage.install.disk=smallest \
             vmimage.install.hostname=\"my web\" vmimage.install.disk=/dev/sda vmimage.install.odd"
        );
        let words = parse(&line).unwrap();
        assert_eq!(words.install.as_deref(), Some("install.toml"));
        let keys: Vec<_> = words.install_keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(keys, ["disk=smallest", "hostname=my web", "disk=/dev/sda"]);
        assert!(!words.installs_from_afar());
        let medium = format!("vmimage.mode=install vmimage.medium={ID}");
        for more in ["vmimage.install=https://a/install.toml", "vmimage.install.source=registry.example/web"]
        {
            assert!(parse(&format!("{medium} {more}")).unwrap().installs_from_afar(), "{more}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for line in [
            "",
            "vmimage.mode=live",
            "vmimage.mode=live vmimage.medium=ftp://a/",
            "vmimage.mode=live vmimage.medium=../../etc/passwd",
            &format!("vmimage.mode=live vmimage.medium={ID}0"),
            &format!("vmimage.medium={ID} vmimage.mode=lively"),
            &format!("vmimage.medium={ID}"),
            &format!("vmimage.mode=live vmimage.medium={ID} vmimage.lazy"),
            "vmimage.mode=live vmimage.medium=http://a/ vmimage.lazy vmimage.ram",
            &format!("vmimage.mode=live vmimage.medium={ID} vmimage.digest=abc"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.starts_with("vmimage."), "{error}");
        }
    }
}
