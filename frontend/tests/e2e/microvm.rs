//! microVMs: a program of an image in a machine of its own, and its end as that of `vmimage run`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::lab::{Report, VMIMAGE, accel, build, nonce, run, run_to_end, scratch, testdata, with_processor};
use super::microvm_files;

/// For a boot by emulation, with all that the program does.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);
/// The value of `ODD` in the images.
const ODD: &str = r#"a  "b" $HOME %h it's \ ä; # end"#;
/// Docker's usual capabilities.
const CAPABILITIES: &str = "00000000a80425fb";

/// Build the folder of a microVM in `folder`; what was said, and the folder.
pub(crate) fn microvm(context: &Path, folder: &Path, args: &[&str]) -> (String, PathBuf) {
    let output = folder.join("vm");
    let said = build(context, &output, &[&["--profile", "microvm", "--format", "microvm"], args].concat());
    (said, output)
}

/// `vmimage run`, as all tests run machines.
pub(crate) fn run_command(what: &Path) -> Command {
    let mut command = Command::new(VMIMAGE);
    command.env("VMIMAGE_ACCEL", accel()).arg("run").arg(what);
    with_processor(&mut command);
    command
}

/// Give the machine a token that no boot before had, by its kernel's command line.
pub(crate) fn tell(folder: &Path) -> String {
    let (path, token) = (folder.join("vm.json"), nonce());
    let mut description: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let words = description["cmdline"].as_str().unwrap();
    let words = words.split(" vmimage.test=").next().unwrap();
    description["cmdline"] = format!("{words} vmimage.test={token}").into();
    fs::write(path, description.to_string()).unwrap();
    token
}

/// Run a microVM of `testdata/microvm` to its end: its exit status, and what it reported.
#[track_caller]
pub(crate) fn run_it(folder: &Path, args: &[&str]) -> (Option<i32>, Report) {
    let token = tell(folder);
    let (status, console) = run_to_end(run_command(folder).args(args), LIMIT);
    (status.code(), Report::read(console, &token))
}

/// That everything is as the image of `testdata/microvm` says.
#[track_caller]
pub(crate) fn check_report(report: &Report) {
    let words: Vec<_> = report.get("words").split(", ").collect();
    assert_eq!(words[..2], [r#"["/probe""#, r#""orphans""#]);
    assert_eq!(words[3..], [r#""it's \"one\"""#, r#""two  words""#, r#""$HOME""#, r#""42"]"#]);
    for (name, value) in [
        ("odd", format!("Ok({ODD:?})").as_str()),
        ("empty", r#"Ok("")"#),
        ("path", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("home", "/"),
        ("directory", "/srv/a b"),
        ("uid", "65532"),
        ("gid", "65532"),
        ("parent", "1"),
        ("bounding", CAPABILITIES),
        ("effective", "0000000000000000"),
        ("hostname", "web"),
        ("mounts", "proc sysfs tmpfs devpts tmpfs mqueue cgroup2"),
        ("writable", "true"),
        ("zombies", "0"),
    ] {
        assert_eq!(report.get(name), value, "{name}:\n{}", report.console());
    }
    assert!(report.get("year").parse::<u64>().unwrap() > 2024, "{}", report.console());
}

/// One boot tells that all the image asks for is so, that 10,000 orphans leave no zombie, and that 42 is the host's status, too.
#[test]
fn a_program_from_scratch_runs_as_its_image_says_and_ends_with_its_own_status() {
    let folder = scratch();
    let args = ["--hostname", "web", "--compression", "none"];
    let (said, vm) = microvm(&testdata("microvm"), folder.path(), &args);
    assert!(!said.contains("collect boot loader files"), "nothing boots it by firmware: {said}");
    microvm_files::check(&vm);
    let (status, report) = run_it(&vm, &[]);
    check_report(&report);
    assert_eq!(report.get("orphans"), "10000");
    assert_eq!((report.get("root"), report.get("cards")), ("ext4", "2"));
    assert_eq!(status, Some(42), "{}", report.console());
    run(Command::new("e2fsck").arg("-fn").arg(vm.join("root.raw")));
    let written = run(Command::new("debugfs").args(["-R", "cat /srv/written"]).arg(vm.join("root.raw")));
    assert_eq!(written, "by the machine");
}

/// The kernel of one build boots the program of the next: an edit costs the root alone.
#[test]
fn an_edit_of_the_program_leaves_the_kernel_as_it_was() {
    let folder = scratch();
    let context = super::lab::copy_of("microvm", folder.path());
    let (_, vm) = microvm(&context, folder.path(), &[]);
    let kernel = |vm: &Path| ["vmlinuz", "initramfs"].map(|name| fs::read(vm.join(name)).unwrap());
    let before = kernel(&vm);
    fs::write(context.join("srv/edited"), nonce()).unwrap();
    let (said, vm) = microvm(&context, folder.path(), &[]);
    assert!(super::build::cached(&said, "[vmimage] unpack linux-image"), "{said}");
    assert!(before == kernel(&vm), "the kernel or its initramfs are others");
}
