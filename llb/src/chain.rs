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
        // A digest covers those of the inputs, so no op comes twice.
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

fn exec_input(exec: &proto::ExecOp, output: u32) -> Option<i64> {
    let mount = exec.mounts.iter().find(|mount| mount.output == i64::from(output))?;
    Some(mount.input)
}

/// Follows the actions under an output to the input of the op they change.
fn file_input(file: &proto::FileOp, output: u32, inputs: usize) -> Option<i64> {
    let mut place = file.actions.iter().position(|action| action.output == i64::from(output))?;
    loop {
        let input = file.actions.get(place)?.input;
        match usize::try_from(input).ok().and_then(|input| input.checked_sub(inputs)) {
            None => return Some(input),
            // An action changes what an earlier one made.
            Some(earlier) if earlier < place => place = earlier,
            Some(_) => return None,
        }
    }
}

fn nth<T>(list: &[T], index: u32) -> Option<&T> {
    list.get(usize::try_from(index).ok()?)
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::proto::{
        DiffOp, ExecOp, FileAction, FileOp, InputIndex, MergeOp, Mount, Op, PassthroughOp, SourceOp,
    };

    fn source(identifier: &str) -> OpKind {
        OpKind::Source(SourceOp { identifier: identifier.to_owned(), ..SourceOp::default() })
    }

    /// What output `index` of `op` stands on, if its inputs are `one`, `two` and `three`.
    fn below(op: Option<OpKind>, index: i64) -> Result<Base> {
        let mut definition = proto::Definition::default();
        let mut inputs = Vec::new();
        for name in ["docker-image://one", "oci-layout://two", "local://three"] {
            let op = Op { op: Some(source(name)), ..Op::default() }.encode_to_vec();
            inputs.push(proto::Input { digest: OpDigest::of(&op).to_string(), index: 0 });
            definition.def.push(op);
        }
        let op = Op { inputs, op, ..Op::default() }.encode_to_vec();
        let terminal = proto::Input { digest: OpDigest::of(&op).to_string(), index };
        definition.def.push(op);
        definition.def.push(Op { inputs: vec![terminal], ..Op::default() }.encode_to_vec());
        Graph::read(&definition)?.base()
    }

    fn show(base: Result<Base>) -> String {
        match base {
            Ok(Base::Image { identifier, .. }) => identifier,
            Ok(Base::Scratch) => "scratch".to_owned(),
            Ok(Base::Other { what, .. }) => what,
            Err(Error::BadIndex { what, .. }) => format!("no {what}"),
            Err(error) => error.to_string(),
        }
    }

    fn exec(mounts: &[(i64, i64)]) -> OpKind {
        let mounts = mounts.iter().map(|&(input, output)| Mount { input, output, ..Mount::default() });
        OpKind::Exec(ExecOp { mounts: mounts.collect(), ..ExecOp::default() })
    }

    fn file(actions: &[(i64, i64)]) -> OpKind {
        let actions =
            actions.iter().map(|&(input, output)| FileAction { input, output, ..FileAction::default() });
        OpKind::File(FileOp { actions: actions.collect() })
    }

    fn merge(inputs: &[i64]) -> OpKind {
        let inputs = inputs.iter().map(|&input| InputIndex { input });
        OpKind::Merge(MergeOp { inputs: inputs.collect() })
    }

    #[test]
    fn each_kind_of_op_has_one_way_down() {
        let through = OpKind::Passthrough(PassthroughOp { id: "p".to_owned(), outputs: vec![2, 0] });
        let mounts = [(0, 0), (2, -1), (1, 1), (-1, 2)];
        let cases = [
            (exec(&mounts), 0, "docker-image://one"),
            (exec(&mounts), 1, "oci-layout://two"),
            (exec(&mounts), 2, "scratch"),
            (exec(&mounts), 3, "no output 3"),
            (exec(&[(3, 0)]), 0, "no input 3"),
            (exec(&[(-2, 0)]), 0, "no input -2"),
            // One action on an input, one on it, one on another input.
            (file(&[(0, -1), (3, 0), (1, 1)]), 0, "docker-image://one"),
            (file(&[(0, -1), (3, 0), (1, 1)]), 1, "oci-layout://two"),
            (file(&[(-1, -1), (3, -1), (4, 0)]), 0, "scratch"),
            (file(&[(0, 0)]), 1, "no output 1"),
            // Actions on themselves and on later ones.
            (file(&[(3, 0)]), 0, "no output 0"),
            (file(&[(4, 0), (3, 1)]), 0, "no output 0"),
            (merge(&[0, 1]), 0, "docker-image://one"),
            (merge(&[2, 0]), 0, "local://three"),
            (merge(&[]), 0, "no output 0"),
            (through.clone(), 1, "docker-image://one"),
            (through, 2, "no output 2"),
            (OpKind::Diff(DiffOp::default()), 0, "diff"),
        ];
        for (op, index, expected) in cases {
            assert_eq!(show(below(Some(op.clone()), index)), expected, "{op:?}");
        }
        assert_eq!(show(below(None, 0)), "unknown op");
        assert_eq!(show(Graph::default().base()), "scratch");
    }
}
