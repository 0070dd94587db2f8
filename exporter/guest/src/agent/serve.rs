//! The agent's end of a stream: hosts come and go on it.

use std::fs::File;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent::channel::Link;
use agent::frame::{self, Frame, HANG_UP, Kind, Lost, Nonce, Reader};

use super::exec::GRACE;
use super::job::{Jobs, Slots};
use super::machine::Machine;

/// What the last programs are waited for beyond their time.
const MARGIN: Duration = Duration::from_millis(200);

/// Serve one host after the other, until the stream ends.
pub(super) fn serve(stream: File, machine: &Machine) {
    let Ok(out) = stream.try_clone() else { return };
    let out = Arc::new(Mutex::new(out));
    let (mut reader, slots) = (Reader::new(stream), Slots::default());
    let mut hello = reader.hello();
    while let Ok(nonce) = hello {
        let link = Arc::new(Link::new(out.clone()));
        let jobs = Jobs::new(link.clone(), machine, &slots);
        let end = match link.write(&frame::hello(nonce)) {
            Ok(()) => follow(&mut reader, &jobs),
            Err(error) => Lost::Stream(error).into(),
        };
        if let End::NoFrame = end {
            let _ = link.write(&[HANG_UP]);
        }
        jobs.end();
        hello = match end {
            End::Hello(nonce) => Ok(nonce),
            End::NoFrame => reader.hello(),
            End::Stream => break,
        };
    }
    // Another agent may write to the same stream when this process has ended, and not before.
    slots.wait(GRACE + MARGIN);
}

/// Why a connection is over.
enum End {
    /// Another one has begun.
    Hello(Nonce),
    /// Something came that is no part of one.
    NoFrame,
    /// The stream has ended.
    Stream,
}

impl From<Lost> for End {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::NoFrame(_) => Self::NoFrame,
            Lost::Stream(_) => Self::Stream,
        }
    }
}

/// Take frames in until the connection is over.
fn follow(reader: &mut Reader<impl Read>, jobs: &Jobs) -> End {
    loop {
        match reader.frame() {
            Ok(Frame { kind: Kind::Hello, payload, .. }) => {
                return frame::nonce(payload).map_or(End::NoFrame, End::Hello);
            }
            Ok(frame) => {
                if receive(jobs, &frame).is_err() {
                    return End::NoFrame;
                }
            }
            Err(lost) => return lost.into(),
        }
    }
}

fn receive(jobs: &Jobs, frame: &Frame<'_>) -> Result<(), &'static str> {
    match (frame.kind, jobs.find(frame.channel)) {
        (Kind::Open, Some(_)) => return Err("the channel is open"),
        (Kind::Open, None) if frame.channel == 0 => return Err("channel 0 is the connection"),
        (Kind::Open, None) => jobs.begin(frame.channel, frame.payload),
        (Kind::Hello | Kind::Done, _) => return Err("a host does not say that"),
        // Of a channel that has ended, something may still have been on the way.
        (_, None) => {}
        (Kind::Data | Kind::End | Kind::Credit, Some(job)) => job.channel.receive(frame)?,
        (Kind::Control, Some(job)) => {
            job.control(serde_json::from_slice(frame.payload).map_err(|_| "is not understood")?);
        }
        (Kind::Close, Some(job)) => job.end(),
    }
    Ok(())
}
