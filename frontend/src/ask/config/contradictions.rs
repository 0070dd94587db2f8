//! Keys that are right each by itself, and do not go together.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use exporter::container::Format;
use exporter::error::show_text;
use exporter::spec::layout::{self, Problem};
use exporter::spec::{Network, Profile, Spec, Volatile, grub, medium, network, rauc, secure_boot, update};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Config;
use super::problem::Problems;
use crate::ask::request::{in_its_profile, installed, not_of_metal};
use crate::ask::{Asked, Attribute, FORMAT, PROFILE, Topic};

/// Whether a key says something about a machine, which a disk of files is not.
fn is_of_machines(key: &str) -> bool {
    key != "partitions" && Attribute::by_name(key).is_none_or(|attribute| attribute.topic != Topic::Disk)
}

pub(super) fn find(config: &Config, table: &DeTable<'_>, problems: &mut Problems) {
    let mut asked = Asked::default();
    asked.ask(&config.wishes);
    if asked.spec.profile == Profile::Data {
        for (key, _) in table.iter().filter(|(key, _)| is_of_machines(key.get_ref())) {
            problems.add(key.span(), format!("{} is for machines: profile is data", key.get_ref()));
        }
    }
    asked.spec.layout.partitions.clone_from(&config.partitions);
    asked.spec.grub.clone_from(&config.grub);
    asked.spec.image.clone_from(&config.image);
    asked.spec.persist.clone_from(&config.persist);
    if asked.spec.profile == Profile::Microvm {
        asked.spec.microvm.clone_from(&config.microvm);
    }
    let (says_profile, says_format) = (table.contains_key(PROFILE), table.contains_key(FORMAT));
    let spec = in_its_profile(&asked.spec, says_profile);
    // Of a disk of files it was said above, as of every key of machines.
    let of_metal = not_of_metal(&spec).filter(|_| spec.profile == Profile::Microvm);
    for message in installed(&asked).into_iter().chain(of_metal) {
        let key = message.split(':').next().unwrap_or_default().to_owned();
        problems.add(value(table, &[&key]).map_or(0..0, Spanned::span), message);
    }
    // Who builds may type what the file does not say.
    let may_be_folder = !says_format && (!says_profile || spec.profile == Profile::Microvm);
    if !may_be_folder || !is_right_for_a_microvm(&spec) {
        layout(&spec, table, problems);
    }
    asked.spec.medium.clone_from(&config.medium);
    of_medium(&asked.spec, table, problems);
    asked.spec.update.clone_from(&config.update);
    asked.spec.rauc.clone_from(&config.rauc);
    asked.spec.uki = config.uki;
    asked.spec.secure_boot.clone_from(&config.secure_boot);
    updates(&in_its_profile(&asked.spec, says_profile), table, problems);
    network(&config.network, table, problems);
    for (index, user) in config.users.iter().enumerate() {
        if user.name == "root" {
            let message = "users.name is \"root\": the table [root] is for the administrator";
            problems.add(span(table, "users", index, "name"), message);
        }
    }
    twice(config.users.iter().map(|user| Some(&user.name)), table, "users", "name", problems);
    twice(config.users.iter().map(|user| user.uid.as_ref()), table, "users", "uid", problems);
    twice(config.groups.iter().map(|group| Some(&group.name)), table, "groups", "name", problems);
    twice(config.groups.iter().map(|group| group.gid.as_ref()), table, "groups", "gid", problems);
    twice(config.files.iter().map(|file| Some(&file.path)), table, "files", "path", problems);
    twice(config.repositories.iter().map(|each| Some(&each.name)), table, "repositories", "name", problems);
    for (index, file) in config.files.iter().enumerate() {
        let said = [file.content.is_some(), file.source.is_some(), file.secret.is_some()];
        one_of("files", &["content", "source", "secret"], &said, index, table, problems);
    }
    for (index, hook) in config.hooks.iter().enumerate() {
        let said = [hook.run.is_some(), hook.script.is_some()];
        one_of("hooks", &["run", "script"], &said, index, table, problems);
    }
    let services = &config.services;
    let enabled: BTreeSet<_> = services.enable.iter().collect();
    for (key, others) in [("disable", &services.disable), ("mask", &services.mask)] {
        for name in others.iter().filter(|name| enabled.contains(name)) {
            let at = value(table, &["services", key]).map_or(0..0, Spanned::span);
            problems.add(at, format!("services.{key} has {name:?}, and services.enable has it too"));
        }
    }
}

/// What is wrong with the division of the disk, at the key (`table.key`) that says it or at its partition.
fn layout(spec: &Spec, table: &DeTable<'_>, problems: &mut Problems) {
    const LIST: &str = "partitions";
    for Problem { partition, key, message } in layout::problems(spec, &layout::slots(spec)) {
        let Some(index) = partition else {
            let path: Vec<_> = key.split('.').collect();
            let whole = path.get(..1).unwrap_or_default();
            let at = value(table, &path).or_else(|| value(table, whole)).or_else(|| value(table, &[LIST]));
            let at = at.map_or(0..0, Spanned::span);
            problems.add(at, format!("{key}: {message}"));
            continue;
        };
        let at = Some(span(table, LIST, index, key)).filter(|at| !at.is_empty());
        problems.add(at.unwrap_or_else(|| element(table, LIST, index)), format!("{LIST}.{key}: {message}"));
    }
}

/// Whether it is the layout of a microVM's folder, whose root may have to be volatile.
fn is_right_for_a_microvm(spec: &Spec) -> bool {
    let (profile, formats, volatile) = (Profile::Microvm, vec![Format::Microvm], Volatile::Overlay);
    let spec = Spec { profile, formats, volatile, ..spec.clone() };
    layout::problems(&spec, &layout::slots(&spec)).is_empty()
}

/// What is wrong with a medium, at the key that says it or at its table.
fn of_medium(spec: &Spec, table: &DeTable<'_>, problems: &mut Problems) {
    for Problem { key, message, .. } in medium::problems(spec) {
        let path: Vec<_> = key.split('.').collect();
        let at = value(table, &path).or_else(|| value(table, &path[..1])).or_else(|| value(table, &[FORMAT]));
        problems.add(at.map_or(0..0, Spanned::span), format!("{key}: {message}"));
    }
}

/// What is wrong with good boots, with bundles of RAUC, with Secure Boot and with a key of GRUB's, at the key that says it or at its table.
fn updates(spec: &Spec, table: &DeTable<'_>, problems: &mut Problems) {
    let problems_of = update::problems(spec).into_iter().chain(rauc::problems(spec));
    let problems_of = problems_of.chain(secure_boot::problems(spec)).chain(grub::problems(spec));
    for (key, message) in problems_of {
        let path: Vec<_> = key.split('.').collect();
        let at =
            value(table, &path).or_else(|| value(table, &path[..1])).or_else(|| value(table, &["format"]));
        let at = at.map_or(0..0, Spanned::span);
        problems.add(at, format!("{key}: {message}"));
    }
}

/// What is wrong with the network, at the key that says it or at its interface.
fn network(network: &Network, table: &DeTable<'_>, problems: &mut Problems) {
    const TABLE: &str = "network";
    const LIST: &str = "interfaces";
    let list = value(table, &[TABLE, LIST]).and_then(|list| list.get_ref().as_array());
    for network::Problem { interface, key, message } in network::problems(network) {
        let (at, path) = match interface.and_then(|index| list?.get(index)) {
            Some(element) => {
                let said = element.get_ref().as_table().and_then(|table| table.get(key));
                (Some(said.unwrap_or(element)), format!("{TABLE}.{LIST}.{key}"))
            }
            None => {
                (value(table, &[TABLE, key]).or_else(|| value(table, &[TABLE])), format!("{TABLE}.{key}"))
            }
        };
        problems.add(at.map_or(0..0, Spanned::span), format!("{path}: {message}"));
    }
}

/// Every element says exactly one of these keys.
fn one_of(
    list: &str,
    keys: &[&str],
    said: &[bool],
    index: usize,
    table: &DeTable<'_>,
    problems: &mut Problems,
) {
    let said: Vec<_> = keys.iter().zip(said).filter(|(_, said)| **said).map(|(key, _)| *key).collect();
    match &said[..] {
        [_] => {}
        [] => problems.add(
            element(table, list, index),
            format!("{list}: one of the keys {} is required", keys.join(", ")),
        ),
        [.., last] => {
            let message = format!("{list} has {} at once: one of them is allowed", said.join(" and "));
            problems.add(span(table, list, index, last), message);
        }
    }
}

/// No two elements have the same value.
fn twice<'a, T: Ord + std::fmt::Debug + 'a>(
    values: impl Iterator<Item = Option<&'a T>>,
    table: &DeTable<'_>,
    list: &str,
    key: &str,
    problems: &mut Problems,
) {
    let mut seen = BTreeMap::new();
    for (index, value) in values.enumerate() {
        let Some(value) = value else { continue };
        if seen.insert(value, index).is_some() {
            problems.add(
                span(table, list, index, key),
                format!("{list}.{key} is {} for the second time", show_text(&format!("{value:?}"))),
            );
        }
    }
}

fn value<'t, 'i>(table: &'t DeTable<'i>, path: &[&str]) -> Option<&'t Spanned<DeValue<'i>>> {
    let (last, tables) = path.split_last()?;
    let in_table = |table: &'t DeTable<'i>, key: &&str| table.get(*key)?.get_ref().as_table();
    tables.iter().try_fold(table, in_table)?.get(*last)
}

/// Where an element of a list of tables is.
fn element(table: &DeTable<'_>, list: &str, index: usize) -> Range<usize> {
    let elements = value(table, &[list]).and_then(|list| list.get_ref().as_array());
    elements.and_then(|elements| elements.get(index)).map_or(0..0, Spanned::span)
}

/// Where the value of its key is.
fn span(table: &DeTable<'_>, list: &str, index: usize, key: &str) -> Range<usize> {
    let elements = value(table, &[list]).and_then(|list| list.get_ref().as_array());
    let element =
        elements.and_then(|elements| elements.get(index)).and_then(|each| each.get_ref().as_table());
    element.and_then(|table| table.get(key)).map_or(0..0, Spanned::span)
}
