//! Bytes of a file, in order, over as many connections as it takes.

use std::io::{self, Read};
use std::ops::Range;

use ureq::http::StatusCode;

use super::address::Address;
use super::client::{Answer, Client, Headers};
use super::failure::{Failure, explain};
use super::span::Span;

const BUFFER: usize = 64 << 10;

/// Who is asked for files: a web server, or a registry that wants to know who asks.
pub(crate) trait Remote {
    fn client(&mut self) -> &mut Client;

    /// The answer to a request for a file.
    fn get(&mut self, address: &Address, headers: Headers<'_>) -> Result<Answer, Failure>;
}

/// Attempts something until it is done, or cannot be.
pub(crate) fn insist<R: Remote, T>(
    remote: &mut R,
    mut attempt: impl FnMut(&mut R) -> Result<T, Failure>,
) -> Result<T, String> {
    loop {
        match attempt(remote) {
            Ok(done) => return Ok(done),
            Err(Failure::Final(reason)) => return Err(reason),
            Err(Failure::Passing(reason)) => remote.client().again(&reason)?,
        }
    }
}

/// A range of a file on its way. It ends at the end of the range, or with an error.
pub(crate) struct Download<'a> {
    remote: &'a mut dyn Remote,
    address: Address,
    /// What has not come yet.
    range: Range<u64>,
    answer: Option<Part>,
}

/// What is still to come of an answer.
struct Part {
    reader: Box<dyn Read + Send>,
    left: u64,
    /// Whether the answer is over then, so that its connection can be used again.
    is_all: bool,
}

impl<'a> Download<'a> {
    /// Asks for it, so that what can be wrong at once is told at once.
    pub(crate) fn open(
        remote: &'a mut dyn Remote,
        address: Address,
        range: Range<u64>,
    ) -> Result<Self, String> {
        let mut download = Self { remote, address, range, answer: None };
        while !download.range.is_empty() && download.answer.is_none() {
            match download.ask() {
                Ok(part) => download.answer = Some(part),
                Err(failure) => download.failed(failure)?,
            }
        }
        Ok(download)
    }

    /// An answer, read on to the first byte that is wanted.
    fn ask(&mut self) -> Result<Part, Failure> {
        let wanted = format!("bytes={}-{}", self.range.start, self.range.end - 1);
        let answer = self.remote.get(&self.address, &[("range", &wanted)])?;
        if answer.response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return Err(self.too_short());
        }
        let answer = answer.good()?;
        let span = Span::of(&answer.response)?;
        let client = self.remote.client();
        client.recognise(&self.address, &answer, span.len)?;
        let is_range = answer.response.status() == StatusCode::PARTIAL_CONTENT;
        client.note_ranges(is_range);
        let Range { start, end } = self.range;
        if span.len.is_some_and(|len| len < end) {
            return Err(self.too_short());
        }
        if is_range && (span.start != start || span.end.is_none_or(|last| last > end)) {
            return Err(Failure::Final(
                "the server answers with another range than it was asked for".to_owned(),
            ));
        }
        let last = span.end.unwrap_or(end);
        let reader = Box::new(answer.response.into_body().into_reader());
        let mut part = Part { reader, left: last.min(end) - start, is_all: is_range || last == end };
        self.skip(&mut part, start - span.start)?;
        Ok(part)
    }

    /// Reads over what a server sends that has no ranges.
    fn skip(&mut self, part: &mut Part, mut len: u64) -> Result<(), Failure> {
        let mut buffer = vec![0; if len == 0 { 0 } else { BUFFER }];
        while len > 0 {
            let most = buffer.len().min(usize::try_from(len).unwrap_or(usize::MAX));
            let come = self.some(part, buffer.get_mut(..most).unwrap_or_default())?;
            self.remote.client().count(come, 0);
            len -= come;
        }
        Ok(())
    }

    fn some(&self, part: &mut Part, buffer: &mut [u8]) -> Result<u64, Failure> {
        let reason = match part.reader.read(buffer) {
            Ok(0) => "it ended early".to_owned(),
            Ok(len) => return Ok(len as u64),
            Err(error) => explain(&error.into()),
        };
        let Range { start, end } = self.range;
        Err(Failure::Passing(format!(
            "the connection broke at byte {start}, {} are missing: {reason}",
            end - start
        )))
    }

    fn attempt(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let mut part = match self.answer.take() {
            Some(part) => part,
            None => self.ask()?,
        };
        let most = buffer.len().min(usize::try_from(part.left).unwrap_or(usize::MAX));
        let come = self.some(&mut part, buffer.get_mut(..most).unwrap_or_default())?;
        self.remote.client().count(come, come);
        self.range.start += come;
        part.left -= come;
        match part.left {
            0 => part.end(),
            _ => self.answer = Some(part),
        }
        Ok(usize::try_from(come).unwrap_or(usize::MAX))
    }

    /// What a failure comes to: another try, or the end.
    fn failed(&mut self, failure: Failure) -> Result<(), String> {
        self.answer = None;
        let end = match failure {
            Failure::Final(reason) => Err(reason),
            Failure::Passing(reason) => self.remote.client().again(&reason),
        };
        end.map_err(|reason| format!("{}: {reason}", self.address.as_str()))
    }

    fn too_short(&self) -> Failure {
        Failure::Final(format!("the file has not the {} bytes that the update says", self.range.end))
    }
}

impl Part {
    /// Sees the end of an answer, by which `ureq` knows that its connection is free.
    fn end(mut self) {
        if self.is_all {
            let _ = self.reader.read(&mut [0]);
        }
    }
}

impl Read for Download<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.range.is_empty() && !buffer.is_empty() {
            match self.attempt(buffer) {
                Ok(len) => return Ok(len),
                Err(failure) => self.failed(failure).map_err(io::Error::other)?,
            }
        }
        Ok(0)
    }
}
