//! The artifacts a spec comes to: the formats and the compression that were asked for, put together.

use std::collections::BTreeMap;

use super::Spec;
use crate::container::{Compression, Format};
use crate::error::{Error, Kind, Result};

/// What a build hands out: a file, or a folder of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Its name: `web.qcow2`, of a folder `web-ovf`.
    pub name: String,
    /// Its format.
    pub format: Format,
    /// How it is compressed.
    pub compression: Compression,
}

impl Artifact {
    /// Whether it can have long runs of zeroes and be written as a [`sparse`](crate::container::sparse) stream.
    pub fn is_sparse(&self) -> bool {
        self.compression == Compression::None && self.format.is_disk() && self.format != Format::ContainerDisk
    }
}

impl Spec {
    /// What it asks for, one artifact of each format, in the order of the formats.
    ///
    /// # Errors
    /// [`Kind::Input`] for two formats whose artifacts would have the same name, and those of
    /// [`compressions`](Self::compressions).
    pub fn artifacts(&self) -> Result<Vec<Artifact>> {
        let compressions = self.compressions()?;
        let mut known: BTreeMap<String, Format> = BTreeMap::new();
        for format in &self.formats {
            if let Some(other) = known.insert(format.suffix(), *format) {
                return Err(same_name(other, *format));
            }
        }
        let name = |format: Format| format!("{}{}", self.name, format.suffix());
        let artifacts = self.formats.iter().zip(compressions);
        let artifact = |(&format, compression)| Artifact { name: name(format), format, compression };
        Ok(artifacts.map(artifact).collect())
    }

    /// How the artifact of each format is compressed: as was asked if it can be, else in its usual way.
    ///
    /// # Errors
    /// [`Kind::Input`] for no format at all, [`Kind::Unsupported`] for a compression that none of the
    /// formats can take.
    pub fn compressions(&self) -> Result<Vec<Compression>> {
        if self.formats.is_empty() {
            return Err(Error::new(Kind::Input, "format", "none is asked for"));
        }
        if let Some(asked) = self.compression {
            self.check_compression(asked)?;
        }
        let of = |format: &Format| {
            let asked = self.compression.filter(|asked| format.compressions().contains(asked));
            asked.unwrap_or(format.default_compression())
        };
        Ok(self.formats.iter().map(of).collect())
    }

    fn check_compression(&self, asked: Compression) -> Result<()> {
        let known: Vec<_> = self.formats.iter().flat_map(|format| format.compressions()).collect();
        if known.contains(&&asked) {
            return Ok(());
        }
        let formats: Vec<_> = self.formats.iter().map(|format| format.name()).collect();
        let can = Compression::ALL.iter().filter(|each| known.contains(each));
        let can: Vec<_> = can.map(|each| each.name()).collect();
        let message = format!("{asked} is not for {} files", formats.join(", "));
        Err(Error::new(Kind::Unsupported, "compression", message)
            .with_hint(format!("leave it out, or ask for {}", can.join(", "))))
    }
}

fn same_name(one: Format, other: Format) -> Error {
    let message = match one == other {
        true => format!("{one} is asked for twice"),
        false => format!("{one} and {other} files have the same extension, {}", one.suffix()),
    };
    Error::new(Kind::Input, "format", message)
        .with_hint("ask for one of them, and for the other in a build of its own")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_compressed_has_zeroes() {
        let spec = |compression| Spec { formats: Format::ALL.to_vec(), compression, ..Spec::default() };
        let sparse = |compression| -> Vec<Format> {
            // Two formats have one extension, so each is asked for by itself.
            let compressions = spec(compression).compressions().unwrap();
            let files = Format::ALL.iter().zip(compressions).map(|(&format, compression)| Artifact {
                name: String::new(),
                format,
                compression,
            });
            files.filter(Artifact::is_sparse).map(|file| file.format).collect()
        };
        let plain = [Format::Raw, Format::Vdi, Format::Vhd, Format::VhdDynamic, Format::Vhdx];
        assert_eq!(sparse(None), plain);
        assert_eq!(sparse(Some(Compression::Zlib)), plain);
        let with_qcow2 = [&[Format::Raw, Format::Qcow2][..], &plain[1..]].concat();
        assert_eq!(sparse(Some(Compression::None)), with_qcow2);
    }

    fn artifacts(formats: &[Format], compression: Option<Compression>) -> Result<Vec<(String, Compression)>> {
        let spec = Spec { name: "web".into(), formats: formats.to_vec(), compression, ..Spec::default() };
        Ok(spec.artifacts()?.into_iter().map(|artifact| (artifact.name, artifact.compression)).collect())
    }

    #[test]
    fn each_format_is_an_artifact_compressed_as_it_can_be() {
        let file = |name: &str, compression| (name.to_owned(), compression);
        let both = [Format::Qcow2, Format::Raw];
        assert_eq!(
            artifacts(&both, Some(Compression::Zlib)).unwrap(),
            [file("web.qcow2", Compression::Zlib), file("web.raw", Compression::None)]
        );
        assert_eq!(
            artifacts(&both, None).unwrap(),
            [file("web.qcow2", Compression::Zstd), file("web.raw", Compression::None)]
        );
        let folder = [file("web-ovf", Compression::Zlib), file("web.ova", Compression::Zlib)];
        assert_eq!(artifacts(&[Format::Ovf, Format::Ova], None).unwrap(), folder);
    }

    #[test]
    fn what_no_build_can_make_is_refused() {
        for (formats, compression, part) in [
            (&[][..], None, "format: none is asked for"),
            (&[Format::Raw, Format::Raw], None, "raw is asked for twice"),
            (&[Format::Ovf, Format::Ovf], None, "ovf is asked for twice"),
            (
                &[Format::Vhd, Format::VhdDynamic],
                None,
                "vhd and vhd-dynamic files have the same extension, .vhd",
            ),
            (&[Format::Raw, Format::Vhdx], Some(Compression::Zstd), "zstd is not for raw, vhdx files"),
        ] {
            let error = artifacts(formats, compression).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
