//! From a result down to the image it stands on.
//!
//! ```text
//! RUN            ExecOp   ─ the mount that is the output, mostly "/"
//! COPY, WORKDIR  FileOp   ─ the action that is the output, down its inputs
//! COPY --link    MergeOp  ─ the lowest input
//! FROM           SourceOp ─ the base
//! ```

use crate::digest::OpDigest;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::proto::{self, OpKind, Platform};
use crate::vertex::{Edge, Vertex};

/// Schemes of sources that are images, with a root file system of an operating system or program.
const IMAGE_SCHEMES: [&str; 2] = ["docker-image://", "oci-layout://"];

/// What a result stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// An image: the place to graft.
    Image {
        /// Its op.
        digest: OpDigest,
        /// `docker-image://docker.io/library/debian:12@sha256:...` or `oci-layout://...`.
        identifier: String,
        /// The platform asked for; `None` is the worker's own.
        platform: Option<Platform>,
    },
    /// Nothing: `FROM scratch`.
    Scratch,
    /// Something that is no image.
    Other {
        /// Its op.
        digest: OpDigest,
        /// What it is: `local://context`, `diff`.
        what: String,
    },
}

impl Graph {
    /// What the result stands on.
    pub fn base(&self) -> Result<Base> {
        let Some(mut edge) = self.result() else { return Ok(Base::Scratch) };
        // Each step goes to an op further up in the list, so there is an end to it.
        loop {
            let vertex = self.vertex(edge.digest).ok_or(Error::UnknownOp(edge.digest))?;
            match below(vertex, edge)? {
                Step::To(input) => edge = input,
                Step::Base(base) => return Ok(base),
            }
        }
    }
}

enum Step {
    To(Edge),
    Base(Base),
}

/// What is under an output of an op.
fn below(vertex: &Vertex, output: Edge) -> Result<Step> {
    let op = vertex.decode()?;
    let other = |what: &str| Ok(Step::Base(Base::Other { digest: vertex.digest(), what: what.to_owned() }));
    let input = match &op.op {
        Some(OpKind::Source(source)) => {
            return Ok(Step::Base(source_base(vertex.digest(), source, op.platform.clone())));
        }
        Some(OpKind::Diff(_)) => return other("diff"),
        None => return other("unknown op"),
        Some(OpKind::Exec(exec)) => exec_input(exec, output.index),
        Some(OpKind::File(file)) => file_input(file, output.index, op.inputs.len()),
        Some(OpKind::Merge(merge)) => merge.inputs.first().map(|input| input.input),
        Some(OpKind::Passthrough(through)) => nth(&through.outputs, output.index).copied(),
    };
    let bad_index = |what| Error::BadIndex { op: vertex.digest(), what };
    match input.ok_or_else(|| bad_index(format!("output {}", output.index)))? {
        proto::Mount::EMPTY => Ok(Step::Base(Base::Scratch)),
        input => {
            let edge = usize::try_from(input).ok().and_then(|input| vertex.inputs().nth(input));
            edge.map(Step::To).ok_or_else(|| bad_index(format!("input {input}")))
        }
    }
}

fn source_base(digest: OpDigest, source: &proto::SourceOp, platform: Option<Platform>) -> Base {
    let identifier = source.identifier.clone();
    if IMAGE_SCHEMES.iter().any(|scheme| identifier.starts_with(scheme)) {
        Base::Image { digest, identifier, platform }
    } else {
        Base::Other { digest, what: identifier }
    }
}

fn exec_input(exec: &proto::ExecOp, output: u64) -> Option<i64> {
    let mount = exec.mounts.iter().find(|mount| u64::try_from(mount.output) == Ok(output))?;
    Some(mount.input)
}

/// Follows the actions under an output to the input of the op they change.
fn file_input(file: &proto::FileOp, output: u64, inputs: usize) -> Option<i64> {
    let mut place = file.actions.iter().position(|action| u64::try_from(action.output) == Ok(output))?;
    loop {
        let input = file.actions[place].input;
        match usize::try_from(input).ok().and_then(|input| input.checked_sub(inputs)) {
            None => return Some(input),
            // An action changes what an earlier one made.
            Some(earlier) if earlier < place => place = earlier,
            Some(_) => return None,
        }
    }
}

fn nth<T>(list: &[T], index: u64) -> Option<&T> {
    list.get(usize::try_from(index).ok()?)
}
