//! The hash by which large directories are sorted: half of MD4, over signed characters.
//!
//! See [directory.rst](https://docs.kernel.org/filesystems/ext4/directory.html) ("Hash Tree Directories")
//! and RFC 1320 for MD4's round functions and constants.

/// The hash of a name: `major` is what the tree is sorted by, `minor` only breaks ties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NameHash {
    pub(super) major: u32,
    pub(super) minor: u32,
}

/// MD4's start value, in place of a seed that is all zero.
const NO_SEED: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// The half_md4 of `name`; bit 0 of `major` is always clear, it marks collisions in the tree.
pub(super) fn half_md4(name: &[u8], seed: [u32; 4]) -> NameHash {
    let mut state = if seed == [0; 4] { NO_SEED } else { seed };
    let mut rest = name;
    while !rest.is_empty() {
        mix(&mut state, &words(rest));
        rest = &rest[rest.len().min(32)..];
    }
    NameHash { major: state[1] & !1, minor: state[2] }
}

/// Up to 32 bytes of `rest` as eight big-endian words, filled up with its length.
fn words(rest: &[u8]) -> [u32; 8] {
    let len = rest.len() as u32 & 0xff;
    let pad = len << 24 | len << 16 | len << 8 | len;
    let mut words = [pad; 8];
    for (word, bytes) in words.iter_mut().zip(rest.chunks(4)) {
        // Characters are signed: one above 0x7f borrows from those before it.
        *word = bytes.iter().fold(pad, |word, &byte| (word << 8).wrapping_add(byte as i8 as u32));
    }
    words
}

type RoundFunction = fn(u32, u32, u32) -> u32;

/// A round of MD4 on half its input: function, constant, order of the words, rotations.
const ROUNDS: [(RoundFunction, u32, [usize; 8], [u32; 4]); 3] = [
    (|x, y, z| (x & y) | (!x & z), 0, [0, 1, 2, 3, 4, 5, 6, 7], [3, 7, 11, 19]),
    (|x, y, z| (x & y) | (x & z) | (y & z), 0x5a82_7999, [1, 3, 5, 7, 0, 2, 4, 6], [3, 5, 9, 13]),
    (|x, y, z| x ^ y ^ z, 0x6ed9_eba1, [3, 7, 2, 6, 1, 5, 0, 4], [3, 9, 11, 15]),
];

fn mix(state: &mut [u32; 4], words: &[u32; 8]) {
    let [mut a, mut b, mut c, mut d] = *state;
    for (function, constant, order, rotations) in ROUNDS {
        for (step, word) in order.into_iter().enumerate() {
            let sum = a.wrapping_add(function(b, c, d)).wrapping_add(words[word]).wrapping_add(constant);
            (a, b, c, d) = (d, sum.rotate_left(rotations[step % 4]), b, c);
        }
    }
    for (value, add) in state.iter_mut().zip([a, b, c, d]) {
        *value = value.wrapping_add(add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `debugfs -R "dx_hash -h half_md4 [-s UUID] NAME"` of e2fsprogs 1.47.0 prints.
    #[test]
    fn agrees_with_debugfs() {
        let table: [(&str, u32, u32); 4] = [
            ("a", 0xd5fa_7d7a, 0xacb4_8187),
            ("hello", 0x1746_da32, 0x4200_13b5),
            ("a name that is longer than thirty-two bytes, to take two steps", 0xe62d_06fa, 0x01c0_4f00),
            ("naïve-ünïcode", 0x355a_6c30, 0xb8eb_c34d),
        ];
        for (name, major, minor) in table {
            assert_eq!(half_md4(name.as_bytes(), [0; 4]), NameHash { major, minor }, "{name}");
        }
        let seed = [0x0403_0201, 0x0807_0605, 0x0c0b_0a09, 0x100f_0e0d];
        assert_eq!(half_md4(b"hello", seed), NameHash { major: 0xe2dd_f968, minor: 0xc8bc_0924 });
    }
}
