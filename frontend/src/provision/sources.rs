//! What is trusted, and where packages come from: written into the image before any package is fetched.

use super::{Base, Package};
use crate::gateway::Failure;

/// Certificates and repositories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    /// Certificates of authorities, PEM.
    pub(crate) certificates: Vec<TextFile>,
    /// Repositories beside those of the image.
    pub(crate) repositories: Vec<Repository>,
}

/// A text under the name of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TextFile {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A repository in the words of the package manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repository {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) key: Option<TextFile>,
}

/// The package that keeps the trust store, of the same name everywhere.
pub(super) const CA_CERTIFICATES: Package =
    Package { name: "ca-certificates", shown_by: &["/usr/sbin/update-ca-certificates"] };

/// What the functions of the script are: `put PATH TEXT`, `add PATH TEXT`, `trust NAME TEXT`.
const FUNCTIONS: &str = include_str!("sources.sh");
/// The script is one argument of a process, of which Linux takes 128 KiB.
const MAX_SCRIPT: usize = 96 << 10;

/// How a package manager is told of repositories.
pub(super) struct Manager {
    /// The file of a repository, by its name and what it says; [`None`]: its lines go to the end of `main`.
    pub(super) file: fn(&Repository) -> Option<String>,
    pub(super) main: &'static str,
    /// The folder of keys.
    pub(super) keys: &'static str,
}

impl Sources {
    /// The beginning of a step's script that writes all this; empty if there is nothing.
    pub(super) fn script(&self, base: &Base, manager: &Manager) -> Result<String, Failure> {
        if *self == Self::default() {
            return Ok(String::new());
        }
        let mut script = FUNCTIONS.to_owned();
        let mut call = |words: [&str; 3]| script += &format!("{}\n", words.map(quoted).join(" "));
        for TextFile { name, text } in &self.certificates {
            if !text.contains("-----BEGIN CERTIFICATE-----") {
                return Err(Failure::new(format!("certificates: {name} holds no certificate in PEM")));
            }
            call(["trust", name, text]);
        }
        for repository in &self.repositories {
            if let Some(TextFile { name, text }) = &repository.key {
                call(["put", &format!("{}/{name}", manager.keys), text]);
            }
            match (manager.file)(repository) {
                Some(path) => call(["put", &path, &repository.source]),
                None => call(["add", manager.main, &repository.source]),
            }
        }
        if script.len() > MAX_SCRIPT {
            let message = format!(
                "{}: certificates and repositories come to {} bytes, at most {MAX_SCRIPT} are allowed",
                base.name,
                script.len()
            );
            return Err(Failure::new(message)
                .with_hint("add them in the Dockerfile, or leave out what the image trusts already"));
        }
        Ok(script)
    }
}

/// A word as a shell takes it literally.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shell is asked, not this program.
    #[test]
    fn a_shell_reads_quoted_words_as_they_are() {
        for word in ["", "a b", "it's", "$(reboot)\n`x` \\ \"", "''"] {
            let output = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", quoted(word))])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
    }
}
