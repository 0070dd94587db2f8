//! The commands: one table of what the first word of a command line can be, and who does it.

use std::process::ExitCode;

use clap::{CommandFactory, Subcommand};

use super::machines::{cp, exec, logs, ps, rm, start, stop};
use super::{
    Cli, build, clone, completion, config, convert, diff, doctor, export, inspect, install, keys, man, push,
    run, serve, sign,
};
use crate::base::Result;

/// The first words that are no commands: the roles in a build.
pub(crate) const FRONTEND: &str = "frontend";
pub(crate) const ASSEMBLE: &str = "assemble";
pub(crate) const OS_TAR: &str = "os-tar";

/// A command, by its name in lower case.
#[derive(Subcommand)]
pub(super) enum Command {
    Build(Box<build::Args>),
    Convert(Box<convert::Args>),
    Clone(clone::Args),
    Export(export::Args),
    Push(push::Args),
    Run(Box<run::Args>),
    Ps(ps::Args),
    Start(start::Args),
    Stop(stop::Args),
    Rm(rm::Args),
    Logs(logs::Args),
    Exec(exec::Args),
    Cp(cp::Args),
    Inspect(inspect::Args),
    Diff(diff::Args),
    Sign(sign::Args),
    Keys(keys::Args),
    Serve(serve::Args),
    Doctor(doctor::Args),
    Install(install::Args),
    Config(config::Args),
    Completion(completion::Args),
    #[command(hide = true)]
    Man(man::Args),
}

impl Command {
    pub(super) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Build(mut args) => build::run(&mut args),
            Self::Convert(mut args) => convert::run(&mut args),
            Self::Clone(args) => clone::run(&args),
            Self::Export(args) => export::run(&args),
            Self::Push(args) => push::run(&args),
            Self::Run(args) => run::run(&args),
            Self::Ps(args) => ps::run(&args),
            Self::Start(args) => start::run(&args),
            Self::Stop(args) => stop::run(&args),
            Self::Rm(args) => rm::run(&args),
            Self::Logs(args) => logs::run(&args),
            Self::Exec(args) => exec::run(&args),
            Self::Cp(args) => cp::run(&args),
            Self::Inspect(args) => inspect::run(&args),
            Self::Diff(args) => diff::run(&args),
            Self::Sign(args) => sign::run(&args),
            Self::Keys(args) => keys::run(&args),
            Self::Serve(args) => serve::run(&args),
            Self::Doctor(args) => doctor::run(&args),
            Self::Install(args) => install::run(&args),
            Self::Config(args) => config::run(&args),
            Self::Completion(args) => completion::run(&args, Cli::command()),
            Self::Man(args) => man::run(&args, Cli::command()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Commands to come, whose names nothing else may take until then: of registries, of disks and their files.
    const RESERVED: [&str; 7] = ["pull", "ls", "cat", "tree", "verify", "sbom", "compose"];

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_name_has_one_meaning() {
        let mut names = vec!["help".to_owned()];
        let program = Cli::command();
        names.extend(program.get_subcommands().flat_map(|command| {
            [command.get_name()].into_iter().chain(command.get_all_aliases()).map(str::to_owned)
        }));
        assert!(names.len() > 12, "{names:?}");
        names.extend(
            [FRONTEND, ASSEMBLE, OS_TAR, crate::machines::KEEPER]
                .into_iter()
                .chain(RESERVED)
                .map(str::to_owned),
        );
        let mut known = BTreeSet::new();
        let twice: Vec<_> = names.iter().filter(|name| !known.insert(*name)).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }

    /// So that no disk, image or file can be taken for a command, or a command for one of these.
    #[test]
    fn the_first_word_is_always_a_command() {
        let program = Cli::command();
        assert!(program.get_positionals().next().is_none() && !program.is_allow_external_subcommands_set());
        for word in ["web.qcow2", "debian:12", "ls"] {
            let error = clap::Parser::try_parse_from(["vmimage", word]).map(|_: Cli| ()).unwrap_err();
            assert_eq!(error.kind(), clap::error::ErrorKind::InvalidSubcommand, "{word}");
        }
    }
}
