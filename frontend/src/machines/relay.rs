//! One agent, many clients: a machine's port takes one connection, and whoever comes second would end what the first has
//! begun. So the keeper has that connection, and each client speaks to it as to the agent itself (`docs/agent.md`).
//!
//! ```text
//! client 1: channel 1 ─┐                    ┌─ channel 1 ─┐
//! client 2: channel 1 ─┼ agent.sock ─ Relay ┼─ channel 2 ─┼ port.sock ─ agent
//!           channel 2 ─┘                    └─ channel 3 ─┘
//! ```
//!
//! Credit goes from end to end, so what waits for a client is bounded as long as the machine keeps to it; one that does not
//! loses its client. The connection is there while a client is: until then no agent has to run in the machine.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use agent::CHANNELS;
use agent::channel::{Link, hung_up, lock};
use agent::frame::{self, Frame, Kind, Lost, Nonce, Reader};
use agent::message::Done;

use super::{Machine, PORT_SOCKET};

/// Clients at a time.
const CLIENTS: usize = 64;
/// How long a client waits for an agent, if it is not gone before.
const PATIENCE: Duration = Duration::from_secs(180);
/// Bytes that wait for a client: twice what the agent may send over all channels.
const WAITING: usize = 2 * CHANNELS * 2 * agent::channel::WINDOW;

/// Shares the connection to one agent.
pub(super) struct Relay {
    machine: Machine,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    agent: Option<Agent>,
    /// Connections that there were.
    connections: u64,
    clients: BTreeMap<u64, Client>,
    /// Clients that there were.
    came: u64,
    /// By the channels of the connection to the agent.
    routes: BTreeMap<u16, Route>,
    last: u16,
}

/// The connection to the agent.
struct Agent {
    number: u64,
    link: Arc<Link>,
    stream: UnixStream,
    answers: bool,
}

/// Whose channel it is, and what it is called there. Until the agent says that it is over it may be of a client that has
/// gone.
#[derive(Clone, Copy)]
struct Route {
    client: u64,
    channel: u16,
}

#[derive(Clone)]
struct Client {
    stream: Arc<UnixStream>,
    queue: Sender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
}

impl Relay {
    pub(super) fn new(machine: Machine) -> Arc<Self> {
        Arc::new(Self { machine, state: Mutex::default(), changed: Condvar::new() })
    }

    /// Serves whoever connects, for ever.
    pub(super) fn serve(self: &Arc<Self>, listener: &UnixListener) {
        let there = Arc::new(AtomicUsize::new(0));
        for stream in listener.incoming().map_while(Result::ok) {
            if there.fetch_add(1, Ordering::SeqCst) >= CLIENTS {
                there.fetch_sub(1, Ordering::SeqCst);
                continue;
            }
            let (relay, there) = (self.clone(), there.clone());
            thread::spawn(move || {
                // Who hangs up in whatever way is gone.
                let _ = relay.attend(stream);
                there.fetch_sub(1, Ordering::SeqCst);
            });
        }
    }

    /// One client, until it is gone.
    fn attend(self: &Arc<Self>, stream: UnixStream) -> io::Result<()> {
        let mut reader = Reader::new(stream.try_clone()?);
        let nonce = reader.hello()?;
        let number = self.join(stream)?;
        let done = self.wait_for_agent().and_then(|()| {
            self.send(number, frame::hello(nonce).to_vec());
            self.follow(number, &mut reader)
        });
        self.leave(number);
        done
    }

    /// Takes a client in, and connects to the agent for the first one.
    fn join(self: &Arc<Self>, stream: UnixStream) -> io::Result<u64> {
        let mut state = lock(&self.state);
        if state.agent.is_none() {
            state.connections += 1;
            state.agent = Some(self.connect(state.connections)?);
        }
        state.came += 1;
        let (queue, queued) = channel();
        let client = Client { stream: Arc::new(stream), queue, waiting: Arc::default() };
        let (to, waiting) = (client.stream.clone(), client.waiting.clone());
        thread::spawn(move || write(&to, &waiting, &queued));
        let number = state.came;
        state.clients.insert(number, client);
        Ok(number)
    }

    fn connect(self: &Arc<Self>, number: u64) -> io::Result<Agent> {
        let stream = self.machine.connect(PORT_SOCKET)?;
        let mut nonce = Nonce::default();
        File::open("/dev/urandom")?.read_exact(&mut nonce)?;
        let link = Arc::new(Link::new(Arc::new(Mutex::new(stream.try_clone()?))));
        let mut reader = Reader::new(stream.try_clone()?);
        let relay = self.clone();
        thread::spawn(move || {
            if reader.answer(nonce).is_ok() {
                relay.agent_answers(number);
                while let Ok(frame) = reader.frame() {
                    relay.pass_down(&frame);
                }
            }
            relay.agent_is_gone(number);
        });
        // In a thread of its own: what is written may have to wait for somebody who reads it.
        let to = link.clone();
        thread::spawn(move || to.write(&[&[0; frame::ZEROS][..], &frame::hello(nonce)].concat()));
        Ok(Agent { number, link, stream, answers: false })
    }

    fn agent_answers(&self, number: u64) {
        if let Some(agent) = lock(&self.state).agent.as_mut().filter(|agent| agent.number == number) {
            agent.answers = true;
        }
        self.changed.notify_all();
    }

    /// All clients go with it; what was said before still reaches them.
    fn agent_is_gone(&self, number: u64) {
        let mut state = lock(&self.state);
        if state.agent.as_ref().is_some_and(|agent| agent.number == number) {
            state.agent = None;
            state.routes.clear();
            state.clients.clear();
        }
        drop(state);
        self.changed.notify_all();
    }

    fn wait_for_agent(&self) -> io::Result<()> {
        let waits = |state: &mut State| state.agent.as_ref().is_some_and(|agent| !agent.answers);
        let state = self.changed.wait_timeout_while(lock(&self.state), PATIENCE, waits);
        let (state, _) = state.unwrap_or_else(PoisonError::into_inner);
        match state.agent.as_ref().is_some_and(|agent| agent.answers) {
            true => Ok(()),
            false => Err(hung_up()),
        }
    }

    /// Passes on what a client says.
    fn follow(&self, number: u64, reader: &mut Reader<UnixStream>) -> io::Result<()> {
        loop {
            let frame = match reader.frame() {
                Ok(frame) => frame,
                Err(Lost::Stream(error)) => return Err(error),
                Err(Lost::NoFrame(reason)) => return Err(io::Error::new(io::ErrorKind::InvalidData, reason)),
            };
            let is_open = self.route(number, frame.channel).is_some();
            match (frame.kind, is_open) {
                (Kind::Open, false) if frame.channel != 0 => self.open(number, &frame)?,
                // Of a channel that is over, something may still have been on the way.
                (Kind::Data | Kind::End | Kind::Credit | Kind::Control | Kind::Close, false) => {}
                (Kind::Data | Kind::End | Kind::Credit | Kind::Control | Kind::Close, true) => {
                    self.pass_up(number, &frame)?;
                }
                (Kind::Hello | Kind::Done | Kind::Open, _) => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "a client does not say that"));
                }
            }
        }
    }

    /// The channel of the connection to the agent that a client's channel is.
    fn route(&self, client: u64, channel: u16) -> Option<u16> {
        let state = lock(&self.state);
        let is_it = |route: &Route| route.client == client && route.channel == channel;
        state.routes.iter().find(|(_, route)| is_it(route)).map(|(number, _)| *number)
    }

    fn open(&self, number: u64, frame: &Frame<'_>) -> io::Result<()> {
        let mut state = lock(&self.state);
        if state.routes.len() >= CHANNELS {
            drop(state);
            let done = Done::failed(125, format!("more than {CHANNELS} channels are too many"));
            let payload = serde_json::to_vec(&done).map_err(io::Error::other)?;
            self.send(number, Frame { kind: Kind::Done, stream: 0, payload: &payload, ..*frame }.encode()?);
            return Ok(());
        }
        let mut own = state.last;
        loop {
            own = own.wrapping_add(1).max(1);
            if !state.routes.contains_key(&own) {
                break;
            }
        }
        state.last = own;
        state.routes.insert(own, Route { client: number, channel: frame.channel });
        drop(state);
        self.pass_up(number, frame)
    }

    fn pass_up(&self, client: u64, frame: &Frame<'_>) -> io::Result<()> {
        let Some(channel) = self.route(client, frame.channel) else { return Ok(()) };
        let link = lock(&self.state).agent.as_ref().map(|agent| agent.link.clone()).ok_or_else(hung_up)?;
        link.send(Frame { channel, ..*frame })
    }

    fn pass_down(&self, frame: &Frame<'_>) {
        let mut state = lock(&self.state);
        let Some(route) = state.routes.get(&frame.channel).copied() else { return };
        if frame.kind == Kind::Done {
            state.routes.remove(&frame.channel);
        }
        drop(state);
        if let Ok(bytes) = (Frame { channel: route.channel, ..*frame }).encode() {
            self.send(route.client, bytes);
        }
    }

    /// Queues bytes for a client, if it is still there. Nobody else holds its queue for longer: who is left out of the clients
    /// gets what was queued, and its end.
    fn send(&self, client: u64, bytes: Vec<u8>) {
        let client = lock(&self.state).clients.get(&client).cloned();
        if let Some(client) = client {
            client.send(bytes);
        }
    }

    /// A client is gone, and wants nothing any more of what it has begun.
    fn leave(&self, client: u64) {
        let mut state = lock(&self.state);
        state.clients.remove(&client);
        let begun = state.routes.iter().filter(|(_, route)| route.client == client);
        let begun: Vec<u16> = begun.map(|(channel, _)| *channel).collect();
        let is_last = state.clients.is_empty();
        let agent = state.agent.as_ref().map(|agent| agent.link.clone());
        if is_last && let Some(agent) = state.agent.take() {
            // The end of the connection ends all of it.
            agent.link.end();
            let _ = agent.stream.shutdown(Shutdown::Both);
            state.routes.clear();
        }
        drop(state);
        self.changed.notify_all();
        for channel in begun.into_iter().filter(|_| !is_last) {
            let close = Frame { kind: Kind::Close, stream: 0, channel, payload: &[] };
            let _ = agent.as_ref().map(|link| link.send(close));
        }
    }
}

impl Client {
    /// Queues bytes for it. One that does not read what it has asked for is not waited for.
    fn send(&self, bytes: Vec<u8>) {
        let before = self.waiting.fetch_add(bytes.len(), Ordering::SeqCst);
        if before + bytes.len() > WAITING || self.queue.send(bytes).is_err() {
            let _ = self.stream.shutdown(Shutdown::Both);
        }
    }
}

/// Writes what is queued, until nobody queues any more.
fn write(mut stream: &UnixStream, waiting: &AtomicUsize, queued: &Receiver<Vec<u8>>) {
    for bytes in queued {
        if stream.write_all(&bytes).is_err() {
            break;
        }
        waiting.fetch_sub(bytes.len(), Ordering::SeqCst);
    }
    let _ = stream.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::super::AGENT_SOCKET;
    use super::*;

    /// A machine's folder with a relay in it, and where an agent is to listen.
    fn relay(folder: &std::path::Path) -> (Machine, UnixListener) {
        let folder = folder.join("web");
        std::fs::create_dir(&folder).unwrap();
        let machine = Machine::in_folder(&folder).unwrap();
        let [port, clients] = [PORT_SOCKET, AGENT_SOCKET].map(|name| machine.listen(name).unwrap());
        let relay = Relay::new(machine.clone());
        thread::spawn(move || relay.serve(&clients));
        (machine, port)
    }

    /// The agent's end of the next connection.
    fn answer(port: &UnixListener) -> (UnixStream, Reader<UnixStream>) {
        let (mut stream, _) = port.accept().unwrap();
        let mut reader = Reader::new(stream.try_clone().unwrap());
        let nonce = reader.hello().unwrap();
        stream.write_all(&frame::hello(nonce)).unwrap();
        (stream, reader)
    }

    /// A client that has opened its channel 1 for something.
    fn client(machine: &Machine, wish: &[u8]) -> (UnixStream, Reader<UnixStream>) {
        let mut stream = machine.agent().unwrap();
        stream.write_all(&frame::hello([7; 8])).unwrap();
        let mut reader = Reader::new(stream.try_clone().unwrap());
        reader.answer([7; 8]).unwrap();
        let open = Frame { kind: Kind::Open, stream: 0, channel: 1, payload: wish };
        stream.write_all(&open.encode().unwrap()).unwrap();
        (stream, reader)
    }

    fn data(channel: u16, payload: &[u8]) -> Vec<u8> {
        Frame { kind: Kind::Data, stream: 1, channel, payload }.encode().unwrap()
    }

    #[test]
    fn channels_of_two_clients_are_two() {
        let folder = tempfile::tempdir().unwrap();
        let (machine, port) = relay(folder.path());
        let agent = thread::spawn(move || {
            let (mut stream, mut reader) = answer(&port);
            let mut opened = BTreeMap::new();
            for _ in 0..2 {
                let frame = reader.frame().unwrap();
                assert_eq!(frame.kind, Kind::Open);
                stream.write_all(&data(frame.channel, frame.payload)).unwrap();
                opened.insert(frame.payload.to_vec(), frame.channel);
            }
            let [one, two] = [b"one", b"two"].map(|wish| opened[&wish[..]]);
            assert_ne!(one, two);
            // One of them goes, and what it has begun with it.
            let frame = reader.frame().unwrap();
            assert_eq!((frame.kind, frame.channel), (Kind::Close, one));
            stream.write_all(&data(two, b"still there")).unwrap();
            // With the last one goes the connection.
            assert!(reader.frame().is_err());
        });
        let (mut first, mut second) = (client(&machine, b"one"), client(&machine, b"two"));
        for (reader, word) in [(&mut first.1, &b"one"[..]), (&mut second.1, &b"two"[..])] {
            let frame = reader.frame().unwrap();
            assert_eq!((frame.channel, frame.payload), (1, word));
        }
        first.0.shutdown(Shutdown::Both).unwrap();
        assert_eq!(second.1.frame().unwrap().payload, b"still there");
        drop(second);
        agent.join().unwrap();
    }

    /// An agent that keeps to no credit, and a client that reads nothing: the relay waits for neither, and keeps no more than
    /// it has to.
    #[test]
    fn a_flood_costs_the_client_that_does_not_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let (machine, port) = relay(folder.path());
        let agent = thread::spawn(move || {
            let (mut stream, mut reader) = answer(&port);
            let channel = reader.frame().unwrap().channel;
            let flood = data(channel, &[0; frame::PAYLOAD_MAX]);
            // Until the relay has hung up: with its last client it has no use for an agent.
            (0..100 * WAITING / flood.len()).take_while(|_| stream.write_all(&flood).is_ok()).count()
                * flood.len()
        });
        let (_stream, mut reader) = client(&machine, b"");
        let sent = agent.join().unwrap();
        assert!(sent > WAITING / 2 && sent < 10 * WAITING, "{sent}");
        let mut came = 0;
        while let Ok(frame) = reader.frame() {
            came += frame.payload.len();
        }
        assert!(came < WAITING, "{came}");
    }

    /// Whose machine has ended is told so, and waits no longer.
    #[test]
    fn clients_go_with_the_agent() {
        let folder = tempfile::tempdir().unwrap();
        let (machine, port) = relay(folder.path());
        let agent = thread::spawn(move || {
            let (mut stream, mut reader) = answer(&port);
            let channel = reader.frame().unwrap().channel;
            stream.write_all(&data(channel, b"last words")).unwrap();
        });
        let (_stream, mut reader) = client(&machine, b"");
        assert_eq!(reader.frame().unwrap().payload, b"last words");
        agent.join().unwrap();
        assert!(reader.frame().is_err());
        // The next one finds no agent.
        drop(std::fs::remove_file(machine.path(PORT_SOCKET)));
        let mut next = machine.agent().unwrap();
        next.write_all(&frame::hello([1; 8])).unwrap();
        assert!(Reader::new(next).answer([1; 8]).is_err());
    }
}
