//! The process that becomes the service: it takes on the user, the directory and the variables that the
//! image asks for, and then the program takes its place.
//!
//! A process of its own, because all of this belongs between fork and exec, where no Rust can run.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::fs::{Gid, Uid, fchown};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};

use crate::init::console::say;
use crate::init::service::Service;
use crate::init::user::Identity;

/// The argument that asks for it.
pub(crate) const ROLE: &str = "launch";

/// That of container engines.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Exit codes of shells: not found, and found but not to be run.
const NOT_FOUND: u8 = 127;
const NOT_RUN: u8 = 126;

pub(crate) fn run() -> ExitCode {
    become_or_fail(Service::read())
}

/// Take on what is asked; returns only if that fails.
pub(crate) fn become_or_fail(service: Result<Service, String>) -> ExitCode {
    let (code, error) = match service.and_then(|service| become_service(&service)) {
        Ok((program, error)) if error.kind() == io::ErrorKind::NotFound => {
            (NOT_FOUND, format!("{program}: no such program in the image, or no such interpreter of it"))
        }
        Ok((program, error)) => (NOT_RUN, format!("{program}: cannot be run: {error}")),
        Err(error) => (NOT_RUN, error),
    };
    say(format_args!("service: {error}"));
    code.into()
}

/// Returns only if it could not: the program and what was wrong with it.
fn become_service(service: &Service) -> Result<(String, io::Error), String> {
    let identity = Identity::find(&service.user)?;
    let directory = if service.working_dir.is_empty() { "/" } else { &service.working_dir };
    fs::create_dir_all(directory).map_err(|error| format!("working directory {directory}: {error}"))?;
    let _ = rustix::process::setsid();
    take_on(&identity).map_err(|error| format!("user {}: {error}", service.user))?;

    let mut words = service.command();
    let program = words.next().ok_or("the image names no program to run")?;
    let mut command = Command::new(program);
    command.args(words).current_dir(directory).env_clear().envs(environment(service, &identity));
    Ok((program.to_owned(), command.exec()))
}

/// The output pipes become the user's own, so that `/dev/stdout` can be opened by name.
fn take_on(identity: &Identity) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    fchown(io::stdout(), Some(uid), Some(gid))?;
    fchown(io::stderr(), Some(uid), Some(gid))?;
    let groups: Vec<_> = identity.groups.iter().map(|&group| Gid::from_raw(group)).collect();
    set_thread_groups(&groups)?;
    set_thread_gid(gid)?;
    set_thread_uid(uid)?;
    Ok(())
}

/// The image's variables over those that every container has.
fn environment(service: &Service, identity: &Identity) -> BTreeMap<String, String> {
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let given = [("PATH", DEFAULT_PATH), ("HOSTNAME", &*hostname), ("HOME", &*identity.home)];
    let own = service.env.iter().filter_map(|variable| variable.split_once('='));
    given.into_iter().chain(own).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_variables_count() {
        let environment_of = |variables: &[&str]| {
            let env = variables.iter().map(|text| (*text).to_owned()).collect();
            let service = Service { env, ..Service::default() };
            let identity = Identity { uid: 0, gid: 0, groups: vec![], home: "/root".into() };
            environment(&service, &identity)
        };
        let default = environment_of(&[]);
        assert_eq!((&*default["PATH"], &*default["HOME"]), (DEFAULT_PATH, "/root"));
        let own = environment_of(&["PATH=/app", "A=b=c", "broken", "EMPTY="]);
        assert_eq!((&*own["PATH"], &*own["A"], &*own["EMPTY"]), ("/app", "b=c", ""));
        assert!(!own.contains_key("broken"));
    }
}
