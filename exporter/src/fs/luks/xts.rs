//! `aes-xts-plain64`: AES-256 in XTS mode (IEEE 1619), whose tweak is the number of the sector.
//!
//! By `aes` alone: many blocks at once are what the processor's instructions are fast at, and since sectors are whole
//! blocks, there is no ciphertext to steal.

use aes::Aes256;
use aes::cipher::{Block, BlockEncrypt, KeyInit};

use super::Key;
use crate::extent::Transform;

/// Bytes of a block of AES.
const BLOCK: usize = 16;
/// Blocks that are encrypted at once.
const LANES: usize = 32;
/// Sectors are numbered as if they had so many bytes, whatever they have (dm-crypt without `iv_large_sectors`).
const NUMBERED: u64 = 512;
/// Bytes of a sector of the area of a key slot.
const SLOT_SECTOR: u32 = 512;

/// Encrypts sectors.
pub(super) struct Sectors {
    data: Aes256,
    tweak: Aes256,
    size: usize,
}

impl Sectors {
    /// Those of a volume, of so many bytes.
    pub(super) fn new(key: &Key, size: u32) -> Self {
        let (data, tweak) = key.split_at(key.len() / 2);
        Self { data: Aes256::new(data.into()), tweak: Aes256::new(tweak.into()), size: size as usize }
    }

    /// Those of the area of a key slot.
    pub(super) fn of_key_slot(key: &Key) -> Self {
        Self::new(key, SLOT_SECTOR)
    }

    fn encrypt(&self, number: u64, sector: &mut [u8]) {
        let mut tweak = self.first_tweak(number);
        let mut tweaks = [0; LANES];
        let mut blocks = [Block::<Aes256>::default(); LANES];
        for group in sector.chunks_mut(BLOCK * LANES) {
            let (parts, _) = group.as_chunks_mut::<BLOCK>();
            for ((part, block), of_block) in parts.iter().zip(&mut blocks).zip(&mut tweaks) {
                block.copy_from_slice(&(u128::from_le_bytes(*part) ^ tweak).to_le_bytes());
                (*of_block, tweak) = (tweak, doubled(tweak));
            }
            self.data.encrypt_blocks(&mut blocks[..parts.len()]);
            for ((part, block), of_block) in parts.iter_mut().zip(&blocks).zip(&tweaks) {
                *part = (u128::from_le_bytes((*block).into()) ^ of_block).to_le_bytes();
            }
        }
    }

    fn first_tweak(&self, number: u64) -> u128 {
        let mut block = Block::<Aes256>::default();
        block[..8].copy_from_slice(&number.to_le_bytes());
        self.tweak.encrypt_block(&mut block);
        u128::from_le_bytes(block.into())
    }
}

impl Transform for Sectors {
    fn apply(&self, at: u64, bytes: &mut [u8]) {
        for (number, sector) in (0..).zip(bytes.chunks_mut(self.size)) {
            self.encrypt((at + number * self.size as u64) / NUMBERED, sector);
        }
    }
}

/// The next tweak: that times x, of polynomials modulo x¹²⁸ + x⁷ + x² + x + 1.
fn doubled(tweak: u128) -> u128 {
    tweak << 1 ^ if tweak >> 127 == 1 { 0x87 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vector 10 of IEEE 1619-2007, annex B: AES-256, sector 255.
    #[test]
    fn a_sector_is_encrypted_as_the_standard_has_it() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let key = "27182818284590452353602874713526624977572470936999595749669676273141592653589793238462643383279502884197169399375105820974944592";
        let sectors = Sectors::new(&hex(key).try_into().unwrap(), 512);
        let mut sector: Vec<u8> = (0..512).map(|at| at as u8).collect();
        sectors.apply(255 * 512, &mut sector);
        assert_eq!(sector[..16], hex("1c3b3a102f770386e4836c99e370cf9b")[..]);
        assert_eq!(sector[496..], hex("c4f36ffda9fcea70b9c6e693e148c151")[..]);
    }
}
