//! Ignition: it runs in the initramfs of the first boot, which the kernel's command line tells it of. GRUB says so as
//! long as a file is there, as on systems of CoreOS (`grub2/05_ignition.cfg` of Ignition); a service removes it.

use super::systemd;
use crate::boot::FIRST_BOOT;
use crate::container::Format;
use crate::error::Result;
use crate::spec::Spec;
use crate::tree::os::{Init, Os};
use crate::tree::{Editor, Tree};

/// Modules of dracut; Ignition's own is `30ignition`, that of a distribution may be `35coreos-ignition`.
const MODULES: &str = "/usr/lib/dracut/modules.d";
const PLATFORM: &str = "ignition.platform.id=";
const SERVICE: &str = "vmimage-ignition.service";

/// Ignition's generator leaves `/run/ignition.env` in every initramfs that has it. Early, since a boot that labels for
/// SELinux ends after `sysinit.target`.
const UNIT: &str = "\
[Unit]
Description=End the first boot of Ignition
Documentation=https://coreos.github.io/ignition/
DefaultDependencies=no
ConditionKernelCommandLine=ignition.firstboot
ConditionPathExists=/boot/ignition.firstboot
RequiresMountsFor=/boot
After=local-fs.target
Before=sysinit.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c '[ -e /run/ignition.env ] || { echo \"Ignition has not run: it is not in the initramfs\" >&2; exit 1; }'
ExecStart=/bin/rm -f /boot/ignition.firstboot

[Install]
WantedBy=sysinit.target
";

/// Whether the initramfs can have it.
fn is_installed(tree: &Tree) -> bool {
    tree.children(MODULES).any(|(name, module)| {
        let has_setup =
            || tree.entries(module).is_some_and(|files| files.contains_key(&b"module-setup.sh"[..]));
        name.ends_with(b"ignition") && has_setup()
    })
}

/// Makes the next boot the first, where Ignition is installed.
pub(super) fn prepare(editor: &mut Editor<'_>, os: &Os) -> Result<Vec<String>> {
    if os.init != Some(Init::Systemd) || !is_installed(editor.tree()) {
        return Ok(Vec::new());
    }
    editor.write_file(format!("{}/{SERVICE}", systemd::USR), UNIT.as_bytes(), 0o644)?;
    systemd::enable(editor, SERVICE)?;
    if editor.tree().resolve(FIRST_BOOT).is_none() {
        editor.write_file(FIRST_BOOT, *b"", 0o644)?;
    }
    Ok(vec![format!("{FIRST_BOOT}: Ignition runs at the first boot")])
}

/// Where Ignition looks for its configuration: the word for the kernel's command line, and whether that is known
/// without a network.
pub fn platform(spec: &Spec) -> (String, bool) {
    let asked =
        spec.cmdline.split_ascii_whitespace().filter_map(|word| word.strip_prefix(PLATFORM)).next_back();
    let platform = asked.unwrap_or_else(|| usual_platform(&spec.formats));
    let is_local =
        matches!(platform, "qemu" | "vmware" | "virtualbox" | "hyperv" | "kubevirt" | "metal" | "file");
    (format!("{PLATFORM}{platform}"), is_local)
}

/// That of the hypervisor whose format all files have; else QEMU's.
fn usual_platform(formats: &[Format]) -> &'static str {
    let mut platforms = formats.iter().map(|format| format.platform());
    let first = platforms.next().unwrap_or("qemu");
    if platforms.all(|other| other == first) { first } else { "qemu" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Time;
    use crate::tree::os;
    use crate::tree::testing::tree;

    const DEBIAN: (&str, &str) = ("/etc/os-release", "ID=debian\n");
    const SYSTEMD: (&str, &str) = ("/usr/lib/systemd/systemd", "");
    const MODULE: (&str, &str) = ("/usr/lib/dracut/modules.d/30ignition/module-setup.sh", "");

    fn prepared(files: &[(&str, &str)]) -> Tree {
        let mut tree = tree(files);
        let os = os::detect(&tree).unwrap();
        prepare(&mut Editor::new(&mut tree, Time::default()), &os).unwrap();
        tree
    }

    #[test]
    fn the_next_boot_is_the_first_where_it_is_installed() {
        let machine = prepared(&[DEBIAN, SYSTEMD, MODULE]);
        assert!(machine.lookup(FIRST_BOOT).is_some());
        assert!(systemd::is_enabled(&machine, SERVICE));

        let own = (FIRST_BOOT, "set ignition_network_kcmdline=ip=dhcp\n");
        let machine = prepared(&[DEBIAN, SYSTEMD, MODULE, own]);
        assert_eq!(machine.read(FIRST_BOOT, 100).unwrap().unwrap(), own.1.as_bytes());

        let other = ("/usr/lib/dracut/modules.d/30other/module-setup.sh", "");
        for files in [&[DEBIAN, SYSTEMD][..], &[DEBIAN, MODULE], &[DEBIAN, SYSTEMD, other]] {
            assert!(prepared(files).lookup(FIRST_BOOT).is_none(), "{files:?}");
        }
    }

    #[test]
    fn the_platform_is_that_of_the_formats_unless_it_is_said() {
        let word = |formats: &[Format], cmdline: &str| {
            platform(&Spec { formats: formats.to_vec(), cmdline: cmdline.into(), ..Spec::default() })
        };
        let is = |platform: &str, is_local| (format!("ignition.platform.id={platform}"), is_local);
        assert_eq!(word(&[Format::Qcow2, Format::Raw], "quiet"), is("qemu", true));
        assert_eq!(word(&[Format::Vmdk, Format::Ova], ""), is("vmware", true));
        assert_eq!(word(&[Format::Vdi], ""), is("virtualbox", true));
        assert_eq!(word(&[Format::Vhdx, Format::VhdDynamic], ""), is("hyperv", true));
        assert_eq!(word(&[Format::Vhd], ""), is("azure", false));
        assert_eq!(word(&[Format::Gce], ""), is("gcp", false));
        assert_eq!(word(&[Format::ContainerDisk], ""), is("kubevirt", true));
        assert_eq!(word(&[Format::Vmdk, Format::Qcow2], ""), is("qemu", true));
        assert_eq!(word(&[Format::Raw], "quiet ignition.platform.id=aws"), is("aws", false));
    }
}
