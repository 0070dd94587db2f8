//! Patterns of `modules.alias`: glob(7) without names of classes.

/// Whether `text` matches `pattern`: `*`, `?` and `[…]`.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut position) = (0, 0);
    // Where to go on if the text after the last `*` does not match: one byte later.
    let mut retry = None;
    loop {
        match step(&pattern[at..], text.get(position).copied()) {
            Step::Star => {
                retry = Some((at + 1, position));
                at += 1;
            }
            Step::Matched(len) => {
                at += len;
                position += 1;
            }
            Step::End if position == text.len() => return true,
            Step::End | Step::Failed => match retry {
                Some((after_star, start)) if start < text.len() => {
                    retry = Some((after_star, start + 1));
                    (at, position) = (after_star, start + 1);
                }
                _ => return false,
            },
        }
    }
}

enum Step {
    Star,
    /// One byte of text matched so many of the pattern.
    Matched(usize),
    End,
    Failed,
}

fn step(pattern: &[u8], byte: Option<u8>) -> Step {
    match (pattern, byte) {
        ([], _) => Step::End,
        ([b'*', ..], _) => Step::Star,
        (_, None) => Step::Failed,
        ([b'?', ..], Some(_)) => Step::Matched(1),
        ([b'[', class @ ..], Some(byte)) => match class.iter().position(|&end| end == b']') {
            Some(len) if is_in(&class[..len], byte) => Step::Matched(len + 2),
            _ => Step::Failed,
        },
        ([literal, ..], Some(byte)) if *literal == byte => Step::Matched(1),
        _ => Step::Failed,
    }
}

/// Whether a class such as `0-9A` has `byte`.
fn is_in(mut class: &[u8], byte: u8) -> bool {
    loop {
        let found;
        (found, class) = match class {
            [first, b'-', last, rest @ ..] => ((*first..=*last).contains(&byte), rest),
            [one, rest @ ..] => (*one == byte, rest),
            [] => return false,
        };
        if found {
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_fnmatch_has_it() {
        for (pattern, text, matching) in [
            ("virtio:d00000001v*", "virtio:d00000001v00001AF4", true),
            ("virtio:d00000001v*", "virtio:d00000002v00001AF4", false),
            ("pci:v*d*sv*sd*bc01sc06i01*", "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01", true),
            ("pci:v*d*sv*sd*bc01sc08i02*", "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01", false),
            ("usb:v0CF3p*d000[0-9A]dc*", "usb:v0CF3p9271d0009dc01", true),
            ("usb:v0CF3p*d000[0-9A]dc*", "usb:v0CF3p9271d000Bdc01", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*a*b", "aaaab", true),
            ("a[b", "a[b", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), matching, "{pattern} {text}");
        }
    }

    /// No class is too long.
    #[test]
    fn long_classes_end() {
        let class = "a-b".repeat(1 << 20);
        assert!(matches(format!("[{class}z]").as_bytes(), b"z"));
        assert!(!matches(format!("[{class}]").as_bytes(), b"z"));
    }

    /// The time must not grow with every star.
    #[test]
    fn many_stars_end() {
        let pattern = "a*".repeat(50) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(5000).as_bytes()));
    }
}
