//! A shell in the system that is installed: found, mounted as it mounts itself, on every console.
//!
//! ```text
//! disks ─▶ file systems with an os-release, those of the medium's system first ─▶ one, or the one that somebody names
//!        ─▶ root, /boot, /usr … of its fstab, /dev /proc /sys /run ─▶ chroot ─▶ a shell on each console ─▶ restart
//! ```

mod identity;
mod machines;
pub(super) mod shell;
mod tree;

use std::fs;
use std::io::{IsTerminal, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::console::{Console, Consoles};
use super::disks::{self, Block};
use super::{Host, Medium, network};
use crate::init::mounts;
use crate::init::words::Words as Kernels;
use machines::Installed;
use tree::Mounted;

/// How long disks may take that have to spin up, where none has a system yet.
const PATIENCE: Duration = Duration::from_secs(10);
/// In which who has left a shell may come back.
const SECONDS: u8 = 10;
/// Before a shell is started again that could not be.
const PAUSE: Duration = Duration::from_secs(5);
/// Where resolv.conf of most systems leads.
const RESOLV_CONF: &str = "/etc/resolv.conf";
const RESOLVED: [&str; 3] = [
    "/run/systemd/resolve/stub-resolv.conf",
    "/run/systemd/resolve/resolv.conf",
    "/run/NetworkManager/resolv.conf",
];

/// Until somebody has left: the machine restarts then. Without the medium nothing is known of which system is its own.
///
/// # Errors
/// If there is no system, with the disks that there are.
pub(super) fn run(medium: Option<&mut Medium>, kernels: &Kernels, host: &mut Host) -> Result<(), String> {
    mounts::virtual_file_systems();
    let disk = medium.as_ref().and_then(|medium| medium.disk.clone());
    let is_online = medium.as_ref().is_some_and(|medium| medium.disk.is_none());
    let ours = medium.and_then(identity::of_root);
    let (installed, blocks) = find(disk.as_deref(), ours.as_deref(), host);
    let system = choose(&installed, &blocks, &host.consoles)?;
    let mounted = tree::mount_it(system, &blocks, &mut host.modules)?;
    for line in said(system, &mounted) {
        host.consoles.say(line);
    }
    match is_online {
        true => name_servers(),
        false => go_online(kernels),
    }
    serve(&host.consoles);
    tree::release();
    Ok(())
}

fn find(medium: Option<&Path>, ours: Option<&str>, host: &mut Host) -> (Vec<Installed>, Vec<Block>) {
    let start = std::time::Instant::now();
    loop {
        let blocks = disks::list(Path::new(disks::SYS));
        let installed = machines::find(&blocks, medium, ours, &mut host.modules);
        let left = PATIENCE.saturating_sub(start.elapsed());
        if !installed.is_empty() || left.is_zero() {
            return (installed, blocks);
        }
        host.settle(left.min(Duration::from_secs(1)));
    }
}

/// The only one, the only one of the medium's own system, or the one that somebody names: of a machine with slots either may be
/// the one that is broken.
fn choose<'a>(
    installed: &'a [Installed],
    blocks: &[Block],
    consoles: &Consoles,
) -> Result<&'a Installed, String> {
    let shares_disk =
        |one: &Installed| installed.iter().filter(|it| it.block.disk == one.block.disk).count() > 1;
    let ours: Vec<_> = installed.iter().filter(|system| system.is_ours()).collect();
    match (&ours[..], installed) {
        (_, []) => Err(nothing(blocks)),
        (_, [only]) => Ok(only),
        ([only], _) if !shares_disk(only) => Ok(*only),
        _ => ask(installed, consoles),
    }
}

fn ask<'a>(installed: &'a [Installed], consoles: &Consoles) -> Result<&'a Installed, String> {
    for (number, system) in (1..).zip(installed) {
        consoles.say(format_args!("{number}: {}", system.show()));
    }
    loop {
        let answer =
            consoles.ask(format_args!("which system is to be mounted (1 to {})?", installed.len()))?;
        if let Some(system) = named(&answer, installed) {
            return Ok(system);
        }
    }
}

fn named<'a>(answer: &str, installed: &'a [Installed]) -> Option<&'a Installed> {
    installed.get(answer.parse::<usize>().ok()?.checked_sub(1)?)
}

fn nothing(blocks: &[Block]) -> String {
    format!(
        "no installed system is found on ext4, xfs, btrfs, erofs or squashfs; {}\nhint: what is in LVM, in a RAID of Linux or \
         encrypted is not opened here: start the live system for that",
        disks::show_disks(blocks)
    )
}

/// What is mounted, what is not, and how to leave.
fn said(system: &Installed, mounted: &Mounted) -> Vec<String> {
    let mut lines = vec![system.show(), format!("mounted: {}", mounted.places.join(", "))];
    lines.extend(mounted.failed.iter().map(|failed| format!("not mounted: {failed}")));
    lines.push(
        "here is a shell in it, as root; exit leaves it: all is unmounted, and the machine restarts"
            .to_owned(),
    );
    lines
}

/// Until somebody leaves.
fn serve(consoles: &Consoles) {
    let (leave, left) = channel();
    let mut paths: Vec<_> = consoles.all().filter(|it| it.is_terminal()).map(|it| it.path.clone()).collect();
    if paths.is_empty() {
        paths.push("/dev/console".into());
    }
    for path in paths {
        let leave = leave.clone();
        thread::spawn(move || keep_shell(&path, &leave));
    }
    drop(leave);
    let _ = left.recv();
}

/// A shell on a console, again and again.
fn keep_shell(console: &Path, leave: &Sender<()>) {
    loop {
        let ended = Command::new("/proc/self/exe").arg(shell::ROLE).arg(console).status();
        match ended.as_ref().map(after) {
            Ok(After::Leave) if !stays(console) => {
                let _ = leave.send(());
                return;
            }
            Ok(After::Leave | After::Again) => {}
            Ok(After::Wait) | Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// What the end of a shell means.
#[derive(Debug, PartialEq, Eq)]
enum After {
    /// Somebody has left it.
    Leave,
    /// It was ended.
    Again,
    /// There is none, or it ends at once.
    Wait,
}

fn after(status: &ExitStatus) -> After {
    match (status.signal(), status.code()) {
        (Some(_), _) => After::Again,
        (None, Some(code)) if code == i32::from(shell::NO_SHELL) => After::Wait,
        _ => After::Leave,
    }
}

/// Whether who has left changes their mind. Its terminal was hung up with the shell, and is opened anew.
fn stays(path: &Path) -> bool {
    let Some(console) = Console::open(PathBuf::from(path)) else { return false };
    console.forget_input();
    let _ = writeln!(&console.file, "vmimage: the machine restarts in {SECONDS} seconds; Enter stays");
    let mut polled = [PollFd::new(&console.file, PollFlags::IN)];
    let patience = Timespec { tv_sec: SECONDS.into(), tv_nsec: 0 };
    let is_there = matches!(poll(&mut polled, Some(&patience)), Ok(ready) if ready > 0);
    is_there && (&console.file).read(&mut [0; 256]).is_ok_and(|len| len > 0)
}

/// The network is of use, and no condition.
fn go_online(kernels: &Kernels) {
    let line: Vec<_> = kernels.all().map(|word| format!("\"{word}\"")).collect();
    thread::spawn(move || {
        let kernels = Kernels::parse(&line.join(" "));
        if network::start(&kernels, &mut Host::more()).is_ok() {
            name_servers();
        }
    });
}

/// Have the system's resolv.conf lead to name servers, if it leads to `/run`.
fn name_servers() {
    for path in RESOLVED.map(Path::new) {
        let _ = path.parent().map(fs::create_dir_all);
        let _ = fs::copy(RESOLV_CONF, path);
    }
}

impl Console {
    fn is_terminal(&self) -> bool {
        self.file.is_terminal()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Disk, is_inside};
    use super::machines::testing::installed;
    use super::*;
    use crate::init::initramfs::mount::SYSROOT;
    use crate::init::modules::Modules;

    const ROOT: &str = "5b1c0a4e-9d2f-4e3b-8a76-0123456789ab";
    const VAR: &str = "5b1c0a4e-9d2f-4e3b-8a76-0123456789ac";

    #[test]
    fn a_system_is_found_without_a_trace_and_mounted_as_it_mounts_itself() {
        if !is_inside(
            "medium::rescue::tests::a_system_is_found_without_a_trace_and_mounted_as_it_mounts_itself",
        ) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let table = format!(
            "/dev/root / ext4\nUUID={VAR} /var ext4 nofail,x-systemd.growfs 0 2\nLABEL=none /data ext4\n"
        );
        let root = [("etc/fstab", &*table), ("etc/os-release", "NAME=Web\n"), ("usr/x", ""), ("proc/x", "")];
        let disk = Disk::new(folder.path(), &[(ROOT, &root), (VAR, &[("log", "a line")])]);
        let blocks = [disk.partition(1), disk.partition(2)];
        let before = fs::read(&disk.file).unwrap();
        let mut modules = Modules::none();
        let found = machines::find(&blocks, None, None, &mut modules);
        assert_eq!((found.len(), &found[0].block), (1, &blocks[0]));
        assert_eq!(fs::read(&disk.file).unwrap(), before);
        // What the medium is on is no machine's system.
        assert!(machines::find(&blocks, Some(&disk.device), None, &mut modules).is_empty());

        let mounted = tree::mount_it(&found[0], &blocks, &mut modules).unwrap();
        let device = |number: u32| disk.partition(number).path.display().to_string();
        assert_eq!(mounted.places, [format!("/ ({})", device(1)), format!("/var ({})", device(2))]);
        assert_eq!(mounted.failed, ["/data: there is no LABEL=none"]);
        let in_root = |path: &str| Path::new(SYSROOT).join(path);
        assert_eq!(fs::read_to_string(in_root("var/log")).unwrap(), "a line");
        assert!(in_root("proc/self").exists() && in_root("dev/null").exists());
        fs::write(in_root("var/log"), "another").unwrap();
        tree::release();
        assert!(!in_root("proc/self").exists());
        for at in ["var", ""] {
            rustix::mount::unmount(in_root(at), rustix::mount::UnmountFlags::empty()).unwrap();
        }
        assert_ne!(fs::read(&disk.file).unwrap(), before);
    }

    #[test]
    fn the_only_one_is_taken_without_a_question() {
        let consoles = Consoles::none();
        let [ours, other, second] = [("/dev/sda3", true), ("/dev/sdb1", false), ("/dev/sdc1", false)]
            .map(|(path, is_ours)| installed(path, is_ours));
        assert_eq!(choose(std::slice::from_ref(&other), &[], &consoles), Ok(&other));
        let mut elsewhere = other.clone();
        elsewhere.block.disk = "/dev/sdb".into();
        let both = [ours.clone(), elsewhere];
        assert_eq!(choose(&both, &[], &consoles), Ok(&ours));
        // Here somebody has to say which, and nobody can.
        for several in [[ours.clone(), other], [ours.clone(), ours.clone()], [second.clone(), second]] {
            assert!(choose(&several, &[], &consoles).unwrap_err().contains("no console"));
        }
    }

    #[test]
    fn an_answer_names_one_or_none() {
        let all = [installed("/dev/sda3", true), installed("/dev/sdb1", false)];
        assert_eq!(named("2", &all), Some(&all[1]));
        for none in ["", "0", "3", "-1", "x", "99999999999999999999"] {
            assert_eq!(named(none, &all), None, "{none}");
        }
    }

    #[test]
    fn where_nothing_is_found_the_disks_are_named() {
        let block = Block {
            path: "/dev/sda".into(),
            disk: "/dev/sda".into(),
            number: None,
            bytes: 1 << 40,
            model: "Disk".into(),
        };
        let error = choose(&[], &[block], &Consoles::none()).unwrap_err();
        assert!(error.contains("/dev/sda (Disk, 1.0 TiB)") && error.contains("hint: "), "{error}");
    }

    #[test]
    fn a_shell_that_was_left_ends_the_rescue_and_one_that_was_ended_does_not() {
        let ended = |wait: i32| after(&ExitStatus::from_raw(wait));
        assert_eq!(
            [ended(0), ended(1 << 8), ended(9), ended(127 << 8)],
            [After::Leave, After::Leave, After::Again, After::Wait]
        );
    }

    #[test]
    fn what_is_mounted_is_said_in_lines() {
        let mounted = Mounted {
            places: vec!["/ (/dev/sda3)".into()],
            failed: vec!["/data: there is no UUID=1".into()],
        };
        let lines = said(&installed("/dev/sda3", false), &mounted);
        assert_eq!(lines[1..3], ["mounted: / (/dev/sda3)", "not mounted: /data: there is no UUID=1"]);
        assert!(lines[3].contains("exit leaves it"));
    }
}
