//! Starts a machine, and stops the time when a word is on its console.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Result;
use crate::machine::vmimage;
use crate::measure;

/// After which a machine will not come to its word any more.
const PATIENCE: Duration = Duration::from_secs(600);

/// Seconds from the command's start to the word, and the line that it is in. The machine is ended then.
pub(crate) fn until(command: &mut Command, word: &str) -> Result<(f64, String)> {
    let mut said = tempfile::tempfile()?;
    let start = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(said.try_clone()?);
    let mut machine = command.spawn()?;
    let mut console = machine.stdout.take().ok_or("the console is not there")?;
    let (sender, pieces) = channel();
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = console.read(&mut piece) {
            if sender.send((start.elapsed(), piece[..length].to_vec())).is_err() {
                return;
            }
        }
    });
    let (mut text, mut came) = (Vec::new(), None);
    let outcome = loop {
        let Ok((time, piece)) = pieces.recv_timeout(PATIENCE.saturating_sub(start.elapsed())) else {
            let (text, said) =
                (String::from_utf8_lossy(&text), measure::last_lines(&mut said).unwrap_or_default());
            break Err(format!("{command:?}: no {word:?} came:\n{text}{said}"));
        };
        text.extend(piece);
        let Some(place) = text.windows(word.len()).position(|part| part == word.as_bytes()) else { continue };
        let came = *came.get_or_insert(time.as_secs_f64());
        if let Some(end) = text[place..].iter().position(|byte| *byte == b'\n') {
            break Ok((came, String::from_utf8_lossy(&text[place..place + end]).into_owned()));
        }
    };
    if let Some(pid) = i32::try_from(machine.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
    machine.wait()?;
    Ok(outcome?)
}

/// How all machines are run, decided once, so that no start waits for a probe.
pub(crate) fn accel() -> Result<&'static str> {
    static ACCEL: OnceLock<&'static str> = OnceLock::new();
    if let Some(known) = ACCEL.get() {
        return Ok(known);
    }
    let disk = tempfile::NamedTempFile::new()?;
    disk.as_file().set_len(1 << 20)?;
    let mut command = Command::new(vmimage()?);
    let shown = super::text(command.arg("run").arg(disk.path()).args(["--bios", "--dry-run"]))?;
    Ok(ACCEL.get_or_init(|| if shown.contains("-accel kvm") { "kvm" } else { "tcg" }))
}

/// The same for people.
pub(crate) fn shown() -> &'static str {
    match accel() {
        Ok("kvm") => "KVM",
        _ => "emulation (TCG)",
    }
}
