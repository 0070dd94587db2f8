//! A microVM as one program for UEFI: the root is a file of the initramfs, and never written to.

use std::io::Read;

use super::beside::Beside;
use super::words::ROOT_FILE;
use crate::authenticode;
use crate::error::{Error, Kind, Result};
use crate::fs::Contents;
use crate::initramfs;
use crate::kernel::KernelImage;
use crate::limits;
use crate::pki::Signer;
use crate::spec::{Architecture, Spec};
use crate::tree::{Content, InodeKind, Time, Tree};
use crate::uki::{self, Section};

/// More than any stub has.
const STUB_MAX: u64 = 4 << 20;
/// os-release(5), where it may lie.
const RELEASES: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

/// systemd's stub, of the image or else of where the kernel is from.
pub(in crate::assemble) struct Stub {
    pub(in crate::assemble) bytes: Vec<u8>,
    pub(in crate::assemble) path: String,
}

/// The stub for a machine.
///
/// # Errors
/// If neither has it.
pub(in crate::assemble) fn stub(
    root: &Tree,
    donor: Option<&Tree>,
    architecture: Architecture,
) -> Result<Stub> {
    let path = uki::stub_path(architecture);
    let found = [Some(root), donor].into_iter().flatten().find_map(|tree| {
        match &tree.inode(tree.resolve(&path)?).kind {
            InodeKind::File(content) => Some(content.clone()),
            _ => None,
        }
    });
    let Some(content) = found else {
        let message =
            "is not there: a uki begins with systemd's stub, and neither the image nor the kernel's has it";
        return Err(Error::new(Kind::NotFound, path, message).with_hint(
            "install it in the Dockerfile: systemd-boot-efi (Debian, Ubuntu), systemd-boot-unsigned (Fedora), systemd-efistub \
             (Alpine), systemd (Arch)",
        ));
    };
    let mut bytes = Vec::new();
    let read = content.reader()?.take(STUB_MAX).read_to_end(&mut bytes);
    read.map_err(|error| Error::io(&path, "cannot be read", error))?;
    Ok(Stub { bytes, path })
}

/// What boot loaders show of it: the image's own os-release, else the name of the machine.
pub(in crate::assemble) fn os_release(tree: &Tree, spec: &Spec) -> Result<Vec<u8>> {
    for path in RELEASES {
        if let Some(text) = tree.read(path, limits::TEXT)? {
            return Ok(text);
        }
    }
    let name = spec.hostname.as_ref().unwrap_or(&spec.name);
    // Within quotes nothing but these means more than itself.
    let shown: String = name.chars().filter(|next| !next.is_control() && !"\"\\$`".contains(*next)).collect();
    Ok(format!("ID=linux\nPRETTY_NAME=\"{shown}\"\n").into_bytes())
}

/// All in one program, with `root` in the initramfs.
///
/// # Errors
/// If the stub or the kernel is none that can be started so, or all is too large.
pub(super) fn program(
    stub: &Stub,
    beside: &Beside,
    root: Contents,
    release: Vec<u8>,
    cmdline: &str,
    spec: &Spec,
    time: Time,
) -> Result<Contents> {
    let archive = with_file(ROOT_FILE.trim_start_matches('/'), root, time)?;
    let initrd = archive.into_iter().chain(beside.initramfs.iter().map(Contents::of_file)).collect();
    let kernel = (&beside.kernel, &beside.image);
    put_together(stub, kernel, initrd, release, cmdline, spec.architecture)
}

/// The same by whoever signs, if somebody does.
///
/// # Errors
/// If it cannot be read or signed.
pub(super) fn signed(program: Contents, spec: &Spec, signer: Option<&Signer>) -> Result<Contents> {
    let Some(signer) = signer else { return Ok(program) };
    let signature = authenticode::sign(&spec.name, &program, signer)?;
    Ok(match signature {
        Some(signature) => signature.of(program),
        None => program,
    })
}

/// What the report says of whoever signs it.
pub(super) fn notes(signer: &Signer) -> [String; 2] {
    [
        format!("Secure Boot: the program is signed by {}", signer.certificates().subject()),
        "sealed: kernel, command line and root are one program, for a firmware that knows the key and starts nothing else"
            .to_owned(),
    ]
}

/// An archive of this one file.
pub(in crate::assemble) fn with_file(name: &str, content: Contents, time: Time) -> Result<[Contents; 3]> {
    let [before, after] = initramfs::around_file(name, content.size, time)?;
    Ok([Contents::of_file(&before), content, Contents::of_file(&after)])
}

/// The program of a kernel with the parts of its initramfs.
///
/// # Errors
/// Those of [`program`].
pub(in crate::assemble) fn put_together(
    stub: &Stub,
    (kernel, image): (&Content, &KernelImage),
    initrd: Vec<Contents>,
    release: Vec<u8>,
    cmdline: &str,
    architecture: Architecture,
) -> Result<Contents> {
    let sections = vec![
        Section::of_bytes(".osrel", release),
        Section::of_bytes(".cmdline", cmdline.as_bytes()),
        Section::of_bytes(".uname", image.release().as_bytes()),
        Section::of_parts(".initrd", initrd),
        Section::of_kernel(kernel, image.place(), architecture)?,
    ];
    uki::plan(&stub.bytes, &stub.path, architecture, sections)
}
