//! A microVM that a monitor starts: the image's files as the root, and beside it what starts them.
//!
//! ```text
//! kernel ─▶ initramfs ─▶ our init, and what it is told ─▶ the root's file system ─▶ its hashes ─▶ vm.json
//!                                                     └──▶ or all of it in one program for UEFI ─▶ its signature
//! ```
//!
//! Nothing of a distribution is changed or started; the kernel is a donor's as a rule, and not on the root.

mod beside;
mod root;
mod seal;
pub(super) mod uki;
mod words;

use std::sync::Arc;

use super::donor::copy_modules;
use super::first::{self, FirstProcess};
use super::machine::{require_architecture, settle_time};
use super::own_initramfs::Within;
use super::resolve::Resolved;
use super::{Input, Planned, appliance, disk_file, entrypoint, previous, secure_boot, seed};
use crate::disk::DiskLayout;
use crate::engine::Run;
use crate::error::Result;
use crate::machine::{self, Materials};
use crate::report::System;
use crate::seed::Seed;
use crate::spec::{Spec, Volatile};
use crate::tree::os::{self, Os};
use crate::tree::{Editor, Time, Tree, kernel};
use beside::Beside;
use root::Root;
use words::{Checked, Words};

pub(super) fn plan(spec: &Spec, input: Input, run: &Run<'_>) -> Result<Planned> {
    let Input { root: mut tree, donor, mut programs, materials, .. } = input;
    let spec = &as_made(spec);
    previous::refuse(&materials)?;
    require_architecture(&tree, spec)?;
    entrypoint::require(&tree, spec)?;
    let Begun { os, time, mut notes, seed, mut layout } = begin(&mut tree, spec, &materials)?;
    let program = first::program(spec, programs.init.take())?;
    let within = Within::of(spec, Arc::clone(&program), &programs)?;
    let beside = Beside::find(spec, &tree, donor.as_ref(), &materials, &mut layout, within, run.spool)?;
    let stub = spec.is_uki().then(|| uki::stub(&tree, donor.as_ref(), spec.architecture)).transpose()?;
    let signer = secure_boot::signer(spec, &materials)?;

    let made = Made { program, early: programs.early, time };
    notes.extend(beside.notes.iter().cloned());
    notes.extend(edit(&mut tree, &os, spec, &made, &materials, &seed)?);
    let all = beside.modules.as_ref().filter(|_| spec.microvm.has_all_modules());
    if let Some((donor, modules)) = donor.as_ref().zip(all) {
        copy_modules(&mut Editor::new(&mut tree, time), donor, modules)?;
        notes.push(format!("{modules}: all modules of the kernel"));
    }
    let release = uki::os_release(&tree, spec)?;
    let root = Root::plan(spec, &layout, tree, time, run)?;
    let (root, checked) = with_hashes(root, spec, &seed, run)?;
    notes.extend(checked.into_iter().flat_map(|checked| seal::notes(checked.root_hash)));
    let words = Words::of(spec, &layout, checked).to_string();
    notes.extend(beside.lacks(spec));
    notes.extend(signer.as_ref().into_iter().flat_map(uki::notes));
    let system = system(&os, spec, &beside, &words, notes);
    let Root { placed, contents, part } = root;
    let (contents, microvm) = match stub {
        Some(stub) => {
            let program = uki::program(&stub, &beside, contents, release, &words, spec, time)?;
            (uki::signed(program, spec, signer.as_ref())?, None)
        }
        None => (contents, Some(Arc::new(beside.microvm(spec, words, layout.root.file_system)))),
    };
    let planned = planned(spec, &seed, Root { placed, contents, part });
    Ok(Planned { microvm, system: Some(system), ..planned })
}

/// A root that is asked to be checked, with what it is checked by.
fn with_hashes(root: Root, spec: &Spec, seed: &Seed, run: &Run<'_>) -> Result<(Root, Option<Checked>)> {
    if !spec.layout.has_verity() {
        return Ok((root, None));
    }
    seal::seal(root, seed, run).map(|(root, checked)| (root, Some(checked)))
}

/// The root alone, for a kernel and an initramfs that are there. Which program it runs is said at each start, so nothing is
/// looked at for that.
pub(super) fn plan_root(spec: &Spec, input: Input, run: &Run<'_>) -> Result<Planned> {
    let Input { root: mut tree, programs, materials, .. } = input;
    require_architecture(&tree, spec)?;
    let Begun { os, time, seed, layout, .. } = begin(&mut tree, spec, &materials)?;
    let program = first::program(spec, programs.init)?;
    let made = Made { program, early: programs.early, time };
    edit(&mut tree, &os, spec, &made, &materials, &seed)?;
    Ok(planned(spec, &seed, Root::plan(spec, &layout, tree, time, run)?))
}

/// What is known before anything is put into the root.
struct Begun {
    os: Os,
    time: Time,
    /// What was changed.
    notes: Vec<String>,
    seed: Seed,
    layout: Resolved,
}

fn begin(tree: &mut Tree, spec: &Spec, materials: &Materials) -> Result<Begun> {
    // Whatever else the image has, it is not started.
    let os = Os { init: None, ..os::detect(tree)? };
    let (time, mut notes) = settle_time(tree, spec);
    notes.extend(machine::forget_engine(&mut Editor::new(tree, time))?);
    let seed = seed(spec, tree, materials.digest(&spec.setup)?)?;
    let layout = Resolved::new(spec, &seed, tree)?;
    Ok(Begun { os, time, notes, seed, layout })
}

/// A disk that is this and nothing else.
fn planned(spec: &Spec, seed: &Seed, Root { mut placed, contents, part }: Root) -> Planned {
    placed.size = contents.size;
    Planned {
        layout: DiskLayout::bare(placed, contents),
        id: disk_file(seed),
        appliance: appliance(spec),
        update: None,
        placement: None,
        microvm: None,
        medium: None,
        system: None,
        partitions: vec![part],
    }
}

/// What the report says of it.
fn system(os: &Os, spec: &Spec, beside: &Beside, words: &str, edits: Vec<String>) -> System {
    let (loader, firmware) = match spec.is_uki() {
        true => ("systemd's stub, before the kernel", "UEFI"),
        false => ("none", "a monitor that loads the kernel"),
    };
    System {
        os: os.pretty_name.clone(),
        image: spec.image.clone(),
        kernel: beside.image.place().to_owned(),
        cmdline: words.to_owned(),
        boot_files: loader.to_owned(),
        firmware,
        edits,
    }
}

/// With what a format says by itself: the root within a uki is never written to.
fn as_made(spec: &Spec) -> Spec {
    let volatile = if spec.is_uki() { Volatile::Overlay } else { spec.volatile };
    Spec { volatile, ..spec.clone() }
}

/// What is put into the root.
struct Made {
    /// The first process.
    program: Arc<[u8]>,
    /// What goes before it where the root is only read.
    early: Option<Arc<[u8]>>,
    time: Time,
}

/// Make `tree` the root of a microVM. Returns a line for each change.
fn edit(
    tree: &mut Tree,
    os: &Os,
    spec: &Spec,
    made: &Made,
    materials: &Materials,
    seed: &Seed,
) -> Result<Vec<String>> {
    let Made { program, early, time } = made;
    let early = FirstProcess::Own.early(spec, None, early.clone())?;
    let contained = first::contained(spec, Some(Arc::clone(program)), *time)?;
    let mut notes = machine::init::install(tree, os, &contained)?;
    let editor = &mut Editor::new(tree, *time);
    editor.remove(kernel::RECORD);
    notes.extend(machine::os_release::write(editor, &spec.image)?);
    notes.extend(machine::set_up(editor, os, &spec.setup, materials, seed)?);
    if let Some(early) = early {
        notes.extend(machine::early::install(editor, &early)?);
    }
    Ok(notes)
}
