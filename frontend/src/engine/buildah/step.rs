//! The steps this program adds, as folders that an engine builds: a Containerfile and a script.
//!
//! ```text
//! FROM debian:12's id                                FROM debian:12's id
//! USER 0:0                                           USER 0:0
//! RUN --mount=… ["/bin/sh", …, "linux-image-…"]      RUN --mount=… ["/bin/sh", …, "/vmimage-boot", "amd64"]
//! USER the base's own                                FROM scratch
//!                                                    COPY --from=0 /vmimage-boot /
//! ```

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::cli::{Error, Result};
use crate::provision::{BOOT_OUT, CACHE, PATH, Step};

/// Where a step sees the folder with its script. What is left of it in the image is an empty directory,
/// below one that a machine empties.
const FOLDER: &str = "/run/vmimage";

/// The name of the file in the folder that is built.
pub(super) const CONTAINERFILE: &str = "Containerfile";

/// Nothing but the image `name`: it is pulled if it has to be, and has an id then.
pub(super) fn base(folder: &Path, name: &str) -> Result<()> {
    write(folder, CONTAINERFILE, &format!("FROM {name}\n"))
}

/// The machine step on the image `base`, whose own user is `user`: the image stays what it was, and has a
/// kernel.
pub(super) fn machine(folder: &Path, base: &str, user: &str, step: &Step) -> Result<()> {
    let run = run(folder, step)?;
    // The user's own steps run as the base's user again.
    let back = if user.is_empty() { String::new() } else { format!("USER {user}\n") };
    write(folder, CONTAINERFILE, &format!("FROM {base}\nUSER 0:0\n{run}{back}"))
}

/// The boot step on the image `base`: an image with nothing but the boot loader's files.
pub(super) fn boot(folder: &Path, base: &str, step: &Step) -> Result<()> {
    let run = run(folder, step)?;
    let text = format!("FROM {base}\nUSER 0:0\n{run}FROM scratch\nCOPY --from=0 {BOOT_OUT} /\n");
    write(folder, CONTAINERFILE, &text)
}

/// The line that runs a step; its script goes into the folder.
///
/// The script is called by its digest, for the line is what tells a cached layer from another one.
fn run(folder: &Path, step: &Step) -> Result<String> {
    let script = format!("cd /\nexport PATH={PATH} CACHE={CACHE}\n{}", step.script);
    let digest = Sha256::digest(&script);
    let name: String = digest[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    write(folder, &name, &script)?;
    let script = format!("{FOLDER}/{name}");
    let words: Vec<&str> =
        ["/bin/sh", &script].into_iter().chain(step.args.iter().map(String::as_str)).collect();
    let words = serde_json::to_string(&words).expect("words have no keys that are no text");
    let cache = &step.cache;
    // One package manager at a time: they lock their folders and fail where they can't wait.
    Ok(format!(
        "RUN --mount=type=bind,target={FOLDER} \
         --mount=type=cache,id={cache},target={CACHE},sharing=locked {words}\n"
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

    fn step() -> Step {
        Step {
            title: "title".into(),
            script: "set -eu\necho \"$@\"\n".into(),
            args: vec!["linux-image-cloud-amd64".into(), "?a b".into()],
            cache: "vmimage-apt-debian-12-amd64".into(),
        }
    }

    fn containerfile(folder: &Path) -> String {
        std::fs::read_to_string(folder.join(CONTAINERFILE)).unwrap()
    }

    #[test]
    fn the_base_keeps_its_user() {
        let folder = tempfile::tempdir().unwrap();
        machine(folder.path(), "sha256:00", "app:app", &step()).unwrap();
        let text = containerfile(folder.path());
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((lines[0], lines[1], lines[3]), ("FROM sha256:00", "USER 0:0", "USER app:app"));
        let script = lines[2].split('"').nth(3).unwrap().strip_prefix("/run/vmimage/").unwrap();
        let json = format!(r#"["/bin/sh","/run/vmimage/{script}","linux-image-cloud-amd64","?a b"]"#);
        assert!(lines[2].starts_with("RUN --mount=type=bind,"), "{text}");
        assert!(lines[2].ends_with(&json), "{text}");
        let script = std::fs::read_to_string(folder.path().join(script)).unwrap();
        assert!(script.ends_with(&step().script) && script.contains("export PATH="), "{script}");

        machine(folder.path(), "sha256:00", "", &step()).unwrap();
        assert_eq!(containerfile(folder.path()).lines().count(), 3);
    }

    #[test]
    fn another_script_is_another_line() {
        let folder = tempfile::tempdir().unwrap();
        boot(folder.path(), "b", &step()).unwrap();
        let one = containerfile(folder.path());
        assert!(one.ends_with("\nFROM scratch\nCOPY --from=0 /vmimage-boot /\n"), "{one}");
        boot(folder.path(), "b", &Step { script: "true\n".into(), ..step() }).unwrap();
        assert_ne!(containerfile(folder.path()), one);
    }
}
