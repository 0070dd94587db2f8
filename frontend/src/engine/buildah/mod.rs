//! buildah, and podman, whose builds are buildah's: the kernel goes under the user's layers here too.
//!
//! ```text
//! Dockerfile ─base─▶ image ─mount─▶ probe ─▶ machine step ─build─▶ image with a kernel ┐
//!            │                           └─▶ boot step ───build─▶ boot loader files     │
//!            └───────── the base replaced by it ─────────────────────────build─▶ image ─┴─mount─▶ files
//! ```
//!
//! These engines have no frontends and show no graph, so the Dockerfile is read to find the base, and only
//! that word of it is replaced. (`--build-context` could replace it by name: everywhere, stages and `COPY
//! --from` included, and in version 1.28 before variables are expanded.) Every build keeps its layers for
//! the next one.
//!
//! The files are read where the engine mounts them. Without root that is inside the engine's user
//! namespace, where owners and file capabilities are what the image says: [`enter`].

mod leftovers;
mod namespace;
mod step;
mod tool;

use std::num::NonZeroUsize;
use std::path::Path;

use exporter::boot::BootFiles;
use exporter::limits;
use exporter::spec::{Architecture, ImageConfig};
use exporter::tree::{HostDir, scan};
use tempfile::TempDir;

use super::dockerfile::{self, Target, Variables};
use crate::ask::{Hook, Install};
use crate::base::text;
use crate::base::{Error, Result};
use crate::provision::recipe::{self, Driver};
use crate::provision::{self, Step};
pub(crate) use leftovers::Leftovers;
pub(crate) use namespace::enter;
use step::{CONTAINERFILE, Origin};
use tool::{About, Build};
pub(crate) use tool::{Mounted, Store, Tool};

/// What is to be built.
pub(crate) struct StoreBuild<'a> {
    pub(crate) context: &'a Path,
    pub(crate) dockerfile: &'a Path,
    /// The stage; `None`: the last one.
    pub(crate) stage: Option<&'a str>,
    /// Build arguments with their values.
    pub(crate) arguments: Variables,
    /// `os/architecture`; `None`: this host's.
    pub(crate) platform: Option<&'a str>,
    /// Ask registries for newer images, the base among them.
    pub(crate) pull: bool,
    /// Whether it is to boot: only then it needs a kernel.
    pub(crate) needs_kernel: bool,
    /// What is installed for it.
    pub(crate) install: &'a Install,
    /// The folder to install from, if [`Install::packages`] says that there is one.
    pub(crate) packages: Option<&'a Path>,
    /// What is run on its finished file system.
    pub(crate) hooks: &'a [Hook],
    /// Options of every build.
    pub(crate) options: Vec<String>,
    /// Further options of the user's own build.
    pub(crate) own_options: Vec<String>,
    pub(crate) threads: NonZeroUsize,
}

impl StoreBuild<'_> {
    /// That of the machine.
    fn architecture(&self) -> Result<Architecture> {
        let platform = self.platform.map_or_else(dockerfile::host_platform, str::to_owned);
        provision::architecture(&platform)
    }
}

/// What was built.
pub(crate) struct Built {
    /// The image's files, where the engine shows them.
    pub(crate) root: Mounted,
    /// Those of the image that gives its kernel, if that is another one.
    pub(crate) donor: Option<Mounted>,
    /// The distribution's boot loader; `None`: there was no step for one.
    pub(crate) boot: Option<BootFiles>,
    /// That of the image.
    pub(crate) architecture: Architecture,
    /// What the image says of containers, and its labels.
    pub(crate) image: ImageConfig,
}

impl Store<'_> {
    /// Builds the Dockerfile on a base that has a kernel.
    pub(crate) fn make(&self, request: &StoreBuild<'_>) -> Result<Built> {
        let dockerfile = text::read(request.dockerfile, limits::TEXT)?;
        let predefined = dockerfile::predefined(request.platform);
        let target = Target::find(&dockerfile, request.stage, &request.arguments, &predefined)?;
        let (text, kernel) = match request.needs_kernel {
            true => self.graft(target.base.as_ref(), &dockerfile, request)?,
            false => (dockerfile, Kernel::default()),
        };

        step::write(self.leftovers.folder(), CONTAINERFILE, &text)?;
        let containerfile = self.leftovers.folder().join(CONTAINERFILE);
        let mut options = [&request.options[..], &request.own_options].concat();
        options.extend([self.pull_option(request), format!("--target={}", target.stage)]);
        let build = Build {
            what: "the build",
            context: request.context,
            containerfile: &containerfile,
            options: &options,
            install: None,
        };
        let image = self.build(&build)?;
        let About { architecture, config } = self.about(&image)?;
        let architecture = provision::architecture(&format!("linux/{architecture}"))?;
        let image =
            request.hooks.iter().try_fold(image, |image, hook| self.run_hook(&image, hook, request))?;
        let Kernel { boot, donor } = kernel;
        Ok(Built { root: self.mount(&image)?, donor, boot, architecture, image: config })
    }

    fn run_hook(&self, image: &str, hook: &Hook, request: &StoreBuild<'_>) -> Result<String> {
        let mut options = [&request.options[..], &["--pull=false".to_owned()]].concat();
        if !hook.network {
            options.retain(|option| !option.starts_with("--network"));
            options.push("--network=none".to_owned());
        }
        self.build_folder(&hook.title, &options, None, |folder| step::hook(folder, image, hook))
    }

    /// The Dockerfile on a base with a kernel, or with a kernel beside it.
    fn graft(
        &self,
        base: Option<&dockerfile::Base>,
        dockerfile: &str,
        request: &StoreBuild<'_>,
    ) -> Result<(String, Kernel)> {
        let image = base.map(|base| self.base(base, request)).transpose()?;
        let store = Steps { store: self, request };
        let made = recipe::follow_now(&store, image.as_ref(), request.architecture()?, request.install)?;
        let text = match base.zip(made.base.or(image)) {
            Some((base, image)) => base.replaced(dockerfile, &image.id),
            None => dockerfile.to_owned(),
        };
        let donor = made.donor.map(|donor| self.mount(&donor.id)).transpose()?;
        Ok((text, Kernel { boot: made.boot.flatten(), donor }))
    }

    /// The base of the user's Dockerfile.
    fn base(&self, base: &dockerfile::Base, request: &StoreBuild<'_>) -> Result<StoredImage> {
        let id = self.resolve(&base.name, base.platform.as_deref(), request)?;
        let about = self.about(&id)?;
        if !about.config.on_build.is_empty() {
            return Err(Error::user(format!("base image {}: has ONBUILD instructions", base.name))
                .with_hint("a kernel cannot be put under them here: build with --engine docker"));
        }
        Ok(StoredImage { name: base.name.clone(), id, user: about.config.container.user })
    }

    /// The id of an image, which is pulled if it has to be: a build of nothing but its name.
    fn resolve(&self, name: &str, platform: Option<&str>, request: &StoreBuild<'_>) -> Result<String> {
        let mut options = [&request.options[..], &[self.pull_option(request)]].concat();
        options.extend(platform.map(|platform| format!("--platform={platform}")));
        let what = format!("base image {name}");
        self.build_folder(&what, &options, None, |folder| step::base(folder, name))
    }

    fn build_step(
        &self,
        request: &StoreBuild<'_>,
        step: &Step,
        fill: impl FnOnce(&Path, &Origin<'_>) -> Result<()>,
    ) -> Result<String> {
        // An image that has just been built is asked of no registry.
        let mut options = [&request.options[..], &["--pull=false".to_owned()]].concat();
        options.extend(request.packages.map(step::packages_option));
        let origin = Origin::new(request.install, request.packages)?;
        self.build_folder(&step.title, &options, Some(request.install), |folder| fill(folder, &origin))
    }

    /// Builds a folder of this program's own making.
    fn build_folder(
        &self,
        what: &str,
        options: &[String],
        install: Option<&Install>,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<String> {
        let folder = TempDir::new_in(self.leftovers.folder());
        let folder =
            folder.map_err(|error| Error::user("a temporary folder: cannot be made").because(error))?;
        fill(folder.path())?;
        let containerfile = folder.path().join(CONTAINERFILE);
        self.build(&Build { what, context: folder.path(), containerfile: &containerfile, options, install })
    }

    /// Without one, both programs ask the registry on every build. Always to ask, as podman says for
    /// "true", is no option for an image named by its id.
    fn pull_option(&self, request: &StoreBuild<'_>) -> String {
        let policy = match (request.pull, self.tool) {
            (false, _) => "false",
            (true, Tool::Podman) => "newer",
            (true, Tool::Buildah) => "true",
        };
        format!("--pull={policy}")
    }
}

/// What boots the user's layers, beside what is below them.
#[derive(Default)]
struct Kernel {
    boot: Option<BootFiles>,
    /// The files of the image that gives the kernel; `None`: it is below the user's layers.
    donor: Option<Mounted>,
}

/// An image of the store.
#[derive(Clone)]
struct StoredImage {
    /// As the user would write it.
    name: String,
    id: String,
    /// Whose the next steps are, empty for root.
    user: String,
}

/// The store as the recipe asks it.
struct Steps<'a> {
    store: &'a Store<'a>,
    request: &'a StoreBuild<'a>,
}

impl Driver for Steps<'_> {
    type Image = StoredImage;
    type BootFiles = Option<BootFiles>;

    async fn image(&self, name: &str) -> Result<StoredImage> {
        // Nothing but files is taken from it.
        let user = String::new();
        Ok(StoredImage { name: name.to_owned(), id: self.store.resolve(name, None, self.request)?, user })
    }

    async fn probe(&self, image: &StoredImage) -> Result<provision::Probed> {
        let mounted = self.store.mount(&image.id)?;
        let files = scan(&HostDir::open(mounted.path())?, self.request.threads, &mut |_| {})?;
        provision::Probed::new(&image.name, files)
    }

    async fn install(&self, on: &StoredImage, step: &Step) -> Result<StoredImage> {
        let id = self.store.build_step(self.request, step, |folder, origin| {
            step::machine(folder, &on.id, &on.user, step, origin)
        })?;
        Ok(StoredImage { name: on.name.clone(), id, user: on.user.clone() })
    }

    async fn collect(&self, on: &StoredImage, step: &Step) -> Result<Option<BootFiles>> {
        let image = self
            .store
            .build_step(self.request, step, |folder, origin| step::boot(folder, &on.id, step, origin))?;
        Ok(BootFiles::read(self.store.mount(&image)?.path())?)
    }
}
