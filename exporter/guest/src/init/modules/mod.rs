//! Kernel modules: which of them a device wants, and loading them with those they depend on.

mod glob;
mod index;
mod settings;

use std::collections::HashSet;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use flate2::read::GzDecoder;
use rustix::io::Errno;
use rustix::system::{finit_module, init_module, uname};

use crate::init::console::say_error;
use crate::init::mounts;
pub(crate) use glob::matches;
use index::Index;
use settings::Settings;

/// `MODULE_INIT_COMPRESSED_FILE` (linux/module.h, 5.17): the kernel unpacks it.
const COMPRESSED_FILE: i32 = 4;
/// The largest module, unpacked: the kernel's own have a few MiB.
const UNPACKED_MAX: u64 = 256 << 20;
/// Where files name modules for every boot (modules-load.d(5)).
const ASKED: &str = "/etc/modules-load.d";
/// The modules that the kernel has, also of those that are built in.
const LOADED: &str = "/sys/module";
/// The program that the kernel runs for a module it wants (proc_sys_kernel(5)).
const MODPROBE: &str = "/proc/sys/kernel/modprobe";
/// The driver of devices that parameters of its own tell of (`virtio_mmio.device=`), or else ACPI or a device tree.
const BY_WORDS: &str = "virtio_mmio";
/// Modules without a device of their own, that go with a device: a card wants protocols, a share of 9p its file system.
/// What kernels have built in is not among their modules.
const COMPANIONS: [(&str, &[&str]); 2] =
    [("virtio:d00000001", &["ipv6", "af_packet"]), ("virtio:d00000009", &["9p"])];

/// The modules of the running kernel.
pub(crate) struct Modules {
    directory: PathBuf,
    index: Index,
    settings: Settings,
    /// What was asked for already: aliases, and files.
    seen: HashSet<String>,
    /// Names of those that are not loaded before the others, and their files.
    later: Vec<&'static str>,
    late: Vec<String>,
}

impl Modules {
    /// Read what depmod(8) has written down. A kernel without modules has everything built in.
    pub(crate) fn read() -> Self {
        let directory = Path::new("/lib/modules").join(uname().release().to_string_lossy().as_ref());
        let text = |name: &str| fs::read_to_string(directory.join(name)).unwrap_or_default();
        let index = Index::parse(&text("modules.dep"), &text("modules.alias"));
        // Where there are none, nothing is set.
        let settings = if index.is_empty() { Settings::default() } else { Settings::read() };
        Self { directory, index, settings, seen: HashSet::new(), later: Vec::new(), late: Vec::new() }
    }

    /// Those of a kernel that has everything built in.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self {
            directory: PathBuf::new(),
            index: Index::default(),
            settings: Settings::default(),
            seen: HashSet::new(),
            later: Vec::new(),
            late: Vec::new(),
        }
    }

    /// Whether there is nothing that could be loaded.
    pub(crate) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Load those that the machine's files ask for.
    pub(crate) fn load_asked(&mut self) {
        for name in asked(Path::new(ASKED)) {
            // Without a device on the command line it has nothing to do; with another, that asks for it.
            if name != BY_WORDS || !self.settings.parameters(&name).is_empty() {
                self.load(&name);
            }
        }
    }

    /// Load every module for an alias (a device's modalias, `net-pf-10`) or of a name, once.
    pub(crate) fn load(&mut self, alias: &str) {
        if self.is_empty() || !self.seen.insert(alias.to_owned()) {
            return;
        }
        let found: Vec<String> = self.index.find(alias).map(str::to_owned).collect();
        // Of those that are only asked for by what a device is called, the machine's files may want none.
        let is_named = |name: &String| *name == alias.replace('-', "_");
        let wanted = found.iter().filter(|name| is_named(name) || !self.settings.is_blocked(name));
        let files: Vec<String> = wanted.flat_map(|name| self.index.with_dependencies(name)).collect();
        for file in files {
            let name = index::name_of(&file);
            match self.seen.insert(file.clone()) {
                true if self.later.contains(&&*name) => self.late.push(file),
                true => self.load_file(&file, &name),
                false => {}
            }
        }
        let with_it = COMPANIONS.iter().filter(|(device, _)| alias.starts_with(device));
        with_it.flat_map(|(_, names)| *names).for_each(|name| self.load(name));
    }

    /// Load those of these names no sooner than [`Modules::load_late`] is called.
    pub(crate) fn put_off(&mut self, names: Vec<&'static str>) {
        self.later = names;
    }

    /// Load what was put off, and put nothing off any more.
    pub(crate) fn load_late(&mut self) {
        self.later.clear();
        for file in std::mem::take(&mut self.late) {
            self.load_file(&file, &index::name_of(&file));
        }
    }

    /// The files are to be found below another root from now on.
    pub(crate) fn move_to(&mut self, root: &Path) {
        if let Ok(below) = self.directory.strip_prefix("/") {
            self.directory = root.join(below);
        }
    }

    fn load_file(&self, file: &str, name: &str) {
        if is_loaded(name) {
            return;
        }
        let path = self.directory.join(file);
        say_error(
            insert(&path, &self.settings.parameters(name))
                .map_err(|error| format!("{}: cannot be loaded: {error}", path.display())),
        );
    }
}

/// The names in the files of a folder, in the order of the files. In names of modules both lines are one.
fn asked(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "conf")).collect();
    files.sort();
    let texts = files.iter().map(|file| fs::read_to_string(file).unwrap_or_default());
    texts.flat_map(|text| text.lines().filter_map(name).collect::<Vec<_>>()).collect()
}

fn name(line: &str) -> Option<String> {
    let line = line.trim();
    (!line.is_empty() && !line.starts_with(['#', ';'])).then(|| line.replace('-', "_"))
}

/// Have the kernel run another program for the modules that it wants. Returns the one it ran; without modules it has none.
pub(crate) fn replace_modprobe(program: &str) -> String {
    let before = fs::read_to_string(MODPROBE).unwrap_or_default();
    mounts::set(MODPROBE, program);
    before.trim().to_owned()
}

/// Leave it to this program to load what the kernel wants, unless the image has one for that: without modules the kernel
/// need not ask.
pub(crate) fn serve_kernel(program: &str, modules: &Modules) {
    let own = fs::read_to_string(MODPROBE).unwrap_or_default();
    if modules.is_empty() {
        mounts::set(MODPROBE, "\n");
    } else if !Path::new(own.trim()).exists() {
        mounts::set(MODPROBE, program);
    }
}

/// As the kernel's `modprobe`: the exit code is all it looks at.
pub(crate) fn probe(name: &str) -> ExitCode {
    Modules::read().load(name);
    ExitCode::SUCCESS
}

/// Whether the kernel has a module already, for example from the initramfs: it would read all of it to find that out.
fn is_loaded(name: &str) -> bool {
    Path::new(LOADED).join(name).exists()
}

/// Give the kernel a module. No hardware for it is no error, nor is its presence.
fn insert(path: &Path, parameters: &str) -> Result<(), String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let parameters = CString::new(parameters).map_err(|error| error.to_string())?;
    let result = match path.extension().and_then(|extension| extension.to_str()) {
        // Kernels are built to unpack what their distribution packs with, but for gzip of Alpine's.
        Some("gz") => {
            let mut image = Vec::new();
            GzDecoder::new(&mut file)
                .take(UNPACKED_MAX)
                .read_to_end(&mut image)
                .map_err(|error| error.to_string())?;
            init_module(&image, &parameters)
        }
        Some("xz" | "zst") => finit_module(&file, &parameters, COMPRESSED_FILE),
        _ => finit_module(&file, &parameters, 0),
    };
    match result {
        Ok(()) | Err(Errno::EXIST | Errno::NODEV) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_that_files_ask_for_are_found() {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in
            [("b.conf", "nbd\n"), ("a.conf", "# a comment\n; another\n\n zram \nvirtio-rng"), ("c", "no")]
        {
            fs::write(folder.path().join(file), text).unwrap();
        }
        assert_eq!(asked(folder.path()), ["zram", "virtio_rng", "nbd"]);
        assert!(asked(Path::new("/nonexistent")).is_empty());
    }
}
