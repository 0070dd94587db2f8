//! The script by which an initramfs of Debian reads a key file from a drive, run on stand-ins.

use std::fs;
use std::process::{Command, Output};

use exporter::boot::KEY_SCRIPT;

use super::scripts::{Sandbox, text_of};

/// Where the step of apt puts it, and its hook, in a sandbox in which passdev and askpass are programs of its own.
fn installed(unlock: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let script = [
        ("/usr/lib/vmimage", sandbox.path("vmimage")),
        ("/etc/initramfs-tools/hooks", sandbox.path("hooks")),
        ("/lib/cryptsetup/scripts/passdev", sandbox.path("bin/passdev")),
        ("/lib/cryptsetup/askpass", sandbox.path("bin/askpass")),
    ]
    .iter()
    .fold(include_str!("apt-key.sh").to_owned(), |text, (path, to)| text.replace(path, to));
    text_of(&sandbox.run(&format!("set -eu\nunlock={unlock}\n{script}"), &[], &[]));
    sandbox
}

/// What it prints at a try.
fn key(sandbox: &Sandbox, tried: &str) -> Output {
    let mut command = Command::new(sandbox.path("vmimage/key"));
    command.arg("/dev/disk/by-label/KEYS:/web.key:15");
    command.env("CRYPTTAB_TRIED", tried).env("CRYPTTAB_NAME", "root").output().unwrap()
}

#[test]
fn a_key_file_is_looked_for_once_and_then_somebody_is_asked() {
    assert_eq!(KEY_SCRIPT, "/usr/lib/vmimage/key");
    let sandbox = installed("key-file");
    sandbox.program("askpass", "typed");
    sandbox.program("passdev", "from the drive");
    assert_eq!(text_of(&key(&sandbox, "0")), "from the drive\n");
    assert_eq!(text_of(&key(&sandbox, "1")), "typed\n");
    // There is no drive.
    fs::write(sandbox.path("bin/passdev"), "#!/bin/sh\nexit 1\n").unwrap();
    let said = key(&sandbox, "0");
    assert_eq!(text_of(&said), "typed\n");
    assert_eq!(String::from_utf8_lossy(&said.stderr), "vmimage-key: waiting for /dev/disk/by-label/KEYS\n");
    let hook = fs::read_to_string(sandbox.path("hooks/vmimage-key")).unwrap();
    for line in ["manual_add_modules vfat ", &format!("copy_exec {}\n", sandbox.path("vmimage/key"))] {
        assert!(hook.contains(line), "{line}: {hook}");
    }
    assert!(fs::exists(installed("passphrase").path("vmimage")).is_ok_and(|is_there| !is_there));
}

#[test]
fn an_initramfs_without_the_script_is_made_anew() {
    let sandbox = Sandbox::new();
    let boot = sandbox.path("boot");
    fs::create_dir(&boot).unwrap();
    for version in ["6.1-old", "6.1-new"] {
        fs::write(format!("{boot}/initrd.img-{version}"), version).unwrap();
    }
    sandbox.program("lsinitramfs", "");
    let knows = "#!/bin/sh\ncase $1 in *new) echo usr/lib/vmimage/key ;; *) echo usr/bin ;; esac\n";
    fs::write(sandbox.path("bin/lsinitramfs"), knows).unwrap();
    sandbox.program("update-initramfs", "");
    fs::write(sandbox.path("bin/update-initramfs"), "#!/bin/sh\necho \"$@\"\n").unwrap();
    let script = include_str!("apt-key-initramfs.sh").replace("/boot/", &format!("{boot}/"));
    let said = |unlock: &str| text_of(&sandbox.run(&format!("set -eu\nunlock={unlock}\n{script}"), &[], &[]));
    assert_eq!((said("key-file").as_str(), said("passphrase").as_str()), ("-u -k 6.1-old\n", ""));
}
