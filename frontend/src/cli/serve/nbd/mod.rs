//! `vmimage serve nbd`: a disk that is read where its bytes come from, by whoever connects.
//!
//! ```text
//! SOURCE ─source.rs─┬▶ a disk file: as its format has it ────────────┐
//!                   └▶ files, tars, images: planned, and not written ┴▶ exporter::nbd ─▶ clients
//! ```

mod source;
mod told;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::process::ExitCode;

use exporter::nbd::{Address, Listener, Server};

use crate::ask::Flags;
use crate::base::{Result, ShowArgs};
use crate::cli::convert::{FilesArgs, SOURCE_HELP, What};
use crate::cli::registry::RegistryArgs;
use crate::engine::Choice;
use crate::source::Mirror;
use told::Log;

/// Serve a disk as a network block device, without writing it.
///
/// SOURCE is a disk in any format, or what `vmimage convert` makes one of without an engine: a folder, a tar, an image. The
/// bytes are those that it would write, read where they lie when somebody asks for them; nobody writes to them. QEMU puts an
/// overlay over it, the kernel's nbd-client attaches it, and qemu-img and nbdcopy read it.
///
/// What changes while it is served is an error for who reads it: layers, files and disks have to stay as they are. A path is
/// a socket for this user alone; a TCP address is for all who reach it, without a password and without encryption. It runs
/// until Ctrl-C or SIGTERM.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A disk in any format; or a directory, a tar, an image wherever it is, or - for a tar on stdin
    #[arg(long_help = SOURCE_HELP)]
    source: OsString,
    /// Where clients connect to
    #[arg(short, long, value_name = "unix:PATH|tcp:ADDRESS:PORT")]
    listen: Address,
    #[command(flatten)]
    files: FilesArgs,
    /// Threads that read and compress before anything is served
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    #[command(flatten)]
    show: ShowArgs,
    // From here on each has its heading.
    #[command(flatten)]
    disk: Flags,
    /// Ask another registry for the images of HOST first; may be repeated
    #[arg(long, value_name = "HOST=URL", help_heading = "Registry options")]
    registry_mirror: Vec<Mirror>,
    #[command(flatten)]
    registry: RegistryArgs,
}

const EXAMPLES: &str = "\
Examples:
  vmimage serve nbd web.vmdk --listen unix:web.sock         a disk, read by its format
  vmimage serve nbd rootfs/ --profile data -l tcp:127.0.0.1:10809
                                                            these files on one partition
  vmimage serve nbd oci:app -l unix:web.sock                an image with a kernel and an init in it
  qemu-img create -f qcow2 -F raw -b 'nbd+unix:///?socket=web.sock' machine.qcow2
                                                            a machine's own disk over it
  nbdcopy 'nbd+unix:///?socket=web.sock' web.raw            all of it
  sudo nbd-client -unix web.sock /dev/nbd0                  a block device of this machine";

impl Args {
    fn what(&self) -> What<'_> {
        What {
            source: &self.source,
            files: &self.files,
            disk: &self.disk,
            registry: &self.registry,
            mirrors: &self.registry_mirror,
            engine: Choice::Auto,
            is_quiet: self.show.quiet,
        }
    }
}

/// Serves until a signal ends it.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    // What cannot be listened on is found out before anything is read.
    drop(Listener::bind(&args.listen)?);
    let meter = args.show.meter();
    let (view, stop) = source::open(args, &meter)?;
    meter.finish();
    let listener = Listener::bind(&args.listen)?;
    let log = Log::new(args.show);
    let description = args.source.to_string_lossy().into_owned();
    log.ready(&description, view.size(), listener.address())?;
    Server { view, description, tell: &|client, event| log.say(client, &event) }.serve(&listener, &stop)?;
    Ok(ExitCode::SUCCESS)
}
