//! What goes on over a channel.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use agent::channel::{Channel, ERRORS, INPUT, Link, OUTPUT, Outlet, Side, Source, lock};
use agent::frame::Kind;
use agent::message::{Control, Done, Request, Text};
use agent::tree::{self, Failure, Rights};
use agent::{CHANNELS, frame};

use super::exec::{Program, Running};
use super::machine::Machine;

/// One of them.
pub(super) struct Job {
    pub(super) channel: Arc<Channel>,
    /// Of a program, its process.
    running: Option<Arc<Running>>,
    is_over: AtomicBool,
}

impl Job {
    /// Whether nobody wants it any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// The host does something to its program.
    pub(super) fn control(&self, control: Control) {
        if let Some(running) = &self.running {
            running.control(control);
        }
    }

    /// Nobody wants it any more.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.channel.cut();
        if let Some(running) = &self.running {
            running.hang_up();
        }
    }

    /// Do what is asked for, to its end.
    fn run(&self, work: Work, machine: &Machine) -> Done {
        let out = || Outlet::new(&self.channel, OUTPUT);
        match work {
            Work::Program(program) => program.attend(&self.channel),
            Work::Other(Request::CopyIn { to }) => copied(self.copy_in(&to)),
            Work::Other(Request::CopyOut { from, name }) => copied(self.copy_out(&from, name.as_ref())),
            Work::Other(Request::Logs { follow }) => machine.tell_output(self, follow, &mut out()),
            Work::Other(Request::Status { follow }) => machine.tell_status(self, follow, &mut out()),
            Work::Other(Request::Stop {} | Request::Exec(_)) => machine.stop(),
        }
    }

    fn copy_in(&self, to: &Text) -> Result<(), Failure> {
        let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
        let folder = rustix::fs::open(&to.0, flags, rustix::fs::Mode::empty());
        let folder = folder.map_err(|error| Failure::Files(format!("{}: {error}", shown(&to.0))))?;
        let mut input = std::io::BufReader::new(Source::new(&self.channel, INPUT));
        tree::unpack(&mut input, folder.as_fd(), Rights::All)
    }

    fn copy_out(&self, from: &Text, name: Option<&Text>) -> Result<(), Failure> {
        let out = Outlet::new(&self.channel, OUTPUT);
        tree::pack(Path::new(&from.0), name, &mut std::io::BufWriter::with_capacity(frame::PAYLOAD_MAX, out))
    }
}

fn shown(path: &OsStr) -> String {
    path.as_bytes().escape_ascii().to_string()
}

fn copied(result: Result<(), Failure>) -> Done {
    result.map_or_else(|failure| Done::failed(1, failure.to_string()), |()| Done::default())
}

/// What is asked for.
enum Work {
    /// A program, which was started.
    Program(Program),
    Other(Request),
}

/// All that go on in this process, of whichever connection.
#[derive(Clone, Default)]
pub(super) struct Slots(Arc<(Mutex<usize>, Condvar)>);

impl Slots {
    fn take(&self) -> bool {
        let mut taken = lock(&self.0.0);
        let is_free = *taken < CHANNELS;
        *taken += usize::from(is_free);
        is_free
    }

    fn give_back(&self) {
        *lock(&self.0.0) -= 1;
        self.0.1.notify_all();
    }

    /// Until none goes on, or for so long.
    pub(super) fn wait(&self, patience: Duration) {
        drop(self.0.1.wait_timeout_while(lock(&self.0.0), patience, |taken| *taken > 0));
    }
}

/// The channels of one connection.
#[derive(Clone)]
pub(super) struct Jobs {
    link: Arc<Link>,
    machine: Machine,
    slots: Slots,
    open: Arc<Mutex<BTreeMap<u16, Arc<Job>>>>,
}

impl Jobs {
    pub(super) fn new(link: Arc<Link>, machine: &Machine, slots: &Slots) -> Self {
        Self { link, machine: machine.clone(), slots: slots.clone(), open: Arc::default() }
    }

    pub(super) fn find(&self, number: u16) -> Option<Arc<Job>> {
        lock(&self.open).get(&number).cloned()
    }

    /// Begin what is asked for. A program is started at once: what the host does to it next finds it there.
    pub(super) fn begin(&self, number: u16, request: &[u8]) {
        let channel = Arc::new(Channel::new(number, Side::Agent, self.link.clone()));
        if !self.slots.take() {
            return finish(
                &channel,
                &Done::failed(125, format!("{CHANNELS} channels are open, which are all")),
            );
        }
        let begun = work(request).and_then(|work| {
            let running = match &work {
                Work::Program(program) => Some(program.running()),
                Work::Other(_) => None,
            };
            let job = Arc::new(Job { channel: channel.clone(), running, is_over: AtomicBool::new(false) });
            lock(&self.open).insert(number, job.clone());
            let jobs = self.clone();
            let thread = thread::Builder::new().spawn(move || jobs.go_on(number, &job, work));
            thread.map(drop).map_err(|error| {
                lock(&self.open).remove(&number);
                Done::failed(125, error.to_string())
            })
        });
        if let Err(done) = begun {
            self.slots.give_back();
            finish(&channel, &done);
        }
    }

    fn go_on(&self, number: u16, job: &Job, work: Work) {
        let mut done = job.run(work, &self.machine);
        if job.is_over() {
            // What was cut off has no reason of its own.
            done.error = None;
        }
        lock(&self.open).remove(&number);
        finish(&job.channel, &done);
        self.slots.give_back();
    }

    /// The connection is over: so is all that was begun over it.
    pub(super) fn end(&self) {
        self.link.end();
        let open: Vec<_> = lock(&self.open).values().cloned().collect();
        open.iter().for_each(|job| job.end());
    }
}

fn work(request: &[u8]) -> Result<Work, Done> {
    let request = serde_json::from_slice(request);
    match request.map_err(|error| Done::failed(125, format!("is not understood: {error}")))? {
        Request::Exec(exec) => {
            let program = Program::start(&exec);
            program
                .map(Work::Program)
                .map_err(|error| Done::failed(125, format!("cannot be started: {error}")))
        }
        other => Ok(Work::Other(other)),
    }
}

/// Tell the host what became of a channel. Nobody may be there any more.
fn finish(channel: &Channel, done: &Done) {
    for stream in [OUTPUT, ERRORS] {
        let _ = channel.send(Kind::End, stream, &[]);
    }
    let text = serde_json::to_vec(done).unwrap_or_default();
    let _ = channel.send(Kind::Done, 0, &text);
}
