//! The structures of a store of variables, with the specification's field names.

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::secure_boot::variable::EfiTime;
use crate::seed::Uuid;

/// `gEfiSystemNvDataFvGuid`
const NV_DATA: Uuid = Uuid::from_text("fff12b8d-7696-4c8b-a985-2747075b4f50");
/// `gEfiAuthenticatedVariableGuid`
const AUTHENTICATED_VARIABLES: Uuid = Uuid::from_text("aaf32c78-947b-439a-a180-2e144ec37792");

/// `EFI_FIRMWARE_VOLUME_HEADER`, up to the map of blocks.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct FirmwareVolume {
    pub(super) zero_vector: [u8; 16],

    /// What is in it: [`NV_DATA`]
    pub(super) file_system_guid: [u8; 16],

    pub(super) fv_length: U64,
    /// [`Self::SIGNATURE`]
    pub(super) signature: [u8; 4],
    pub(super) attributes: U32,

    /// Bytes of this with the map.
    pub(super) header_length: U16,
    /// With which the sum of all 16-bit words of the header is zero.
    pub(super) checksum: U16,
    pub(super) ext_header_offset: U16,
    pub(super) reserved: u8,
    pub(super) revision: u8,
}

impl FirmwareVolume {
    const SIGNATURE: [u8; 4] = *b"_FVH";

    /// Whether it is a volume with variables, in a file that begins with it.
    pub(super) fn is_one(&self, file: &[u8]) -> bool {
        let header = file.get(..usize::from(self.header_length.get())).unwrap_or_default();
        let words = header.chunks_exact(2).map(|word| u16::from_le_bytes([word[0], word[1]]));
        self.signature == Self::SIGNATURE
            && self.file_system_guid == NV_DATA.to_guid_bytes()
            && header.len() > size_of::<Self>()
            && words.fold(0, u16::wrapping_add) == 0
    }
}

const _: () = assert!(size_of::<FirmwareVolume>() == 56);
const _: () = assert!(std::mem::offset_of!(FirmwareVolume, header_length) == 48);

/// `VARIABLE_STORE_HEADER`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct StoreHeader {
    /// What is in it: [`AUTHENTICATED_VARIABLES`]
    pub(super) signature: [u8; 16],

    /// Bytes of this with all variables.
    pub(super) size: U32,
    /// [`Self::FORMATTED`]
    pub(super) format: u8,
    /// [`Self::HEALTHY`]
    pub(super) state: u8,
    pub(super) reserved: U16,
    pub(super) reserved1: U32,
}

impl StoreHeader {
    const FORMATTED: u8 = 0x5a;
    const HEALTHY: u8 = 0xfe;

    pub(super) fn is_one(&self) -> bool {
        self.signature == AUTHENTICATED_VARIABLES.to_guid_bytes()
            && (self.format, self.state) == (Self::FORMATTED, Self::HEALTHY)
    }
}

const _: () = assert!(size_of::<StoreHeader>() == 28);

/// `AUTHENTICATED_VARIABLE_HEADER`, with the name and the data behind it.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct VariableHeader {
    /// [`Self::START`]
    pub(super) start_id: U16,
    /// Of its life: each step clears one bit more.
    pub(super) state: u8,
    pub(super) reserved: u8,
    pub(super) attributes: U32,
    pub(super) monotonic_count: U64,

    /// When what is in it was signed.
    pub(super) time_stamp: EfiTime,

    pub(super) pub_key_index: U32,
    /// Bytes.
    pub(super) name_size: U32,
    /// Bytes.
    pub(super) data_size: U32,
    pub(super) vendor_guid: [u8; 16],
}

impl VariableHeader {
    pub(super) const START: u16 = 0x55aa;
    /// What each begins at a multiple of.
    pub(super) const ALIGNMENT: usize = 4;
    /// `VAR_ADDED`
    const ADDED: u8 = 0x3f;
    /// `VAR_ADDED & VAR_IN_DELETED_TRANSITION`: a newer one was about to take its place.
    const IN_DELETED_TRANSITION: u8 = 0x3e;

    /// That of a variable that is there.
    pub(super) fn new(attributes: u32, time_stamp: EfiTime, [name, data]: [usize; 2], vendor: Uuid) -> Self {
        Self {
            start_id: U16::new(Self::START),
            state: Self::ADDED,
            reserved: 0,
            attributes: U32::new(attributes),
            monotonic_count: U64::ZERO,
            time_stamp,
            pub_key_index: U32::ZERO,
            name_size: U32::new(name as u32),
            data_size: U32::new(data as u32),
            vendor_guid: vendor.to_guid_bytes(),
        }
    }

    /// Whether firmware would find it.
    pub(super) fn counts(&self) -> bool {
        matches!(self.state, Self::ADDED | Self::IN_DELETED_TRANSITION)
    }
}

const _: () = assert!(size_of::<VariableHeader>() == 60);
const _: () = assert!(std::mem::offset_of!(VariableHeader, vendor_guid) == 44);
