//! File systems of a process.

use crate::proto::{
    self, CacheOpt, CacheSharingOpt, MountContentCache, MountType, SecretOpt, SshOpt, TmpfsOpt,
};
use crate::state::State;

/// What is mounted for a process, for [`Run::mount`](crate::Run::mount).
#[derive(Clone, Debug)]
pub struct Mount {
    /// What is bound; nothing for what is no bind mount.
    pub(crate) state: State,
    /// Whether what the process leaves is a result.
    pub(crate) is_output: bool,
    /// All but its mount point and its place among the inputs and outputs.
    pub(crate) options: proto::Mount,
}

impl Mount {
    /// A writable copy of a state. What the process leaves there is the result
    /// [`Exec::mount`](crate::Exec::mount). With [`State::scratch`], an empty directory.
    pub fn bind(state: &State) -> Self {
        Self { state: state.clone(), is_output: true, options: proto::Mount::default() }
    }

    /// A state that cannot be written to, and is no result.
    pub fn bind_readonly(state: &State) -> Self {
        let options = proto::Mount { readonly: true, ..proto::Mount::default() };
        Self { is_output: false, options, ..Self::bind(state) }
    }

    /// A directory that stays from build to build; `id` says which one.
    pub fn cache(id: impl Into<String>, sharing: CacheSharingOpt) -> Self {
        let cache_opt = Some(CacheOpt { id: id.into(), sharing: sharing.into() });
        Self::special(MountType::Cache, proto::Mount { cache_opt, ..proto::Mount::default() })
    }

    /// Memory, of at most `size` bytes; 0 is the kernel's default.
    pub fn tmpfs(size: u64) -> Self {
        let tmpfs_opt = Some(TmpfsOpt { size: i64::try_from(size).unwrap_or(i64::MAX) });
        Self::special(MountType::Tmpfs, proto::Mount { tmpfs_opt, ..proto::Mount::default() })
    }

    /// A file with a secret, which only root can read. The build goes on without it if `optional`.
    pub fn secret(id: impl Into<String>, optional: bool) -> Self {
        let secret_opt = Some(SecretOpt { id: id.into(), uid: 0, gid: 0, mode: 0o400, optional });
        Self::special(MountType::Secret, proto::Mount { secret_opt, ..proto::Mount::default() })
    }

    /// The socket of an SSH agent, for root only. The build goes on without it if `optional`.
    pub fn ssh(id: impl Into<String>, optional: bool) -> Self {
        let ssh_opt = Some(SshOpt { id: id.into(), uid: 0, gid: 0, mode: 0o600, optional });
        Self::special(MountType::Ssh, proto::Mount { ssh_opt, ..proto::Mount::default() })
    }

    fn special(mount_type: MountType, options: proto::Mount) -> Self {
        let options = proto::Mount { mount_type: mount_type.into(), ..options };
        Self { state: State::scratch(), is_output: false, options }
    }

    /// Mounts a path inside the state, not its root.
    #[must_use]
    pub fn selector(mut self, path: impl Into<String>) -> Self {
        self.options.selector = path.into();
        self
    }

    /// Throws away what the process leaves.
    #[must_use]
    pub fn without_output(self) -> Self {
        Self { is_output: false, ..self }
    }

    /// Says what the cache key is made from.
    ///
    /// For a big read-only state [`MountContentCache::Off`] saves reading all of it; daemons before
    /// 0.13 don't know it (capability `exec.mount.cache.content`) and read.
    #[must_use]
    pub fn content_cache(mut self, content_cache: MountContentCache) -> Self {
        self.options.content_cache = content_cache.into();
        self
    }
}
