//! The files of a package, wherever they lie.

use sha2::{Digest, Sha256};

use super::descriptor::{Appliance, DiskFile};
use crate::container::archive::RECORD;
use crate::container::hashed::Hashed;
use crate::container::members::FileName;
use crate::container::place::Place;
use crate::container::vmdk;
use crate::error::Result;
use crate::seed::Uuid;

/// What the names of its files end in, behind that of the machine.
pub(in crate::container) const FILES: &[FileName] =
    &[FileName::Ends(DESCRIPTOR), FileName::Ends(DISK), FileName::Ends(MANIFEST)];

const DESCRIPTOR: &str = ".ovf";
const DISK: &str = "-disk1.vmdk";
const MANIFEST: &str = ".mf";

/// A machine and its disk, before its files are written.
pub(super) struct Package<'a> {
    appliance: &'a Appliance,
    /// Bytes of the disk.
    capacity: u64,
    /// Bytes of the descriptor, whatever it will have to say.
    descriptor_len: u64,
}

/// A small file that tells of the others.
pub(super) struct Text {
    pub(super) name: String,
    pub(super) content: String,
}

impl<'a> Package<'a> {
    /// With a disk of `size` bytes, rounded up to whole sectors.
    pub(super) fn new(size: u64, appliance: &'a Appliance) -> Self {
        let mut package = Self { appliance, capacity: size.next_multiple_of(RECORD), descriptor_len: 0 };
        package.descriptor_len = package.description(u64::MAX, u64::MAX).len() as u64;
        package
    }

    /// Bytes of the descriptor.
    pub(super) fn descriptor_len(&self) -> u64 {
        self.descriptor_len
    }

    /// The name of the file that the disk is in.
    pub(super) fn disk_name(&self) -> String {
        self.name(DISK)
    }

    /// What writes that file, from front to end, and digests it on the way.
    ///
    /// # Errors
    /// Those of the VMDK.
    pub(super) fn disk<P: Place>(&self, size: u64, id: Uuid, place: P) -> Result<vmdk::Writer<Hashed<P>>> {
        vmdk::Writer::new(size, id, Hashed::new(place))
    }

    /// The descriptor and the manifest of a disk that is written.
    pub(super) fn texts<P: Place>(&self, disk: &vmdk::Writer<Hashed<P>>) -> [Text; 2] {
        let (size, disk_digest) = disk.place().digest();
        let mut content = self.description(size, disk.populated());
        let missing = self.descriptor_len as usize - content.len();
        // White space behind the end says nothing.
        content.extend(std::iter::repeat_n('\n', missing));
        let descriptor = Text { name: self.name(DESCRIPTOR), content };
        let digest = Sha256::digest(&descriptor.content);
        let (name, disk_name) = (&descriptor.name, self.disk_name());
        let content = format!("SHA256({name})= {digest:x}\nSHA256({disk_name})= {disk_digest}\n");
        [descriptor, Text { name: self.name(MANIFEST), content }]
    }

    fn description(&self, size: u64, populated: u64) -> String {
        let name = self.disk_name();
        self.appliance.descriptor(&DiskFile { name: &name, size, capacity: self.capacity, populated })
    }

    fn name(&self, end: &str) -> String {
        format!("{}{end}", self.appliance.file_name())
    }
}
