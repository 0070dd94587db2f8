//! QEMU's machine protocol (QMP): a line of JSON each way.
//!
//! <https://www.qemu.org/docs/master/interop/qmp-spec.html>

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long QEMU may take for an answer. It answers between two turns of its main loop.
const ANSWER: Duration = Duration::from_secs(10);

/// A connection to the QEMU that has the other end.
pub(crate) struct Qmp {
    stream: UnixStream,
    /// What has come of lines that nobody has asked for yet.
    received: Vec<u8>,
    events: VecDeque<Value>,
}

impl Qmp {
    /// Waits for QEMU's greeting, and agrees on no capabilities.
    ///
    /// # Errors
    /// If QEMU ends before, or does not speak QMP.
    pub(crate) fn connect(stream: UnixStream) -> io::Result<Self> {
        let mut qmp = Self { stream, received: Vec::new(), events: VecDeque::new() };
        let greeting = qmp.line(Instant::now() + ANSWER)?.ok_or(io::ErrorKind::TimedOut)?;
        if greeting.get("QMP").is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not QMP"));
        }
        qmp.execute("qmp_capabilities")?;
        Ok(qmp)
    }

    /// What a command without arguments returns; null for one that is refused.
    ///
    /// # Errors
    /// If QEMU has ended, or does not answer.
    pub(crate) fn execute(&mut self, command: &str) -> io::Result<Value> {
        writeln!(self.stream, "{}", json!({ "execute": command }))?;
        let end = Instant::now() + ANSWER;
        loop {
            let mut line = self.line(end)?.ok_or(io::ErrorKind::TimedOut)?;
            if line.get("event").is_some() {
                self.events.push_back(line);
            } else {
                return Ok(line.get_mut("return").map(Value::take).unwrap_or_default());
            }
        }
    }

    /// The next event, if one comes before `end`.
    ///
    /// # Errors
    /// If QEMU has ended.
    pub(crate) fn event(&mut self, end: Instant) -> io::Result<Option<Value>> {
        match self.events.pop_front() {
            Some(event) => Ok(Some(event)),
            None => self.line(end),
        }
    }

    fn line(&mut self, end: Instant) -> io::Result<Option<Value>> {
        loop {
            if let Some(length) = self.received.iter().position(|&byte| byte == b'\n') {
                let line: Vec<_> = self.received.drain(..=length).collect();
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.receive(left)? {
                return Ok(None);
            }
        }
    }

    /// False if nothing has come in time.
    fn receive(&mut self, time: Duration) -> io::Result<bool> {
        self.stream.set_read_timeout(Some(time))?;
        let mut chunk = [0; 4096];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                self.received.extend(&chunk[..length]);
                Ok(true)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Ok(false)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }
}
