//! Where machines are: a folder for each, of its user's alone, and a lock in it that is held while the machine runs.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use super::{AGENT_SOCKET, Name, Record};
use crate::base::temporary::Folder;
use crate::base::{Error, Result, text};

const RECORD: &str = "machine.json";
const LOCK: &str = "lock";
/// What the names of folders begin with that are of no machine yet: no machine's does.
const WORKSPACE: &str = ".new-";
/// Bytes of a record: its longest part is a command line.
const RECORD_MAX: u64 = 1 << 20;
/// How often a lock is tried that somebody holds: whoever asks whether a machine runs holds it for a moment.
const TRIES: usize = 20;
const MOMENT: Duration = Duration::from_millis(25);

/// A machine that has a folder.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    name: Name,
    folder: PathBuf,
}

/// Held while a machine runs, or while something is done to it that must not be done while it runs. The kernel lets go of it
/// with the process that holds it.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code, reason = "what it is held by")] File);

impl Machine {
    /// Makes the folder of a new machine.
    ///
    /// # Errors
    /// If the name is taken.
    pub(crate) fn create(name: &Name) -> Result<Self> {
        let folder = made_all_folder()?.join(name.as_str());
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => Ok(Self { name: name.clone(), folder }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(taken(name)),
            Err(error) => Err(cannot_make(&folder, error)),
        }
    }

    /// That a machine can have this name, before anything is done for it.
    ///
    /// # Errors
    /// If the name is taken.
    pub(crate) fn require_free(name: &Name) -> Result<()> {
        Self::there(name)?.map_or(Ok(()), |_| Err(taken(name)))
    }

    /// A folder for what comes into that of a machine, in the same file system. It goes with this process.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) fn workspace() -> Result<Folder> {
        let all = made_all_folder()?;
        Folder::new(WORKSPACE, &all).map_err(|error| cannot_make(&all, error))
    }

    /// The machine of that name.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn find(name: &Name) -> Result<Self> {
        Self::there(name)?.ok_or_else(|| {
            Error::user(format!("{name}: there is no machine of that name"))
                .with_hint("all that there are: vmimage ps -a")
        })
    }

    /// The same, if there is one.
    ///
    /// # Errors
    /// If nobody knows where machines are.
    pub(crate) fn there(name: &Name) -> Result<Option<Self>> {
        let folder = all_folder()?.join(name.as_str());
        Ok(folder.is_dir().then(|| Self { name: name.clone(), folder }))
    }

    /// The machine in a folder of [`all`](Self::all), for its keeper.
    ///
    /// # Errors
    /// If it cannot be one.
    pub(crate) fn in_folder(folder: &Path) -> Result<Self> {
        let name = folder.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        match name.filter(|_| folder.is_absolute()) {
            Some(name) => Ok(Self { name, folder: folder.to_owned() }),
            None => Err(Error::internal(format!("{}: is no folder of a machine", folder.display()))),
        }
    }

    /// All machines, by their names.
    ///
    /// # Errors
    /// If their folders cannot be read.
    pub(crate) fn all() -> Result<Vec<Self>> {
        let all = all_folder()?;
        let entries = match fs::read_dir(&all).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            entries => entries
                .map_err(|error| Error::user(format!("{}: cannot be read", all.display())).because(error))?,
        };
        let machine = |entry: fs::DirEntry| {
            let name: Name = entry.file_name().to_str()?.parse().ok()?;
            entry.path().is_dir().then(|| Self { name, folder: entry.path() })
        };
        let mut machines: Vec<_> = entries.into_iter().filter_map(machine).collect();
        machines.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(machines)
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file of it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What is kept of it.
    ///
    /// # Errors
    /// If there is nothing that can be read.
    pub(crate) fn record(&self) -> Result<Record> {
        let path = self.path(RECORD);
        Record::parse(&text::read(&path, RECORD_MAX)?).map_err(|reason| {
            Error::user(format!("{}: {reason}", path.display()))
                .with_hint(format!("the machine cannot be used: vmimage rm {}", self.name))
        })
    }

    /// Keeps that of it: whole, or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn keep(&self, record: &Record) -> Result<()> {
        let path = self.path(RECORD);
        let written = tempfile::NamedTempFile::new_in(&self.folder).and_then(|mut file| {
            file.write_all(record.text().as_bytes())?;
            file.persist(&path).map_err(|error| error.error)
        });
        written
            .map(drop)
            .map_err(|error| Error::user(format!("{}: cannot be written", path.display())).because(error))
    }

    /// Whether somebody runs it, or does something to it.
    pub(crate) fn is_running(&self) -> bool {
        match File::open(self.path(LOCK)) {
            Ok(file) => flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK),
            Err(_) => false,
        }
    }

    /// Takes its lock; `None` if it runs.
    ///
    /// # Errors
    /// If there can be none, as of a machine that is gone.
    pub(crate) fn try_lock(&self) -> Result<Option<Lock>> {
        let path = self.path(LOCK);
        let cannot =
            |error: io::Error| Error::user(format!("{}: cannot be locked", path.display())).because(error);
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(cannot)?;
        for attempt in 0..TRIES {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(Lock(file))),
                Err(Errno::WOULDBLOCK) if attempt + 1 < TRIES => std::thread::sleep(MOMENT),
                Err(Errno::WOULDBLOCK) => break,
                Err(error) => return Err(cannot(error.into())),
            }
        }
        Ok(None)
    }

    /// Takes its lock.
    ///
    /// # Errors
    /// If it runs.
    pub(crate) fn lock(&self) -> Result<Lock> {
        self.try_lock()?.ok_or_else(|| {
            Error::user(format!("{}: is running", self.name))
                .with_hint(format!("end it first: vmimage stop {}", self.name))
        })
    }

    /// Removes it with all that it has written.
    ///
    /// # Errors
    /// If it runs, or cannot be removed.
    pub(crate) fn remove(&self) -> Result<()> {
        let _lock = self.lock()?;
        fs::remove_dir_all(&self.folder).map_err(|error| {
            Error::user(format!("{}: cannot be removed", self.folder.display())).because(error)
        })
    }

    /// A connection to a socket in its folder, whose path may be longer than that of a socket.
    ///
    /// # Errors
    /// If nobody listens there.
    pub(crate) fn connect(&self, name: &str) -> io::Result<UnixStream> {
        self.by_short_path(name, UnixStream::connect)
    }

    /// A connection for a client of its agent.
    ///
    /// # Errors
    /// If it does not run.
    pub(crate) fn agent(&self) -> io::Result<UnixStream> {
        self.connect(AGENT_SOCKET)
    }

    /// Listens on a socket in its folder, in the place of one that is there.
    ///
    /// # Errors
    /// If that is not possible.
    pub(super) fn listen(&self, name: &str) -> io::Result<UnixListener> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.by_short_path(name, UnixListener::bind),
        }
    }

    /// The address of a socket has 108 bytes (unix(7)); by a descriptor of its folder every path is short enough.
    fn by_short_path<T>(&self, name: &str, act: impl FnOnce(PathBuf) -> io::Result<T>) -> io::Result<T> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(&self.folder, flags, Mode::empty())?;
        act(Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name))
    }
}

fn taken(name: &Name) -> Error {
    Error::user(format!("{name}: there is a machine of that name"))
        .with_hint(format!("choose another, or remove that one: vmimage rm {name}"))
}

fn cannot_make(path: &Path, error: io::Error) -> Error {
    Error::user(format!("{}: cannot be made", path.display())).because(error)
}

/// The same folder, which is there.
fn made_all_folder() -> Result<PathBuf> {
    let all = all_folder()?;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&all);
    made.map(|()| all.clone()).map_err(|error| cannot_make(&all, error))
}

/// Where all machines are: the XDG Base Directory specification has it that a path that is not absolute is none.
fn all_folder() -> Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("vmimage/machines")).ok_or_else(|| {
        Error::user("machines: nobody says where they are")
            .with_hint("set XDG_STATE_HOME or HOME to an absolute path")
    })
}
