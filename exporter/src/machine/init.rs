//! Our own first process, for a tree that has none or shall not have its own: it does what the image could count on in a container,
//! and runs its entrypoint. The user's files stay as they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::hostname;
use super::network::install_for_own_init;
use crate::error::{Error, Kind, Result};
use crate::spec::microvm::{Capabilities, OnCrash, SoftHard};
use crate::spec::{Container, Microvm, Network};
use crate::tree::os::Os;
use crate::tree::{Editor, Time, Tree};

/// Where it lies, for the kernel's command line.
pub const PROGRAM: &str = "/usr/lib/vmimage/init";
/// The image's own configuration, which tells it what to run.
const DESCRIPTION: &str = "/usr/lib/vmimage/container.json";

/// What it is told beside that, as a microVM.
const TOLD: &str = "/usr/lib/vmimage/init.json";

/// What programs expect to be there, and their permissions; what the image has in them stays, as in a
/// container.
const EXPECTED: [(&str, u16); 2] = [("/run", 0o755), ("/tmp", 0o1777)];

/// What the first process is told.
#[derive(Clone, Debug)]
pub struct Contained<'a> {
    /// The program `vmimage-init` for the machine's architecture.
    pub program: Arc<[u8]>,
    /// What it runs; `None`: nothing.
    pub container: Option<&'a Container>,
    /// The host name; without one the image's own is kept, else the distribution's id is taken.
    pub hostname: Option<&'a str>,
    /// What is asked of its network.
    pub network: &'a Network,
    /// What is asked of it as a microVM; `None`: it is none, and the program may do what it may.
    pub microvm: Option<&'a Microvm>,
    /// The time of every file made here.
    pub time: Time,
}

/// The file, as the program reads it.
#[derive(Serialize)]
struct Told<'a> {
    on_crash: OnCrash,
    confined: bool,
    #[serde(skip_serializing_if = "Capabilities::is_default")]
    capabilities: &'a Capabilities,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    ulimits: BTreeMap<&'a str, SoftHard>,
}

/// Make `tree` the root of a machine that runs like a container. Returns what was changed, a line for each
/// change.
pub fn install(tree: &mut Tree, os: &Os, contained: &Contained<'_>) -> Result<Vec<String>> {
    let editor = &mut Editor::new(tree, contained.time);
    let mut notes = Vec::new();
    for (directory, permissions) in EXPECTED {
        if editor.tree().resolve(directory).is_none() {
            editor.set_directory(directory, permissions)?;
            notes.push(format!("{directory}: made"));
        }
    }
    notes.extend(hostname::write(editor, contained.hostname, os)?);
    notes.extend(install_for_own_init(editor, contained.network)?);
    editor.write_file(PROGRAM, contained.program.clone(), 0o755)?;
    let runs = match contained.container {
        Some(container) => {
            let failed = |error: serde_json::Error| Error::new(Kind::Input, DESCRIPTION, error.to_string());
            let text = serde_json::to_vec(container).map_err(failed)?;
            editor.write_file(DESCRIPTION, text, 0o644)?;
            if container.health_command().is_some() {
                notes.push(format!(
                    "HEALTHCHECK: {PROGRAM} runs it, and says what becomes of it on the console"
                ));
            }
            container.command().next().unwrap_or_default()
        }
        None => "nothing",
    };
    notes.extend(contained.microvm.map(|microvm| tell(editor, microvm)).transpose()?);
    notes.push(format!("{PROGRAM}: the first process, runs {runs} and nothing else"));
    Ok(notes)
}

/// Tell it what a microVM's program may, and what follows where that fails.
fn tell(editor: &mut Editor<'_>, microvm: &Microvm) -> Result<String> {
    let Microvm { on_crash, capabilities, ulimits, .. } = microvm;
    let ulimits = ulimits.iter().map(|(name, limit)| (name.as_str(), limit.both())).collect();
    let told = Told { on_crash: *on_crash, confined: true, capabilities, ulimits };
    let failed = |error: serde_json::Error| Error::new(Kind::Input, TOLD, error.to_string());
    editor.write_file(TOLD, serde_json::to_vec(&told).map_err(failed)?, 0o644)?;
    Ok(format!(
        "{TOLD}: the program has docker's capabilities, and what follows a failure is {}",
        on_crash.name()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::forget_engine;
    use crate::tree::testing::{text, tree};
    use crate::tree::{Detail, os};

    fn edit(files: &[(&str, &str)], container: Option<&Container>) -> (Tree, Vec<String>) {
        let mut tree = tree(files);
        let os = os::detect(&tree).unwrap();
        let program = Arc::from(*b"program");
        let contained = Contained {
            program,
            container,
            hostname: Some("web"),
            network: &Network::default(),
            microvm: None,
            time: Time::default(),
        };
        forget_engine(&mut Editor::new(&mut tree, Time::default())).unwrap();
        let notes = install(&mut tree, &os, &contained).unwrap();
        (tree, notes)
    }

    fn container() -> Container {
        Container { entrypoint: vec!["/app".into()], user: "65532".into(), ..Container::default() }
    }

    #[test]
    fn the_image_stays_as_it_is_but_for_what_a_machine_needs() {
        let files = [
            ("/app", "app"),
            ("/run/app/", ""),
            ("/tmp/data", "kept"),
            ("/etc/ssl/certs/ca.crt", "ca"),
            ("/etc/machine-id", "kept"),
            ("/dev/null", "a file"),
            ("/.dockerenv", ""),
        ];
        let (edited, notes) = edit(&files, Some(&container()));
        let dump = |tree: &Tree| {
            tree.dump(Detail::default()).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let (before, after) = (dump(&tree(&files)), dump(&edited));
        let name = |line: &String| line.split(' ').next().unwrap().to_owned();
        let gone: Vec<_> = before.iter().filter(|line| !after.contains(line)).map(name).collect();
        let new: Vec<_> = after.iter().filter(|line| !before.contains(line)).map(name).collect();
        assert_eq!(gone, ["/.dockerenv", "/dev/null"]);
        let expected = [
            "/etc/hostname",
            "/etc/hosts",
            "/proc",
            "/sys",
            "/usr",
            "/usr/lib",
            "/usr/lib/vmimage",
            "/usr/lib/vmimage/container.json",
            PROGRAM,
        ];
        assert_eq!(new, expected);
        assert_eq!(
            notes.last().unwrap(),
            &format!("{PROGRAM}: the first process, runs /app and nothing else")
        );
        let description = text(&edited, DESCRIPTION).unwrap();
        assert!(
            description.contains(r#""Entrypoint":["/app"]"#) && description.contains(r#""User":"65532""#)
        );
    }

    #[test]
    fn an_empty_image_gets_what_every_program_expects() {
        let (tree, notes) = edit(&[], None);
        assert!(
            tree.lookup(DESCRIPTION).is_none()
                && notes.last().unwrap().ends_with("runs nothing and nothing else")
        );
        for (directory, permissions) in [("/proc", 0o755), ("/dev", 0o755), ("/run", 0o755), ("/tmp", 0o1777)]
        {
            let meta = &tree.inode(tree.lookup(directory).unwrap()).meta;
            assert_eq!(meta.permissions, permissions, "{directory}");
        }
    }

    #[test]
    fn a_health_check_is_run_and_reported() {
        let is_told = |words: &[&str]| {
            let test = words.iter().map(|word| (*word).to_owned()).collect();
            let check = crate::spec::Healthcheck { test, ..Default::default() };
            let checked = Container { healthcheck: Some(check), ..container() };
            edit(&[], Some(&checked)).1.iter().any(|note| note.starts_with("HEALTHCHECK: "))
        };
        assert!(is_told(&["CMD", "true"]) && is_told(&["CMD-SHELL", "true"]));
        assert!(!is_told(&["NONE"]) && !is_told(&[]));
    }

    #[test]
    fn a_microvm_is_told_what_its_program_may() {
        let told = |asked: &str| {
            let mut tree = tree(&[]);
            let os = os::detect(&tree).unwrap();
            let (network, microvm) = (Network::default(), serde_json::from_str(asked).unwrap());
            let program = Arc::from(*b"program");
            let (container, time) = (Some(&container()), Time::default());
            let contained = Contained {
                program,
                container,
                hostname: None,
                network: &network,
                microvm: Some(&microvm),
                time,
            };
            install(&mut tree, &os, &contained).unwrap();
            text(&tree, TOLD).unwrap()
        };
        assert_eq!(told("{}"), r#"{"on_crash":"poweroff","confined":true}"#);
        let asked = r#"{"on-crash":"halt","capabilities":{"add":["NET_ADMIN"]},"ulimits":{"nofile":7}}"#;
        let expected = r#"{"on_crash":"halt","confined":true,"capabilities":{"add":["NET_ADMIN"]},"ulimits":{"nofile":{"soft":7,"hard":7}}}"#;
        assert_eq!(told(asked), expected);
        let (without, _) = edit(&[], Some(&container()));
        assert!(text(&without, TOLD).is_none(), "other machines are told nothing");
    }
}
