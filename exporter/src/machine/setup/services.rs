//! Services on and off: what `systemctl enable`, `disable` and `mask` do, and `rc-update add` and `del`.

use super::{openrc, systemd};
use crate::error::{Error, Kind, Result};
use crate::spec::setup::Services;
use crate::tree::os::{Init, Os};
use crate::tree::{self, Editor};

pub(super) fn switch(editor: &mut Editor<'_>, os: &Os, asked: &Services) -> Result<Vec<String>> {
    if *asked == Services::default() {
        return Ok(Vec::new());
    }
    match os.init {
        Some(Init::Systemd) => switch_units(editor, asked),
        Some(Init::OpenRc) => switch_scripts(editor, asked),
        _ => Err(Error::new(Kind::Unsupported, "services", "the machine has neither systemd nor OpenRC")
            .with_hint("switch them in the Dockerfile, or in a hook")),
    }
}

fn switch_units(editor: &mut Editor<'_>, asked: &Services) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for name in &asked.disable {
        let unit = existing_unit(editor, name)?;
        if systemd::disable(editor, &unit) {
            notes.push(format!("systemd: {unit} disabled"));
        }
    }
    for name in &asked.mask {
        let unit = unit_name(name);
        let link = format!("{}/{unit}", systemd::ETC);
        let own = editor.tree().resolve_nofollow(&link);
        if own.is_some_and(|id| matches!(editor.tree().inode(id).kind, tree::InodeKind::File(_))) {
            return Err(Error::new(Kind::Input, link, "is the machine's own unit, which cannot be masked")
                .with_hint("disable it, or leave it out of the image"));
        }
        systemd::disable(editor, &unit);
        editor.symlink(link, "/dev/null")?;
        notes.push(format!("systemd: {unit} masked"));
    }
    for name in &asked.enable {
        let unit = existing_unit(editor, name)?;
        if systemd::is_masked(editor.tree(), &unit) {
            editor.remove(format!("{}/{unit}", systemd::ETC));
            notes.push(format!("systemd: {unit} unmasked"));
        }
        if systemd::enable(editor, &unit)? {
            notes.push(format!("systemd: {unit} enabled"));
        } else if !systemd::is_enabled(editor.tree(), &unit) {
            let message = "has no [Install] section: it is started by others, or not at all";
            return Err(Error::new(Kind::Input, format!("service {unit}"), message));
        }
    }
    Ok(notes)
}

/// `nginx` is `nginx.service`.
fn unit_name(name: &str) -> String {
    const KINDS: [&str; 8] = ["service", "socket", "target", "timer", "mount", "automount", "path", "swap"];
    match name.rsplit_once('.') {
        Some((_, kind)) if KINDS.contains(&kind) => name.to_owned(),
        _ => format!("{name}.service"),
    }
}

fn existing_unit(editor: &Editor<'_>, name: &str) -> Result<String> {
    let unit = unit_name(name);
    if unit.contains("@.") {
        return Err(Error::new(
            Kind::Input,
            format!("service {unit}"),
            "is a template: an instance is missing",
        )
        .with_hint(format!("name one, as in {}", unit.replace("@.", "@1."))));
    }
    match systemd::unit_file(editor.tree(), &unit) {
        Some(_) => Ok(unit),
        // A masked unit may still be there below /usr.
        None => Err(Error::new(Kind::NotFound, format!("service {unit}"), "is not on the machine")
            .with_hint("install its package in the Dockerfile, or with install = [\"PACKAGE\"]")),
    }
}

fn switch_scripts(editor: &mut Editor<'_>, asked: &Services) -> Result<Vec<String>> {
    if let Some(name) = asked.mask.first() {
        let message = format!("OpenRC masks no services: {name} can be disabled");
        return Err(Error::new(Kind::Unsupported, "services.mask", message));
    }
    let mut notes = Vec::new();
    for name in asked.disable.iter().map(|name| existing_script(editor, name)).collect::<Result<Vec<_>>>()? {
        if openrc::disable(editor, &name) {
            notes.push(format!("OpenRC: {name} removed from its runlevels"));
        }
    }
    for name in asked.enable.iter().map(|name| existing_script(editor, name)).collect::<Result<Vec<_>>>()? {
        if openrc::enable(editor, &name, "default")? {
            notes.push(format!("OpenRC: {name} added to runlevel default"));
        }
    }
    Ok(notes)
}

/// The same configuration is for both inits, so `.service` is no part of a script's name.
fn existing_script(editor: &Editor<'_>, name: &str) -> Result<String> {
    let name = name.strip_suffix(".service").unwrap_or(name).to_owned();
    if editor.tree().resolve(format!("/etc/init.d/{name}")).is_some() {
        return Ok(name);
    }
    Err(Error::new(
        Kind::NotFound,
        format!("service {name}"),
        "is not on the machine: there is no such script in /etc/init.d",
    )
    .with_hint("install its package in the Dockerfile, or with install = [\"PACKAGE\"]"))
}
