//! The files of a volume in the order of their blocks: what starts it, what was given, and the ESP at the end, so that all
//! others lie in one partition.

use super::place::{FILE_MAX, Place};
use super::{BIOS_IMAGE, Bios, Boot, CATALOG, ESP_IMAGE, Entry, bios, catalog};
use crate::disk::mbr::BOOT_CODE_LEN;
use crate::error::{Error, Kind, Result};
use crate::extent::Extent;
use crate::fs::Contents;
use crate::fs::iso9660::format::BLOCK;

/// All of them.
pub(super) struct Files(Vec<File>);

struct File {
    path: String,
    size: u64,
    body: Body,
}

/// What a file is of.
enum Body {
    /// Made when all have their places.
    Catalog,
    /// Patched for its place.
    Bios(Bios),
    Esp(Contents),
    Given(Contents),
}

impl Files {
    /// # Errors
    /// [`Kind::Input`] for a file that no volume has room for, or an ESP without a byte.
    pub(super) fn new(entries: Vec<Entry>, boot: Boot) -> Result<Self> {
        let Boot { bios, esp } = boot;
        let file = |path: &str, size, body| File { path: path.to_owned(), size, body };
        let mut files = Vec::new();
        if bios.is_some() || esp.is_some() {
            files.push(file(CATALOG, BLOCK, Body::Catalog));
        }
        files.extend(bios.map(|images| file(BIOS_IMAGE, bios::size(&images), Body::Bios(images))));
        files.extend(entries.into_iter().map(|Entry { path, content }| File {
            path,
            size: content.size,
            body: Body::Given(content),
        }));
        files.extend(esp.map(|content| file(ESP_IMAGE, content.size, Body::Esp(content))));
        files.iter().try_for_each(File::check)?;
        Ok(Self(files))
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|file| &*file.path)
    }

    pub(super) fn sizes(&self) -> Vec<u64> {
        self.0.iter().map(|file| file.size).collect()
    }

    pub(super) fn are_bootable(&self) -> bool {
        self.0.iter().any(|file| matches!(file.body, Body::Catalog))
    }

    /// Make what depends on places, now that each file has its own.
    ///
    /// # Errors
    /// [`Kind::Input`] for what is no image of GRUB.
    pub(super) fn place(self, places: &[Place]) -> Result<Placed> {
        let find = |is_it: fn(&Body) -> bool| {
            self.0.iter().zip(places).find(|(file, _)| is_it(&file.body)).map(|(_, place)| *place)
        };
        let bios = find(|body| matches!(body, Body::Bios(_)));
        let esp = find(|body| matches!(body, Body::Esp(_)));
        let catalog = find(|body| matches!(body, Body::Catalog)).map(Place::block);
        let mut boot_code = [0; BOOT_CODE_LEN];
        let mut files = Vec::new();
        for (file, place) in self.0.into_iter().zip(places) {
            let contents = match file.body {
                Body::Catalog => in_memory(catalog::encode(bios, esp)),
                Body::Bios(images) => {
                    let (code, image) = bios::patched(&images, place.block())?;
                    boot_code = code;
                    in_memory(image)
                }
                Body::Esp(contents) | Body::Given(contents) => contents,
            };
            if contents.size > 0 {
                files.push((file.path, place.start(), contents));
            }
        }
        Ok(Placed { boot_code, catalog, esp, files })
    }
}

/// Files that have their places.
pub(super) struct Placed {
    /// For the MBR: zeroes without GRUB for a BIOS.
    pub(super) boot_code: [u8; BOOT_CODE_LEN],
    /// The block of the boot catalogue.
    pub(super) catalog: Option<u32>,
    pub(super) esp: Option<Place>,
    /// Path, first byte and contents of those that are not empty, in the order of the volume.
    pub(super) files: Vec<(String, u64, Contents)>,
}

impl File {
    fn check(&self) -> Result<()> {
        let input = |message: String| Err(Error::new(Kind::Input, &self.path, message));
        match self.body {
            Body::Esp(_) if self.size == 0 => {
                input("is empty, and UEFI starts from what is in it".to_owned())
            }
            _ if self.size > FILE_MAX => {
                input(format!("has {} bytes, and a file of an ISO has at most {FILE_MAX}", self.size))
            }
            _ => Ok(()),
        }
    }
}

fn in_memory(bytes: Vec<u8>) -> Contents {
    Contents { size: bytes.len() as u64, extents: Box::new([Extent::bytes(0, bytes)]) }
}
