//! The way in for `make fuzz`: an archive whose members are read as the files of an update that they are called after, whatever
//! their digests are.

use std::path::Component;

use super::archive::{self, Member};
use super::index::{BLOCK, ENTRY, Index};
use super::manifest::Manifest;
use super::{kernels, sums, trust, version};
use crate::grow::gpt::LABEL_MAX;

/// A key of nobody.
const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

/// Panics where something accepted does not keep its promises.
pub(crate) fn read(bytes: &[u8]) -> Result<(), String> {
    let mut reader = bytes;
    while let Some(member) = archive::next(&mut reader)? {
        let len =
            usize::try_from(member.len).ok().filter(|len| *len <= reader.len()).ok_or("is cut short")?;
        let (content, rest) = reader.split_at(len);
        let padding = usize::try_from(member.padded() - member.len).map_err(|error| error.to_string())?;
        reader = rest.get(padding..).ok_or("is cut short")?;
        file(&member, content)?;
    }
    Ok(())
}

fn file(member: &Member, content: &[u8]) -> Result<(), String> {
    match &*member.path {
        "SHA256SUMS" => sums::of(content, "manifest.json").map(drop),
        "SHA256SUMS.minisig" => {
            let trusted = trust::require(&[KEY.to_owned()], b"", Some(content));
            assert!(trusted.is_err(), "nobody has signed that");
            Ok(())
        }
        "manifest.json" => {
            let manifest = Manifest::parse(content)?;
            assert!(manifest.label().len() <= LABEL_MAX && !manifest.root.file.name.contains('/'));
            let order = version::compare(&manifest.version, "1.4.0");
            assert_eq!(order, version::compare("1.4.0", &manifest.version).reverse());
            Ok(())
        }
        path if path.ends_with(".root.index") => index(content),
        path => {
            let inner = kernels::inner(path).ok_or("is no place in the folder of a slot")?;
            assert!(inner.components().all(|part| matches!(part, Component::Normal(_))));
            Ok(())
        }
    }
}

fn index(content: &[u8]) -> Result<(), String> {
    let lens = content.chunks_exact(ENTRY).filter_map(|entry| entry.last_chunk());
    let packed = lens.map(|len| u64::from(u32::from_le_bytes(*len))).sum();
    let blocks = content.len() / ENTRY;
    let index = Index::parse(content, (blocks * BLOCK) as u64, packed)?;
    assert_eq!(index.frames(&(0..index.len())), 0..packed);
    Ok(())
}
