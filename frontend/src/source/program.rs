//! Images that another program has: it writes an archive, and the archive is read from its stdout.
//!
//! - `docker-daemon:NAME` is `docker save NAME`. The engine's socket would give the same archive, but it is
//!   the docker command that knows contexts, `DOCKER_HOST`, TLS and ssh.
//! - `containers-storage:NAME` is `podman save`, or what buildah or skopeo write to their `docker-archive:`: the first
//!   of them that can, since one that is there need not be able to run.
//!   All of them put the layers' tars together as they once came, owners, setuid bits, capabilities and
//!   extended attributes included, and re-enter the user namespace of a rootless store by themselves. That nothing
//!   was lost is not believed but checked: each tar must have the `diff_id` that the image's configuration gives.
//!   skopeo's image proxy would give the same tars one by one, from one program of the three, in a protocol of
//!   its own; `oci:` as a destination would compress them for nothing, and leave a folder if it is killed.

use std::io::{self, Read, Seek, SeekFrom};
use std::process::{Child, Command, Stdio};

use exporter::input::{self, Loaded};

use crate::base::programs::{self, Package};
use crate::base::reference::Reference;
use crate::base::{Error, Result};
use crate::engine::buildah::Tool;
use crate::engine::buildx;

/// What podman and the like say at the end where they could not enter a user namespace, after the reason.
const NO_REASON: &str = "(Unable to determine exit status)";
/// The program that reads what no engine needs to be there for.
const SKOPEO: &str = "skopeo";
/// What is kept of a program's complaints, from the end.
const COMPLAINTS_MAX: u64 = 4096;

/// Read an image of the docker engine: a name, or an id.
pub(super) fn docker(image: &str, options: &input::Options<'_>) -> Result<Loaded> {
    let shown = format!("docker-daemon:{image}");
    let name = full_name(image).map_err(|reason| Error::user(format!("{shown}: {reason}")))?;
    let mut command = Command::new("docker");
    command.args(["save", "--", &name]);
    read(command, &shown, options, Package::Docker).map_err(|error| match error {
        // Asking first would delay every conversion.
        Broken::Failed(why) => {
            buildx::daemon_version().err().unwrap_or_else(|| Error::user(format!("{shown}: {why}")))
        }
        Broken::Other(error) => error,
    })
}

/// Read an image of the store that podman, buildah and skopeo share, by `first` if it can.
pub(super) fn containers_storage(
    image: &str,
    first: Option<Tool>,
    options: &input::Options<'_>,
) -> Result<Loaded> {
    let shown = format!("containers-storage:{image}");
    let mut failed = Vec::new();
    for program in storage_readers(image, first).filter(|program| programs::find(program).is_some()) {
        match read(storage_reader(program, image), &shown, options, Package::Skopeo) {
            Ok(loaded) => return Ok(loaded),
            Err(Broken::Failed(why)) => failed.push(why),
            Err(Broken::Other(error)) => return Err(error),
        }
    }
    Err(match failed.is_empty() {
        false => Error::user(format!("{shown}: {}", failed.join("; "))),
        true => Error::user(format!("{shown}: needs podman, skopeo or buildah, and none is installed"))
            .with_hint(Package::Skopeo.hint()),
    })
}

/// Whether the store has an image of this name.
pub(super) fn storage_has(image: &str) -> bool {
    let has = |program: &str| {
        let mut command = Command::new(program);
        command.args(["inspect", "--type", "image", "--", image]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    Tool::ALL.iter().any(|tool| programs::find(tool.name()).is_some() && has(tool.name()))
}

/// The programs that read an image of the store, the first first.
fn storage_readers(image: &str, first: Option<Tool>) -> impl Iterator<Item = &'static str> {
    // A store that the name itself tells (`[overlay@/var/lib/...]NAME`), only skopeo takes.
    let tools = if image.starts_with(['[', '@']) { &[][..] } else { &Tool::ALL };
    let others = tools.iter().filter(move |tool| Some(**tool) != first);
    let first = tools.iter().filter(move |tool| Some(**tool) == first);
    first.chain(others).map(|tool| tool.name()).chain([SKOPEO])
}

/// The command by which it writes that image to stdout. podman and buildah know short names (`app` is
/// `localhost/app`).
fn storage_reader(program: &str, image: &str) -> Command {
    let mut command = Command::new(program);
    let source = format!("containers-storage:{image}");
    match program {
        SKOPEO => command.args(["copy", "--quiet", "--", &source, "docker-archive:/dev/stdout"]),
        "podman" => command.args(["save", "--quiet", "--format", "docker-archive", "--", image]),
        _ => command.args(["push", "--quiet", "--", image, "docker-archive:/dev/stdout"]),
    };
    command
}

/// A name that stands for one image: docker saves all tags of a name without one. Ids stand as they are.
fn full_name(image: &str) -> Result<String, String> {
    let is_id = |text: &str| text.len() >= 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id(image.strip_prefix("sha256:").unwrap_or(image)) {
        return Ok(image.to_owned());
    }
    let reference: Reference = image.parse()?;
    Ok(match (&reference.tag, &reference.digest) {
        (Some(tag), None) if !image.ends_with(&format!(":{tag}")) => format!("{image}:{tag}"),
        _ => image.to_owned(),
    })
}

/// Why a program's image could not be read.
enum Broken {
    /// The program itself says that it failed, and why.
    Failed(String),
    Other(Error),
}

fn read(
    mut command: Command,
    shown: &str,
    options: &input::Options<'_>,
    package: Package,
) -> Result<Loaded, Broken> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |what: &str, error: io::Error| {
        let error = match error.kind() {
            io::ErrorKind::NotFound => {
                Error::user(format!("{program}: is not installed")).with_hint(package.hint())
            }
            _ => Error::user(format!("{program}: {what}")).because(error),
        };
        Broken::Other(error)
    };
    // A file instead of a pipe: nobody has to read it while the program runs.
    let mut complaints = tempfile::tempfile_in(options.spool)
        .map_err(|error| failed("there is no room for what it says", error))?;
    let stderr = complaints.try_clone().map_err(|error| failed("cannot be started", error))?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
    let mut child = Running(command.spawn().map_err(|error| failed("cannot be started", error))?);
    let stdout = child.0.stdout.take().expect("stdout was asked to be a pipe");
    let mut stream = Followed { reader: stdout, has_ended: false };
    let loaded = input::read_stream(&mut stream, shown, options);
    let has_ended = stream.has_ended;
    drop(stream);
    // A stream that was left before its end is no failure of the program's.
    if has_ended {
        let status = child.0.wait().map_err(|error| failed("cannot be waited for", error))?;
        if !status.success() {
            let reason = last_line(&mut complaints).unwrap_or_else(|| status.to_string());
            return Err(Broken::Failed(format!("{program} cannot read it: {reason}")));
        }
    }
    loaded.map_err(|error| Broken::Other(error.into()))
}

/// A program that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if it has ended, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A stream that knows whether it was read to its own end.
struct Followed<R> {
    reader: R,
    has_ended: bool,
}

impl<R: Read> Read for Followed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.reader.read(buffer)?;
        self.has_ended |= len == 0 && !buffer.is_empty();
        Ok(len)
    }
}

/// The last thing that a program has said.
fn last_line(complaints: &mut (impl Read + Seek)) -> Option<String> {
    let len = complaints.seek(SeekFrom::End(0)).ok()?;
    complaints.seek(SeekFrom::Start(len.saturating_sub(COMPLAINTS_MAX))).ok()?;
    let mut text = Vec::new();
    complaints.take(COMPLAINTS_MAX).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    let says_something = |line: &&str| !line.is_empty() && !line.contains(NO_REASON);
    let line = text.lines().map(str::trim).rfind(says_something)?;
    let line = match line.split_once(" msg=\"") {
        Some((_, message)) => message.trim_end_matches('"').replace("\\\"", "\""),
        None => line.trim_start_matches("Error: ").to_owned(),
    };
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_for_docker_is_one_image() {
        for (image, name) in [
            ("app", "app:latest"),
            ("host:5000/app", "host:5000/app:latest"),
            ("app:v1", "app:v1"),
            ("app:latest", "app:latest"),
            ("1a2b3c4d5e6f", "1a2b3c4d5e6f"),
            ("sha256:1a2b3c4d5e6f", "sha256:1a2b3c4d5e6f"),
        ] {
            assert_eq!(full_name(image), Ok(name.to_owned()));
        }
        assert!(full_name("App").is_err() && full_name("-v").is_err());
    }

    #[test]
    fn the_engine_that_was_named_reads_first() {
        let order = |image: &str, first| storage_readers(image, first).collect::<Vec<_>>().join(" ");
        assert_eq!(order("app", None), "podman buildah skopeo");
        assert_eq!(order("app", Some(Tool::Podman)), "podman buildah skopeo");
        assert_eq!(order("app", Some(Tool::Buildah)), "buildah podman skopeo");
        assert_eq!(order("[overlay@/a]app", Some(Tool::Buildah)), "skopeo");
    }

    #[test]
    fn the_last_thing_said_is_the_reason() {
        let said = |text: &str| last_line(&mut io::Cursor::new(text.as_bytes()));
        assert_eq!(said("one\nError: two\r\n\n"), Some("two".into()));
        assert_eq!(said(&format!("{}\n\x1b[1mred", "x".repeat(9999))), Some("\u{1b}[1mred".into()));
        let logged = "time=\"now\" level=error msg=\"finding newuidmap: exec: \\\"newuidmap\\\": not found\"\n\
            time=\"now\" level=error msg=\"(Unable to determine exit status)\"\n";
        assert_eq!(said(logged), Some("finding newuidmap: exec: \"newuidmap\": not found".into()));
        assert_eq!(said(" \n"), None);
    }
}
