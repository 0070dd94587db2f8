//! What an image, a disk or a file says is shown, not obeyed: no escape sequence, no text turned around and no line that
//! looks like one of ours gets to a terminal, whatever is typed.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// One of each kind: a title for the window, a screen that is cleared by way of C1, text that runs backwards, and a hint.
const EVIL: &str = "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}\u{2066}\u{7f}\r\nhint: run evil";
const SHOWN: &str = "\\u{1b}]0;owned\\u{7}\\u{9b}2J\\u{202e}\\u{2066}\\u{7f}\\r\\nhint: run evil";
/// What stays as it is.
const READABLE: &str = "Gr\u{fc}\u{df}e \u{65e5}\u{672c}\u{8a9e}";

struct Lab(TempDir);

impl Lab {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A file of this text, whatever folders that takes.
    fn put(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
        command.args(words).current_dir(self.0.path()).output().unwrap()
    }

    /// Files that boot, as far as this program can tell.
    fn machine(&self) {
        // As far as the head tells (elf(5)), a program for a PC.
        let head = [b"\x7fELF\x02\x01\x01".as_slice(), &[0; 11], &[62, 0]].concat();
        let init = self.put("tree/sbin/init", head);
        fs::set_permissions(init, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(self.0.path().join("tree/lib/modules/6.1\u{9b}m")).unwrap();
        let os = format!("ID=debian\nPRETTY_NAME=\"{READABLE} {}\"\n", EVIL.replace('\n', ""));
        for (name, text) in [
            ("boot/vendor", "debian\n"),
            ("boot/grub.efi", "GRUB"),
            ("tree/boot/vmlinuz-6.1\u{9b}m", "kernel"),
            ("tree/boot/initrd.img-6.1\u{9b}m", "initramfs"),
            ("tree/etc/os-release", &os),
        ] {
            self.put(name, text);
        }
    }

    /// An OCI layout of these manifests.
    fn layout(&self, name: &str, manifests: &[Value]) {
        self.put(&format!("{name}/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#);
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        self.put(&format!("{name}/index.json"), index.to_string());
    }

    /// A file of a layout, and what describes it.
    fn blob(&self, layout: &str, media_type: &str, content: &Value) -> Value {
        let bytes = content.to_string();
        let digest = format!("{:x}", Sha256::digest(&bytes));
        self.put(&format!("{layout}/blobs/sha256/{digest}"), &bytes);
        json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len() })
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Both streams, of which nothing is obeyed.
#[track_caller]
fn harmless(output: &Output) -> String {
    let said = [text(&output.stdout), text(&output.stderr)].concat();
    let obeyed = |c: char| {
        c != '\n' && c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!said.contains(obeyed), "{said:?}");
    assert!(!said.lines().any(|line| line.starts_with("hint: run evil")), "{said}");
    said
}

#[test]
fn the_check_rejects_what_it_should() {
    for evil in ["\u{1b}[2J", "\u{9b}2J", "\r", "\u{7f}", "\u{202e}", "a\nhint: run evil"] {
        let output = Output {
            status: Command::new("true").status().unwrap(),
            stdout: Vec::new(),
            stderr: evil.as_bytes().to_vec(),
        };
        assert!(std::panic::catch_unwind(|| harmless(&output)).is_err(), "{evil:?}");
    }
}

#[test]
fn names_types_and_platforms_of_an_image() {
    let lab = Lab::new();
    let manifest = "application/vnd.oci.image.manifest.v1+json";
    let config = json!({ "architecture": EVIL, "os": "linux", "config": {}, "rootfs": { "type": "layers", "diff_ids": [] } });
    let config = lab.blob("platform", "application/vnd.oci.image.config.v1+json", &config);
    let image = json!({ "schemaVersion": 2, "mediaType": manifest, "config": config, "layers": [] });
    let mut image = lab.blob("platform", manifest, &image);
    image["annotations"] = json!({ "org.opencontainers.image.ref.name": format!("{READABLE}{EVIL}") });
    lab.layout("platform", &[image]);

    let layer = lab.blob("type", EVIL, &json!({}));
    let config = json!({ "architecture": "amd64", "os": "linux", "config": {}, "rootfs": { "type": "layers", "diff_ids": ["sha256:0"] } });
    let config = lab.blob("type", "application/vnd.oci.image.config.v1+json", &config);
    let image = json!({ "schemaVersion": 2, "mediaType": manifest, "config": config, "layers": [layer] });
    let mut image = lab.blob("type", manifest, &image);
    image["platform"] = json!({ "architecture": "amd64", "os": "linux" });
    lab.layout("type", &[image]);

    for (source, expected) in [
        ("oci:platform", "architecture"),
        ("oci:platform:other", READABLE),
        ("oci:type", SHOWN),
        (&format!("oci:platform:{EVIL}"), "owned"),
        (&format!("docker://{EVIL}"), SHOWN),
        (&format!("missing{EVIL}"), SHOWN),
    ] {
        let output = lab.run(&["convert", "--no-install", "--profile", "data", source, "-o", "disk.raw"]);
        let said = harmless(&output);
        assert_eq!(output.status.code(), Some(1), "{source:?}: {said}");
        assert!(said.contains(expected) || expected == "architecture", "{source:?}: {said}");
    }
}

#[test]
fn labels_of_an_image() {
    let lab = Lab::new();
    let manifest = "application/vnd.oci.image.manifest.v1+json";
    for labels in [json!({ format!("vmimage.{EVIL}"): "1" }), json!({ "vmimage.size": EVIL })] {
        let config = json!({ "architecture": "amd64", "os": "linux", "config": { "Labels": labels }, "rootfs": { "type": "layers", "diff_ids": [] } });
        let config = lab.blob("image", "application/vnd.oci.image.config.v1+json", &config);
        let image = json!({ "schemaVersion": 2, "mediaType": manifest, "config": config, "layers": [] });
        let image = lab.blob("image", manifest, &image);
        lab.layout("image", &[image]);
        let output =
            lab.run(&["convert", "--no-install", "--profile", "data", "oci:image", "-o", "disk.raw"]);
        let said = harmless(&output);
        assert!(said.starts_with("error: the image's label vmimage.") && said.contains("owned"), "{said}");
    }
}

#[test]
fn the_report_of_a_disk() {
    let lab = Lab::new();
    lab.machine();
    let convert = ["convert", "--no-install", "--firmware", "uefi", "--boot", "boot", "tree", "-o"];
    let name = format!("{READABLE}\u{1b}[2J.raw");
    let output = lab.run(&[&convert[..], &[&name]].concat());
    let said = harmless(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("  system   {READABLE} \\u{{1b}}]0;owned\\u{{7}}")), "{said}");
    assert!(said.contains("/boot/vmlinuz-6.1\\u{9b}m\n"), "{said}");
    assert!(said.contains(&format!("{READABLE}\\u{{1b}}[2J.raw: raw, ")), "{said}");

    // JSON is exact, and yet nothing to obey.
    let output = lab.run(&[&convert[..], &[&name, "--json"]].concat());
    harmless(&output);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["disks"][0]["file"], *name);
    assert_eq!(told["disks"][0]["system"]["kernel"], "/boot/vmlinuz-6.1\u{9b}m");
    let os = told["disks"][0]["system"]["os"].as_str().unwrap();
    assert!(os.starts_with(READABLE) && os.contains("\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}"), "{os:?}");

    // What the step of a build says, which every client passes on as it comes.
    let spec = json!({ "formats": ["raw"], "name": "disk", "architecture": "x86_64", "firmware": "uefi" });
    fs::create_dir(lab.0.path().join("out")).unwrap();
    let words =
        ["assemble", "--root", "tree", "--boot", "boot", "--output", "out", "--spec", &spec.to_string()];
    let output = lab.run(&words);
    let said = harmless(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("  system   {READABLE} \\u{{1b}}]0;owned")), "{said}");
}

/// A disk with one partition, whose file system and files are called like this.
fn disk(lab: &Lab) -> PathBuf {
    let run = |program: &str, words: &[&str]| {
        let output = Command::new(program).args(words).current_dir(lab.0.path()).output().unwrap();
        assert!(output.status.success(), "{program}: {output:?}");
    };
    const UUID: &str = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";
    lab.put("root/usr/lib/os-release", format!("PRETTY_NAME=\"{READABLE}{}\"\n", EVIL.replace('\n', "")));
    lab.put(&format!("root/etc/{READABLE}\u{202e}\nhint: run evil"), format!("UUID={UUID}\n"));
    let disk = lab.put("evil\u{1b}[2J\nhint: run evil.raw", "");
    fs::File::options().write(true).open(&disk).unwrap().set_len(64 << 20).unwrap();
    let disk = disk.to_str().unwrap();
    run("sgdisk", &["-n1:2048:0", "-t1:8304", "-c1:\u{e4}\u{9b}2J\u{202e}", disk]);
    fs::File::create(lab.0.path().join("root.ext4")).unwrap().set_len(60 << 20).unwrap();
    let label = "\u{1b}[2J\u{9b}\u{fc}";
    let options = ["-q", "-O", "^orphan_file", "-U", UUID, "-L", label, "-d", "root", "root.ext4"];
    run("mkfs.ext4", &options);
    let root = fs::read(lab.0.path().join("root.ext4")).unwrap();
    fs::File::options().write(true).open(disk).unwrap().write_all_at(&root, 1 << 20).unwrap();
    PathBuf::from(disk)
}

#[test]
fn labels_names_and_files_of_a_disk() {
    let lab = Lab::new();
    let disk = disk(&lab);
    let disk = disk.to_str().unwrap();
    let said = harmless(&lab.run(&["inspect", disk]));
    for part in [
        "evil\\u{1b}[2J\\nhint: run evil.raw: raw, ",
        "\"\u{e4}\\u{9b}2J\\u{202e}\" ext4 \"\\u{1b}[2J\\u{9b}\u{fc}\"",
        &format!("  name           {READABLE}\\u{{1b}}]0;owned"),
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let output = lab.run(&["inspect", "--json", disk]);
    harmless(&output);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["file"], *disk);
    assert_eq!(told["partitions"][0]["label"], "\u{e4}\u{9b}2J\u{202e}");
    let name = told["linux"]["name"].as_str().unwrap();
    assert!(name.contains("\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}"), "{name:?}");

    let said = harmless(&lab.run(&["clone", disk, "-o", "copy\u{9b}.qcow2"]));
    // As listings of a tree write names.
    assert!(said.contains("\\xe2\\x80\\xae\\x0ahint:\\x20run\\x20evil: names the new ones\n"), "{said}");
    assert!(said.contains("\ncopy\\u{9b}.qcow2: qcow2, "), "{said}");

    let said = harmless(&lab.run(&["run", "--bios", "--accel", "tcg", "--dry-run", disk]));
    assert!(said.contains("\\033[2J\\012hint: run evil.raw"), "{said}");
    for command in ["run", "inspect", "clone"] {
        let copy = if command == "clone" { &["-o", "a.raw"][..] } else { &[] };
        let said = harmless(&lab.run(&[&[command, EVIL], copy].concat()));
        assert!(said.contains(SHOWN), "{command}: {said}");
    }
}

#[test]
fn a_file_that_says_what_a_machine_should_be() {
    let lab = Lab::new();
    let toml = format!(
        "\"{}\" = 1\nhostname = \"{}\"\nsize = '''\u{9b}2J\u{202e}\rx'''\n# \u{1b}[2J\n[[a]]\n",
        "a\\u001b[2J", READABLE
    );
    lab.put("evil\u{1b}[2J\nhint: run evil", &toml);
    let output = lab.run(&["config", "check", "evil\u{1b}[2J\nhint: run evil"]);
    let said = harmless(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("error: evil\\u{1b}[2J\\nhint: run evil:1:1: "), "{said}");
    // The lines of the message are ours.
    assert!(said.contains(&format!("\n 2 | hostname = \"{READABLE}\"\n   |            ^")), "{said}");

    lab.put("good", "size = \"10G\"\n");
    let said = harmless(&lab.run(&["config", "check", "good"]));
    assert_eq!(said, "good: nothing is wrong\n");
    let said = harmless(&lab.run(&["config", "check", EVIL]));
    assert!(said.contains(SHOWN), "{said}");
}

#[test]
fn words_that_were_typed() {
    let lab = Lab::new();
    lab.put("disk.raw", [0; 512]);
    for words in [
        &["push", "disk.raw", "host/\u{1b}[2J\u{202e}"][..],
        &["convert", "tree", "-o", "a.raw", "--platform", "\u{9b}2J"],
        &["inspect", "--\u{1b}[2J"],
        &["\u{1b}[2J"],
        &["inspect", "--a\nhint: run evil"],
        &["build", "--build-arg", "VMIMAGE_SIZE=\u{1b}[2J", "--engine", "podman", "nowhere\u{1b}[2J"],
    ] {
        let output = lab.run(words);
        let said = harmless(&output);
        assert!(!output.status.success() && said.starts_with("error: "), "{said}");
    }
}

/// Every line of the program is printed by the two functions of `base::terminal`, or listed here with its reason.
#[test]
fn nothing_is_printed_past_the_functions_for_it() {
    let right = [
        "base/terminal.rs",            // these functions
        "cli/build.rs",                // the disk
        "cli/completion.rs",           // a script, all ours
        "cli/export/mod.rs",           // an archive, and to no terminal
        "cli/machines/exec.rs",        // a program's streams
        "cli/machines/logs.rs",        // a console, as it was
        "cli/run/microvm/attached.rs", // a program's streams
        "engine/buildah/tool.rs",      // what an engine says
        "gateway/transport.rs",        // the protocol
        "machines/console.rs",         // a console, as it is
        "shim/run.rs",                 // the disk
    ];
    let prints = ["println!", "print!", "stdout().write", "stderr().write", "io::stdout()", "io::stderr()"];
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![source.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if prints.iter().any(|call| fs::read_to_string(&path).unwrap().contains(call)) {
                found.push(path.strip_prefix(&source).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort_unstable();
    assert_eq!(found, right);
}
