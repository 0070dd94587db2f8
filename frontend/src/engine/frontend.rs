//! The frontend image: which it is, and whether the `# syntax=` line of a Dockerfile names it already.
//!
//! <https://docs.docker.com/reference/dockerfile/#parser-directives>

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::base::reference::Reference;

/// Directives come first, so the beginning of the file will do.
const HEAD: u64 = 64 << 10;

/// The image whose program makes the disk inside the build: `$VMIMAGE_FRONTEND`, say a team's own copy of it,
/// else the published one.
pub(crate) fn image() -> String {
    let asked = std::env::var("VMIMAGE_FRONTEND").ok().filter(|image| !image.is_empty());
    asked.unwrap_or_else(|| "example/vmimage".to_owned())
}

/// True if `dockerfile` is a local file whose syntax line names the repository of `frontend`.
pub(crate) fn is_named_by(dockerfile: &Path, frontend: &str) -> bool {
    // A pipe is read once, and by docker.
    if !dockerfile.is_file() {
        return false;
    }
    let mut head = Vec::new();
    let read = File::open(dockerfile).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    // What cannot be read here (a URL, stdin, a missing file) is docker's to read or to complain about.
    read.is_ok() && is_named_in(&String::from_utf8_lossy(&head), frontend)
}

/// True if the syntax line in `dockerfile`'s text names the repository of `frontend`.
pub(crate) fn is_named_in(dockerfile: &str, frontend: &str) -> bool {
    let Some(image) = directive(dockerfile) else { return false };
    match (image.parse::<Reference>(), frontend.parse::<Reference>()) {
        (Ok(image), Ok(frontend)) => image.is_of_repository(&frontend),
        _ => image == frontend,
    }
}

/// The image that the syntax directive names.
fn directive(dockerfile: &str) -> Option<&str> {
    let text = dockerfile.strip_prefix('\u{feff}').unwrap_or(dockerfile);
    for (index, line) in text.lines().enumerate() {
        if index == 0 && line.starts_with("#!") {
            continue;
        }
        // The first line that is no `# key=value` ends the directives.
        let (key, value) = line.trim_start().strip_prefix('#')?.split_once('=')?;
        if key.trim().eq_ignore_ascii_case("syntax") {
            return value.split_whitespace().next();
        }
        if key.trim().is_empty() || !key.trim().bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn the_directive_is_found_where_buildkit_finds_it() {
        for (text, image) in [
            ("# syntax=example/vmimage\nFROM debian", Some("example/vmimage")),
            ("#SYNTAX = example/vmimage:1 hostname=web\n", Some("example/vmimage:1")),
            ("#!/usr/bin/env docker\n# escape=`\n# syntax=a/b\n", Some("a/b")),
            ("\u{feff}# syntax=a/b\r\nFROM x", Some("a/b")),
            ("# a comment\n# syntax=a/b\n", None),
            ("\n# syntax=a/b\n", None),
            ("FROM debian\n# syntax=a/b\n", None),
            ("# syntax=\n", None),
            ("", None),
        ] {
            assert_eq!(directive(text), image, "{text:?}");
        }
    }

    #[test]
    fn tags_digests_and_the_default_registry_do_not_matter() {
        let digest = format!("a/b@sha256:{:064}", 0);
        let tagged = format!("a/b:1@sha256:{:064}", 0);
        let is_named = |image: &str, frontend| is_named_in(&format!("# syntax={image}\n"), frontend);
        for image in ["a/b", "a/b:1", "docker.io/a/b:1", "index.docker.io/a/b", &digest, &tagged] {
            assert!(is_named(image, "a/b") && !is_named(image, "localhost:5000/a/b"), "{image}");
        }
        assert!(is_named("localhost:5000/a/b:1", "localhost:5000/a/b"));
        // What is no name is docker's to complain about.
        assert!(!is_named("A/b", "a/b") && !is_named("a/b", "A/b"));
    }

    #[test]
    fn unreadable_dockerfiles_name_nothing() {
        assert!(!is_named_by(Path::new("/nonexistent/Dockerfile"), "a/b"));
        assert!(!is_named_by(Path::new("-"), "a/b"));
    }

    #[test]
    fn what_a_pipe_holds_is_left_to_docker() {
        let (pipe, mut writer) = std::io::pipe().unwrap();
        std::io::Write::write_all(&mut writer, b"# syntax=a/b\n").unwrap();
        drop(writer);
        assert!(!is_named_by(&Path::new("/proc/self/fd").join(pipe.as_raw_fd().to_string()), "a/b"));
        assert_eq!(std::io::read_to_string(pipe).unwrap(), "# syntax=a/b\n");
    }
}
