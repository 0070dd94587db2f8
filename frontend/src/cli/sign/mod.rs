//! `vmimage sign`: a program for UEFI, or all programs of a disk, signed by a key of one's own.

mod command;

use std::fs::File;
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use exporter::authenticode::{is_program, sign_file};
use exporter::container::{self, Compression, Format, Output, Target};
use exporter::fs::DiskBudget;
use exporter::pki::{Certificates, Signer};
use exporter::sign;
use exporter::spec::Spec;
use exporter::terminal::line;

use self::command::Command;
use super::output;
use crate::ask::help_of;
use crate::base::disk::{DiskInfo, Made};
use crate::base::make::{Making, is_stdout, spool, threads};
use crate::base::temporary::Folder;
use crate::base::{Error, Result, ShowArgs, Stage, interrupt, terminal, text};

/// Sign a program for UEFI, or every one on a disk, for Secure Boot.
///
/// Of a disk the EFI system partition is made anew, and a /boot of its own if that has FAT: boot loaders, kernels that
/// firmware starts, unified kernel images. Signatures that are there stay. No root, nothing is mounted, what is signed is
/// only read.
///
/// The key is in a file, or somewhere that does not hand it out: then a command makes the signatures. It gets what is to be
/// signed on stdin, and gives the signature, RSA with PKCS #1 v1.5 over its SHA-256, on stdout.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("by").required(true).args(["key", "signer"]))]
pub(crate) struct Args {
    /// The disk, in any format, or the program: told by what is in the file, not by its name
    file: PathBuf,
    /// What is made: of a program a program, of a disk a disk, whose extension picks the format
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The certificate of the key, in PEM, with those that lead to the trusted one behind it
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// The private key of RSA, in PEM, without a passphrase
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The command that makes the signatures, for the shell
    #[arg(long, value_name = "COMMAND")]
    signer: Option<String>,
    /// The format of a disk, whatever the extension says
    #[arg(long, value_parser = output::format_parser())]
    format: Option<Format>,
    #[arg(long, value_parser = output::compression_parser(), help = help_of("compression"))]
    compression: Option<Compression>,
    /// Threads that read and compress; no byte depends on their number
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    #[command(flatten)]
    show: ShowArgs,
}

const EXAMPLES: &str = "\
Examples:
  vmimage sign web.qcow2 --key db.key --certificate db.crt -o signed.qcow2
  vmimage sign linux.efi --key db.key --certificate db.crt -o linux.efi
  vmimage sign web.qcow2 --certificate db.crt -o signed.qcow2 \\
    --signer 'openssl dgst -sha256 -engine pkcs11 -keyform engine -sign pkcs11:object=db'
                                     by a key in a token";

/// Keys and certificates are texts of a few KiB.
const TEXT: u64 = 64 << 10;
/// What is read of a file to know whether it is a program.
const HEAD: u64 = 64 << 10;

/// Signs, and says what.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if is_stdout(&args.output) {
        return Err(
            Error::user("-o -: what is signed is not sent to stdout").with_hint("name a file with -o")
        );
    }
    let signer = args.signer()?;
    match is_program(&head(&args.file)?) {
        true => sign_program(args, &signer)?,
        false => sign_disk(args, &signer)?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn signer(&self) -> Result<Signer> {
        let place = self.certificate.display().to_string();
        let certificates = Certificates::read(&place, text::read(&self.certificate, TEXT)?.as_bytes())?;
        match (&self.key, &self.signer) {
            (Some(key), _) => {
                let pem = text::read(key, TEXT)?;
                Ok(Signer::new(certificates, &key.display().to_string(), pem.as_bytes())?)
            }
            (None, Some(command)) => Ok(Signer::of(certificates, Arc::new(Command::new(command)))),
            (None, None) => Err(Error::user("neither --key nor --signer says who signs")),
        }
    }
}

fn head(path: &Path) -> Result<Vec<u8>> {
    // Of what is no file, those who read disks know more.
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    read.map_err(|error| Error::user(format!("{}: cannot be read", path.display())).because(error))?;
    Ok(head)
}

fn sign_program(args: &Args, signer: &Signer) -> Result<()> {
    let [from, to] = [&args.file, &args.output].map(|path| path.display().to_string());
    if args.format.is_some() || args.compression.is_some() {
        return Err(Error::user(format!("--format, --compression: {from} is a program, and no disk")));
    }
    let made = Output::create(&args.output)?;
    std::fs::copy(&args.file, made.temporary())
        .map_err(|error| Error::user(format!("{from}: cannot be copied to {to}")).because(error))?;
    let is_new = sign_file(made.temporary(), &from, signer)?;
    made.persist()?;
    let what = if is_new == Some(true) { "signed" } else { "has this signature already" };
    tell(args, &[format!("{to}: {what}")], None)
}

fn sign_disk(args: &Args, signer: &Signer) -> Result<()> {
    let paths = [args.output.clone()];
    let formats = output::formats(&paths, args.format.as_slice())?;
    let spec = Spec { formats, compression: args.compression, ..Spec::default() };
    let compressions = spec.compressions()?;
    output::check(&paths, &spec.formats)?;
    let stop = interrupt::flag()?;
    let meter = args.show.meter();
    meter.begin(Stage::Planning);
    let (_, disk) = container::open(&args.file)?;
    let budget = DiskBudget::new(DiskInfo::read(&args.file)?.actual_size);
    let spool = spool(Some(&args.output));
    let folder = Folder::new(".vmimage-sign-", &spool)
        .map_err(|error| Error::user(format!("{}: cannot be written to", spool.display())).because(error))?;
    let signed = sign::plan(disk, signer, &budget, folder.path()).map_err(|error| in_disk(args, error))?;
    let formats = spec.formats.iter().zip(compressions);
    let targets = paths
        .iter()
        .zip(formats)
        .map(|(path, (&format, compression))| Target::new(path.clone(), format, compression, signed.id));
    let making = Making { threads: args.threads.unwrap_or_else(threads), meter: &meter, stop: &stop };
    making.write(signed.image(), targets.collect())?;
    tell(args, &signed.notes, Some(&Made::read(&args.output)?))
}

fn in_disk(args: &Args, error: exporter::Error) -> Error {
    let hint = error.hint().cloned();
    let error = Error::user(format!("{}: {error}", args.file.display()));
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

fn tell(args: &Args, notes: &[String], made: Option<&Made>) -> Result<()> {
    if args.show.json {
        let disks: Vec<_> = made.into_iter().collect();
        return terminal::print_json(&serde_json::json!({ "disks": disks, "signed": notes }));
    }
    if args.show.quiet {
        return Ok(());
    }
    let notes = notes.iter().map(|note| format!("{}\n", line(note)));
    let made = made.map(|disk| format!("{disk}\n"));
    terminal::print(&notes.chain(made).collect::<String>())
}
