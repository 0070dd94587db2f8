//! What a machine's files say of it, noticed while they pass by.

use serde_json::Value;

use crate::architecture::Architecture;

/// Where the machine of a container keeps what its image said of containers.
const CONTAINER: &[u8] = b"usr/lib/vmimage/container.json";
/// More than any such file has.
const CONTAINER_MAX: usize = 1 << 20;
/// Where programs are.
const PROGRAMS: [&[u8]; 4] = [b"usr/bin/", b"usr/sbin/", b"bin/", b"sbin/"];

/// What was noticed.
#[derive(Clone, Debug, Default)]
pub struct Noticed {
    /// For which machine its programs are.
    pub architecture: Option<Architecture>,
    /// The object `config` of the image that it was built from: ENTRYPOINT, CMD, ENV …
    pub container: Option<Value>,
}

/// A file that passes by.
pub(super) struct Noticing {
    is_program: bool,
    /// Its text, if it is wanted.
    container: Option<Vec<u8>>,
    architecture: Option<Architecture>,
}

impl Noticed {
    pub(super) fn begin(&self, path: &[u8]) -> Noticing {
        Noticing {
            is_program: self.architecture.is_none() && PROGRAMS.iter().any(|folder| path.starts_with(folder)),
            container: (path == CONTAINER).then(Vec::new),
            architecture: None,
        }
    }

    pub(super) fn end(&mut self, file: Noticing) {
        self.architecture = self.architecture.or(file.architecture);
        let parsed = file.container.and_then(|text| serde_json::from_slice(&text).ok());
        self.container = self.container.take().or(parsed.filter(Value::is_object));
    }
}

impl Noticing {
    pub(super) fn see(&mut self, at: u64, bytes: &[u8]) {
        if self.is_program && at == 0 {
            let all = [Architecture::X86_64, Architecture::Aarch64];
            self.architecture = all.into_iter().find(|architecture| architecture.runs(bytes));
        }
        if let Some(text) = &mut self.container {
            let room = CONTAINER_MAX - text.len();
            text.extend(bytes.iter().take(room));
        }
    }
}
