//! What a machine is made of, whatever engine makes it.
//!
//! ```text
//! base ──probe─▶ plan ─┬─ install ─▶ what goes below the user's layers
//!                      └─ collect ─▶ boot loader files, unless there is a donor
//! donor ─probe─▶ plan ─┬─ collect ─▶ boot loader files
//!                      └─ install ─▶ the file system that the kernel is taken from
//! ```
//!
//! Nothing is installed below the layers of a microVM: its base, or another image, is a donor of files alone.
//!
//! All decisions are made here. An engine answers questions and runs steps: it is a [`Driver`].

use exporter::spec::Architecture;

use super::{DEFAULT_DONOR, Plan, Probed, Step, donor, plan, plan_donor, plan_stage, unsupported};
use crate::ask::{Install, Taken};
use crate::base::Result;
use crate::base::ready::ready;

/// An engine, as far as a recipe needs it.
pub(crate) trait Driver {
    /// An image, built or to be built.
    type Image: Clone;
    /// The folder [`BOOT_OUT`](super::BOOT_OUT) after a step.
    type BootFiles;

    /// The image of this name.
    async fn image(&self, name: &str) -> Result<Self::Image>;

    /// What an image has and lacks.
    async fn probe(&self, image: &Self::Image) -> Result<Probed>;

    /// An image after a step that installs something on it.
    async fn install(&self, on: &Self::Image, step: &Step) -> Result<Self::Image>;

    /// What a step on an image collects.
    async fn collect(&self, on: &Self::Image, step: &Step) -> Result<Self::BootFiles>;
}

/// What there is for a machine beside the user's layers.
pub(crate) struct Ingredients<D: Driver> {
    /// What they stand on in place of the base; `None`: nothing is installed on that.
    pub(crate) base: Option<D::Image>,
    /// `None`: the distribution has none we know, the frontend's own are used.
    pub(crate) boot: Option<D::BootFiles>,
    /// The image that the kernel is taken from; `None`: it is below the user's layers, or among them.
    pub(crate) donor: Option<D::Image>,
}

/// What a machine on `base` needs by the engine's answers; `None`: on nothing, for an image `FROM scratch`.
pub(crate) async fn follow<D: Driver>(
    driver: &D,
    base: Option<&D::Image>,
    architecture: Architecture,
    asked: &Install,
) -> Result<Ingredients<D>> {
    if let Some(taken) = asked.microvm {
        return follow_microvm(driver, base, architecture, asked, taken).await;
    }
    let (found, (installed, boot)) = match base {
        Some(image) => {
            let found = driver.probe(image).await?;
            let ran = run(driver, image, &plan(&found, architecture, asked)?).await?;
            (Some(found), ran)
        }
        None => (None, (None, None)),
    };
    let Some(name) = donor(found.as_ref(), asked) else {
        return Ok(Ingredients { base: installed, boot, donor: None });
    };
    let image = driver.image(name).await?;
    let found = driver.probe(&image).await?;
    let (with_kernel, boot) = run(driver, &image, &plan_donor(&found, architecture, asked)?).await?;
    // Kernel and boot loader are signed by the same hand.
    Ok(Ingredients { base: installed, boot, donor: Some(with_kernel.unwrap_or(image)) })
}

/// What is taken for a microVM: of the base, if it can have a kernel, else of a donor.
async fn follow_microvm<D: Driver>(
    driver: &D,
    base: Option<&D::Image>,
    architecture: Architecture,
    asked: &Install,
    taken: Taken,
) -> Result<Ingredients<D>> {
    if !taken.is_some() {
        return Ok(Ingredients { base: None, boot: None, donor: None });
    }
    let mut own = None;
    if let (Some(image), None) = (base, &asked.donor) {
        let found = driver.probe(image).await?;
        let plan = plan_stage(&found, architecture, asked, taken, true)?;
        own = plan.map(|plan| (image.clone(), plan));
    }
    let (image, plan) = match own {
        Some(own) => own,
        None => {
            let image = driver.image(asked.donor.as_deref().unwrap_or(DEFAULT_DONOR)).await?;
            let found = driver.probe(&image).await?;
            let plan = plan_stage(&found, architecture, asked, taken, false)?;
            (image, plan.ok_or_else(|| unsupported(&found))?)
        }
    };
    let (unpacked, boot) = run(driver, &image, &plan).await?;
    let donor = (taken.kernel || taken.stub).then(|| unpacked.unwrap_or(image));
    Ok(Ingredients { base: None, boot, donor })
}

/// The same by an engine that lets nobody wait, without an event loop.
pub(crate) fn follow_now<D: Driver>(
    driver: &D,
    base: Option<&D::Image>,
    architecture: Architecture,
    asked: &Install,
) -> Result<Ingredients<D>> {
    ready(follow(driver, base, architecture, asked))
}

/// The image with what is installed on it, and the boot loader files that are collected, as far as that is planned.
async fn run<D: Driver>(
    driver: &D,
    image: &D::Image,
    plan: &Plan,
) -> Result<(Option<D::Image>, Option<D::BootFiles>)> {
    let boot = match &plan.boot {
        Some(step) => Some(driver.collect(image, step).await?),
        None => None,
    };
    let installed = match &plan.machine {
        Some(step) => Some(driver.install(image, step).await?),
        None => None,
    };
    Ok((installed, boot))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use exporter::tree::{Editor, Meta, Time, Tree};

    use super::*;

    /// Images by name, with the files that a probe finds in them; notes what it is asked.
    struct Noting {
        images: &'static [(&'static str, &'static [(&'static str, &'static str)])],
        asked: RefCell<Vec<String>>,
    }

    impl Noting {
        fn note(&self, what: String) -> String {
            self.asked.borrow_mut().push(what.clone());
            what
        }
    }

    impl Driver for Noting {
        type Image = String;
        type BootFiles = String;

        async fn image(&self, name: &str) -> Result<String> {
            self.note(format!("image {name}"));
            Ok(name.to_owned())
        }

        async fn probe(&self, image: &String) -> Result<Probed> {
            self.note(format!("probe {image}"));
            let (_, files) = self.images.iter().find(|(name, _)| name == image).unwrap();
            let mut tree = Tree::new(Meta::default());
            for (path, text) in *files {
                Editor::new(&mut tree, Time::default()).write_file(path, text.as_bytes(), 0o755).unwrap();
            }
            Probed::new(image, tree)
        }

        async fn install(&self, on: &String, step: &Step) -> Result<String> {
            Ok(self.note(format!("install {} on {on}", step.args[0])))
        }

        async fn collect(&self, on: &String, _: &Step) -> Result<String> {
            Ok(self.note(format!("collect on {on}")))
        }
    }

    const DEBIAN: &[(&str, &str)] =
        &[("/etc/os-release", "ID=debian\nVERSION_ID=12\n"), ("/usr/bin/apt-get", "")];
    const DISTROLESS: &[(&str, &str)] = &[("/etc/os-release", "ID=debian\n")];
    const ALPINE: &[(&str, &str)] = &[("/etc/os-release", "ID=alpine\n"), ("/sbin/apk", "")];
    const BOOTS: &[(&str, &str)] = &[("/boot/vmlinuz-1", ""), ("/boot/initrd.img-1", "")];

    const BARE: &[(&str, &str)] = &[("/boot/vmlinuz-1", "")];
    const IMAGES: &[(&str, &[(&str, &str)])] = &[
        ("debian", DEBIAN),
        ("docker.io/library/debian:12", DEBIAN),
        ("alpine", ALPINE),
        ("distroless", DISTROLESS),
        ("boots", BOOTS),
        ("bare", BARE),
    ];

    fn follow(base: Option<&str>, asked: Install) -> (Vec<String>, Ingredients<Noting>) {
        let driver = Noting { images: IMAGES, asked: RefCell::default() };
        let base = base.map(str::to_owned);
        let followed = follow_now(&driver, base.as_ref(), Architecture::X86_64, &asked).unwrap();
        (driver.asked.into_inner(), followed)
    }

    #[test]
    fn the_user_s_own_base_is_made_a_machine_where_that_is_possible() {
        let (asked, made) = follow(Some("debian"), Install::default());
        let install = "install linux-image-cloud-amd64 on debian";
        assert_eq!(asked, ["probe debian", "collect on debian", install]);
        assert_eq!((made.base.as_deref(), made.boot.as_deref()), (Some(install), Some("collect on debian")));
        assert_eq!(made.donor, None);

        let (asked, made) = follow(Some("alpine"), Install::default());
        assert_eq!(asked, ["probe alpine", "install linux-virt on alpine"]);
        assert_eq!((made.boot, made.donor), (None, None));

        let (asked, made) = follow(Some("boots"), Install::default());
        assert_eq!(asked, ["probe boots"]);
        assert_eq!((made.base, made.boot, made.donor), (None, None, None));
    }

    #[test]
    fn a_donor_gives_kernel_and_boot_loader() {
        const DONOR: &str = "docker.io/library/debian:12";
        let of_donor = [
            format!("image {DONOR}"),
            format!("probe {DONOR}"),
            format!("collect on {DONOR}"),
            format!("install linux-image-cloud-amd64 on {DONOR}"),
        ];
        for base in [None, Some("distroless")] {
            let (asked, made) = follow(base, Install::default());
            let before: Vec<_> = base.map(|name| format!("probe {name}")).into_iter().collect();
            assert_eq!(asked, [&before[..], &of_donor].concat());
            assert_eq!(
                (made.base, made.boot, made.donor),
                (None, Some(of_donor[2].clone()), Some(of_donor[3].clone()))
            );
        }
    }

    fn microvm(base: Option<&str>, asked: Install, taken: Taken) -> (Vec<String>, Ingredients<Noting>) {
        let (said, made) = follow(base, Install { microvm: Some(taken), ..asked });
        assert_eq!(made.base, None, "nothing is installed below the layers");
        (said, made)
    }

    #[test]
    fn a_microvm_takes_files_of_its_base_or_of_a_donor() {
        let kernel = Taken { kernel: true, ..Taken::default() };
        let (asked, made) = microvm(Some("debian"), Install::default(), kernel);
        let unpack = "install linux-image-cloud-amd64 on debian";
        assert_eq!(asked, ["probe debian", unpack]);
        assert_eq!((made.donor.as_deref(), made.boot), (Some(unpack), None));

        for (base, before) in [(None, vec![]), (Some("distroless"), vec!["probe distroless"])] {
            let donor = "docker.io/library/debian:12";
            let of_donor = [format!("image {donor}"), format!("probe {donor}")];
            let (asked, made) = microvm(base, Install::default(), kernel);
            let step = format!("install linux-image-cloud-amd64 on {donor}");
            let before = before.into_iter().map(str::to_owned);
            let expected: Vec<_> = before.chain(of_donor).chain([step.clone()]).collect();
            assert_eq!((asked, made.donor), (expected, Some(step)));
        }

        // A kernel that is there needs no step, not even an initramfs.
        for image in ["boots", "bare"] {
            let asked = Install { donor: Some(image.into()), ..Install::default() };
            let (asked, made) = microvm(Some("debian"), asked, kernel);
            assert_eq!(asked, [format!("image {image}"), format!("probe {image}")]);
            assert_eq!(made.donor.as_deref(), Some(image));
            let (asked, made) = microvm(Some(image), Install::default(), kernel);
            assert_eq!((asked, made.donor.as_deref()), (vec![format!("probe {image}")], Some(image)));
        }
    }

    #[test]
    fn of_a_microvm_only_a_disk_has_a_boot_loader_and_only_a_uki_a_stub() {
        let disk = Taken { kernel: true, boot_loader: true, stub: false };
        let (asked, made) = microvm(Some("debian"), Install::default(), disk);
        let unpack = "install linux-image-cloud-amd64 on debian";
        assert_eq!(asked, ["probe debian", "collect on debian", unpack]);
        assert_eq!(made.boot.as_deref(), Some("collect on debian"));

        let stub = Taken { stub: true, ..Taken::default() };
        let (asked, made) = microvm(Some("alpine"), Install::default(), stub);
        assert_eq!(asked, ["probe alpine", "install systemd-efistub on alpine"]);
        assert!(made.donor.is_some());

        // The kernel is the image's own, or a file.
        let (asked, made) = microvm(Some("debian"), Install::default(), Taken::default());
        assert_eq!((asked, made.donor, made.boot), (vec![], None, None));
    }

    #[test]
    fn an_image_that_gives_a_microvm_no_kernel_is_refused() {
        let asked = Install {
            donor: Some("distroless".into()),
            microvm: Some(Taken { kernel: true, ..Taken::default() }),
            ..Install::default()
        };
        let driver = Noting { images: IMAGES, asked: RefCell::default() };
        let refused = follow_now(&driver, None, Architecture::X86_64, &asked).err().unwrap();
        assert!(refused.to_string().starts_with("image distroless"), "{refused}");
    }

    /// The base's own boot loader is not collected in vain.
    #[test]
    fn of_a_base_with_a_donor_only_the_system_is_installed() {
        let asked = Install { donor: Some("boots".into()), ..Install::default() };
        let (asked, made) = follow(Some("debian"), asked);
        assert_eq!(asked, ["probe debian", "install systemd-sysv on debian", "image boots", "probe boots"]);
        assert_eq!(made.base.as_deref(), Some("install systemd-sysv on debian"));
        assert_eq!((made.boot.as_deref(), made.donor.as_deref()), (None, Some("boots")));
    }
}
