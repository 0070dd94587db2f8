//! `vmimage completion`: a script that teaches a shell the commands and flags.

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap_complete::Shell;

use crate::base::{Error, Result};

/// Print a script that makes a shell complete the commands, flags and values of vmimage.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  source <(vmimage completion bash)                      in this bash
  vmimage completion bash > ~/.local/share/bash-completion/completions/vmimage
                                                         in every one, with the package bash-completion
  vmimage completion zsh > \"${fpath[1]}/_vmimage\"
  vmimage completion fish > ~/.config/fish/completions/vmimage.fish";

/// Prints the script for `program`.
pub(crate) fn run(args: &Args, mut program: clap::Command) -> Result<ExitCode> {
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, name, &mut script);
    stdout().write_all(&script).map_err(|error| Error::user("stdout: cannot be written").because(error))?;
    Ok(ExitCode::SUCCESS)
}
