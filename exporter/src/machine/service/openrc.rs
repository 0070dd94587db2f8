//! The service as a script of OpenRC: openrc-run(8), supervise-daemon(8).

use std::fmt::Write;

use super::quote::{line, shell};
use super::{RUN, RunDirectory, ServicePlan, folder};
use crate::error::{Error, Kind, Result};
use crate::hint::{Hint, Setting};
use crate::machine::openrc::enable;
use crate::tree::Editor;

/// Write the script of `plan` and enable it. Returns what could not be taken over, a line for each thing.
///
/// # Errors
/// [`Kind::Unsupported`] for a user without a name: supervise-daemon takes none.
pub(super) fn install(editor: &mut Editor<'_>, plan: &ServicePlan<'_>) -> Result<Vec<String>> {
    let name = &plan.name;
    if !plan.account.is_root() && plan.account.name.is_none() {
        let message = format!("{} has no line in /etc/passwd, which OpenRC wants", plan.account.uid);
        let line = format!("RUN adduser -D -H -u {} {name}", plan.account.uid);
        let hint = Hint::from(format!("add one in the Dockerfile: {line}; or make no service: "));
        return Err(
            Error::new(Kind::Unsupported, "USER", message).with_hint(hint.set(Setting::Service, "off"))
        );
    }
    editor.write_file(program(name), start(plan).into_bytes(), 0o755)?;
    editor.write_file(format!("/etc/init.d/{name}"), script(plan).into_bytes(), 0o755)?;
    enable(editor, name, "default")?;
    let health = plan.health.as_ref().map(|_| "HEALTHCHECK: left out, only systemd runs it".to_owned());
    Ok(health.into_iter().collect())
}

/// What supervise-daemon starts.
fn program(name: &str) -> String {
    format!("/usr/lib/vmimage/{name}")
}

fn start(plan: &ServicePlan<'_>) -> String {
    let mut text = String::from(
        "#!/bin/sh\n# Made by vmimage: what the image runs, by its ENTRYPOINT, CMD, ENV and WORKDIR.\nexec 2>&1\n",
    );
    let _ = writeln!(text, "cd {} || exit", shell(&plan.working_dir));
    text.push_str("exec env -i");
    if plan.environment.iter().all(|(name, _)| name != "HOSTNAME") {
        text.push_str(" HOSTNAME=\"$(hostname)\"");
    }
    for (name, value) in &plan.environment {
        let _ = write!(text, " \\\n\t{}", shell(&format!("{name}={value}")));
    }
    let words: Vec<_> = plan.container.command().map(shell).collect();
    let _ = writeln!(text, " \\\n\t{RUN} {} {}", folder(&plan.name), words.join(" "));
    text
}

fn script(plan: &ServicePlan<'_>) -> String {
    let name = &plan.name;
    let mut text = String::from("#!/sbin/openrc-run\n# Made by vmimage: what the image runs.\n");
    for port in &plan.container.exposed_ports {
        let _ = writeln!(text, "# EXPOSE {}", line(port));
    }
    let mut set = |key: &str, value: &str| {
        let _ = writeln!(text, "{key}={}", shell(value));
    };
    set("description", &format!("{name} of the image"));
    set("supervisor", "supervise-daemon");
    set("command", &program(name));
    if !plan.account.is_root() || plan.account.gid != 0 {
        set("command_user", &format!("{}:{}", plan.account.shown(), plan.account.gid));
    }
    if !plan.account.is_root() {
        // Containers let everyone have the ports below 1024.
        set("capabilities", "^cap_net_bind_service");
    }
    // The logger runs as the service does, and the console is root's.
    let console = if plan.account.is_root() { "tee /dev/console | " } else { "" };
    set("output_logger", &format!("{console}logger -t {name} -p daemon.info"));
    set("retry", &format!("{}/90/SIGKILL/5", plan.stop_signal));
    set("respawn_delay", "2");
    // What cannot start yet, for want of a database elsewhere, is tried again for ever.
    set("respawn_max", "0");
    text.push_str("\ndepend()\n{\n\twant net\n\tuse logger dns\n\tafter firewall\n}\n\nstart_pre()\n{\n");
    let own =
        RunDirectory { path: folder(name), permissions: 0o755, uid: plan.account.uid, gid: plan.account.gid };
    for RunDirectory { path, permissions, uid, gid } in plan.run_directories.iter().chain([&own]) {
        let path = shell(path);
        let _ = writeln!(
            text,
            "\tmkdir -p {path} && chown {uid}:{gid} {path} && chmod {permissions:04o} {path} || return"
        );
    }
    text.push_str("}\n");
    text
}
