//! What a timer runs: look for the next version, install it, and restart into it when that is allowed.

use std::hash::{BuildHasher, RandomState};
use std::thread;
use std::time::{Duration, Instant};

use super::admit;
use super::apply::{Applied, apply};
use super::config::Config;
use super::machine::Machine;
use super::source::open_source;
use super::window::{self, Window};

/// How often [`watch`] looks at the time.
const TICK: Duration = Duration::from_secs(60);

/// Once: what one run of the timer does.
///
/// # Errors
/// What failed. A version that is installed already is started all the same.
pub(super) fn auto(machine: &dyn Machine) -> Result<String, String> {
    let config = machine.config()?;
    let window = window_of(&config)?;
    let looked = look(machine, &config);
    let is_open = window.is_none_or(|window| window.left(window::now()).is_some());
    match (is_open && is_installed(machine)?, looked) {
        (true, looked) => {
            if let Err(error) = looked {
                eprintln!("vmimage-update: {error}");
            }
            machine.restart()?;
            Ok("the machine restarts into what is installed".to_owned())
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
    let mut look_at = Instant::now() + every + part_of(every / 4);
    let mut restart_at = None;
    loop {
        if Instant::now() >= look_at {
            say(look(machine, &config));
            look_at = Instant::now() + every + part_of(every / 4);
        }
        let left = window.map_or(Some(0), |window| window.left(window::now()));
        match left.filter(|_| is_installed(machine).unwrap_or_default()) {
            // Not all machines at the same moment.
            Some(left) => {
                let delay = || Instant::now() + part_of(Duration::from_secs(u64::from(left) * 30));
                if Instant::now() >= *restart_at.get_or_insert_with(delay) {
                    return machine
                        .restart()
                        .map(|()| "the machine restarts into what is installed".to_owned());
                }
            }
            None => restart_at = None,
        }
        thread::sleep(TICK.min(every));
    }
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

fn is_installed(machine: &dyn Machine) -> Result<bool, String> {
    Ok(admit::is_installed(&machine.view()?))
}

fn say(outcome: Result<String, String>) {
    match outcome {
        Ok(said) => eprintln!("vmimage-update: {said}"),
        Err(error) => eprintln!("vmimage-update: {error}"),
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
