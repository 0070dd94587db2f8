//! `--output type=vmdisk,dest=web.qcow2,…`: which artifacts it asks for, and how the frontend is told.

use std::collections::BTreeSet;
use std::path::PathBuf;

use exporter::container::Format;

use super::{csv, destination};
use crate::ask::{ATTRIBUTES, Asked, Attribute, FORMAT, Hints, Wish, variable};
use crate::base::make::is_stdout;
use crate::base::{Error, Result};
use crate::engine::destination::{extensions, is_named_as_file};
use crate::engine::receive::transport;

/// The value of an `--output`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Output {
    pub(super) kind: String,
    /// All but the type, `dest` included; of a key given twice the last counts.
    pub(super) attributes: Vec<(String, String)>,
}

impl Output {
    /// Reads it as buildx does; `None` for what buildx would refuse.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let fields = csv::fields(text)?;
        if matches!(&fields[..], [field] if field == text) && !text.starts_with("type=") {
            let kind = if text == "-" { "tar" } else { "local" };
            return Some(Self::new([
                ("type".to_owned(), kind.to_owned()),
                ("dest".to_owned(), text.to_owned()),
            ]));
        }
        let pairs = fields.iter().map(|field| {
            let (key, value) = field.split_once('=')?;
            Some((key.to_lowercase().trim().to_owned(), value.to_owned()))
        });
        let output = Self::new(pairs.collect::<Option<Vec<_>>>()?);
        (!output.kind.is_empty()).then_some(output)
    }

    /// Of its keys and values, the type among them.
    pub(super) fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut output = Self { kind: String::new(), attributes: Vec::new() };
        for (key, value) in pairs {
            if key == "type" {
                output.kind = value;
                continue;
            }
            output.attributes.retain(|(known, _)| *known != key);
            output.attributes.push((key, value));
        }
        output
    }

    /// Whether it is ours.
    pub(super) fn is_disk(&self) -> bool {
        self.kind == "vmdisk"
    }

    /// The file or folder of this host that it is written to, if it is.
    pub(super) fn file(&self) -> Option<PathBuf> {
        let is_written = ["vmdisk", "local", "tar", "oci", "docker"].contains(&&*self.kind);
        self.get("dest").filter(|dest| is_written && *dest != "-").map(PathBuf::from)
    }

    /// Whether it goes to whoever reads stdout.
    pub(super) fn to_stdout(&self) -> bool {
        let usual = if ["tar", "oci"].contains(&&*self.kind) { "-" } else { "" };
        self.get("dest").unwrap_or(usual) == "-"
    }

    fn get(&self, key: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

/// Makes sure that no other output is written over a disk: not to its file, nor after it to stdout.
///
/// # Errors
/// If one is.
pub(super) fn check_apart(outputs: &[Output]) -> Result<()> {
    let (disks, others): (Vec<_>, Vec<_>) = outputs.iter().partition(|output| output.is_disk());
    let has_stdout = disks.iter().any(|disk| disk.to_stdout());
    if has_stdout && (disks.len() > 1 || others.iter().any(|output| output.to_stdout())) {
        return Err(Error::user("--output type=vmdisk: dest=- takes one disk, and nothing else beside it"));
    }
    let mut taken = BTreeSet::new();
    for file in disks.iter().filter_map(|disk| disk.file()) {
        if !taken.insert(destination::follow(&file)?) {
            return Err(Error::user(format!("{}: is named twice", file.display())));
        }
    }
    for file in others.iter().filter_map(|output| output.file()) {
        if taken.contains(&destination::follow(&file)?) {
            return Err(Error::user(format!("{}: is a disk and another output", file.display())));
        }
    }
    Ok(())
}

/// The artifacts of one build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disks {
    /// Where each goes, and its format.
    pub(super) files: Vec<(PathBuf, Format)>,
    /// The build arguments that tell the frontend.
    pub(super) variables: Vec<(String, String)>,
}

impl Disks {
    /// The files that these outputs ask for. Whatever is wrong with them is in the error.
    pub(super) fn new(outputs: &[Output]) -> Result<Self> {
        let mut wanted = Wanted::default();
        outputs.iter().for_each(|output| wanted.add(output));
        wanted.finish()
    }

    /// Whether the one file goes to whoever reads stdout.
    pub(super) fn to_stdout(&self) -> bool {
        self.files.iter().any(|(path, _)| is_stdout(path))
    }
}

/// Reads the value of an `--output` for `make fuzz`.
#[cfg(feature = "fuzz")]
pub(crate) fn accept(text: &str) -> Result<(), String> {
    let output = Output::parse(text).ok_or("is no value of --output")?;
    Disks::new(&[output]).map(drop).map_err(|error| error.to_string())
}

/// What the outputs read so far ask for.
#[derive(Default)]
struct Wanted {
    files: Vec<(PathBuf, Format)>,
    /// All but the formats: those of the machine, whose files they all are.
    wishes: Vec<Wish>,
    wrong: Vec<String>,
}

impl Wanted {
    fn add(&mut self, output: &Output) {
        for (key, value) in output.attributes.iter().filter(|(key, _)| key != "dest" && key != FORMAT) {
            self.set(key, value);
        }
        let format = output.get(FORMAT).map(str::parse::<Format>).transpose();
        match (output.get("dest"), format) {
            (None, _) => self.wrong.push("dest is missing: name the file, as in dest=web.qcow2".to_owned()),
            (_, Err(expected)) => self.wrong.push(format!("format is not {expected}")),
            (Some(dest), Ok(format)) => self.add_file(dest.into(), format),
        }
    }

    fn add_file(&mut self, path: PathBuf, format: Option<Format>) {
        let shown = path.display();
        if self.files.iter().any(|(other, _)| *other == path) {
            self.wrong.push(format!("{shown} is named twice"));
        }
        let wrong = match (format.or_else(|| Format::from_path(&path)), is_named_as_file(&path)) {
            (Some(format), _) => return self.files.push((path, format)),
            (None, _) if is_stdout(&path) => "dest=- has no extension: add format=".to_owned(),
            (None, Some(format)) => {
                let folder = path.with_extension("");
                let folder = folder.display();
                format!(
                    "{shown}: {format} is a folder, which has no extension: format={format},dest={folder}"
                )
            }
            (None, None) => format!(
                "the extension of {shown} tells no format: give it one of {}, or add format=",
                extensions().join(", ")
            ),
        };
        self.wrong.push(wrong);
    }

    fn set(&mut self, key: &str, value: &str) {
        let Some(attribute) = Attribute::by_name(key) else {
            let known = ATTRIBUTES.each_ref().map(|attribute| attribute.name).join(", ");
            return self.wrong.push(format!("unknown attribute {key}: the attributes are dest, {known}"));
        };
        match (self.wishes.iter().find(|wish| wish.attribute().name == key), attribute.wish(value)) {
            (_, Err(expected)) => self.wrong.push(format!("{key} is {value:?}: {expected}")),
            (None, Ok(wish)) => self.wishes.push(wish),
            (Some(other), Ok(wish)) if *other == wish => {}
            (Some(other), Ok(_)) => self.wrong.push(format!(
                "{key} is {} and {value}: the artifacts of a build are one machine's",
                other.text()
            )),
        }
    }

    fn finish(mut self) -> Result<Disks> {
        if self.files.len() > 1 && self.files.iter().any(|(path, _)| is_stdout(path)) {
            self.wrong.push("dest=- takes one disk, and no other artifact beside it".to_owned());
        }
        if !self.wrong.is_empty() {
            return Err(Error::user(format!("--output type=vmdisk: {}", self.wrong.join("; "))));
        }
        let formats: Vec<_> = self.files.iter().map(|(_, format)| *format).collect();
        let mut asked = Asked::default();
        asked.ask(&self.wishes);
        asked.spec.formats = formats.clone();
        asked.spec.artifacts()?;
        let names: Vec<_> = formats.iter().map(|format| format.name()).collect();
        let format = (variable(FORMAT), names.join(","));
        let variables =
            [Hints::Attributes.argument(), format].into_iter().chain(self.wishes.iter().map(Wish::argument));
        let to_stdout = self.files.iter().any(|(path, _)| is_stdout(path));
        let variables = transport(&formats, to_stdout).into_iter().chain(variables).collect();
        Ok(Disks { files: self.files, variables })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_read_as_buildx_reads_them() {
        let read = |text: &str| {
            let output = Output::parse(text)?;
            let pairs = output.attributes.iter().map(|(key, value)| format!("{key}={value}"));
            Some((output.kind.clone(), pairs.collect::<Vec<_>>().join(" ")))
        };
        for (text, expected) in [
            ("type=vmdisk,dest=web.qcow2", Some(("vmdisk", "dest=web.qcow2"))),
            ("dest=web.qcow2,type=vmdisk,size=10G", Some(("vmdisk", "dest=web.qcow2 size=10G"))),
            ("type=vmdisk, Size =10G,SIZE=11G", Some(("vmdisk", "size=11G"))),
            ("type=vmdisk,\"cmdline=a=b,c\"", Some(("vmdisk", "cmdline=a=b,c"))),
            ("type=vmdisk,dest= x ", Some(("vmdisk", "dest= x "))),
            ("out", Some(("local", "dest=out"))),
            ("out=x", Some(("local", "dest=out=x"))),
            ("-", Some(("tar", "dest=-"))),
            ("type=Vmdisk", Some(("Vmdisk", ""))),
            ("type=", None),
            ("type=vmdisk,dest", None),
            ("dest=a,size=b", None),
            ("type=vmdisk,dest=\"a\"", None),
            ("", None),
        ] {
            let expected = expected.map(|(kind, pairs)| (kind.to_owned(), pairs.to_owned()));
            assert_eq!(read(text), expected, "{text:?}");
        }
    }

    fn disks(texts: &[&str]) -> Result<Disks> {
        Disks::new(&texts.iter().map(|text| Output::parse(text).unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn attributes_become_build_arguments() {
        for (texts, files, variables) in [
            (
                &["type=vmdisk,dest=web.qcow2"][..],
                "web.qcow2:qcow2",
                "VMIMAGE_TRANSPORT=sparse VMIMAGE_HINTS=attribute VMIMAGE_FORMAT=qcow2",
            ),
            (
                &["type=vmdisk,dest=web,format=raw"],
                "web:raw",
                "VMIMAGE_TRANSPORT=sparse VMIMAGE_HINTS=attribute VMIMAGE_FORMAT=raw",
            ),
            (
                &["type=vmdisk,dest=-,format=vhd"],
                "-:vhd",
                "VMIMAGE_TRANSPORT=sparse VMIMAGE_HINTS=attribute VMIMAGE_FORMAT=vhd",
            ),
            // What is written in no order cannot be sent on without its zeroes.
            (&["type=vmdisk,dest=-,format=vhdx"], "-:vhdx", "VMIMAGE_HINTS=attribute VMIMAGE_FORMAT=vhdx"),
            (
                &[
                    "type=vmdisk,dest=a.vmdk,size=10G,hostname=web,profile=machine,name=n,kernel=k,cmdline=a b",
                ],
                "a.vmdk:vmdk",
                "VMIMAGE_TRANSPORT=sparse VMIMAGE_HINTS=attribute VMIMAGE_FORMAT=vmdk VMIMAGE_SIZE=10G VMIMAGE_HOSTNAME=web VMIMAGE_PROFILE=machine \
                 VMIMAGE_NAME=n VMIMAGE_KERNEL=k VMIMAGE_CMDLINE=a b",
            ),
            (
                &["type=vmdisk,dest=web,format=ovf"],
                "web:ovf",
                "VMIMAGE_TRANSPORT=sparse VMIMAGE_HINTS=attribute VMIMAGE_FORMAT=ovf",
            ),
            // A folder goes to stdout as an archive of its files, each as it is.
            (&["type=vmdisk,dest=-,format=ovf"], "-:ovf", "VMIMAGE_HINTS=attribute VMIMAGE_FORMAT=ovf"),
            (
                &["type=vmdisk,dest=a.qcow2,compression=zlib,size=2G", "type=vmdisk,dest=b.img,size=2G"],
                "a.qcow2:qcow2 b.img:raw",
                "VMIMAGE_TRANSPORT=sparse VMIMAGE_HINTS=attribute VMIMAGE_FORMAT=qcow2,raw VMIMAGE_COMPRESSION=zlib VMIMAGE_SIZE=2G",
            ),
        ] {
            let disks = disks(texts).unwrap();
            let shown: Vec<_> =
                disks.files.iter().map(|(path, format)| format!("{}:{format}", path.display())).collect();
            assert_eq!(shown.join(" "), files);
            let shown: Vec<_> = disks.variables.iter().map(|(key, value)| format!("{key}={value}")).collect();
            assert_eq!(shown.join(" "), variables);
        }
    }

    #[test]
    fn all_that_is_wrong_is_said() {
        for (texts, parts) in [
            (
                &["type=vmdisk,dest=a.qcow2,sise=1G"][..],
                &[
                    "unknown attribute sise: the attributes are dest, format, size, compression, name, profile",
                ][..],
            ),
            (&["type=vmdisk"], &["dest is missing"]),
            (&["type=vmdisk,dest="], &["dest is missing"]),
            (
                &["type=vmdisk,dest=a.cab"],
                &["the extension of a.cab tells no format", ".qcow2", "add format="],
            ),
            (
                &["type=vmdisk,dest=a.ovf"],
                &["a.ovf: ovf is a folder, which has no extension: format=ovf,dest=a"],
            ),
            (&["type=vmdisk,dest=-"], &["dest=- has no extension: add format="]),
            (&["type=vmdisk,dest=a,format=floppy"], &["format is not one of raw, qcow2"]),
            (
                &["type=vmdisk,dest=a.qcow2,size=big,hostname=-,x=1"],
                &["size is \"big\"", "hostname is \"-\": a name of letters, digits", "unknown attribute x"],
            ),
            (
                &["type=vmdisk,dest=a.qcow2,size=1G", "type=vmdisk,dest=b.vhdx,size=2G"],
                &["size is 1G and 2G: the artifacts of a build are one machine's"],
            ),
            (&["type=vmdisk,dest=a.raw", "type=vmdisk,dest=b.img"], &["raw is asked for twice"]),
            (&["type=vmdisk,dest=a.raw", "type=vmdisk,dest=a.raw"], &["a.raw is named twice"]),
            (&["type=vmdisk,dest=a.raw", "type=vmdisk,dest=-,format=vhd"], &["dest=- takes one disk"]),
            (&["type=vmdisk,dest=a.raw,compression=zstd"], &["zstd is not for raw files"]),
        ] {
            let error = disks(texts).unwrap_err().to_string();
            for part in parts {
                assert!(error.contains(part), "{texts:?}: {part:?} is not in {error}");
            }
        }
    }
}
