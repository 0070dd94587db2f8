//! The command line of a client: what stands before its command, the command, and the command's own flags.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::words::{Grammar, Item, Reader};
use crate::engine::frontend;

/// How a client is typed.
#[derive(Clone, Copy)]
pub(super) struct Client {
    /// Its flags before the command.
    pub(super) global: Grammar,
    /// A word that stands before the command, when the client is a plugin.
    pub(super) plugin: Option<&'static str>,
    /// The flags of its commands, by their names and aliases.
    pub(super) commands: &'static [(&'static [&'static str], Grammar)],
}

/// A command of a client's, with its flags and words.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// What stands before the command's own flags, the command included.
    head: Vec<Item>,
    /// The command, by its first name.
    pub(super) command: &'static str,
    /// Its flags and words.
    pub(super) items: Vec<Item>,
}

impl Line {
    /// `None` for commands this client has no grammar for.
    pub(super) fn read(words: &[OsString], client: &Client) -> Option<Self> {
        let mut reader = Reader::new(words, client.global);
        let mut head = Vec::new();
        let mut plugin = client.plugin;
        loop {
            let items = reader.read()?;
            let word = match &items[..] {
                [Item::Word(word)] => Some(word.clone()),
                _ => None,
            };
            head.extend(items);
            let Some(word) = word else { continue };
            if plugin.take_if(|name| word == **name).is_some() {
                continue;
            }
            let (names, grammar) =
                client.commands.iter().find(|(names, _)| names.iter().any(|name| word == **name))?;
            let command = *names.first()?;
            return Some(Self { head, command, items: reader.rest(*grammar).all() });
        }
    }

    /// The values of these flags, in their order.
    pub(super) fn values<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a OsStr> {
        self.items.iter().filter_map(|item| item.value_of(names))
    }

    /// The value that counts, of a flag that has one.
    pub(super) fn last(&self, names: &[&str]) -> Option<&OsStr> {
        self.items.iter().rev().find_map(|item| item.value_of(names))
    }

    /// The words that belong to no flag.
    pub(super) fn words(&self) -> impl Iterator<Item = &OsStr> {
        self.items.iter().filter_map(|item| match item {
            Item::Word(word) => Some(word.as_os_str()),
            _ => None,
        })
    }

    /// Whether the client was started as the plugin that it is.
    pub(super) fn is_of_plugin(&self) -> bool {
        self.head.iter().filter(|item| matches!(item, Item::Word(_))).count() > 1
    }

    /// The same command by another of its names, without some of its items.
    pub(super) fn again(&self, name: &str, leave_out: impl Fn(&Item) -> bool) -> Self {
        let mut again = self.clone();
        again.items.retain(|item| !leave_out(item));
        // The command is what the head ends with.
        again.head.pop();
        again.head.push(Item::Word(name.into()));
        again
    }

    /// The same command with only these items, and with more.
    pub(super) fn with(
        &self,
        keep: impl Fn(&Item) -> bool,
        more: impl IntoIterator<Item = String>,
    ) -> Vec<OsString> {
        // After a `--` flags would be words, and of a flag given twice the last counts.
        let flags = self.items.iter().position(|item| *item == Item::End).unwrap_or(self.items.len());
        let (flags, words) = self.items.split_at(flags);
        let kept = |items: &[Item]| -> Vec<OsString> {
            items.iter().filter(|item| keep(item)).flat_map(Item::typed).collect()
        };
        let mut out: Vec<OsString> = self.head.iter().flat_map(Item::typed).collect();
        out.extend(kept(flags));
        out.extend(more.into_iter().map(OsString::from));
        out.extend(kept(words));
        out
    }
}

/// A Dockerfile and whether something says already which frontend reads it.
pub(super) struct Dockerfile {
    pub(super) path: PathBuf,
    pub(super) has_frontend: bool,
}

impl Dockerfile {
    /// The build argument that brings our frontend in, where it is needed.
    pub(super) fn frontend(&self) -> Option<(String, String)> {
        let is_named = self.has_frontend || frontend::is_named_by(&self.path, &frontend::image());
        (!is_named).then(|| (SYNTAX.to_owned(), frontend::image()))
    }

    /// Whether every client makes a disk of it.
    pub(super) fn makes_disk(&self) -> bool {
        !self.has_frontend && frontend::is_named_by(&self.path, &frontend::image())
    }
}

/// The build argument that names the frontend, whatever the Dockerfile says.
pub(super) const SYNTAX: &str = "BUILDKIT_SYNTAX";

/// Whether a build argument, `NAME=value` or `NAME`, is of this name.
pub(super) fn is_argument(argument: &OsStr, name: &str) -> bool {
    let text = argument.to_string_lossy();
    text.split_once('=').map_or(&*text, |(name, _)| name) == name
}
