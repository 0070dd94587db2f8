//! Names in a directory: which fit 8.3, which need a long name, and the alias of each.

use std::collections::{BTreeMap, BTreeSet};

/// A name padded with spaces to 8 + 3 characters, as a directory entry holds it.
pub(super) type ShortName = [u8; 11];

/// What `.` and `..` are called on disk.
pub(super) const DOT: ShortName = *b".          ";
pub(super) const DOT_DOT: ShortName = *b"..         ";

/// Longest name in UTF-16 units.
pub(super) const LONG_MAX: usize = 255;

/// A name as a directory holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntryName {
    pub(super) short: ShortName,
    /// The name in UTF-16; empty if the short name says it all.
    pub(super) long: Vec<u16>,
}

/// Why a name cannot be in a FAT directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    NotUtf8,
    Forbidden(char),
    DotOrSpaceAtEnd,
    TooLong,
    SameAs(String),
    NoAliasLeft,
}

impl Reason {
    pub(super) fn message(&self) -> String {
        match self {
            Self::NotUtf8 => "the name is not UTF-8, so FAT cannot hold it".into(),
            Self::Forbidden(c) => format!("FAT allows no {c:?} in a name"),
            Self::DotOrSpaceAtEnd => "FAT allows no dot or space at the end of a name".into(),
            Self::TooLong => format!("the name is longer than the {LONG_MAX} UTF-16 units FAT allows"),
            Self::SameAs(other) => format!("FAT cannot tell the name from {other:?}, it ignores case"),
            Self::NoAliasLeft => "too many names in this directory are alike: no 8.3 alias is left".into(),
        }
    }
}

/// The entries for the names of one directory, in their order; or the first name that cannot be there.
///
/// Names that fit 8.3 in some case keep that as their alias; the others get `~1`, `~2` … in the order
/// they come, so that aliases depend on the names alone.
pub(super) fn assign(names: &[&[u8]]) -> Result<Vec<EntryName>, (usize, Reason)> {
    let names = check(names)?;
    let mut aliases: Vec<_> = names.iter().map(|name| exact_alias(name)).collect();
    let mut taken: BTreeSet<ShortName> = aliases.iter().flatten().copied().collect();
    let mut tails = BTreeMap::new();
    for (index, alias) in aliases.iter_mut().enumerate().filter(|(_, alias)| alias.is_none()) {
        let made = numbered_alias(names[index], &mut taken, &mut tails);
        *alias = Some(made.ok_or((index, Reason::NoAliasLeft))?);
    }
    let entries = names.iter().zip(aliases).map(|(name, alias)| {
        let short = alias.expect("every name has got its alias");
        let says_all = shown(&short) == *name;
        EntryName { short, long: if says_all { Vec::new() } else { name.encode_utf16().collect() } }
    });
    Ok(entries.collect())
}

/// Whether an 8.3 name or a label may hold this byte. Everything above ASCII depends on a code page.
pub(super) fn is_short_byte(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"$%'-_@~`!(){}^#&".contains(&byte)
}

fn check<'a>(names: &[&'a [u8]]) -> Result<Vec<&'a str>, (usize, Reason)> {
    let mut folded = BTreeMap::new();
    let mut checked = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        let name = check_name(name).map_err(|reason| (index, reason))?;
        if let Some(other) = folded.insert(fold_case(name), name) {
            return Err((index, Reason::SameAs(other.to_owned())));
        }
        checked.push(name);
    }
    Ok(checked)
}

fn check_name(name: &[u8]) -> Result<&str, Reason> {
    let name = std::str::from_utf8(name).map_err(|_| Reason::NotUtf8)?;
    if let Some(c) = name.chars().find(|&c| c < ' ' || c == '\x7f' || "\"*/:<>?\\|".contains(c)) {
        return Err(Reason::Forbidden(c));
    }
    if name.ends_with(['.', ' ']) {
        return Err(Reason::DotOrSpaceAtEnd);
    }
    if name.encode_utf16().count() > LONG_MAX {
        return Err(Reason::TooLong);
    }
    Ok(name)
}

/// Upper case, character by character: FAT's own table changes no lengths.
fn fold_case(name: &str) -> String {
    let upper = |c: char| {
        let mut upper = c.to_uppercase();
        if upper.len() == 1 { upper.next().unwrap_or(c) } else { c }
    };
    name.chars().map(upper).collect()
}

/// The name in upper case, if it then fits 8.3 as it is.
fn exact_alias(name: &str) -> Option<ShortName> {
    let upper = name.to_ascii_uppercase();
    let (base, extension) = upper.split_once('.').unwrap_or((&upper, ""));
    let fits = |part: &str, max: usize| part.len() <= max && part.bytes().all(is_short_byte);
    let whole = !base.is_empty() && (upper.len() == base.len() || !extension.is_empty());
    (whole && fits(base, 8) && fits(extension, 3)).then(|| short_name(base, extension))
}

/// The next alias with a `~n` that is not taken.
fn numbered_alias(
    name: &str,
    taken: &mut BTreeSet<ShortName>,
    tails: &mut BTreeMap<(String, String), u32>,
) -> Option<ShortName> {
    let name = name.trim_start_matches(['.', ' ']);
    let (base, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let (base, extension) = (squeezed(base, 8), squeezed(extension, 3));
    let next = tails.entry((base.clone(), extension.clone())).or_insert(1);
    while *next < 1_000_000 {
        let tail = format!("~{next}");
        *next += 1;
        let kept = base.len().min(8 - tail.len());
        let alias = short_name(&format!("{}{tail}", &base[..kept]), &extension);
        if taken.insert(alias) {
            return Some(alias);
        }
    }
    None
}

/// The first `max` characters that an alias keeps: no dots and spaces, `_` for what 8.3 has not.
fn squeezed(part: &str, max: usize) -> String {
    let kept = part.chars().filter(|c| !matches!(c, '.' | ' ')).map(|c| c.to_ascii_uppercase());
    let held = kept.map(|c| if u8::try_from(c).is_ok_and(is_short_byte) { c } else { '_' });
    held.take(max).collect()
}

fn short_name(base: &str, extension: &str) -> ShortName {
    let mut short = [b' '; 11];
    short[..base.len()].copy_from_slice(base.as_bytes());
    short[8..8 + extension.len()].copy_from_slice(extension.as_bytes());
    short
}

/// The name an 8.3 entry shows.
pub(super) fn shown(short: &ShortName) -> String {
    let (base, extension) = short.split_at(8);
    let text = |part: &[u8]| String::from_utf8_lossy(part).trim_end().to_owned();
    if extension == b"   " { text(base) } else { format!("{}.{}", text(base), text(extension)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aliases(names: &[&str]) -> Vec<String> {
        let bytes: Vec<_> = names.iter().map(|name| name.as_bytes()).collect();
        let describe = |entry: &EntryName| {
            format!("{}{}", shown(&entry.short), if entry.long.is_empty() { "" } else { " (long)" })
        };
        assign(&bytes).unwrap().iter().map(describe).collect()
    }

    #[test]
    fn names_that_fit_need_no_long_name() {
        assert_eq!(
            aliases(&["EFI", "BOOTX64.EFI", "A~1", "$%'-_@~`.!()"]),
            ["EFI", "BOOTX64.EFI", "A~1", "$%'-_@~`.!()"]
        );
    }

    #[test]
    fn lower_case_keeps_its_case_in_a_long_name() {
        assert_eq!(
            aliases(&["grub.cfg", "mmx64.efi", "Boot"]),
            ["GRUB.CFG (long)", "MMX64.EFI (long)", "BOOT (long)"]
        );
    }

    #[test]
    fn long_names_are_numbered() {
        assert_eq!(
            aliases(&["initrd.img-1.gz", "initrd.img-2.gz", ".config", "no ext", "a.b.c", "é.txt", "x.html"]),
            ["INITRD~1.GZ", "INITRD~2.GZ", "CONFIG~1", "NOEXT~1", "AB~1.C", "_~1.TXT", "X~1.HTM"]
                .map(|n| format!("{n} (long)"))
        );
    }

    #[test]
    fn an_alias_is_never_the_name_of_another() {
        assert_eq!(
            aliases(&["longfile name", "longfi~1", "LONGFI~2"]),
            ["LONGFI~3 (long)", "LONGFI~1 (long)", "LONGFI~2"]
        );
    }

    #[test]
    fn a_thousand_names_alike_have_a_thousand_aliases() {
        let names: Vec<_> = (0..1000).map(|n| format!("one long name {n}")).collect();
        let shown = aliases(&names.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((shown[0].as_str(), shown[999].as_str()), ("ONELON~1 (long)", "ONE~1000 (long)"));
        assert_eq!(shown.iter().collect::<BTreeSet<_>>().len(), 1000);
    }

    #[test]
    fn impossible_names_are_refused() {
        let reason = |names: &[&[u8]]| assign(names).unwrap_err();
        assert_eq!(reason(&[b"ok", b"\xff"]), (1, Reason::NotUtf8));
        assert_eq!(reason(&[b"a:b"]), (0, Reason::Forbidden(':')));
        assert_eq!(reason(&[b"a\nb"]), (0, Reason::Forbidden('\n')));
        assert_eq!(reason(&[b"end."]), (0, Reason::DotOrSpaceAtEnd));
        assert_eq!(reason(&["é".repeat(256).as_bytes()]), (0, Reason::TooLong));
        assert_eq!(reason(&["É".as_bytes(), "é".as_bytes()]), (1, Reason::SameAs("É".into())));
        assert!(assign(&["é".repeat(255).as_bytes()]).is_ok());
    }
}
