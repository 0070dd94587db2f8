//! What says that the boot of a machine with two slots was good: the program `vmimage-boot`, which any init runs once the
//! machine is up, and the check that it waits for.

use std::sync::Arc;

use serde::Serialize;

use super::{console, openrc, systemd};
use crate::error::{Error, Kind, Result};
use crate::hint::Hint;
use crate::spec::{Container, Update};
use crate::tree::Editor;
use crate::tree::os::Init;

/// Where the program lies: somebody runs it.
pub const PROGRAM: &str = "/usr/bin/vmimage-boot";
/// The check.
const CHECK: &str = "/usr/lib/vmimage/health.json";
const UNIT: &str = "vmimage-good.service";
const SCRIPT: &str = "vmimage-good";

/// Seconds between two checks, and those one may take, where no image says.
const INTERVAL: u64 = 5;
const TIMEOUT: u64 = 30;

/// What is known of good boots.
#[derive(Clone, Debug)]
pub struct Good<'a> {
    /// The program `vmimage-boot` for the machine's architecture.
    pub program: Arc<[u8]>,
    /// What was asked.
    pub update: &'a Update,
    /// What runs as the machine's service.
    pub container: Option<&'a Container>,
    /// Where the entries are that systemd-boot counts the tries by; `None`: another boot loader counts.
    pub entries: Option<Entries>,
}

/// Where entries of systemd-boot are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entries {
    /// On the ESP, where systemd's own program finds them.
    OnEsp,
    /// On a partition beside it that is mounted nowhere.
    Beside,
}

/// A check, as the program reads it.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Check {
    command: Container,
    interval: u64,
    timeout: u64,
}

/// Last of all, when nothing else is started any more. `boot-complete.target` has the checks of others before it
/// (systemd.special(7)).
const SERVICE: &str = "\
# Made by vmimage: the slot that is booted is good, docs/fleets.md.
[Unit]
Description=Say that this boot is good once the machine is healthy
Requires=boot-complete.target
After=boot-complete.target default.target
ConditionKernelCommandLine=rauc.slot

[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=infinity
ExecStart=/usr/bin/vmimage-boot healthy

[Install]
WantedBy=default.target
";

/// systemd's own program calls a boot good once the targets are reached, whatever the machine's health.
const BLESS: &str = "systemd-bless-boot.service.d/vmimage.conf";
const BLESS_AFTER: &str = "\
# Made by vmimage: no boot is good before vmimage-boot says so, docs/fleets.md.
[Unit]
Requires=vmimage-good.service
After=vmimage-good.service
";

/// In its place, where it would not find them.
const BLESS_BY_US: &str = "\
[Service]
ExecStart=
ExecStart=/usr/bin/vmimage-boot good
";

const OPENRC: &str = "\
#!/sbin/openrc-run
# Made by vmimage: the slot that is booted is good, docs/fleets.md.
description=\"Say that this boot is good once the machine is healthy\"

depend()
{
\tafter *
}

# It ends once the boot is good: no daemon that OpenRC has to look after, and would call crashed.
start()
{
\t/usr/bin/vmimage-boot healthy </dev/null >/dev/console 2>&1 &
}
";

/// Have `init`, or vmimage's own if there is none, say that a boot was good. Returns what was changed, a line for each change.
///
/// # Errors
/// [`Kind::Input`] if there is a deadline for a health that nothing tells.
pub fn install(editor: &mut Editor<'_>, init: Option<Init>, good: &Good<'_>) -> Result<Vec<String>> {
    let check = check(good);
    if check.is_none() && good.update.deadline.is_some() {
        return Err(no_check());
    }
    editor.write_file(PROGRAM, good.program.clone(), 0o755)?;
    if let Some(check) = &check {
        let failed = |error: serde_json::Error| Error::new(Kind::Input, CHECK, error.to_string());
        editor.write_file(CHECK, serde_json::to_vec(check).map_err(failed)?, 0o644)?;
    }
    match init {
        Some(Init::Systemd) => {
            editor.write_file(format!("{}/{UNIT}", systemd::USR), SERVICE.as_bytes(), 0o644)?;
            systemd::enable(editor, UNIT)?;
            if let Some(entries) = good.entries {
                let by_us = if entries == Entries::Beside { BLESS_BY_US } else { "" };
                let text = [BLESS_AFTER, by_us].concat();
                editor.write_file(format!("{}/{BLESS}", systemd::USR), text.into_bytes(), 0o644)?;
            }
        }
        Some(Init::OpenRc) => {
            editor.write_file(format!("/etc/init.d/{SCRIPT}"), OPENRC.as_bytes(), 0o755)?;
            openrc::enable(editor, SCRIPT, "default")?;
        }
        Some(init @ Init::Sysvinit) => {
            console::add_to_inittab(editor, init, &format!("vh:2345:once:{PROGRAM} healthy"))?;
        }
        Some(init @ Init::Busybox) => {
            console::add_to_inittab(editor, init, &format!("::once:{PROGRAM} healthy"))?;
        }
        // vmimage's own runs it without being told.
        None => {}
    }
    let when = match (&good.update.healthy, &check) {
        (Some(line), _) => format!("once this succeeds: {line}"),
        (None, Some(_)) => "once the image's HEALTHCHECK succeeds".to_owned(),
        (None, None) => "once it has reached its goal".to_owned(),
    };
    let (deadline, tries) = (good.update.deadline(), good.update.tries());
    Ok(vec![format!("{PROGRAM}: a boot is good {when}, within {deadline} s; a slot has {tries} tries")])
}

/// The command that was asked for, else the check of the image.
fn check(good: &Good<'_>) -> Option<Check> {
    if let Some(line) = &good.update.healthy {
        let entrypoint = ["/bin/sh", "-c", line].map(str::to_owned).to_vec();
        let command = Container { entrypoint, ..Container::default() };
        return Some(Check { command, interval: INTERVAL, timeout: TIMEOUT });
    }
    let container = good.container?;
    let health = container.healthcheck.as_ref()?;
    let entrypoint = container.health_command()?;
    let Container { env, user, working_dir, .. } = container.clone();
    let command = Container { entrypoint, env, user, working_dir, ..Container::default() };
    let (interval, timeout) = (health.start_interval().as_secs(), health.timeout().as_secs());
    Some(Check { command, interval: interval.max(1), timeout: timeout.max(1) })
}

fn no_check() -> Error {
    let message = "has a deadline, and nothing tells whether the machine is healthy";
    let hint = Hint::from("name a command by the key healthy of [update], or give the image a HEALTHCHECK");
    Error::new(Kind::Input, "update", message).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Healthcheck;
    use crate::tree::Time;
    use crate::tree::testing::{text, tree};

    fn container(test: &[&str]) -> Container {
        let test = test.iter().map(|word| (*word).to_owned()).collect();
        let healthcheck = Some(Healthcheck { test, timeout: 2_000_000_000, ..Healthcheck::default() });
        Container {
            cmd: vec!["/app".into()],
            user: "app".into(),
            env: vec!["A=b".into()],
            healthcheck,
            ..Container::default()
        }
    }

    fn edit(
        init: Option<Init>,
        update: &Update,
        container: Option<&Container>,
    ) -> Result<(crate::tree::Tree, Vec<String>)> {
        let mut tree = tree(&[("/sbin/init", ""), ("/etc/inittab", "::sysinit:/etc/rcS\n")]);
        let program = Arc::from(*b"program");
        let good = Good { program, update, container, entries: Some(Entries::OnEsp) };
        let notes = install(&mut Editor::new(&mut tree, Time::default()), init, &good)?;
        assert_eq!(text(&tree, PROGRAM).unwrap(), "program");
        Ok((tree, notes))
    }

    #[test]
    fn every_init_runs_the_program_once_it_is_up() {
        let update = Update::default();
        let of = |init| edit(init, &update, None).unwrap();
        let (systemd, notes) = of(Some(Init::Systemd));
        let link = "/etc/systemd/system/default.target.wants/vmimage-good.service";
        assert!(systemd.resolve(link).is_some() && systemd.lookup(CHECK).is_none());
        let bless = text(&systemd, &format!("{}/{BLESS}", crate::machine::systemd::USR)).unwrap();
        assert!(bless.ends_with("\nRequires=vmimage-good.service\nAfter=vmimage-good.service\n"), "{bless}");
        let expected = "a boot is good once it has reached its goal, within 300 s; a slot has 3 tries";
        assert_eq!(notes, [format!("{PROGRAM}: {expected}")]);
        let (openrc, _) = of(Some(Init::OpenRc));
        assert!(openrc.resolve("/etc/runlevels/default/vmimage-good").is_some());
        let (busybox, _) = of(Some(Init::Busybox));
        assert!(text(&busybox, "/etc/inittab").unwrap().ends_with("::once:/usr/bin/vmimage-boot healthy\n"));
        let (sysvinit, _) = of(Some(Init::Sysvinit));
        assert!(
            text(&sysvinit, "/etc/inittab").unwrap().contains("vh:2345:once:/usr/bin/vmimage-boot healthy\n")
        );
        let (own, _) = of(None);
        assert!(own.lookup("/etc/systemd").is_none() && own.lookup("/etc/init.d").is_none());
    }

    #[test]
    fn the_check_is_the_one_that_was_asked_for_else_the_images() {
        let image = container(&["CMD", "/app", "health"]);
        let (tree, notes) = edit(None, &Update::default(), Some(&image)).unwrap();
        let check: serde_json::Value = serde_json::from_str(&text(&tree, CHECK).unwrap()).unwrap();
        assert_eq!(check["command"]["Entrypoint"], serde_json::json!(["/app", "health"]));
        assert_eq!(
            (&check["command"]["User"], &check["command"]["Cmd"]),
            (&"app".into(), &serde_json::json!([]))
        );
        assert_eq!((&check["interval"], &check["timeout"]), (&5.into(), &2.into()));
        assert!(notes[0].contains("once the image's HEALTHCHECK succeeds"), "{notes:?}");
        let update = Update { healthy: Some("curl localhost".into()), ..Update::default() };
        let (tree, notes) = edit(None, &update, Some(&image)).unwrap();
        assert!(text(&tree, CHECK).unwrap().contains(r#"["/bin/sh","-c","curl localhost"]"#));
        assert!(notes[0].contains("once this succeeds: curl localhost, within"), "{notes:?}");
    }

    #[test]
    fn a_deadline_needs_something_that_tells_of_health() {
        let update = Update { deadline: Some(60), ..Update::default() };
        for container in [None, Some(container(&[])), Some(container(&["NONE"]))] {
            let error = edit(None, &update, container.as_ref()).err().unwrap();
            assert!(error.to_string().starts_with("update: has a deadline, and nothing tells"), "{error}");
        }
        assert!(edit(None, &update, Some(&container(&["CMD-SHELL", "true"]))).is_ok());
        let update = Update { healthy: Some("true".into()), ..update };
        assert!(edit(None, &update, None).is_ok());
    }
}
