//! What a running firmware takes as the new content of a variable: signed, with a time.
//!
//! Source: UEFI specification 2.10, section 8.2.2, `EFI_VARIABLE_AUTHENTICATION_2`.

use cms::cert::x509::der::Encode;
use cms::signed_data::EncapsulatedContentInfo;
use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::signature_list::check_list;
use super::variable::{AUTHENTICATED, EfiTime, Variable};
use crate::error::{Error, Kind, Result};
use crate::pki::{Signed, Signer, oid};
use crate::seed::Uuid;

/// `EFI_CERT_TYPE_PKCS7_GUID`
const PKCS7: Uuid = Uuid::from_text("4aafd29d-68df-49ee-8aa9-347d375665a7");

/// What the list of a variable follows, with the signature behind it.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    /// Later than that of what is in the variable.
    time_stamp: EfiTime,

    /// Bytes from here on with the signature.
    dw_length: U32,
    /// [`Self::REVISION`]
    w_revision: U16,
    /// [`Self::GUID`]
    w_certificate_type: U16,
    /// [`PKCS7`]
    cert_type: [u8; 16],
}

impl Header {
    const REVISION: u16 = 0x0200;
    /// `WIN_CERT_TYPE_EFI_GUID`: what it is says a GUID.
    const GUID: u16 = 0x0ef1;
    /// Where its length counts from.
    const COUNTED: usize = size_of::<EfiTime>();
}

const _: () = assert!(size_of::<Header>() == 40);

/// What to write into a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    pub(super) time: EfiTime,
    /// Lists of signatures.
    pub(super) lists: Vec<u8>,
}

/// The new content of a variable, `lists`, signed by who may change it, at `time` in seconds since 1970: an `.auth` file.
///
/// # Errors
/// If the signer refuses.
pub fn update(variable: Variable, lists: &[u8], signer: &Signer, time: i64) -> Result<Vec<u8>> {
    let time_stamp = EfiTime::new(time);
    let signed = signed_text(variable, time_stamp, lists);
    // Beside the message, and without attributes: nothing else is allowed.
    let content = EncapsulatedContentInfo { econtent_type: oid::DATA, econtent: None };
    let message = signer.signed_data(content, &Signed::Content(&signed))?;
    let message = message.to_der().map_err(|error| {
        Error::new(Kind::Unsupported, variable.name(), format!("cannot be said in DER: {error}"))
    })?;
    let header = Header {
        time_stamp,
        dw_length: U32::new((size_of::<Header>() - Header::COUNTED + message.len()) as u32),
        w_revision: U16::new(Header::REVISION),
        w_certificate_type: U16::new(Header::GUID),
        cert_type: PKCS7.to_guid_bytes(),
    };
    Ok([header.as_bytes(), &message, lists].concat())
}

/// What is signed: all by which a firmware knows what is to be changed.
pub(super) fn signed_text(variable: Variable, time: EfiTime, lists: &[u8]) -> Vec<u8> {
    let name: Vec<u8> = variable.name().encode_utf16().flat_map(u16::to_le_bytes).collect();
    let attributes = AUTHENTICATED.to_le_bytes();
    [&name[..], &variable.vendor().to_guid_bytes(), &attributes, time.as_bytes(), lists].concat()
}

impl Update {
    /// That in an `.auth` file, called `place` in messages. Whose signature it is, a firmware in setup mode does not ask.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] if it is none, or has no lists as UEFI defines them.
    pub fn read(place: &str, bytes: &[u8]) -> Result<Self> {
        let no =
            || Error::new(Kind::Corrupt, place, "is no update of a variable of UEFI, as .auth files are");
        let (header, _) = Header::read_from_prefix(bytes).map_err(|_| no())?;
        let is_right = header.w_revision.get() == Header::REVISION
            && header.w_certificate_type.get() == Header::GUID
            && header.cert_type == PKCS7.to_guid_bytes();
        let lists = Header::COUNTED.checked_add(header.dw_length.get() as usize);
        let lists = lists.filter(|start| is_right && *start >= size_of::<Header>());
        let lists = lists.and_then(|start| bytes.get(start..)).ok_or_else(no)?;
        check_list(place, lists)?;
        Ok(Self { time: header.time_stamp, lists: lists.to_vec() })
    }

    /// What is in an `.esl` file, called `place` in messages, which nobody has signed.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] if these are no lists as UEFI defines them.
    pub fn unsigned(place: &str, lists: &[u8]) -> Result<Self> {
        check_list(place, lists)?;
        Ok(Self { time: EfiTime::NEVER, lists: lists.to_vec() })
    }
}
