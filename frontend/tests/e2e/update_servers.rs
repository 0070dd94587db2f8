//! Updates from servers that do not do what they should, with no room to write to, and of what is no update of the machine.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use super::lab::run;
use super::update_machine::{DEBIAN, Kiosk, Wishes, check, is_in};

/// Each of them, then one that only has to be asked again and again.
const SERVERS: &str = r#"
if [ "$version" = "version one" ]; then
	write
	for server_is in redirects lies ends stalls drips; do
		try "$server_is" vmimage-update apply "$server/$server_is/2/"
		fact "after-$server_is" "$(vmimage-boot status --json)"
	done
	try cuts vmimage-update apply "$server/cuts/2/"
	restart
fi
"#;

#[test]
#[ignore = "long: make matrix"]
fn a_bad_server_leaves_a_machine_as_it_is() {
    let kiosk = Kiosk::new(DEBIAN, Wishes::default());
    kiosk.publish("2", "version two");
    let report = kiosk.boot(&kiosk.copy(), "--bios", SERVERS, &[]);
    for (server, message) in [
        ("redirects", "without an end"),
        ("lies", "answers with"),
        ("ends", "times in a row"),
        ("stalls", "times in a row"),
        ("drips", "times in a row"),
    ] {
        let said = report.get(server);
        assert!(said.starts_with("1 ") && said.contains(message), "{server}: {said}");
        let after = report.get(&format!("after-{server}"));
        let boot: serde_json::Value = serde_json::from_str(after).unwrap();
        assert_eq!(
            (&boot["booted"], &boot["good"], &boot["order"][0]),
            (&"A".into(), &"A".into(), &"A".into())
        );
        assert_eq!(boot["slots"][1]["state"], "empty", "{server}: {boot}");
    }
    assert!(report.get("cuts").starts_with("0 "), "{}", report.get("cuts"));
    check(&report, "B", "version two");
}

/// All of the root comes, as from `python3 -m http.server`.
#[test]
#[ignore = "long: make matrix"]
fn a_server_without_ranges_is_read_from_the_front() {
    let kiosk = Kiosk::new(DEBIAN, Wishes::default());
    let update = kiosk.publish("2", "version two");
    let steps = SERVERS.replace("redirects lies ends stalls drips", "").replace("cuts", "no-ranges");
    let report = kiosk.boot(&kiosk.copy(), "--bios", &steps, &[]);
    assert!(report.get("no-ranges").starts_with("0 "), "{}", report.get("no-ranges"));
    check(&report, "B", "version two");
    // Once, and little else.
    let packed = update.join("kiosk_2.root.zst").metadata().unwrap().len();
    assert!(kiosk.server.sent() < packed * 3 / 2, "more than once");
}

/// An update takes no room beside its slot.
const FULL: &str = r#"
if [ "$version" = "version one" ]; then
	write
	dd if=/dev/zero of=/persist/full bs=1M 2>/dev/null
	dd if=/dev/zero of=/persist/fuller bs=1 2>/dev/null
	fact free "$(df -P -k /persist | awk 'NR > 1 { print $4 }')"
	try applied vmimage-update apply "$server/2/"
	restart
fi
rm -f /persist/full /persist/fuller
"#;

#[test]
#[ignore = "long: make matrix"]
fn a_machine_whose_persist_is_full_updates_itself() {
    let kiosk = Kiosk::new(DEBIAN, Wishes::default());
    kiosk.publish("2", "version two");
    let report = kiosk.boot(&kiosk.copy(), "--bios", FULL, &[]);
    assert_eq!(report.get("free"), "0");
    assert!(report.get("applied").starts_with("0 "), "{}", report.get("applied"));
    // A unit that has to write may fail in it.
    is_in(&report, "B", "version two");
}

/// Each is refused, and the second slot is as it was.
const REFUSED: &str = r#"
write
second_was=$(second)
for update in other 0.9 large; do
	try "$update" vmimage-update apply "$server/$update/"
	fact "after-$update" "$([ "$(second)" = "$second_was" ] && echo untouched)"
done
for update in corrupted truncated; do
	try "$update" vmimage-update apply "$server/$update/"
	fact "after-$update" "$(second | grep -o ' empty ')"
done
"#;

/// What they say is tested without a machine, too.
#[test]
#[ignore = "long: make matrix"]
fn what_is_no_update_of_a_machine_is_refused_by_it() {
    let kiosk = Kiosk::new(DEBIAN, Wishes::default());
    let update = kiosk.publish("2", "version two");
    let changed = |name: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let copy = kiosk.web(name);
        run(Command::new("cp").arg("-r").arg(&update).arg(&copy));
        let path = copy.join("manifest.json");
        let mut manifest = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut manifest);
        std::fs::write(&path, manifest.to_string()).unwrap();
        run(Command::new("sh").args(["-c", "sha256sum kiosk* manifest.json >SHA256SUMS"]).current_dir(&copy));
        copy
    };
    changed("other", &|manifest| manifest["compatible"] = "acme kiosk-3".into());
    changed("large", &|manifest| {
        let root = &mut manifest["parts"][0];
        root["plain_bytes"] = (1_u64 << 40).into();
        root["index"]["bytes"] = ((1_u64 << 40) / 65536 * 36).into();
    });
    kiosk.publish("0.9", "version zero");
    damage(&changed("corrupted", &|_| {}).join("kiosk_2.root.zst"));
    let truncated = changed("truncated", &|_| {}).join("kiosk_2.root.zst");
    std::fs::File::options().write(true).open(truncated).unwrap().set_len(1000).unwrap();

    let report = kiosk.boot(&kiosk.copy(), "--bios", REFUSED, &[]);
    check(&report, "A", "version one");
    for (update, message, second) in [
        ("other", r#"for machines that are "acme kiosk-3""#, "untouched"),
        ("0.9", "is older than 1", "untouched"),
        ("large", "the root has 1099511627776 bytes, and slot B only", "untouched"),
        ("corrupted", "is damaged: it was not written", "empty"),
        ("truncated", "bytes that the update says", "empty"),
    ] {
        let said = report.get(update);
        assert!(said.starts_with("1 ") && said.contains(message), "{update}: {said}");
        assert_eq!(report.get(&format!("after-{update}")), second, "{update}: {said}");
    }
}

/// Every frame of a file gets another byte, whatever is wanted of it.
fn damage(file: &Path) {
    let file = std::fs::File::options().read(true).write(true).open(file).unwrap();
    for offset in (0..file.metadata().unwrap().len()).step_by(1000) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[!byte[0]], offset).unwrap();
    }
}
