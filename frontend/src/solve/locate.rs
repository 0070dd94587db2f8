//! Point an error at the line of the Dockerfile it is about.

use llb::OpDigest;
use llb::proto::Definition;

use crate::gateway::Failure;

/// `failure` with the source location of the op, if the definition knows it.
pub(super) fn at(failure: Failure, definition: &Definition, op: OpDigest) -> Failure {
    match llb::source_of(definition, op) {
        Some(source) => failure.with_source(&source),
        None => failure,
    }
}
