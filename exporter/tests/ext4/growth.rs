//! A disk grows on its first boot: while mounted, or before.
//!
//! The kernel grows a mounted file system for CAP_SYS_RESOURCE only, which containers and some sandboxes
//! withhold even from root. Without it the attempt must fail with exactly that reason and change nothing.

use std::process::Command;

use exporter::tree::Tree;

use crate::dump;
use crate::fsck::sample;
use crate::support::{GIB, Image, MIB, Mount, empty_tree, pattern, run, text};

/// Make the file larger, and the loop device under `mount`.
fn enlarge(image: &Image, mount: &Mount, size: u64) -> String {
    image.file().set_len(size).unwrap();
    let device = run(Command::new("findmnt").args(["-n", "-o", "SOURCE"]).arg(mount.path()));
    let device = device.trim().to_owned();
    run(Command::new("losetup").args(["-c", &device]));
    device
}

fn blocks(image: &Image) -> u64 {
    let stats = image.debugfs("stats");
    let line = stats.lines().find_map(|line| line.strip_prefix("Block count:")).unwrap();
    line.trim().parse().unwrap()
}

/// Whether this process has CAP_SYS_RESOURCE (bit 24).
fn may_grow() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(capabilities.trim(), 16).unwrap() >> 24 & 1 == 1
}

fn grow_online(tree: Tree, from: u64, to: u64) {
    let image = Image::of(tree, from);
    let before = blocks(&image);
    let mount = Mount::new(&image, "rw");
    let device = enlarge(&image, &mount, to);
    let resized = Command::new("resize2fs").arg(device).output().unwrap();
    assert_eq!(resized.status.success(), may_grow(), "{}", text(&resized));
    if !may_grow() {
        assert!(text(&resized).contains("Permission denied to resize filesystem"), "{}", text(&resized));
    }
    std::fs::write(mount.path().join("written after"), pattern(5_000_000, 9)).unwrap();
    drop(mount);
    image.assert_clean();
    assert_eq!(blocks(&image), if may_grow() { to / 4096 } else { before });
    let features = image.debugfs("features");
    assert!(features.contains("resize_inode") && !features.contains("meta_bg"), "{features}");
}

#[test]
fn forty_times_the_size_while_mounted() {
    grow_online(sample(), GIB, 40 * GIB);
    grow_online(empty_tree(), 200 * MIB, 8 * GIB);
}

#[test]
fn a_short_last_group_grows_while_mounted() {
    for size in [130 * MIB, 129 * MIB, 2 * GIB + 20 * MIB] {
        grow_online(empty_tree(), size, size + 300 * MIB);
    }
}

#[test]
fn forty_times_the_size_at_rest() {
    for (from, to) in [(GIB, 40 * GIB), (150 * MIB, 6 * GIB), (64 * MIB, 5 * GIB)] {
        let tree = sample();
        let expected = dump::of_tree(&tree);
        let image = Image::of(tree, from);
        grow_at_rest(&image, to);
        let mount = Mount::new(&image, "ro");
        assert_eq!(dump::of_mount(mount.path()), expected);
    }
}

fn grow_at_rest(image: &Image, to: u64) {
    image.file().set_len(to).unwrap();
    run(Command::new("resize2fs").arg(image.path()));
    image.assert_clean();
    assert_eq!(blocks(image), to / 4096);
}

#[test]
fn it_grows_and_shrinks_after_a_kernel_has_written_to_it() {
    let image = Image::of(sample(), 200 * MIB);
    let fill = |name: &str, len| {
        let mount = Mount::new(&image, "rw");
        let at = mount.path().join(name);
        std::fs::create_dir(&at).unwrap();
        for number in 0..500u64 {
            std::fs::write(at.join(number.to_string()), pattern(len, number)).unwrap();
        }
        drop(mount);
        image.assert_clean();
        // resize2fs wants a check since the last mount.
        run(Command::new("e2fsck").arg("-fp").arg(image.path()));
    };
    fill("before", 100_000);
    grow_at_rest(&image, 10 * GIB);
    fill("after", 300_000);
    run(Command::new("resize2fs").arg("-M").arg(image.path()));
    image.assert_clean();
    let mount = Mount::new(&image, "ro");
    for (name, len) in [("before", 100_000), ("after", 300_000)] {
        for number in 0..500u64 {
            let found = std::fs::read(mount.path().join(name).join(number.to_string())).unwrap();
            assert!(found == pattern(len, number), "{name}/{number}");
        }
    }
}

#[test]
fn it_shrinks_at_rest() {
    let image = Image::of(sample(), 3 * GIB);
    run(Command::new("resize2fs").arg("-M").arg(image.path()));
    image.assert_clean();
}
