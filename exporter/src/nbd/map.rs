//! What of an image is data, and what is a hole.

use crate::read_at::ReadAt;

/// Smaller holes are told of as data: each costs a message, and a file's end leaves one.
const HOLE_MIN: u64 = 64 << 10;
/// What holes begin and end at multiples of, but for the end of the image.
const UNIT: u64 = 4096;
/// Bytes that are looked at for the end of data.
const FURTHEST: u64 = 128 << 20;

/// Bytes in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Not 0.
    pub(super) len: u64,
    pub(super) is_hole: bool,
}

/// What begins at `at`, up to `end` at most, which is behind it and no further than the image reaches.
pub(super) fn run(view: &dyn ReadAt, at: u64, end: u64) -> Run {
    if let Some(behind) = hole(view, at, end) {
        return Run { len: behind - at, is_hole: true };
    }
    let end = end.min(at.saturating_add(FURTHEST));
    let mut data = at;
    loop {
        let next = view.hole_from(data, end).max(data).next_multiple_of(UNIT);
        if next >= end || hole(view, next, end).is_some() {
            return Run { len: next.clamp(at + 1, end) - at, is_hole: false };
        }
        data = view.data_from(next).max(next + 1);
    }
}

/// Where the hole at `at` ends, if there is a large one; what is left of the image is one of any size.
fn hole(view: &dyn ReadAt, at: u64, end: u64) -> Option<u64> {
    let data = view.data_from(at);
    let is_last = data >= view.size();
    let behind = if is_last { data } else { data / UNIT * UNIT };
    (data > at && (is_last || data - at >= HOLE_MIN)).then(|| behind.min(end))
}
