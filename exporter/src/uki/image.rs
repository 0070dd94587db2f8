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

/// What the first profile is called. systemd-boot 257 has the profiles of an image in its menu by their names, the last first, and starts the
/// first of the menu.
const STANDARD: &str = "ID=standard\n";

impl UnifiedImage<'_> {
    /// The program, which begins with `stub`, whose file `place` names in messages.
    ///
    /// # Errors
    /// If the stub or the kernel is none that can be started so, or all is too large.
    pub fn program(self, stub: &[u8], place: &str, architecture: Architecture) -> Result<Content> {
        let sbat = sbat::of_image(stub, self.kernel)?;
        let mut sections = vec![
            Section::of_bytes(".osrel", self.release),
            Section::of_bytes(".cmdline", self.cmdline.as_bytes()),
            Section::of_bytes(".uname", self.uname.as_bytes()),
        ];
        sections.extend(self.initrd.map(|initrd| Section::of_parts(".initrd", vec![initrd])));
        sections.push(Section::of_bytes(sbat::SECTION, sbat));
        let (kernel, kernel_place) = self.kernel;
        sections.push(Section::of_kernel(kernel, kernel_place, architecture)?);
        if !self.profiles.is_empty() && knows_profiles(stub) {
            sections.push(Section::of_bytes(".profile", STANDARD.as_bytes()));
            sections.extend(self.profiles.iter().flat_map(Profile::sections));
        }
        plan(stub, place, architecture, sections)
    }
}

impl Profile {
    /// Those that stand in the place of the first profile's; a profile reaches up to the next one.
    fn sections(&self) -> [Section<Content>; 2] {
        let Self { id, title, cmdline } = self;
        let profile = format!("ID={id}\nTITLE=\"{title}\"\n");
        [
            Section::of_bytes(".profile", profile.into_bytes()),
            Section::of_bytes(".cmdline", cmdline.as_bytes()),
        ]
    }
}
