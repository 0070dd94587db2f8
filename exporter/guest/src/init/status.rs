//! The end of the service, told to the host by a port of virtio-serial, where the host has given the machine one for that.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::grow::device::in_file;
use crate::init::ending::Ending;
use crate::init::left;

/// The name of the port.
const PORT: &str = "io.vmimage.status";
/// All ports, each with its name, which the host tells after the port itself (virtio 1.3, section 5.3.6.2).
const PORTS: &str = "/sys/class/virtio-ports";
/// How long the host may take to name its ports, and to listen.
const PATIENCE: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(10);

/// Tell the host, if it wants to know.
pub(crate) fn tell(ending: &Ending) -> Result<(), String> {
    // The driver of the ports may be among that.
    left::finish();
    match port(PORT) {
        Some(port) => write(&port, &ending.line()),
        None => Ok(()),
    }
}

/// The device of the port that the host calls so.
pub(crate) fn port(name: &str) -> Option<PathBuf> {
    find(Path::new(PORTS), name)
}

/// The device of the port with this name. Where all ports have other names, none of them will be it.
fn find(ports: &Path, name: &str) -> Option<PathBuf> {
    let start = Instant::now();
    loop {
        let entries = fs::read_dir(ports).into_iter().flatten().flatten();
        let names: Vec<_> = entries
            .map(|entry| {
                (entry.file_name(), fs::read_to_string(entry.path().join("name")).unwrap_or_default())
            })
            .collect();
        if let Some((port, _)) = names.iter().find(|(_, known)| known.trim() == name) {
            return Some(Path::new("/dev").join(port));
        }
        if names.iter().all(|(_, known)| !known.is_empty()) || start.elapsed() >= PATIENCE {
            return None;
        }
        sleep(TICK);
    }
}

/// Written when the host has it: the port takes no more before that.
fn write(port: &Path, line: &str) -> Result<(), String> {
    let mut file = File::options().write(true).open(port).map_err(in_file(port))?;
    if !is_listened_to(&file).map_err(in_file(port))? {
        return Err(in_file(port)("nobody at the host listens"));
    }
    file.write_all(line.as_bytes()).map_err(in_file(port))?;
    is_listened_to(&file).map(drop).map_err(in_file(port))
}

/// Whether the host takes what is written, and has taken what was; the kernel is told so behind the port's name.
fn is_listened_to(port: &File) -> Result<bool, Errno> {
    let start = Instant::now();
    loop {
        let mut asked = [PollFd::new(port, PollFlags::OUT)];
        poll(&mut asked, Some(&Timespec::default()))?;
        let [answer] = asked;
        match answer.revents().contains(PollFlags::OUT) {
            false if start.elapsed() < PATIENCE => sleep(TICK),
            listened => return Ok(listened),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_found_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        for (port, name) in [("vport0p1", "org.qemu.guest_agent.0\n"), ("vport0p2", "io.vmimage.status\n")] {
            fs::create_dir(folder.path().join(port)).unwrap();
            fs::write(folder.path().join(port).join("name"), name).unwrap();
        }
        assert_eq!(find(folder.path(), PORT), Some("/dev/vport0p2".into()));
        assert_eq!(find(folder.path(), "io.vmimage.agent"), None);
        assert_eq!(find(&folder.path().join("none"), PORT), None);
    }

    #[test]
    fn a_port_that_is_not_named_yet_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let port = folder.path().join("vport0p1");
        fs::create_dir(&port).unwrap();
        assert_eq!(find(folder.path(), PORT), None);
        std::thread::scope(|scope| {
            scope.spawn(|| fs::write(port.join("name"), PORT).unwrap());
            let found = loop {
                if let Some(found) = find(folder.path(), PORT) {
                    break found;
                }
            };
            assert_eq!(found, Path::new("/dev/vport0p1"));
        });
    }

    #[test]
    fn a_line_is_written_whole() {
        let file = tempfile::NamedTempFile::new().unwrap();
        write(file.path(), "{\"status\":42}\n").unwrap();
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "{\"status\":42}\n");
        assert!(write(Path::new("/nonexistent"), "").is_err());
    }
}
