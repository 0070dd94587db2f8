//! `vmimage serve pxe`: starts machines over the network from a netboot folder.
//!
//! ```text
//!  machine ── DHCP: who starts me? ──▶ dhcp/ ──┐
//!          ◀─ its boot file ──────────         │ boot.rs: which file for which firmware
//!          ── TFTP or HTTP: that file ▶ tftp/, http/ ── folder.rs: open since the start, no other
//! ```

mod boot;
mod dhcp;
mod folder;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod http;
mod medium;
mod network;
mod scripts;
mod sockets;
mod tftp;
mod told;
mod visitors;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use exporter::spec::Mode;
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use crate::base::{Error, Result};
use boot::Boot;
use dhcp::{Port, Range, Responder};
pub(in crate::cli) use folder::Folder;
use folder::Library;
use network::Site;
use told::Log;
use visitors::Visitors;

/// Start machines over the network from a folder of --format netboot.
///
/// Beside the DHCP server that is there already: machines have their addresses from that one, and what to boot from this one,
/// which answers nobody else. With --dhcp-range it is the DHCP server itself, for a lab without one. Programs come by TFTP
/// to BIOS and UEFI PXE, and by HTTP to iPXE and UEFI HTTP boot; everything large comes by HTTP.
///
/// Only the files that lay in the folder at the start are served, and only on the addresses that are named. The ports of DHCP
/// and TFTP are root's. It runs until Ctrl-C or SIGTERM.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The folder, as it was built: medium.json, SHA256SUMS and what they name
    folder: PathBuf,
    /// Listen on these addresses of this machine, and on no other
    #[arg(short, long, value_name = "ADDRESS", value_delimiter = ',', required_unless_present = "interface")]
    listen: Vec<Ipv4Addr>,
    /// Answer what comes in on this interface alone; without --listen on all addresses that it has
    #[arg(short, long, value_name = "NAME")]
    interface: Option<String>,
    /// What machines do where nobody chooses in the menu [default: what the folder was built for]
    #[arg(short, long, value_parser = mode_parser())]
    mode: Option<Mode>,
    /// Be the DHCP server of a lab: give machines the addresses from A to B
    #[arg(long, value_name = "A-B", conflicts_with = "no_dhcp")]
    dhcp_range: Option<Range>,
    /// No DHCP: the server that is there names the boot files itself
    #[arg(long)]
    no_dhcp: bool,
    /// The port of the HTTP server
    #[arg(long, value_name = "PORT", default_value_t = 8080, value_parser = clap::value_parser!(u16).range(1..))]
    http_port: u16,
    /// UEFI starts the signed shim and never netboot.efi, which no firmware with Secure Boot starts
    #[arg(long)]
    secure_boot: bool,
    /// Say each request as a line of JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  sudo vmimage serve pxe web --listen 10.9.0.1               beside the DHCP server of this network
  sudo vmimage serve pxe web --interface br0 --mode install  machines install themselves
  sudo vmimage serve pxe web -l 10.9.0.1 --dhcp-range 10.9.0.100-10.9.0.200
                                                             a lab without a DHCP server
  sudo vmimage serve pxe web -l 10.9.0.1 --no-dhcp           TFTP and HTTP alone";

fn mode_parser() -> impl TypedValueParser<Value = Mode> {
    PossibleValuesParser::new(Mode::ALL.map(Mode::name))
        .map(|name| scripts::by_name(&name).expect("clap let only known names in"))
}

/// Serves until a signal ends it.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let folder = Folder::open(&args.folder)?;
    folder.check_mode(args.mode)?;
    let sites = network::find(&args.listen, args.interface.as_deref())?;
    let range_site = args.dhcp_range.as_ref().map(|range| range.site(&sites)).transpose()?;
    let log = Log::new(args.json);
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::internal("the server: cannot be started").because(error))?;
    runtime.block_on(async {
        // Before anything listens: a signal from here on ends it in order.
        let end = ending()?;
        let mut servers = JoinSet::new();
        for (at, site) in sites.iter().enumerate() {
            let range = args.dhcp_range.as_ref().filter(|_| range_site == Some(at));
            let hears = network::hears_broadcasts(&sites, at, range_site);
            Server { args, site, folder: &folder, log }.start(range, hears, &mut servers)?;
        }
        log.ready(&folder, &sites, args.http_port, &dhcp_role(args))?;
        tokio::select! {
            () = end => Ok(()),
            Some(ended) = servers.join_next() => match ended {
                Ok(Err(error)) => Err(error),
                _ => Err(Error::internal("a server: has ended by itself")),
            },
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The servers of one address.
struct Server<'a> {
    args: &'a Args,
    site: &'a Site,
    folder: &'a Folder,
    log: Log,
}

impl Server<'_> {
    fn start(
        &self,
        range: Option<&Range>,
        hears_broadcasts: bool,
        servers: &mut JoinSet<Result<()>>,
    ) -> Result<()> {
        let Self { args, site, folder, log } = *self;
        let http_address = SocketAddrV4::new(site.address, args.http_port);
        let library = Arc::new(folder.library(http_address, args.mode)?);
        // Each has visitors of its own: those of one take no room of the other's.
        // Who is on this machine itself may fetch files too, unless an interface was named.
        let device = args.interface.as_ref().map(|_| site.device.as_str());
        let listener = sockets::tcp(http_address, device)?;
        servers.spawn(http::serve(listener, library.clone(), Visitors::default(), log));
        let socket = sockets::udp(SocketAddrV4::new(site.address, tftp::PORT), device)?;
        servers.spawn(tftp::serve(socket, site.address, library.clone(), Visitors::default(), log));
        if !args.no_dhcp {
            self.start_dhcp(range, hears_broadcasts, &library, servers)?;
        }
        Ok(())
    }

    fn start_dhcp(
        &self,
        range: Option<&Range>,
        hears_broadcasts: bool,
        library: &Library,
        servers: &mut JoinSet<Result<()>>,
    ) -> Result<()> {
        let Self { args, site, folder, log } = *self;
        let boot = Boot {
            http: SocketAddrV4::new(site.address, args.http_port),
            architecture: folder.architecture(),
            files: library.names(),
            // Its mode is in its own command line, and its signature is nobody's.
            may_start_uki: !args.secure_boot && folder.is_default(args.mode),
            is_proxy: range.is_none(),
        };
        let responder = Arc::new(Responder::new(site.clone(), boot, range));
        let bind =
            |address, port| sockets::udp(SocketAddrV4::new(address, port), Some(&site.device)).map(Arc::new);
        let own = bind(site.address, Port::Server.number())?;
        let mut listen = |socket, port| {
            servers.spawn(dhcp::serve(socket, own.clone(), port, responder.clone(), log));
        };
        listen(own.clone(), Port::Server);
        if hears_broadcasts {
            listen(bind(Ipv4Addr::BROADCAST, Port::Server.number())?, Port::Server);
        }
        if range.is_none() {
            listen(bind(site.address, Port::Boot.number())?, Port::Boot);
        }
        Ok(())
    }
}

fn dhcp_role(args: &Args) -> String {
    match &args.dhcp_range {
        Some(range) => format!("DHCP {range}"),
        None if args.no_dhcp => "no DHCP".to_owned(),
        None => "DHCP proxy".to_owned(),
    }
}

/// What is done as soon as a signal asks this program to end.
fn ending() -> Result<impl Future<Output = ()>> {
    let catch =
        |kind| signal(kind).map_err(|error| Error::internal("signals: cannot be caught").because(error));
    let mut signals: [Signal; 3] =
        [catch(SignalKind::interrupt())?, catch(SignalKind::terminate())?, catch(SignalKind::hangup())?];
    Ok(std::future::poll_fn(move |context| {
        match signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    }))
}
