//! Folders of this host in a machine: by virtiofs where its daemon is here, else by QEMU's 9p.
//!
//! Neither leads out of its folder: links in it are the guest's to follow, and both programs open names below it without
//! following any. That a share is read-only is the program's doing, not the guest's.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;

use rustix::process::{Signal, getegid, geteuid};

use super::{option_value, watch};
use crate::base::child::end_with_this_process;
use crate::base::programs;
use crate::base::{Error, Result};

/// The daemon of virtiofs, and where distributions have it outside of PATH.
const VIRTIOFSD: [&str; 3] = ["virtiofsd", "/usr/libexec/virtiofsd", "/usr/lib/virtiofsd"];
/// What a daemon has to have, as those do that are written in Rust, and what some have.
const SHARED_DIR: &str = "--shared-dir";
const READ_ONLY: &str = "--readonly";
/// As many as there are users, but for the one that is none.
const ALL_IDS: u32 = u32::MAX;
/// The memory that a daemon of virtiofs shares with the machine.
const MEMORY: &str = "memory";

/// `-v`: a folder, where it is in the machine, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Volume {
    host: PathBuf,
    guest: String,
    read_only: bool,
    /// Whose in the machine the files of this user are.
    uid: Option<u32>,
    gid: Option<u32>,
}

impl FromStr for Volume {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = || "should look like ./src:/src, ./src:/src:ro or ./src:/src:ro,uid=1000".to_owned();
        let (host, rest) = text.split_once(':').filter(|(host, _)| !host.is_empty()).ok_or_else(shape)?;
        let mut parts = rest.split([':', ',']);
        let guest = parts.next().filter(|guest| is_place(guest)).ok_or_else(shape)?;
        let mut volume =
            Self { host: host.into(), guest: guest.to_owned(), read_only: false, uid: None, gid: None };
        let number = |text: &str| {
            text.parse().map(Some).map_err(|_| format!("{text:?} is no number of a user or group"))
        };
        for option in parts {
            match option.split_once('=').unwrap_or((option, "")) {
                ("ro", "") => volume.read_only = true,
                ("rw", "") => volume.read_only = false,
                ("uid", text) => volume.uid = number(text)?,
                ("gid", text) => volume.gid = number(text)?,
                _ => return Err(format!("{option:?} is neither ro, rw, uid=N nor gid=N")),
            }
        }
        Ok(volume)
    }
}

/// Whether it is a directory below `/` by its whole path.
fn is_place(path: &str) -> bool {
    path.starts_with('/')
        && path.split('/').any(|part| !part.is_empty())
        && !path.split('/').any(|part| part == ".." || part == ".")
        && !path.contains('\0')
}

/// A share of a machine.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) tag: String,
    pub(super) at: String,
    pub(super) read_only: bool,
    pub(super) transport: Transport,
    host: PathBuf,
}

/// How it comes into the machine.
#[derive(Debug)]
pub(super) enum Transport {
    /// By a daemon that listens on this socket, with these further words.
    Virtiofs { program: PathBuf, socket: PathBuf, words: Vec<String> },
    /// By QEMU itself.
    Plan9,
}

impl Transport {
    /// The type of its file system in the machine.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Virtiofs { .. } => "virtiofs",
            Self::Plan9 => "9p",
        }
    }
}

/// A daemon of virtiofs.
#[derive(Clone, Debug)]
pub(super) struct Virtiofsd {
    program: PathBuf,
    /// What it says that it can do.
    help: String,
}

impl Virtiofsd {
    /// The one that is installed, if it is one that is understood here.
    pub(super) fn find() -> Option<Self> {
        VIRTIOFSD.iter().filter_map(|name| programs::find(name)).find_map(|program| {
            let output = Command::new(&program).arg("--help").stdin(Stdio::null()).output().ok()?;
            let help = String::from_utf8_lossy(&output.stdout).into_owned();
            help.contains(SHARED_DIR).then_some(Self { program, help })
        })
    }
}

/// What is shared, with sockets in `folder`.
///
/// # Errors
/// If a folder is not there, or what is asked for needs a daemon that is not.
pub(super) fn plan(volumes: &[Volume], daemon: Option<&Virtiofsd>, folder: &Path) -> Result<Vec<Share>> {
    let here = Ids { user: geteuid().as_raw(), group: getegid().as_raw() };
    let plan = Sharing { daemon, folder, here };
    volumes.iter().enumerate().map(|(index, volume)| plan.share(volume, index)).collect()
}

/// A user and a group.
#[derive(Clone, Copy)]
struct Ids {
    user: u32,
    group: u32,
}

/// What shares are planned by.
struct Sharing<'a> {
    daemon: Option<&'a Virtiofsd>,
    folder: &'a Path,
    /// Who this process is.
    here: Ids,
}

impl Sharing<'_> {
    fn share(&self, volume: &Volume, index: usize) -> Result<Share> {
        let Volume { host, guest, read_only, uid, gid } = volume;
        let shown = format!("--volume {}", host.display());
        let there = host.metadata().map_err(|error| Error::user(shown.clone()).because(error))?;
        if !there.is_dir() {
            return Err(
                Error::user(format!("{shown}: is no folder")).with_hint("share the folder that it is in")
            );
        }
        let host = std::path::absolute(host).map_err(|error| Error::user(shown.clone()).because(error))?;
        let tag = format!("share{index}");
        let mut words = self.translation(*uid, *gid);
        words.extend(read_only.then(|| READ_ONLY.to_owned()));
        let can = |daemon: &&Virtiofsd| {
            let mut names = words.iter().filter_map(|word| word.split('=').next());
            names.all(|name| daemon.help.contains(name))
        };
        match self.daemon.filter(can) {
            Some(daemon) => {
                let socket = self.folder.join(format!("{tag}.sock"));
                let transport = Transport::Virtiofs { program: daemon.program.clone(), socket, words };
                Ok(Share { tag, at: guest.clone(), read_only: *read_only, transport, host })
            }
            None if uid.is_some() || gid.is_some() => Err(Error::user(format!(
                "{shown}: uid= and gid= are virtiofsd's to do, and there is none that can"
            ))
            .with_hint("install virtiofsd 1.13 or later, or leave them out")),
            None => Ok(Share::plan9(&tag, guest, host, *read_only)),
        }
    }

    /// Whose files are whose. Without rights a daemon makes files of this user alone, whoever of the machine writes them.
    fn translation(&self, uid: Option<u32>, gid: Option<u32>) -> Vec<String> {
        let of = |kind: &str, there: Option<u32>, here: u32| {
            let all = (there.is_some() || self.here.user != 0)
                .then(|| format!("--translate-{kind}=squash-guest:0:{here}:{ALL_IDS}"));
            let shown = there.map(|there| format!("--translate-{kind}=host:{here}:{there}:1"));
            all.into_iter().chain(shown)
        };
        of("uid", uid, self.here.user).chain(of("gid", gid, self.here.group)).collect()
    }
}

impl Share {
    /// One by QEMU itself.
    pub(super) fn plan9(tag: &str, at: &str, host: PathBuf, read_only: bool) -> Self {
        Self { tag: tag.to_owned(), at: at.to_owned(), read_only, transport: Transport::Plan9, host }
    }

    /// Adds its device, which is on a bus of this name.
    fn add(&self, command: &mut Command, bus: &str) {
        let Self { tag, read_only, transport, host, .. } = self;
        match transport {
            Transport::Virtiofs { socket, .. } => {
                let mut value = OsString::from(format!("socket,id={tag},path="));
                value.push(option_value(socket));
                command.arg("-chardev").arg(value);
                command.args(["-device", &format!("vhost-user-fs-{bus},chardev={tag},tag={tag}")]);
            }
            Transport::Plan9 => {
                let mode = if *read_only { ",readonly=on" } else { "" };
                let mut value = OsString::from(format!("local,id={tag},security_model=none{mode},path="));
                value.push(option_value(host));
                command.arg("-fsdev").arg(value);
                command.args(["-device", &format!("virtio-9p-{bus},fsdev={tag},mount_tag={tag}")]);
            }
        }
    }

    /// Starts its daemon, which ends with this process, and with QEMU.
    fn start(&self) -> Result<Option<Daemon>> {
        let Transport::Virtiofs { program, socket, words } = &self.transport else { return Ok(None) };
        let cannot = |error| Error::user(format!("{}: cannot be started", program.display())).because(error);
        // One of an earlier start of the machine.
        let _ = std::fs::remove_file(socket);
        // Bound here, so that QEMU finds it whoever of the two is faster.
        let listener = UnixListener::bind(socket).map_err(cannot)?;
        let mut command = Command::new(program);
        let mut folder = OsString::from(format!("{SHARED_DIR}="));
        folder.push(&self.host);
        command.arg(folder).args(words).arg(format!("--fd={}", watch::inherit(&listener).map_err(cannot)?));
        end_with_this_process(&mut command, Signal::TERM);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Ok(Some(Daemon(quiet.spawn().map_err(cannot)?)))
    }
}

/// Adds the devices of all; `size` is the machine's memory as `-m` has it.
pub(super) fn add_all(command: &mut Command, shares: &[Share], bus: &str, size: &str) {
    if needs_memory(shares) {
        // Of `-m` a number alone is mebibytes, of an object bytes.
        let unit = if size.ends_with(|last: char| last.is_ascii_digit()) { "M" } else { "" };
        let object = format!("memory-backend-memfd,id={MEMORY},size={size}{unit},share=on");
        command.args(["-object", &object]);
    }
    shares.iter().for_each(|share| share.add(command, bus));
}

/// What the machine is told of the memory that it shares; nothing where it does not.
pub(super) fn of_machine(shares: &[Share]) -> String {
    if needs_memory(shares) { format!(",memory-backend={MEMORY}") } else { String::new() }
}

fn needs_memory(shares: &[Share]) -> bool {
    shares.iter().any(|share| matches!(share.transport, Transport::Virtiofs { .. }))
}

/// Starts what serves the shares; it ends with the value.
///
/// # Errors
/// If one cannot be started.
pub(super) fn start_all(shares: &[Share]) -> Result<Vec<Daemon>> {
    Ok(shares.iter().map(Share::start).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// A daemon that serves a share.
#[derive(Debug)]
pub(super) struct Daemon(Child);

impl Daemon {
    /// Its last words, if it has ended before its time.
    pub(super) fn complaint(&mut self) -> Option<String> {
        self.0.try_wait().ok().flatten().filter(|status| !status.success())?;
        let mut said = Vec::new();
        self.0.stderr.take()?.take(1 << 16).read_to_end(&mut said).ok()?;
        Some(String::from_utf8_lossy(&said).lines().last()?.to_owned())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has ended, if QEMU has.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::shell;

    fn daemon(help: &str) -> Virtiofsd {
        Virtiofsd { program: "virtiofsd".into(), help: format!("{SHARED_DIR} {help}") }
    }

    const ROOT: Ids = Ids { user: 0, group: 0 };
    const USER: Ids = Ids { user: 1000, group: 100 };

    fn planned(text: &str, daemon: Option<&Virtiofsd>, here: Ids) -> Result<String> {
        let plan = Sharing { daemon, folder: Path::new("/run/x"), here };
        let shares = [plan.share(&text.parse().unwrap(), 0)?];
        let mut command = Command::new(format!("q{}", of_machine(&shares)));
        add_all(&mut command, &shares, "pci", "512");
        let words = match &shares[0].transport {
            Transport::Virtiofs { words, .. } => words.join(" "),
            Transport::Plan9 => String::new(),
        };
        Ok(format!("{} {words}", shell::show(&command)).trim_end().to_owned())
    }

    #[test]
    fn what_is_typed_is_a_share() {
        let volume = |text: &str| text.parse::<Volume>().unwrap();
        let plain =
            Volume { host: "src".into(), guest: "/src".into(), read_only: false, uid: None, gid: None };
        assert_eq!(volume("src:/src"), plain);
        assert_eq!(volume("src:/src:rw"), plain);
        assert_eq!(volume("src:/src:ro"), Volume { read_only: true, ..plain.clone() });
        assert_eq!(volume("src:/src,uid=7"), Volume { uid: Some(7), ..plain.clone() });
        let all = Volume { read_only: true, uid: Some(7), gid: Some(8), ..plain };
        assert_eq!(volume("src:/src:ro,uid=7,gid=8"), all);
        for text in [
            "src",
            ":/src",
            "src:",
            "src:src",
            "src:/",
            "src:/a/../b",
            "src:/a:rx",
            "src:/a,uid=x",
            "src:/a,uid=",
            "src:/a,ro=1",
        ] {
            assert!(text.parse::<Volume>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_comes_by_the_daemon_if_that_can_do_what_is_asked() {
        let able = daemon("--readonly --translate-uid --translate-gid");
        let socket = "q,memory-backend=memory -object memory-backend-memfd,id=memory,size=512M,share=on \
                      -chardev socket,id=share0,path=/run/x/share0.sock \
                      -device vhost-user-fs-pci,chardev=share0,tag=share0";
        let by_qemu = "q -fsdev local,id=share0,security_model=none,path=/ \
                       -device virtio-9p-pci,fsdev=share0,mount_tag=share0";
        let squashed =
            "--translate-uid=squash-guest:0:1000:4294967295 --translate-gid=squash-guest:0:100:4294967295";
        let shown = "--translate-uid=squash-guest:0:0:4294967295 --translate-uid=host:0:7:1";
        for (text, here, words) in [
            ("/:/src", ROOT, String::new()),
            ("/:/src:ro", ROOT, "--readonly".to_owned()),
            ("/:/src,uid=7", ROOT, shown.to_owned()),
            ("/:/src", USER, squashed.to_owned()),
            (
                "/:/src:ro,uid=7",
                USER,
                squashed.replace(" ", " --translate-uid=host:1000:7:1 ") + " --readonly",
            ),
        ] {
            let expected = format!("{socket} {words}");
            assert_eq!(planned(text, Some(&able), here).unwrap(), expected.trim_end(), "{text}");
        }
        let read_only = by_qemu.replace("none,", "none,readonly=on,");
        for without in [None, Some(&daemon(""))] {
            assert_eq!(planned("/:/src:ro", without, ROOT).unwrap(), read_only);
            assert_eq!(planned("/:/src", without, USER).unwrap(), by_qemu);
            let error = planned("/:/src,uid=7", without, ROOT).unwrap_err();
            assert!(error.to_string().contains("uid= and gid= are virtiofsd's"), "{error}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        for (text, why) in [
            ("/missing:/src", "--volume /missing: No such file or directory"),
            ("/etc/passwd:/src", "--volume /etc/passwd: is no folder"),
        ] {
            let error = planned(text, None, ROOT).unwrap_err().to_string();
            assert!(error.starts_with(why) && !error.contains('\n'), "{error}");
        }
    }

    /// A daemon of the test's own has the socket and its words.
    #[test]
    fn a_daemon_gets_a_socket_that_is_there_and_its_complaint_is_heard() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("virtiofsd");
        std::fs::write(&program, "#!/bin/sh\necho \"$@\" >&2\nexit 3\n").unwrap();
        let mut permissions = program.metadata().unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
        std::fs::set_permissions(&program, permissions).unwrap();
        let daemon = Virtiofsd { program, help: format!("{SHARED_DIR} {READ_ONLY}") };
        let plan = Sharing { daemon: Some(&daemon), folder: folder.path(), here: ROOT };
        let shares = [plan.share(&"/:/src:ro".parse().unwrap(), 0).unwrap()];
        let mut daemons = start_all(&shares).unwrap();
        assert!(folder.path().join("share0.sock").exists());
        let said = std::iter::repeat_with(|| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            daemons[0].complaint()
        });
        let said = said.take(1000).flatten().next().unwrap();
        assert!(said.starts_with("--shared-dir=/ --readonly --fd="), "{said}");
        drop(daemons);
        assert_eq!(start_all(&shares).unwrap().len(), 1, "once more on the same socket");
    }
}
