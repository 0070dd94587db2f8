//! An input that ended a process: why, as small as is quickly had, and kept.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io};

use crate::Target;

/// How long a finding is made smaller.
const PATIENCE: Duration = Duration::from_secs(20);

/// One fault.
#[derive(Debug)]
pub(crate) struct Finding {
    /// What happened, the same for the same fault.
    pub(crate) what: String,
    /// The input.
    pub(crate) file: PathBuf,
    pub(crate) len: usize,
}

impl Finding {
    /// Confirms what an input does, makes it smaller and keeps it in `folder`. `None` if it does nothing alone: the
    /// machine was busy, or inputs before it had a part in it.
    pub(crate) fn keep(
        target: &Target,
        mut input: Vec<u8>,
        allowed: Duration,
        folder: &Path,
    ) -> io::Result<Option<Self>> {
        let scratch = tempfile::tempdir()?;
        let place = scratch.path().join("input");
        let attempt = |input: &[u8]| -> io::Result<Option<String>> {
            fs::write(&place, input)?;
            fault(&again(target.name, &place, allowed)?.env("TMPDIR", scratch.path()).output()?)
        };
        let found = attempt(&input)?;
        if let Some(what) = &found {
            make_smaller(&mut input, |smaller| Ok(attempt(smaller)?.as_ref() == Some(what)))?;
        }
        found.map(|what| Self::write(target, what, &input, folder)).transpose()
    }

    fn write(target: &Target, what: String, input: &[u8], folder: &Path) -> io::Result<Self> {
        let mut hasher = DefaultHasher::new();
        input.hash(&mut hasher);
        fs::create_dir_all(folder)?;
        let file = folder.join(format!("{}-{:016x}", target.name, hasher.finish()));
        fs::write(&file, input)?;
        Ok(Self { what, file, len: input.len() })
    }
}

/// The process that reads a file again.
pub(crate) fn again(target: &str, file: &Path, allowed: Duration) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("again").arg(target).arg(file).arg("--allowed").arg(allowed.as_millis().to_string());
    command.stdin(Stdio::null());
    Ok(command)
}

/// What was wrong in a process; `None` if it ended well.
pub(crate) fn fault(output: &Output) -> io::Result<Option<String>> {
    if output.status.success() {
        return Ok(None);
    }
    Ok(Some(describe(output.status, &String::from_utf8_lossy(&output.stderr))))
}

/// The place of a panic rather than its words, in which numbers differ; else what was said last.
fn describe(status: ExitStatus, said: &str) -> String {
    let panic = said.lines().find_map(|line| Some(line.split_once("panicked at ")?.1.trim_end_matches(':')));
    let memory = said.lines().any(|line| line.starts_with("memory allocation of"));
    match (panic, status.signal()) {
        (Some(place), _) => format!("panic at {place}"),
        _ if memory => "more memory than is allowed".to_owned(),
        (None, Some(signal)) => format!("signal {signal}: {}", said.lines().last().unwrap_or_default()),
        (None, None) => said.lines().last().unwrap_or("no word").to_owned(),
    }
}

/// Leaves parts out, from large to small, as long as `is_same` and there is time.
fn make_smaller(input: &mut Vec<u8>, mut is_same: impl FnMut(&[u8]) -> io::Result<bool>) -> io::Result<()> {
    let began = Instant::now();
    let mut part = input.len() / 2;
    while part > 0 {
        let mut start = 0;
        while start < input.len() {
            if began.elapsed() > PATIENCE {
                return Ok(());
            }
            let end = (start + part).min(input.len());
            let smaller = [&input[..start], &input[end..]].concat();
            if is_same(&smaller)? {
                *input = smaller;
            } else {
                start = end;
            }
        }
        part /= 2;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_called_by_its_place() {
        let panic = "\nthread 'main' (7) panicked at a/b.rs:1:2:\nindex 9 out of bounds\n";
        assert_eq!(describe(ExitStatus::from_raw(101 << 8), panic), "panic at a/b.rs:1:2");
        let memory = "memory allocation of 99 bytes failed\n";
        assert_eq!(describe(ExitStatus::from_raw(6), memory), "more memory than is allowed");
        assert_eq!(describe(ExitStatus::from_raw(11), "x\ny\n"), "signal 11: y");
        assert_eq!(describe(ExitStatus::from_raw(102 << 8), "more than 10s\n"), "more than 10s");
    }

    #[test]
    fn only_what_matters_is_left() {
        let mut input = b"aaaaXaaaaaaYaaaa".to_vec();
        make_smaller(&mut input, |smaller| Ok(smaller.contains(&b'X') && smaller.contains(&b'Y'))).unwrap();
        assert_eq!(input, b"XY");
    }
}
