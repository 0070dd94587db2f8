//! What a microVM is, in one description: the files of other monitors are made from it alone.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DESCRIPTION, ELF_KERNEL, INITRAMFS, KERNEL};
use crate::architecture::Architecture;
use crate::error::{Error, Kind, Result};

/// The version of the description that is written and read here.
const VERSION: u32 = 1;
/// Bytes of a description: a hundred times what one has.
const LIMIT: u64 = 1 << 20;

/// A microVM, as `vm.json` describes it. Files are named as they are called in the folder of the description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "vm.json")]
pub struct Vm {
    /// The version of this description, 1.
    pub version: u32,
    /// What the machine is called.
    pub name: String,
    /// Its instruction set.
    #[schemars(schema_with = "architectures")]
    pub architecture: Architecture,
    /// Processors.
    #[schemars(range(min = 1))]
    pub cpus: u32,
    /// Memory in mebibytes.
    #[schemars(range(min = 1))]
    pub memory_mib: u64,
    /// The kernel: on x86-64 a bzImage or an ELF as it came, on aarch64 an Image, which nothing packs.
    pub kernel: String,
    /// The same kernel as an ELF, for monitors that take no bzImage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmlinux: Option<String>,
    /// What mounts the root; a kernel that does it by itself needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initramfs: Option<String>,
    /// The kernel's command line. Its console is the first serial port.
    pub cmdline: String,
    /// Virtio block devices, in the order in which the kernel has to find them.
    pub drives: Vec<Drive>,
    /// What the image exposes (`EXPOSE`), such as `80/tcp`.
    pub ports: Vec<String>,
    /// The virtio-serial port of the agent.
    pub agent: String,
    /// The virtio-serial port on which the machine tells how its program ended, a line of JSON.
    pub status: String,
    /// Machines of QEMU that the kernel has the drivers for, the fullest first: `q35`, `microvm`, `microvm,acpi=off`, `virt`.
    pub machines: Vec<String>,
}

/// A block device of a microVM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub struct Drive {
    /// What tells it from the others: `root`.
    pub id: String,
    /// The file with its bytes.
    pub file: String,
    /// How they lie in there.
    pub format: DriveFormat,
    /// Whether the machine only reads it.
    pub read_only: bool,
}

/// How the bytes of a drive lie in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DriveFormat {
    /// As they are.
    Raw,
    /// QEMU's format, version 3.
    Qcow2,
}

impl Vm {
    /// The virtio-serial port of the agent.
    pub const AGENT: &str = "io.vmimage.agent";
    /// That on which the end of the program is told.
    pub const STATUS: &str = "io.vmimage.status";

    /// What the kernel is called where it was unpacked.
    pub const ELF_KERNEL: &str = ELF_KERNEL;
    /// What the initramfs is called.
    pub const INITRAMFS: &str = INITRAMFS;

    /// One with a kernel, and nothing else yet.
    pub fn new(name: String, architecture: Architecture) -> Self {
        Self {
            version: VERSION,
            name,
            architecture,
            cpus: 1,
            memory_mib: 256,
            kernel: KERNEL.to_owned(),
            vmlinux: None,
            initramfs: None,
            cmdline: String::new(),
            drives: Vec::new(),
            ports: Vec::new(),
            agent: Self::AGENT.to_owned(),
            status: Self::STATUS.to_owned(),
            machines: Vec::new(),
        }
    }

    /// The description in the folder of a microVM.
    ///
    /// # Errors
    /// If there is none that can be understood: another version, a file that is not in the folder.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(DESCRIPTION);
        let shown = path.display().to_string();
        let unreadable = |error| Error::io(&shown, "cannot be read", error);
        if std::fs::metadata(&path).map_err(unreadable)?.len() > LIMIT {
            return Err(Error::new(Kind::Input, shown, "is far too long for a description of a microVM"));
        }
        let text = std::fs::read_to_string(&path).map_err(unreadable)?;
        Self::parse(&text).map_err(|why| Error::new(Kind::Input, shown, why))
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        let vm: Self =
            serde_json::from_str(text).map_err(|error| format!("describes no microVM: {error}"))?;
        if vm.version != VERSION {
            return Err(format!("is of version {}, and this vmimage reads version {VERSION}", vm.version));
        }
        let files = vm.drives.iter().map(|drive| &drive.file);
        let files = files.chain([&vm.kernel]).chain(&vm.vmlinux).chain(&vm.initramfs);
        let is_name = |name: &str| !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']);
        if let Some(name) = files.into_iter().find(|name| !is_name(name)) {
            return Err(format!("names {name:?}, which is no file beside it"));
        }
        Ok(vm)
    }
}

fn architectures(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "string", "enum": [Architecture::X86_64, Architecture::Aarch64] })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::container::microvm) fn vm() -> Vm {
        let drive =
            Drive { id: "root".into(), file: "root.raw".into(), format: DriveFormat::Raw, read_only: false };
        Vm {
            cmdline: "root=/dev/vda rw console=ttyS0".into(),
            drives: vec![drive],
            ports: vec!["80/tcp".into()],
            vmlinux: Some(Vm::ELF_KERNEL.into()),
            initramfs: Some(Vm::INITRAMFS.into()),
            machines: vec!["q35".into()],
            ..Vm::new("web".into(), Architecture::X86_64)
        }
    }

    /// With `UPDATE=1` the schema is written anew.
    #[test]
    fn the_schema_is_that_of_the_type() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/vm.schema.json");
        let schema = serde_json::to_string_pretty(&schemars::schema_for!(Vm)).unwrap() + "\n";
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &schema).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), schema, "UPDATE=1 writes it");
    }

    #[test]
    fn a_description_is_read_as_it_was_written() {
        let text = serde_json::to_string(&vm()).unwrap();
        assert_eq!(Vm::parse(&text).unwrap(), vm());
        assert!(text.contains(r#""format":"raw","read_only":false"#), "{text}");
        let later = text.replace(r#""version":1"#, r#""version":1,"later":{}"#);
        assert_eq!(Vm::parse(&later).unwrap(), vm(), "what is new is for who knows it");
    }

    #[test]
    fn what_is_none_is_refused() {
        let text = serde_json::to_string(&vm()).unwrap();
        for (from, to, why) in [
            ("\"version\":1", "\"version\":2", "is of version 2, and this vmimage reads version 1"),
            ("root.raw", "../root.raw", "names \"../root.raw\", which is no file beside it"),
            ("\"vmlinuz\"", "\"/boot/vmlinuz\"", "names \"/boot/vmlinuz\""),
            ("\"initramfs\":\"initramfs\"", "\"initramfs\":\"..\"", "names \"..\""),
            ("x86_64", "riscv64", "describes no microVM"),
            ("\"cpus\":1,", "", "describes no microVM: missing field `cpus`"),
        ] {
            let wrong = text.replacen(from, to, 1);
            assert!(wrong != text && Vm::parse(&wrong).unwrap_err().starts_with(why), "{wrong}");
        }
    }
}
