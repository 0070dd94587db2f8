//! What the `ext4-view` crate reads of an image; it knows no links, devices, holes and attributes.

use ext4_view::{Ext4, Ext4Error, FileType, PathBuf};

use crate::dump::{Line, Lines, sum, text};
use crate::support::Image;

/// What the crate reads of everything in `image`; it checks the checksums of what it meets.
pub(crate) fn of_view(image: &Image) -> Result<String, Ext4Error> {
    let view = Ext4::load_from_path(image.path()).unwrap();
    let mut lines = Lines::new();
    visit(&view, PathBuf::new("/"), Vec::new(), &mut lines)?;
    Ok(text(&lines))
}

/// Of the lines of a tree what the crate can know.
pub(crate) fn known(mut lines: Lines) -> String {
    for line in lines.values_mut() {
        (line.links, line.device, line.data, line.xattrs) = Default::default();
    }
    text(&lines)
}

fn visit(view: &Ext4, at: PathBuf, path: Vec<u8>, lines: &mut Lines) -> Result<(), Ext4Error> {
    if path == b"/lost+found" {
        return Ok(());
    }
    let metadata = view.symlink_metadata(&at)?;
    let mtime = metadata.modified();
    let mut line = Line {
        permissions: u32::from(metadata.mode() & 0o7777),
        owner: (metadata.uid(), metadata.gid()),
        mtime: (mtime.seconds(), i64::from(mtime.nanoseconds())),
        ..Line::default()
    };
    line.kind = match metadata.file_type() {
        FileType::Directory => "d",
        FileType::Regular => "f",
        FileType::Symlink => "l",
        FileType::CharacterDevice => "c",
        FileType::BlockDevice => "b",
        FileType::Fifo => "p",
        FileType::Socket => "s",
    };
    match line.kind {
        "f" => line.sum = sum(&view.read(&at)?),
        "l" => line.sum = sum(view.read_link(&at)?.as_ref()),
        "d" => {
            for entry in view.read_dir(&at)? {
                let entry = entry?;
                let name = entry.file_name();
                if name != "." && name != ".." {
                    visit(view, at.join(name), [&path, &b"/"[..], name.as_ref()].concat(), lines)?;
                }
            }
        }
        _ => {}
    }
    lines.insert(path, line);
    Ok(())
}
