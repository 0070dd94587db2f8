//! `vmimage keys vars`

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use exporter::container::Output;
use exporter::secure_boot::{Update, Variable, enroll};

use crate::base::{Error, Result, terminal};

/// What of a variable is read: the longest dbx that is in use has some 100 KiB.
const VARIABLE_MAX: u64 = 1 << 20;
/// The longest file of variables that is read: AAVMF's have 64 MiB.
const TEMPLATE_MAX: u64 = 128 << 20;

/// Makes the file.
pub(super) fn run(keys: &Path, template: &Path, output: &Path) -> Result<()> {
    let updates = Variable::ALL.into_iter().filter_map(|variable| read_variable(keys, variable).transpose());
    let updates = updates.collect::<Result<Vec<_>>>()?;
    let missing = |wanted: &&Variable| !updates.iter().any(|(variable, _)| variable == *wanted);
    if let Some(variable) = [Variable::Pk, Variable::Kek, Variable::Db].iter().find(missing) {
        let (folder, name) = (keys.display(), variable.name());
        return Err(Error::user(format!("{folder}: has neither {name}.auth nor {name}.esl"))
            .with_hint("vmimage keys generate FOLDER makes all that is needed"));
    }
    let bytes = read(template, TEMPLATE_MAX)?.ok_or_else(|| {
        Error::user(format!("{}: is not there", template.display()))
            .with_hint("it comes with OVMF: Debian has OVMF_VARS_4M.fd in /usr/share/OVMF")
    })?;
    let bytes = enroll(&template.display().to_string(), &bytes, &updates)?;
    let made = Output::create(output)?;
    made.write_at(&bytes, 0)?;
    made.persist()?;
    let names: Vec<_> = updates.iter().map(|(variable, _)| variable.name()).collect();
    terminal::print_line(format_args!(
        "{}: has {}, and Secure Boot is enforced",
        output.display(),
        names.join(", ")
    ))
}

/// What the folder has for a variable: what is signed first, since that is what a running firmware is given.
fn read_variable(keys: &Path, variable: Variable) -> Result<Option<(Variable, Update)>> {
    let path = |extension: &str| keys.join(format!("{}.{extension}", variable.name()));
    let (auth, esl) = (path("auth"), path("esl"));
    if let Some(bytes) = read(&auth, VARIABLE_MAX)? {
        return Ok(Some((variable, Update::read(&auth.display().to_string(), &bytes)?)));
    }
    match read(&esl, VARIABLE_MAX)? {
        Some(bytes) => Ok(Some((variable, Update::unsigned(&esl.display().to_string(), &bytes)?))),
        None => Ok(None),
    }
}

/// The bytes of a file, if it is there.
fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let unreadable = |error| Error::user(format!("{}: cannot be read", path.display())).because(error);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(Error::user(format!("{}: larger than {} MiB", path.display(), limit >> 20)));
    }
    Ok(Some(bytes))
}
