//! `vmimage convert` as typed: what it makes, and what is left when it cannot.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

fn vmimage(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
    command.args(args);
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A folder with a small tree in it, and the place of a disk beside the tree.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("tree/etc")).unwrap();
        fs::create_dir(folder.path().join("out")).unwrap();
        fs::write(folder.path().join("tree/etc/hostname"), "web\n").unwrap();
        Self { folder }
    }

    fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// `vmimage convert --profile data TREE -o OUT/NAME …`
    fn convert(&self, name: &str, args: &[&str]) -> Command {
        let mut command = vmimage(&["convert", "--no-install", "--profile", "data"]);
        command.arg(self.tree()).arg("-o").arg(self.out().join(name)).args(args);
        command
    }

    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.out()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// A file that keeps a slow build busy for seconds.
    fn add_work(&self) {
        let mut file = fs::File::create(self.tree().join("work")).unwrap();
        let block: Vec<u8> = (0..1 << 20).map(|n: u32| (n.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
        (0..400).for_each(|_| file.write_all(&block).unwrap());
    }

    /// Start a slow build and wait until it writes.
    fn start_slow(&self) -> Child {
        let mut command = self.convert("disk.qcow2", &["--compression", "zlib", "--threads", "1"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let start = Instant::now();
        while !self.is_writing() {
            assert!(start.elapsed() < Duration::from_secs(60), "nothing is written");
            std::thread::sleep(Duration::from_millis(5));
        }
        child
    }

    fn is_writing(&self) -> bool {
        let sizes = fs::read_dir(self.out()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
        sizes.max().is_some_and(|size| size > 1 << 20)
    }
}

fn run(program: &str, args: &[&str]) -> String {
    let output =
        Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_directory_becomes_a_disk_with_its_files() {
    let bench = Bench::new();
    let output = bench.convert("disk.raw", &[]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(bench.left(), ["disk.raw"]);
    let disk = bench.out().join("disk.raw");
    run("sgdisk", &["-v", disk.to_str().unwrap()]);
    let file = format!("{}?offset=1048576", disk.display());
    assert_eq!(run("debugfs", &["-R", "cat /etc/hostname", &file]), "web\n");
}

#[test]
fn several_formats_come_from_one_run() {
    let bench = Bench::new();
    let qcow2 = bench.out().join("disk.qcow2");
    let output = bench.convert("disk.raw", &["-o", qcow2.to_str().unwrap(), "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let formats = told["disks"].as_array().unwrap().iter().map(|disk| disk["format"].as_str().unwrap());
    assert_eq!(formats.collect::<Vec<_>>(), ["raw", "qcow2"]);
    let raw = bench.out().join("disk.raw");
    run("qemu-img", &["compare", raw.to_str().unwrap(), qcow2.to_str().unwrap()]);
}

#[test]
fn a_folder_is_made_beside_a_file_and_read_like_one() {
    let bench = Bench::new();
    let raw = bench.out().join("disk.raw");
    let options = ["--format", "ovf", "-o", raw.to_str().unwrap(), "--format", "raw", "--json"];
    let output = bench.convert("web", &options).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["disks"][0]["format"], &told["disks"][1]["format"]), (&"ovf".into(), &"raw".into()));
    assert_eq!(told["disks"][0]["virtual_size"], told["disks"][1]["virtual_size"]);
    let folder = bench.out().join("web");
    let disk = folder.join("disk-disk1.vmdk");
    run("qemu-img", &["compare", raw.to_str().unwrap(), disk.to_str().unwrap()]);
    let inspected = vmimage(&["inspect"]).arg(&folder).output().unwrap();
    assert!(inspected.status.success(), "{}", stderr(&inspected));
    let inspected = String::from_utf8(inspected.stdout).unwrap();
    assert!(inspected.contains("web: ovf, ") && inspected.contains("ext4"), "{inspected}");
    let piped =
        vmimage(&["convert", "--profile", "data", "--format", "ovf", "-o", "-"]).arg(bench.tree()).output();
    let message = stderr(&piped.unwrap());
    assert!(message.contains("ovf cannot be written to a pipe\nhint: name a folder"), "{message}");
}

#[test]
fn files_of_one_format_have_the_names_that_were_given() {
    let bench = Bench::new();
    let second = bench.out().join("second.raw");
    let output = bench.convert("first.raw", &["-o", second.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(fs::read(bench.out().join("first.raw")).unwrap() == fs::read(second).unwrap());
}

/// A configuration is of the update, too, whose version is told when one is made.
#[test]
fn formats_of_the_configuration_count_where_they_are_made() {
    let bench = Bench::new();
    let config = bench.out().join("vmimage.toml");
    fs::write(&config, "layout = \"ab\"\nformat = [\"qcow2\", \"update\"]\n[image]\nid = \"kiosk\"\n")
        .unwrap();
    let said = |output: &[&str]| {
        let mut command = vmimage(&["convert", "--no-install", "--config", config.to_str().unwrap(), "-o"]);
        stderr(&command.arg(bench.out().join("made")).args(output).arg(bench.tree()).output().unwrap())
    };
    let [disk, update] = ["raw", "update"].map(|format| said(&["--format", format]));
    assert!(disk.starts_with("error: ") && !disk.contains("image.version"), "{disk}");
    assert!(update.contains("image.version: is not said"), "{update}");
}

#[test]
fn a_disk_goes_to_stdout() {
    let bench = Bench::new();
    let piped = vmimage(&["convert", "--profile", "data", "--format", "raw", "-o", "-"])
        .arg(bench.tree())
        .output()
        .unwrap();
    assert!(piped.status.success(), "{}", stderr(&piped));
    assert!(bench.convert("disk.raw", &["-q"]).status().unwrap().success());
    assert!(piped.stdout == fs::read(bench.out().join("disk.raw")).unwrap());
}

#[test]
fn what_cannot_be_done_is_said_and_leaves_nothing() {
    let bench = Bench::new();
    for (name, args, said, hint) in [
        ("disk.cab", &[][..], "disk.cab: its extension tells no format", "pass --format"),
        ("disk.raw", &["--compression", "zstd"], "zstd is not for raw files", "ask for none"),
        ("disk.raw", &["--size", "1M"], "the content needs", "--size"),
        ("no/disk.raw", &[], "does not exist", "mkdir -p"),
    ] {
        let output = bench.convert(name, args).output().unwrap();
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.starts_with("error: ") && text.contains(said), "{text}");
        assert!(text.contains("hint: ") && text.contains(hint), "{text}");
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(bench.left().is_empty());
    }
}

#[test]
fn a_machine_needs_a_kernel() {
    let bench = Bench::new();
    let mut command = vmimage(&["convert", "--no-install", "-o", "disk.raw"]);
    let output = command.arg(bench.tree()).current_dir(bench.out()).output().unwrap();
    let text = stderr(&output);
    assert!(text.starts_with("error: /boot: holds no kernel") && text.contains("\nhint: "), "{text}");
    assert!(text.contains("--profile data"), "these are files and no system: {text}");
    assert!(bench.left().is_empty());
}

#[test]
fn a_file_that_may_not_be_read_is_named() {
    let bench = Bench::new();
    let secret = bench.tree().join("etc/shadow");
    fs::write(&secret, "secret").unwrap();
    fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
    for folder in [bench.folder.path().to_owned(), bench.out()] {
        fs::set_permissions(folder, PermissionsExt::from_mode(0o777)).unwrap();
    }
    // The program itself may lie where nobody gets to.
    let program = bench.folder.path().join("vmimage");
    fs::copy(env!("CARGO_BIN_EXE_vmimage"), &program).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
    command
        .args(["convert", "--profile", "data"])
        .arg(bench.tree())
        .arg("-o")
        .arg(bench.out().join("disk.raw"));
    let output = command.output().unwrap();
    assert!(!output.status.success());
    assert_eq!(
        stderr(&output),
        "error: /etc/shadow: cannot open the file: Permission denied (os error 13)\n"
    );
    assert!(bench.left().is_empty());
}

#[test]
fn a_full_file_system_is_said_and_left_as_it_was() {
    let bench = Bench::new();
    bench.add_work();
    let small = Small::mount(bench.out());
    let output = bench.convert("disk.raw", &[]).output().unwrap();
    let text = stderr(&output);
    assert!(!output.status.success());
    assert!(text.contains("No space left on device") && text.contains("hint: free some space"), "{text}");
    assert!(bench.left().is_empty());
    drop(small);
}

/// 8 MiB of memory as a file system; unmounted when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(at: PathBuf) -> Self {
        run("mount", &["-t", "tmpfs", "-o", "size=8m", "none", at.to_str().unwrap()]);
        Self(at)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_run_that_is_asked_to_end_leaves_nothing() {
    let bench = Bench::new();
    bench.add_work();
    for signal in ["TERM", "INT", "HUP"] {
        let child = bench.start_slow();
        run("kill", &[&format!("-{signal}"), &child.id().to_string()]);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{signal}");
        assert!(stderr(&output).ends_with("error: interrupted\n"), "{}", stderr(&output));
        assert!(bench.left().is_empty(), "{signal}: {:?}", bench.left());
    }
}

#[test]
fn what_a_killed_run_leaves_goes_with_the_next() {
    let bench = Bench::new();
    bench.add_work();
    let mut child = bench.start_slow();
    child.kill().unwrap();
    child.wait().unwrap();
    let left = bench.left();
    assert!(left.len() == 1 && left[0].starts_with(".disk.qcow2.vmimage-"), "{left:?}");
    fs::remove_file(bench.tree().join("work")).unwrap();
    assert!(bench.convert("disk.qcow2", &["-q"]).status().unwrap().success());
    assert_eq!(bench.left(), ["disk.qcow2"]);
}

#[test]
fn symlinks_of_the_tree_lead_nowhere() {
    let bench = Bench::new();
    let outside = bench.folder.path().join("outside");
    fs::write(&outside, "outside").unwrap();
    let before = fs::metadata(&outside).unwrap();
    std::os::unix::fs::symlink("../../outside", bench.tree().join("etc/escape")).unwrap();
    std::os::unix::fs::symlink("/", bench.tree().join("root")).unwrap();
    assert!(bench.convert("disk.raw", &["-q"]).status().unwrap().success());
    let disk = format!("{}?offset=1048576", bench.out().join("disk.raw").display());
    let listed = run("debugfs", &["-R", "stat /etc/escape", &disk]);
    assert!(listed.contains("Type: symlink") && listed.contains("../../outside"), "{listed}");
    assert!(!contains(&bench.out().join("disk.raw"), b"outside\0\0"), "the link was followed");
    let after = fs::metadata(&outside).unwrap();
    assert_eq!((before.mtime_nsec(), before.len()), (after.mtime_nsec(), after.len()));
}

/// Whether a block of the file starts with these bytes.
fn contains(file: &Path, start: &[u8]) -> bool {
    fs::read(file).unwrap().chunks(4096).any(|block| block.starts_with(start))
}

/// As docker's builds tell it in their log.
#[test]
fn what_was_edited_is_told_of_every_machine() {
    let bench = Bench::new();
    let [boot, tree] = [bench.folder.path().join("boot"), bench.tree()];
    for folder in [&boot, &tree.join("boot"), &tree.join("sbin"), &tree.join("lib/modules/6.1")] {
        fs::create_dir_all(folder).unwrap();
    }
    // As far as the head tells (elf(5)), a program for this machine.
    let head = [b"\x7fELF\x02\x01\x01".as_slice(), &[0; 11], &[62, 0]].concat();
    fs::write(tree.join("sbin/init"), head).unwrap();
    fs::set_permissions(tree.join("sbin/init"), fs::Permissions::from_mode(0o755)).unwrap();
    for (path, text) in [
        (boot.join("vendor"), "debian\n"),
        (boot.join("grub.efi"), "GRUB"),
        (tree.join("boot/vmlinuz-6.1"), "kernel"),
        (tree.join("boot/initrd.img-6.1"), "initramfs"),
        (tree.join("etc/os-release"), "ID=debian\n"),
    ] {
        fs::write(path, text).unwrap();
    }
    let convert = |output: &str, more: &[&str]| {
        let mut command = vmimage(&["convert", "--no-install", "--firmware", "uefi", "-o", output]);
        let output = command.arg("--boot").arg(&boot).args(more).arg(&tree).current_dir(bench.out()).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        output
    };
    let told = String::from_utf8(convert("disk.raw", &[]).stdout).unwrap();
    assert!(told.contains("\n  edit     /etc/fstab: "), "{told}");
    assert!(told.lines().last().unwrap().ends_with("; boot it: vmimage run disk.raw"), "{told}");
    // The disk alone is on stdout.
    let streamed = convert("-", &["--format", "raw"]);
    assert!(stderr(&streamed).contains("  edit     /etc/fstab: "), "{}", stderr(&streamed));
    assert!(streamed.stdout == fs::read(bench.out().join("disk.raw")).unwrap());
    let json = convert("disk.raw", &["-o", "disk.qcow2", "--json"]).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    for disk in json["disks"].as_array().unwrap() {
        let edits = disk["system"]["edits"].as_array().unwrap().iter().map(|edit| edit.as_str().unwrap());
        assert!(edits.clone().any(|edit| edit.starts_with("/etc/fstab: ")), "{disk}");
        assert_eq!(told.matches("\n  edit     ").count(), edits.count());
        assert_eq!(disk["system"]["kernel"], "/boot/vmlinuz-6.1");
    }
    assert_eq!(convert("disk.raw", &["-q"]).stdout, b"");
}

/// The plan has the places that the disk then has, and nothing is written for it.
#[test]
fn a_dry_run_knows_the_whole_disk() {
    let bench = Bench::new();
    let dry = bench.convert("site.raw", &["--dry-run", "--json"]).output().unwrap();
    assert!(dry.status.success(), "{}", stderr(&dry));
    assert_eq!(bench.left(), [""; 0]);
    let plans: serde_json::Value = serde_json::from_slice(&dry.stdout).unwrap();
    let partition = &plans["plans"][0]["partitions"][0];
    assert!(bench.convert("site.raw", &[]).status().unwrap().success());
    let table = run("sfdisk", &["-J", bench.out().join("site.raw").to_str().unwrap()]);
    let table: serde_json::Value = serde_json::from_str(&table).unwrap();
    let made = &table["partitiontable"]["partitions"][0];
    for key in ["start", "size"] {
        assert_eq!(partition[key].as_u64().unwrap(), made[key].as_u64().unwrap() * 512, "{key}: {partition}");
    }
    assert_eq!(
        (partition["label"].as_str(), partition["file_system"].as_str()),
        (Some("data"), Some("ext4"))
    );
    let text = bench.convert("site.raw", &["--dry-run"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("raw, ") && text.contains(" disk, not made\n"), "{text}");
    let row: Vec<_> = text.lines().last().unwrap().split_whitespace().collect();
    assert_eq!((&row[..3], row.last()), (&["1", "data", "linux-generic"][..], Some(&"ext4")), "{text}");
}

/// Partitions have files of the folder that the configuration is in, and bytes; none of them through a link.
#[test]
fn a_partition_has_what_lies_beside_the_configuration() {
    let bench = Bench::new();
    let config = |site: &str| {
        let text = format!(
            "profile = \"data\"\n[[partitions]]\ntype = \"linux-generic\"\nlabel = \"site\"\nsource = \"{site}\"\n\
             [[partitions]]\ntype = \"linux-generic\"\nlabel = \"raw\"\nfilesystem = \"none\"\nsource = \"raw\"\n\
             weight = 0\n[[partitions]]\ntype = \"linux-generic\"\nlabel = \"tree\"\nsource = \"/\"\n"
        );
        fs::write(bench.folder.path().join("vmimage.toml"), text).unwrap();
        let file = bench.folder.path().join("vmimage.toml");
        bench.convert("site.raw", &["--config", file.to_str().unwrap()])
    };
    fs::create_dir(bench.folder.path().join("site")).unwrap();
    fs::write(bench.folder.path().join("site/index.html"), "a page").unwrap();
    fs::write(bench.folder.path().join("raw"), "bytes of a partition").unwrap();
    std::os::unix::fs::symlink("/etc", bench.folder.path().join("link")).unwrap();

    let made = config("site").output().unwrap();
    assert!(made.status.success(), "{}", stderr(&made));
    let disk = fs::read(bench.out().join("site.raw")).unwrap();
    let at = |text: &[u8]| disk.windows(text.len()).position(|window| window == text);
    assert_eq!(at(b"bytes of a partition").unwrap() % (1 << 20), 0);
    assert!(at(b"a page").is_some() && at(b"web\n").is_some());
    for (site, said) in [
        ("link", "link: is no folder"),
        ("link/ssl", "link/ssl: cannot be read"),
        ("../out", "partitions.source is \"../out\": expected a path of the image"),
    ] {
        let refused = config(site).output().unwrap();
        assert!(!refused.status.success() && stderr(&refused).contains(said), "{site}: {}", stderr(&refused));
    }
}
