//! The base image of a Dockerfile's target stage, for engines that don't say which it is.
//!
//! ```text
//! ARG RELEASE=12
//! FROM debian:$RELEASE AS common   ◀─┐ this image is replaced, in this place only
//! FROM golang AS build               │
//! FROM common                      ──┘ the target
//! ```
//!
//! Reference: <https://docs.docker.com/reference/dockerfile/#from>. Only `FROM` and the `ARG`s before the
//! first one are understood here; the rest is the engine's.

mod word;

use std::collections::HashMap;
use std::ops::Range;

use exporter::spec::Architecture;
use parse_dockerfile::{FromInstruction, Instruction};

use crate::cli::{Error, Result};

/// The name that stands for no image at all.
const SCRATCH: &str = "scratch";

/// What is built, and what it stands on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The stage, by a name that every engine takes: its own, or else its number.
    pub(crate) stage: String,
    /// The image at the bottom; `None`: it is built from scratch.
    pub(crate) base: Option<Base>,
}

/// The image at the bottom of a stage.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Base {
    /// Its name, with all variables expanded.
    pub(crate) name: String,
    /// The platform that `FROM` asks for.
    pub(crate) platform: Option<String>,
    /// Where in the Dockerfile it is named.
    place: Range<usize>,
}

/// Variables by name.
pub(crate) type Variables = HashMap<String, String>;

/// The variables that need no `ARG`, in a build for `platform` (`os/architecture[/variant]`) on this host.
///
/// Reference: <https://docs.docker.com/reference/dockerfile/#automatic-platform-args-in-the-global-scope>
pub(crate) fn predefined(platform: Option<&str>) -> Variables {
    let host = Architecture::host().map_or(std::env::consts::ARCH, Architecture::oci_name);
    let host = format!("linux/{host}");
    let mut variables = Variables::new();
    for (prefix, platform) in [("BUILD", host.as_str()), ("TARGET", platform.unwrap_or(&host))] {
        let mut parts = platform.split('/');
        variables.insert(format!("{prefix}PLATFORM"), platform.to_owned());
        for part in ["OS", "ARCH", "VARIANT"] {
            variables.insert(format!("{prefix}{part}"), parts.next().unwrap_or_default().to_owned());
        }
    }
    variables
}

impl Target {
    /// The stage of this name or number, or the last one. `given` are the build arguments, and
    /// `predefined` the variables that need no `ARG` (`TARGETARCH` and the like).
    pub(crate) fn find(
        dockerfile: &str,
        stage: Option<&str>,
        given: &Variables,
        predefined: &Variables,
    ) -> Result<Self> {
        let stages = Stages::read(dockerfile, given, predefined)?;
        let mut index = stages.index(stage)?;
        let name = stages.froms[index].as_.as_ref().map(|(_, name)| name.value.to_string());
        let stage = name.unwrap_or_else(|| index.to_string());
        loop {
            let from = &stages.froms[index];
            let base = stages.base(from)?;
            match stages.called(&base.name, index) {
                Some(below) => index = below,
                None if base.name == SCRATCH => return Ok(Self { stage, base: None }),
                None => return Ok(Self { stage, base: Some(base) }),
            }
        }
    }
}

impl Base {
    /// The Dockerfile with another image in place of this one.
    pub(crate) fn replaced(&self, dockerfile: &str, image: &str) -> String {
        let mut text = unmarked(dockerfile).to_owned();
        text.replace_range(self.place.clone(), image);
        text
    }
}

/// The stages of a Dockerfile and what may be expanded in their `FROM`.
struct Stages<'a> {
    froms: Vec<FromInstruction<'a>>,
    variables: Variables,
    escape: char,
}

impl<'a> Stages<'a> {
    fn read(dockerfile: &'a str, given: &Variables, predefined: &Variables) -> Result<Self> {
        let broken = |error| Error::user("the Dockerfile: cannot be read").because(error);
        let parsed = parse_dockerfile::parse(unmarked(dockerfile)).map_err(broken)?;
        let escape = parsed.parser_directives.escape.as_ref().map_or('\\', |escape| escape.value.value);
        let mut variables = predefined.clone();
        for arg in parsed.global_args() {
            for (name, default) in word::assignments(&arg.arguments.value, escape) {
                let default = default.map(|default| word::expand(default, &variables, escape)).transpose()?;
                variables.extend(given.get(name).cloned().or(default).map(|value| (name.to_owned(), value)));
            }
        }
        let froms = parsed.instructions.into_iter().filter_map(|instruction| match instruction {
            Instruction::From(from) => Some(from),
            _ => None,
        });
        Ok(Self { froms: froms.collect(), variables, escape })
    }

    /// The number of the stage that is meant.
    fn index(&self, stage: Option<&str>) -> Result<usize> {
        let count = self.froms.len();
        let Some(stage) = stage else { return Ok(count - 1) };
        let number = || stage.parse().ok().filter(|&number| number < count);
        self.called(stage, count).or_else(number).ok_or_else(|| {
            let names = self.froms.iter().filter_map(|from| Some(from.as_.as_ref()?.1.value.as_ref()));
            let names: Vec<_> = names.collect();
            let none = Error::user(format!("--target {stage}: the Dockerfile has no such stage"));
            match names.is_empty() {
                true => none.with_hint("no stage of it has a name: leave --target out"),
                false => none.with_hint(format!("its stages are {}", names.join(", "))),
            }
        })
    }

    /// The number of the stage with this name among the first `count`.
    fn called(&self, name: &str, count: usize) -> Option<usize> {
        self.froms[..count]
            .iter()
            .position(|from| from.as_.as_ref().is_some_and(|(_, own)| own.value.eq_ignore_ascii_case(name)))
    }

    /// The image, or stage, that `from` names.
    fn base(&self, from: &FromInstruction<'_>) -> Result<Base> {
        let expand = |text: &str| word::expand(text, &self.variables, self.escape);
        let name = expand(&from.image.value)?;
        if name.is_empty() {
            let image = &from.image.value;
            return Err(Error::user(format!("FROM {image}: names no image, its variables have no value"))
                .with_hint("give them one: --build-arg NAME=VALUE"));
        }
        let platform = from.options.iter().find(|option| option.name.value == "platform");
        let platform = platform.and_then(|option| option.value.as_ref());
        let platform = platform.map(|value| expand(&value.value)).transpose()?;
        Ok(Base { name, platform: platform.filter(|text| !text.is_empty()), place: from.image.span.clone() })
    }
}

/// The text without a byte order mark: places are counted after it.
fn unmarked(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

#[cfg(test)]
mod tests;
