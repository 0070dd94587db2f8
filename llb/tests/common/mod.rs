//! What every definition must be.

use std::collections::BTreeSet;

use llb::{Definition, OpDigest, proto};
use prost::Message;

/// Checks that inputs come before their consumers, nothing is there twice, the last op names the
/// result, and metadata and source locations belong to ops. Reads without the code under test.
pub(crate) fn check(definition: &Definition) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for op in &definition.def {
        for input in proto::Op::decode(&op[..]).map_err(|error| error.to_string())?.inputs {
            if !seen.contains(&input.digest) {
                return Err(format!("input {} is not before its consumer", input.digest));
            }
        }
        if !seen.insert(OpDigest::of(op).to_string()) {
            return Err(format!("op {} is there twice", OpDigest::of(op)));
        }
    }
    let last = definition.def.last().map(|op| proto::Op::decode(&op[..]));
    if last.is_some_and(|op| op.is_ok_and(|op| op.inputs.len() != 1 || op.op.is_some())) {
        return Err("the last op is no terminal".to_owned());
    }
    let locations = definition.source.iter().flat_map(|source| source.locations.keys());
    match definition.metadata.keys().chain(locations).find(|key| !seen.contains(*key)) {
        Some(key) => Err(format!("there is no op {key}")),
        None => Ok(()),
    }
}
