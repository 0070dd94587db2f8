//! What is trusted, and where packages come from: written into the image before any package is fetched.

use super::Probed;
use super::manager::Manager;
use crate::ask::{Repository, Sources, TextFile};
use crate::base::{Error, Result};

/// What the functions of the script are: `put PATH TEXT`, `add PATH TEXT`, `trust NAME TEXT`.
const FUNCTIONS: &str = include_str!("sources.sh");
/// The script is one variable of a process, of which Linux takes 128 KiB.
const MAX_SCRIPT: usize = 96 << 10;

/// Where a package manager looks for repositories.
pub(super) struct Places {
    pub(super) repository: fn(&Repository) -> Place,
    /// The folder of keys.
    pub(super) keys: &'static str,
}

/// Where a repository is written.
pub(super) enum Place {
    /// To a file of its own.
    File(String),
    /// To the end of the file that all are in.
    Line(&'static str),
}

/// The folder of keys of rpm's package managers.
pub(super) const RPM_KEYS: &str = "/etc/pki/rpm-gpg";

impl Sources {
    /// The beginning of a step's script that writes all this; empty if there is nothing.
    pub(super) fn script(&self, base: &Probed, manager: &Manager) -> Result<String> {
        if *self == Self::default() {
            return Ok(String::new());
        }
        let mut script = FUNCTIONS.to_owned();
        let mut call = |words: [&str; 3]| script += &format!("{}\n", words.map(quoted).join(" "));
        for TextFile { name, text } in &self.certificates {
            if !text.contains("-----BEGIN CERTIFICATE-----") {
                return Err(Error::user(format!("certificates: {name} holds no certificate in PEM")));
            }
            call(["trust", name, text]);
        }
        for repository in &self.repositories {
            let Some(places) = &manager.places else {
                return Err(Error::user(format!(
                    "repositories: vmimage cannot tell {} of {}",
                    manager.name, repository.name
                ))
                .with_hint("add it in the Dockerfile"));
            };
            if let Some(TextFile { name, text }) = &repository.key {
                call(["put", &format!("{}/{name}", places.keys), text]);
            }
            match (places.repository)(repository) {
                Place::File(path) => call(["put", &path, &repository.source]),
                Place::Line(path) => call(["add", path, &repository.source]),
            }
        }
        if script.len() > MAX_SCRIPT {
            let message = format!(
                "{}: certificates and repositories come to {} bytes, at most {MAX_SCRIPT} are allowed",
                base.name,
                script.len()
            );
            return Err(Error::user(message)
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
    use crate::provision::{apk, apt};

    fn base() -> Probed {
        let mut tree = exporter::tree::Tree::new(exporter::tree::Meta::default());
        exporter::tree::Editor::new(&mut tree, exporter::tree::Time::default())
            .write_file("/etc/os-release", *b"ID=debian\n", 0o644)
            .unwrap();
        Probed::new("example:1", tree).unwrap()
    }

    fn file(name: &str, text: &str) -> TextFile {
        TextFile { name: name.into(), text: text.into() }
    }

    /// What the script does to a root of which nothing else is there, run as it is run in a build.
    fn written(manager: &Manager) -> Vec<(String, String)> {
        let key = Some(file("company.asc", "key"));
        let repositories =
            vec![Repository { name: "company".into(), source: "line 'one'\nline two".into(), key }];
        let certificates = vec![file("company.pem", "-----BEGIN CERTIFICATE-----")];
        let script = Sources { certificates, repositories }.script(&base(), manager).unwrap();
        let folder = tempfile::tempdir().unwrap();
        // The paths of the script are those of the sandbox's root.
        let inside = script
            .replace("'/etc", &format!("'{}/etc", folder.path().display()))
            .replace(" /etc", &format!(" {}/etc", folder.path().display()));
        let inside = inside
            .replace("\"/usr", &format!("\"{}/usr", folder.path().display()))
            .replace(">>/etc", &format!(">>{}/etc", folder.path().display()));
        std::fs::create_dir_all(folder.path().join("etc/apk")).unwrap();
        for _ in 0..2 {
            let output = std::process::Command::new("sh")
                .args(["-c", &inside])
                .env("PATH", "/usr/bin:/bin")
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let list =
            std::process::Command::new("find").arg(folder.path()).args(["-type", "f"]).output().unwrap();
        let list = String::from_utf8(list.stdout).unwrap();
        let mut files: Vec<_> = list
            .lines()
            .map(|path| {
                let name = path.strip_prefix(&folder.path().display().to_string()).unwrap();
                (name.to_owned(), std::fs::read_to_string(path).unwrap())
            })
            .collect();
        files.sort();
        files
    }

    #[test]
    fn repositories_and_keys_are_where_each_manager_looks() {
        let names = |manager| written(manager).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let certificate = "/usr/local/share/ca-certificates/company.crt";
        assert_eq!(
            names(&apt::MANAGER),
            [
                "/etc/apt/keyrings/company.asc",
                "/etc/apt/sources.list.d/company.list",
                "/etc/ssl/certs/ca-certificates.crt",
                certificate
            ]
        );
        let apk = written(&apk::MANAGER);
        assert_eq!(apk[0], ("/etc/apk/keys/company.asc".into(), "key\n".into()));
        // A second time adds nothing.
        assert_eq!(apk[1], ("/etc/apk/repositories".into(), "line 'one'\nline two\n".into()));
    }

    #[test]
    fn what_is_no_certificate_and_what_is_too_long_is_told() {
        let script = |certificates: Vec<TextFile>| {
            Sources { certificates, ..Sources::default() }.script(&base(), &apt::MANAGER)
        };
        assert!(
            script(vec![file("a.crt", "DER")])
                .unwrap_err()
                .to_string()
                .contains("a.crt holds no certificate in PEM")
        );
        let long = format!("-----BEGIN CERTIFICATE-----{}", "A".repeat(MAX_SCRIPT));
        assert!(
            script(vec![file("a.crt", &long)]).unwrap_err().to_string().contains("at most 98304 are allowed")
        );
        assert_eq!(script(Vec::new()).unwrap(), "");
    }

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
