//! The modules that a kernel comes with. Where depmod(8) has run or not makes no difference: all that it writes down is in
//! the modules themselves.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use super::module::{Module, normal};
use crate::error::{Error, Result};
use crate::limits::{self, Budget};
use crate::tree::{InodeId, InodeKind, Tree};

/// Bytes of the list of what is built in: Debian's has 20 KiB.
const LIST_LIMIT: u64 = 4 << 20;
/// Extensions of what packs modules.
const PACKED: [&str; 4] = ["", ".xz", ".zst", ".gz"];
/// Modules that are put in the place of the kernel's own (depmod.d(5)).
const UPDATES: &str = "updates/";

/// The modules in a folder of a tree.
pub(super) struct Donor<'tree> {
    tree: &'tree Tree,
    folder: &'tree str,
    /// By name.
    files: BTreeMap<String, File>,
    /// The names of what is built in, if there is a list of it.
    built_in: Option<BTreeSet<String>>,
    /// What ciphers and sums are asked for by, and the names of their modules.
    services: OnceCell<BTreeMap<String, Vec<String>>>,
}

struct File {
    /// Below the folder, with the extension of what packs it.
    path: String,
    inode: InodeId,
}

impl<'tree> Donor<'tree> {
    /// The modules in `folder`.
    ///
    /// # Errors
    /// If there are more than any kernel has.
    pub(super) fn read(tree: &'tree Tree, folder: Option<&'tree str>) -> Result<Self> {
        let mut donor = Self {
            tree,
            folder: folder.unwrap_or_default(),
            files: BTreeMap::new(),
            built_in: None,
            services: OnceCell::new(),
        };
        if let Some(folder) = folder {
            donor.list(folder)?;
            let list = tree.read(format!("{folder}/modules.builtin"), LIST_LIMIT)?;
            donor.built_in = list.map(|list| {
                String::from_utf8_lossy(&list).lines().filter_map(|line| Some(named(line)?.0)).collect()
            });
        }
        Ok(donor)
    }

    /// Find all modules below the folder.
    fn list(&mut self, folder: &str) -> Result<()> {
        let mut entries = Budget::new("files of modules", limits::MODULES);
        let mut below: Vec<_> = self.tree.resolve(folder).map(|id| (String::new(), id)).into_iter().collect();
        while let Some((prefix, id)) = below.pop() {
            for (name, &id) in self.tree.entries(id).into_iter().flatten() {
                entries.spend(1).map_err(|exceeded| exceeded.at(folder))?;
                // What is no word would break the lines of a list.
                let Some(name) = std::str::from_utf8(name).ok().filter(|name| is_plain(name)) else {
                    continue;
                };
                let path = format!("{prefix}{name}");
                match &self.tree.inode(id).kind {
                    InodeKind::Directory(_) => below.push((path + "/", id)),
                    InodeKind::File(_) => self.found(path, id),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Of two modules of a name, an update counts, or the first by path.
    fn found(&mut self, path: String, inode: InodeId) {
        let Some((name, _)) = named(&path) else { return };
        let rank = |path: &str| (!path.starts_with(UPDATES), path.to_owned());
        if self.files.get(&name).is_none_or(|known| rank(&path) < rank(&known.path)) {
            self.files.insert(name, File { path, inode });
        }
    }

    /// Whether the kernel has a list of what is built into it.
    pub(super) fn has_list(&self) -> bool {
        self.built_in.is_some()
    }

    pub(super) fn is_built_in(&self, name: &str) -> bool {
        self.built_in.as_ref().is_some_and(|names| names.contains(name))
    }

    /// The module `name`, if there is one.
    ///
    /// # Errors
    /// If its file is none.
    pub(super) fn module(&self, name: &str) -> Result<Option<Module>> {
        let Some(File { path, inode }) = self.files.get(name) else { return Ok(None) };
        let InodeKind::File(content) = &self.tree.inode(*inode).kind else { return Ok(None) };
        let place = format!("{}/{path}", self.folder);
        let plain = named(path).map_or(path.as_str(), |(_, plain)| plain);
        Module::read(name, plain, content, &place).map(Some).map_err(|error| {
            error.with_hint("install the kernel's package again, or let the build install a kernel")
        })
    }

    /// The modules that are meant by a name, or by what they are asked for by.
    ///
    /// # Errors
    /// If one that may be meant cannot be read.
    pub(super) fn meant_by(&self, asked: &str) -> Result<Vec<&str>> {
        if let Some((name, _)) = self.files.get_key_value(&normal(asked)) {
            return Ok(vec![name]);
        }
        let services = match self.services.get() {
            Some(services) => services,
            None => {
                let read = self.read_services()?;
                self.services.get_or_init(|| read)
            }
        };
        Ok(services.get(asked).into_iter().flatten().map(String::as_str).collect())
    }

    /// All of them are read for that, once: what is asked for by another name than its own is one of a few hundred.
    fn read_services(&self) -> Result<BTreeMap<String, Vec<String>>> {
        let mut services: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut read = Budget::new("bytes of modules that are looked through", limits::INITRAMFS_MODULES);
        for (name, _) in self.files.iter().filter(|(_, file)| is_service(&file.path)) {
            let Some(module) = self.module(name)? else { continue };
            read.spend(module.bytes.len() as u64).map_err(|exceeded| exceeded.at(self.folder))?;
            for alias in module.info.aliases {
                services.entry(alias).or_default().push(name.clone());
            }
        }
        Ok(services)
    }

    /// What is not there, for a message.
    pub(super) fn lacks(&self, module: &str, needs: &str) -> Error {
        let path = self.files.get(module).map_or(module, |file| file.path.as_str());
        let message = format!("needs the module {needs}, which is not there");
        Error::new(crate::error::Kind::NotFound, format!("{}/{path}", self.folder), message)
            .with_hint("install the kernel's package with all its modules")
    }
}

/// Whether a module is a cipher or a sum, of which several may do the same, each faster on another processor.
fn is_service(path: &str) -> bool {
    let is_of_processor = path.starts_with("kernel/arch/") && path.contains("/crypto/");
    is_of_processor || path.starts_with("kernel/crypto/") || path.starts_with("kernel/lib/")
}

/// The name of the module in a file, as `lsmod` shows it, and the path without what packs it.
fn named(path: &str) -> Option<(String, &str)> {
    let plain =
        PACKED.iter().find_map(|packed| path.strip_suffix(packed).filter(|plain| plain.ends_with(".ko")))?;
    let base = plain.rsplit('/').next()?.strip_suffix(".ko")?;
    (!base.is_empty()).then(|| (normal(base), plain))
}

fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
}
