//! The variables that say whom a firmware believes.
//!
//! Source: UEFI specification 2.10, sections 3.3 ("Globally Defined Variables") and 32.4.1.

use zerocopy::byteorder::little_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::date::civil_date;
use crate::seed::Uuid;

/// `EFI_GLOBAL_VARIABLE` and `EFI_IMAGE_SECURITY_DATABASE_GUID`.
const GLOBAL: Uuid = Uuid::from_text("8be4df61-93ca-11d2-aa0d-00e098032b8c");
const DATABASE: Uuid = Uuid::from_text("d719b2cb-3d3a-4596-a3bc-dad00e67656f");

/// `EFI_VARIABLE_NON_VOLATILE | …_BOOTSERVICE_ACCESS`
pub(super) const KEPT: u32 = 0x03;
/// That, `EFI_VARIABLE_RUNTIME_ACCESS` and `…_TIME_BASED_AUTHENTICATED_WRITE_ACCESS`.
pub(super) const AUTHENTICATED: u32 = KEPT | 0x04 | 0x20;

/// A variable of Secure Boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// The owner's key: who may change it, and KEK. A firmware that has one is in user mode.
    Pk,
    /// Who may change db and dbx.
    Kek,
    /// Who may sign programs.
    Db,
    /// Which programs and keys are not to be believed.
    Dbx,
}

impl Variable {
    /// All of them, in the order in which a firmware takes them: PK ends its setup mode.
    pub const ALL: [Self; 4] = [Self::Dbx, Self::Db, Self::Kek, Self::Pk];

    /// Its name, which its files have before `.auth` and `.esl`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pk => "PK",
            Self::Kek => "KEK",
            Self::Db => "db",
            Self::Dbx => "dbx",
        }
    }

    /// Whose name it is.
    pub(super) fn vendor(self) -> Uuid {
        match self {
            Self::Pk | Self::Kek => GLOBAL,
            Self::Db | Self::Dbx => DATABASE,
        }
    }
}

/// `EFI_TIME` (section 8.3), in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct EfiTime {
    pub(super) year: U16,
    /// From 1 on.
    pub(super) month: u8,
    /// From 1 on.
    pub(super) day: u8,
    pub(super) hour: u8,
    pub(super) minute: u8,
    pub(super) second: u8,
    /// This and the rest are 0 in variables (section 8.2.2).
    pub(super) rest: [u8; 9],
}

const _: () = assert!(size_of::<EfiTime>() == 16);

impl EfiTime {
    /// That of what was never signed.
    pub(super) const NEVER: Self =
        Self { year: U16::ZERO, month: 0, day: 0, hour: 0, minute: 0, second: 0, rest: [0; 9] };

    /// That of so many seconds since 1970; the first and the last that it can say for those before and after.
    pub(super) fn new(seconds: i64) -> Self {
        const LAST: u64 = 253_402_300_799;
        let seconds = u64::try_from(seconds).unwrap_or(0).min(LAST);
        let (year, month, day) = civil_date(seconds / 86_400);
        Self {
            year: U16::new(year as u16),
            month: month as u8,
            day: day as u8,
            hour: (seconds / 3600 % 24) as u8,
            minute: (seconds / 60 % 60) as u8,
            second: (seconds % 60) as u8,
            rest: [0; 9],
        }
    }
}
