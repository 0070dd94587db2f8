//! Ways in for `make fuzz`: what a host or a machine that means harm can send. Where something accepted does not keep its
//! promises, they panic.

use std::io::{self, Read};
use std::sync::{Arc, Mutex};

use crate::channel::{Channel, Link, Side};
use crate::frame::{Frame, Kind, Lost, Reader, hello};
use crate::message::{Control, Done, Request};
use crate::tree::members;

/// Reads a host's side of a connection, all of it for one channel.
///
/// # Errors
/// What is wrong with the first frame that is not accepted.
pub fn frames(bytes: &[u8]) -> Result<(), String> {
    let mut reader = Reader::new(bytes);
    reader.hello().map_err(|error| error.to_string())?;
    let link = Arc::new(Link::new(Arc::new(Mutex::new(io::sink()))));
    let channel = Channel::new(1, Side::Agent, link);
    loop {
        let frame = match reader.frame() {
            Ok(frame) => frame,
            Err(Lost::NoFrame(reason)) => return Err(reason.to_owned()),
            Err(Lost::Stream(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(Lost::Stream(error)) => return Err(error.to_string()),
        };
        let again = frame.encode().map_err(|error| error.to_string())?;
        assert_eq!(Reader::new(&again[..]).frame().ok().as_ref(), Some(&frame), "it comes back");
        receive(&channel, &frame)?;
    }
}

fn receive(channel: &Channel, frame: &Frame<'_>) -> Result<(), String> {
    let text = |error: serde_json::Error| error.to_string();
    match frame.kind {
        Kind::Open => {
            let request: Request = serde_json::from_slice(frame.payload).map_err(text)?;
            let again = serde_json::to_vec(&request).map_err(text)?;
            assert_eq!(serde_json::from_slice::<Request>(&again).ok(), Some(request), "it comes back");
            Ok(())
        }
        Kind::Control => serde_json::from_slice::<Control>(frame.payload).map(drop).map_err(text),
        Kind::Done => serde_json::from_slice::<Done>(frame.payload).map(drop).map_err(text),
        Kind::Data | Kind::End | Kind::Credit => channel.receive(frame).map_err(str::to_owned),
        Kind::Hello | Kind::Close => Ok(()),
    }
}

/// Reads an archive, without unpacking it.
///
/// # Errors
/// What is wrong with it.
pub fn archive(bytes: &[u8]) -> Result<(), String> {
    members(&mut bytes.take(u64::MAX)).map_err(|failure| failure.to_string())
}

/// A host that runs a program and copies a file in.
pub fn conversation() -> Vec<u8> {
    let exec = br#"{"exec":{"argv":["cat","-"],"env":["A=b"],"user":"app","tty":{"rows":24,"columns":80}}}"#;
    let frames = [
        (Kind::Open, &exec[..]),
        (Kind::Data, b"input"),
        (Kind::Control, br#"{"resize":{"rows":1,"columns":2}}"#),
        (Kind::Control, br#"{"signal":15}"#),
        (Kind::End, b""),
        (Kind::Open, br#"{"copy_in":{"to":[47,255]}}"#),
        (Kind::Open, br#"{"logs":{"follow":true}}"#),
        (Kind::Close, b""),
    ];
    let encode =
        |(kind, payload)| Frame { kind, stream: 0, channel: 1, payload }.encode().unwrap_or_default();
    [hello(*b"12345678").to_vec(), frames.into_iter().flat_map(encode).collect()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive with records in front of its members.
    fn packed() -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("n".repeat(200)), "content").unwrap();
        std::os::unix::fs::symlink("t".repeat(200), folder.path().join("\u{e4}")).unwrap();
        let mut archive = Vec::new();
        crate::tree::pack(folder.path(), None, &mut archive).unwrap();
        archive
    }

    #[test]
    fn what_is_damaged_is_refused_or_keeps_its_promises() {
        for (whole, read) in
            [(conversation(), frames as fn(&[u8]) -> Result<(), String>), (packed(), archive)]
        {
            assert_eq!(read(&whole), Ok(()));
            let mut refused = 0;
            for at in 0..whole.len() {
                for change in [1, 2, 0x80, 0xff] {
                    let mut damaged = whole.clone();
                    damaged[at] ^= change;
                    refused += usize::from(read(&damaged).is_err());
                }
                let cut = whole.get(..at).unwrap_or_default();
                let doubled = [cut, &whole[at / 2..]].concat();
                refused += usize::from(read(&doubled).is_err());
            }
            assert!(refused > whole.len() / 2, "{refused} of {} bytes", whole.len());
        }
    }
}
