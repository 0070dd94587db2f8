//! Who has signed the programs that firmware starts.

use exporter::authenticode::{State, on_volume};
use exporter::fs::DiskBudget;
use exporter::read_at::ReadAt;
use serde::Serialize;

/// A signature of a program.
#[derive(Debug, Serialize)]
pub(super) struct Signature {
    /// The program, by its path on the EFI system partition.
    pub(super) file: String,
    /// The name in the certificate that the signature names.
    pub(super) signer: String,
    /// Whether it is of this program and by the key of that certificate, which says nothing of whether anybody trusts it.
    pub(super) state: &'static str,
}

/// Those on a volume, and which programs have none that can be read.
pub(super) fn read<V: ReadAt + ?Sized>(
    volume: &V,
    budget: &DiskBudget,
) -> exporter::Result<(Vec<Signature>, Vec<String>)> {
    let (mut all, mut unread) = (Vec::new(), Vec::new());
    for (file, signatures) in on_volume(volume, budget)? {
        match signatures {
            Ok(signatures) => all.extend(signatures.into_iter().map(|found| Signature {
                file: file.clone(),
                signer: found.signer,
                state: match found.state {
                    State::Good => "good",
                    State::Bad => "bad",
                    State::Unknown => "unknown",
                },
            })),
            Err(why) => unread.push(format!("{file}: {why}")),
        }
    }
    Ok((all, unread))
}
