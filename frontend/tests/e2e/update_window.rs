//! A machine that may restart at one time of the day: it takes its next version before, and starts it then.

use std::time::{SystemTime, UNIX_EPOCH};

use super::update_machine::{ALPINE, DEBIAN, Kiosk, Wishes, check};

/// Seconds: how long a window is, of which a machine takes the first half and the time that it needs to look.
const OPEN: u64 = 300;
const DAY: u64 = 24 * 60 * 60;

/// The window begins twelve hours from now. Once the next version is there, the clock is set to half a minute before that; from
/// then on the machine says how late it is, to its end. The next version says when that was.
const STEPS: &str = r#"
if [ "$version" = "version one" ]; then
	write
	LOOK
	tries=120
	until vmimage-update status --json | grep -q '"installed":true' || [ "$tries" = 0 ]; do
		tries=$((tries - 1))
		sleep 5
	done
	fact closed "$(vmimage-update status --json)"
	date -u -s "@$((BEGIN - 30))"
	for _ in $(seq 120); do
		date +%s >/var/lib/late
		sync
		sleep 3
	done
fi
fact late "$(cat /var/lib/late)"
"#;

/// A machine that looks so often, which is told to `look` at once if its own time is not waited for.
fn restarts_in_its_window(base: &str, every: &str, look: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let begin = (now + DAY / 2) / 60 * 60;
    let time = |seconds: u64| format!("{:02}:{:02}", seconds % DAY / 3600, seconds % 3600 / 60);
    let window = format!("{}-{}", time(begin), time(begin + OPEN));
    let update =
        format!("from = \"http://10.0.2.2:PORT/latest/\"\nevery = \"{every}\"\nwindow = \"{window}\"\n");
    let kiosk = Kiosk::new(base, Wishes { update: &update, ..Wishes::default() });
    kiosk.publish("2", "version two");
    kiosk.offer("2");
    let steps = STEPS.replace("LOOK", look).replace("BEGIN", &begin.to_string());
    let report = kiosk.boot(&kiosk.disk, "--bios", &steps, &[]);
    let closed: serde_json::Value = serde_json::from_str(report.get("closed")).unwrap();
    assert_eq!(
        (&closed["version"], &closed["next"], &closed["window"]),
        (&"1".into(), &"B".into(), &window.as_str().into()),
        "{closed}"
    );
    // To the last word that it has written, three seconds and a shutdown before its end.
    let late: u64 = report.get("late").parse().unwrap();
    assert!((begin..begin + OPEN).contains(&late), "{late}, and the window begins at {begin}: {window}");
    check(&report, "B", "version two");
}

#[test]
#[ignore = "long: make matrix"]
fn a_machine_with_timers_restarts_in_its_window() {
    // A clock that is set by network would not stay where it is set to.
    let look = "systemctl stop systemd-timesyncd; systemctl start vmimage-update.service";
    restarts_in_its_window(DEBIAN, "6h", look);
}

/// What looks is a process that looks at the clock, too: as often, but no less than each minute.
#[test]
#[ignore = "long: make matrix"]
fn a_machine_without_timers_restarts_in_its_window() {
    restarts_in_its_window(ALPINE, "30s", ":");
}
