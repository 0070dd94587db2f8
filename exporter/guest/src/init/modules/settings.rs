//! What the machine's files and the kernel's command line say of modules: parameters, and those that no device gets
//! (modprobe.d(5), and of its commands `options` and `blacklist`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::index::normal;
use crate::init::words::Words;

/// Where files say so. Of two with one name the first folder's counts.
const FOLDERS: [&str; 4] = ["/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d"];
/// The word of the command line; that of a parameter is `MODULE.PARAMETER=VALUE`.
const BLOCKED: &str = "modprobe.blacklist";

/// By the names of modules.
#[derive(Debug, Default)]
pub(super) struct Settings {
    parameters: HashMap<String, Vec<String>>,
    blocked: HashSet<String>,
}

impl Settings {
    pub(super) fn read() -> Self {
        let mut settings = Self::default();
        for file in files(&FOLDERS.map(Path::new)) {
            settings.add_file(&fs::read_to_string(file).unwrap_or_default());
        }
        settings.add_words(&Words::read());
        settings
    }

    /// Whether no device gets this module; by its name it is loaded all the same.
    pub(super) fn is_blocked(&self, name: &str) -> bool {
        self.blocked.contains(name)
    }

    /// What the kernel is told with a module.
    pub(super) fn parameters(&self, name: &str) -> String {
        self.parameters.get(name).map(|words| words.join(" ")).unwrap_or_default()
    }

    fn add_file(&mut self, text: &str) {
        for line in text.replace("\\\n", " ").lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("options"), Some(name)) => self.add(name, words.map(str::to_owned)),
                (Some("blacklist"), Some(name)) => drop(self.blocked.insert(normal(name))),
                _ => {}
            }
        }
    }

    fn add_words(&mut self, words: &Words) {
        let blocked = words.value(BLOCKED).unwrap_or_default();
        self.blocked.extend(blocked.split(',').map(normal));
        for word in words.all() {
            let (name, value) = word.split_once('=').map_or((word, ""), |(name, value)| (name, value));
            let Some((module, parameter)) = name.split_once('.').filter(|_| name != BLOCKED) else {
                continue;
            };
            // As the kernel takes it: blanks in quotes.
            let value = if value.contains(' ') { format!("\"{value}\"") } else { value.to_owned() };
            let assigned =
                if word.contains('=') { format!("{parameter}={value}") } else { parameter.to_owned() };
            self.add(module, std::iter::once(assigned));
        }
    }

    fn add(&mut self, name: &str, words: impl Iterator<Item = String>) {
        self.parameters.entry(normal(name)).or_default().extend(words);
    }
}

/// The files of the folders, in the order of their names.
fn files(folders: &[&Path]) -> Vec<PathBuf> {
    let mut by_name = BTreeMap::new();
    for folder in folders {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in
            entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "conf"))
        {
            by_name.entry(entry.file_name()).or_insert_with(|| entry.path());
        }
    }
    by_name.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_words_say_what_modules_get() {
        let mut settings = Settings::default();
        settings.add_file(
            "# options a=1\noptions snd-hda x=1 \\\n y=2\n blacklist pc-spkr\nalias a b\noptions\nblacklist\noptions z",
        );
        settings.add_words(&Words::parse(
            "quiet loop.max_part=8 snd_hda.z=\"a b\" root=/dev/a.b kvm.on modprobe.blacklist=floppy,e-1000",
        ));
        assert_eq!(settings.parameters("snd_hda"), "x=1 y=2 z=\"a b\"");
        assert_eq!((&*settings.parameters("loop"), &*settings.parameters("kvm")), ("max_part=8", "on"));
        assert_eq!((&*settings.parameters("root"), &*settings.parameters("a")), ("", ""));
        for name in ["pc_spkr", "floppy", "e_1000"] {
            assert!(settings.is_blocked(name), "{name}");
        }
        assert!(!settings.is_blocked("snd_hda"));
    }

    #[test]
    fn a_file_hides_those_of_its_name_in_later_folders() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (folder, name) in
            [(&first, "b.conf"), (&second, "b.conf"), (&second, "a.conf"), (&second, "c.txt")]
        {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let found = files(&[first.path(), second.path(), Path::new("/nonexistent")]);
        assert_eq!(found, [second.path().join("a.conf"), first.path().join("b.conf")]);
    }
}
