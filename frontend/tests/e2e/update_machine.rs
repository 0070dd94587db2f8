//! A machine that updates itself from a server of the test, which also tells it what to do in each boot.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::lab::{Report, boot_told, build, copy_of, run, scratch};
use super::web::Server;

pub(super) const DEBIAN: &str = "vmimage-test/debian:12";
pub(super) const ALPINE: &str = "vmimage-test/alpine:3.23";

/// One boot after another, some of which wait for a deadline or for a server that says nothing.
const LIMIT: Duration = Duration::from_secs(3600);

/// Bytes of a file that is another one in each version.
pub(super) const LARGE: usize = 1 << 20;

/// What a machine does once its boot is good, in the words below.
const STEPS: &str = r#"
[[files]]
path = "/etc/report.d/steps"
content = '''
port=${serial%%:*}
server=http://10.0.2.2:$port
version=$(cat /srv/app/app.txt)
# Debian's shell speaks HTTP where no program does.
steps() {
	if command -v wget >/dev/null; then wget -q -O - "$server/steps"; return; fi
	bash -c "exec 3<>/dev/tcp/10.0.2.2/$port; printf 'GET /steps HTTP/1.0\r\n\r\n' >&3; cat <&3" | sed '1,/^.$/d'
}
identity() { cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub 2>/dev/null | tr '\n' ' '; }
# What has to be there whatever is updated.
write() { echo data >/var/lib/written; echo edited >/etc/written; fact first "$(identity)"; sync; }
written() { cat /var/lib/written /etc/written 2>/dev/null | tr '\n' ' '; }
# As a fact the status of the command, and the end of what it has said.
try() {
	name=$1
	shift
	"$@" >/run/said 2>&1
	fact "$name" "$? $(tail -c 700 /run/said | tr '\n' ' ')"
}
restart() { sync; reboot; sleep 600; }
# The label of the second slot, and what is in it.
second() { echo "$(vmimage-boot status | sed -n 's/^B //p') $(md5sum </dev/vmimage/slot-B)"; }
until vmimage-boot status | grep -q ' booted  *good '; do sleep 1; done
steps >/run/steps
. /run/steps
fact version "$version"
fact same "$(identity)"
fact written "$(written)"
fact boot "$(vmimage-boot status --json)"
fact update "$(vmimage-update status --json)"
'''
"#;

/// What a machine has beside what every one here has.
#[derive(Clone, Copy, Default)]
pub(super) struct Wishes<'a> {
    pub(super) keys: &'a str,
    /// Of `[update]`.
    pub(super) update: &'a str,
    pub(super) tables: &'a str,
    /// Of the command line.
    pub(super) args: &'a [&'a str],
    /// Files of the build context, by the names that they have there.
    pub(super) files: &'a [(&'a str, &'a Path)],
}

/// The machine, with version 1 on its disk, and the server of its updates.
pub(super) struct Kiosk<'a> {
    pub(super) server: Server,
    pub(super) disk: PathBuf,
    folder: tempfile::TempDir,
    base: &'a str,
    pub(super) wishes: Wishes<'a>,
}

impl<'a> Kiosk<'a> {
    pub(super) fn new(base: &'a str, wishes: Wishes<'a>) -> Self {
        let folder = scratch();
        let disk = folder.path().join("kiosk.qcow2");
        std::fs::create_dir(folder.path().join("web")).unwrap();
        let server = Server::start(&folder.path().join("web")).unwrap();
        let kiosk = Self { server, disk, folder, base, wishes };
        kiosk.build("1", "version one", &kiosk.disk, &[]);
        kiosk
    }

    /// Hand out an update of this version, whose app says so: `/VERSION/` of the server, and a folder.
    pub(super) fn publish(&self, version: &str, app: &str) -> PathBuf {
        let update = self.web(version);
        self.build(version, app, &update, &["--format=update"]);
        update
    }

    /// Let the machine find an update where it looks for its next one.
    pub(super) fn offer(&self, version: &str) {
        let _ = std::fs::remove_file(self.web("latest"));
        std::os::unix::fs::symlink(version, self.web("latest")).unwrap();
    }

    /// A folder of the server.
    pub(super) fn web(&self, name: &str) -> PathBuf {
        self.folder.path().join("web").join(name)
    }

    fn build(&self, version: &str, app: &str, output: &Path, args: &[&str]) {
        let Wishes { keys, update, tables, args: wished, files } = self.wishes;
        let folder = scratch();
        let context = copy_of("machine", folder.path());
        std::fs::write(context.join("app.txt"), format!("{app}\n")).unwrap();
        for (name, file) in files {
            std::fs::copy(file, context.join(name)).unwrap();
        }
        // What no other version has, and nothing packs.
        let large = (0..LARGE / 32).flat_map(|number| Sha256::digest(format!("{version} {number}")));
        std::fs::write(context.join("large"), large.collect::<Vec<u8>>()).unwrap();
        let dockerfile = std::fs::read_to_string(context.join("Dockerfile")).unwrap();
        std::fs::write(context.join("Dockerfile"), format!("{dockerfile}COPY large /srv/app/\n")).unwrap();
        let update = update.replace("PORT", &self.server.port().to_string());
        let config = format!(
            "hostname = \"web\"\nlayout = \"ab\"\n{keys}\n\
             [image]\nid = \"kiosk\"\nversion = \"{version}\"\ncompatible = \"acme kiosk-2\"\n\
             [update]\nhealthy = \"grep -q version /srv/app/app.txt\"\ndeadline = 240\ntries = 2\n{update}\n\
             {tables}{STEPS}"
        );
        std::fs::write(context.join("vmimage.toml"), config).unwrap();
        let base = format!("BASE={}", self.base);
        build(&context, output, &[&["--build-arg", &base], wished, args].concat());
    }

    /// Boot a disk of this machine, which does this, restarts if it is told to, and reports from the boot in which it is not.
    pub(super) fn boot(&self, disk: &Path, firmware: &str, steps: &str, args: &[&str]) -> Report {
        self.server.tell(steps);
        boot_told(disk, firmware, &self.told(), args, LIMIT)
    }

    /// What a machine has to know before it can ask.
    pub(super) fn told(&self) -> String {
        self.server.port().to_string()
    }

    /// Another disk that has never been booted, in place of the last one.
    pub(super) fn copy(&self) -> PathBuf {
        let copy = self.folder.path().join("copy.qcow2");
        run(Command::new("cp").args(["--sparse=always"]).arg(&self.disk).arg(&copy));
        copy
    }
}

/// It is in this slot, and nothing in it has failed.
#[track_caller]
pub(super) fn check(report: &Report, slot: &str, app: &str) {
    assert_eq!(report.get("failed"), "", "{}", report.console());
    is_in(report, slot, app);
}

/// It is started from this slot, which is good, and is the machine that has written in its first boot.
#[track_caller]
pub(super) fn is_in(report: &Report, slot: &str, app: &str) {
    let said = report.console();
    assert_eq!(report.get("version"), app, "{said}");
    let words = report.get("cmdline");
    // An image is the same for both.
    let is_told = [slot, "of-root"].iter().any(|slot| words.contains(&format!("rauc.slot={slot}")));
    assert!(is_told, "{words}");
    let boot: serde_json::Value = serde_json::from_str(report.get("boot")).unwrap();
    assert_eq!((&boot["booted"], &boot["good"]), (&slot.into(), &slot.into()), "{boot}\n{said}");
    assert_eq!(report.get("written"), "data edited", "{said}");
    assert_eq!(report.get("same"), report.get("first"), "{said}");
}
