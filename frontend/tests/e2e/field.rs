//! What users of such tools meet in the field: every Dockerfile of `testdata/field` is built, and boots if it says so.
//!
//! The second line of each is what has to come of it: `# expect: boots`, `# expect: report: TEXT` (it boots, and the
//! build says TEXT) or `# expect: refused: TEXT`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::lab::{self, VMIMAGE, copy_of, nonce, run_until, scratch, testdata, text};

/// Makes the report of `testdata/machine` part of any machine, without a say in the image's own configuration.
const REPORT: &str = r#"
[[files]]
path = "/usr/local/bin/report"
source = "report.sh"
mode = "0755"
[[files]]
path = "/srv/app/app.txt"
source = "app.txt"
"#;
const SYSTEMD: &str = r#"
[[files]]
path = "/etc/systemd/system/report.service"
source = "report.service"
[services]
enable = ["report"]
"#;
const OPENRC: &str = r#"
[[files]]
path = "/etc/local.d/report.start"
source = "report.start"
mode = "0755"
[services]
enable = ["local"]
"#;

enum Expected {
    Boots { said: String },
    Refused { said: String },
}

struct Situation {
    dockerfile: String,
    expected: Expected,
}

impl Situation {
    fn read(path: &Path) -> Self {
        let dockerfile = fs::read_to_string(path).unwrap();
        let line = dockerfile.lines().nth(1).and_then(|line| line.strip_prefix("# expect: "));
        let expected = match line.and_then(|line| line.split_once(": ").or(Some((line, "")))) {
            Some(("boots", "")) => Expected::Boots { said: String::new() },
            Some(("report", said)) => Expected::Boots { said: said.to_owned() },
            Some(("refused", said)) => Expected::Refused { said: said.to_owned() },
            _ => panic!("{}: the second line says what has to come of it", path.display()),
        };
        Self { dockerfile, expected }
    }

    /// Our own first process starts the image's program alone, which shows the token by itself.
    fn has_own_init(&self) -> bool {
        self.dockerfile.contains("vmimage.init=vmimage")
    }

    fn config(&self) -> String {
        match self.dockerfile.contains("alpine") {
            _ if self.has_own_init() => String::new(),
            true => format!("{REPORT}{OPENRC}"),
            false => format!("{REPORT}{SYSTEMD}"),
        }
    }

    fn check(&self, folder: &Path) {
        let context = copy_of("machine", folder);
        fs::write(context.join("Dockerfile"), &self.dockerfile).unwrap();
        fs::write(context.join("vmimage.toml"), self.config()).unwrap();
        let disk = folder.join("disk.qcow2");
        let mut command = Command::new(VMIMAGE);
        let output = command.arg("build").arg(&context).arg("-o").arg(&disk).output().unwrap();
        let told = text(&output);
        match &self.expected {
            Expected::Refused { said } => assert!(!output.status.success() && told.contains(said), "{told}"),
            Expected::Boots { said } => {
                assert!(output.status.success() && told.contains(said), "{told}");
                self.boot(&disk);
            }
        }
    }

    fn boot(&self, disk: &Path) {
        if self.has_own_init() {
            let token = nonce();
            let mut command = Command::new(VMIMAGE);
            command.env("VMIMAGE_ACCEL", lab::accel()).arg("run").arg(disk).arg("--qemu-arg=-smbios");
            command.arg(format!("--qemu-arg=type=1,product={token}"));
            run_until(&mut command, &token, Duration::from_secs(300));
        } else {
            let report = lab::boot(disk, "--bios", &[]);
            assert_eq!(report.get("failed"), "");
        }
    }
}

/// All of them; with `MATRIX=kernel` those that have this in their name.
fn situations() -> Vec<PathBuf> {
    let only = std::env::var("MATRIX").unwrap_or_default();
    let entries = fs::read_dir(testdata("field")).unwrap().map(|entry| entry.unwrap().path());
    let is_meant = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().contains(&only);
    let mut paths: Vec<_> = entries.filter(is_meant).collect();
    paths.sort();
    paths
}

#[test]
fn every_situation_says_what_has_to_come_of_it() {
    for path in situations() {
        let situation = Situation::read(&path);
        let first = situation.dockerfile.lines().next().unwrap();
        assert!(first.starts_with("# ") && first.len() > 20, "{}: what is it?", path.display());
    }
}

#[test]
#[ignore = "an hour: make matrix"]
fn every_situation_ends_as_it_should() {
    let mut failed = Vec::new();
    for path in situations() {
        let folder = scratch();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        eprintln!("field: {name}");
        let check = std::panic::AssertUnwindSafe(|| Situation::read(&path).check(folder.path()));
        if std::panic::catch_unwind(check).is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}
