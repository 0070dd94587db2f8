//! Machines that take their next version from a server, start it, and are the same ones in it; or leave it again.

use std::process::Command;

use super::boot::bare_alpine;
use super::lab::{Report, VMIMAGE, run, scratch, testdata};
use super::registry::Registry;
use super::slots::EROFS;
use super::update_machine::{ALPINE, DEBIAN, Kiosk, LARGE, Wishes, check};

/// The first version takes the second one.
const UPDATE: &str = r#"
if [ "$version" = "version one" ]; then
	write
	try applied vmimage-update apply "$server/2/"
	restart
fi
"#;

/// And that the third one.
const TWO_UPDATES: &str = r#"
case $version in
"version one")
	write
	try applied vmimage-update apply "$server/2/"
	restart
	;;
"version two")
	try again vmimage-update apply "$server/2"
	try next vmimage-update apply "$server/3/"
	restart
	;;
esac
"#;

#[track_caller]
fn says(report: &Report, fact: &str, start: &str) {
    assert!(report.get(fact).starts_with(start), "{fact}: {}\n{}", report.get(fact), report.console());
}

/// What `vmimage-update status --json` says.
fn status(report: &Report) -> serde_json::Value {
    serde_json::from_str(report.get("update")).unwrap()
}

/// The next version is laid out as this one, so little more has to come than what has changed.
#[test]
fn a_machine_takes_its_next_version_and_stays_the_same_machine() {
    let folder = scratch();
    let placement = folder.path().join("kiosk.placement").display().to_string();
    let args = ["--output", &placement];
    let mut kiosk = Kiosk::new(ALPINE, Wishes { args: &args, ..Wishes::default() });
    let args = ["--previous", &placement];
    kiosk.wishes.args = &args;
    kiosk.publish("2", "version two");
    let report = kiosk.boot(&kiosk.disk, "--bios", UPDATE, &[]);
    says(&report, "applied", "0 ");
    check(&report, "B", "version two");
    assert_eq!(status(&report)["version"], "2", "{}", report.get("update"));
    let sent = kiosk.server.sent();
    assert!(sent < LARGE as u64 + 2_000_000, "{sent} bytes");
}

/// From the first slot to the second, and back to the first.
fn updates_twice(base: &str, wishes: Wishes<'_>, firmwares: &[&str]) {
    let kiosk = Kiosk::new(base, wishes);
    kiosk.publish("2", "version two");
    kiosk.publish("3", "version three");
    for firmware in firmwares {
        let report = kiosk.boot(&kiosk.copy(), firmware, TWO_UPDATES, &[]);
        says(&report, "applied", "0 ");
        says(&report, "again", "1 ");
        says(&report, "next", "0 ");
        check(&report, "A", "version three");
        assert_eq!(status(&report)["version"], "3", "{}", report.get("update"));
        assert!(
            !wishes.keys.contains("openssh-server") || report.get("same").len() > 64,
            "{}",
            report.get("same")
        );
    }
}

#[test]
#[ignore = "long: make matrix"]
fn debian_updates_itself_by_every_firmware() {
    let wishes = Wishes { keys: r#"install = ["openssh-server"]"#, ..Wishes::default() };
    updates_twice(DEBIAN, wishes, &["--bios", "--uefi", "--secure-boot"]);
}

#[test]
#[ignore = "long: make matrix"]
fn alpine_updates_itself_by_every_firmware() {
    updates_twice(ALPINE, Wishes::default(), &["--bios", "--uefi"]);
}

/// The kernels lie beside the slots, and come with the update.
#[test]
#[ignore = "long: make matrix"]
fn machines_with_slots_of_erofs_update_themselves() {
    let wishes = Wishes { tables: EROFS, ..Wishes::default() };
    updates_twice(DEBIAN, wishes, &["--secure-boot"]);
    updates_twice(&bare_alpine(), wishes, &["--bios"]);
}

#[test]
#[ignore = "long: make matrix"]
fn machines_of_systemd_boot_update_themselves() {
    let keys = "loader = \"systemd-boot\"\ninstall = [\"systemd-boot\", \"openssh-server\"]";
    for tables in ["", EROFS] {
        updates_twice(DEBIAN, Wishes { keys, tables, ..Wishes::default() }, &["--uefi"]);
    }
}

/// Once the second version is good, somebody goes back.
const BACK: &str = r#"
case "$version $(cat /var/lib/back 2>/dev/null)" in
"version one ")
	write
	try applied vmimage-update apply "$server/2/" --reboot
	sleep 600
	;;
"version two ")
	echo back >/var/lib/back
	sync
	try back vmimage-update rollback --reboot
	sleep 600
	;;
esac
try again vmimage-update apply "$server/2/"
"#;

#[test]
#[ignore = "long: make matrix"]
fn who_goes_back_is_not_given_the_same_again() {
    let kiosk = Kiosk::new(ALPINE, Wishes::default());
    kiosk.publish("2", "version two");
    let report = kiosk.boot(&kiosk.disk, "--bios", BACK, &[]);
    says(&report, "again", "1 ");
    assert!(report.get("again").contains("left again"), "{}", report.get("again"));
    check(&report, "A", "version one");
}

/// As the timer does, which restarts the machine into what it has installed.
const AUTO: &str = r#"
auto() { systemctl start vmimage-update.service; }
case "$version $(cat /var/lib/stage 2>/dev/null)" in
"version one ")
	write
	echo offered >/var/lib/stage
	fact timer "$(systemctl is-active vmimage-update.timer)"
	auto
	sleep 300
	;;
"version one offered")
	echo left >/var/lib/stage
	auto
	fact unit "$(systemctl show --property=Result vmimage-update.service)"
	try status vmimage-update status
	;;
"version one left")
	echo next >/var/lib/stage
	auto
	sleep 300
	;;
esac
"#;

/// The service of a bad version never says that it is healthy.
#[test]
#[ignore = "long: make matrix"]
fn a_bad_version_is_left_and_not_taken_again_but_the_next_one_is() {
    let update = "from = \"http://10.0.2.2:PORT/latest/\"\nevery = \"6h\"\n";
    let wishes = Wishes { keys: r#"install = ["openssh-server"]"#, update, ..Wishes::default() };
    let kiosk = Kiosk::new(DEBIAN, wishes);
    kiosk.publish("2", "sick");
    kiosk.publish("3", "version three");

    kiosk.offer("2");
    let report = kiosk.boot(&kiosk.disk, "--bios", AUTO, &[]);
    check(&report, "A", "version one");
    assert_eq!((report.get("timer"), report.get("unit")), ("active", "Result=success"));
    let boot: serde_json::Value = serde_json::from_str(report.get("boot")).unwrap();
    assert_eq!(boot["slots"][1]["tries"], 2, "it was not tried: {boot}");
    let asked = kiosk.server.asked();
    let taken = asked.iter().filter(|path| path.ends_with("/kiosk_2.root.index")).count();
    assert_eq!(taken, 1, "{asked:?}");

    kiosk.offer("3");
    let report = kiosk.boot(&kiosk.disk, "--bios", &format!("fact first \"$(identity)\"\n{AUTO}"), &[]);
    check(&report, "B", "version three");
}

/// It only waits.
const WAITS: &str = r#"
if [ "$version" = "version one" ]; then
	write
	sleep 1200
fi
"#;

/// OpenRC has no timers.
#[test]
#[ignore = "long: make matrix"]
fn a_machine_without_timers_looks_for_its_next_version_by_itself() {
    let update = "from = \"http://10.0.2.2:PORT/latest/\"\nevery = \"3m\"\n";
    let kiosk = Kiosk::new(ALPINE, Wishes { update, ..Wishes::default() });
    kiosk.publish("2", "version two");
    kiosk.offer("2");
    let report = kiosk.boot(&kiosk.disk, "--bios", WAITS, &[]);
    check(&report, "B", "version two");
}

/// The registry is not in the machine, and has no TLS.
const FROM_REGISTRY: &str = r#"
if [ "$version" = "version one" ]; then
	write
	try checked vmimage-update check docker+http://10.0.2.2:REGISTRY/team/kiosk:2
	try applied vmimage-update apply docker+http://10.0.2.2:REGISTRY/team/kiosk:2
	restart
fi
"#;

#[test]
#[ignore = "long: make matrix"]
fn a_machine_takes_its_next_version_from_a_registry() {
    let kiosk = Kiosk::new(DEBIAN, Wishes::default());
    let folder = scratch();
    let registry = Registry::start(folder.path(), false);
    let update = kiosk.publish("2", "version two");
    let image = format!("{}/team/kiosk:2", registry.host);
    run(Command::new(VMIMAGE).arg("push").arg(update).arg(image));
    let port = registry.host.rsplit(':').next().unwrap();
    let report = kiosk.boot(&kiosk.disk, "--bios", &FROM_REGISTRY.replace("REGISTRY", port), &[]);
    says(&report, "checked", "0 ");
    says(&report, "applied", "0 ");
    check(&report, "B", "version two");
}

/// Of three updates with the same root, only one is signed by the key that the first version trusts.
const SIGNED: &str = r#"
if [ "$version" = "version one" ]; then
	write
	try unsigned vmimage-update apply "$server/unsigned/"
	try stranger vmimage-update apply "$server/stranger/"
	try signed vmimage-update apply "$server/2/"
	restart
fi
"#;

#[test]
#[ignore = "long: make matrix"]
fn a_machine_that_trusts_a_key_takes_what_it_has_signed() {
    let [release, other] = ["release", "other"].map(|name| {
        let key = testdata("update").join(name).with_extension("key");
        ["--secret".to_owned(), format!("id=release,src={}", key.display())]
    });
    let args = release.each_ref().map(String::as_str);
    let mut kiosk =
        Kiosk::new(DEBIAN, Wishes { update: "sign = \"release\"\n", args: &args, ..Wishes::default() });
    let args = other.each_ref().map(String::as_str);
    kiosk.wishes.args = &args;
    std::fs::rename(kiosk.publish("2", "version two"), kiosk.web("stranger")).unwrap();
    let args = release.each_ref().map(String::as_str);
    kiosk.wishes.args = &args;
    let signed = kiosk.publish("2", "version two");
    run(Command::new("cp").arg("-r").arg(&signed).arg(kiosk.web("unsigned")));
    std::fs::remove_file(kiosk.web("unsigned").join("SHA256SUMS.minisig")).unwrap();

    let report = kiosk.boot(&kiosk.disk, "--bios", SIGNED, &[]);
    for (update, message) in [
        ("unsigned", "takes only what was signed"),
        ("stranger", "was made by none of the keys that this machine trusts"),
    ] {
        says(&report, update, "1 ");
        assert!(report.get(update).contains(message), "{}", report.get(update));
    }
    says(&report, "signed", "0 ");
    check(&report, "B", "version two");
    assert_eq!(status(&report)["signed"], true, "{}", report.get("update"));
}
