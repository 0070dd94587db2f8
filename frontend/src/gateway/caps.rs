//! What the daemon can do, as it says itself.

use std::collections::BTreeSet;

use super::proto::{ApiCap, PongResponse};

/// The capabilities a daemon has switched on. A capability, not a version, decides what may be asked of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caps {
    gateway: BTreeSet<String>,
    llb: BTreeSet<String>,
}

impl Caps {
    /// Whether the gateway API can do `id`, such as `gateway.evaluate`.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.gateway.contains(id)
    }

    /// Whether a build graph may hold `id`, such as `exec.mount.cache.content`.
    pub(crate) fn has_llb(&self, id: &str) -> bool {
        self.llb.contains(id)
    }
}

impl From<PongResponse> for Caps {
    fn from(pong: PongResponse) -> Self {
        Self { gateway: enabled(pong.frontend_api_caps), llb: enabled(pong.llb_caps) }
    }
}

fn enabled(caps: Vec<ApiCap>) -> BTreeSet<String> {
    caps.into_iter().filter(|cap| cap.enabled).map(|cap| cap.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_that_is_switched_off_is_not_there() {
        let cap = |id: &str, enabled| ApiCap { id: id.into(), enabled };
        let caps = Caps::from(PongResponse {
            frontend_api_caps: vec![cap("gateway.evaluate", true)],
            llb_caps: vec![cap("mergeop", false), cap("exec.meta.base", true)],
        });
        assert!(caps.has("gateway.evaluate") && caps.has_llb("exec.meta.base"));
        assert!(!caps.has_llb("mergeop") && !caps.has("exec.meta.base"));
    }
}
