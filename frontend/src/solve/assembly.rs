//! The step that turns a file system into a disk: the frontend's own image, without network or privileges.

use exporter::fs::FileSystem;
use exporter::spec::{Artifact, Spec, layout};
use llb::proto::{MountContentCache, NetMode, ProxyEnv};
use llb::{Metadata, Mount, Run, Source, State};

use super::request::has_folder;
use super::stages::NamedState;
use super::{Build, Parts};
use crate::ask::Hints;
use crate::ask::request::{PREVIOUS_CONTEXT, Stage, Transport};
use crate::base::previous::EXTENSION;
use crate::base::{Error, Result};

/// Where it sees the user's file system.
const ROOTFS: &str = "/rootfs";
/// Where it sees the boot stage's files.
const BOOT_STAGE: &str = "/boot-stage";
/// Where it sees the file system of the image that gives the kernel.
const DONOR: &str = "/donor";
/// Where it sees other stages, by their numbers.
const STAGES: &str = "/stages";
/// Where it sees files of the build context.
const CONTEXT: &str = "/context";
/// Where it sees secrets.
const SECRETS: &str = "/run/secrets";
/// Where it sees the placement of the last build.
const PREVIOUS: &str = "/previous";
/// Where it makes what the tools of other file systems need.
const SCRATCH: &str = "/scratch";
/// Where it leaves the disk.
const OUT: &str = "/out";
/// Linux takes 128 KiB for one argument of a process.
const MAX_ARGUMENT: usize = 120 << 10;

impl Build<'_> {
    /// The step; its result is a folder with the artifacts.
    pub(super) async fn assemble(&self, spec: &Spec, parts: &Parts, stages: &[NamedState]) -> Result<State> {
        let stages: Vec<_> = stages
            .iter()
            .enumerate()
            .map(|(number, (name, state))| (name, format!("{STAGES}/{number}"), state))
            .collect();
        let mut args = self.arguments(spec, parts)?;
        let previous = self.previous()?;
        args.extend(previous.is_some().then(|| format!("--previous={PREVIOUS}")));
        args.extend(stages.iter().map(|(name, path, _)| format!("--stage={name}={path}")));
        let files = FileSystems { are_hashed: !self.bridge.caps().has_llb(CONTENT_CACHE) };
        let mut run = hinting(Run::new(args), self.request.hints)
            .cwd("/")
            .readonly_root()
            .network(NetMode::None)
            .platform(self.worker_platform()?.into())
            .mount(ROOTFS, files.mount(&parts.rootfs))
            .mount(OUT, Mount::bind(&State::scratch()))
            .metadata(files.metadata(title(spec)?));
        if let Some(boot) = &parts.boot {
            run = run.mount(BOOT_STAGE, Mount::bind_readonly(boot));
        }
        if let Some(donor) = &parts.donor {
            run = run.mount(DONOR, files.mount(donor));
        }
        if takes_tools(spec) {
            run = run.mount(SCRATCH, Mount::bind(&State::scratch()));
        }
        for (_, path, state) in &stages {
            run = run.mount(path.as_str(), files.mount(state));
        }
        if let Some(previous) = &previous {
            run = run.mount(PREVIOUS, Mount::bind_readonly(previous));
        }
        let run = self.with_materials(run, spec)?;
        Ok(self.frontend_image().await?.run(run).mount(OUT))
    }

    /// The step that sets a file system up and makes a tar of it; its result is a folder with that, as KubeOS calls it.
    pub(super) async fn os_tar(&self, spec: &Spec, rootfs: &State) -> Result<State> {
        let files = FileSystems { are_hashed: !self.bridge.caps().has_llb(CONTENT_CACHE) };
        let json = json(spec)?;
        let mut args = vec!["/vmimage", "os-tar", "--root", ROOTFS, "--output", OUT, "--spec", &json];
        args.extend(["--context", CONTEXT, "--secrets", SECRETS]);
        let run = hinting(Run::new(args), self.request.hints)
            .cwd("/")
            .readonly_root()
            .network(NetMode::None)
            .platform(self.worker_platform()?.into())
            .mount(ROOTFS, files.mount(rootfs))
            .mount(OUT, Mount::bind(&State::scratch()))
            .metadata(files.metadata("[vmimage] pack /os.tar".to_owned()));
        let run = self.with_materials(run, spec)?;
        Ok(self.frontend_image().await?.run(run).mount(OUT))
    }

    /// The client's folder with the placement of the last build, of which nothing else is sent: it may be that of an update.
    fn previous(&self) -> Result<Option<State>> {
        let source = || {
            Source::local(PREVIOUS_CONTEXT, self.opts.session())
                .attr("local.includepattern", format!("[\"*{EXTENSION}\"]"))
                .attr("local.sharedkeyhint", PREVIOUS_CONTEXT)
                .metadata(Metadata::named("[vmimage] load the placement of the last build"))
        };
        Ok(has_folder(self.opts, PREVIOUS_CONTEXT)?.then(|| State::source(source())))
    }

    fn arguments(&self, spec: &Spec, parts: &Parts) -> Result<Vec<String>> {
        let json = json(spec)?;
        // Only where it changes something: other disks are the same step, and in the cache, for every client.
        let sparse =
            self.request.transport == Transport::Sparse && spec.artifacts()?.iter().any(Artifact::is_sparse);
        let mut args = vec!["/vmimage", "assemble", "--root", ROOTFS, "--boot", BOOT_STAGE];
        args.extend(["--output", OUT, "--spec", &json, "--context", CONTEXT, "--secrets", SECRETS]);
        match self.request.stage {
            Stage::ContainerDisk | Stage::Update => args.extend(["--image", self.request.stage.name()]),
            _ if sparse => args.push("--sparse"),
            _ => {}
        }
        if parts.donor.is_some() {
            args.extend(["--donor", DONOR]);
        }
        if takes_tools(spec) {
            args.extend(["--scratch", SCRATCH]);
        }
        Ok(args.into_iter().map(str::to_owned).collect())
    }

    /// With the files of the context and the secrets that `spec` names.
    fn with_materials(&self, mut run: Run, spec: &Spec) -> Result<Run> {
        let (files, secrets) = (spec.context_files(), spec.secrets());
        if !files.is_empty() {
            run = run.mount(CONTEXT, Mount::bind_readonly(&self.context.state(&files)?));
        }
        for id in &secrets {
            // One that was not given is named by the step itself, with what to type.
            run = run.mount(format!("{SECRETS}/{id}"), Mount::secret(*id, true));
        }
        if !secrets.is_empty() {
            // What a secret says is no part of the key under which BuildKit keeps a result, so each build has a
            // step of its own: neither an older build nor one at the same time can lend its disk.
            run = run.env("VMIMAGE_BUILD", self.opts.session());
        }
        Ok(run)
    }
}

/// The spec as an argument.
fn json(spec: &Spec) -> Result<String> {
    let json = serde_json::to_string(spec).expect("a spec has no map with keys that are no text");
    if json.len() <= MAX_ARGUMENT {
        return Ok(json);
    }
    let message =
        format!("the configuration comes to {} bytes, at most {MAX_ARGUMENT} are allowed", json.len());
    Err(Error::user(message)
        .with_hint("keep the texts of [[files]] in files of the context: source = in place of content ="))
}

fn title(spec: &Spec) -> Result<String> {
    let names: Vec<_> = spec.artifacts()?.into_iter().map(|artifact| artifact.name).collect();
    Ok(format!("[vmimage] assemble {}", names.join(", ")))
}

/// Whether a file system of the disk is made by a tool of its own.
fn takes_tools(spec: &Spec) -> bool {
    layout::slots(spec).iter().any(|slot| slot.file_system.is_some_and(FileSystem::is_external))
}

/// The capability to say of a mount that its content is no part of the cache key.
const CONTENT_CACHE: &str = "exec.mount.cache.content";

/// How whole file systems are mounted: they would be read and hashed for the cache key, where BuildKit cannot be told not to.
struct FileSystems {
    are_hashed: bool,
}

impl FileSystems {
    fn mount(&self, state: &State) -> Mount {
        let mount = Mount::bind_readonly(state);
        if self.are_hashed { mount } else { mount.content_cache(MountContentCache::Off) }
    }

    fn metadata(&self, title: String) -> Metadata {
        let metadata = Metadata::named(title).export_cache(false);
        if self.are_hashed { metadata } else { metadata.cap(CONTENT_CACHE) }
    }
}

/// Tells a step of this program how hints are spelled.
///
/// By a variable for proxies, which are all of a step that is no part of its cache key (BuildKit's
/// `solver/llbsolver/ops/exec.go`): whoever asks for a disk, it is made once. Nothing is to be had without a network anyway.
fn hinting(run: Run, hints: Hints) -> Run {
    match hints == Hints::default() {
        true => run,
        false => run.proxy(ProxyEnv { no_proxy: hints.name().to_owned(), ..ProxyEnv::default() }),
    }
}

#[cfg(test)]
mod tests {
    use llb::Image;
    use llb::proto::{ExecOp, OpKind};

    use super::*;

    /// Of a step: the word for hints, and all that BuildKit makes its cache key of.
    fn parts(hints: Hints) -> (Option<String>, ExecOp) {
        let step = hinting(Run::new(["/vmimage", "assemble"]), hints);
        let graph = State::image(Image::new("example/vmimage")).run(step).root().to_graph().unwrap();
        let Some(OpKind::Exec(mut exec)) = graph.vertices().last().unwrap().decode().unwrap().op else {
            panic!("the last one is no step")
        };
        let proxies = exec.meta.as_mut().unwrap().proxy_env.take();
        (proxies.map(|proxies| proxies.no_proxy), exec)
    }

    #[test]
    fn a_disk_is_the_same_step_however_hints_are_spelled() {
        let (words, key) = parts(Hints::BuildArguments);
        assert_eq!(words, None, "what a stock client asks for");
        for hints in [Hints::Flags, Hints::Attributes] {
            assert_eq!(parts(hints), (Some(hints.name().to_owned()), key.clone()));
        }
    }
}
