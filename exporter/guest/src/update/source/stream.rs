//! A tar archive that is read once, from its front: stdin. Files come in the order in which they are asked for.
//!
//! ```text
//! SHA256SUMS  SHA256SUMS.minisig  manifest.json  ID_VERSION.root.index  [ID_VERSION.boot.tar.zst]  ID_VERSION.root.zst
//! ```

use std::io::{self, Read};
use std::ops::Range;

use super::Source;
use crate::update::archive::{self, Member};

/// Signatures begin like this. They come behind what they are of, and nobody has to ask for them.
const SIGNATURES: &str = "SHA256SUMS.";

/// The archive.
pub(in crate::update) struct Stream<R> {
    reader: R,
    /// The member that comes next or is being read, and how far it was.
    member: Option<(Member, u64)>,
    moved: u64,
}

impl<R: Read> Stream<R> {
    pub(in crate::update) fn new(reader: R) -> Self {
        Self { reader, member: None, moved: 0 }
    }

    /// Go on to the file of this name. `None`: another one comes first.
    fn find(&mut self, name: &str) -> Result<Option<Member>, String> {
        loop {
            match &self.member {
                Some((member, _)) if member.is_file && member.path == name => {
                    return Ok(Some(member.clone()));
                }
                // Of one that was begun nothing is left to ask for.
                Some((member, at)) if *at == 0 && member.is_file && !member.path.starts_with(SIGNATURES) => {
                    return Ok(None);
                }
                Some((member, at)) => {
                    let left = member.padded() - at;
                    self.skip(left)?;
                }
                None => {}
            }
            self.member = archive::next(&mut self.reader)
                .map_err(|error| format!("stdin: {error}"))?
                .map(|member| (member, 0));
            self.moved += archive::RECORD;
            if self.member.is_none() {
                return Ok(None);
            }
        }
    }

    fn skip(&mut self, len: u64) -> Result<(), String> {
        let skipped = io::copy(&mut (&mut self.reader).take(len), &mut io::sink());
        self.moved += len;
        match skipped {
            Ok(skipped) if skipped == len => Ok(()),
            Ok(_) => Err("stdin: ends before the archive does".to_owned()),
            Err(error) => Err(format!("stdin: {error}")),
        }
    }
}

impl<R: Read> Source for Stream<R> {
    fn small(&mut self, name: &str, max: u64) -> Result<Option<Vec<u8>>, String> {
        let Some(member) = self.find(name)? else { return Ok(None) };
        if member.len > max {
            return Err(super::too_long(name, max));
        }
        let mut bytes = Vec::new();
        let read = self.open(name, 0..member.len)?.read_to_end(&mut bytes);
        read.map_err(|error| format!("{name}: {error}"))?;
        Ok(Some(bytes))
    }

    fn open(&mut self, name: &str, range: Range<u64>) -> Result<Box<dyn Read + '_>, String> {
        let found = self.find(name)?;
        let at = self.member.as_ref().map_or(0, |(_, at)| *at);
        let Some(member) = found.filter(|member| range.end <= member.len && range.start >= at) else {
            return Err(format!(
                "{name}: does not come where it is needed, or is cut short\nhint: the files of the archive have to be in the \
                 order SHA256SUMS, SHA256SUMS.minisig, manifest.json, *.root.index, *.boot.tar.zst, *.root.zst"
            ));
        };
        self.skip(range.start - at)?;
        self.member = Some((member, range.start));
        Ok(Box::new(Part { stream: self, end: range.end }))
    }

    fn has_ranges(&self) -> bool {
        false
    }

    fn moved(&self) -> u64 {
        self.moved
    }
}

/// What is read of the member.
struct Part<'a, R> {
    stream: &'a mut Stream<R>,
    end: u64,
}

impl<R: Read> Read for Part<'_, R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let Some((_, at)) = &mut self.stream.member else { return Ok(0) };
        let len = usize::try_from(self.end - *at).unwrap_or(usize::MAX).min(to.len());
        let read = self.stream.reader.read(&mut to[..len])?;
        if read == 0 && len > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "stdin ends before it does"));
        }
        *at += read as u64;
        self.stream.moved += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::archive::testing::{archive, member, of_type};

    fn files() -> Vec<u8> {
        archive(&[
            of_type(tar::EntryType::Directory, "./", b""),
            member("./SHA256SUMS", b"sums"),
            member("./SHA256SUMS.gpg", b"other"),
            member("./SHA256SUMS.minisig", b"signature"),
            member("./manifest.json", b"{}"),
            member("./root", &[7; 2000]),
        ])
    }

    #[test]
    fn files_come_in_their_order() {
        let bytes = files();
        let mut stream = Stream::new(&bytes[..]);
        assert_eq!(stream.small("SHA256SUMS", 9).unwrap().unwrap(), b"sums");
        assert_eq!(stream.small("SHA256SUMS.minisig", 9).unwrap().unwrap(), b"signature");
        assert_eq!(stream.small("other", 9), Ok(None));
        assert_eq!(stream.small("manifest.json", 9).unwrap().unwrap(), b"{}");
        let mut read = Vec::new();
        stream.open("root", 10..600).unwrap().read_to_end(&mut read).unwrap();
        stream.open("root", 700..2000).unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read.len(), 590 + 1300);
        assert!(!stream.has_ranges());
        assert!(stream.open("root", 0..10).err().unwrap().contains("hint: the files"));
    }

    #[test]
    fn who_asks_for_no_signature_gets_what_comes_behind_it() {
        let bytes = files();
        let mut stream = Stream::new(&bytes[..]);
        assert!(stream.small("SHA256SUMS", 9).unwrap().is_some());
        assert!(stream.small("manifest.json", 1).unwrap_err().contains("more than 1 bytes"));
        assert!(stream.small("manifest.json", 9).unwrap().is_some());
        assert_eq!(stream.small("SHA256SUMS", 9), Ok(None));
    }

    #[test]
    fn what_ends_too_early_is_an_error() {
        let bytes = files();
        for cut in [0, 600, 1500, 5000] {
            let mut stream = Stream::new(&bytes[..cut]);
            let all = |stream: &mut Stream<&[u8]>| -> Result<(), String> {
                stream.small("SHA256SUMS", 9)?;
                let mut read = Vec::new();
                stream.small("manifest.json", 9)?;
                let end = stream.open("root", 0..2000)?.read_to_end(&mut read);
                end.map(drop).map_err(|error| error.to_string())
            };
            assert!(all(&mut stream).unwrap_err().contains("ends before"), "{cut}");
        }
    }
}
