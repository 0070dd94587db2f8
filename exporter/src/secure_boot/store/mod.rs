//! The variables of a virtual machine's firmware, as OVMF keeps them in a file.
//!
//! ```text
//! ┌──────────────────┬──────────────┬────────┬──────┬──────┬────────┬──────┬───────────┬─────────────────────────┐
//! │ firmware volume  │ store header │ header │ name │ data │ header │ name │ … 0xff …  │ what rewriting it needs │
//! └──────────────────┴──────────────┴────────┴──────┴──────┴────────┴──────┴───────────┴─────────────────────────┘
//! 0                  0x48           0x64     each variable begins at a multiple of 4
//! ```
//!
//! A template is read, and written anew with other keys: what else is in it stays. Nothing in it is believed.
//!
//! Source: UEFI Platform Initialization specification 1.8, volume 3, section 3.2.1 (`EFI_FIRMWARE_VOLUME_HEADER`); EDK II,
//! `MdeModulePkg/Include/Guid/VariableFormat.h` and `OvmfPkg/Include/Fdf/VarStore.fdf.inc`.

mod format;

use zerocopy::{FromBytes, IntoBytes};

use self::format::{FirmwareVolume, StoreHeader, VariableHeader};
use super::auth::Update;
use super::variable::{AUTHENTICATED, EfiTime, KEPT, Variable};
use crate::error::{Error, Kind, Result};
use crate::seed::Uuid;

/// `gEfiSecureBootEnableDisableGuid`: whether a firmware that has a PK asks for signatures.
const ENABLE: (&str, Uuid) = ("SecureBootEnable", Uuid::from_text("f0a30bc7-af08-4556-99c4-001009c93a44"));
/// `gEfiCustomModeEnableGuid`: whether who sits in front of it may change the keys without a signature.
const CUSTOM: (&str, Uuid) = ("CustomMode", Uuid::from_text("c076ec0c-7028-4399-a072-71ee5c448b9f"));
/// What flash has where nothing was written.
const ERASED: u8 = 0xff;

/// The template of a store, called `place` in messages, with these variables in place of its own, and Secure Boot enforced.
///
/// # Errors
/// [`Kind::Input`] if it is no store of OVMF's, [`Kind::Corrupt`] if it is a broken one, [`Kind::NoSpace`] if it has no
/// room for them.
pub fn enroll(place: &str, template: &[u8], updates: &[(Variable, Update)]) -> Result<Vec<u8>> {
    let store = Store::find(place, template)?;
    let mut kept = store.variables(place, template)?;
    let mut new: Vec<_> =
        updates.iter().map(|(variable, update)| Entry::of_update(*variable, update)).collect();
    new.extend([Entry::flag(ENABLE, true), Entry::flag(CUSTOM, false)]);
    kept.retain(|old| !new.iter().any(|new| new.is_named_as(old)));
    kept.append(&mut new);

    let mut bytes = Vec::new();
    kept.iter().for_each(|entry| entry.write(&mut bytes));
    let (needed, available) = (bytes.len() as u64, (store.end - store.start) as u64);
    if needed > available {
        let message = format!("has {available} bytes for variables, and these need {needed}");
        return Err(Error::new(Kind::NoSpace { needed, available }, place, message)
            .with_hint("take a template with more room, such as OVMF_VARS_4M.fd"));
    }
    let mut out = template.to_vec();
    out[store.start..store.end].fill(ERASED);
    out[store.start..][..bytes.len()].copy_from_slice(&bytes);
    Ok(out)
}

/// Where the variables are in a file.
struct Store {
    start: usize,
    end: usize,
}

impl Store {
    fn find(place: &str, file: &[u8]) -> Result<Self> {
        let no = |why: &str| {
            Error::new(Kind::Input, place, why)
                .with_hint("take the file that comes with OVMF, OVMF_VARS_4M.fd or AAVMF_VARS.fd")
        };
        let (volume, _) = FirmwareVolume::read_from_prefix(file)
            .map_err(|_| no("is too short for a firmware's variables"))?;
        if !volume.is_one(file) {
            return Err(no("is no volume of a firmware's variables"));
        }
        let header_at = usize::from(volume.header_length.get());
        let store = file.get(header_at..).and_then(|rest| StoreHeader::read_from_prefix(rest).ok());
        let (store, _) = store.ok_or_else(|| no("has no store of variables"))?;
        if !store.is_one() {
            return Err(no("has no store of variables that are signed, which Secure Boot needs"));
        }
        let end = header_at.checked_add(store.size.get() as usize);
        let end = end.filter(|end| *end <= file.len() && (*end as u64) <= volume.fv_length.get());
        let start = (header_at + size_of::<StoreHeader>()).next_multiple_of(VariableHeader::ALIGNMENT);
        match end.filter(|end| start <= *end) {
            Some(end) => Ok(Self { start, end }),
            None => Err(no("is cut off: its store is longer than the file")),
        }
    }

    /// Those that count.
    fn variables(&self, place: &str, file: &[u8]) -> Result<Vec<Entry>> {
        let mut rest = file.get(self.start..self.end).unwrap_or_default();
        let mut found = Vec::new();
        while let Ok((header, behind)) = VariableHeader::read_from_prefix(rest) {
            // What is erased comes behind the last one.
            if header.start_id.get() != VariableHeader::START {
                break;
            }
            let [name_len, data_len] = [header.name_size, header.data_size].map(|len| len.get() as usize);
            let len = name_len.saturating_add(data_len);
            let Some(content) = behind.get(..len) else {
                let message = "has a variable that is longer than the store";
                return Err(Error::new(Kind::Corrupt, place, message));
            };
            if header.counts() {
                let (name, data) = content.split_at(name_len);
                found.push(Entry { header, name: name.to_vec(), data: data.to_vec() });
            }
            let all = size_of::<VariableHeader>() + len;
            rest = rest.get(all.next_multiple_of(VariableHeader::ALIGNMENT)..).unwrap_or_default();
        }
        Ok(found)
    }
}

/// A variable.
struct Entry {
    header: VariableHeader,
    /// UTF-16 with a NUL.
    name: Vec<u8>,
    data: Vec<u8>,
}

impl Entry {
    fn new((name, vendor): (&str, Uuid), attributes: u32, time: EfiTime, data: &[u8]) -> Self {
        let name: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        let header = VariableHeader::new(attributes, time, [name.len(), data.len()], vendor);
        Self { header, name, data: data.to_vec() }
    }

    fn of_update(variable: Variable, update: &Update) -> Self {
        Self::new((variable.name(), variable.vendor()), AUTHENTICATED, update.time, &update.lists)
    }

    fn flag(name: (&str, Uuid), is_set: bool) -> Self {
        Self::new(name, KEPT, EfiTime::NEVER, &[u8::from(is_set)])
    }

    fn is_named_as(&self, other: &Self) -> bool {
        self.name == other.name && self.header.vendor_guid == other.header.vendor_guid
    }

    /// Behind those before it.
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.header.as_bytes());
        out.extend_from_slice(&self.name);
        out.extend_from_slice(&self.data);
        out.resize(out.len().next_multiple_of(VariableHeader::ALIGNMENT), ERASED);
    }
}
