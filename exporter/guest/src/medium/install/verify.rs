//! Reads back what was written, from the disk itself, and compares it with what the index says.

use std::ops::Range;

use super::fill::Held;
use super::image::Image;
use super::index::{Block, Index};
use super::progress::Progress;
use super::target::{Aligned, Target};
use crate::update::index::BLOCK;
use crate::update::source::Source;
use crate::update::sums::sha;

/// Blocks that are read at once.
const AT_ONCE: usize = 16;

/// # Errors
/// If a block is not what was written.
pub(super) fn verify(
    image: &Image,
    index: &Index<'_>,
    target: &mut Target,
    held: &Held,
    source: &mut dyn Source,
    progress: &mut Progress,
) -> Result<(), String> {
    target.forget()?;
    let mut buffer = Aligned::new(AT_ONCE * BLOCK);
    let zeroes = vec![0; BLOCK];
    for page in 0..index.pages() {
        let blocks = index.page(page, Some(&mut *source))?;
        for some in blocks.blocks.chunks(AT_ONCE) {
            let Some(place) = whole(some) else { continue };
            let bytes = &mut buffer.bytes()[..(place.end - place.start) as usize];
            target.read(bytes, place.start)?;
            if place.end == image.bytes {
                restore(bytes, &held.last);
            }
            for (block, bytes) in some.iter().zip(bytes.chunks(BLOCK)) {
                // The first has the mark.
                let is_it = match block.place.start {
                    0 => true,
                    _ if block.is_zero => *bytes == zeroes[..bytes.len()],
                    _ => sha(bytes) == block.sha,
                };
                if !is_it {
                    return Err(format!(
                        "{}: what is there at byte {} is not what was written\nhint: the disk is failing: take another one",
                        target.name, block.place.start
                    ));
                }
            }
            progress.add(bytes.len() as u64);
        }
    }
    Ok(())
}

fn whole(blocks: &[Block]) -> Option<Range<u64>> {
    Some(blocks.first()?.place.start..blocks.last()?.place.end)
}

/// The bytes at the end that are kept back.
fn restore(bytes: &mut [u8], last: &[u8]) {
    if let Some(start) = bytes.len().checked_sub(last.len()).filter(|_| !last.is_empty()) {
        // They have to be zeroes on the disk.
        if bytes[start..].iter().all(|byte| *byte == 0) {
            bytes[start..].copy_from_slice(last);
        }
    }
}
