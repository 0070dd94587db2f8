//! What brings a machine with two slots to its next version: the program `vmimage-update`, what it has to know, and, where that
//! was asked, what runs it every few hours.

use std::sync::Arc;

use serde::Serialize;

use super::{console, openrc, systemd};
use crate::error::{Error, Kind, Result};
use crate::spec::Update;
use crate::spec::update::{Every, Window};
use crate::tree::Editor;
use crate::tree::os::Init;

/// Where the program lies: somebody runs it.
pub const PROGRAM: &str = "/usr/bin/vmimage-update";
const CONFIG: &str = "/usr/lib/vmimage/update.json";

const SERVICE: &str = "vmimage-update.service";
const TIMER: &str = "vmimage-update.timer";
const WINDOW_TIMER: &str = "vmimage-update-window.timer";
const SCRIPT: &str = "vmimage-update";

/// Seconds after a boot until the first look, and none more than between two.
const FIRST: u32 = 300;

/// The program, and what the root is to it.
#[derive(Clone, Debug)]
pub struct Updater<'a> {
    /// The program `vmimage-update` for the machine's architecture.
    pub program: Arc<[u8]>,
    /// What the root is: whatever is to follow it is held against this.
    pub system: System<'a>,
    /// What was asked.
    pub update: &'a Update,
    /// The keys of minisign that are believed; none: whoever hands an update out is.
    pub public_keys: &'a [String],
}

/// What a root says of itself, in the words of the manifest of an update.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct System<'a> {
    /// What it is, the same in all its versions.
    pub id: &'a str,
    /// Which of them.
    pub version: &'a str,
    /// The machines that it is for.
    pub compatible: &'a str,
    /// Their instruction set: `x86_64`, `aarch64`.
    pub architecture: &'static str,
    /// What starts it: `grub`, `systemd-boot`.
    pub loader: &'static str,
    /// Whether its kernels lie beside the slots, for GRUB to read them there.
    #[serde(skip)]
    pub has_kernels_beside: bool,
}

/// What the program reads.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Config<'a> {
    #[serde(flatten)]
    system: System<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    /// In seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    every: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<Window>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    public_keys: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    ca: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    kernels: bool,
}

/// What both timers start.
const UNIT: &str = "\
# Made by vmimage: the next version of this machine, docs/updates.md.
[Unit]
Description=Install the next version of this machine
Wants=network-online.target
After=network-online.target
ConditionKernelCommandLine=rauc.slot

[Service]
Type=oneshot
ExecStart=/usr/bin/vmimage-update auto
";

const OPENRC: &str = "\
#!/sbin/openrc-run
# Made by vmimage: the next version of this machine, docs/updates.md.
description=\"Look for the next version of this machine, and install it\"
supervisor=supervise-daemon
command=/usr/bin/vmimage-update
command_args=watch
output_logger=\"logger -t vmimage-update -p daemon.info\"
error_logger=\"logger -t vmimage-update -p daemon.info\"
respawn_delay=60
respawn_max=0

depend()
{
\tuse net logger
\tafter vmimage-good
}
";

/// Have the machine come to its next version, by `init` or by vmimage's own if there is none. Returns what was changed, a line for
/// each change.
///
/// # Errors
/// Those of the tree.
pub fn install(editor: &mut Editor<'_>, init: Option<Init>, updater: &Updater<'_>) -> Result<Vec<String>> {
    editor.write_file(PROGRAM, updater.program.clone(), 0o755)?;
    editor.write_file(CONFIG, config(updater)?, 0o644)?;
    let mut notes = vec![installs(&updater.system), trusts(updater)];
    notes.extend(missing(editor, updater.update));
    if let Some(every) = updater.update.every {
        let window = updater.update.window;
        look(editor, init, every, window)?;
        notes.push(looks(updater.update, every));
    }
    Ok(notes)
}

fn config(updater: &Updater<'_>) -> Result<Vec<u8>> {
    let Updater { system, update, public_keys, .. } = *updater;
    let config = Config {
        system,
        from: update.from.as_deref(),
        every: update.every.map(Every::seconds),
        window: update.window,
        public_keys,
        ca: update.ca.as_deref(),
        certificate: update.certificate.as_deref(),
        key: update.key.as_deref(),
        kernels: system.has_kernels_beside,
    };
    serde_json::to_vec(&config).map_err(|error| Error::new(Kind::Input, CONFIG, error.to_string()))
}

/// Have `init` run the program again and again. vmimage's own does so by itself.
fn look(editor: &mut Editor<'_>, init: Option<Init>, every: Every, window: Option<Window>) -> Result<()> {
    match init {
        Some(Init::Systemd) => {
            let units = [(SERVICE, UNIT.to_owned()), (TIMER, timer(every))];
            for (name, text) in
                units.into_iter().chain(window.map(|window| (WINDOW_TIMER, at_window(window))))
            {
                editor.write_file(format!("{}/{name}", systemd::USR), text.into_bytes(), 0o644)?;
                systemd::enable(editor, name)?;
            }
        }
        Some(Init::OpenRc) => {
            editor.write_file(format!("/etc/init.d/{SCRIPT}"), OPENRC.as_bytes(), 0o755)?;
            openrc::enable(editor, SCRIPT, "default")?;
        }
        Some(init @ Init::Sysvinit) => {
            console::add_to_inittab(editor, init, &format!("vu:2345:respawn:{PROGRAM} watch"))?;
        }
        Some(init @ Init::Busybox) => {
            console::add_to_inittab(editor, init, &format!("::respawn:{PROGRAM} watch"))?;
        }
        None => {}
    }
    Ok(())
}

/// Machines that were switched on at once ask at different times: within a quarter of the time between two looks.
fn timer(every: Every) -> String {
    let seconds = every.seconds();
    let (first, spread) = (seconds.min(FIRST), seconds / 4);
    format!(
        "\
# Made by vmimage: the next version of this machine, docs/updates.md.
[Unit]
Description=Look for the next version of this machine every {every}

[Timer]
OnBootSec={first}
OnUnitActiveSec={seconds}
RandomizedDelaySec={spread}
AccuracySec=1

[Install]
WantedBy=timers.target
"
    )
}

/// What was installed before is started when the window begins, by each machine at another time of its first half.
fn at_window(window: Window) -> String {
    let (begin, spread) = (window.begin(), window.minutes() * 60 / 2);
    format!(
        "\
# Made by vmimage: when this machine may restart, docs/updates.md.
[Unit]
Description=Restart into the next version of this machine within {window}

[Timer]
OnCalendar=*-*-* {begin}:00
RandomizedDelaySec={spread}
AccuracySec=1
Unit={SERVICE}

[Install]
WantedBy=timers.target
"
    )
}

fn installs(system: &System<'_>) -> String {
    let System { id, version, compatible, .. } = system;
    format!("{PROGRAM}: installs what follows {id} {version} on machines that are {compatible}")
}

fn trusts(updater: &Updater<'_>) -> String {
    match updater.public_keys {
        [] => "update: need not be signed, whoever hands one out is believed: see sign and public-key of [update]".into(),
        keys => format!("update: has to be signed by {}", keys.join(" or ")),
    }
}

fn looks(update: &Update, every: Every) -> String {
    let from = update.from.as_deref().unwrap_or_default();
    let window = update.window.map(|window| format!("within {window}"));
    let when = window.unwrap_or_else(|| "once it is installed".to_owned());
    format!("update: looked for every {every} at {from}, and started {when}")
}

/// Files that somebody has to put into the machine.
fn missing(editor: &Editor<'_>, update: &Update) -> Vec<String> {
    let named = [&update.ca, &update.certificate, &update.key].into_iter().flatten();
    let missing = named.filter(|path| editor.tree().resolve(path.as_str()).is_none());
    missing
        .map(|path| format!("update: {path} is not in the image, and nothing is fetched before it is there"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::{text, tree};
    use crate::tree::{Time, Tree};

    const KEY: &str = "RWQxYAcie9UMBD2m/FcLJpN/pIFiPCdHdLwXmRHboeVxDHZawc7iaSXV";

    fn edit(init: Option<Init>, update: &str, public_keys: &[String]) -> (Tree, Vec<String>) {
        let mut tree =
            tree(&[("/sbin/init", ""), ("/etc/inittab", "::sysinit:/etc/rcS\n"), ("/etc/ca.pem", "")]);
        let system = System {
            id: "kiosk",
            version: "1.4.0",
            compatible: "acme kiosk-2",
            architecture: "x86_64",
            loader: "grub",
            has_kernels_beside: update.contains("ca.pem"),
        };
        let update = &serde_json::from_str(update).unwrap();
        let updater = Updater { program: Arc::from(*b"program"), system, update, public_keys };
        let notes = install(&mut Editor::new(&mut tree, Time::default()), init, &updater).unwrap();
        assert_eq!(text(&tree, PROGRAM).unwrap(), "program");
        (tree, notes)
    }

    const ALL: &str = r#"{"from":"https://a/k/","every":"6h","window":"23:00-01:00","ca":"/etc/ca.pem","certificate":"/persist/m.pem","key":"/persist/m.key"}"#;

    #[test]
    fn the_program_knows_what_was_asked_and_no_more() {
        let (tree, notes) = edit(None, "{}", &[]);
        let system = r#"{"id":"kiosk","version":"1.4.0","compatible":"acme kiosk-2","architecture":"x86_64","loader":"grub""#;
        assert_eq!(text(&tree, CONFIG).unwrap(), format!("{system}}}"));
        assert_eq!(
            notes[0],
            format!("{PROGRAM}: installs what follows kiosk 1.4.0 on machines that are acme kiosk-2")
        );
        assert!(notes.len() == 2 && notes[1].starts_with("update: need not be signed"), "{notes:?}");

        let (tree, notes) = edit(None, ALL, &[KEY.to_owned()]);
        let rest = format!(
            r#","from":"https://a/k/","every":21600,"window":"23:00-01:00","public-keys":["{KEY}"],"ca":"/etc/ca.pem","certificate":"/persist/m.pem","key":"/persist/m.key","kernels":true}}"#
        );
        assert_eq!(text(&tree, CONFIG).unwrap(), format!("{system}{rest}"));
        let missing = |path: &str| {
            format!("update: {path} is not in the image, and nothing is fetched before it is there")
        };
        let expected = [
            format!("update: has to be signed by {KEY}"),
            missing("/persist/m.pem"),
            missing("/persist/m.key"),
            "update: looked for every 6h at https://a/k/, and started within 23:00-01:00".to_owned(),
        ];
        assert_eq!(notes[1..], expected);
    }

    #[test]
    fn systemd_looks_by_timers() {
        let unit = |tree: &Tree, name: &str| text(tree, &format!("{}/{name}", systemd::USR));
        let is_enabled = |tree: &Tree, name: &str| {
            tree.resolve(format!("/etc/systemd/system/timers.target.wants/{name}")).is_some()
        };
        let (tree, _) = edit(Some(Init::Systemd), ALL, &[]);
        assert!(
            unit(&tree, SERVICE)
                .unwrap()
                .ends_with("\nType=oneshot\nExecStart=/usr/bin/vmimage-update auto\n")
        );
        let timer = unit(&tree, TIMER).unwrap();
        assert!(
            timer.contains("\nOnBootSec=300\nOnUnitActiveSec=21600\nRandomizedDelaySec=5400\n"),
            "{timer}"
        );
        let timer = unit(&tree, WINDOW_TIMER).unwrap();
        assert!(timer.contains("\nOnCalendar=*-*-* 23:00:00\nRandomizedDelaySec=3600\n"), "{timer}");
        assert!(timer.contains("\nUnit=vmimage-update.service\n"), "{timer}");
        assert!(is_enabled(&tree, TIMER) && is_enabled(&tree, WINDOW_TIMER));

        let (tree, notes) = edit(Some(Init::Systemd), r#"{"from":"a/k","every":"60s"}"#, &[]);
        assert!(is_enabled(&tree, TIMER) && unit(&tree, WINDOW_TIMER).is_none());
        assert!(unit(&tree, TIMER).unwrap().contains("\nOnBootSec=60\n"));
        assert!(notes[2].ends_with("every 1m at a/k, and started once it is installed"), "{notes:?}");
        let (tree, _) = edit(Some(Init::Systemd), r#"{"from":"a/k"}"#, &[]);
        assert!(unit(&tree, SERVICE).is_none() && unit(&tree, TIMER).is_none());
    }

    #[test]
    fn other_inits_have_a_process_that_looks() {
        let (openrc, _) = edit(Some(Init::OpenRc), ALL, &[]);
        assert!(openrc.resolve("/etc/runlevels/default/vmimage-update").is_some());
        assert!(text(&openrc, "/etc/init.d/vmimage-update").unwrap().contains("\ncommand_args=watch\n"));
        for (init, line) in [
            (Init::Busybox, "::respawn:/usr/bin/vmimage-update watch\n"),
            (Init::Sysvinit, "vu:2345:respawn:/usr/bin/vmimage-update watch\n"),
        ] {
            let (tree, _) = edit(Some(init), ALL, &[]);
            assert!(text(&tree, "/etc/inittab").unwrap().ends_with(line), "{line}");
            let (tree, _) = edit(Some(init), r#"{"from":"a/k"}"#, &[]);
            assert!(!text(&tree, "/etc/inittab").unwrap().contains("vmimage-update"), "{line}");
        }
        let (own, _) = edit(None, ALL, &[]);
        assert!(own.lookup("/etc/systemd").is_none() && own.lookup("/etc/init.d").is_none());
    }
}
