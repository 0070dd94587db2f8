//! One record of comma-separated values, as Go's `encoding/csv` reads it for `--output` (RFC 4180).

use std::iter::Peekable;
use std::str::Chars;

/// The fields of a record; `None` if it is not one.
pub(super) fn fields(record: &str) -> Option<Vec<String>> {
    let mut chars = record.chars().peekable();
    let mut fields = Vec::new();
    chars.peek()?;
    loop {
        let field = match chars.next_if_eq(&'"') {
            Some(_) => quoted(&mut chars)?,
            None => bare(&mut chars)?,
        };
        fields.push(field);
        match chars.next() {
            None => return Some(fields),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

/// A field as it has to be written.
pub(super) fn quote(field: &str) -> String {
    match field.contains([',', '"', '\n']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}

/// What follows an opening quote, up to the closing one; two quotes are one inside.
fn quoted(chars: &mut Peekable<Chars>) -> Option<String> {
    let mut field = String::new();
    loop {
        match chars.next()? {
            '"' if chars.next_if_eq(&'"').is_none() => return Some(field),
            char => field.push(char),
        }
    }
}

fn bare(chars: &mut Peekable<Chars>) -> Option<String> {
    let mut field = String::new();
    while let Some(char) = chars.next_if(|char| *char != ',') {
        if char == '"' || char == '\n' {
            return None;
        }
        field.push(char);
    }
    Some(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_survive() {
        for field in ["a", "a,b", "say \"hi\"", "\"", "a\nb", "a=b c"] {
            assert_eq!(fields(&format!("x,{}", quote(field))).unwrap(), ["x", field]);
        }
    }

    #[test]
    fn records_are_read_as_go_reads_them() {
        for (record, expected) in [
            ("a", Some(&["a"][..])),
            ("type=vmdisk,dest=web.qcow2", Some(&["type=vmdisk", "dest=web.qcow2"])),
            ("a,,b,", Some(&["a", "", "b", ""])),
            (" a , b ", Some(&[" a ", " b "])),
            (r#""dest=a,b",c"#, Some(&["dest=a,b", "c"])),
            (r#""say ""hi""",x"#, Some(&[r#"say "hi""#, "x"])),
            (r#""""#, Some(&[""])),
            ("\"a\nb\"", Some(&["a\nb"])),
            ("a=b=c", Some(&["a=b=c"])),
            ("", None),
            (r#"a"b"#, None),
            (r#"dest="a,b""#, None),
            (r#""a"b"#, None),
            (r#""a"#, None),
            (r#"""""#, None),
            ("a\nb", None),
        ] {
            let fields = fields(record);
            let fields = fields.as_ref().map(|fields| fields.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(fields.as_deref(), expected, "{record:?}");
        }
    }
}
