//! Which modules go along: those wanted, and all that they need, in an order in which they load.

use std::collections::{BTreeMap, BTreeSet};

use super::Wanted;
use super::donor::Donor;
use super::module::{Module, normal};
use crate::error::{Error, Kind, Result, show_list};
use crate::kernel::{Setting, option_of};
use crate::limits::{self, Budget};

/// What the kernel asks for where it verifies a root: all modules that know the digest have this alias.
const DIGEST: &str = "crypto-sha256";

/// The modules of an initramfs.
pub(super) struct Selection {
    /// Each behind those that it needs.
    pub(super) modules: Vec<Module>,
    /// What each needs itself, by name.
    needs: BTreeMap<String, Vec<String>>,
    /// Those that were wanted, and not just needed by others.
    wanted: BTreeSet<String>,
    /// Those that would have been taken, and the kernel has not.
    missing: Vec<String>,
    /// Those that are required, of which nothing can be told.
    unknown: Vec<String>,
}

/// Whether the kernel has a driver.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Module,
    BuiltIn,
    Missing,
    /// It does not tell.
    Unknown,
}

/// The modules wanted.
///
/// # Errors
/// If one that is required is known not to be there.
pub(super) fn select(donor: &Donor<'_>, wanted: &Wanted<'_>) -> Result<Selection> {
    let mut choice = Choice {
        donor,
        wanted,
        selection: Selection {
            modules: Vec::new(),
            needs: BTreeMap::new(),
            wanted: BTreeSet::new(),
            missing: Vec::new(),
            unknown: Vec::new(),
        },
        bytes: Budget::new("bytes of modules for an initramfs", limits::INITRAMFS_MODULES),
    };
    for (name, what_for) in wanted.required {
        let name = normal(name);
        match choice.want(&name)? {
            Found::Module | Found::BuiltIn => {}
            Found::Missing => return Err(missing(wanted, &name, what_for)),
            Found::Unknown => choice.selection.unknown.push(name),
        }
    }
    for name in wanted.optional {
        let name = normal(name);
        if choice.want(&name)? == Found::Missing {
            choice.selection.missing.push(name);
        }
    }
    if wanted.verity.is_some() {
        // The machine takes the fastest; where there is none, it is built in.
        for name in donor.meant_by(DIGEST)? {
            choice.take(name, 0)?;
        }
    }
    Ok(choice.selection)
}

/// The error for a kernel that cannot do what it has to.
fn missing(wanted: &Wanted<'_>, name: &str, what_for: &str) -> Error {
    let option = option_of(name).map(|option| (option, wanted.config.option(option)));
    let why = match option {
        Some((option, Setting::No)) => format!(" (CONFIG_{option} is not set)"),
        Some((option, Setting::Module)) => {
            format!(
                " (CONFIG_{option}=m, and there is no such module in {})",
                wanted.modules.unwrap_or("its files")
            )
        }
        Some((option, _)) => format!(" (CONFIG_{option})"),
        None => String::new(),
    };
    let message = format!("has no {name}{why}, which {what_for} needs");
    Error::new(Kind::NotFound, wanted.kernel, message)
        .with_hint("build that into the kernel, give its modules with it, or take a distribution's kernel")
}

struct Choice<'a> {
    donor: &'a Donor<'a>,
    wanted: &'a Wanted<'a>,
    selection: Selection,
    bytes: Budget,
}

impl Choice<'_> {
    /// Take a module that somebody asks for.
    fn want(&mut self, name: &str) -> Result<Found> {
        let found = self.take(name, 0)?;
        if found == Found::Module {
            self.selection.wanted.insert(name.to_owned());
        }
        Ok(found)
    }

    /// Take a module behind all that it needs.
    fn take(&mut self, name: &str, depth: u32) -> Result<Found> {
        if self.selection.needs.contains_key(name) {
            return Ok(Found::Module);
        }
        let Some(module) = self.donor.module(name)? else { return Ok(self.without_file(name)) };
        if depth > limits::MODULE_DEPTH {
            let message =
                format!("needs modules that need others, more than {depth} deep, which is the limit");
            return Err(Error::new(Kind::Input, &module.path, message));
        }
        if self.selection.needs.len() >= limits::INITRAMFS_COUNT {
            let message = format!(
                "is one of more than {} that are needed, which is the limit",
                limits::INITRAMFS_COUNT
            );
            return Err(Error::new(Kind::Input, &module.path, message));
        }
        self.bytes.spend(module.bytes.len() as u64).map_err(|exceeded| exceeded.at(&module.path))?;
        // Known from now on: what needs each other ends here.
        self.selection.needs.insert(name.to_owned(), Vec::new());
        let mut needs = Vec::new();
        for soft in &module.info.before {
            for meant in self.donor.meant_by(soft)? {
                if self.take(meant, depth + 1)? == Found::Module {
                    needs.push(meant.to_owned());
                }
            }
        }
        for other in &module.info.depends {
            match self.take(other, depth + 1)? {
                Found::Module => needs.push(other.clone()),
                Found::BuiltIn | Found::Unknown => {}
                Found::Missing => return Err(self.donor.lacks(name, other)),
            }
        }
        // One may be named again and again.
        needs.sort_unstable();
        needs.dedup();
        self.selection.needs.insert(name.to_owned(), needs);
        self.selection.modules.push(module);
        Ok(Found::Module)
    }

    /// What the kernel's lists or its configuration say of a driver without a file.
    fn without_file(&self, name: &str) -> Found {
        if self.donor.is_built_in(name) {
            return Found::BuiltIn;
        }
        match option_of(name).map_or(Setting::Unknown, |option| self.wanted.config.option(option)) {
            Setting::Yes => Found::BuiltIn,
            Setting::No | Setting::Module => Found::Missing,
            Setting::Unknown if self.donor.has_list() => Found::Missing,
            Setting::Unknown => Found::Unknown,
        }
    }
}

impl Selection {
    /// Their names, in an order in which they load.
    pub(super) fn names(&self) -> Vec<String> {
        self.modules.iter().map(|module| module.name.clone()).collect()
    }

    pub(super) fn is_wanted(&self, module: &Module) -> bool {
        self.wanted.contains(&module.name)
    }

    /// The modules that `module` needs, those of others among them, in the order they load in.
    pub(super) fn all_needs(&self, module: &Module) -> Vec<&Module> {
        let mut known = BTreeSet::new();
        let mut left = vec![module.name.as_str()];
        while let Some(name) = left.pop() {
            for need in self.needs.get(name).into_iter().flatten() {
                if known.insert(need.as_str()) {
                    left.push(need);
                }
            }
        }
        let needed = |other: &&Module| known.contains(other.name.as_str()) && other.name != module.name;
        self.modules.iter().filter(needed).collect()
    }

    /// What the report says.
    pub(super) fn notes(&self) -> Vec<String> {
        let list = |what: &str, names: &[String]| {
            (!names.is_empty()).then(|| format!("{what}: {}", show_list(names)))
        };
        let missing = list("the kernel does not have", &self.missing);
        let unknown = list("the kernel does not tell whether it has", &self.unknown);
        missing.into_iter().chain(unknown).collect()
    }
}
