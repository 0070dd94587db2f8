//! What the image runs in a container, as a service of the machine.
//!
//! ```text
//! ENTRYPOINT, CMD ──▶ ExecStart=        STOPSIGNAL ──▶ KillSignal=
//! ENV, HOME ────────▶ Environment=      EXPOSE ──────▶ a comment
//! USER ─────────────▶ User=, Group=     HEALTHCHECK ─▶ NAME-health.service and .timer
//! WORKDIR ──────────▶ WorkingDirectory=, made if it is missing, as VOLUME is
//! ```
//!
//! The program runs in the foreground with the words, the variables and the signal it has in a container;
//! what such a program expects besides is written where it is done.

mod account;
mod command;
mod openrc;
mod program;
mod quote;
mod rivals;
mod script;
mod signal;
mod systemd;

use std::collections::HashMap;

use super::read;
use crate::error::{Error, Kind, Result, show_text};
use crate::hint::{Hint, Setting};
use crate::limits;
use crate::spec::{Container, Healthcheck, Service};
use crate::tree::os::{Init, Os};
use crate::tree::{Editor, Tree};
use account::Account;
use command::Command;
use program::Programs;
use signal::Signal;

/// The script that becomes the program.
const RUN: &str = "/usr/lib/vmimage/vmimage-run";
/// The script that runs a health check.
const HEALTH: &str = "/usr/lib/vmimage/vmimage-health";
/// What the scripts call.
const TOOLS: [&str; 6] = ["sh", "cat", "mkfifo", "rm", "sleep", "timeout"];

/// Directories in `/run` that belong to the machine or to whoever built the image.
const FOREIGN_RUN: [&[u8]; 9] =
    [b"credentials", b"lock", b"log", b"mount", b"secrets", b"systemd", b"udev", b"user", b"vmimage"];
/// Deeper than programs nest directories in `/run`.
const RUN_DEPTH: usize = 4;

/// The container whose program becomes a service, if there is one.
pub(crate) fn wanted<'a>(service: &Service, container: Option<&'a Container>) -> Option<&'a Container> {
    container.filter(|container| match (service, command::classify(container)) {
        (Service::Off, _) | (_, Command::Nothing) => false,
        (Service::Named(_), _) => true,
        (Service::Auto, command) => matches!(command, Command::Program(_)),
    })
}

/// What becomes of it: decided by [`plan`], written down by [`apply`](super::apply).
pub struct PlannedService<'a> {
    service: &'a Service,
    container: Option<&'a Container>,
    plan: Option<ServicePlan<'a>>,
}

/// A service, before it is written down for one init.
struct ServicePlan<'a> {
    name: String,
    container: &'a Container,
    account: Account,
    working_dir: String,
    environment: Vec<(String, String)>,
    stop_signal: Signal,
    /// The check and the words of its program.
    health: Option<(&'a Healthcheck, Vec<String>)>,
    run_directories: Vec<RunDirectory>,
}

/// A directory that has to be made at every boot.
struct RunDirectory {
    path: String,
    permissions: u16,
    uid: u32,
    gid: u32,
}

/// Find out what becomes a service, while the tree is still as the container's was; the directories that a
/// container would have been given are made.
///
/// # Errors
/// What would keep the container from starting: a program or a user that is not there, a signal that is none.
pub fn plan<'a>(
    editor: &mut Editor<'_>,
    service: &'a Service,
    container: Option<&'a Container>,
) -> Result<PlannedService<'a>> {
    let plan = match (wanted(service, container), service) {
        (Some(container), _) => Some(plan_of(editor, service, container)?),
        (None, Service::Named(name)) => return Err(nothing_to_run(name)),
        (None, _) => None,
    };
    Ok(PlannedService { service, container, plan })
}

fn plan_of<'a>(
    editor: &mut Editor<'_>,
    service: &Service,
    container: &'a Container,
) -> Result<ServicePlan<'a>> {
    check(editor.tree(), container)?;
    let working_dir = program::working_dir(container);
    for directory in container.volumes.iter().chain([&working_dir]) {
        if editor.tree().resolve(directory).is_none() {
            editor.mkdir_all(directory)?;
        }
    }
    let account = Account::find(editor.tree(), &container.user)?;
    let stop_signal = match &*container.stop_signal {
        "" => Signal::TERM,
        text => Signal::parse(text)?,
    };
    Ok(ServicePlan {
        name: name(editor.tree(), service, container)?,
        container,
        environment: environment(container, &account),
        account,
        working_dir,
        stop_signal,
        health: container.healthcheck.as_ref().zip(container.health_command()),
        run_directories: run_directories(editor.tree()),
    })
}

/// Write the service down and enable it. Returns what was changed, a line for each change.
pub(super) fn install(editor: &mut Editor<'_>, os: &Os, planned: &PlannedService<'_>) -> Result<Vec<String>> {
    let Some(plan) = &planned.plan else { return Ok(not_wanted(planned).into_iter().collect()) };
    let name = &plan.name;
    let mut notes = Vec::new();
    let wrote = match os.init {
        Some(Init::Systemd) => {
            let disabled = rivals::disable(editor, plan.container)?;
            notes.extend(
                disabled.iter().map(|unit| format!("systemd: {unit} disabled, it runs what {name} runs")),
            );
            systemd::install(editor, plan)?
        }
        Some(Init::OpenRc) => openrc::install(editor, plan)?,
        _ => return no_init(planned.service, name),
    };
    editor.write_file(RUN, include_str!("run.sh").as_bytes(), 0o755)?;
    notes.insert(0, format!("service {name}: runs {}", shown(plan.container)));
    notes.extend(wrote);
    Ok(notes)
}

/// What would fail in a container too, or has no way into a service.
fn check(tree: &Tree, container: &Container) -> Result<()> {
    check_words(container)?;
    let program = container.command().next().unwrap_or_default();
    if Programs::of(container).find(tree, program).is_none() {
        return Err(Error::new(
            Kind::NotFound,
            show_text(program),
            "is no program of the image, and its ENTRYPOINT or CMD runs it",
        )
        .with_hint(
            Hint::from("put it there in the Dockerfile, or make no service: ").set(Setting::Service, "off"),
        ));
    }
    let programs = Programs::of(&Container::default());
    let missing = TOOLS.into_iter().find(|tool| programs.find(tree, tool).is_none());
    match missing {
        Some(tool) => Err(Error::new(Kind::NotFound, tool, "is not in the image, and its service needs it")
            .with_hint(
                Hint::from("install it in the Dockerfile (coreutils, busybox), or make no service: ")
                    .set(Setting::Service, "off"),
            )),
        None => Ok(()),
    }
}

/// That a container of this would start, without a service around it. Returns the path of its program.
///
/// # Errors
/// What would keep it from starting: a program or a user that is not there, a signal that is none.
pub fn require_start(tree: &Tree, container: &Container) -> Result<String> {
    check_words(container)?;
    let word = container.command().next().unwrap_or_default();
    let path = Programs::of(container).path(tree, word).ok_or_else(|| {
        let message = "is no program of the image that may be executed, and its ENTRYPOINT or CMD runs it";
        Error::new(Kind::NotFound, show_text(word), message)
            .with_hint("put it there in the Dockerfile, or make it executable: COPY --chmod=755")
    })?;
    let hint = "add it in the Dockerfile (useradd, adduser), or name a number: USER 1000";
    Account::find(tree, &container.user).map_err(|error| error.with_hint(hint))?;
    if !container.stop_signal.is_empty() {
        Signal::parse(&container.stop_signal)?;
    }
    Ok(path)
}

/// What the kernel takes for no words of a process.
fn check_words(container: &Container) -> Result<()> {
    let words = container.command().chain(container.env.iter().map(String::as_str));
    let words = words.chain(container.volumes.iter().map(String::as_str)).chain([&*container.working_dir]);
    if let Some(word) = words.into_iter().find(|word| word.contains('\0')) {
        return Err(Error::new(Kind::Input, format!("{:?}", show_text(word)), "has a NUL in it"));
    }
    check_sizes(container)
}

/// Linux starts no process of more.
fn check_sizes(container: &Container) -> Result<()> {
    let words =
        || container.command().chain(container.env.iter().map(String::as_str)).map(|word| word.len() + 1);
    let directories = container.variable("PATH").map_or(0, |path| path.split(':').count());
    let (place, message) = if words().any(|len| len > limits::PROCESS_WORD) {
        ("ENTRYPOINT, CMD and ENV", format!("a word has more than {} bytes", limits::PROCESS_WORD - 1))
    } else if words().sum::<usize>() > limits::PROCESS_WORDS {
        ("ENTRYPOINT, CMD and ENV", format!("have more than {} bytes", limits::PROCESS_WORDS))
    } else if directories > limits::PROGRAM_DIRECTORIES {
        ("ENV PATH", format!("has more than {} directories", limits::PROGRAM_DIRECTORIES))
    } else {
        return Ok(());
    };
    Err(Error::new(Kind::Input, place, message + ", which is the limit"))
}

/// The name that was asked for, else that of the program or of the image, or one beside it that nothing has yet.
fn name(tree: &Tree, service: &Service, container: &Container) -> Result<String> {
    let taken = |name: &str| {
        let unit = crate::machine::systemd::unit_file(tree, &format!("{name}.service"));
        [unit, Some(format!("/etc/init.d/{name}"))].into_iter().flatten().any(|file| is_foreign(tree, &file))
    };
    if let Service::Named(name) = service {
        return match taken(name) {
            true => {
                Err(Error::new(Kind::Input, "service", format!("the image has a service {name} already"))
                    .with_hint("choose another name"))
            }
            false => Ok(name.clone()),
        };
    }
    let program = match command::classify(container) {
        Command::Program(name) => name.filter(|name| Service::is_name(name)),
        _ => None,
    };
    let mut name = program.or_else(|| title(container)).unwrap_or_else(|| "app".to_owned());
    while taken(&name) {
        name.push_str("-app");
    }
    Ok(name)
}

/// The image's title, as the name of a service.
fn title(container: &Container) -> Option<String> {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = container.title.as_ref()?.chars().map(letter).collect();
    Some(name.trim_matches('-').to_owned()).filter(|name| Service::is_name(name))
}

/// Whether there is a file that was not made here.
fn is_foreign(tree: &Tree, file: &str) -> bool {
    tree.resolve(file).is_some()
        && !read(tree, file).is_ok_and(|text| String::from_utf8_lossy(&text).contains(systemd::MARK))
}

/// The variables of the program, each once: those a container sets, then the image's own.
fn environment(container: &Container, account: &Account) -> Vec<(String, String)> {
    let defaults = [("PATH", Container::DEFAULT_PATH), ("HOME", &account.home)];
    let own = container.env.iter().filter_map(|entry| entry.split_once('='));
    let mut variables: Vec<(String, String)> = Vec::new();
    let mut places = HashMap::new();
    for (name, value) in defaults.into_iter().chain(own) {
        let place = *places.entry(name).or_insert(variables.len());
        match variables.get_mut(place) {
            Some((_, known)) => *known = value.to_owned(),
            None => variables.push((name.to_owned(), value.to_owned())),
        }
    }
    variables
}

/// The image's directories in `/run`, which a machine empties: its programs put sockets and ids there.
fn run_directories(tree: &Tree) -> Vec<RunDirectory> {
    let mut found = Vec::new();
    let mut todo = vec![("/run".to_owned(), 0)];
    while let Some((path, depth)) = todo.pop() {
        for (name, id) in tree.children(&path) {
            let is_foreign = depth == 0 && FOREIGN_RUN.contains(&name);
            let (Some(_), Ok(name), false) = (tree.entries(id), std::str::from_utf8(name), is_foreign) else {
                continue;
            };
            let path = format!("{path}/{name}");
            let meta = &tree.inode(id).meta;
            found.push(RunDirectory {
                path: path.clone(),
                permissions: meta.permissions,
                uid: meta.uid,
                gid: meta.gid,
            });
            if depth < RUN_DEPTH {
                todo.push((path, depth + 1));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The directory of a service in `/run`.
fn folder(name: &str) -> String {
    format!("/run/vmimage/{name}")
}

/// The command for a message.
fn shown(container: &Container) -> String {
    let words: Vec<_> = container.command().map(quote::shell).collect();
    show_text(&words.join(" ").replace(char::is_control, " ")).into_owned()
}

/// Why there is no service, if somebody could have expected one.
fn not_wanted(planned: &PlannedService<'_>) -> Option<String> {
    let container = planned.container.filter(|_| *planned.service == Service::Auto)?;
    match command::classify(container) {
        Command::Idle(program) => {
            Some(format!("service: none, {program} has nothing to do without a terminal"))
        }
        Command::Init(program) => {
            let line = shown(container);
            let more = if line == program { String::new() } else { format!(", {line} is not run") };
            Some(format!("service: none, {program} is an init and the machine has its own{more}"))
        }
        Command::Nothing | Command::Program(_) => None,
    }
}

fn nothing_to_run(name: &str) -> Error {
    Error::new(
        Kind::Input,
        "service",
        format!("{name} has nothing to run, the image has neither ENTRYPOINT nor CMD"),
    )
    .with_hint(Hint::from("add one to the Dockerfile, or leave ").name(Setting::Service).text(" out"))
}

fn no_init(service: &Service, name: &str) -> Result<Vec<String>> {
    match service {
        Service::Named(_) => {
            Err(Error::new(Kind::Unsupported, "service", format!("{name} needs systemd or OpenRC"))
                .with_hint(Hint::from("install one of them, or leave ").name(Setting::Service).text(" out")))
        }
        _ => Ok(vec![format!("service {name}: not made, the machine has neither systemd nor OpenRC")]),
    }
}

#[cfg(test)]
mod tests;
