//! The host's side: a connection, and the channels that are opened over it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::CHANNELS;
use crate::channel::{Channel, ERRORS, INPUT, Link, OUTPUT, Outlet, Side, Source, hung_up, lock};
use crate::frame::{self, Frame, Kind, Lost, Nonce, Reader};
use crate::message::{Control, Done, Exec, Request, Size, Status, Text};
use crate::tree::{self, Failure, Rights};

/// A connection to the agent of a machine. When it is dropped, all that was begun over it ends.
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    stream: UnixStream,
    link: Arc<Link>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    open: BTreeMap<u16, Arc<Pending>>,
    last: u16,
    is_over: bool,
}

/// A channel, and what became of it.
struct Pending {
    number: u16,
    channel: Arc<Channel>,
    done: Mutex<Option<Done>>,
    changed: Condvar,
}

impl Client {
    /// Connect to the socket that a virtual machine monitor has for the port.
    ///
    /// # Errors
    /// If there is none, or no agent answers in time.
    pub fn connect(path: &Path, timeout: Duration) -> io::Result<Self> {
        Self::over(UnixStream::connect(path)?, timeout)
    }

    /// Begin a connection over a stream, whatever an earlier one has left on it. A socket of vsock serves as well: this
    /// reads, writes and shuts down.
    ///
    /// # Errors
    /// If no agent answers in time.
    pub fn over(stream: UnixStream, timeout: Duration) -> io::Result<Self> {
        let nonce = random()?;
        let link = Arc::new(Link::new(Arc::new(Mutex::new(stream.try_clone()?))));
        let shared = Arc::new(Shared { stream, link, table: Mutex::default() });
        let client = Self { shared: shared.clone() };
        let (answered, answer) = sync_channel(1);
        let mut reader = Reader::new(shared.stream.try_clone()?);
        // Before the first byte is written: the agent may wait for somebody who reads what an earlier host has asked.
        thread::spawn(move || {
            let result = reader.answer(nonce);
            let is_here = result.is_ok();
            let _ = answered.send(result);
            if is_here {
                shared.follow(&mut reader);
            }
            shared.end();
        });
        client.shared.link.write(&[&[0; frame::ZEROS][..], &frame::hello(nonce)].concat())?;
        match answer.recv_timeout(timeout) {
            Ok(result) => result.map(|()| client),
            Err(RecvTimeoutError::Disconnected) => Err(hung_up()),
            Err(RecvTimeoutError::Timeout) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "no agent answers in the machine"))
            }
        }
    }

    /// Open a channel.
    ///
    /// # Errors
    /// If the connection is over, or has too many.
    pub fn open(&self, request: &Request) -> io::Result<Session> {
        let pending = self.shared.add()?;
        let request = serde_json::to_vec(request).map_err(io::Error::other)?;
        let result = pending.channel.send(Kind::Open, 0, &request);
        if let Err(error) = result {
            lock(&self.shared.table).open.remove(&pending.number);
            return Err(error);
        }
        Ok(Session { pending })
    }

    /// Run a program to its end: its input is copied from a stream, what it prints to others. A thread goes on to read
    /// from the input until that has something to say, or ends.
    ///
    /// # Errors
    /// If the connection is over, or a stream of the host cannot be written: the program is ended then.
    pub fn run(
        &self,
        exec: Exec,
        input: impl Read + Send + 'static,
        output: impl Write + Send,
        errors: impl Write + Send,
    ) -> io::Result<Done> {
        let session = self.open(&Request::Exec(exec))?;
        let to = session.input();
        // Who ends without reading all of its input is no error of ours.
        thread::spawn(move || copy(input, to));
        let copy_out = |from, to: &mut (dyn Write + Send)| copy(from, to).inspect_err(|_| session.close());
        let (mut output, mut errors) = (output, errors);
        thread::scope(|scope| {
            let printed = scope.spawn(|| copy_out(session.errors(), &mut errors));
            copy_out(session.output(), &mut output)?;
            printed.join().map_err(|_| hung_up())?
        })?;
        Ok(session.wait())
    }

    /// Copy a file, or a folder with all that is in it, into a folder of the machine, by a name.
    ///
    /// # Errors
    /// What could not be read here, or written there.
    pub fn copy_in(&self, from: &Path, to: impl Into<Text>, name: Option<&Text>) -> Result<(), String> {
        let session = self.open(&Request::CopyIn { to: to.into() }).map_err(|error| error.to_string())?;
        let mut input = io::BufWriter::with_capacity(frame::PAYLOAD_MAX, session.input());
        let packed = tree::pack(from, name, &mut input);
        // What of a whole archive is left in the buffer was written by `pack`; of another one nothing is wanted.
        session.outcome(packed, || drop(input.into_parts()))
    }

    /// Copy a file, or a folder with all that is in it, of the machine into a folder of this host, by a name. Nothing is
    /// written outside of that folder, whatever the machine says.
    ///
    /// # Errors
    /// What could not be read there, or written here.
    pub fn copy_out(
        &self,
        from: impl Into<Text>,
        to: &Path,
        name: Option<&Text>,
        rights: Rights,
    ) -> Result<(), String> {
        let folder = File::open(to).map_err(|error| format!("{}: {error}", to.display()))?;
        let from: Text = from.into();
        let own = Path::new(&from.0).file_name().unwrap_or(OsStr::new("."));
        let only = name.map_or(own, |name| &*name.0).as_bytes().to_owned();
        let request = Request::CopyOut { from, name: name.cloned() };
        let session = self.open(&request).map_err(|error| error.to_string())?;
        let mut output = io::BufReader::new(session.output());
        session.outcome(tree::unpack_named(&mut output, folder.as_fd(), rights, &only), || ())
    }

    /// How the service is.
    ///
    /// # Errors
    /// If the connection is over, or the agent says nothing that can be understood.
    pub fn status(&self) -> io::Result<Status> {
        let session = self.open(&Request::Status { follow: false })?;
        let mut line = Vec::new();
        session.output().take(frame::PAYLOAD_MAX as u64).read_to_end(&mut line)?;
        serde_json::from_slice(&line).map_err(io::Error::other)
    }

    /// Stop the service and the machine.
    ///
    /// # Errors
    /// If the connection is over, or nobody is there who could.
    pub fn stop(&self) -> Result<(), String> {
        self.open(&Request::Stop {}).map_err(|error| error.to_string())?.outcome(Ok(()), || ())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Shared {
    fn add(&self) -> io::Result<Arc<Pending>> {
        let mut table = lock(&self.table);
        if table.is_over {
            return Err(hung_up());
        }
        if table.open.len() >= CHANNELS {
            return Err(io::Error::other(format!("more than {CHANNELS} channels are too many")));
        }
        let mut number = table.last;
        loop {
            number = number.wrapping_add(1).max(1);
            if !table.open.contains_key(&number) {
                break;
            }
        }
        table.last = number;
        let channel = Arc::new(Channel::new(number, Side::Host, self.link.clone()));
        let pending = Arc::new(Pending { number, channel, done: Mutex::default(), changed: Condvar::new() });
        table.open.insert(number, pending.clone());
        Ok(pending)
    }

    /// Take frames in until the connection is over.
    fn follow(&self, reader: &mut Reader<UnixStream>) {
        while let Ok(frame) = reader.frame() {
            if self.receive(&frame).is_err() {
                return;
            }
        }
    }

    fn receive(&self, frame: &Frame<'_>) -> Result<(), Lost> {
        let mut table = lock(&self.table);
        // Of a channel that is not open, something may still be on the way.
        let Some(pending) = table.open.get(&frame.channel).cloned() else { return Ok(()) };
        match frame.kind {
            Kind::Done => {
                let done = serde_json::from_slice(frame.payload);
                let done = done.map_err(|_| Lost::NoFrame("an end that cannot be understood"))?;
                table.open.remove(&frame.channel);
                drop(table);
                pending.channel.finish();
                pending.end(done);
                Ok(())
            }
            Kind::Data | Kind::End | Kind::Credit => {
                drop(table);
                pending.channel.receive(frame).map_err(Lost::NoFrame)
            }
            _ => Err(Lost::NoFrame("an agent does not say that")),
        }
    }

    fn end(&self) {
        self.link.end();
        let _ = self.stream.shutdown(Shutdown::Both);
        let open = {
            let mut table = lock(&self.table);
            table.is_over = true;
            std::mem::take(&mut table.open)
        };
        for pending in open.into_values() {
            pending.channel.cut();
            pending.end(Done::failed(125, "the machine has hung up"));
        }
    }
}

impl Pending {
    fn end(&self, done: Done) {
        *lock(&self.done) = Some(done);
        self.changed.notify_all();
    }
}

/// A channel that was opened. Dropped, it is closed, and what it began ends.
pub struct Session {
    pending: Arc<Pending>,
}

impl Session {
    /// What is written is the input; dropped, it has ended.
    pub fn input(&self) -> Input {
        Input(Outlet::new(&self.pending.channel, INPUT))
    }

    /// What it prints.
    pub fn output(&self) -> Source {
        Source::new(&self.pending.channel, OUTPUT)
    }

    /// What it prints of errors.
    pub fn errors(&self) -> Source {
        Source::new(&self.pending.channel, ERRORS)
    }

    /// Its terminal has another size.
    ///
    /// # Errors
    /// If the connection is over.
    pub fn resize(&self, size: Size) -> io::Result<()> {
        self.control(Control::Resize(size))
    }

    /// Send it a signal, by number.
    ///
    /// # Errors
    /// If the connection is over.
    pub fn signal(&self, number: i32) -> io::Result<()> {
        self.control(Control::Signal(number))
    }

    fn control(&self, control: Control) -> io::Result<()> {
        let text = serde_json::to_vec(&control).map_err(io::Error::other)?;
        self.pending.channel.send(Kind::Control, 0, &text)
    }

    /// It is not wanted any more.
    pub fn close(&self) {
        if lock(&self.pending.done).is_none() {
            let _ = self.pending.channel.send(Kind::Close, 0, &[]);
        }
    }

    /// What became of it, as soon as it has ended. Who does not read what it prints may wait for ever.
    pub fn wait(&self) -> Done {
        let waits = |done: &mut Option<Done>| done.is_none();
        let changed = &self.pending.changed;
        let done =
            changed.wait_while(lock(&self.pending.done), waits).unwrap_or_else(PoisonError::into_inner);
        done.clone().unwrap_or_default()
    }

    /// Nothing, if both sides say so. What the agent says of an error is closer to its reason than what it did to our
    /// stream, but not than what is wrong with our files.
    fn outcome(&self, own: Result<(), Failure>, end: impl FnOnce()) -> Result<(), String> {
        if own.is_err() {
            self.close();
        }
        end();
        if let Err(Failure::Files(error)) = own {
            return Err(error);
        }
        match self.wait() {
            Done { error: Some(error), .. } => Err(error),
            Done { status: 0, .. } => own.map_err(|error| error.to_string()),
            Done { status, .. } => {
                Err(own.err().map_or(format!("status {status}"), |error| error.to_string()))
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.close();
    }
}

/// The input of a channel.
pub struct Input(Outlet);

impl Write for Input {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        let _ = self.0.end();
    }
}

/// In pieces as long as a frame.
fn copy(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut buffer = vec![0; frame::PAYLOAD_MAX];
    loop {
        let len = match from.read(&mut buffer) {
            Ok(0) => return to.flush(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        to.write_all(buffer.get(..len).unwrap_or_default())?;
    }
}

fn random() -> io::Result<Nonce> {
    let mut nonce = Nonce::default();
    File::open("/dev/urandom")?.read_exact(&mut nonce)?;
    Ok(nonce)
}
