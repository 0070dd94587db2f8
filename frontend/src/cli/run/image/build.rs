//! `vmimage build`, as a process of its own: without root it starts anew in the engine's user namespace, and it shows what the
//! engine does.

use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::process::{Command, Stdio};

use clap::ValueEnum;

use crate::base::{Error, Result, child};
use crate::engine::Choice;

/// The folder of a microVM that is to be built.
pub(super) struct Build<'a> {
    pub(super) context: &'a OsStr,
    pub(super) output: &'a Path,
    pub(super) engine: Choice,
    pub(super) platform: Option<String>,
    pub(super) kernel: Option<String>,
    pub(super) network: Option<&'a str>,
    /// Whether its progress is shown where it is not redrawn.
    pub(super) is_told: bool,
}

impl Build<'_> {
    /// The words behind this program's name.
    fn words(&self, is_quiet: bool) -> Vec<OsString> {
        let mut words: Vec<OsString> =
            ["build", "--profile=microvm", "--format=microvm"].map(OsString::from).to_vec();
        let mut add = |flag: &str, value: &OsStr| {
            let mut word = OsString::from(format!("--{flag}="));
            word.push(value);
            words.push(word);
        };
        add("output", self.output.as_os_str());
        // Without a word this program finds one, and says which.
        let engine = self.engine.to_possible_value().filter(|_| self.engine != Choice::Auto);
        engine.iter().for_each(|engine| add("engine", OsStr::new(engine.get_name())));
        self.platform.iter().for_each(|platform| add("platform", OsStr::new(platform)));
        self.kernel.iter().for_each(|kernel| add("kernel", OsStr::new(kernel)));
        self.network.iter().for_each(|network| add("network", OsStr::new(network)));
        words.extend(is_quiet.then(|| "--quiet".into()));
        words.extend(["--".into(), self.context.to_owned()]);
        words
    }
}

/// Builds it.
///
/// # Errors
/// If that fails, which it has said itself.
pub(super) fn run(build: Build<'_>) -> Result<()> {
    let cannot = |error| Error::internal("this program: cannot be started again").because(error);
    let program = std::env::current_exe().map_err(cannot)?;
    let is_quiet = !build.is_told && !stderr().is_terminal();
    // Its report is nobody's who waits for the output of a program.
    let mut command = Command::new(program);
    command.args(build.words(is_quiet)).stdin(Stdio::null()).stdout(Stdio::null());
    let ended = child::run(&mut command).map_err(cannot)?;
    match ended.well() {
        true => Ok(()),
        false => Err(Error::build("the build failed").told()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(build: &Build<'_>, is_quiet: bool) -> String {
        let words = build.words(is_quiet);
        words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_build_is_asked_for_all_that_was_typed() {
        let all = Build {
            context: OsStr::new("-odd"),
            output: Path::new("/workspace/vm"),
            engine: Choice::Podman,
            platform: Some("linux/arm64".into()),
            kernel: Some("image:debian:12".into()),
            network: Some("host"),
            is_told: true,
        };
        assert_eq!(
            words(&all, false),
            "build --profile=microvm --format=microvm --output=/workspace/vm --engine=podman --platform=linux/arm64 \
             --kernel=image:debian:12 --network=host -- -odd"
        );
        let plain = Build { engine: Choice::Auto, platform: None, kernel: None, network: None, ..all };
        assert_eq!(
            words(&plain, true),
            "build --profile=microvm --format=microvm --output=/workspace/vm --quiet -- -odd"
        );
    }
}
