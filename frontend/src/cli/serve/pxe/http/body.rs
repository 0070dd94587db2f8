//! A file on its way to a client, piece by piece.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

use super::super::folder::Content;
use super::super::told::{Event, Log};

/// What is read at once: all that a connection holds in memory.
const PIECE: u64 = 64 << 10;

/// A range of a file.
pub(super) struct FileBody {
    content: Content,
    left: Range<u64>,
    sent: u64,
    told: Option<(Event, Log)>,
}

impl FileBody {
    pub(super) fn new(content: Content, range: Range<u64>) -> Self {
        Self { content, left: range, sent: 0, told: None }
    }

    /// Says this when it has come to its end.
    pub(super) fn tell(&mut self, event: Event, log: Log) {
        self.told = Some((event, log));
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let len = PIECE.min(self.left.end - self.left.start);
        if len == 0 {
            return Poll::Ready(None);
        }
        // As a whole it would be read ahead by the kernel: to wait for a disk here is rare and short.
        let mut piece = vec![0; len as usize];
        let read = self.content.read_at(self.left.start, &mut piece);
        self.left.start += len;
        self.sent += len;
        Poll::Ready(Some(read.map(|()| Frame::data(piece.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.end - self.left.start)
    }
}

impl Drop for FileBody {
    fn drop(&mut self) {
        let Some((event, log)) = self.told.take() else { return };
        let answer = match self.left.is_empty() {
            true => event.answer,
            false => format!("{}, broken off", event.answer),
        };
        log.say(&Event { answer, bytes: Some(self.sent), ..event });
    }
}
