//! Processes as steps.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::marshal::Inputs;
use crate::metadata::Metadata;
use crate::mount::Mount;
use crate::node::{Node, Output, Port};
use crate::proto::{self, ExecOp, HostIp, Meta, NetMode, OpKind, Platform, ProxyEnv};
use crate::state::State;

const ROOT: &str = "/";

/// A process to run, for [`State::run`].
#[derive(Clone, Debug)]
pub struct Run {
    meta: Meta,
    network: NetMode,
    mounts: Vec<(String, Mount)>,
    readonly_root: bool,
    platform: Option<Platform>,
    metadata: Metadata,
}

impl Run {
    /// A program and its arguments, run by root in `/` with an empty environment.
    pub fn new<T: Into<String>>(args: impl IntoIterator<Item = T>) -> Self {
        let meta = Meta {
            args: args.into_iter().map(Into::into).collect(),
            cwd: ROOT.to_owned(),
            // As every client sets it, so that equal steps are equal ops.
            remove_mount_stubs_recursive: true,
            ..Meta::default()
        };
        Self {
            meta,
            network: NetMode::Unset,
            mounts: Vec::new(),
            readonly_root: false,
            platform: None,
            metadata: Metadata::default(),
        }
    }

    /// A script for `/bin/sh`.
    pub fn shell(script: impl Into<String>) -> Self {
        Self::new(["/bin/sh".to_owned(), "-c".to_owned(), script.into()])
    }

    /// Sets an environment variable, in the place of one with the same name.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        let assignment = format!("{}={}", name.as_ref(), value.as_ref());
        let prefix = &assignment[..=name.as_ref().len()];
        match self.meta.env.iter_mut().find(|other| other.starts_with(prefix)) {
            Some(other) => *other = assignment,
            None => self.meta.env.push(assignment),
        }
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn cwd(mut self, path: impl Into<String>) -> Self {
        self.meta.cwd = path.into();
        self
    }

    /// Sets the user, `user[:group]` by name or number.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.meta.user = user.into();
        self
    }

    /// Sets the host name.
    #[must_use]
    pub fn hostname(mut self, name: impl Into<String>) -> Self {
        self.meta.hostname = name.into();
        self
    }

    /// Adds a line to `/etc/hosts`.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>, ip: impl Into<String>) -> Self {
        self.meta.extra_hosts.push(HostIp { host: host.into(), ip: ip.into() });
        self
    }

    /// Sets the proxies.
    #[must_use]
    pub fn proxy(mut self, proxy: ProxyEnv) -> Self {
        self.meta.proxy_env = Some(proxy);
        self
    }

    /// Sets the network; without this it is a network of its own with a way out.
    #[must_use]
    pub fn network(self, network: NetMode) -> Self {
        Self { network, ..self }
    }

    /// Mounts something at `dest`, an absolute path.
    #[must_use]
    pub fn mount(mut self, dest: impl Into<String>, mount: Mount) -> Self {
        self.mounts.push((dest.into(), mount));
        self
    }

    /// Forbids writing to the root file system, which then is no result.
    #[must_use]
    pub fn readonly_root(self) -> Self {
        Self { readonly_root: true, ..self }
    }

    /// Sets the platform; without this it is that of the root file system.
    #[must_use]
    pub fn platform(self, platform: Platform) -> Self {
        Self { platform: Some(platform), ..self }
    }

    /// Sets the metadata of the op.
    #[must_use]
    pub fn metadata(self, metadata: Metadata) -> Self {
        Self { metadata, ..self }
    }
}

/// A process that was added to a graph, with its results.
#[derive(Clone, Debug)]
pub struct Exec {
    node: Arc<Node>,
    platform: Option<Platform>,
}

impl Exec {
    pub(crate) fn new(root: State, run: Run) -> Self {
        let platform = run.platform.clone().or_else(|| root.platform.clone());
        let process = Process::new(root, run, platform.clone());
        Self { node: Arc::new(Node::Exec(process)), platform }
    }

    /// The root file system as the process leaves it.
    pub fn root(&self) -> State {
        self.mount(ROOT)
    }

    /// What the process leaves in the writable bind mount at `dest`.
    pub fn mount(&self, dest: impl Into<String>) -> State {
        let port = Port::Mount(dest.into());
        State { output: Some(Output { node: self.node.clone(), port }), platform: self.platform.clone() }
    }
}

/// A process, its root file system among its mounts.
#[derive(Debug)]
pub(crate) struct Process {
    run: Run,
    pub(crate) platform: Option<Platform>,
}

impl Process {
    fn new(root: State, mut run: Run, platform: Option<Platform>) -> Self {
        let root = if run.readonly_root { Mount::bind_readonly(&root) } else { Mount::bind(&root) };
        run.mounts.push((ROOT.to_owned(), root));
        // By mount point, as other clients do: equal steps are equal ops, and a mount comes before
        // those inside it.
        run.mounts.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self { run, platform }
    }

    pub(crate) fn metadata(&self) -> &Metadata {
        &self.run.metadata
    }

    /// The number of the output that the mount at `dest` is.
    pub(crate) fn output(&self, dest: &str) -> Result<u32> {
        let outputs = self.run.mounts.iter().filter(|(_, mount)| mount.is_output);
        let output = (0..).zip(outputs).find(|(_, (other, _))| other == dest);
        output
            .map(|(index, _)| index)
            .ok_or_else(|| self.invalid(format!("the mount at {dest} is no result")))
    }

    pub(crate) fn op(&self, inputs: &mut Inputs<'_>) -> Result<OpKind> {
        self.check()?;
        let mut outputs = 0..;
        let mut mounts = Vec::with_capacity(self.run.mounts.len());
        for (dest, mount) in &self.run.mounts {
            let output = if mount.is_output { outputs.next() } else { None };
            let output = output.unwrap_or(proto::Mount::SKIP_OUTPUT);
            let input = inputs.add(&mount.state)?;
            mounts.push(proto::Mount { input, dest: dest.clone(), output, ..mount.options.clone() });
        }
        let meta = Some(self.run.meta.clone());
        Ok(OpKind::Exec(ExecOp { meta, mounts, network: self.run.network.into(), ..ExecOp::default() }))
    }

    fn check(&self) -> Result<()> {
        let Run { meta, mounts, .. } = &self.run;
        if meta.args.is_empty() {
            return Err(self.invalid("there is no program to run"));
        }
        if meta.cwd.is_empty() {
            return Err(self.invalid("the working directory is empty"));
        }
        if let Some((dest, _)) = mounts.iter().find(|(dest, _)| !dest.starts_with(ROOT)) {
            return Err(self.invalid(format!("the mount point {dest:?} is not an absolute path")));
        }
        match mounts.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(self.invalid(format!("two mounts at {}", pair[0].0))),
            None => Ok(()),
        }
    }

    fn invalid(&self, reason: impl Into<String>) -> Error {
        Error::invalid(format!("run {:?}", self.run.meta.args.join(" ")), reason)
    }
}
