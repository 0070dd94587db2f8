//! What makes a machine with two slots go back to the one that was good: a restart where it would stand still, and the
//! program that says that it does not have to.

use std::sync::Arc;

use super::first;
use super::resolve::Resolved;
use crate::error::{Error, Kind, Result};
use crate::machine::good::{self, Entries, Good};
use crate::machine::rauc::{self, Keyring};
use crate::spec::{Loader, Spec, update};
use crate::tree::os::{Family, Os};
use crate::tree::{Editor, Time, Tree};

/// The kernel restarts the machine seconds after a panic, and so does the initramfs of Debian where it finds no root.
const PANIC: &str = "panic=10";
/// So does that of dracut (dracut.cmdline(7)).
const DRACUT: [&str; 2] = ["rd.shell=0", "rd.emergency=reboot"];

/// Where the ESP is mounted.
const ESP: &str = "/boot/efi";

/// All that is wrong with what was asked of good boots.
pub(super) fn require_right(spec: &Spec) -> Result<()> {
    let problems = update::problems(spec).into_iter().map(|(key, message)| format!("{key} {message}"));
    let problems: Vec<_> = problems.collect();
    if problems.is_empty() { Ok(()) } else { Err(Error::new(Kind::Input, "[update]", problems.join("; "))) }
}

/// What was asked, after what the kernel and the initramfs of this distribution have to be told.
pub(super) fn kernel_words(asked: String, spec: &Spec, initramfs: &Os) -> String {
    if !spec.layout.has_slots() {
        return asked;
    }
    let is_dracut = matches!(initramfs.family, Family::RedHat | Family::Suse);
    let words = [PANIC].into_iter().chain(DRACUT.into_iter().filter(|_| is_dracut));
    words.chain([&*asked]).collect::<Vec<_>>().join(" ").trim_end().to_owned()
}

/// Have the machine say that a boot was good. Returns a line for each thing that was done.
pub(super) fn install(
    root: &mut Tree,
    os: &Os,
    spec: &Spec,
    program: Option<Arc<[u8]>>,
    keyring: Option<&Keyring>,
    layout: &Resolved,
    time: Time,
) -> Result<Vec<String>> {
    if !spec.layout.has_slots() {
        return Ok(Vec::new());
    }
    let program =
        program.filter(|program| spec.architecture.runs(program)).ok_or_else(|| no_program(spec))?;
    let has_entries = spec.loader == Loader::SystemdBoot;
    let entries = has_entries.then(|| match layout.has_slot_kernels() {
        true => Entries::Beside,
        false => Entries::OnEsp,
    });
    let good = Good { program, update: &spec.update, container: first::service(spec), entries };
    let editor = &mut Editor::new(root, time);
    let mut notes = good::install(editor, os.init, &good)?;
    notes.extend(rauc::leave_good(editor)?);
    if !has_entries {
        let compatible = spec.image.compatible().or(spec.hostname.as_deref()).unwrap_or(&os.id);
        notes.extend(rauc::install(editor, compatible, ESP, layout.root.file_system, keyring)?);
    }
    Ok(notes)
}

fn no_program(spec: &Spec) -> Error {
    let message = format!(
        "nothing else says that a slot is good, and this vmimage has no vmimage-boot for {}",
        spec.architecture
    );
    Error::new(Kind::NotFound, good::PROGRAM, message).with_hint(
        "take the vmimage of the frontend image (make out/vmimage), or ask for a layout with one root",
    )
}
