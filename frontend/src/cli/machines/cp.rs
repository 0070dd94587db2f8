//! `vmimage cp`: files between this host and a machine, or out of a disk.
//!
//! A machine that runs has its agent copy; one that does not, and a disk, are read here, with what lies below them. Whatever
//! comes from a machine or a disk is written below the folder that was named, as the user's own (`agent::tree`).

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use agent::client::Client;
use agent::message::{Request, Text};
use agent::tree::{Failure, Rights, unpack_named};
use exporter::export::{self, Export};
use exporter::fs::DiskBudget;
use exporter::read_at::Shared;

use super::agent_of;
use crate::base::disk::DiskInfo;
use crate::base::{Error, Result};
use crate::machines::{Machine, Name, disk};

/// Copy files between this host and a machine, or out of a disk.
///
/// A side with a colon and an absolute path behind it is in a machine, by its name, or in a disk file of any format. A
/// folder is copied with all that is in it; `FOLDER/.` is what is in it alone. Into a machine owners and modes come along;
/// out of one the files are yours. Links are copied, and not followed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What is copied: PATH, or NAME:/PATH, or DISK:/PATH
    source: OsString,
    /// Where it goes: into a folder that is there, or by that name
    destination: OsString,
    /// Of a disk, the partition with the root, by its number or its label [default: the one that has a system]
    #[arg(long, value_name = "PARTITION")]
    root: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  vmimage cp site.conf web:/etc/nginx/conf.d/
  vmimage cp web:/var/log/nginx logs        also if it does not run
  vmimage cp ./web.qcow2:/etc/fstab .       out of a disk
  vmimage cp site/. web:/srv                what is in a folder";

/// One side of a copy.
enum Side {
    Here(PathBuf),
    Machine(Machine, OsString),
    Disk(PathBuf, OsString),
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    match (side(&args.source)?, side(&args.destination)?) {
        (Side::Here(from), Side::Machine(machine, to)) => into_machine(&machine, &from, &to)?,
        (Side::Machine(machine, from), Side::Here(to)) => out_of_machine(args, &machine, &from, &to)?,
        (Side::Disk(disk, from), Side::Here(to)) => {
            let budget = DiskBudget::new(DiskInfo::read(&disk)?.actual_size);
            let image = disk::open(&disk)?;
            out_of_disk(args, &disk.display().to_string(), image, &budget, &Copy::new(&from, &to)?)?;
        }
        (Side::Here(_), Side::Disk(disk, _)) => {
            return Err(Error::user(format!(
                "{}: nothing is copied into a disk that no machine runs",
                disk.display()
            ))
            .with_hint("make a machine of it: vmimage run -d --name NAME DISK, and copy into that"));
        }
        (Side::Here(_), Side::Here(_)) => {
            return Err(Error::user("both sides are of this host")
                .with_hint("one in a machine is NAME:/PATH, one in a disk DISK:/PATH"));
        }
        _ => {
            return Err(Error::user("no side is of this host")
                .with_hint("copy it here, and from here to where it shall be"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What a word says. What stands before a colon and a slash is a machine, or else a disk.
fn side(word: &OsStr) -> Result<Side> {
    let bytes = word.as_bytes();
    let Some(at) = bytes.windows(2).position(|pair| pair == b":/").filter(|&at| at > 0) else {
        return Ok(Side::Here(PathBuf::from(word)));
    };
    let (place, path) = bytes.split_at(at);
    let (place, path) =
        (OsStr::from_bytes(place), OsStr::from_bytes(path.get(1..).unwrap_or_default()).to_owned());
    let machine = place.to_str().and_then(|name| name.parse::<Name>().ok()).map(|name| Machine::there(&name));
    match machine.transpose()?.flatten() {
        Some(machine) => Ok(Side::Machine(machine, path)),
        None if Path::new(place).exists() => Ok(Side::Disk(PathBuf::from(place), path)),
        None => {
            Err(Error::user(format!("{}: there is no machine and no disk of that name", place.display()))
                .with_hint("all machines that there are: vmimage ps -a"))
        }
    }
}

/// Whether a path means what is in the folder, and not the folder.
fn means_content(path: &OsStr) -> bool {
    path.as_bytes().ends_with(b"/.") || Path::new(path).file_name().is_none()
}

fn into_machine(machine: &Machine, from: &Path, to: &OsStr) -> Result<()> {
    if !machine.is_running() {
        let name = machine.name();
        return Err(Error::user(format!("{name}: does not run, and nothing is copied into its disk"))
            .with_hint(format!("start it first: vmimage start {name}")));
    }
    from.symlink_metadata()
        .map_err(|error| Error::user(format!("{}: cannot be read", from.display())).because(error))?;
    let client = agent_of(machine)?;
    let failed = |error: String| Error::user(format!("{}: {error}", machine.name()));
    let name: Option<Text> = means_content(from.as_os_str()).then(|| ".".into());
    if is_folder(&client, to).map_err(|error| failed(error.to_string()))? {
        return client.copy_in(from, to, name.as_ref()).map_err(failed);
    }
    match (Path::new(to).parent(), Path::new(to).file_name()) {
        (Some(folder), Some(name)) if !to.as_bytes().ends_with(b"/") => {
            client.copy_in(from, folder, Some(&name.into())).map_err(failed)
        }
        _ => Err(failed(format!("{}: there is no such folder", to.display()))),
    }
}

/// Whether there is a folder in the machine. Only that has something in it by the name of a dot, and of an archive the first
/// byte is enough.
fn is_folder(client: &Client, path: &OsStr) -> io::Result<bool> {
    let mut inside = path.to_owned();
    inside.push("/.");
    let session = client.open(&Request::CopyOut { from: (&inside).into(), name: Some(".".into()) })?;
    session.output().read(&mut [0]).map(|len| len > 0)
}

/// What is copied out, and where to.
struct Copy {
    from: OsString,
    folder: PathBuf,
    /// What it is called there.
    name: Text,
}

impl Copy {
    /// As `cp -r` has it: into a folder that is there, or by a new name.
    ///
    /// # Errors
    /// If there is no folder for it.
    fn new(from: &OsStr, to: &Path) -> Result<Self> {
        let cannot = |error| Error::user(format!("{}: cannot be written", to.display())).because(error);
        let no_folder = || Error::user(format!("{}: there is no such folder", to.display()));
        let from = from.to_owned();
        if means_content(&from) {
            if !to.is_dir() {
                fs::create_dir(to).map_err(cannot)?;
            }
            return Ok(Self { from, folder: to.to_owned(), name: ".".into() });
        }
        if to.is_dir() {
            let name = Path::new(&from).file_name().unwrap_or(OsStr::new(".")).into();
            return Ok(Self { from, folder: to.to_owned(), name });
        }
        let folder = match to.parent() {
            Some(folder) if folder == Path::new("") => Path::new("."),
            Some(folder) => folder,
            None => return Err(no_folder()),
        };
        match to.file_name() {
            Some(name) if folder.is_dir() && !to.as_os_str().as_bytes().ends_with(b"/") => {
                Ok(Self { from, folder: folder.to_owned(), name: name.into() })
            }
            _ => Err(no_folder()),
        }
    }
}

fn out_of_machine(args: &Args, machine: &Machine, from: &OsStr, to: &Path) -> Result<()> {
    let copy = Copy::new(from, to)?;
    let Some(_lock) = machine.try_lock()? else {
        let Copy { from, folder, name } = &copy;
        let copied = agent_of(machine)?.copy_out(from, folder, Some(name), Rights::Own);
        return copied.map_err(|error| Error::user(format!("{}: {error}", machine.name())));
    };
    let record = machine.record()?;
    let drive = record
        .drives
        .first()
        .ok_or_else(|| Error::user(format!("{}: has no disk that it writes to", machine.name())))?;
    let files = [drive.base().to_owned(), machine.path(&drive.overlay)];
    let sizes = files.iter().map(|file| Ok(DiskInfo::read(file)?.actual_size)).collect::<Result<Vec<_>>>()?;
    let budget = DiskBudget::new(sizes.iter().sum());
    out_of_disk(args, machine.name().as_str(), drive.open(machine)?, &budget, &copy)
}

/// Reads it here.
fn out_of_disk(args: &Args, shown: &str, image: Shared, budget: &DiskBudget, copy: &Copy) -> Result<()> {
    let of_disk = |error: exporter::Error| {
        let hint = error.hint().cloned();
        let error = Error::user(format!("{shown}: {error}"));
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    };
    let machine = export::find(image, args.root.as_deref(), budget).map_err(of_disk)?;
    let cannot = |error| Error::user(format!("{}: cannot be written", copy.folder.display())).because(error);
    let folder = File::open(&copy.folder).map_err(cannot)?;
    let (reader, writer) = io::pipe().map_err(cannot)?;
    let name = copy.name.0.as_bytes();
    let (read, written) = std::thread::scope(|scope| {
        // Whichever end fails lets go of the pipe, and so ends the other one.
        let unpacks = scope.spawn(move || {
            unpack_named(&mut BufReader::with_capacity(1 << 16, reader), folder.as_fd(), Rights::Own, name)
        });
        let export = Export { machine: &machine, budget, is_layer: false };
        let mut out = BufWriter::with_capacity(1 << 16, writer);
        let read = export.write_part(copy.from.as_bytes(), name, &mut out, &mut |_| Ok(()));
        let flushed = out.flush();
        drop(out.into_parts());
        (read.map(|_| flushed.is_ok()), unpacks.join())
    });
    match (read, written) {
        (_, Ok(Err(Failure::Files(error)))) => {
            Err(Error::user(format!("{}: {error}", copy.folder.display())))
        }
        (Err(error), _) => Err(of_disk(error)),
        (Ok(true), Ok(Ok(()))) => Ok(()),
        (_, Ok(Err(failure))) => Err(Error::user(format!("{shown}: {failure}"))),
        _ => Err(Error::internal("the copy: its other end is gone")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn here(word: &[u8]) -> bool {
        matches!(side(OsStr::from_bytes(word)), Ok(Side::Here(_)))
    }

    #[test]
    fn a_colon_and_a_slash_part_a_machine_from_its_path() {
        for word in [&b"web"[..], b"a:b", b"./a:b", b":/etc", b"/a", b"a:", b"\xff"] {
            assert!(here(word), "{}", word.escape_ascii());
        }
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("a disk.raw");
        fs::write(&disk, "").unwrap();
        let mut word = disk.clone().into_os_string();
        word.push(":/etc/a:/b");
        let Ok(Side::Disk(found, path)) = side(&word) else { panic!("{word:?}") };
        assert_eq!((found, path.as_os_str()), (disk, OsStr::new("/etc/a:/b")));
        let error = side(OsStr::new("no-such-thing:/etc")).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "no-such-thing: there is no machine and no disk of that name");
        let odd = OsString::from_vec(b"\xff:/etc".to_vec());
        assert!(side(&odd).is_err());
    }

    #[test]
    fn a_copy_goes_into_a_folder_or_gets_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("there")).unwrap();
        let copy =
            |from: &str, to: &str| Copy::new(OsStr::new(from), &at(to)).map(|copy| (copy.folder, copy.name));
        assert_eq!(copy("/etc/fstab", "there").unwrap(), (at("there"), "fstab".into()));
        assert_eq!(copy("/etc/", "there/new").unwrap(), (at("there"), "new".into()));
        assert_eq!(copy("/etc/.", "there").unwrap(), (at("there"), ".".into()));
        assert_eq!(copy("/", "made").unwrap(), (at("made"), ".".into()));
        assert!(at("made").is_dir());
        for to in ["nowhere/new", "nowhere/"] {
            assert!(
                copy("/etc/fstab", to).unwrap_err().to_string().ends_with("there is no such folder"),
                "{to}"
            );
        }
    }
}
