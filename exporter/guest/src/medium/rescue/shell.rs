//! A shell in an installed system, without a login: who is at the console holds the machine anyway.
//!
//! A process of its own, since a terminal belongs to the first process of a session: it takes the console, goes into the
//! system, and becomes the shell.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use rustix::process::{chdir, chroot, ioctl_tiocsctty, setsid};

use crate::grow::device::in_file;
use crate::init::initramfs::mount::SYSROOT;

/// The argument that asks for it, before the path of the console.
pub(crate) const ROLE: &str = "shell";
/// How it ends where there is no shell.
pub(super) const NO_SHELL: u8 = 127;

/// Those that are tried where root's own is not there.
const SHELLS: [&str; 3] = ["/bin/bash", "/bin/sh", "/bin/busybox"];
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const PASSWD: &str = "/etc/passwd";
const HOME: &str = "/root";

/// As that process. Returns only if there is no shell.
pub(crate) fn run(console: &Path) -> ExitCode {
    let error = match enter(console) {
        Ok(()) => start(console),
        Err(error) => error,
    };
    eprintln!("vmimage: {error}");
    ExitCode::from(NO_SHELL)
}

fn enter(console: &Path) -> Result<(), String> {
    let failed = in_file(Path::new(SYSROOT));
    // The first of a session it is already, if it was started by hand.
    let _ = setsid();
    let terminal = File::options().read(true).write(true).open(console).map_err(in_file(console))?;
    let _ = ioctl_tiocsctty(&terminal);
    rustix::stdio::dup2_stdin(&terminal).map_err(in_file(console))?;
    rustix::stdio::dup2_stdout(&terminal).map_err(in_file(console))?;
    rustix::stdio::dup2_stderr(&terminal).map_err(in_file(console))?;
    chroot(SYSROOT).and_then(|()| chdir("/")).map_err(failed)?;
    let _ = chdir(HOME);
    Ok(())
}

/// Returns why none could be started.
fn start(console: &Path) -> String {
    let passwd = fs::read_to_string(PASSWD).unwrap_or_default();
    let shells = shell_of_root(&passwd).into_iter().chain(SHELLS.map(PathBuf::from));
    let mut errors = Vec::new();
    for shell in shells.filter(|shell| shell.exists()) {
        let name = shell.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut command = Command::new(&shell);
        match &*name {
            "busybox" => command.arg("sh"),
            // By the hyphen it knows that it is the first one, and reads the profile.
            name => command.arg0(format!("-{name}")),
        };
        command.env_clear().env("PATH", PATH).env("HOME", HOME).env("USER", "root").env("LOGNAME", "root");
        command.env("SHELL", &shell).env("TERM", terminal(console));
        errors.push(format!("{}: {}", shell.display(), command.exec()));
    }
    match errors.is_empty() {
        true => "the installed system has no shell".to_owned(),
        false => format!("the installed system has no shell that runs: {}", errors.join("; ")),
    }
}

/// Root's (passwd(5)), if it is one to talk to.
fn shell_of_root(passwd: &str) -> Option<PathBuf> {
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some("0"))?;
    let shell = line.split(':').nth(6)?;
    let is_none = ["nologin", "false"].iter().any(|none| shell.ends_with(none));
    (shell.starts_with('/') && !is_none).then(|| shell.into())
}

/// What programs take the console for: screens are Linux' own, all else is a terminal on a line.
fn terminal(console: &Path) -> &'static str {
    let name = console.file_name().unwrap_or_default().to_string_lossy();
    let is_screen =
        name.strip_prefix("tty").is_some_and(|rest| rest.starts_with(|it: char| it.is_ascii_digit()));
    if is_screen { "linux" } else { "vt220" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_own_shell_is_taken_if_it_is_one() {
        let shell = |passwd: &str| shell_of_root(passwd).map(|shell| shell.display().to_string());
        assert_eq!(shell("x:x:1:1::/:/bin/x\nroot:x:0:0:root:/root:/bin/zsh\n").as_deref(), Some("/bin/zsh"));
        for none in ["", "root:x:0:0:root:/root:/sbin/nologin", "root:x:0:0:root:/root:", "root:x:0"] {
            assert_eq!(shell(none), None, "{none}");
        }
    }

    #[test]
    fn screens_and_lines_are_told_apart() {
        let kinds =
            ["/dev/tty1", "/dev/ttyS0", "/dev/hvc0", "/dev/console"].map(|path| terminal(path.as_ref()));
        assert_eq!(kinds, ["linux", "vt220", "vt220", "vt220"]);
    }
}
