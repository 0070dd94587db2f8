//! The image of a machine: its kernel by itself, in one or several profiles.

use super::{Section, knows_profiles, plan, sbat};
use crate::architecture::Architecture;
use crate::error::Result;
use crate::tree::Content;

/// What an image is made of beside its stub.
#[derive(Clone, Debug)]
pub struct UnifiedImage<'a> {
    /// The kernel, and what messages call it.
    pub kernel: (&'a Content, &'a str),
    /// Its release, as `uname -r` says it.
    pub uname: &'a str,
    /// The initramfs.
    pub initrd: Option<Content>,
    /// os-release(5): by what it says a boot loader shows the image, and orders it.
    pub release: Vec<u8>,
    /// Words for the kernel.
    pub cmdline: &'a str,
    /// What can be chosen beside that, where the stub knows of profiles.
    pub profiles: &'a [Profile],
}

/// Another way to start the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// By what boot loaders know it.
    pub id: &'static str,
    /// What a menu shows beside the name of the image.
    pub title: &'static str,
    /// Words for the kernel, all of them.
    pub cmdline: String,
}

/// What the first profile is called.
const NORMAL: &str = "ID=normal\n";

impl UnifiedImage<'_> {
    /// The program, which begins with `stub`, whose file `place` names in messages.
    ///
    /// # Errors
    /// If the stub or the kernel is none that can be started so, or all is too large.
    pub fn program(self, stub: &[u8], place: &str, architecture: Architecture) -> Result<Content> {
        let sbat = sbat::of_image(stub, self.kernel)?;
        let profiles: Vec<_> =
            self.profiles.iter().flat_map(|profile| profile.sections(&self.release)).collect();
        let mut sections = vec![
            Section::of_bytes(".osrel", self.release),
            Section::of_bytes(".cmdline", self.cmdline.as_bytes()),
            Section::of_bytes(".uname", self.uname.as_bytes()),
        ];
        sections.extend(self.initrd.map(|initrd| Section::of_parts(".initrd", vec![initrd])));
        sections.push(Section::of_bytes(sbat::SECTION, sbat));
        let (kernel, kernel_place) = self.kernel;
        sections.push(Section::of_kernel(kernel, kernel_place, architecture)?);
        if !profiles.is_empty() && knows_profiles(stub) {
            sections.push(Section::of_bytes(".profile", NORMAL.as_bytes()));
            sections.extend(profiles);
        }
        plan(stub, place, architecture, sections)
    }
}

impl Profile {
    /// Those that stand in the place of the first profile's; a profile reaches up to the next one.
    fn sections(&self, release: &[u8]) -> [Section<Content>; 3] {
        let Self { id, title, cmdline } = self;
        let profile = format!("ID={id}\nTITLE=\"{title}\"\n");
        [
            Section::of_bytes(".profile", profile.into_bytes()),
            Section::of_bytes(".osrel", sorted_behind(release, id)),
            Section::of_bytes(".cmdline", cmdline.as_bytes()),
        ]
    }
}

/// The os-release(5) of a profile that stands behind the first one, whatever boot loader sorts them. systemd-boot 257 has the
/// others in front and starts one of them, where tries are in the name of the image (systemd pull request 39848).
fn sorted_behind(release: &[u8], profile: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(release);
    let value = |name: &str| {
        let values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        values.map(|value| value.trim_matches(['"', '\'', ' '])).rfind(|value| !value.is_empty())
    };
    let key = value("IMAGE_ID").or_else(|| value("ID")).unwrap_or("linux");
    let end = if release.ends_with(b"\n") { "" } else { "\n" };
    [release, format!("{end}IMAGE_ID=\"{key}-{profile}\"\n").as_bytes()].concat()
}
