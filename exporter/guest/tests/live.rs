//! What the programs of a machine do in a live system: nothing. The kernel's command line is one that a mount puts there, in
//! a namespace of its own. Needs root.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

use std::fs;
use std::process::{Command, Output};

/// Run a program where the kernel's command line is that of the file `$1`.
const IN_MACHINE: &str = r#"mount --bind "$1" /proc/cmdline; shift; exec "$@""#;

const GROW: &str = env!("CARGO_BIN_EXE_vmimage-grow");
const BOOT: &str = env!("CARGO_BIN_EXE_vmimage-boot");
const UPDATE: &str = env!("CARGO_BIN_EXE_vmimage-update");

fn run(cmdline: &str, words: &[&str]) -> Output {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), cmdline).unwrap();
    let mut machine = Command::new("unshare");
    machine.args(["--mount", "sh", "-ec", IN_MACHINE, "sh"]).arg(file.path()).args(words);
    machine.output().unwrap()
}

#[test]
fn a_live_system_grows_nothing_and_updates_nothing() {
    // A mount point that is not there would be an error, and so are a boot without slots and a machine without a source.
    for words in [
        &[GROW, "/nonexistent"][..],
        &[GROW, "--rest", "/nonexistent"],
        &[BOOT, "healthy"],
        &[BOOT, "next", "B"],
        &[UPDATE, "auto"],
        &[UPDATE, "watch"],
    ] {
        let live = run("root=/dev/x vmimage.mode=live quiet\n", words);
        let said = String::from_utf8_lossy(&live.stdout);
        assert!(live.status.success() && said.contains("runs from its medium"), "{words:?} {live:?}");
        assert_eq!((said.lines().count(), &*live.stderr), (1, &b""[..]), "{words:?}");
        let installed = run("root=/dev/x quiet\n", words);
        assert!(!installed.status.success(), "{words:?} {installed:?}");
    }
}
