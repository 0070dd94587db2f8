//! Where the machine is: time zone and locale.

use super::{lines, read};
use crate::error::{Error, Kind, Result};
use crate::tree::os::{Family, Init, Os};
use crate::tree::{self, Editor};

const ZONES: &str = "/usr/share/zoneinfo";
const PROFILE: &str = "/etc/profile.d/vmimage-locale.sh";

pub(super) fn time_zone(editor: &mut Editor<'_>, os: &Os, asked: Option<&str>) -> Result<Option<String>> {
    let Some(zone) = asked else { return Ok(None) };
    let file = format!("{ZONES}/{zone}");
    let id = editor.tree().resolve(&file);
    if !id.is_some_and(|id| matches!(editor.tree().inode(id).kind, tree::InodeKind::File(_))) {
        return Err(Error::new(Kind::NotFound, "timezone", format!("{file} is not on the machine"))
            .with_hint("names are those of the tz database, such as Europe/Berlin, and their files those of the package tzdata"));
    }
    editor.symlink("/etc/localtime", &file)?;
    if os.family == Family::Debian {
        editor.rewrite_file("/etc/timezone", format!("{zone}\n").into_bytes(), 0o644)?;
    }
    Ok(Some(format!("/etc/localtime: {zone}")))
}

pub(super) fn locale(editor: &mut Editor<'_>, os: &Os, asked: Option<&str>) -> Result<Option<String>> {
    let Some(locale) = asked else { return Ok(None) };
    let setting = format!("LANG={locale}");
    if os.init != Some(Init::Systemd) {
        editor.write_file(PROFILE, format!("export {setting}\n").into_bytes(), 0o644)?;
        return Ok(Some(format!("{PROFILE}: {locale}")));
    }
    // Debian's PAM reads its own file, which in newer releases is a link to the other one.
    let path = match os.family {
        Family::Debian => "/etc/default/locale",
        _ => "/etc/locale.conf",
    };
    for path in ["/etc/locale.conf", path] {
        let old = read(editor.tree(), path)?;
        let mut text: Vec<u8> =
            lines(&old).filter(|line| !line.starts_with(b"LANG=")).collect::<Vec<_>>().concat();
        if text.last().is_some_and(|&last| last != b'\n') {
            text.push(b'\n');
        }
        text.extend(format!("{setting}\n").as_bytes());
        editor.rewrite_file(path, text, 0o644)?;
    }
    Ok(Some(format!("{path}: {locale}")))
}
