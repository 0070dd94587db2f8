//! Reading tar archives: one member after the other, forward only.
//!
//! ```text
//! ┌ x, g: pax records ┐┌ L, K: long name ┐┌ header ┐┌ data, padded ┐┌ header ┐ … ┌ two blocks of zero ┐
//! ```
//!
//! Formats: v7, ustar, pax, GNU and star. Names and xattrs are bytes, binary values included. Sparse files
//! in all versions of GNU tar (old, 0.0, 0.1, 1.0). Refused: volumes of several, incremental dumps, types
//! that nobody knows, ACLs with names instead of numbers.
//!
//! Specification: IEEE Std 1003.1-2024, pax; <https://www.gnu.org/software/tar/manual/html_node/Standard.html>.

mod acl;
mod format;
mod member;
mod pax;
mod sparse;
#[cfg(test)]
mod tests;

use std::io::{ErrorKind, Read};

use zerocopy::FromBytes;

pub(super) use member::{Data, Member, What};

use super::fault::Fault;
use crate::limits::{Budget, EXTENDED_HEADER, EXTENDED_HEADERS, XATTRS};
use crate::tree::SectionReader;
use format::{BLOCK, GnuSparseExtension, GnuTail, Header, text, unsigned};
use member::{check_len, clean_path, show};
use pax::Records;
use sparse::{Map, read_map};

/// A stream in which one can leave something out.
pub(super) trait Stream: Read {
    /// Leave out the next bytes.
    fn skip(&mut self, bytes: u64) -> std::io::Result<()>;
}

impl Stream for SectionReader {
    fn skip(&mut self, bytes: u64) -> std::io::Result<()> {
        self.skip(bytes);
        Ok(())
    }
}

/// The members of an archive.
pub(super) struct Members<'a, S> {
    stream: &'a mut S,
    /// Bytes of the stream that are read.
    position: u64,
    /// Where the next header begins.
    next: u64,
    /// Records for all members that follow.
    globals: Records,
}

/// What comes in front of a header and belongs to it.
struct Ahead {
    records: Records,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Budget,
}

/// A sparse file: its map, its length, and how much of what is stored of it the map takes.
struct Sparse {
    map: Map,
    len: u64,
    map_size: u64,
}

/// How an archive ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With a block of zeros, as it should.
    Marked,
    /// Where the next header would be. Some programs forget the mark, but it may also be truncated.
    Unmarked,
}

/// The next member, or the end.
#[derive(Debug)]
pub(super) enum Next {
    Member(Box<Member>),
    End(End),
}

impl<'a, S: Stream> Members<'a, S> {
    pub(super) fn new(stream: &'a mut S) -> Self {
        Self { stream, position: 0, next: 0, globals: Records::default() }
    }

    /// The next member; what was not read of the one before is left out.
    pub(super) fn next(&mut self) -> Result<Next, Fault> {
        let mut ahead = Ahead {
            records: self.globals.clone(),
            path: None,
            link: None,
            size: Budget::new("bytes in front of one member", EXTENDED_HEADERS),
        };
        loop {
            let (header, block) = match self.header()? {
                Ok(header) => header,
                Err(end) => return Ok(Next::End(end)),
            };
            if !header.is_sealed(&block) {
                let at = self.position - BLOCK as u64;
                return Err(Fault::corrupt(format!("no tar header at offset {at}")));
            }
            match header.typeflag {
                b'x' | b'X' => {
                    let records = self.extended(&header, &mut ahead.size)?;
                    ahead.records.parse(&records)?;
                }
                b'g' => {
                    let records = self.extended(&header, &mut ahead.size)?;
                    self.globals.parse_global(&records)?;
                    ahead.records.parse(&records)?;
                }
                b'L' => ahead.path = Some(text(&self.extended(&header, &mut ahead.size)?).to_vec()),
                b'K' => ahead.link = Some(text(&self.extended(&header, &mut ahead.size)?).to_vec()),
                // The label of a volume.
                b'V' => self.next = self.position,
                _ => return self.member(&header, ahead).map(|member| Next::Member(Box::new(member))),
            }
        }
    }

    /// The bytes of the current member, from where they were read to.
    pub(super) fn read_exact(&mut self, out: &mut [u8]) -> Result<(), Fault> {
        self.stream.read_exact(out)?;
        self.position += out.len() as u64;
        Ok(())
    }

    /// The header that is next, with its block.
    fn header(&mut self) -> Result<Result<(Header, [u8; BLOCK]), End>, Fault> {
        self.stream.skip(self.next - self.position)?;
        self.position = self.next;
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.stream.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(Err(End::Unmarked)),
                Ok(0) => return Err(std::io::Error::from(ErrorKind::UnexpectedEof).into()),
                Ok(len) => filled += len,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.position += BLOCK as u64;
        if block == [0; BLOCK] {
            return Ok(Err(End::Marked));
        }
        let header = Header::read_from_bytes(&block).expect("a header is a block");
        Ok(Ok((header, block)))
    }

    /// The content of a header that belongs to the next one.
    fn extended(&mut self, header: &Header, ahead: &mut Budget) -> Result<Vec<u8>, Fault> {
        let size = unsigned(&header.size).filter(|&size| size <= EXTENDED_HEADER);
        let size = size.ok_or_else(|| Fault::corrupt("an extended header has more than 1 MiB"))?;
        let exceeded = |exceeded| Fault::exceeded(&format!("at offset {}", self.position), exceeded);
        ahead.spend((size + 1).next_multiple_of(BLOCK as u64) + BLOCK as u64).map_err(exceeded)?;
        let mut content = vec![0; size as usize];
        self.read_exact(&mut content)?;
        self.next = self.position.next_multiple_of(BLOCK as u64);
        Ok(content)
    }

    fn member(&mut self, header: &Header, ahead: Ahead) -> Result<Member, Fault> {
        let Ahead { mut records, path, link, .. } = ahead;
        let path = records.path.take().or(path).unwrap_or_else(|| header.path());
        let path = records.sparse.name.take().unwrap_or(path);
        let link = records.link_path.take().or(link).unwrap_or_else(|| text(&header.linkname).to_vec());
        let shown = show(&path);
        let is_directory = path.ends_with(b"/");
        let path = clean_path(&path)?;
        check_len(&link, &shown)?;
        if records.xattrs_len > XATTRS {
            let len = records.xattrs_len;
            let message = format!("{shown}: {len} bytes of extended attributes, Linux takes {XATTRS}");
            return Err(Fault::corrupt(message));
        }
        let meta = member::meta(header, &mut records).ok_or_else(|| {
            Fault::corrupt(format!("{shown}: owner, mode or time is no number of a tar header"))
        })?;
        // Of the others the size says nothing, whatever it is.
        let what = match header.typeflag {
            b'0' | 0 | b'7' if is_directory => What::Directory,
            b'0' | 0 | b'7' | b'S' => What::File(self.data(header, &records, &shown)?),
            b'1' => What::HardLink(clean_path(&link)?),
            b'2' => What::Symlink(link),
            b'3' => What::CharDevice(member::device(header, &records, &shown)?),
            b'4' => What::BlockDevice(member::device(header, &records, &shown)?),
            b'5' => What::Directory,
            b'6' => What::Fifo,
            b'D' | b'M' | b'N' => {
                return Err(Fault::unsupported(format!("{shown}: part of an incremental or split archive")));
            }
            other => {
                let other = char::from(other).escape_default();
                return Err(Fault::unsupported(format!("{shown}: members of type '{other}' are not known")));
            }
        };
        if !matches!(what, What::File(_)) {
            self.next = self.position;
        }
        Ok(Member { path, meta, what })
    }

    /// Where the content of a file lies.
    fn data(&mut self, header: &Header, records: &Records, shown: &str) -> Result<Data, Fault> {
        let invalid = || Fault::corrupt(format!("{shown}: the size is no number of a tar header"));
        let size = records.size.or_else(|| unsigned(&header.size)).ok_or_else(invalid)?;
        let sparse = self.sparse(header, records, shown)?;
        let in_map = sparse.as_ref().map_or(0, |sparse| sparse.map_size);
        let stored = size.checked_sub(in_map).ok_or_else(invalid)?;
        let offset = self.position;
        let end = offset.checked_add(stored).and_then(|end| end.checked_next_multiple_of(BLOCK as u64));
        self.next = end.ok_or_else(invalid)?;
        match sparse {
            None => Ok(Data { len: stored, offset, pieces: None }),
            Some(Sparse { map, len, .. }) => {
                Ok(Data { len, offset, pieces: Some(map.finish(len, stored, offset)?) })
            }
        }
    }

    /// The map of a sparse file; `None` if it is not one.
    fn sparse(&mut self, header: &Header, records: &Records, shown: &str) -> Result<Option<Sparse>, Fault> {
        let no_size = || Fault::corrupt(format!("{shown}: a sparse file without its size"));
        if header.typeflag == b'S' {
            let gnu = header.gnu().ok_or_else(no_size)?;
            let len = unsigned(&gnu.realsize).ok_or_else(no_size)?;
            return Ok(Some(Sparse { map: self.gnu_map(gnu)?, len, map_size: 0 }));
        }
        let pax::Sparse { major, minor, real_size, map: pairs, .. } = &records.sparse;
        match major.zip(*minor) {
            Some((1, 0)) => {
                let start = self.position;
                let map = read_map(|| self.block())?;
                Ok(Some(Sparse { map, len: real_size.ok_or_else(no_size)?, map_size: self.position - start }))
            }
            None | Some((0, _)) if pairs.is_empty() => Ok(None),
            None | Some((0, _)) => {
                let mut map = Map::default();
                for pair in pairs.chunks(2) {
                    map.push(pair[0], *pair.get(1).ok_or_else(no_size)?)?;
                }
                Ok(Some(Sparse { map, len: real_size.ok_or_else(no_size)?, map_size: 0 }))
            }
            _ => Err(Fault::unsupported(format!("{shown}: sparse in a way that is not known"))),
        }
    }

    /// The map in an old header and in the blocks behind it, which no size counts.
    fn gnu_map(&mut self, gnu: &GnuTail) -> Result<Map, Fault> {
        let mut map = Map::default();
        map.push_gnu(&gnu.sp)?;
        let mut is_extended = gnu.isextended != 0;
        while is_extended {
            let block = self.block()?;
            let extension = GnuSparseExtension::ref_from_bytes(&block).expect("an extension is a block");
            map.push_gnu(&extension.sp)?;
            is_extended = extension.isextended != 0;
        }
        Ok(map)
    }

    fn block(&mut self) -> Result<[u8; BLOCK], Fault> {
        let mut block = [0; BLOCK];
        self.read_exact(&mut block)?;
        Ok(block)
    }
}
