//! `vmimage push`: what is there already goes into a registry: disks as a KubeVirt containerDisk, an update as an image that
//! machines update themselves from, a medium as one that they are installed from.

mod archive;
mod disk;
mod folder;
mod layer;
mod medium;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use exporter::container::image::{self, Blob, CREATED, INDEX, LayerImage, MANIFEST, TITLE, rfc3339};
use exporter::container::medium::is_netboot;
use exporter::container::update;
use exporter::input::Platform;
use exporter::spec::Architecture;
use serde::Serialize;
use serde_json::Value;

use super::inspect;
use super::registry::RegistryArgs;
use crate::base::reference::Reference;
use crate::base::{Error, Meter, Result, ShowArgs, Stage, terminal};
use crate::source::Access;
use crate::source::registry::Repository;
use disk::Disk;
use folder::UpdateFolder;
use layer::{Sent, SentLayer};
use medium::MediumFolder;

/// Put disks into a registry, as an image that KubeVirt boots (a containerDisk), an update, for the machines that it is of, or
/// the disk of a medium, for installers.
///
/// Takes qcow2 and raw disks, containerdisk archives, and folders of updates and of the format netboot. What the registry has already is not sent again.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The disk, or the folder of an update or a medium; several, for different platforms, become one image
    #[arg(required = true)]
    file: Vec<PathBuf>,
    /// The name of the image: HOST[:PORT]/NAME[:TAG]
    #[arg(value_parser = parse_reference)]
    reference: Reference,
    /// The platform of the disk, if its boot loader does not tell it; of several, one for each in their order
    #[arg(long, value_name = "OS/ARCH", value_parser = super::convert::parse_platform)]
    platform: Vec<Platform>,
    /// An annotation of the image, and a label; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_annotation)]
    annotation: Vec<(String, String)>,
    #[command(flatten)]
    show: ShowArgs,
    // Last, or its heading would stand above what follows.
    #[command(flatten)]
    registry: RegistryArgs,
}

const EXAMPLES: &str = "\
Examples:
  vmimage push web.qcow2 registry.example:5000/team/web:v1
  vmimage push web-linux-amd64.qcow2 web-linux-arm64.qcow2 registry.example/team/web:v1
                                     one image for two platforms
  vmimage push update registry.example/team/kiosk:1.4.0
                                     what `vmimage-update apply` takes
  vmimage push web-netboot registry.example/team/web-installer:1.4.0
                                     what `source` of an install.toml takes
  vmimage push web.qcow2 registry.example/team/web:v1 \\
    --annotation org.opencontainers.image.source=https://git.example/web

In KubeVirt, the disk of a machine is then
  containerDisk: { image: \"registry.example:5000/team/web:v1\" }";

/// What was pushed.
#[derive(Debug, Serialize)]
struct Pushed {
    /// With the digest of what the tag leads to.
    reference: String,
    digest: String,
    images: Vec<PushedImage>,
}

#[derive(Debug, Serialize)]
struct PushedImage {
    file: PathBuf,
    platform: String,
    /// Of its manifest.
    digest: String,
    /// Of its layer, in bytes.
    size: u64,
}

/// A disk, an update or a medium, with all that describes it.
struct Part {
    layer: SentLayer,
    image: LayerImage,
    config: String,
    manifest: String,
}

/// Pushes the disks and says what they are called now.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let meter = args.show.meter();
    let parts = parts(args, &meter)?;
    let access = Access {
        plain_http: args.registry.plain_http,
        mirrors: &[],
        auth_file: args.registry.authfile.as_deref(),
        store_reader: None,
        progress: &|progress| meter.show(Stage::Uploading, progress),
        note: &|text| meter.note(text),
    };
    let repository = Repository::open(&args.reference, &access)?;
    let pushed = push(&repository, args, &parts)?;
    meter.finish();
    match (args.show.json, args.show.quiet) {
        (true, _) => crate::base::terminal::print_json(&pushed)?,
        (false, true) => {}
        (false, false) => terminal::print_line(&pushed.reference)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Every disk and folder, looked at and digested. What is wrong with one is found before anything is sent.
fn parts(args: &Args, meter: &Meter) -> Result<Vec<Part>> {
    if !args.platform.is_empty() && args.platform.len() != args.file.len() {
        let (given, files) = (args.platform.len(), args.file.len());
        return Err(Error::user(format!("--platform: {given} given for {files} files"))
            .with_hint("give one for each file, in the same order, or none"));
    }
    let mut sources: Vec<(Sent, Architecture)> = Vec::new();
    for (index, file) in args.file.iter().enumerate() {
        let (source, architecture) = source(file, args.platform.get(index))?;
        if sources.iter().any(|(_, other)| *other == architecture) {
            let message = format!("{}: is a second one for {}", file.display(), platform(architecture));
            return Err(Error::user(message).with_hint("an image has one for each platform"));
        }
        sources.push((source, architecture));
    }
    sources.into_iter().map(|(source, architecture)| part(args, meter, source, architecture)).collect()
}

/// What is in a file or a folder, and the machines that it is for.
fn source(file: &Path, asked: Option<&Platform>) -> Result<(Sent, Architecture)> {
    let (sent, told) = if update::is_update(file) {
        let update = UpdateFolder::open(file)?;
        let told = update.described.architecture;
        (Sent::Update(update), told)
    } else if is_netboot(file) {
        let medium = MediumFolder::open(file)?;
        let told = medium.architecture;
        (Sent::Medium(medium), told)
    } else {
        return Ok((Sent::Disk(Disk::open(file)?), architecture(file, asked)?));
    };
    if asked.is_some_and(|asked| Architecture::from_oci(&asked.architecture) != Some(told)) {
        let message = format!("{}: is for {}", file.display(), platform(told));
        return Err(Error::user(message).with_hint("leave --platform out"));
    }
    Ok((sent, told))
}

/// What was asked for, or else what the boot loader on the disk tells.
fn architecture(file: &Path, asked: Option<&Platform>) -> Result<Architecture> {
    let asked = asked.and_then(|asked| Architecture::from_oci(&asked.architecture));
    asked.or_else(|| inspect::Starts::read(file).map(|starts| starts.architecture)).ok_or_else(|| {
        Error::user(format!("{}: no boot loader tells its platform", file.display()))
            .with_hint("say it: --platform linux/amd64")
    })
}

/// As an image's platform is written.
fn platform(architecture: Architecture) -> String {
    format!("linux/{}", architecture.oci_name())
}

fn part(args: &Args, meter: &Meter, source: Sent, architecture: Architecture) -> Result<Part> {
    let created = created(&source)?;
    let layer = SentLayer::new(source, &|progress| meter.show(Stage::Digesting, progress))?;
    let labels = annotations(args, &layer.source, created);
    let image = LayerImage { content: layer.source.content(), architecture, created, labels };
    let config = image.config(&[&layer.blob.digest]).to_string();
    let config_blob = Blob::of(config.as_bytes());
    let manifest = image::manifest(&config_blob, &layer.blob, &image.labels).to_string();
    Ok(Part { layer, image, config, manifest })
}

/// When the image was made, in seconds since 1970: `SOURCE_DATE_EPOCH`, or else when the file was, so that the same
/// file always becomes the same image.
fn created(source: &Sent) -> Result<i64> {
    Ok(super::source_date_epoch()?.unwrap_or(source.changed()))
}

/// Those that were asked for, and what can be said of every image.
fn annotations(args: &Args, source: &Sent, created: i64) -> BTreeMap<String, String> {
    let name = args.reference.path.rsplit('/').next().unwrap_or_default();
    let usual = [(TITLE, name.to_owned()), (CREATED, rfc3339(created))];
    let usual = usual.map(|(key, value)| (key.to_owned(), value));
    let of_update = match source {
        Sent::Disk(_) | Sent::Medium(_) => None,
        Sent::Update(update) => Some(update::labels(
            &update.described.id,
            &update.described.version,
            &update.described.compatible,
        )),
    };
    let of_update = of_update.into_iter().flatten();
    usual.into_iter().chain(of_update).chain(args.annotation.iter().cloned()).collect()
}

fn push(repository: &Repository<'_>, args: &Args, parts: &[Part]) -> Result<Pushed> {
    let tag = args.reference.version();
    let mut images = Vec::new();
    let mut descriptors: Vec<Value> = Vec::new();
    for (file, part) in args.file.iter().zip(parts) {
        repository.put_blob(&part.layer.blob, &part.layer)?;
        repository.put_blob(&Blob::of(part.config.as_bytes()), &part.config.as_bytes())?;
        let manifest = Blob::of(part.manifest.as_bytes());
        let version = if parts.len() == 1 { tag } else { &manifest.digest };
        repository.put_manifest(version, MANIFEST, part.manifest.as_bytes())?;
        let mut descriptor = manifest.descriptor(MANIFEST);
        descriptor["platform"] = part.image.platform();
        descriptors.push(descriptor);
        images.push(PushedImage {
            file: file.clone(),
            platform: platform(part.image.architecture),
            digest: manifest.digest,
            size: part.layer.blob.size,
        });
    }
    let digest = match &images[..] {
        [image] => image.digest.clone(),
        _ => {
            let index = image::index(&descriptors).to_string();
            repository.put_manifest(tag, INDEX, index.as_bytes())?;
            Blob::of(index.as_bytes()).digest
        }
    };
    Ok(Pushed { reference: format!("{}@{digest}", args.reference), digest, images })
}

fn parse_reference(text: &str) -> Result<Reference, String> {
    let reference: Reference = text.strip_prefix("docker://").unwrap_or(text).parse()?;
    match reference.digest {
        Some(_) => Err("name a tag: its digest is known only when it is there".to_owned()),
        None => Ok(reference),
    }
}

fn parse_annotation(text: &str) -> Result<(String, String), String> {
    let is_key = |key: &str| !key.is_empty() && !key.contains([':', ' ', '\t']);
    match text.split_once('=').filter(|(key, _)| is_key(key)) {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err("write it as KEY=VALUE, such as org.opencontainers.image.version=1.2".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_tag_can_be_pushed_to() {
        for (text, reference) in [
            ("host:5000/team/web:v1", "host:5000/team/web:v1"),
            ("docker://a.example/web", "a.example/web:latest"),
            ("web", "docker.io/library/web:latest"),
        ] {
            assert_eq!(parse_reference(text).unwrap().to_string(), reference);
        }
        let digest = format!("host/web@sha256:{:064}", 0);
        assert!(parse_reference(&digest).unwrap_err().starts_with("name a tag"));
        assert!(parse_reference("host/Web").is_err());
    }

    #[test]
    fn annotations_are_a_key_and_a_value() {
        assert_eq!(parse_annotation("a.b=c=d").unwrap(), ("a.b".to_owned(), "c=d".to_owned()));
        assert_eq!(parse_annotation("a=").unwrap().1, "");
        for text in ["", "=a", "a", "a b=c", "index:a=b"] {
            assert!(parse_annotation(text).unwrap_err().starts_with("write it as"), "{text}");
        }
    }
}
