//! The root of an image's machine: its files, and the first process that its kernel's initramfs has, too.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use exporter::assemble::{Input, Planned, Programs};
use exporter::container::{self, Compression, Format};
use exporter::engine::View;
use exporter::fs::DiskBudget;
use exporter::fs::files::{FileContent, FileKind, Step, walk};
use exporter::machine::Materials;
use exporter::spec::Spec;
use exporter::spec::layout::Source;
use exporter::tree::Tree;

use super::Made;
use super::kernel::{self, Kernel};
use super::served::Served;
use crate::ask::config::{Context, Secrets};
use crate::base::builtin;
use crate::base::make::{Making, Wanted, threads};
use crate::base::{Error, Meter, Result};
use crate::cli::run::microvm::{At, Microvm};
use crate::engine::Choice;

/// Where the first process lies.
const INIT: &[u8] = b"usr/lib/vmimage/init";
/// It is far smaller.
const INIT_MAX: u64 = 64 << 20;

/// A root that is to be made.
pub(super) struct Job<'a> {
    pub(super) spec: &'a Spec,
    pub(super) workspace: &'a Path,
    pub(super) meter: &'a Meter,
    pub(super) stop: &'a AtomicBool,
    /// Whether the root is written into the workspace, for a machine that is there longer than this process.
    pub(super) writes_root: bool,
}

impl Job<'_> {
    /// A machine with the kernel of the image `donor`, and the root beside it: served out of the files, or written.
    ///
    /// # Errors
    /// If there is no such kernel, and what in the files cannot be a root.
    pub(super) fn beside(
        &self,
        donor: &str,
        engine: Choice,
        files: Tree,
        materials: Materials,
    ) -> Result<Made> {
        let built = kernel::build(donor, self.spec.architecture, engine, self.workspace)?;
        let planned = self.plan(files, materials, &built)?;
        if self.writes_root {
            let path = self.workspace.join("root");
            let target = planned.target(path.clone(), Format::Raw, Compression::None);
            self.making().write(planned.image(), vec![target])?;
            return Ok((built.with_root(At::File(path)), None));
        }
        self.meter.finish();
        let socket = self.workspace.join("root.sock");
        let served = Served::start(Arc::new(View::new(planned.image(), self.workspace)), &socket)?;
        Ok((built.with_root(At::Server(socket)), Some(served)))
    }

    /// The root alone, for a kernel that was `built`.
    fn plan(&self, files: Tree, materials: Materials, built: &Microvm) -> Result<Planned> {
        let init = built.root().map(init).transpose()?.flatten();
        let own = builtin::programs(self.spec.architecture);
        let programs = Programs { init: init.or(own.init), ..Programs::default() };
        self.making().plan_root(self.spec, input(files, programs, materials), self.workspace)
    }

    /// Makes all of the machine, with a kernel that is a file or in the image.
    ///
    /// # Errors
    /// If there is none, and what in the files cannot be a root.
    pub(super) fn whole(&self, files: Tree, kernel: &Kernel) -> Result<Microvm> {
        let (spec, materials) = match kernel {
            Kernel::File(path) => {
                let (folder, name) =
                    (path.parent().filter(|folder| *folder != Path::new("")), path.file_name());
                let name = name.and_then(|name| name.to_str());
                let name = name.ok_or_else(|| Error::user(format!("--kernel {kernel}: names no file")))?;
                let spec = Spec { kernel_file: Some(Source::Path(name.to_owned())), ..self.spec.clone() };
                let context = Context::open(folder.unwrap_or(Path::new(".")))?;
                let materials = context.materials(&spec, &Secrets::parse(&[])?, threads())?;
                (spec, materials)
            }
            Kernel::Image(_) | Kernel::Keep => (self.spec.clone(), Materials::default()),
        };
        let path = self.workspace.join("vm");
        let wanted = Wanted {
            path: path.clone(),
            format: Format::Microvm,
            compression: Compression::None,
            base: None,
            sparse: false,
        };
        let programs = builtin::programs(spec.architecture);
        self.making().make(&spec, input(files, programs, materials), vec![wanted])?;
        Microvm::read(&path)
    }

    fn making(&self) -> Making<'_> {
        Making { threads: threads(), meter: self.meter, stop: self.stop }
    }
}

fn input(root: Tree, programs: Programs, materials: Materials) -> Input {
    Input { root, boot: None, donor: None, programs, materials, mkfs: None }
}

/// The first process in the root of a microVM that was built: that of its initramfs goes on in the same process, if it is the
/// same.
fn init(root: &Path) -> Result<Option<Arc<[u8]>>> {
    let (_, volume) = container::open(root)?;
    let mut found = None;
    walk(&*volume, &DiskBudget::new(volume.size()), &mut |met| {
        match met.kind {
            FileKind::File { len, content } if met.path == INIT => found = Some(bytes(len, content)?),
            FileKind::Directory if !is_above(met.path) => return Ok(Step::Over),
            _ => {}
        }
        Ok(Step::Into)
    })?;
    Ok(found)
}

/// Whether the init is below this directory.
fn is_above(path: &[u8]) -> bool {
    path.is_empty() || INIT.strip_prefix(path).is_some_and(|rest| rest.starts_with(b"/"))
}

fn bytes(len: u64, content: &dyn FileContent) -> exporter::Result<Arc<[u8]>> {
    let mut bytes = vec![0; len.min(INIT_MAX) as usize];
    content.data(&mut |at, piece| {
        let at = at as usize;
        if let Some(place) = at.checked_add(piece.len()).and_then(|end| bytes.get_mut(at..end)) {
            place.copy_from_slice(piece);
        }
        Ok(())
    })?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use exporter::container::{Target, write};
    use exporter::engine::{RawImage, Run};
    use exporter::fs::ext4;
    use exporter::seed::Seed;
    use exporter::tree::{Editor, Meta, Time};

    use super::*;

    /// A root as a build writes it.
    fn root(file: &Path, init: Option<&[u8]>) {
        let mut tree = Tree::new(Meta::default());
        let mut editor = Editor::new(&mut tree, Time::default());
        editor.write_file("/usr/lib/other", *b"other", 0o644).unwrap();
        editor.write_file("/usr/share/vmimage/init", *b"other", 0o644).unwrap();
        if let Some(init) = init {
            editor.write_file("/usr/lib/vmimage/init", init, 0o755).unwrap();
        }
        let seed = Seed::new(b"test");
        let options = ext4::Options {
            label: String::new(),
            uuid: seed.uuid("root"),
            hash_seed: seed.uuid("hash"),
            size: 8 << 20,
            created: Time::default(),
            reserved_percent: 0,
        };
        let contents = ext4::plan(&Arc::new(tree), &options).unwrap();
        let target = Target::new(file.to_owned(), Format::Raw, Compression::None, seed.uuid("file"));
        let image = RawImage { size: contents.size, extents: &*contents.extents };
        write(image, &[target], &Run::silent(NonZeroUsize::MIN)).unwrap();
    }

    #[test]
    fn the_first_process_of_a_root_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("root.raw");
        let program: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        root(&file, Some(&program));
        assert!(init(&file).unwrap().is_some_and(|found| *found == program[..]));
        std::fs::remove_file(&file).unwrap();
        root(&file, None);
        assert_eq!(init(&file).unwrap(), None);
        std::fs::write(&file, vec![0; 4096]).unwrap();
        assert!(init(&file).is_err(), "no root");
    }

    #[test]
    fn only_directories_above_it_are_looked_into() {
        for (path, is_it) in [
            ("", true),
            ("usr", true),
            ("usr/lib", true),
            ("usr/lib/vmimage", true),
            ("us", false),
            ("usr/share", false),
        ] {
            assert_eq!(is_above(path.as_bytes()), is_it, "{path}");
        }
    }
}
