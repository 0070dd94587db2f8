//! Versions compared the way people mean them: 3.17 is newer than 3.9.

use std::cmp::Ordering;

/// Compare as dpkg compares upstream versions (deb-version(7)): runs of digits as numbers, `~` before
/// the end of the text, letters before other characters.
pub fn compare(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    while !(left.is_empty() && right.is_empty()) {
        let order = compare_text(split_run(&mut left, false), split_run(&mut right, false))
            .then_with(|| compare_number(split_run(&mut left, true), split_run(&mut right, true)));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// Cut the digits (or the others) off the front of `text`.
fn split_run<'text>(text: &mut &'text [u8], digits: bool) -> &'text [u8] {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit() == digits).count();
    let (run, rest) = text.split_at(len);
    *text = rest;
    run
}

fn compare_text(left: &[u8], right: &[u8]) -> Ordering {
    let weight = |byte: Option<&u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(*letter),
        Some(other) => i32::from(*other) + 256,
    };
    (0..left.len().max(right.len()))
        .map(|at| weight(left.get(at)).cmp(&weight(right.get(at))))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Digits of any number, so none of them overflows.
fn compare_number(left: &[u8], right: &[u8]) -> Ordering {
    let significant =
        |digits: &[u8]| digits.iter().copied().skip_while(|&digit| digit == b'0').collect::<Vec<_>>();
    let (left, right) = (significant(left), significant(right));
    left.len().cmp(&right.len()).then_with(|| left.cmp(&right))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_are_in_the_order_dpkg_has() {
        let ascending = [
            "",
            "3.9",
            "3.17",
            "4.0~rc1",
            "4.0",
            "4.0a",
            "4.0+b",
            "5.10.0-9-amd64",
            "5.10.0-10-amd64",
            "6.1.0-56-cloud-amd64",
            "6.18.56-0-virt",
            "10",
            "20260101000000000000000000000000",
        ];
        for (index, left) in ascending.iter().enumerate() {
            for (other, right) in ascending.iter().enumerate() {
                assert_eq!(compare(left, right), index.cmp(&other), "{left} {right}");
            }
        }
        assert_eq!(compare("1.02", "1.2"), Ordering::Equal);
    }

    proptest! {
        #[test]
        fn dpkg_agrees(left in "[0-9][0-9a-c.+~]{0,8}", right in "[0-9][0-9a-c.+~]{0,8}") {
            let order = compare(&left, &right);
            let relation = match order { Ordering::Less => "lt", Ordering::Equal => "eq", Ordering::Greater => "gt" };
            let status = std::process::Command::new("dpkg").args(["--compare-versions", &left, relation, &right]).status();
            prop_assert!(status.unwrap().success(), "{} {} {}", left, relation, right);
        }
    }
}
