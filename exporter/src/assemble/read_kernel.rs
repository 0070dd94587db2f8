//! A kernel whose image is read: what it was built with, and which machine it is for.

use crate::error::{Error, Kind, Result};
use crate::kernel::{Config, KernelImage, Setting, option_of};
use crate::machine::Materials;
use crate::spec::layout::{Source, StageSource};
use crate::spec::{Architecture, Spec};
use crate::tree::kernel::{self, Kernel};
use crate::tree::{Content, InodeKind, Tree};

/// Any list of modules is shorter.
const LIST_LIMIT: u64 = 16 << 20;

/// A kernel with what is told of it, by itself and by the files beside it.
pub(super) struct ReadKernel<'a> {
    /// Where its modules and its configuration are.
    pub(super) tree: &'a Tree,
    pub(super) image: KernelImage,
    pub(super) content: Content,
    /// The folder of its modules in the tree.
    pub(super) modules: Option<String>,
    pub(super) config: Config,
    /// What the kernel itself has, by the list of its modules.
    built_in: String,
}

impl<'a> ReadKernel<'a> {
    /// The one of a microVM: the file that is named, else that of the donor, else the image's own.
    ///
    /// # Errors
    /// If there is none, or none for this machine.
    pub(super) fn find(
        spec: &Spec,
        root: &'a Tree,
        donor: Option<&'a Tree>,
        materials: &Materials,
    ) -> Result<Self> {
        match file(spec, materials)? {
            Some((content, place)) => Self::of_file(root, content, &place, spec.architecture),
            None => {
                // Some give the stub of a uki alone.
                let kernels = donor.map(kernel::all).transpose()?.unwrap_or_default();
                let tree = donor.filter(|_| !kernels.is_empty()).unwrap_or(root);
                Self::of_tree(tree, &kernel::chosen_for_ours(tree)?, spec.architecture)
            }
        }
    }

    /// One of `tree`.
    pub(super) fn of_tree(tree: &'a Tree, kernel: &Kernel, architecture: Architecture) -> Result<Self> {
        let content = tree.resolve(&kernel.image).map(|id| &tree.inode(id).kind);
        let Some(InodeKind::File(content)) = content else {
            return Err(Error::new(Kind::NotFound, &kernel.image, "is no regular file"));
        };
        // Which modules are its own the image itself says, and not its name.
        Self::of_file(tree, content.clone(), &kernel.image, architecture)
    }

    /// One of a file by itself, whose modules may be in `tree`.
    pub(super) fn of_file(
        tree: &'a Tree,
        content: Content,
        place: &str,
        architecture: Architecture,
    ) -> Result<Self> {
        let image = read(&content, place, architecture)?;
        let modules = format!("/lib/modules/{}", image.release());
        let modules = tree.resolve(&modules).map(|_| modules);
        Self::new(tree, image, content, modules)
    }

    fn new(tree: &'a Tree, image: KernelImage, content: Content, modules: Option<String>) -> Result<Self> {
        let beside = Config::find(tree, image.release())?;
        let config = if beside.is_known() { beside } else { image.vmlinux()?.config };
        let built_in =
            modules.as_ref().map(|modules| tree.read(format!("{modules}/modules.builtin"), LIST_LIMIT));
        let built_in = built_in.transpose()?.flatten().unwrap_or_default();
        let built_in = String::from_utf8_lossy(&built_in).into_owned();
        Ok(Self { tree, image, content, modules, config, built_in })
    }

    /// Whether it has a driver: built in, or among the modules that are `loaded`. `None`: nobody tells.
    pub(super) fn has(&self, driver: &str, loaded: &[String]) -> Option<bool> {
        if loaded.iter().any(|name| name == driver) || self.lists(driver) {
            return Some(true);
        }
        match self.config.option(option_of(driver)?) {
            Setting::Yes => Some(true),
            Setting::Module | Setting::No => Some(false),
            Setting::Unknown => None,
        }
    }

    /// Whether the list of what is built in has it.
    fn lists(&self, driver: &str) -> bool {
        let name = |line: &str| {
            let file = line.rsplit('/').next()?;
            Some(file.strip_suffix(".ko")?.replace('-', "_"))
        };
        self.built_in.lines().any(|line| name(line).is_some_and(|name| name == driver))
    }

    /// Whether an option is built in.
    pub(super) fn is_set(&self, option: &str) -> bool {
        self.config.option(option) == Setting::Yes
    }
}

/// The file that was named as the kernel, and what messages call it.
pub(super) fn file(spec: &Spec, materials: &Materials) -> Result<Option<(Content, String)>> {
    let Some(source) = &spec.kernel_file else { return Ok(None) };
    let place = source.to_string();
    let (tree, id) = match source {
        Source::Path(path) => (&materials.context, materials.file(path)?),
        Source::Stage(StageSource { from, path }) => materials.in_stage(from, path)?,
    };
    match &tree.inode(id).kind {
        InodeKind::File(content) => Ok(Some((content.clone(), place))),
        _ => Err(Error::new(Kind::Input, place, "is no regular file, and is to be the kernel")),
    }
}

fn read(content: &Content, place: &str, architecture: Architecture) -> Result<KernelImage> {
    let image = KernelImage::read(content, place)?;
    if image.architecture() == architecture {
        return Ok(image);
    }
    let message =
        format!("is a kernel for {}, the machine is to be for {architecture}", image.architecture());
    let hint =
        format!("ask for --platform linux/{}, or take another kernel", image.architecture().oci_name());
    Err(Error::new(Kind::Input, place, message).with_hint(hint))
}
