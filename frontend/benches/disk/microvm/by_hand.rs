//! The initramfs that a careful person makes for one machine: busybox, a script, and the few modules that it loads.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::text;
use crate::Result;

/// What the root is found and read by.
const MODULES: [&str; 3] = ["virtio_pci.ko", "virtio_blk.ko", "ext4.ko"];

/// Where the files of the initramfs that was replaced are.
pub(super) fn unpacked(scratch: &Path) -> PathBuf {
    scratch.join("initramfs")
}

/// Puts it in the place of ours, whose modules it has.
pub(super) fn replace(initramfs: &Path, scratch: &Path) -> Result<()> {
    let [ours, own] = [unpacked(scratch), scratch.join("hand")];
    std::fs::create_dir(&ours)?;
    in_folder(&ours, "busybox cpio -idm <\"$1\"", initramfs)?;
    for folder in ["bin", "dev", "proc", "sys", "sysroot"] {
        std::fs::create_dir_all(own.join(folder))?;
    }
    copy_busybox(&own)?;
    let script = script(&ours, &own)?;
    std::fs::write(own.join("init"), script)?;
    std::fs::set_permissions(own.join("init"), std::fs::Permissions::from_mode(0o755))?;
    // Its name is one of several for the same file.
    std::fs::remove_file(initramfs)?;
    in_folder(&own, "find . | busybox cpio -o -H newc | zstd -q >\"$1\"", initramfs)
}

fn in_folder(folder: &Path, script: &str, argument: &Path) -> Result<()> {
    let mut command = Command::new("bash");
    command.args(["-o", "pipefail", "-c", script, "bash"]).arg(argument);
    text(command.current_dir(folder)).map(drop)
}

/// With the libraries that it is linked to, where it is.
fn copy_busybox(own: &Path) -> Result<()> {
    let busybox = text(Command::new("sh").args(["-c", "readlink -f \"$(command -v busybox)\""]))?;
    std::fs::copy(&busybox, own.join("bin/busybox"))?;
    // A static one is no error.
    let libraries = Command::new("ldd").arg(&busybox).output()?;
    let libraries = String::from_utf8_lossy(&libraries.stdout).into_owned();
    for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
        let to = own.join(library.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().unwrap_or(own))?;
        std::fs::copy(library, to)?;
    }
    Ok(())
}

/// Its first process; the modules that it loads are copied.
fn script(ours: &Path, own: &Path) -> Result<String> {
    let mut lines = vec![
        "#!/bin/busybox sh".to_owned(),
        "b=/bin/busybox".to_owned(),
        "$b mount -t proc proc /proc".to_owned(),
        "$b mount -t sysfs sysfs /sys".to_owned(),
        "$b mount -t devtmpfs dev /dev".to_owned(),
    ];
    for (number, module) in modules(ours)?.iter().enumerate() {
        let name = format!("{number}.ko");
        std::fs::copy(module, own.join(&name))?;
        lines.push(format!("$b insmod /{name}"));
    }
    lines.extend([
        "until [ -b /dev/vda ]; do $b usleep 1000; done".to_owned(),
        "$b mount -t ext4 -o rw /dev/vda /sysroot".to_owned(),
        "for at in dev proc sys; do $b mount -o move /$at /sysroot/$at; done".to_owned(),
        "exec $b switch_root /sysroot /entry".to_owned(),
    ]);
    Ok(lines.join("\n") + "\n")
}

/// The modules with all that they need, in the order in which they are loaded. What is built in is not there.
fn modules(ours: &Path) -> Result<Vec<PathBuf>> {
    let releases = ours.join("lib/modules");
    let release = std::fs::read_dir(&releases)?.next().ok_or("the initramfs has no modules")??.path();
    let index = std::fs::read_to_string(release.join("modules.dep"))?;
    let lines: Vec<(&str, &str)> = index.lines().filter_map(|line| line.split_once(':')).collect();
    let mut order: Vec<&str> = Vec::new();
    for wanted in MODULES {
        let is_it = |path: &str| path.rsplit('/').next().is_some_and(|name| name.replace('-', "_") == wanted);
        let Some((path, needs)) = lines.iter().find(|(path, _)| is_it(path)) else { continue };
        // The last of a line is what needs nothing.
        order.extend(needs.split_whitespace().rev());
        order.push(path);
    }
    let mut known = std::collections::BTreeSet::new();
    Ok(order.into_iter().filter(|path| known.insert(*path)).map(|path| release.join(path)).collect())
}
