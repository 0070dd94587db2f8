//! `vmimage.lazy`: the root stays on the web server, and is read as it is needed.
//!
//! ```text
//! root's file system ─▶ /dev/nbd0 ─▶ socket ─▶ @vmimage-lazy: pieces that are kept ─▶ HTTP with ranges ─▶ the server
//! ```
//!
//! What serves the device is a process of its own that outlives the initramfs. Its name begins with `@`: by that systemd
//! knows who holds the root, and ends it last of all (systemd.io/ROOT_STORAGE_DAEMONS). It waits for a server that is gone for as
//! long as it takes, as NFS does: a machine that went on would go on without its files.

mod cache;
mod device;
mod request;
mod server;

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::mount::{MountFlags, mount};
use rustix::process::{chdir, chroot, setsid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use super::network;
use crate::grow::device::in_file;
use crate::init::console::say;
use crate::init::modules::Modules;
use crate::update::source::{Source, open_web};
use cache::{Cache, Fetch};

/// The argument that asks for it, and its name.
pub(super) const ROLE: &str = "lazy";
const NAME: &str = "@vmimage-lazy";
/// What it says once the device is there; all else is an error.
const READY: &str = "ready";
/// Its own root: that of the initramfs is emptied.
const HOME: &str = "/lazy";
/// What it needs to find a server again, and to trust it.
const FILES: [&str; 4] = ["/etc/resolv.conf", "/etc/hosts", "/etc/ssl", "/etc/pki"];
/// Before a server is asked again that is gone.
const PAUSE: Duration = Duration::from_secs(5);

/// A file on a web server.
#[derive(Debug)]
pub(super) struct Remote<'a> {
    pub(super) folder: &'a str,
    pub(super) file: &'a str,
    pub(super) bytes: u64,
    /// The card whose lease has to be kept, if it has one.
    pub(super) card: Option<&'a str>,
}

/// The device with its bytes.
pub(super) fn attach(remote: &Remote<'_>, modules: &mut Modules) -> Result<PathBuf, String> {
    let failed = |error: &dyn std::fmt::Display| format!("vmimage.lazy: {error}");
    modules.load("nbd");
    let mut command = Command::new("/proc/self/exe");
    command.arg0(NAME).args([ROLE, remote.folder, remote.file, &remote.bytes.to_string()]);
    let mut child = command
        .args(remote.card)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&error))?;
    let mut said = String::new();
    let mut output = BufReader::new(child.stdout.take().ok_or_else(|| failed(&"no pipe"))?);
    output.read_line(&mut said).map_err(|error| failed(&error))?;
    match said.trim() {
        READY => device::wait(sectors(remote.bytes)),
        "" => Err(failed(&"its process has ended")),
        error => Err(failed(&error)),
    }
}

/// As that process: until the machine stops.
pub(super) fn run(arguments: &[OsString]) -> ExitCode {
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    let remote = match &words[..] {
        [folder, file, bytes, card @ ..] => bytes.parse().ok().map(|bytes| Remote {
            folder,
            file,
            bytes,
            card: card.first().map(AsRef::as_ref),
        }),
        _ => None,
    };
    let ended = remote.ok_or_else(|| "started by its own only".to_owned()).and_then(|remote| serve(&remote));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&error);
            say(format_args!("vmimage.lazy: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn serve(remote: &Remote<'_>) -> Result<(), String> {
    // From here on nothing of the initramfs can be relied on.
    let (device, keeper) = (device::open()?, remote.card.map(network::Keeper::of).transpose()?);
    stay()?;
    let mut web = Web { source: open_web(remote.folder)?, file: remote.file.to_owned() };
    // A server without ranges would send all of it for each piece.
    web.fetch(0..remote.bytes.min(1))?.read_exact(&mut [0]).map_err(|error| error.to_string())?;
    if !web.source.has_ranges() {
        return Err(format!("{} has no ranges\nhint: leave out vmimage.lazy", remote.folder));
    }
    if let Some(keeper) = keeper {
        thread::spawn(move || keeper.keep());
    }
    let (kernel, mut ours) = UnixStream::pair().map_err(|error| error.to_string())?;
    let sectors = sectors(remote.bytes);
    device::connect(device, kernel, sectors)?;
    tell(READY);
    let mut cache = Cache::new(Steadfast { of: web, pause: PAUSE }, remote.bytes);
    server::serve(&mut ours, sectors * device::SECTOR, &mut cache)
}

/// To the process that has started this one, which may be another program by now.
fn tell(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// It outlives the initramfs, a lack of memory, and signals that are sent to everybody.
fn stay() -> Result<(), String> {
    let _ = setsid();
    let _ = mlockall(MlockAllFlags::CURRENT);
    let _ = fs::write("/proc/self/oom_score_adj", "-1000");
    let mut signals =
        Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM]).map_err(|error| format!("signals: {error}"))?;
    thread::spawn(move || signals.forever().for_each(drop));
    move_out(Path::new(HOME))
}

/// Into a root of its own, with what it needs.
fn move_out(home: &Path) -> Result<(), String> {
    let failed = |error: rustix::io::Errno| format!("{}: {error}", home.display());
    let _ = fs::DirBuilder::new().mode(0o700).create(home);
    mount("tmpfs", home, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=700"))
        .map_err(failed)?;
    for file in FILES.map(Path::new) {
        copy(file, &home.join(file.strip_prefix("/").unwrap_or(file)))?;
    }
    chroot(home).and_then(|()| chdir("/")).map_err(failed)
}

/// A file, or all that is below a directory; what is not there is not copied.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let Ok(metadata) = fs::metadata(from) else { return Ok(()) };
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(in_file(folder))?;
    }
    if !metadata.is_dir() {
        return fs::copy(from, to).map(drop).map_err(in_file(from));
    }
    let entries = fs::read_dir(from).map_err(in_file(from))?.flatten();
    entries.map(|entry| entry.file_name()).try_for_each(|name| copy(&from.join(&name), &to.join(&name)))
}

fn sectors(bytes: u64) -> u64 {
    bytes.div_ceil(device::SECTOR)
}

/// The root on the server.
struct Web {
    source: Box<dyn Source>,
    file: String,
}

impl Fetch for Web {
    fn fetch(&mut self, range: Range<u64>) -> Result<Box<dyn Read + '_>, String> {
        self.source.open(&self.file, range)
    }
}

/// The same, which is asked again and again until it answers.
struct Steadfast<F> {
    of: F,
    pause: Duration,
}

impl<F: Fetch> Fetch for Steadfast<F> {
    fn fetch(&mut self, range: Range<u64>) -> Result<Box<dyn Read + '_>, String> {
        loop {
            let mut bytes = Vec::new();
            let read = self
                .of
                .fetch(range.clone())
                .and_then(|mut reader| reader.read_to_end(&mut bytes).map_err(|error| error.to_string()));
            match read {
                Ok(_) if bytes.len() as u64 == range.end - range.start => {
                    return Ok(Box::new(std::io::Cursor::new(bytes)));
                }
                Ok(_) => say(format_args!("the root: it came short; asking again")),
                Err(error) => say(format_args!("the root is waited for: {error}")),
            }
            thread::sleep(self.pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_is_copied_and_no_more() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(from.path().join("ssl/certs")).unwrap();
        fs::write(from.path().join("ssl/certs/ca.crt"), "x").unwrap();
        fs::write(from.path().join("hosts"), "y").unwrap();
        copy(&from.path().join("ssl"), &to.path().join("etc/ssl")).unwrap();
        copy(&from.path().join("hosts"), &to.path().join("etc/hosts")).unwrap();
        copy(&from.path().join("none"), &to.path().join("etc/none")).unwrap();
        assert_eq!(fs::read_to_string(to.path().join("etc/ssl/certs/ca.crt")).unwrap(), "x");
        assert_eq!(fs::read_to_string(to.path().join("etc/hosts")).unwrap(), "y");
        assert!(!to.path().join("etc/none").exists());
    }

    #[test]
    fn a_server_that_fails_once_is_asked_again() {
        struct Twice(usize);
        impl Fetch for Twice {
            fn fetch(&mut self, range: Range<u64>) -> Result<Box<dyn Read + '_>, String> {
                self.0 += 1;
                match self.0 {
                    1 => Err("gone".to_owned()),
                    _ => Ok(Box::new(std::io::repeat(7).take(range.end - range.start))),
                }
            }
        }
        let mut steadfast = Steadfast { of: Twice(0), pause: Duration::ZERO };
        let mut bytes = Vec::new();
        steadfast.fetch(0..3).unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!((bytes, steadfast.of.0), (vec![7; 3], 2));
    }

    #[test]
    fn the_last_sector_is_a_whole_one() {
        assert_eq!((sectors(0), sectors(1), sectors(512), sectors(513)), (0, 1, 1, 2));
    }
}
