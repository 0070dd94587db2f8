//! The flags of `docker buildx build`, as `vmimage build` takes them. [`flags`] says what becomes of each.

use super::flags::{self, Flag};

/// docker's own options, under docker's own names.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Build options (docker's own)")]
pub(super) struct DockerArgs {
    /// The Dockerfile [default: CONTEXT/Dockerfile]
    #[arg(short, long, value_name = "FILE")]
    pub(super) file: Option<String>,
    /// The stage to build
    #[arg(long, value_name = "STAGE")]
    pub(super) target: Option<String>,
    /// Set a build-time variable
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) build_arg: Vec<String>,
    /// Add a named context
    #[arg(long, value_name = "NAME=PATH")]
    pub(super) build_context: Vec<String>,
    /// Hand a secret to the build
    #[arg(long, value_name = "id=ID,src=FILE")]
    pub(super) secret: Vec<String>,
    /// Hand an SSH agent or key to the build
    #[arg(long, value_name = "ID")]
    pub(super) ssh: Vec<String>,
    /// Build for these platforms; of several, each disk has its platform in its name
    #[arg(long, value_name = "OS/ARCH")]
    pub(super) platform: Vec<String>,
    /// Do not use the build cache
    #[arg(long)]
    pub(super) no_cache: bool,
    /// Ask the registry for newer base images
    #[arg(long)]
    pub(super) pull: bool,
    /// Use a cache kept elsewhere
    #[arg(long, value_name = "SOURCE")]
    pub(super) cache_from: Vec<String>,
    /// Keep the cache elsewhere
    #[arg(long, value_name = "DEST")]
    pub(super) cache_to: Vec<String>,
    /// The builder to use
    #[arg(long, value_name = "NAME")]
    pub(super) builder: Option<String>,
    /// How progress is shown: auto, plain, tty, rawjson
    #[arg(long, value_name = "TYPE")]
    pub(super) progress: Option<String>,
    /// Show neither progress nor the result
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Set a label
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) label: Vec<String>,
    /// The network of RUN steps
    #[arg(long, value_name = "MODE")]
    pub(super) network: Option<String>,
    /// Add a host's address
    #[arg(long, value_name = "HOST:IP")]
    pub(super) add_host: Vec<String>,
    /// Allow an entitlement, such as network.host
    #[arg(long, value_name = "ENTITLEMENT")]
    pub(super) allow: Vec<String>,
    /// Do not use the build cache for this stage
    #[arg(long, value_name = "STAGE")]
    pub(super) no_cache_filter: Vec<String>,
    /// The size of /dev/shm in RUN steps
    #[arg(long, value_name = "SIZE")]
    pub(super) shm_size: Option<String>,
    /// A limit of RUN steps
    #[arg(long, value_name = "NAME=SOFT:HARD")]
    pub(super) ulimit: Vec<String>,
    /// The cgroup that those of RUN steps are below
    #[arg(long, value_name = "GROUP")]
    pub(super) cgroup_parent: Option<String>,
    /// A limit of the build's containers, such as memory=2g
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) resource: Vec<String>,
    /// A policy of what the build may use
    #[arg(long, value_name = "filename=FILE")]
    pub(super) policy: Vec<String>,
    /// Have docker write what it knows of the build, as JSON
    #[arg(long, value_name = "FILE")]
    pub(super) metadata_file: Option<String>,
    /// Check the Dockerfile, and build nothing
    #[arg(long)]
    pub(super) check: bool,
    /// Ask about the Dockerfile, and build nothing: check, outline, targets
    #[arg(long, value_name = "METHOD", value_parser = question)]
    pub(super) call: Option<String>,
    /// Let docker log what it does
    #[arg(short = 'D', long)]
    pub(super) debug: bool,
    #[command(flatten)]
    pub(super) of_images: OfImages,
}

/// Docker's options for images, of which a disk has nothing.
#[derive(Debug, clap::Args)]
pub(super) struct OfImages {
    #[arg(long, hide = true)]
    pub(super) annotation: Vec<String>,
    #[arg(long, hide = true)]
    pub(super) attest: Vec<String>,
    #[arg(long, hide = true)]
    pub(super) iidfile: Option<String>,
    #[arg(long, hide = true)]
    pub(super) load: bool,
    #[arg(long, hide = true)]
    pub(super) provenance: Option<String>,
    #[arg(long, hide = true)]
    pub(super) push: bool,
    #[arg(long, hide = true)]
    pub(super) sbom: Option<String>,
    #[arg(short, long, hide = true)]
    pub(super) tag: Vec<String>,
}

impl DockerArgs {
    /// What was given, by names; a switch has no value.
    pub(super) fn given(&self) -> impl Iterator<Item = (&'static str, Option<&str>)> {
        let images = &self.of_images;
        let values = [
            ("file", &self.file),
            ("target", &self.target),
            ("builder", &self.builder),
            ("progress", &self.progress),
            ("network", &self.network),
            ("shm-size", &self.shm_size),
            ("cgroup-parent", &self.cgroup_parent),
            ("metadata-file", &self.metadata_file),
            ("call", &self.call),
            ("iidfile", &images.iidfile),
            ("provenance", &images.provenance),
            ("sbom", &images.sbom),
        ];
        let lists = [
            ("build-arg", &self.build_arg),
            ("build-context", &self.build_context),
            ("secret", &self.secret),
            ("ssh", &self.ssh),
            ("platform", &self.platform),
            ("cache-from", &self.cache_from),
            ("cache-to", &self.cache_to),
            ("label", &self.label),
            ("add-host", &self.add_host),
            ("allow", &self.allow),
            ("no-cache-filter", &self.no_cache_filter),
            ("ulimit", &self.ulimit),
            ("resource", &self.resource),
            ("policy", &self.policy),
            ("annotation", &images.annotation),
            ("attest", &images.attest),
            ("tag", &images.tag),
        ];
        let switches = [
            ("no-cache", self.no_cache),
            ("pull", self.pull),
            ("quiet", self.quiet),
            ("check", self.check),
            ("debug", self.debug),
            ("load", images.load),
            ("push", images.push),
        ];
        let values = values.into_iter().filter_map(|(name, value)| Some((name, Some(value.as_deref()?))));
        let lists =
            lists.into_iter().flat_map(|(name, list)| list.iter().map(move |one| (name, Some(&**one))));
        let switches = switches.into_iter().filter_map(|(name, on)| on.then_some((name, None)));
        values.chain(lists).chain(switches)
    }

    /// What docker is told, in its own words.
    pub(super) fn passed(&self) -> impl Iterator<Item = String> {
        let passed = self.given().filter(|(name, _)| flags::find(name).is_some_and(Flag::is_passed));
        passed.flat_map(|(name, value)| [Some(format!("--{name}")), value.map(str::to_owned)]).flatten()
    }

    /// Whether nothing is built: the Dockerfile is asked something.
    pub(super) fn only_asks(&self) -> bool {
        self.check || self.call.is_some()
    }
}

/// A method that builds nothing.
fn question(method: &str) -> Result<String, String> {
    match method {
        "build" => Err("a build is what there is without it".to_owned()),
        _ => Ok(method.to_owned()),
    }
}
