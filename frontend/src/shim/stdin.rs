//! Standard input for a client that is run more than once.

use std::fs::File;
use std::io::{self, Seek};
use std::process::Stdio;

/// What a client reads from standard input: a Dockerfile, a context or a bake file.
#[derive(Debug, Default)]
pub(super) struct Stdin {
    kept: Option<File>,
}

impl Stdin {
    /// Keeps all of it in a nameless file, so that every run can read it.
    pub(super) fn keep(&mut self) -> io::Result<()> {
        if self.kept.is_none() {
            let mut file = tempfile::tempfile()?;
            io::copy(&mut io::stdin().lock(), &mut file)?;
            self.kept = Some(file);
        }
        Ok(())
    }

    /// For one run.
    pub(super) fn for_run(&mut self) -> io::Result<Stdio> {
        match &mut self.kept {
            None => Ok(Stdio::inherit()),
            Some(file) => {
                file.rewind()?;
                Ok(file.try_clone()?.into())
            }
        }
    }
}
