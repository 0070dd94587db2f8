//! `docker buildx bake`: targets with `output = ["type=vmdisk,dest=web.qcow2"]`.
//!
//! Which targets there are only the real bake can tell: its files may be HCL, JSON, compose files or on
//! another host. It is asked with `--print` and then told by `--set` what to change, so that everything else
//! a target has reaches the build as it was written.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;

use super::csv;
use super::docker_buildx::{ATTESTATIONS, asks_only, quiet_progress};
use super::image::ImageOutputs;
use super::line::{Dockerfile, Line, SYNTAX};
use super::output::{Disks, Output, check_apart};
use super::privileges::{self, is_grant, set_output};
use super::real::Real;
use super::run::{Act, Builds, DiskRun, TRANSPORT};
use super::stdin::Stdin;
use super::words::Item;
use crate::base::{Error, Result};
use crate::engine::frontend;

/// The other name of bake. buildx shows its own command line where it asks for privileges, if it finds the word
/// `bake` in it, and that is not the one that was typed.
const ALIAS: &str = "f";

/// What is done in place of a bake.
pub(super) fn bake(typed: &Line, real: &Real, stdin: &mut Stdin) -> Result<Act> {
    if asks_only(typed) {
        return Ok(Act::PassOn);
    }
    if typed.values(&["file", "f"]).any(|file| file == "-") {
        stdin.keep().map_err(|error| Error::user("stdin: cannot be read").because(error))?;
    }
    // What cannot be printed cannot be built either, and the real bake says why.
    let Some((line, definition)) = read(typed, real, stdin)? else { return Ok(Act::PassOn) };
    let act = plan(&line, &definition)?;
    if act != Act::PassOn {
        privileges::check(typed, &definition.files(), !urls(typed).is_empty())?;
    }
    Ok(act)
}

/// What the real bake makes of its files, and the command as it has to be told.
fn read(typed: &Line, real: &Real, stdin: &mut Stdin) -> Result<Option<(Line, Definition)>> {
    let line = typed.again(ALIAS, |_| false);
    if let Some(definition) = print(&line, real, stdin)? {
        return Ok(Some((line, definition)));
    }
    if !typed.items.iter().any(is_grant) {
        return Ok(None);
    }
    // It may be one that knows no such grants; they count here all the same.
    let line = typed.again(ALIAS, is_grant);
    Ok(print(&line, real, stdin)?.map(|definition| (line, definition)))
}

fn print(line: &Line, real: &Real, stdin: &mut Stdin) -> Result<Option<Definition>> {
    let mut command = real.command();
    command.args(line.with(|_| true, ["--print".to_owned()]));
    command.stdin(stdin.for_run().map_err(|error| real.cannot_start(error))?).stderr(Stdio::null());
    let output = command.output().map_err(|error| real.cannot_start(error))?;
    Ok(output.status.success().then(|| serde_json::from_slice(&output.stdout).ok()).flatten())
}

/// What `bake --print` prints.
#[derive(Debug, Deserialize)]
struct Definition {
    #[serde(default)]
    group: BTreeMap<String, Group>,
    target: BTreeMap<String, Target>,
}

#[derive(Debug, Deserialize)]
struct Group {
    #[serde(default)]
    targets: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Target {
    context: Option<String>,
    contexts: BTreeMap<String, String>,
    dockerfile: Option<String>,
    dockerfile_inline: Option<String>,
    args: BTreeMap<String, Option<String>>,
    output: Vec<Printed>,
    attest: Vec<serde_json::Value>,
}

/// An output; since buildx 0.20 as an object.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Printed {
    Text(String),
    Object(BTreeMap<String, String>),
}

impl Printed {
    fn output(&self) -> Option<Output> {
        match self {
            Self::Text(text) => Output::parse(text),
            Self::Object(pairs) => Some(Output::new(pairs.clone())),
        }
    }

    fn disk(&self) -> Option<Output> {
        self.output().filter(Output::is_disk)
    }

    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Object(pairs) => {
                let fields = pairs.iter().map(|(key, value)| csv::quote(&format!("{key}={value}")));
                fields.collect::<Vec<_>>().join(",")
            }
        }
    }
}

impl Definition {
    /// The targets that were asked for, without those that others only build on.
    fn requested(&self) -> BTreeMap<&str, &Target> {
        let mut requested = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut names = vec!["default"];
        while let Some(name) = names.pop() {
            match self.group.get(name) {
                Some(group) if seen.insert(name) => names.extend(group.targets.iter().map(String::as_str)),
                _ => {
                    requested.extend(self.target.get_key_value(name).map(|(name, target)| (&**name, target)))
                }
            }
        }
        requested
    }

    /// The files that are to be written on this host, each with its target.
    fn files(&self) -> Vec<(&str, PathBuf)> {
        let of_target = |(name, target): (_, &Target)| {
            let files: Vec<_> = target.outputs().into_iter().filter_map(|output| output.file()).collect();
            files.into_iter().map(move |file| (name, file))
        };
        self.requested().into_iter().flat_map(of_target).collect()
    }
}

impl Target {
    fn disks(&self) -> Result<Option<Disks>> {
        let outputs: Vec<_> = self.output.iter().filter_map(Printed::disk).collect();
        if outputs.is_empty() { Ok(None) } else { Disks::new(&outputs).map(Some) }
    }

    fn others(&self) -> impl Iterator<Item = &Printed> {
        self.output.iter().filter(|output| output.disk().is_none())
    }

    fn outputs(&self) -> Vec<Output> {
        self.output.iter().filter_map(Printed::output).collect()
    }

    fn is_only_disk(&self) -> bool {
        !self.output.is_empty() && self.others().next().is_none()
    }

    fn image_outputs(&self) -> Result<Option<ImageOutputs>> {
        ImageOutputs::read(&self.outputs())
    }

    fn frontend(&self) -> Option<(String, String)> {
        let inline = self.dockerfile_inline.as_deref();
        let is_named_inline = inline.is_some_and(|text| frontend::is_named_in(text, &frontend::image()));
        let context = self.context.as_deref().unwrap_or(".");
        let path = Path::new(context).join(self.dockerfile.as_deref().unwrap_or("Dockerfile"));
        let has_frontend = is_named_inline || self.args.contains_key(SYNTAX);
        Dockerfile { path, has_frontend }.frontend()
    }

    fn builds_on(&self, name: &str) -> bool {
        self.contexts.values().any(|context| context.strip_prefix("target:") == Some(name))
    }
}

fn plan(line: &Line, definition: &Definition) -> Result<Act> {
    let requested = definition.requested();
    let mut found = Vec::new();
    let mut images = BTreeMap::new();
    for (name, target) in &requested {
        found.extend(target.disks()?.map(|disks| (*name, *target, disks)));
        images.extend(target.image_outputs()?.map(|image| (*name, image)));
    }
    if found.is_empty() && images.is_empty() {
        return Ok(Act::PassOn);
    }
    check_apart(&requested.values().flat_map(|target| target.outputs()).collect::<Vec<_>>())?;

    let others: Vec<_> = requested.iter().filter(|(_, target)| !target.is_only_disk()).collect();
    let bake = Bake { line, disks: found.len(), others: !others.is_empty() };
    let sets = others.iter().flat_map(|(name, target)| match images.get(*name) {
        Some(image) => image_sets(name, target, image),
        None => target.others().map(|output| set(name, &format!("output={}", output.text()))).collect(),
    });
    let names: Vec<_> = others.iter().map(|(name, _)| **name).collect();
    let others = bake.others.then(|| bake.run(Role::Others, sets, &names));
    if let (true, Some(others)) = (found.is_empty(), &others) {
        return Ok(Act::Instead(others.clone()));
    }
    let warm = bake.warm(&found);
    let disks = found.into_iter().map(|(name, target, disks)| {
        let sets = disk_sets(name, target, &disks).chain([set(name, &format!("output={TRANSPORT}"))]);
        DiskRun { args: bake.run(Role::Disk, sets, &[name]), disks }
    });
    Ok(Act::Run(Builds {
        warm,
        disks: disks.collect(),
        others,
        reads_stdin: false,
        quiet: quiet_progress(line),
    }))
}

/// `--set web.output=…`
fn set(target: &str, override_: &str) -> String {
    format!("--set={target}.{override_}")
}

/// What tells a target's build which disk it makes.
fn arguments(name: &str, target: &Target, variables: &[(String, String)]) -> impl Iterator<Item = String> {
    let variables = variables.iter().cloned().chain(target.frontend());
    variables
        .map(move |(key, value)| set(name, &format!("args.{key}={value}")))
        .collect::<Vec<_>>()
        .into_iter()
}

/// What makes a disk of a target, and switches off what the target asks to be attested of it.
fn disk_sets(name: &str, target: &Target, disks: &Disks) -> impl Iterator<Item = String> {
    let kinds: &[&str] = if target.attest.is_empty() { &[] } else { &["provenance", "sbom"] };
    let off = kinds.iter().map(|kind| set(name, &format!("attest=type={kind},disabled=true")));
    arguments(name, target, &disks.variables).chain(off.collect::<Vec<_>>())
}

/// What makes the image that a target's build makes one of its disk.
fn image_sets(name: &str, target: &Target, image: &ImageOutputs) -> Vec<String> {
    let outputs = image.outputs.iter().map(|output| set(name, &format!("output={output}")));
    arguments(name, target, &image.variables).chain(outputs).collect()
}

/// What a run of bake is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Warm,
    Disk,
    Others,
}

/// The bake that was typed, to be run in parts.
struct Bake<'a> {
    line: &'a Line,
    /// Targets with disks.
    disks: usize,
    /// Whether there is a run for what else is asked for.
    others: bool,
}

impl Bake<'_> {
    /// Bake fetches one stdout at a time, but builds side by side: before several disks are fetched one by
    /// one, all of them are built into the cache.
    fn warm(&self, found: &[(&str, &Target, Disks)]) -> Option<Vec<OsString>> {
        // A target would build on the disk of another instead of its files.
        let are_linked =
            found.iter().any(|(_, target, _)| found.iter().any(|(name, ..)| target.builds_on(name)));
        if self.disks < 2 || are_linked {
            return None;
        }
        let sets = found.iter().flat_map(|(name, target, disks)| {
            disk_sets(name, target, disks).chain([set(name, "output=type=cacheonly")])
        });
        let names: Vec<_> = found.iter().map(|(name, ..)| *name).collect();
        Some(self.run(Role::Warm, sets, &names))
    }

    /// The arguments for a run of some targets; of the outputs only those in `sets` are left.
    fn run(&self, role: Role, sets: impl Iterator<Item = String>, targets: &[&str]) -> Vec<OsString> {
        // One file cannot hold what several runs tell: the images' has more to tell, then that of all disks.
        let tells = match role {
            Role::Others => true,
            Role::Warm => !self.others,
            Role::Disk => !self.others && self.disks == 1,
        };
        let keep = |item: &Item| match item {
            Item::Word(_) | Item::End => false,
            item if item.is(&["push", "load"]) => false,
            item if item.is(&["metadata-file"]) => tells,
            item if item.is(ATTESTATIONS) => role == Role::Others,
            // The printed targets have taken these in already.
            item => item.value_of(&["set"]).and_then(set_output).is_none(),
        };
        // The name of a target may be that of a flag.
        let words = std::iter::once("--".to_owned()).chain(urls(self.line));
        self.line.with(keep, sets.chain(words).chain(targets.iter().map(|name| (*name).to_owned())))
    }
}

/// Where bake's own files come from, and its context: the first words, if no target could have such a name.
fn urls(line: &Line) -> Vec<String> {
    let words = line.words().map(|word| word.to_string_lossy().into_owned());
    words.take(2).take_while(|word| word.contains(['/', ':', '@'])).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::docker_buildx::CLIENT;
    use super::*;

    fn act(typed: &str, definition: serde_json::Value) -> Result<Act> {
        let words: Vec<OsString> = typed.split_whitespace().map(OsString::from).collect();
        plan(&Line::read(&words, &CLIENT).unwrap(), &serde_json::from_value(definition).unwrap())
    }

    fn planned(typed: &str, definition: serde_json::Value) -> (Option<String>, Vec<String>, Option<String>) {
        let Act::Run(plan) = act(typed, definition).unwrap() else { panic!("{typed}: nothing planned") };
        let shown = |words: Vec<OsString>| {
            words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
        };
        let disks = plan.disks.into_iter().map(|run| shown(run.args)).collect();
        (plan.warm.map(shown), disks, plan.others.map(shown))
    }

    const FRONTEND: &str = "args.BUILDKIT_SYNTAX=example/vmimage";

    #[test]
    fn one_target_is_one_build() {
        let definition = |output| {
            json!({
                "group": { "default": { "targets": ["web"] } },
                "target": { "web": { "context": ".", "dockerfile": "no-such-file", "output": [output] } }
            })
        };
        let text = json!("type=vmdisk,dest=web.qcow2,size=9G");
        let object = json!({ "type": "vmdisk", "dest": "web.qcow2", "size": "9G" });
        for output in [text, object] {
            let typed =
                "buildx bake --builder b -f x.hcl --metadata-file m --set *.platform=linux/amd64 --push web";
            let (warm, disks, others) = planned(typed, definition(output));
            assert_eq!(
                disks,
                [format!(
                    "buildx bake --builder b -f x.hcl --metadata-file m --set *.platform=linux/amd64 \
                     --set=web.args.VMIMAGE_TRANSPORT=sparse --set=web.args.VMIMAGE_HINTS=attribute --set=web.args.VMIMAGE_FORMAT=qcow2 --set=web.args.VMIMAGE_SIZE=9G --set=web.{FRONTEND} \
                     --set=web.output=type=tar,dest=- -- web"
                )]
            );
            assert_eq!((warm, others), (None, None));
        }
    }

    #[test]
    fn several_disks_are_built_at_once_and_fetched_one_by_one() {
        let definition = json!({
            "group": { "default": { "targets": ["all", "img"] }, "all": { "targets": ["a", "b"] } },
            "target": {
                "a": { "args": { "BUILDKIT_SYNTAX": "x" }, "output": ["type=vmdisk,dest=a.raw"] },
                "b": { "args": { "BUILDKIT_SYNTAX": "x" }, "output": ["type=vmdisk,dest=b.raw", "type=image,push=true"] },
                "img": { "output": [{ "type": "image", "name": "a,b" }] },
                "linked": { "output": ["type=vmdisk,dest=linked.raw"] },
            }
        });
        let (warm, disks, others) = planned(
            "bake --metadata-file m --set b.output=type=vmdisk,dest=b.raw https://x/y.git all img",
            definition,
        );
        assert_eq!(
            warm.unwrap(),
            "bake --set=a.args.VMIMAGE_TRANSPORT=sparse --set=a.args.VMIMAGE_HINTS=attribute --set=a.args.VMIMAGE_FORMAT=raw --set=a.output=type=cacheonly \
             --set=b.args.VMIMAGE_TRANSPORT=sparse --set=b.args.VMIMAGE_HINTS=attribute --set=b.args.VMIMAGE_FORMAT=raw --set=b.output=type=cacheonly \
             -- https://x/y.git a b"
        );
        assert_eq!(
            disks,
            ["a", "b"].map(|name| format!(
                "bake --set={name}.args.VMIMAGE_TRANSPORT=sparse --set={name}.args.VMIMAGE_HINTS=attribute --set={name}.args.VMIMAGE_FORMAT=raw \
                 --set={name}.output=type=tar,dest=- -- https://x/y.git {name}"
            ))
        );
        assert_eq!(
            others.unwrap(),
            "bake --metadata-file m --set=b.output=type=image,push=true \
             --set=img.output=\"name=a,b\",type=image -- https://x/y.git b img"
        );
    }

    #[test]
    fn the_name_of_a_target_is_no_flag() {
        let definition = json!({
            "group": { "default": { "targets": ["web", "--push"] } },
            "target": { "web": { "output": ["type=vmdisk,dest=a.raw"] }, "--push": { "output": ["type=image"] } }
        });
        let (_, _, others) = planned("bake", definition);
        assert_eq!(others.unwrap(), "bake --set=--push.output=type=image -- --push");
    }

    #[test]
    fn a_definition_of_another_host_is_told_from_targets() {
        for (typed, expected) in [
            ("bake", &[][..]),
            ("bake web db", &[]),
            ("bake https://x/y.git#main web", &["https://x/y.git#main"]),
            ("bake -- git@x:y web", &["git@x:y"]),
            ("bake github.com/x/y https://z/c.tar.gz web", &["github.com/x/y", "https://z/c.tar.gz"]),
            ("bake me@host:x/y.git a:b c:d", &["me@host:x/y.git", "a:b"]),
            ("bake web https://x/y.git", &[]),
        ] {
            let words: Vec<OsString> = typed.split_whitespace().map(OsString::from).collect();
            assert_eq!(urls(&Line::read(&words, &CLIENT).unwrap()), expected, "{typed}");
        }
    }

    #[test]
    fn all_files_of_the_targets_that_are_built_are_known() {
        let definition = json!({
            "group": { "default": { "targets": ["a", "b"] } },
            "target": {
                "a": { "output": ["type=vmdisk,dest=/a.raw", { "type": "local", "dest": "/l" }, "type=oci,dest=o"] },
                "b": { "output": ["type=tar,dest=-", "type=tar", "out", "type=image,name=a", "type=cacheonly,dest=x"] },
                "linked": { "output": ["type=vmdisk,dest=linked.raw"] },
            }
        });
        let definition: Definition = serde_json::from_value(definition).unwrap();
        let files =
            definition.files().into_iter().map(|(target, file)| format!("{target}:{}", file.display()));
        assert_eq!(files.collect::<Vec<_>>(), ["a:/a.raw", "a:/l", "a:o", "b:out"]);
    }

    #[test]
    fn nothing_is_attested_of_a_disk() {
        for attest in [json!(["type=sbom"]), json!([{ "type": "provenance", "mode": "max" }])] {
            let definition = json!({
                "target": { "default": {
                    "args": { "BUILDKIT_SYNTAX": "x" }, "attest": attest, "output": ["type=vmdisk,dest=a.raw"],
                } }
            });
            assert_eq!(
                planned("bake --sbom=true --provenance mode=max", definition).1,
                [
                    "bake --set=default.args.VMIMAGE_TRANSPORT=sparse --set=default.args.VMIMAGE_HINTS=attribute --set=default.args.VMIMAGE_FORMAT=raw \
                     --set=default.attest=type=provenance,disabled=true --set=default.attest=type=sbom,disabled=true \
                     --set=default.output=type=tar,dest=- -- default"
                ]
            );
        }
        let definition = json!({
            "target": { "default": {
                "args": { "BUILDKIT_SYNTAX": "x" }, "output": ["type=vmdisk,dest=a.raw", "type=image,name=a"],
            } }
        });
        let (_, disks, others) = planned("bake --sbom=true", definition);
        assert!(!disks[0].contains("sbom"), "{disks:?}");
        assert!(others.unwrap().starts_with("bake --sbom=true "), "it is the image's");
    }

    #[test]
    fn an_image_of_a_disk_is_baked_with_the_other_images() {
        let image = "type=image,name=web,format=containerdisk,size=9G";
        let shown =
            |args: &[OsString]| args.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ");
        let definition = |other: &str| {
            json!({
                "group": { "default": { "targets": ["other", "web"] } },
                "target": {
                    "web": { "args": { "BUILDKIT_SYNTAX": "x" }, "output": [image] },
                    "other": { "args": { "BUILDKIT_SYNTAX": "x" }, "output": [other] },
                }
            })
        };
        let web = "--set=web.args.VMIMAGE_SIZE=9G --set=web.args.VMIMAGE_STAGE=containerdisk --set=web.args.VMIMAGE_HINTS=attribute \
                   --set=web.output=type=image,name=web,compression=uncompressed,oci-mediatypes=true";
        let Act::Instead(args) = act("bake", definition("type=image,name=a")).unwrap() else { panic!() };
        assert_eq!(shown(&args), format!("bake --set=other.output=type=image,name=a {web} -- other web"));
        let (_, disks, others) = planned("bake", definition("type=vmdisk,dest=a.raw"));
        assert_eq!((disks.len(), others.unwrap()), (1, format!("bake {web} -- web")));
    }

    #[test]
    fn a_disk_that_another_one_builds_on_is_not_built_beside_it() {
        let definition = json!({
            "group": { "default": { "targets": ["a", "b"] } },
            "target": {
                "a": { "output": ["type=vmdisk,dest=a.raw"] },
                "b": { "contexts": { "base": "target:a" }, "output": ["type=vmdisk,dest=b.raw"] },
            }
        });
        let (warm, disks, _) = planned("bake", definition);
        assert_eq!((warm, disks.len()), (None, 2));
    }

    #[test]
    fn a_syntax_line_inside_the_definition_counts() {
        let definition = |inline: &str| {
            json!({ "target": { "default": {
                "dockerfile-inline": inline, "output": ["type=vmdisk,dest=a.raw"],
            } } })
        };
        let (_, disks, _) = planned("bake", definition("# syntax=example/vmimage:1\nFROM debian"));
        assert_eq!(
            disks,
            [
                "bake --set=default.args.VMIMAGE_TRANSPORT=sparse --set=default.args.VMIMAGE_HINTS=attribute --set=default.args.VMIMAGE_FORMAT=raw --set=default.output=type=tar,dest=- -- default"
            ]
        );
        let (_, disks, _) = planned("bake", definition("FROM debian"));
        assert!(disks[0].contains(FRONTEND), "{disks:?}");
    }

    #[test]
    fn without_a_disk_nothing_is_changed() {
        let definition = json!({ "target": { "default": { "output": ["type=local,dest=out", "vmdisk"] } } });
        assert_eq!(act("bake", definition).unwrap(), Act::PassOn);
        assert_eq!(act("bake", json!({ "target": {} })).unwrap(), Act::PassOn);
    }

    #[test]
    fn what_cannot_be_made_is_refused() {
        let two = |a: &str, b: &str| {
            let definition = json!({
                "group": { "default": { "targets": ["a", "b"] } },
                "target": { "a": { "output": [a] }, "b": { "output": [b] } }
            });
            act("bake", definition).unwrap_err().to_string()
        };
        let disk = "type=vmdisk,dest=a.raw";
        for same in [disk, "type=vmdisk,dest=./a.raw", "type=vmdisk,dest=no/../a.raw,format=qcow2"] {
            assert!(two(disk, same).ends_with("a.raw: is named twice"));
        }
        assert_eq!(two(disk, "type=tar,dest=./a.raw"), "./a.raw: is a disk and another output");
        let stdout = "type=vmdisk,dest=-,format=raw";
        for other in [disk, stdout, "type=tar", "type=oci,dest=-"] {
            assert!(two(stdout, other).contains("dest=- takes one disk"));
        }
        assert!(two(disk, "type=vmdisk,dest=b.raw,sise=1").contains("unknown attribute sise"));
    }
}
