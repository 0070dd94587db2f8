//! An update to a root that cannot be started, as no build makes one.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use super::lab::{run, scratch};
use super::update_machine::{ALPINE, Kiosk, Wishes, check};
use super::version::replace_root;

/// The machine takes it, is back, does not take it again, and takes the next one.
const STEPS: &str = r#"
case "$version $(cat /var/lib/stage 2>/dev/null)" in
"version one ")
	write
	echo tried >/var/lib/stage
	try broken vmimage-update apply "$server/2/"
	restart
	;;
"version one tried")
	echo next >/var/lib/stage
	fact back "$(written) $(identity)"
	fact left "$(vmimage-update status --json)"
	fact trial "$(vmimage-boot status --json)"
	try again vmimage-update apply "$server/2/"
	try next vmimage-update apply "$server/3/"
	restart
	;;
esac
"#;

#[test]
#[ignore = "long: make matrix"]
fn a_version_without_an_init_is_left_and_the_next_one_installed() {
    let kiosk = Kiosk::new(ALPINE, Wishes::default());
    remove_init(&kiosk.publish("2", "version two"));
    kiosk.publish("3", "version three");
    let report = kiosk.boot(&kiosk.disk, "--bios", STEPS, &[]);
    assert!(report.get("broken").starts_with("0 "), "{}", report.get("broken"));
    let panics = report.console().matches("Rebooting in 10 seconds").count();
    assert_eq!(panics, 2, "{}", report.console());

    assert_eq!(report.get("back"), format!("data edited  {}", report.get("first")).trim());
    let [left, trial] = ["left", "trial"]
        .map(|fact| -> serde_json::Value { serde_json::from_str(report.get(fact)).unwrap() });
    assert_eq!((&left["version"], &left["booted"], &left["next"]), (&"1".into(), &"A".into(), &"A".into()));
    assert_eq!((&left["installed"], &left["slots"][1]["version"]), (&false.into(), &"2".into()), "{left}");
    assert_eq!((&trial["good"], &trial["slots"][1]["tries"]), (&"A".into(), &2.into()), "{trial}");
    let again = report.get("again");
    assert!(again.starts_with("1 ") && again.contains("left again"), "{again}");
    assert!(report.get("next").starts_with("0 "), "{}", report.get("next"));
    check(&report, "B", "version three");
}

/// From the root of an update.
fn remove_init(update: &Path) {
    let folder = scratch();
    let root = folder.path().join("root");
    run(Command::new("zstd").arg("-dq").arg(update.join("kiosk_2.root.zst")).arg("-o").arg(&root));
    let debugfs = |request: &str| run(Command::new("debugfs").args(["-w", "-R", request]).arg(&root));
    // It follows no link to the folder.
    let folder = if debugfs("stat /sbin").contains("Type: symlink") { "/usr/sbin" } else { "/sbin" };
    let is_there = || debugfs(&format!("stat {folder}/init")).contains("Inode: ");
    assert!(is_there());
    debugfs(&format!("rm {folder}/init"));
    assert!(!is_there());
    run(Command::new("e2fsck").arg("-fn").arg(&root));
    replace_root(update, &mut File::open(&root).unwrap()).unwrap();
}
