//! How much memory a disk takes. Alone in its program: a child's peak begins at its parent's.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::io::Write;
use std::process::Command;

use wait4::Wait4;

/// Thirty thousand files and a quarter of a gigabyte: memory is for names, not for contents.
#[test]
fn memory_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let mut large = fs::File::create(tree.join("large")).unwrap();
    (0..256).for_each(|_| large.write_all(&[7; 1 << 20]).unwrap());
    for directory in 0..30 {
        let directory = tree.join(format!("directory {directory}"));
        fs::create_dir(&directory).unwrap();
        (0..1000).for_each(|file| fs::write(directory.join(format!("file {file}.txt")), "text").unwrap());
    }
    for name in ["disk.raw", "disk.vmdk"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
        command.args(["convert", "-q", "--profile", "data"]).arg(&tree);
        let mut child = command.arg("-o").arg(folder.path().join(name)).spawn().unwrap();
        let ended = child.wait4().unwrap();
        assert!(ended.status.success());
        let peak = ended.rusage.maxrss >> 20;
        assert!(peak < 48, "{name}: {peak} MiB");
    }
}
