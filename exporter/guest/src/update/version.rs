//! Which of two versions is the newer one: the Version Format Specification (UAPI.10), as systemd compares them.
//!
//! Source: <https://uapi-group.org/specifications/specs/version_format_specification/>. Where its words and systemd differ, as
//! systemd does it: `1.0~rc1` is older than `1.0`, and `1.0^1` newer than that and older than `1.0.1`.

use std::cmp::Ordering;

/// How `one` compares with `other`.
pub(super) fn compare(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    loop {
        (one, other) = (skip_separators(one), skip_separators(other));
        let order = mark(&mut one, &mut other, b'~').reverse();
        if order.is_ne() || one.is_empty() || other.is_empty() {
            return order.then((!one.is_empty()).cmp(&!other.is_empty()));
        }
        let order = mark(&mut one, &mut other, b'-').reverse();
        let order = order.then_with(|| mark(&mut one, &mut other, b'^').reverse());
        let order = order.then_with(|| mark(&mut one, &mut other, b'.').reverse());
        let order = order.then_with(|| component(&mut one, &mut other));
        if order.is_ne() {
            return order;
        }
    }
}

fn skip_separators(text: &[u8]) -> &[u8] {
    let is_counted = |byte: &u8| byte.is_ascii_alphanumeric() || b"~-^.".contains(byte);
    &text[text.iter().position(is_counted).unwrap_or(text.len())..]
}

/// Which of them begins with a mark; both go on behind it.
fn mark(one: &mut &[u8], other: &mut &[u8], mark: u8) -> Ordering {
    let has = |text: &mut &[u8]| match text.split_first() {
        Some((first, rest)) if *first == mark => {
            *text = rest;
            true
        }
        _ => false,
    };
    has(one).cmp(&has(other))
}

/// Compare a number, or letters, at the start of both, which go on behind it.
fn component(one: &mut &[u8], other: &mut &[u8]) -> Ordering {
    let is_digit = |text: &[u8]| text.first().is_some_and(u8::is_ascii_digit);
    if is_digit(one) || is_digit(other) {
        let number = |text: &mut &[u8]| {
            let digits = take(text, u8::is_ascii_digit);
            let zeroes = digits.iter().take_while(|digit| **digit == b'0').count();
            digits[zeroes..].to_vec()
        };
        let (one, other) = (number(one), number(other));
        return one.len().cmp(&other.len()).then(one.cmp(&other));
    }
    take(one, u8::is_ascii_alphabetic).cmp(take(other, u8::is_ascii_alphabetic))
}

fn take<'a>(text: &mut &'a [u8], is_taken: impl Fn(&u8) -> bool) -> &'a [u8] {
    let end = text.iter().position(|byte| !is_taken(byte)).unwrap_or(text.len());
    let (taken, rest) = text.split_at(end);
    *text = rest;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In this order, and so does systemd have them.
    const ORDERED: &[&str] = &[
        "~1",
        "",
        "ab",
        "abb",
        "abc",
        "0001",
        "002",
        "12",
        "122",
        "122.9",
        "123~rc1",
        "123",
        "123-a",
        "123-a.1",
        "123-a1",
        "123-a1.1",
        "123-3",
        "123-3.1",
        "123-3.1.1",
        "123^patch1",
        "123^1",
        "123.a-1",
        "123.1-1",
        "123a-1",
        "124",
    ];

    #[test]
    fn versions_are_in_the_order_of_systemd() {
        for (at, one) in ORDERED.iter().enumerate() {
            for (place, other) in ORDERED.iter().enumerate() {
                assert_eq!(compare(one, other), at.cmp(&place), "{one} {other}");
            }
        }
    }

    #[test]
    fn what_the_specification_has_as_examples_is_so() {
        for (one, order, other) in [
            ("11", Ordering::Equal, "11"),
            ("systemd-123", Ordering::Equal, "systemd-123"),
            ("bar-123", Ordering::Less, "foo-123"),
            ("123a", Ordering::Greater, "123"),
            ("123.a", Ordering::Greater, "123"),
            ("123.a", Ordering::Less, "123.b"),
            ("123a", Ordering::Greater, "123.a"),
            ("11α", Ordering::Equal, "11β"),
            ("A", Ordering::Less, "a"),
            ("", Ordering::Less, "0"),
            ("0.", Ordering::Greater, "0"),
            ("0.0", Ordering::Greater, "0"),
            ("1_", Ordering::Equal, "1"),
            ("_1", Ordering::Equal, "1"),
            ("1_", Ordering::Less, "1.2"),
            ("1_2_3", Ordering::Greater, "1.3.3"),
            ("1.10.0", Ordering::Greater, "1.9.9"),
            ("1.4.0", Ordering::Less, "1.4.0.1"),
            ("20261201", Ordering::Greater, "20261130"),
            ("99999999999999999999999999", Ordering::Greater, "9999999999999999999999999"),
        ] {
            assert_eq!(compare(one, other), order, "{one} {other}");
            assert_eq!(compare(other, one), order.reverse(), "{other} {one}");
        }
    }
}
