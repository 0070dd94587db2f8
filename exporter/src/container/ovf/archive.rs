//! Chunks → an OVA.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use super::descriptor::{Appliance, DiskFile};
use crate::container::archive::{self, Access, END, RECORD};
use crate::container::place::Place;
use crate::container::vmdk;
use crate::engine::{Chunk, Sink, Stored};
use crate::error::Result;
use crate::seed::Uuid;

const ACCESS: Access = Access { mode: 0o644, owner: 0 };

/// Writes an OVA. The disk in it is hashed as it is written: from front to end.
pub(in crate::container) struct Writer<'a> {
    appliance: &'a Appliance,
    capacity: u64,
    /// Bytes left for the descriptor, whatever it will have to say.
    descriptor_room: u64,
    disk: vmdk::Writer<Hashed<'a>>,
    place: &'a dyn Place,
}

impl<'a> Writer<'a> {
    /// A disk of `size` bytes, rounded up to whole sectors, for `appliance`.
    ///
    /// # Errors
    /// Those of the VMDK.
    pub(in crate::container) fn new(
        size: u64,
        id: Uuid,
        appliance: &'a Appliance,
        place: &'a dyn Place,
    ) -> Result<Self> {
        let name = disk_name(appliance);
        let capacity = size.next_multiple_of(RECORD);
        let longest = DiskFile { name: &name, size: u64::MAX, capacity, populated: u64::MAX };
        let descriptor_room = appliance.descriptor(&longest).len() as u64;
        let start = RECORD + descriptor_room.next_multiple_of(RECORD) + RECORD;
        let disk = vmdk::Writer::new(size, id, Hashed::new(place, start))?;
        Ok(Self { appliance, capacity, descriptor_room, disk, place })
    }

    /// The descriptor, with white space behind it that fills its room.
    fn descriptor(&self, size: u64) -> String {
        let name = disk_name(self.appliance);
        let populated = self.disk.populated();
        let file = DiskFile { name: &name, size, capacity: self.capacity, populated };
        let mut descriptor = self.appliance.descriptor(&file);
        let missing = self.descriptor_room as usize - descriptor.len();
        descriptor.extend(std::iter::repeat_n('\n', missing));
        descriptor
    }

    fn write_file(&self, name: &str, content: &str, at: u64) -> Result<()> {
        self.place.write_at(archive::ustar_file(name, ACCESS, content.len() as u64).as_bytes(), at)?;
        self.place.write_at(content.as_bytes(), at + RECORD)
    }
}

impl Sink for Writer<'_> {
    fn encode(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        self.disk.encode(chunk, stored)
    }

    fn commit(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        self.disk.commit(chunk, stored)
    }

    fn finish(&self) -> Result<()> {
        self.disk.finish()?;
        let disk = self.disk.place();
        let (size, disk_digest) = disk.digest();
        let name = self.appliance.file_name();
        let descriptor = self.descriptor(size);
        let descriptor_digest = Sha256::digest(&descriptor);
        let disk_name = disk_name(self.appliance);
        let manifest =
            format!("SHA256({name}.ovf)= {descriptor_digest:x}\nSHA256({disk_name})= {disk_digest}\n",);
        let manifest_at = disk.start + size.next_multiple_of(RECORD);
        let manifest_end = manifest_at + RECORD + (manifest.len() as u64).next_multiple_of(RECORD);
        self.write_file(&format!("{name}.ovf"), &descriptor, 0)?;
        self.place.write_at(archive::ustar_file(&disk_name, ACCESS, size).as_bytes(), disk.start - RECORD)?;
        self.write_file(&format!("{name}.mf"), &manifest, manifest_at)?;
        self.place.set_len(manifest_end + END)
    }
}

fn disk_name(appliance: &Appliance) -> String {
    format!("{}-disk1.vmdk", appliance.file_name())
}

/// A file inside another that is hashed on the way; it has to be written in order.
struct Hashed<'a> {
    place: &'a dyn Place,
    start: u64,
    seen: Mutex<Seen>,
}

struct Seen {
    len: u64,
    hasher: Sha256,
}

impl<'a> Hashed<'a> {
    fn new(place: &'a dyn Place, start: u64) -> Self {
        Self { place, start, seen: Mutex::new(Seen { len: 0, hasher: Sha256::new() }) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The length, and the digest in hexadecimal.
    fn digest(&self) -> (u64, String) {
        let seen = self.seen();
        (seen.len, format!("{:x}", seen.hasher.clone().finalize()))
    }
}

impl Place for Hashed<'_> {
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut seen = self.seen();
        seen.pad(offset);
        seen.hasher.update(bytes);
        seen.len += bytes.len() as u64;
        self.place.write_at(bytes, self.start + offset)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.seen().pad(len);
        self.place.set_len(self.start + len)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.place.read_at(self.start + offset, out)
    }
}

impl Seen {
    /// Hash the zeroes that were left out up to `len`.
    fn pad(&mut self, len: u64) {
        const ZEROES: &[u8] = &[0; 4096];
        assert!(self.len <= len, "what is hashed is written in order");
        while self.len < len {
            let zeroes = (len - self.len).min(ZEROES.len() as u64);
            self.hasher.update(&ZEROES[..zeroes as usize]);
            self.len += zeroes;
        }
    }
}
