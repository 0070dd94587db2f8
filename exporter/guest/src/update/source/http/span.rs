//! Which part of a file an answer holds: all of it, or a range (RFC 9110, section 14.4).

use ureq::Body;
use ureq::http::{HeaderMap, Response, StatusCode, header};

use super::failure::{Failure, shown};

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u64,
    /// Behind the last byte; `None` where only the end of the answer tells.
    pub(super) end: Option<u64>,
    /// Of the whole file, if it is told.
    pub(super) len: Option<u64>,
}

impl Span {
    /// Of an answer with a good status.
    pub(super) fn of(response: &Response<Body>) -> Result<Self, Failure> {
        let len = content_length(response.headers());
        if response.status() != StatusCode::PARTIAL_CONTENT {
            return Ok(Self { start: 0, end: len, len });
        }
        let value = response.headers().get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
        let lie =
            |what: &str| Failure::Final(format!("the server answers with a range that is none: {what}"));
        let span = value.and_then(Self::parse);
        let span = span.ok_or_else(|| lie(&shown(value.unwrap_or("without Content-Range"))))?;
        match span.end.zip(len) {
            Some((end, len)) if end - span.start != len => Err(lie("it has another length than it says")),
            _ => Ok(span),
        }
    }

    /// `bytes FIRST-LAST/LEN`, where `*` may stand for the length.
    fn parse(value: &str) -> Option<Self> {
        let (range, len) = value.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (start, last) = (number(first)?, number(last)?);
        let len = if len == "*" { None } else { Some(number(len)?) };
        let end = last.checked_add(1)?;
        let is_sound = start <= last && len.is_none_or(|len| end <= len);
        is_sound.then_some(Self { start, end: Some(end), len })
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    // A body in chunks has its own end.
    match headers.contains_key(header::TRANSFER_ENCODING) {
        true => None,
        false => number(headers.get(header::CONTENT_LENGTH)?.to_str().ok()?),
    }
}

/// `parse` alone would take a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

pub(super) fn too_long(max: u64) -> Failure {
    Failure::Final(format!("it has more than the {max} bytes that such a file may have"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_believed_only_where_they_are_sound() {
        let span = |start, end, len| Some(Span { start, end: Some(end), len });
        for (value, expected) in [
            ("bytes 0-0/1", span(0, 1, Some(1))),
            ("bytes 10-19/20", span(10, 20, Some(20))),
            ("bytes 10-19/*", span(10, 20, None)),
            ("bytes 10-20/20", None),
            ("bytes 10-9/20", None),
            ("bytes */20", None),
            ("bytes +1-2/20", None),
            ("bytes 0-18446744073709551615/*", None),
            ("bytes 0-1/", None),
            ("lines 0-1/2", None),
            ("", None),
        ] {
            assert_eq!(Span::parse(value), expected, "{value}");
        }
    }
}
