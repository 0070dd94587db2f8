//! Boot loaders: systemd-boot with an image's own program, and a GRUB that asks for a password.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::boot::{bare_alpine, check_report};
use super::lab::{VMIMAGE, accel, boot, build, copy_of, run, scratch};

const DEBIAN: &str = "vmimage-test/debian:12";

/// What systemd-boot has told of this boot, and what became of its entries.
const LOADER_FACTS: &str = r#"
[[files]]
path = "/etc/report.d/loader"
content = '''
fact loader "$(bootctl status 2>/dev/null | awk '/Product:/ { print $2; exit }')"
fact entries "$(ls /boot/efi/loader/entries | tr '\n' ' ')"
fact image "$(. /etc/os-release && echo "$IMAGE_ID $IMAGE_VERSION")"
'''
"#;

/// The disk of `testdata/machine` on a base with this configuration.
fn machine(base: &str, config: &str, folder: &Path, args: &[&str]) -> (PathBuf, String) {
    let context = copy_of("machine", folder);
    std::fs::write(context.join("vmimage.toml"), config).unwrap();
    let disk = folder.join("machine.qcow2");
    let base = format!("BASE={base}");
    let progress = build(&context, &disk, &[&["--build-arg", &base], args].concat());
    (disk, progress)
}

/// The first boot is a try, and a good one: systemd-bless-boot takes the counters away, and the second has none.
#[test]
#[ignore = "long: make matrix"]
fn systemd_boot_counts_the_tries_of_a_debian_that_calls_them_good() {
    let folder = scratch();
    let config = format!(
        "hostname = \"web\"\nloader = \"systemd-boot\"\ninstall = \"systemd-boot\"\n\
         [image]\nid = \"kiosk\"\n{LOADER_FACTS}"
    );
    let (disk, progress) = machine(DEBIAN, &config, folder.path(), &["--image-version", "1.4.0"]);
    assert!(
        progress.contains("loader   systemd-boot of the image (/usr/lib/systemd/boot/efi/"),
        "{progress}"
    );
    assert!(progress.contains("image    kiosk 1.4.0"), "{progress}");
    assert!(!progress.contains("collect boot loader files"), "{progress}");
    for _ in 0..2 {
        let report = boot(&disk, "--uefi", &[]);
        check_report(DEBIAN, "--uefi", &report);
        let entry = format!("kiosk-{}.conf", report.get("kernel"));
        assert_eq!((report.get("loader"), report.get("entries")), ("systemd-boot", entry.as_str()));
        assert_eq!(report.get("image"), "kiosk 1.4.0");
    }
}

#[test]
#[ignore = "long: make matrix"]
fn an_image_without_systemd_boot_is_refused_with_its_package() {
    let folder = scratch();
    let context = copy_of("machine", folder.path());
    std::fs::write(context.join("vmimage.toml"), "loader = \"systemd-boot\"\n").unwrap();
    let base = format!("BASE={}", bare_alpine());
    let mut command = Command::new(VMIMAGE);
    command
        .arg("build")
        .arg(&context)
        .args(["--build-arg", &base, "-o"])
        .arg(folder.path().join("disk.qcow2"));
    let said = super::lab::refused(&mut command);
    assert!(said.contains("is not there: the image has no systemd-boot"), "{said}");
    assert!(said.contains("--install systemd-boot"), "{said}");
}

/// A machine whose serial port is typed at.
struct Console {
    qemu: Child,
    keys: ChildStdin,
    output: Receiver<Vec<u8>>,
    seen: String,
}

impl Console {
    fn boot(disk: &Path, firmware: &str) -> Self {
        let mut command = Command::new(VMIMAGE);
        command.env("VMIMAGE_ACCEL", accel()).arg("run").arg(disk).args([firmware, "--memory", "512M"]);
        let mut qemu = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (keys, mut stdout) = (qemu.stdin.take().unwrap(), qemu.stdout.take().unwrap());
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..len].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { qemu, keys, output, seen: String::new() }
    }

    /// Wait for these words, and forget all up to them.
    #[track_caller]
    fn expect(&mut self, words: &str) {
        let end = Instant::now() + Duration::from_secs(120);
        loop {
            if let Some(at) = self.seen.find(words) {
                self.seen.drain(..at + words.len());
                return;
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.seen += &String::from_utf8_lossy(&bytes),
                Err(error) => panic!("no {words:?} ({error}) in:\n{}", self.seen),
            }
        }
    }

    fn type_keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// Entries boot by themselves, by a core that knows passwords and by the distribution's signed GRUB; the console of GRUB
/// wants the password.
#[test]
#[ignore = "long: make matrix"]
fn grub_boots_without_its_password_and_has_no_console_without_it() {
    let folder = scratch();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "correct horse\n").unwrap();
    let secret = format!("--secret=id=grub,src={}", secret.display());
    let config = "hostname = \"web\"\n[grub]\npassword = { secret = \"grub\" }\n";
    let (disk, progress) = machine(DEBIAN, config, folder.path(), &[&secret]);
    assert!(!progress.contains("correct horse"), "the password is shown");
    for firmware in ["--bios", "--secure-boot"] {
        check_report(DEBIAN, firmware, &boot(&disk, firmware, &[]));
    }

    let waits =
        format!("{config}[[files]]\npath = \"/etc/default/grub\"\ncontent = \"GRUB_TIMEOUT=60\\n\"\n");
    let other = scratch();
    let (disk, _) = machine(DEBIAN, &waits, other.path(), &[&secret]);
    for firmware in ["--bios", "--secure-boot"] {
        let mut console = Console::boot(&disk, firmware);
        console.expect("Debian GNU/Linux");
        for (password, is_right) in [("wrong", false), ("correct horse", true)] {
            console.type_keys("c");
            console.expect("Enter username:");
            console.type_keys("root\r");
            console.expect("Enter password:");
            console.type_keys(&format!("{password}\r"));
            console.expect(if is_right { "grub>" } else { "Debian GNU/Linux" });
        }
        console.type_keys("echo is-$superusers\r");
        console.expect("is-root");
    }
}

/// grub-mkconfig's own menu keeps the password, and its entries boot without it.
#[test]
#[ignore = "long: make matrix"]
fn update_grub_in_the_machine_keeps_the_password_and_what_boots_without_it() {
    let folder = scratch();
    let hash = format!("grub.pbkdf2.sha512.1000.{}.{}", "AB".repeat(64), "CD".repeat(64));
    let config = format!(
        "hostname = \"web\"\ninstall = [\"grub-common\", \"grub2-common\"]\n[grub]\npassword = \"{hash}\"\n\
         [[files]]\npath = \"/etc/report.d/grub\"\ncontent = '''\n\
         update-grub >/dev/null 2>&1\n\
         fact asks \"$(grep -c '{hash}' /boot/grub/grub.cfg)\"\n\
         fact menu \"$(grep -c '^menuentry' /boot/grub/grub.cfg)\"\nsync\n'''\n"
    );
    let (disk, _) = machine(DEBIAN, &config, folder.path(), &[]);
    for made_by_grub in [false, true] {
        let report = boot(&disk, "--bios", &[]);
        check_report(DEBIAN, "--bios", &report);
        assert_eq!(report.get("asks"), "1", "second boot: {made_by_grub}");
        assert_ne!(report.get("menu"), "0");
    }
    run(Command::new("qemu-img").args(["check", "-q"]).arg(&disk));
}
