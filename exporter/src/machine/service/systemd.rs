//! The service as units of systemd: systemd.service(5), systemd.exec(5), systemd.timer(5).

use std::fmt::{Display, Write};
use std::time::Duration;

use super::quote::{argument, line, word};
use super::{HEALTH, RUN, RunDirectory, ServicePlan, folder};
use crate::error::{Error, Kind, Result, show_text};
use crate::machine::systemd::{USR, enable};
use crate::spec::Healthcheck;
use crate::tree::Editor;

/// The first line of what is made here.
pub(super) const MARK: &str = "# Made by vmimage";

/// What systemd takes for a clean end in any case.
const CLEAN_SIGNALS: [&str; 4] = ["SIGHUP", "SIGINT", "SIGPIPE", "SIGTERM"];

/// Write the units of `plan` and enable them. Returns what could not be taken over, a line for each thing.
///
/// # Errors
/// [`Kind::Unsupported`] for a working directory that a unit cannot name.
pub(super) fn install(editor: &mut Editor<'_>, plan: &ServicePlan<'_>) -> Result<Vec<String>> {
    let name = &plan.name;
    if line(&plan.working_dir) != plan.working_dir.replace('%', "%%") {
        let message = format!("{:?} is no directory that systemd takes", plan.working_dir);
        return Err(Error::new(Kind::Unsupported, "WORKDIR", message));
    }
    let mut write = |unit: &str, text: String| -> Result<()> {
        editor.write_file(format!("{USR}/{unit}"), text.into_bytes(), 0o644)?;
        Ok(())
    };
    write(&format!("{name}.service"), service(plan))?;
    if let Some((check, test)) = &plan.health {
        write(&format!("{name}-health.service"), health_service(plan, check, test))?;
        write(&format!("{name}-health.timer"), health_timer(name, check))?;
        editor.write_file(HEALTH, include_str!("health.sh").as_bytes(), 0o755)?;
        enable(editor, &format!("{name}-health.timer"))?;
    }
    enable(editor, &format!("{name}.service"))?;
    if !plan.run_directories.is_empty() {
        let text = tmpfiles(&plan.run_directories);
        editor.write_file(format!("/usr/lib/tmpfiles.d/{name}.conf"), text.into_bytes(), 0o644)?;
    }
    let odd = plan.environment.iter().filter(|(name, _)| !is_variable(name));
    Ok(odd
        .map(|(name, _)| format!("ENV {:?}: left out, systemd takes no such name", show_text(name)))
        .collect())
}

/// Whether systemd takes this name of a variable: systemd.exec(5), "Environment".
fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A unit as it grows.
struct Unit(String);

impl Unit {
    fn new(about: &str) -> Self {
        Self(format!("{MARK}: {about}\n"))
    }

    fn section(&mut self, name: &str) {
        let blank = if self.0.lines().count() > 1 { "\n" } else { "" };
        let _ = writeln!(self.0, "{blank}[{name}]");
    }

    fn set(&mut self, key: &str, value: impl Display) {
        let _ = writeln!(self.0, "{key}={value}");
    }

    /// `program` with words that are taken as they are.
    fn exec_start<'w>(&mut self, program: &str, words: impl Iterator<Item = &'w str>) {
        let words: Vec<_> = std::iter::once(program.to_owned()).chain(words.map(argument)).collect();
        self.set("ExecStart", words.join(" "));
    }

    /// What the service and its health check have in common: in a container both are in the same place.
    fn surroundings(&mut self, plan: &ServicePlan<'_>) {
        if !plan.account.is_root() || plan.account.gid != 0 {
            self.set("User", plan.account.shown());
            self.set("Group", plan.account.gid);
        }
        if !plan.account.is_root() {
            // Containers let everyone have the ports below 1024.
            self.set("AmbientCapabilities", "CAP_NET_BIND_SERVICE");
        }
        self.set("WorkingDirectory", line(&plan.working_dir));
        if plan.environment.iter().all(|(name, _)| name != "HOSTNAME") {
            self.set("Environment", "HOSTNAME=%H");
        }
        for (name, value) in plan.environment.iter().filter(|(name, _)| is_variable(name)) {
            self.set("Environment", word(&format!("{name}={value}")));
        }
        // As in a container; systemd's own way would change what a shell's pipeline does.
        self.set("IgnoreSIGPIPE", "no");
    }
}

fn service(plan: &ServicePlan<'_>) -> String {
    let (name, folder) = (&plan.name, folder(&plan.name));
    let command: Vec<_> = plan.container.command().collect();
    let mut unit =
        Unit::new("what the image runs, by its ENTRYPOINT, CMD, ENV, USER, WORKDIR and STOPSIGNAL.");
    if !plan.container.exposed_ports.is_empty() {
        let ports: Vec<_> = plan.container.exposed_ports.iter().map(|port| line(port)).collect();
        let _ = writeln!(unit.0, "# EXPOSE {}", ports.join(" "));
    }
    unit.section("Unit");
    unit.set("Description", format!("{name} of the image"));
    unit.set("Wants", "network-online.target");
    unit.set("After", "network-online.target");
    // What cannot start yet, for want of a database elsewhere, is tried again for ever.
    unit.set("StartLimitIntervalSec", 0);

    unit.section("Service");
    unit.exec_start(RUN, std::iter::once(&*folder).chain(command));
    unit.surroundings(plan);
    unit.set("RuntimeDirectory", folder.trim_start_matches("/run/"));
    unit.set("SyslogIdentifier", name);
    unit.set("StandardOutput", "journal+console");
    unit.set("Restart", "on-failure");
    unit.set("RestartSec", 2);
    // As the end of a container: the signal to its first process, whose end is that of all others.
    unit.set("KillMode", "mixed");
    unit.set("KillSignal", plan.stop_signal);
    unit.set("SuccessExitStatus", clean_ends(plan));
    // The last lines of the output are still on their way through the pipe.
    unit.set("ExecStopPost", "-/bin/sleep 0.2");

    unit.section("Install");
    unit.set("WantedBy", "multi-user.target");
    unit.0
}

/// How the program may end once it was told to: by the signal itself, or as a shell says that of its child.
fn clean_ends(plan: &ServicePlan<'_>) -> String {
    let (status, signal) = (plan.stop_signal.exit_status(), plan.stop_signal.to_string());
    // A number would be taken for an exit status.
    if CLEAN_SIGNALS.contains(&&*signal) || !signal.starts_with("SIG") {
        return status.to_string();
    }
    format!("{status} {signal}")
}

fn health_service(plan: &ServicePlan<'_>, check: &Healthcheck, test: &[String]) -> String {
    let name = &plan.name;
    let seconds = |time: Duration| time.as_secs_f64().ceil().to_string();
    let mut unit = Unit::new("the image's HEALTHCHECK; failed means unhealthy.");
    unit.section("Unit");
    unit.set("Description", format!("Health of {name}"));
    unit.set("BindsTo", format!("{name}.service"));
    unit.set("After", format!("{name}.service"));

    unit.section("Service");
    unit.set("Type", "oneshot");
    let [retries, timeout, start_period] =
        [check.retries().to_string(), seconds(check.timeout()), seconds(check.start_period())];
    let own = [folder(name), retries, timeout, start_period];
    unit.exec_start(HEALTH, own.iter().chain(test).map(String::as_str));
    unit.surroundings(plan);
    unit.set("SyslogIdentifier", format!("{name}-health"));
    unit.0
}

fn health_timer(name: &str, check: &Healthcheck) -> String {
    let milliseconds = |time: Duration| format!("{}ms", time.as_millis().max(1));
    let first = if check.start_period().is_zero() { check.interval() } else { check.start_interval() };
    let mut unit = Unit::new("when the image's HEALTHCHECK is made.");
    unit.section("Unit");
    unit.set("Description", format!("Health checks of {name}"));
    unit.set("BindsTo", format!("{name}.service"));
    unit.set("After", format!("{name}.service"));

    unit.section("Timer");
    unit.set("OnActiveSec", milliseconds(first));
    unit.set("OnUnitInactiveSec", milliseconds(check.interval()));
    unit.set("AccuracySec", "100ms");

    unit.section("Install");
    unit.set("WantedBy", format!("{name}.service"));
    unit.0
}

/// What the image has in `/run`, which a machine makes anew at boot: tmpfiles.d(5).
fn tmpfiles(directories: &[RunDirectory]) -> String {
    let mut text = format!("{MARK}: directories of the image in /run.\n");
    for RunDirectory { path, permissions, uid, gid } in directories {
        let _ = writeln!(text, "d {} {permissions:04o} {uid} {gid}", word(path));
    }
    text
}
