//! The files of a machine that has busybox for all its programs.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const FOLDERS: [&str; 10] =
    ["bin", "sbin", "proc", "dev", "out", "etc", "var/lib", "tmp", "run", "usr/lib/vmimage"];

/// A root in the folder `image`, with the program `early`, its configuration, and an init.
pub(crate) fn root(image: &Path, config: &str, init: &str) {
    for folder in FOLDERS {
        fs::create_dir_all(image.join(folder)).unwrap();
    }
    fs::copy("/bin/busybox", image.join("bin/busybox")).unwrap();
    for name in ["sed", "tail", "stat", "cat", "tr", "ls", "md5sum", "sleep"] {
        std::os::unix::fs::symlink("busybox", image.join("bin").join(name)).unwrap();
    }
    install("/bin/busybox", &image.join("bin/busybox"), image);
    let early = env!("CARGO_BIN_EXE_vmimage-early");
    install(early, &image.join("usr/lib/vmimage/early"), image);
    fs::write(image.join("usr/lib/vmimage/early.json"), config).unwrap();
    fs::write(image.join("sbin/init"), init).unwrap();
    fs::set_permissions(image.join("sbin/init"), Permissions::from_mode(0o755)).unwrap();
}

/// A program of this machine with its shared libraries, where it looks for them.
pub(crate) fn install(program: &str, to: &Path, image: &Path) {
    fs::copy(program, to).unwrap();
    let output = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for library in text.split_whitespace().filter(|word| word.starts_with('/')) {
        let copy = image.join(&library[1..]);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(library, copy).unwrap();
    }
}
