//! Machines that stay: `--name` and `--detach`, and what is made of what they have written.
//!
//! What the machine writes goes to disks of its own over what it was made of, so any number of machines can be made of the
//! same. QEMU runs in the machine's folder: paths in its command line are absolute, or name what is there.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use agent::message::Text;
use exporter::container::{self, Compression, Format, Target, microvm};
use exporter::engine::RawImage;
use exporter::extent::Whole;
use exporter::seed::Seed;
use exporter::spec::Spec;

use super::{Args, kind};
use crate::base::make::{Making, threads};
use crate::base::terminal::{print_line, tell_line};
use crate::base::{Error, Meter, Result, Style, interrupt, shell, terminal};
use crate::machines::{
    self, CONSOLE_SOCKET, Drive, End, Front, Machine, MachineKind, Name, PORT_SOCKET, QMP_SOCKET, Record,
    STATUS_SOCKET,
};

/// Whether the machine shall stay, or shall while something is made of what it has written.
pub(super) fn is_asked(args: &Args) -> bool {
    args.name.is_some() || args.detach || args.save.is_some() || args.commit
}

/// A machine that can be made.
pub(super) struct Made {
    pub(super) kind: MachineKind,
    pub(super) drives: Vec<Drive>,
    pub(super) command: Command,
    /// What is said when it boots.
    pub(super) told: String,
    /// What the machine is told by a drive, [`CONFIG`].
    pub(super) config: Option<Vec<u8>>,
}

/// The drive that tells a machine more than its disk does, in its folder.
pub(super) const CONFIG: &str = "told";

/// Makes the machine and runs it, here or under a keeper of its own.
///
/// # Errors
/// If its name is taken, or it does not come to run: there is none then.
pub(super) fn run(args: &Args, made: Made) -> Result<ExitCode> {
    if args.dry_run {
        terminal::print_line(shell::show(&made.command))?;
        return Ok(ExitCode::SUCCESS);
    }
    attend(args, Draft::create(args)?, &made)
}

/// The same of a machine whose files `make` moves into the folder that it is given, which is the machine's.
///
/// # Errors
/// Those of [`run`], and of `make`.
pub(super) fn run_with_files(args: &Args, make: impl FnOnce(&Path) -> Result<Made>) -> Result<ExitCode> {
    let draft = Draft::create(args)?;
    let made = make(draft.machine.folder())?;
    attend(args, draft, &made)
}

/// Finds out what would fail when a machine is made, before anything is done for it.
///
/// # Errors
/// If its name is taken, or its disk cannot be saved so.
pub(super) fn check(args: &Args) -> Result<()> {
    args.save.as_deref().map(format_of).transpose()?;
    args.name.as_ref().map_or(Ok(()), Machine::require_free)
}

fn attend(args: &Args, draft: Draft, made: &Made) -> Result<ExitCode> {
    let saving = Saving::new(args, &made.drives)?;
    draft.fill(args, made)?;
    if args.detach {
        machines::start(&draft.machine)?;
        let machine = draft.keep();
        return print_line(machine.name()).map(|()| ExitCode::SUCCESS);
    }
    tell_line(&made.told);
    let lock = draft.machine.lock()?;
    if std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        tell_line("leave the console with Ctrl-A X");
    }
    let end = machines::attend(&draft.machine, &lock, Front::Terminal, || ())?;
    let machine = draft.keep();
    tell_end(&end);
    saving.save(&machine).map_err(|error| match error.hint() {
        None => error
            .with_hint(format!("what the machine has written is kept: vmimage ps -a has {}", machine.name())),
        Some(_) => error,
    })?;
    drop(lock);
    if args.name.is_none() {
        machine.remove()?;
    }
    Ok(ExitCode::from(end.status))
}

fn tell_end(end: &End) {
    if let Some(error) = &end.error {
        tell_line(format_args!("error: {error}"));
    }
}

/// What is for machines of which nothing is kept.
///
/// # Errors
/// If it is asked for.
pub(super) fn refuse_what_is_thrown_away(args: &Args) -> Result<()> {
    let (program, disk) = (&args.program, &args.disk);
    let of_this_command = [
        (program.interactive, "--interactive"),
        (program.tty, "--tty"),
        (!program.volume.is_empty(), "--volume"),
        (args.timeout.is_some(), "--timeout"),
        (!disk.disk.is_empty(), "--disk"),
        (!disk.serial.is_empty(), "--serial"),
        (disk.ssh_key.is_some(), "--ssh-key"),
        (disk.user_data.is_some(), "--user-data"),
    ];
    if let Some((_, flag)) = of_this_command.into_iter().find(|(is_asked, _)| *is_asked) {
        return Err(Error::user(format!("{flag}: is for machines that end with this command"))
            .with_hint("leave it out, or --name, --detach, --save and --commit"));
    }
    let asked = [(args.snapshot, "--snapshot"), (args.agent.is_some(), "--agent")];
    match asked.into_iter().find(|(is_asked, _)| *is_asked) {
        Some((_, "--snapshot")) => Err(Error::user("--snapshot: a machine that stays keeps what it writes")
            .with_hint("what it was made of stays as it is all the same: leave --snapshot out")),
        Some((_, flag)) => {
            Err(Error::user(format!("{flag}: a machine that stays has its own socket for that"))
                .with_hint("it is agent.sock in its folder, which vmimage ps --json names"))
        }
        None => Ok(()),
    }
}

/// A machine that goes again if it does not come to run.
struct Draft {
    machine: Machine,
    is_kept: bool,
}

impl Draft {
    /// With nothing in its folder.
    fn create(args: &Args) -> Result<Self> {
        let name = match &args.name {
            Some(name) => name.clone(),
            None => Name::of_source(kind::without_transport(&source(args)?.to_string_lossy()))?,
        };
        Ok(Self { machine: Machine::create(&name)?, is_kept: false })
    }

    /// With all that it needs to run.
    fn fill(&self, args: &Args, made: &Made) -> Result<()> {
        made.drives.iter().try_for_each(|drive| drive.create(&self.machine))?;
        if let Some(config) = &made.config {
            let path = self.machine.path(CONFIG);
            std::fs::write(&path, config).map_err(|error| {
                Error::user(format!("{}: cannot be written", path.display())).because(error)
            })?;
        }
        let words = [made.command.get_program()].into_iter().chain(made.command.get_args());
        let (source, words) = (source(args)?, words.map(Text::from).collect());
        let mut record = Record::new((&source).into(), made.kind, made.drives.clone(), words);
        record.ports = args.publish.iter().map(|port| port.shown()).collect();
        self.machine.keep(&record)
    }

    fn keep(mut self) -> Machine {
        self.is_kept = true;
        self.machine.clone()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_kept {
            // The lock may be this process's own. Whoever cannot remove it now can by hand.
            let _ = std::fs::remove_dir_all(self.machine.folder());
        }
    }
}

/// What the machine is made of: by an absolute path if it is a file or a folder, else as it was named.
fn source(args: &Args) -> Result<PathBuf> {
    match args.source.symlink_metadata() {
        Ok(_) => machines::disk::absolute(&args.source),
        Err(_) => Ok(args.source.clone()),
    }
}

/// Adds to QEMU's command line where the console is kept, and how it is told to end.
pub(super) fn add_console(command: &mut Command) {
    command.args([
        "-chardev",
        &format!("socket,id=console,path={CONSOLE_SOCKET}"),
        "-serial",
        "chardev:console",
    ]);
    command.args(["-qmp", &format!("unix:{QMP_SOCKET},server=on,wait=off")]);
}

/// The ports of a machine's first process, for a disk that may have vmimage's own.
pub(super) fn add_ports(command: &mut Command) {
    command.args(["-device", "virtio-serial-pci,id=ports"]);
    for (id, socket, name) in [("status", status(), microvm::Vm::STATUS), ("agent", port(), agent::PORT)] {
        let socket = socket.replacen("socket,", &format!("socket,id={id},"), 1);
        let port = format!("virtserialport,bus=ports.0,chardev={id},name={name}");
        command.args(["-chardev", &socket, "-device", &port]);
    }
}

/// Where the machine tells of its program's end: a character device of QEMU without its id.
pub(super) fn status() -> String {
    format!("socket,path={STATUS_SOCKET}")
}

fn port() -> String {
    format!("socket,server=on,wait=off,path={PORT_SOCKET}")
}

/// Where QEMU listens for the agent's port.
pub(super) fn port_path() -> &'static Path {
    Path::new(PORT_SOCKET)
}

/// What is made of what a machine has written, at its end.
struct Saving {
    /// A new disk, and its format.
    disk: Option<(PathBuf, Format)>,
    /// Whether it goes into what the machine was made of.
    commits: bool,
}

impl Saving {
    /// That it will be possible, before the machine runs.
    fn new(args: &Args, drives: &[Drive]) -> Result<Self> {
        let disk = args
            .save
            .as_ref()
            .map(|path| format_of(path).map(|format| (path.clone(), format)))
            .transpose()?;
        if disk.is_some() && drives.len() != 1 {
            return Err(Error::user(format!(
                "--save: the machine writes to {} disks, and one can be saved",
                drives.len()
            ))
            .with_hint("give it a name, and copy what is wanted out of it: vmimage cp NAME:/PATH ."));
        }
        if args.commit {
            drives.iter().try_for_each(|drive| check_alone(drive, None))?;
        }
        Ok(Self { disk, commits: args.commit })
    }

    fn save(&self, machine: &Machine) -> Result<()> {
        let mut record = machine.record()?;
        if let (Some((path, format)), Some(drive)) = (&self.disk, record.drives.first()) {
            write(machine, drive, path, *format)?;
            tell_line(format_args!("saved {}", path.display()));
        }
        if !self.commits {
            return Ok(());
        }
        for drive in &mut record.drives {
            check_alone(drive, Some(machine))?;
            let (format, _) = container::identify(drive.base())?;
            write(machine, drive, drive.base(), format)?;
            tell_line(format_args!("committed to {}", drive.base().display()));
            // The machine goes on with all that is in its base now.
            *drive = Drive::over(drive.base(), &drive.overlay)?;
            drive.create(machine)?;
        }
        machine.keep(&record)
    }
}

/// The format of a new disk, by its name.
fn format_of(path: &Path) -> Result<Format> {
    let format = Format::from_path(path).filter(|format| format.is_disk() && !format.is_folder());
    format.ok_or_else(|| {
        Error::user(format!("--save {}: its extension tells no format of a disk", path.display()))
            .with_hint("call it .qcow2, .raw or the like")
    })
}

/// That no other machine lies over the base of a drive: what it has written would not fit to another one.
fn check_alone(drive: &Drive, own: Option<&Machine>) -> Result<()> {
    let (format, _) = container::identify(drive.base())?;
    if !format.is_disk() {
        return Err(Error::user(format!("--commit: {} cannot be written", drive.base().display())));
    }
    for machine in Machine::all()? {
        let is_other = own.is_none_or(|own| own.name() != machine.name());
        let lies_over = |record: &Record| record.drives.iter().any(|other| other.base() == drive.base());
        if is_other && machine.record().is_ok_and(|record| lies_over(&record)) {
            let message = format!("--commit: {} lies over {}, too", machine.name(), drive.base().display());
            return Err(Error::user(message).with_hint("save it as another disk: --save FILE"));
        }
    }
    Ok(())
}

/// Writes what a machine sees of a drive as a whole disk.
fn write(machine: &Machine, drive: &Drive, path: &Path, format: Format) -> Result<()> {
    let image = drive.open(machine)?;
    let stop = interrupt::flag()?;
    let meter = Meter::new(Style::default());
    let making = Making { threads: threads(), meter: &meter, stop: &stop };
    let compressions = Spec { formats: vec![format], ..Spec::default() }.compressions()?;
    let compression = compressions.first().copied().unwrap_or(Compression::None);
    let id = Seed::new(machine.name().as_str().as_bytes()).uuid("saved");
    let target = Target::new(path.to_owned(), format, compression, id);
    let raw = RawImage { size: image.size(), extents: &Whole(image.clone()) };
    making.write(raw, vec![target]).map(drop)
}
