//! A directory of this machine becomes a tree.
//!
//! Threads read directories, each at its own; what they found joins the tree in one order: first the
//! root, then the directories in it by name, then those in them. So the tree is the same at every number
//! of threads.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::host::{HostDir, HostFile, join};
use super::list::{self, Directory, Entry, EntryKind, HardLink};
use super::{Content, Inode, InodeId, InodeKind, Name, Tree, xattr};
use crate::error::{Error, Result};

/// Directories that may wait, read, for one that is still being read: this bounds their memory.
const WINDOW: u64 = 256;

/// How far a scan has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Entries seen.
    pub entries: u64,
    /// Bytes of the regular files seen, holes included.
    pub bytes: u64,
}

/// Read the tree below `root` with so many threads; `progress` is called after every directory.
pub fn scan(
    root: &Arc<HostDir>,
    threads: NonZeroUsize,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Tree> {
    scan_where(root, threads, &|_| true, progress)
}

/// Read the root and those directories below it that `is_wanted` names by their paths (no slash in front), as far as
/// those above them are wanted too; the others are empty.
pub fn scan_where(
    root: &Arc<HostDir>,
    threads: NonZeroUsize,
    is_wanted: &(dyn Fn(&[u8]) -> bool + Sync),
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Tree> {
    xattr::require_proc()?;
    let scan = Scan {
        root,
        state: Mutex::new(State {
            tree: Tree::new(list::root_meta(root)?),
            links: HashMap::new(),
            todo: VecDeque::from([(Tree::ROOT, Box::default())]),
            taken: 0,
            joined: 0,
            read: BTreeMap::new(),
            failed: None,
            seen: Progress::default(),
            is_wanted,
            progress,
        }),
        moved: Condvar::new(),
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.get() {
            scope.spawn(|| scan.work());
        }
        scan.work();
    });
    let state = scan.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    state.failed.map_or(Ok(state.tree), Err)
}

struct Scan<'a> {
    root: &'a Arc<HostDir>,
    state: Mutex<State<'a>>,
    /// A directory has joined the tree, or the scan failed.
    moved: Condvar,
}

/// What the threads share. Tickets number the directories in the order in which they join the tree.
struct State<'a> {
    tree: Tree,
    /// Files of several names seen so far.
    links: HashMap<HardLink, InodeId>,
    /// Directories still to be read and their paths: a list and no recursion, since a tree may be deeper
    /// than the stack or than there are file descriptors.
    todo: VecDeque<(InodeId, Box<[u8]>)>,
    /// The ticket of the next directory to be read.
    taken: u64,
    /// The ticket of the next directory to join the tree.
    joined: u64,
    /// Directories that wait for those before them.
    read: BTreeMap<u64, Read>,
    failed: Option<Error>,
    seen: Progress,
    is_wanted: &'a (dyn Fn(&[u8]) -> bool + Sync),
    progress: &'a mut (dyn FnMut(Progress) + Send),
}

struct Read {
    id: InodeId,
    path: Box<[u8]>,
    directory: Result<Directory>,
}

/// Lets the other threads end when one panics, or they would wait for its directory for ever.
struct StopOnPanic<'s, 'a>(&'s Scan<'a>);

impl Drop for StopOnPanic<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.state().failed = Some(Error::new(crate::Kind::Io, "", "a thread panicked"));
            self.0.moved.notify_all();
        }
    }
}

impl<'a> Scan<'a> {
    fn work(&self) {
        let _stop = StopOnPanic(self);
        while let Some((ticket, id, path)) = self.take() {
            let directory = list::read(self.root, &path);
            let mut state = self.state();
            state.read.insert(ticket, Read { id, path, directory });
            if state.join_all() {
                self.moved.notify_all();
            }
        }
    }

    /// The next directory to be read; `None` when there will be no more.
    fn take(&self) -> Option<(u64, InodeId, Box<[u8]>)> {
        let must_wait = |state: &mut State<'_>| {
            let in_flight = state.taken - state.joined;
            let is_starved = state.todo.is_empty() && in_flight > 0;
            state.failed.is_none() && (is_starved || in_flight >= WINDOW)
        };
        let waited = self.moved.wait_while(self.state(), must_wait);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.failed.is_some() {
            return None;
        }
        let (id, path) = state.todo.pop_front()?;
        state.taken += 1;
        Some((state.taken - 1, id, path))
    }

    fn state(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State<'_> {
    /// Let every directory join that has its turn; whether there was one.
    fn join_all(&mut self) -> bool {
        let before = self.joined;
        while let Some(Read { id, path, directory }) = self.read.remove(&self.joined) {
            self.joined += 1;
            match directory {
                Ok(directory) => self.join(id, &path, directory),
                Err(error) => self.failed = self.failed.take().or(Some(error)),
            }
        }
        self.joined > before
    }

    fn join(&mut self, id: InodeId, path: &[u8], Directory { files, entries }: Directory) {
        let mut named: Vec<(Name, InodeId)> = Vec::with_capacity(entries.len());
        for Entry { name, meta, kind, link } in entries {
            self.seen.entries += 1;
            if let Some(&known) = link.as_ref().and_then(|link| self.links.get(link)) {
                named.push((name, known));
                continue;
            }
            let is_directory = matches!(kind, EntryKind::Directory);
            let kind = match kind {
                EntryKind::File(index) => InodeKind::File(Content::Host(HostFile::listed(&files, index))),
                EntryKind::Directory => InodeKind::Directory(BTreeMap::new()),
                EntryKind::Known(kind) => kind,
            };
            if let InodeKind::File(content) = &kind {
                self.seen.bytes += content.len();
            }
            let child = self.tree.add(Inode { meta, kind });
            self.links.extend(link.map(|link| (link, child)));
            if is_directory {
                let path = join(path, &name);
                self.todo.extend((self.is_wanted)(&path).then(|| (child, path.into())));
            }
            named.push((name, child));
        }
        // Made of all at once, the map has full nodes.
        self.tree.inode_mut(id).kind = InodeKind::Directory(named.into_iter().collect());
        (self.progress)(self.seen);
    }
}
