//! A key for RSA, as OpenPGP writes its numbers down (RFC 9580, 5.5.5.1), for ring, which wants others (RFC 8017, 3.2).

use std::cmp::Ordering;

use ring::rsa::{KeyPairComponents, PublicKeyComponents};
use ring::signature::RsaKeyPair;

use super::Bytes;

/// The key with this modulus and exponent, and the numbers of its secret half.
pub(super) fn key([n, e]: [&[u8]; 2], secret: &mut Bytes<'_>) -> Option<RsaKeyPair> {
    let [d, p, q, u] = [secret.number()?, secret.number()?, secret.number()?, secret.number()?];
    // What is inverted is p modulo q; there it is the second prime modulo the first.
    let (first, second) = (q, p);
    let numbers = KeyPairComponents {
        public_key: PublicKeyComponents { n: n.to_vec(), e: e.to_vec() },
        d: d.to_vec(),
        p: first.to_vec(),
        q: second.to_vec(),
        dP: remainder(d, &before(first)),
        dQ: remainder(d, &before(second)),
        qInv: u.to_vec(),
    };
    RsaKeyPair::from_components(&numbers).ok()
}

/// The even number before a prime.
fn before(prime: &[u8]) -> Vec<u8> {
    let mut number = prime.to_vec();
    if let Some(last) = number.last_mut() {
        *last &= !1;
    }
    number
}

/// What is left of a number, as long as the divisor: bit by bit, since it is done once for a build.
fn remainder(number: &[u8], divisor: &[u8]) -> Vec<u8> {
    // A byte more than the divisor has, for the bit that is shifted out.
    let divisor = [&[0], divisor].concat();
    let mut rest = vec![0; divisor.len()];
    for bit in number.iter().flat_map(|byte| (0..8).rev().map(move |bit| (byte >> bit) & 1)) {
        shift_in(&mut rest, bit);
        if rest.cmp(&divisor) != Ordering::Less {
            subtract(&mut rest, &divisor);
        }
    }
    rest.split_off(1)
}

fn shift_in(number: &mut [u8], bit: u8) {
    number.iter_mut().rev().fold(bit, |bit, byte| {
        let out = *byte >> 7;
        *byte = (*byte << 1) | bit;
        out
    });
}

fn subtract(number: &mut [u8], other: &[u8]) {
    number.iter_mut().rev().zip(other.iter().rev()).fold(false, |borrows, (byte, other)| {
        let (less, first) = byte.overflowing_sub(*other);
        let (less, second) = less.overflowing_sub(borrows.into());
        *byte = less;
        first || second
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remainders_are_those_of_the_processor() {
        let numbers = [0, 1, 255, 256, 65535, 0x0123_4567_89ab_cdef, u64::MAX];
        for number in numbers {
            for divisor in numbers.into_iter().filter(|divisor| *divisor > 0) {
                let rest = remainder(&number.to_be_bytes(), &divisor.to_be_bytes());
                assert_eq!(rest, (number % divisor).to_be_bytes(), "{number} {divisor}");
            }
        }
        assert_eq!(before(&[1, 3]), [1, 2]);
    }
}
