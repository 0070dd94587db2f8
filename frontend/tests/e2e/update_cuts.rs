//! Updates whose machine loses its power.

use std::hash::{BuildHasher, RandomState};

use super::lab::{boot_and_kill, boot_between};
use super::update_machine::{ALPINE, Kiosk, Wishes, check};

/// From one word to the other; the machine does not restart by itself.
const CUT: &str = r#"
write
fact begins now
vmimage-update apply "$server/2/"
fact ends now
sleep 600
"#;
const WORDS: [&str; 2] = ["report:begins", "report:ends"];

/// What the next boot finds; from the first version, the update is made again.
const AGAIN: &str = r#"
if [ ! -e /var/lib/found ]; then
	fact first "$(identity)"
	fact found "$version"
	fact kept "$(written)"
	fact environment "$(vmimage-boot status --json)"
	echo "$version" >/var/lib/found
fi
if [ "$version" = "version one" ]; then
	try applied vmimage-update apply "$server/2/"
	restart
fi
"#;

/// Twenty updates, from the command to shortly after its end: each is cut at a random moment of another part of it.
#[test]
#[ignore = "long: make matrix"]
fn an_update_can_be_cut_at_any_moment() {
    let kiosk = Kiosk::new(ALPINE, Wishes::default());
    kiosk.publish("2", "version two");
    kiosk.server.tell(CUT);
    let update = boot_between(&kiosk.copy(), "--bios", &kiosk.told(), WORDS);
    let mut found = Vec::new();
    for number in 0..20 {
        let thousandths = number * 1000 + u32::try_from(RandomState::new().hash_one(number) % 1000).unwrap();
        let (copy, after) = (kiosk.copy(), update * thousandths / 18_000);
        kiosk.server.tell(CUT);
        boot_and_kill(&copy, "--bios", &kiosk.told(), WORDS[0], after);
        let report = kiosk.boot(&copy, "--bios", AGAIN, &[]);
        assert_eq!(report.get("kept"), "data edited ", "{after:?}: {}", report.console());
        let environment: serde_json::Value = serde_json::from_str(report.get("environment")).unwrap();
        assert_eq!(environment["environment"], "whole", "{after:?}: {environment}");
        check(&report, "B", "version two");
        found.push(report.get("found").to_owned());
    }
    // Some were cut before it was the next version, and some after.
    for version in ["version one", "version two"] {
        assert!(found.iter().any(|found| found == version), "{found:?}");
    }
}
