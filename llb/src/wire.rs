//! Protobuf at the level of fields and byte ranges.
//!
//! What is read this way can be patched in place, and fields nobody here knows are carried along.
//! See <https://protobuf.dev/programming-guides/encoding/>.

use std::ops::Range;

/// A field of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// Its number.
    pub(crate) number: u64,
    /// Its value.
    pub(crate) value: Value,
    /// All its bytes, key included, in the buffer that was given.
    pub(crate) span: Range<usize>,
}

/// The value of a field.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// An integer.
    Varint(u64),
    /// Four or eight bytes, which no field of interest has.
    Fixed,
    /// A string, a message or bytes: where they are in the buffer.
    Len(Range<usize>),
}

/// Why bytes are no message.
pub(crate) type Reason = &'static str;

/// The fields of the message that is at `range` of `buffer`; none if that is not inside it.
pub(crate) fn fields(buffer: &[u8], range: Range<usize>) -> Fields<'_> {
    Fields { buffer: buffer.get(..range.end).unwrap_or_default(), at: range.start }
}

/// What is at `range` of `buffer`, as a field has told it.
pub(crate) fn bytes(buffer: &[u8], range: Range<usize>) -> &[u8] {
    buffer.get(range).unwrap_or_default()
}

/// Iterator over the fields of a message. It ends after an error.
pub(crate) struct Fields<'a> {
    buffer: &'a [u8],
    at: usize,
}

impl Iterator for Fields<'_> {
    type Item = Result<Field, Reason>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.buffer.len() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.at = self.buffer.len();
        }
        Some(field)
    }
}

impl Fields<'_> {
    fn field(&mut self) -> Result<Field, Reason> {
        let start = self.at;
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let len = self.varint()?;
                Value::Len(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err("a wire type other than 0, 1, 2 and 5"),
        };
        Ok(Field { number: key >> 3, value, span: start..self.at })
    }

    fn take(&mut self, len: u64) -> Result<Range<usize>, Reason> {
        let left = self.buffer.len().saturating_sub(self.at);
        let len = usize::try_from(len).ok().filter(|len| *len <= left).ok_or("cut short")?;
        let start = self.at;
        self.at += len;
        Ok(start..self.at)
    }

    fn varint(&mut self) -> Result<u64, Reason> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.buffer.get(self.at).ok_or("cut short")?;
            self.at += 1;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("an integer of more than 64 bits")
    }
}

/// Appends an integer field.
pub(crate) fn put_varint(out: &mut Vec<u8>, number: u64, value: u64) {
    varint(out, number << 3);
    varint(out, value);
}

/// Appends a field of bytes, a string or a message.
pub(crate) fn put_len(out: &mut Vec<u8>, number: u64, value: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, value.len() as u64);
    out.extend(value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(buffer: &[u8]) -> Result<Vec<Field>, Reason> {
        fields(buffer, 0..buffer.len()).collect()
    }

    #[test]
    fn fields_are_found_where_they_are() {
        let buffer =
            [0x0a, 0x02, b'h', b'i', 0x10, 0xac, 0x02, 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8];
        let expected = [
            Field { number: 1, value: Value::Len(2..4), span: 0..4 },
            Field { number: 2, value: Value::Varint(300), span: 4..7 },
            Field { number: 3, value: Value::Fixed, span: 7..12 },
            Field { number: 4, value: Value::Fixed, span: 12..21 },
        ];
        assert_eq!(read(&buffer).unwrap(), expected);
    }

    #[test]
    fn the_largest_integer_is_read() {
        let mut buffer = vec![0x08];
        buffer.extend([0xff; 9]);
        buffer.push(0x01);
        assert_eq!(read(&buffer).unwrap()[0].value, Value::Varint(u64::MAX));
    }

    #[test]
    fn what_is_put_is_read() {
        let long = [7; 300];
        let mut buffer = Vec::new();
        put_varint(&mut buffer, 20, u64::MAX);
        let start = buffer.len();
        put_len(&mut buffer, 1, &long);
        let end = buffer.len();
        let expected = [
            Field { number: 20, value: Value::Varint(u64::MAX), span: 0..start },
            Field { number: 1, value: Value::Len(end - long.len()..end), span: start..end },
        ];
        assert_eq!(read(&buffer).unwrap(), expected);
    }

    #[test]
    fn broken_bytes_are_refused() {
        let cases: [&[u8]; 7] = [
            &[0x0a],
            &[0x0a, 0x05, b'h'],
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0x08, 0x80],
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
            &[0x1d, 1, 2, 3],
            &[0x0b],
        ];
        for bytes in cases {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }
}
