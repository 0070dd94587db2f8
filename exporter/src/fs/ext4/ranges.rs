//! Ranges of block or inode numbers: sorted, and never two that touch.

use std::ops::Range;

/// Sorted ranges, those that touch or overlap as one.
pub(super) fn merged(sorted: impl IntoIterator<Item = Range<u32>>) -> Vec<Range<u32>> {
    let mut out: Vec<Range<u32>> = Vec::new();
    for range in sorted.into_iter().filter(|range| !range.is_empty()) {
        match out.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    out
}

/// The parts of `ranges` that lie in `within`.
pub(super) fn clipped(
    ranges: &[Range<u32>],
    within: Range<u32>,
) -> impl Iterator<Item = Range<u32>> + use<'_> {
    let first = ranges.partition_point(|range| range.end <= within.start);
    let inside = ranges[first..].iter().take_while(move |range| range.start < within.end);
    inside.map(move |range| range.start.max(within.start)..range.end.min(within.end))
}

/// How many numbers of `within` lie in `ranges`.
pub(super) fn count(ranges: &[Range<u32>], within: Range<u32>) -> u32 {
    clipped(ranges, within).map(|range| range.end - range.start).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_touches_is_one_and_what_is_outside_does_not_count() {
        let ranges = merged([0..2, 2..5, 5..5, 7..9, 8..8, 8..12]);
        assert_eq!(ranges, [0..5, 7..12]);
        assert_eq!(clipped(&ranges, 4..8).collect::<Vec<_>>(), [4..5, 7..8]);
        assert_eq!((count(&ranges, 0..100), count(&ranges, 5..7)), (10, 0));
    }
}
