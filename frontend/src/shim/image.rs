//! `--output type=image,name=…,push=true,format=containerdisk`: the disk as an image, by any exporter of images; so are an
//! update (`format=update`) and a root as KubeOS has it (`format=kubeos`).
//!
//! Their attributes keep their meaning, `name` and `compression` among them; those of the disk become build
//! arguments. The real client then does it all by itself.

use super::csv;
use super::line::Dockerfile;
use super::output::Output;
use crate::ask::request::{STAGE, Stage};
use crate::ask::{Attribute, FORMAT, Hints, Place};
use crate::base::terminal::tell_line;
use crate::base::{Error, Result};
use crate::solve::{DISK_IN_AN_IMAGE, INSTEAD_OF_AN_IMAGE};

/// The exporters that make an image.
const OF_IMAGES: [&str; 4] = ["image", "registry", "oci", "docker"];

/// A layer is not compressed again: the disk in it is, and blocks of an update are ranges of it.
const UNCOMPRESSED: (&str, &str) = ("compression", "uncompressed");
/// Annotations are OCI's; these exporters write docker's manifests by default.
const OCI: (&str, &str) = ("oci-mediatypes", "true");
const OF_DOCKERS_MANIFESTS: [&str; 2] = ["image", "registry"];

/// Whether what comes out is an image, with nothing else beside it.
pub(super) fn are_images(outputs: &[Output]) -> bool {
    outputs.iter().all(|output| OF_IMAGES.contains(&&*output.kind))
}

/// Warns of an image with a disk in it that nobody has asked for.
pub(super) fn warn(dockerfile: &Dockerfile) {
    tell_line(format_args!("warning: {}: {DISK_IN_AN_IMAGE}", dockerfile.path.display()));
    INSTEAD_OF_AN_IMAGE.iter().for_each(|hint| tell_line(format_args!("hint: {hint}")));
}

/// The outputs of a build that makes an image of a disk or an update.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ImageOutputs {
    stage: Stage,
    /// As the real client takes them.
    pub(super) outputs: Vec<String>,
    /// The build arguments that tell the frontend.
    pub(super) variables: Vec<(String, String)>,
}

impl ImageOutputs {
    /// `None` if none of the outputs asks for one.
    ///
    /// # Errors
    /// For attributes that are wrong, and for other outputs beside it: a build has one result.
    pub(super) fn read(outputs: &[Output]) -> Result<Option<Self>> {
        let Some(stage) = outputs.iter().find_map(stage) else { return Ok(None) };
        let mut read = Self { stage, outputs: Vec::new(), variables: Vec::new() };
        if let Some(other) = outputs.iter().find(|output| self::stage(output) != Some(stage)) {
            let wrong = read.wrong(&format!("goes with no output of type={}", other.kind));
            return Err(wrong.with_hint("ask for that in a command of its own"));
        }
        outputs.iter().try_for_each(|output| read.add(output))?;
        // In place of a format.
        read.variables.push((STAGE.to_owned(), stage.name().to_owned()));
        read.variables.push(Hints::Attributes.argument());
        Ok(Some(read))
    }

    fn add(&mut self, output: &Output) -> Result<()> {
        let mut kept = vec![("type", &*output.kind)];
        for (key, value) in output.attributes.iter().filter(|(key, _)| key != FORMAT) {
            match Attribute::by_name(key).filter(|attribute| attribute.counts_in(Place::Image)) {
                Some(attribute) => self.set(attribute, value)?,
                None => kept.push((key, value)),
            }
        }
        let types = OF_DOCKERS_MANIFESTS.contains(&&*output.kind).then_some(OCI);
        for default in [Some(UNCOMPRESSED), types].into_iter().flatten() {
            if !kept.iter().any(|(key, _)| *key == default.0) {
                kept.push(default);
            }
        }
        let fields = kept.iter().map(|(key, value)| csv::quote(&format!("{key}={value}")));
        self.outputs.push(fields.collect::<Vec<_>>().join(","));
        Ok(())
    }

    fn wrong(&self, what: &str) -> Error {
        Error::user(format!("--output format={}: {what}", self.stage.name()))
    }

    fn set(&mut self, attribute: &'static Attribute, value: &str) -> Result<()> {
        let name = attribute.name;
        let wish = attribute
            .wish(value)
            .map_err(|expected| self.wrong(&format!("{name} is {value:?}: {expected}")))?;
        let argument = wish.argument();
        match self.variables.iter().find(|(known, _)| *known == argument.0) {
            Some((_, other)) if other != value => {
                Err(self.wrong(&format!("{name} is {other} and {value}: a build makes one machine")))
            }
            Some(_) => Ok(()),
            None => {
                self.variables.push(argument);
                Ok(())
            }
        }
    }
}

/// What an exporter of images is to make an image of.
fn stage(output: &Output) -> Option<Stage> {
    let (_, format) = output.attributes.iter().find(|(key, _)| key == FORMAT)?;
    let named = Stage::ALL.into_iter().find(|stage| stage.is_image() && stage.name() == format);
    named.filter(|_| OF_IMAGES.contains(&&*output.kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(outputs: &[&str]) -> Result<Option<(String, String)>> {
        let outputs: Vec<_> = outputs.iter().map(|text| Output::parse(text).unwrap()).collect();
        let read = ImageOutputs::read(&outputs)?;
        Ok(read.map(|read| {
            let variables: Vec<_> =
                read.variables.iter().map(|(key, value)| format!("{key}={value}")).collect();
            (read.outputs.join(" "), variables.join(" "))
        }))
    }

    #[test]
    fn attributes_go_to_the_exporter_or_to_the_frontend() {
        for (outputs, expected, variables) in [
            (
                &["type=image,name=host:5000/web,push=true,format=containerdisk"][..],
                "type=image,name=host:5000/web,push=true,compression=uncompressed,oci-mediatypes=true",
                "VMIMAGE_STAGE=containerdisk VMIMAGE_HINTS=attribute",
            ),
            (
                &["type=registry,format=containerdisk,\"name=a,b\",size=10G,hostname=web,compression=gzip"],
                "type=registry,\"name=a,b\",compression=gzip,oci-mediatypes=true",
                "VMIMAGE_SIZE=10G VMIMAGE_HOSTNAME=web VMIMAGE_STAGE=containerdisk VMIMAGE_HINTS=attribute",
            ),
            (
                &[
                    "type=oci,dest=a.tar,format=containerdisk,size=1G",
                    "type=docker,format=containerdisk,size=1G",
                ],
                "type=oci,dest=a.tar,compression=uncompressed type=docker,compression=uncompressed",
                "VMIMAGE_SIZE=1G VMIMAGE_STAGE=containerdisk VMIMAGE_HINTS=attribute",
            ),
            (
                &["type=registry,name=a,format=update"],
                "type=registry,name=a,compression=uncompressed,oci-mediatypes=true",
                "VMIMAGE_STAGE=update VMIMAGE_HINTS=attribute",
            ),
            (
                &["type=docker,dest=a.tar,format=kubeos"],
                "type=docker,dest=a.tar,compression=uncompressed",
                "VMIMAGE_STAGE=kubeos VMIMAGE_HINTS=attribute",
            ),
        ] {
            let expected = (expected.to_owned(), variables.to_owned());
            assert_eq!(read(outputs).unwrap(), Some(expected));
        }
        for other in [
            "type=image,name=a",
            "type=image,format=qcow2",
            "type=image,format=rootfs",
            "type=vmdisk,dest=a,format=containerdisk",
        ] {
            assert_eq!(read(&[other]).unwrap(), None, "{other}");
        }
        assert_eq!(read(&[]).unwrap(), None);
    }

    #[test]
    fn what_can_not_be_is_said() {
        const IMAGE: &str = "type=image,name=a,format=containerdisk";
        for (more, part) in [
            ("type=vmdisk,dest=a.raw", "goes with no output of type=vmdisk"),
            ("type=oci,dest=a.tar", "goes with no output of type=oci"),
            ("type=oci,dest=a.tar,format=containerdisk,size=big", "size is \"big\""),
            ("type=oci,dest=a.tar,format=update", "goes with no output of type=oci"),
        ] {
            let error = read(&[IMAGE, more]).unwrap_err().to_string();
            assert!(error.starts_with("--output format=containerdisk: ") && error.contains(part), "{error}");
        }
        let error = read(&[&format!("{IMAGE},size=1G"), &format!("{IMAGE},size=2G")]).unwrap_err();
        assert!(error.to_string().ends_with("size is 1G and 2G: a build makes one machine"), "{error}");
    }
}
