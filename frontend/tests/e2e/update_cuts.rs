//! Updates whose machine loses its power.

use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::time::Duration;

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

const CUTS: u32 = 20;
/// As many of the equal parts that it is cut in are of the update; the others are shortly after its end.
const WITHIN: u32 = 18;

/// What all moments follow from: another one in each run, unless it is given.
fn seed() -> u64 {
    let given = std::env::var("VMIMAGE_SEED").ok();
    given.map_or_else(|| RandomState::new().hash_one(()), |seed| seed.parse().unwrap())
}

/// A moment of each part of an update that takes so long, anywhere in the part.
fn moments(update: Duration, seed: u64) -> impl Iterator<Item = Duration> {
    let part = update / WITHIN;
    (0..CUTS).map(move |number| {
        let mut hasher = DefaultHasher::new();
        (seed, number).hash(&mut hasher);
        part * number + part.mul_f64(f64::from((hasher.finish() >> 32) as u32) / 2_f64.powi(32))
    })
}

#[test]
fn the_moments_are_of_all_parts_of_an_update_and_follow_from_a_seed() {
    let (part, all) = (Duration::from_secs(1), |seed| moments(Duration::from_secs(18), seed));
    for (number, moment) in (0..).zip(all(7)) {
        assert!((part * number..part * (number + 1)).contains(&moment), "{number}: {moment:?}");
    }
    assert!(all(7).eq(all(7)) && all(7).zip(all(8)).all(|(one, other)| one != other));
}

/// Twenty updates, from the command to shortly after its end: each is cut at a random moment of another part of it.
#[test]
#[ignore = "long: make matrix"]
fn an_update_can_be_cut_at_any_moment() {
    let seed = seed();
    let kiosk = Kiosk::new(ALPINE, Wishes::default());
    kiosk.publish("2", "version two");
    kiosk.server.tell(CUT);
    let update = boot_between(&kiosk.copy(), "--bios", &kiosk.told(), WORDS);
    let mut found = Vec::new();
    for after in moments(update, seed) {
        // What fails from here on was cut there.
        eprintln!("VMIMAGE_SEED={seed}: cut after {after:?} of {update:?}");
        let copy = kiosk.copy();
        kiosk.server.tell(CUT);
        boot_and_kill(&copy, "--bios", &kiosk.told(), WORDS[0], after);
        let report = kiosk.boot(&copy, "--bios", AGAIN, &[]);
        assert_eq!(report.get("kept"), "data edited", "{seed}, {after:?}: {}", report.console());
        let environment: serde_json::Value = serde_json::from_str(report.get("environment")).unwrap();
        assert_eq!(environment["environment"], "whole", "{seed}, {after:?}: {environment}");
        check(&report, "B", "version two");
        found.push(report.get("found").to_owned());
    }
    // Some were cut before it was the next version, and some after.
    for version in ["version one", "version two"] {
        assert!(found.iter().any(|found| found == version), "{seed}: {found:?}");
    }
}
