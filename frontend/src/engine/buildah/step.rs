//! The steps this program adds, as folders that an engine builds: a Containerfile and a script.
//!
//! ```text
//! FROM debian:12's id                                FROM debian:12's id
//! USER 0:0                                           USER 0:0
//! RUN --mount=… ["/bin/sh", …, "linux-image-…"]      RUN --mount=… ["/bin/sh", …, "/vmimage-boot", "amd64"]
//! USER the base's own                                FROM scratch
//!                                                    COPY --from=0 /vmimage-boot /
//! ```

use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::ask::Hook;
use crate::ask::Install;
use crate::ask::request::PACKAGES_CONTEXT;
use crate::base::{Error, Result};
use crate::provision::{BOOT_OUT, CACHE, PACKAGES, PATH, Step};

/// Where a step sees the folder with its script.
const FOLDER: &str = "/run/vmimage/step";

/// The name of the file in the folder that is built.
pub(super) const CONTAINERFILE: &str = "Containerfile";

/// Where a step's packages come from, as far as the image does not say it.
pub(super) struct Origin<'a> {
    install: &'a Install,
    /// A line of the script that is another one for every other state of the folder: a cached layer is known by
    /// its line, not by what was mounted.
    state: String,
}

impl<'a> Origin<'a> {
    /// With the folder of packages as it is now.
    pub(super) fn new(install: &'a Install, packages: Option<&Path>) -> Result<Self> {
        let mut state = String::new();
        if let Some(folder) = packages {
            let mut digest = Sha256::new();
            list(folder, &mut digest).map_err(|error| {
                Error::user(format!("{}: cannot be read", folder.display())).because(error)
            })?;
            let _ = writeln!(state, "# packages {:x}", digest.finalize());
        }
        Ok(Self { install, state })
    }

    /// Lines for the head of the script.
    fn lines(&self) -> String {
        let variables = self.install.environment().map(|(name, value)| format!("export {name}='{value}'\n"));
        variables.chain([self.state.clone()]).collect()
    }
}

/// Names, sizes and times of all files below a folder, in the order of their names.
fn list(folder: &Path, digest: &mut Sha256) -> std::io::Result<()> {
    let mut entries = std::fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let metadata = std::fs::metadata(entry.path())?;
        let line = (metadata.len(), metadata.mtime(), metadata.mtime_nsec(), metadata.is_dir());
        digest.update(format!("{:?} {line:?}\n", entry.path()));
        if metadata.is_dir() {
            list(&entry.path(), digest)?;
        }
    }
    Ok(())
}

/// The option of a build that has the folder of packages.
pub(super) fn packages_option(folder: &Path) -> String {
    format!("--build-context={PACKAGES_CONTEXT}={}", folder.display())
}

/// Nothing but the image `name`: it is pulled if it has to be, and has an id then.
pub(super) fn base(folder: &Path, name: &str) -> Result<()> {
    write(folder, CONTAINERFILE, &format!("FROM {name}\n"))
}

/// The machine step on the image `base`, whose own user is `user`: the image stays what it was, and has a
/// kernel.
pub(super) fn machine(folder: &Path, base: &str, user: &str, step: &Step, origin: &Origin<'_>) -> Result<()> {
    let run = run(folder, step, origin)?;
    // The user's own steps run as the base's user again.
    let back = if user.is_empty() { String::new() } else { format!("USER {user}\n") };
    write(folder, CONTAINERFILE, &format!("FROM {base}\nUSER 0:0\n{run}{back}"))
}

/// The boot step on the image `base`: an image with nothing but the boot loader's files.
pub(super) fn boot(folder: &Path, base: &str, step: &Step, origin: &Origin<'_>) -> Result<()> {
    let run = run(folder, step, origin)?;
    let text = format!("FROM {base}\nUSER 0:0\n{run}FROM scratch\nCOPY --from=0 {BOOT_OUT} /\n");
    write(folder, CONTAINERFILE, &text)
}

/// A hook on the image `base`.
pub(super) fn hook(folder: &Path, base: &str, hook: &Hook) -> Result<()> {
    let words = serde_json::to_string(&hook.words()).expect("words have no keys that are no text");
    write(folder, CONTAINERFILE, &format!("FROM {base}\nUSER 0:0\nWORKDIR /\nRUN {words}\n"))
}

/// The line that runs a step; its script goes into the folder.
///
/// The script is called by its digest, for the line is what tells a cached layer from another one.
fn run(folder: &Path, step: &Step, origin: &Origin<'_>) -> Result<String> {
    let script = format!("cd /\nexport PATH={PATH} CACHE={CACHE}\n{}{}", origin.lines(), step.script);
    let digest = Sha256::digest(&script);
    let name: String = digest[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    write(folder, &name, &script)?;
    let script = format!("{FOLDER}/{name}");
    let words: Vec<&str> =
        ["/bin/sh", &script].into_iter().chain(step.args.iter().map(String::as_str)).collect();
    let words = serde_json::to_string(&words).expect("words have no keys that are no text");
    let cache = &step.cache;
    let packages = match origin.install.packages {
        Some(_) => format!("--mount=type=bind,from={PACKAGES_CONTEXT},target={PACKAGES} "),
        None => String::new(),
    };
    Ok(format!(
        "RUN --mount=type=bind,target={FOLDER} \
         {packages}--mount=type=cache,id={cache},target={CACHE} {words}\n"
    ))
}

/// Writes a file of a build.
pub(super) fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    std::fs::write(&path, text)
        .map_err(|error| Error::user(format!("{}: cannot be written", path.display())).because(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::Folder;

    fn step() -> Step {
        Step {
            title: "title".into(),
            script: "set -eu\necho \"$@\"\n".into(),
            args: vec!["linux-image-cloud-amd64".into(), "?a b".into()],
            cache: "vmimage-apt-debian-12-amd64".into(),
        }
    }

    fn plain() -> Origin<'static> {
        static NOTHING: std::sync::LazyLock<Install> = std::sync::LazyLock::new(Install::default);
        Origin { install: &NOTHING, state: String::new() }
    }

    fn containerfile(folder: &Path) -> String {
        std::fs::read_to_string(folder.join(CONTAINERFILE)).unwrap()
    }

    #[test]
    fn the_base_keeps_its_user() {
        let folder = tempfile::tempdir().unwrap();
        machine(folder.path(), "sha256:00", "app:app", &step(), &plain()).unwrap();
        let text = containerfile(folder.path());
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((lines[0], lines[1], lines[3]), ("FROM sha256:00", "USER 0:0", "USER app:app"));
        let script = lines[2].split('"').nth(3).unwrap().strip_prefix("/run/vmimage/step/").unwrap();
        let json = format!(r#"["/bin/sh","/run/vmimage/step/{script}","linux-image-cloud-amd64","?a b"]"#);
        assert!(lines[2].starts_with("RUN --mount=type=bind,"), "{text}");
        assert!(lines[2].ends_with(&json), "{text}");
        let script = std::fs::read_to_string(folder.path().join(script)).unwrap();
        assert!(script.ends_with(&step().script) && script.contains("export PATH="), "{script}");

        machine(folder.path(), "sha256:00", "", &step(), &plain()).unwrap();
        assert_eq!(containerfile(folder.path()).lines().count(), 3);
    }

    #[test]
    fn a_hook_is_run_by_root_on_the_finished_image() {
        let folder = tempfile::tempdir().unwrap();
        let script = "echo \"it's\"\n".to_owned();
        let of_user = Hook { title: "title".into(), script, network: false };
        hook(folder.path(), "sha256:00", &of_user).unwrap();
        let text = containerfile(folder.path());
        assert!(text.starts_with("FROM sha256:00\nUSER 0:0\nWORKDIR /\nRUN [\"/bin/sh\",\"-c\","), "{text}");
        assert!(text.ends_with("\"sh\",\"echo \\\"it's\\\"\\n\",\"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"]\n"), "{text}");
    }

    #[test]
    fn another_script_is_another_line() {
        let folder = tempfile::tempdir().unwrap();
        boot(folder.path(), "b", &step(), &plain()).unwrap();
        let one = containerfile(folder.path());
        assert!(one.ends_with("\nFROM scratch\nCOPY --from=0 /vmimage-boot /\n"), "{one}");
        boot(folder.path(), "b", &Step { script: "true\n".into(), ..step() }, &plain()).unwrap();
        assert_ne!(containerfile(folder.path()), one);
    }

    #[test]
    fn other_packages_are_another_line() {
        let [folder, packages] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let install =
            Install { packages: Some(Folder::Client), mirror: Some("http://a".into()), ..Install::default() };
        let line = || {
            let origin = Origin::new(&install, Some(packages.path())).unwrap();
            machine(folder.path(), "b", "", &step(), &origin).unwrap();
            containerfile(folder.path())
        };
        std::fs::write(packages.path().join("a.deb"), "a").unwrap();
        let one = line();
        assert!(
            one.contains(" --mount=type=bind,from=vmimage-packages,target=/run/vmimage/packages "),
            "{one}"
        );
        assert_eq!(line(), one);
        std::fs::write(packages.path().join("b.deb"), "").unwrap();
        assert_ne!(line(), one);
        let script = one.split('"').nth(3).unwrap().strip_prefix("/run/vmimage/step/").unwrap();
        let script = std::fs::read_to_string(folder.path().join(script)).unwrap();
        assert!(
            script.contains("export MIRROR='http://a'\nexport PACKAGES='/run/vmimage/packages'\n"),
            "{script}"
        );
        assert!(Origin::new(&install, Some(Path::new("/nonexistent"))).is_err());
    }
}
