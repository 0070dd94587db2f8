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

use exporter::error::{show_list, show_text};
use exporter::limits::{self, Budget};
use exporter::spec::Architecture;
use parse_dockerfile::{FromInstruction, Instruction};

use crate::base::{Error, Result};

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

/// This host's `os/architecture`.
pub(crate) fn host_platform() -> String {
    format!("linux/{}", Architecture::host().map_or(std::env::consts::ARCH, Architecture::oci_name))
}

/// The variables that need no `ARG`, in a build for `platform` (`os/architecture[/variant]`) on this host.
///
/// Reference: <https://docs.docker.com/reference/dockerfile/#automatic-platform-args-in-the-global-scope>
pub(crate) fn predefined(platform: Option<&str>) -> Variables {
    let host = host_platform();
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
        let mut stages = Stages::read(dockerfile, given, predefined)?;
        let mut index = stages.index(stage)?;
        let stage = stages.name(index).unwrap_or_else(|| index.to_string());
        loop {
            let base = stages.base(index)?;
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
        let text = unmarked(dockerfile);
        let [before, after] = [text.get(..self.place.start), text.get(self.place.end..)];
        [before.unwrap_or_default(), image, after.unwrap_or_default()].concat()
    }
}

/// The stages of a Dockerfile and what may be expanded in their `FROM`.
struct Stages<'a> {
    froms: Vec<FromInstruction<'a>>,
    /// The first stage of each name, in lower case.
    names: HashMap<String, usize>,
    variables: Variables,
    escape: char,
    /// What the values of variables may come to.
    values: Budget,
}

impl<'a> Stages<'a> {
    fn read(dockerfile: &'a str, given: &Variables, predefined: &Variables) -> Result<Self> {
        let text = unmarked(dockerfile);
        if text != unmarked(text) {
            return Err(Error::user(
                "the Dockerfile: begins with two byte order marks, and builders take one",
            ));
        }
        let broken = |error| Error::user("the Dockerfile: cannot be read").because(error);
        let parsed = parse_dockerfile::parse(text).map_err(broken)?;
        let escape = parsed.parser_directives.escape.as_ref().map_or('\\', |escape| escape.value.value);
        let mut variables = predefined.clone();
        let mut values = Budget::new("bytes of variables", limits::EXPANDED);
        for arg in parsed.global_args() {
            for (name, default) in word::assignments(&arg.arguments.value, escape) {
                let default = default
                    .map(|default| word::expand(default, &variables, escape, &mut values))
                    .transpose()?;
                variables.extend(given.get(name).cloned().or(default).map(|value| (name.to_owned(), value)));
            }
        }
        let froms = parsed.instructions.into_iter().filter_map(|instruction| match instruction {
            Instruction::From(from) => Some(from),
            _ => None,
        });
        let froms: Vec<_> = froms.collect();
        let mut names = HashMap::new();
        for (index, from) in froms.iter().enumerate() {
            if let Some((_, name)) = &from.as_ {
                names.entry(name.value.to_ascii_lowercase()).or_insert(index);
            }
        }
        Ok(Self { froms, names, variables, escape, values })
    }

    /// The number of the stage that is meant.
    fn index(&self, stage: Option<&str>) -> Result<usize> {
        let count = self.froms.len();
        let Some(stage) = stage else {
            return count.checked_sub(1).ok_or_else(|| Error::user("the Dockerfile: has no stage"));
        };
        let number = || stage.parse().ok().filter(|&number| number < count);
        self.called(stage, count).or_else(number).ok_or_else(|| {
            let names = self.froms.iter().filter_map(|from| Some(from.as_.as_ref()?.1.value.as_ref()));
            let names: Vec<&str> = names.collect();
            let none = Error::user(format!("--target {stage}: the Dockerfile has no such stage"));
            match names.is_empty() {
                true => none.with_hint("no stage of it has a name: leave --target out"),
                false => none.with_hint(format!("its stages are {}", show_list(&names))),
            }
        })
    }

    /// The name of a stage.
    fn name(&self, index: usize) -> Option<String> {
        self.froms.get(index)?.as_.as_ref().map(|(_, name)| name.value.to_string())
    }

    /// The number of the stage with this name among the first `count`.
    fn called(&self, name: &str, count: usize) -> Option<usize> {
        self.names.get(&name.to_ascii_lowercase()).copied().filter(|&index| index < count)
    }

    /// The image, or stage, that the stage `index` stands on.
    fn base(&mut self, index: usize) -> Result<Base> {
        let Self { froms, variables, escape, values, .. } = self;
        let from = froms.get(index).ok_or_else(|| Error::user("the Dockerfile: has no such stage"))?;
        let mut expand = |text: &str| word::expand(text, variables, *escape, values);
        let name = expand(&from.image.value)?;
        if name.is_empty() {
            let image = show_text(&from.image.value);
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
