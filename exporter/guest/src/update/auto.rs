//! What a timer runs: look for the next version, install it, and restart into it when that is allowed.

use std::hash::{BuildHasher, RandomState};
use std::thread;
use std::time::{Duration, Instant};

use super::admit;
use super::apply::{Applied, apply};
use super::config::Config;
use super::machine::Machine;
use super::progress::tell;
use super::source::open_source;
use super::window::{self, Window};

/// How often [`watch`] looks at the time.
const TICK: Duration = Duration::from_secs(60);
/// After its start until it looks for an update, and none more than between two looks: machines may be switched off each night.
const FIRST: Duration = Duration::from_secs(300);

const RESTARTS: &str = "the machine restarts into what is installed";

/// Once: what one run of the timer does.
///
/// # Errors
/// What failed. A version that is installed already is started all the same.
pub(super) fn auto(machine: &dyn Machine) -> Result<String, String> {
    let config = machine.config()?;
    let window = window_of(&config)?;
    let looked = look(machine, &config);
    let is_open = window.is_none_or(|window| window.left(window::now()).is_some());
    match (is_open && is_waiting(machine)?, looked) {
        (true, looked) => {
            if let Err(error) = looked {
                tell(&error);
            }
            machine.restart()?;
            Ok(RESTARTS.to_owned())
        }
        (false, looked) => looked,
    }
}

/// The same for ever, where no timer is: with a delay that differs from machine to machine.
///
/// # Errors
/// If nothing says how often.
pub(super) fn watch(machine: &dyn Machine) -> Result<String, String> {
    let config = machine.config()?;
    let every =
        config.every.ok_or("update.json: says not how often to look\nhint: [update] every = \"6h\"")?;
    let every = Duration::from_secs(every.max(1));
    let window = window_of(&config)?;
    let mut look_at = Instant::now() + until_first(every);
    let (mut was_open, mut restart_at) = (false, None);
    loop {
        let is_due = Instant::now() >= look_at;
        if is_due {
            say(look(machine, &config));
            look_at = Instant::now() + every + part_of(every / 4);
        }
        let left = window.map_or(Some(0), |window| window.left(window::now()));
        // When a timer would: to ask the boot loader each minute would be to mount and unmount the ESP each minute.
        let is_asked = is_due || left.is_some() && !was_open;
        was_open = left.is_some();
        match left {
            None => restart_at = None,
            // Not all machines at the same moment.
            Some(left) if is_asked && restart_at.is_none() && is_waiting(machine).unwrap_or_default() => {
                restart_at = Some(Instant::now() + part_of(Duration::from_secs(u64::from(left) * 30)));
            }
            Some(_) => {}
        }
        // By then somebody may have thought better of it.
        if restart_at.take_if(|at| Instant::now() >= *at).is_some() && is_waiting(machine).unwrap_or_default()
        {
            return machine.restart().map(|()| RESTARTS.to_owned());
        }
        thread::sleep(TICK.min(every));
    }
}

fn until_first(every: Duration) -> Duration {
    every.min(FIRST) + part_of(every / 4)
}

/// Install what is new.
fn look(machine: &dyn Machine, config: &Config) -> Result<String, String> {
    if let Err(why) = admit::require_good(&machine.view()?) {
        return Ok(why);
    }
    let mut source = open_source(from(config)?, config)?;
    match apply(machine, config, &mut *source, false)? {
        Applied::Done(said) | Applied::Before(said) | Applied::Unwanted(said) => Ok(said),
    }
}

/// Where the machine looks if nobody says it.
pub(super) fn from(config: &Config) -> Result<&str, String> {
    let from = config.from.as_deref();
    from.ok_or_else(|| {
        "update.json: says not where updates come from\nhint: name a URL, a folder or an archive, or build the image with \
         [update] from = \"https://…\""
            .to_owned()
    })
}

fn window_of(config: &Config) -> Result<Option<Window>, String> {
    config.window.as_deref().map(Window::parse).transpose()
}

/// Whether something was installed in this boot. One that was before, and was not started, is not worth a restart: somebody
/// has chosen another one by hand. When to start what another program has installed, that one knows.
fn is_waiting(machine: &dyn Machine) -> Result<bool, String> {
    let view = machine.view()?;
    Ok(admit::is_installed(&view) && view.is_first_new)
}

fn say(outcome: Result<String, String>) {
    match outcome {
        Ok(said) | Err(said) => tell(&said),
    }
}

/// A part of it, which is another one in each process.
fn part_of(time: Duration) -> Duration {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(RandomState::new().hash_one(()) % millis.max(1))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Folder, machine, root};
    use super::*;
    use crate::choice::Slot;

    #[test]
    fn the_next_version_is_installed_and_started() {
        let (folder, machine) = (Folder::new("1.5.0", &root(2)), machine("1.4.0", &root(1)));
        machine.set_from(folder.path());
        assert!(auto(&machine.simulated()).unwrap().contains("restarts"));
        let state = machine.state();
        assert_eq!((state.restarts, state.order[0], &*state.slots[1].label), (1, Slot::B, "kiosk_1.5.0"));
    }

    #[test]
    fn a_version_that_was_left_is_not_taken_again() {
        let (folder, machine) = (Folder::new("1.5.0", &root(2)), machine("1.4.0", &root(1)));
        machine.set_from(folder.path());
        auto(&machine.simulated()).unwrap();
        // Three starts, and back.
        machine.change(|state| state.slots[1].tries = 3);
        assert!(auto(&machine.simulated()).unwrap().contains("left again"));
        assert_eq!(machine.state().restarts, 1);
        // The next good one is.
        let folder = Folder::new("1.6.0", &root(3));
        machine.set_from(folder.path());
        assert!(auto(&machine.simulated()).unwrap().contains("restarts"));
        assert_eq!(machine.state().slots[1].label, "kiosk_1.6.0");
    }

    #[test]
    fn nothing_is_done_in_a_boot_that_is_on_trial() {
        let (folder, machine) = (Folder::new("1.6.0", &root(2)), machine("1.5.0", &root(1)));
        machine.set_from(folder.path());
        machine.change(|state| {
            state.slots[0].tries = 1;
            (state.slots[1].ok, state.good) = (true, Some(Slot::B));
            "kiosk_1.4.0".clone_into(&mut state.slots[1].label);
        });
        assert!(auto(&machine.simulated()).unwrap().contains("on trial"));
        assert_eq!(machine.state().slots[1].label, "kiosk_1.4.0");
    }

    /// GRUB starts no slot without a menu, and counts no try of it.
    #[test]
    fn a_slot_that_the_boot_loader_passes_over_is_no_reason_to_restart_for_ever() {
        let (folder, machine) = (Folder::new("1.5.0", &root(2)), machine("1.4.0", &root(1)));
        machine.set_from(folder.path());
        assert!(auto(&machine.simulated()).unwrap().contains("restarts"));
        machine.change(|state| state.passed_over = true);
        assert!(auto(&machine.simulated()).unwrap().contains("left again"));
        assert_eq!(machine.state().restarts, 1);
        let folder = Folder::new("1.6.0", &root(3));
        machine.set_from(folder.path());
        assert!(auto(&machine.simulated()).unwrap().contains("restarts"));
    }

    #[test]
    fn nothing_is_done_under_the_hands_of_who_has_chosen_a_slot() {
        let (folder, machine) = (Folder::new("1.5.0", &root(2)), machine("1.4.0", &root(1)));
        machine.set_from(folder.path());
        assert!(auto(&machine.simulated()).unwrap().contains("restarts"));
        machine.change(|state| (state.by_hand, state.passed_over) = (true, true));
        assert!(auto(&machine.simulated()).unwrap().contains("is installed"));
        // The new one is booted, nobody has called it good, and no try was counted.
        machine.change(|state| state.booted = Slot::B);
        machine.set_from(Folder::new("1.6.0", &root(3)).path());
        assert!(
            auto(&machine.simulated()).unwrap().contains("slot B was chosen by hand, and slot A is the one")
        );
        assert_eq!((machine.state().restarts, &*machine.state().slots[0].label), (1, "kiosk_1.4.0"));
    }

    /// RAUC's is said to be next, by whatever label its slot has, and is its own affair.
    #[test]
    fn what_another_program_has_installed_is_next_and_no_reason_to_restart() {
        let (folder, machine) = (Folder::new("1.4.0", &root(2)), machine("1.4.0", &root(1)));
        machine.set_from(folder.path());
        machine.change(|state| {
            (state.by_other, state.order, state.slots[1].ok) = (true, vec![Slot::B, Slot::A], true);
        });
        assert!(auto(&machine.simulated()).unwrap().contains("is what this machine runs"));
        assert_eq!(machine.state().restarts, 0);
        let next = |machine: &super::super::testing::Files| {
            let view = machine.simulated().view().unwrap();
            (admit::next(&view), admit::is_installed(&view))
        };
        assert_eq!(next(&machine), (Slot::B, true));
        machine.change(|state| (state.by_other, state.passed_over) = (false, true));
        assert_eq!(next(&machine), (Slot::A, false));
    }

    #[test]
    fn a_machine_that_is_switched_off_each_night_looks_each_day() {
        let day = Duration::from_secs(24 * 3600);
        assert!((FIRST..FIRST + day / 4).contains(&until_first(day)));
        assert!(until_first(Duration::from_secs(60)) < Duration::from_secs(75));
    }

    #[test]
    fn a_restart_waits_for_the_window_and_not_for_a_server() {
        let (folder, machine) = (Folder::new("1.5.0", &root(2)), machine("1.4.0", &root(1)));
        machine.set_from(folder.path());
        // A minute, twelve hours from now.
        let minute = (window::now() + 720) % 1440;
        let text = |minute: u32| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
        machine.set_config("window", format!("{}-{}", text(minute), text(minute + 1)).into());
        assert!(auto(&machine.simulated()).unwrap().contains("is in slot B"));
        assert!(auto(&machine.simulated()).unwrap().contains("is installed"));
        assert_eq!(machine.state().restarts, 0);
        drop(folder);
        assert!(auto(&machine.simulated()).is_err());
        machine.set_config("window", format!("{}-{}", text(minute + 10), text(minute + 5)).into());
        assert!(auto(&machine.simulated()).unwrap().contains("restarts"));
        machine.set_config("window", "now".into());
        assert!(auto(&machine.simulated()).unwrap_err().contains("is no window"));
    }
}
