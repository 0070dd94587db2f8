//! Changes of files without a process.

use std::iter;

use crate::error::{Error, Result};
use crate::marshal::Inputs;
use crate::metadata::Metadata;
use crate::proto::{
    FileAction, FileActionCopy, FileActionKind, FileActionMkDir, FileActionMkFile, FileOp, Mount, OpKind,
};
use crate::state::State;

/// Time stamp of what an action makes: that of its source, or now.
const NO_TIMESTAMP: i64 = -1;
/// Permission bits of a copy: those of its source.
const KEEP_MODE: i32 = -1;

/// Changes of files, one after the other, for [`State::file`].
#[derive(Clone, Debug, Default)]
pub struct FileActions {
    actions: Vec<(FileActionKind, Option<State>)>,
    pub(crate) metadata: Metadata,
}

impl FileActions {
    /// No changes yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a file of root's with permission bits `mode`. Daemons before 0.14 take at most 4 MiB
    /// for a whole definition, content included.
    #[must_use]
    pub fn mkfile(self, path: impl Into<String>, mode: u16, data: impl Into<Vec<u8>>) -> Self {
        self.then(FileActionKind::Mkfile(FileActionMkFile {
            path: path.into(),
            mode: mode.into(),
            data: data.into(),
            owner: None,
            timestamp: NO_TIMESTAMP,
        }))
    }

    /// Makes a directory of root's with permission bits `mode`, and its parents.
    #[must_use]
    pub fn mkdir(self, path: impl Into<String>, mode: u16) -> Self {
        self.then(FileActionKind::Mkdir(FileActionMkDir {
            path: path.into(),
            mode: mode.into(),
            make_parents: true,
            owner: None,
            timestamp: NO_TIMESTAMP,
        }))
    }

    /// Copies `src` of another state to `dest` as `COPY` does: of a directory its content, of a symbolic
    /// link what it points to; parents of `dest` are made. There are no wildcards.
    #[must_use]
    pub fn copy(mut self, from: &State, src: impl Into<String>, dest: impl Into<String>) -> Self {
        let copy = FileActionCopy {
            src: src.into(),
            dest: dest.into(),
            mode: KEEP_MODE,
            follow_symlink: true,
            dir_copy_contents: true,
            create_dest_path: true,
            timestamp: NO_TIMESTAMP,
            ..FileActionCopy::default()
        };
        self.actions.push((FileActionKind::Copy(copy), Some(from.clone())));
        self
    }

    /// Unpacks the archive `src` of another state into `dest`; what is no archive is copied.
    #[must_use]
    pub fn unpack(mut self, from: &State, src: impl Into<String>, dest: impl Into<String>) -> Self {
        let copy = FileActionCopy {
            src: src.into(),
            dest: dest.into(),
            mode: KEEP_MODE,
            attempt_unpack_docker_compatibility: true,
            create_dest_path: true,
            timestamp: NO_TIMESTAMP,
            ..FileActionCopy::default()
        };
        self.actions.push((FileActionKind::Copy(copy), Some(from.clone())));
        self
    }

    fn then(mut self, action: FileActionKind) -> Self {
        self.actions.push((action, None));
        self
    }

    /// Sets the metadata of the op.
    #[must_use]
    pub fn metadata(self, metadata: Metadata) -> Self {
        Self { metadata, ..self }
    }

    pub(crate) fn op(&self, base: &State, inputs: &mut Inputs<'_>) -> Result<OpKind> {
        if self.actions.is_empty() {
            return Err(Error::invalid("file", "there is no action"));
        }
        let base = inputs.add(base)?;
        let mut sources = Vec::with_capacity(self.actions.len());
        for (action, from) in &self.actions {
            sources.push(match from {
                Some(from) if from.output.is_none() => return Err(copy_from_nothing(action)),
                Some(from) => inputs.add(from)?,
                None => Mount::EMPTY,
            });
        }
        // Each action changes what the one before it made. Results are counted after the inputs.
        let changed = iter::once(base).chain(inputs.len()..);
        let mut actions = Vec::with_capacity(self.actions.len());
        for ((action, _), (input, secondary_input)) in self.actions.iter().zip(changed.zip(sources)) {
            let action = Some(action.clone());
            actions.push(FileAction { input, secondary_input, output: Mount::SKIP_OUTPUT, action });
        }
        if let Some(last) = actions.last_mut() {
            last.output = 0;
        }
        Ok(OpKind::File(FileOp { actions }))
    }
}

fn copy_from_nothing(action: &FileActionKind) -> Error {
    let what = match action {
        FileActionKind::Copy(copy) => format!("copy {}", copy.src),
        _ => "file".to_owned(),
    };
    Error::invalid(what, "the source is an empty file system")
}
