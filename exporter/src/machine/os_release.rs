//! What the system is called, where the machine's programs read it: `IMAGE_ID` and `IMAGE_VERSION` of os-release(5).

use super::{lines, read};
use crate::error::{Error, Kind, Result};
use crate::spec::Identity;
use crate::tree::Editor;

/// Where it is read first; in most distributions a link to the other one.
const PATH: &str = "/etc/os-release";
const OF_DISTRIBUTION: &str = "/usr/lib/os-release";

/// Write what `image` says to the one that is read. Returns what was changed.
///
/// # Errors
/// If links lead that file nowhere.
pub fn write(editor: &mut Editor<'_>, image: &Identity) -> Result<Option<String>> {
    let said = [("IMAGE_ID", &image.id), ("IMAGE_VERSION", &image.version)];
    let said: Vec<_> = said.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))).collect();
    if said.is_empty() {
        return Ok(None);
    }
    let is_there = editor.tree().resolve_nofollow(PATH).is_some();
    let path = if is_there { PATH } else { OF_DISTRIBUTION };
    let endless = || Error::new(Kind::Input, path, "leads to no place of the image's tree");
    let path = editor.tree().canonical(path).ok_or_else(endless)?;
    let old = read(editor.tree(), &path)?;
    let is_said = |line: &[u8]| {
        let name = line.split(|&byte| byte == b'=').next().unwrap_or_default();
        said.iter().any(|(known, _)| known.as_bytes() == name.trim_ascii())
    };
    let mut text: Vec<u8> = lines(&old).filter(|line| !is_said(line)).collect::<Vec<_>>().concat();
    if text.last().is_some_and(|&last| last != b'\n') {
        text.push(b'\n');
    }
    // Of the letters that they may have none means something to a shell.
    let assignments: Vec<_> = said.iter().map(|(name, value)| format!("{name}={value}")).collect();
    text.extend(assignments.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()));
    editor.rewrite_file(&path, text, 0o644)?;
    Ok(Some(format!("{path}: {}", assignments.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::{text, tree};
    use crate::tree::{Time, Tree};

    fn written(files: &[(&str, &str)], json: &str) -> Result<(Tree, Option<String>)> {
        let mut tree = tree(files);
        let image = serde_json::from_str(json).unwrap();
        let note = write(&mut Editor::new(&mut tree, Time::default()), &image)?;
        Ok((tree, note))
    }

    const BOTH: &str = r#"{"id":"kiosk","version":"1.4"}"#;

    #[test]
    fn the_file_that_is_read_says_what_was_built() {
        let link = (PATH, "-> ../usr/lib/os-release");
        let old = "ID=debian\nIMAGE_ID=old\n#IMAGE_VERSION=0\nIMAGE_VERSION=0";
        let new = "ID=debian\n#IMAGE_VERSION=0\nIMAGE_ID=kiosk\nIMAGE_VERSION=1.4\n";
        for (files, path, expected) in [
            (&[link, (OF_DISTRIBUTION, old)][..], OF_DISTRIBUTION, new),
            (&[(PATH, old), (OF_DISTRIBUTION, "ID=debian\n")], PATH, new),
            (&[(OF_DISTRIBUTION, old)], OF_DISTRIBUTION, new),
            (&[], OF_DISTRIBUTION, "IMAGE_ID=kiosk\nIMAGE_VERSION=1.4\n"),
            (&[link], OF_DISTRIBUTION, "IMAGE_ID=kiosk\nIMAGE_VERSION=1.4\n"),
        ] {
            let (tree, note) = written(files, BOTH).unwrap();
            assert_eq!(text(&tree, path).unwrap(), expected, "{files:?}");
            assert_eq!(note.unwrap(), format!("{path}: IMAGE_ID=kiosk, IMAGE_VERSION=1.4"));
        }
        let (tree, _) = written(&[(PATH, "ID=a\nIMAGE_ID=b\n")], r#"{"version":"2"}"#).unwrap();
        assert_eq!(text(&tree, PATH).unwrap(), "ID=a\nIMAGE_ID=b\nIMAGE_VERSION=2\n");
    }

    #[test]
    fn nothing_is_written_where_nothing_is_said() {
        let (tree, note) = written(&[(PATH, "ID=a\n")], r#"{"compatible":"kiosk"}"#).unwrap();
        assert_eq!((text(&tree, PATH).unwrap().as_str(), note), ("ID=a\n", None));
        let error = written(&[(PATH, "-> os-release")], BOTH).err().unwrap().to_string();
        assert_eq!(error, "/etc/os-release: leads to no place of the image's tree");
    }
}
