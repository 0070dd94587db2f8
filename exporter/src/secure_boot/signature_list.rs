//! What a variable has: lists of certificates and digests.
//!
//! Source: UEFI specification 2.10, section 32.4.1, `EFI_SIGNATURE_LIST` and `EFI_SIGNATURE_DATA`.

use cms::cert::x509::Certificate;
use cms::cert::x509::der::{Decode, Encode};
use zerocopy::byteorder::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{Error, Kind, Result};
use crate::pki::Certificates;
use crate::seed::Uuid;

/// `EFI_CERT_X509_GUID`
const X509: Uuid = Uuid::from_text("a5c059a1-94e4-4aa7-87b5-ab155c2bf072");
/// Bytes of the GUID of who has put a signature there.
const OWNER: usize = 16;

/// What a list begins with. Its signatures, each with its owner, are all as long as each other.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    /// What its signatures are.
    signature_type: [u8; 16],
    /// Bytes of the list with this header.
    signature_list_size: U32,
    /// Bytes behind this header that some types have.
    signature_header_size: U32,
    /// Bytes of each signature with its owner.
    signature_size: U32,
}

const _: () = assert!(size_of::<Header>() == 28);

/// A list for each of the certificates, which `owner` has put there.
///
/// # Errors
/// If one of them cannot be said in DER.
pub fn certificate_list(certificates: &Certificates, owner: Uuid) -> Result<Vec<u8>> {
    let list = |certificate: &Certificate| {
        let der = certificate.to_der().map_err(|error| {
            Error::new(Kind::Unsupported, "certificate", format!("cannot be said in DER: {error}"))
        })?;
        let signature_size = OWNER + der.len();
        let header = Header {
            signature_type: X509.to_guid_bytes(),
            signature_list_size: U32::new((size_of::<Header>() + signature_size) as u32),
            signature_header_size: U32::ZERO,
            signature_size: U32::new(signature_size as u32),
        };
        Ok([header.as_bytes(), &owner.to_guid_bytes(), &der].concat())
    };
    Ok(certificates.all().iter().map(list).collect::<Result<Vec<_>>>()?.concat())
}

/// That `lists`, called `place` in messages, are lists as a firmware takes them: one behind the other, and nothing else.
/// Returns how many signatures there are in them.
///
/// # Errors
/// [`Kind::Corrupt`] if they are none; [`Kind::Input`] if there are none.
pub fn check_list(place: &str, lists: &[u8]) -> Result<usize> {
    let (mut rest, mut count) = (lists, 0);
    while !rest.is_empty() {
        let (list, behind) = split(rest).ok_or_else(|| {
            Error::new(Kind::Corrupt, place, "has no lists of signatures as UEFI defines them")
        })?;
        for signature in list.signatures() {
            let is_right = !list.is_of_certificates()
                || signature.get(OWNER..).is_some_and(|der| Certificate::from_der(der).is_ok());
            if !is_right {
                return Err(Error::new(Kind::Corrupt, place, "has a certificate that cannot be read"));
            }
            count += 1;
        }
        rest = behind;
    }
    match count {
        0 => Err(Error::new(Kind::Input, place, "has no signature, and would believe nobody")),
        count => Ok(count),
    }
}

/// A list in other bytes.
struct List<'a> {
    header: Header,
    signatures: &'a [u8],
}

impl<'a> List<'a> {
    fn signatures(&self) -> impl Iterator<Item = &'a [u8]> {
        self.signatures.chunks(self.header.signature_size.get() as usize)
    }

    fn is_of_certificates(&self) -> bool {
        self.header.signature_type == X509.to_guid_bytes()
    }
}

/// The first list, and what is behind it.
fn split(lists: &[u8]) -> Option<(List<'_>, &[u8])> {
    let (header, _) = Header::read_from_prefix(lists).ok()?;
    let (list, behind) = lists.split_at_checked(header.signature_list_size.get() as usize)?;
    let start = size_of::<Header>().checked_add(header.signature_header_size.get() as usize)?;
    let signatures = list.get(start..)?;
    let size = header.signature_size.get() as usize;
    let is_whole = size > OWNER && !signatures.is_empty() && signatures.len().is_multiple_of(size);
    is_whole.then_some((List { header, signatures }, behind))
}
