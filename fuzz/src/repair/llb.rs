//! Build graphs: an op is named by the digest of its bytes, which those behind it hold.

use std::collections::BTreeSet;

use prost::Message;
use sha2::{Digest, Sha256};

/// `sha256:` and 64 digits.
const LEN: usize = 71;

/// Every op that asks for one that there is not gets the one before it.
pub(crate) fn llb(bytes: &mut [u8]) {
    let Ok(mut definition) = llb::Definition::decode(&*bytes) else { return };
    let mut known = BTreeSet::new();
    let mut last: Option<String> = None;
    for op in &mut definition.def {
        if let Some(last) = &last {
            (0..op.len()).for_each(|at| lead_to(op, at, &known, last));
        }
        let digest = format!("sha256:{:x}", Sha256::digest(&op));
        known.insert(digest.clone());
        last = Some(digest);
    }
    let repaired = definition.encode_to_vec();
    // Another encoding of the same would be a repair of too much.
    if repaired.len() == bytes.len() {
        bytes.copy_from_slice(&repaired);
    }
}

fn lead_to(op: &mut [u8], at: usize, known: &BTreeSet<String>, last: &str) {
    let Some(name) = op.get_mut(at..at + LEN).filter(|name| name.starts_with(b"sha256:")) else { return };
    if !std::str::from_utf8(name).is_ok_and(|name| known.contains(name)) {
        name.copy_from_slice(last.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_graph_is_one_again() {
        for mut bytes in crate::targets::definitions() {
            let mut definition = llb::Definition::decode(bytes.as_slice()).unwrap();
            // A field that nobody knows.
            definition.def[0].extend([0xf8, 0x3f, 1]);
            bytes = definition.encode_to_vec();
            llb(&mut bytes);
            let graph = llb::Graph::read(&llb::Definition::decode(bytes.as_slice()).unwrap());
            assert!(graph.is_ok(), "{graph:?}");
        }
    }
}
