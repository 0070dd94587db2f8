//! Disks that are written over another: QEMU reads them, and what may not lie below is refused.

use std::process::Command;

use super::*;
use crate::container::qcow2::Arriving;
use crate::container::sparse::data_runs;
use crate::error::Kind;

/// The next version of [`extents`]: some of it is another, some is gone, some new, and the rest alike.
fn next(size: u64) -> Vec<Extent> {
    let mut next: Vec<_> = extents(size)
        .into_iter()
        .filter(|extent| ![1100 * KIB, 1300 * KIB, 9 * MIB].contains(&extent.offset))
        .collect();
    let mut add = |offset: u64, bytes: Vec<u8>| {
        if offset + bytes.len() as u64 <= size {
            next.push(Extent::bytes(offset, bytes));
        }
    };
    add(1300 * KIB, noise(70 * KIB + 3));
    add(2 * MIB + 512 * KIB, text(100));
    add(30 * MIB, noise(200 * KIB));
    add(600 * MIB + 5, noise(100));
    next.sort_by_key(|extent| extent.offset);
    next
}

fn over(scratch: &Scratch, name: &str, base: &Path, compression: Compression) -> Target {
    let disk = target(scratch, name, compression);
    Target { base: Some(Base::open(base, &disk.path).unwrap()), ..disk }
}

fn qemu_img(scratch: &Scratch, args: &[&str]) {
    let made = Command::new("qemu-img").args(args).current_dir(scratch.path()).output().unwrap();
    assert!(made.status.success(), "{args:?}: {made:?}");
}

/// Why a base is none.
fn refused(scratch: &Scratch, base: &str, new: &str) -> (Kind, String) {
    let error = Base::open(&scratch.file(base), &scratch.file(new)).unwrap_err();
    (error.kind().clone(), error.to_string())
}

#[test]
fn qemu_reads_what_lies_over_a_base() {
    let scratch = Scratch::new();
    for size in SIZES {
        let (old, new) = (extents(size), next(size));
        let [old, image] = [&old, &new].map(|extents| RawImage { size, extents });
        let expected = scratch.write("expected.raw", &flatten(size, &new));
        for base in ["base.qcow2", "base.raw"] {
            let usual = Format::from_path(Path::new(base)).unwrap().default_compression();
            let base = target(&scratch, base, usual);
            write_one(old, &base, 2);
            let before = std::fs::read(&base.path).unwrap();
            for &compression in Compression::ALL {
                let disk = over(&scratch, "disk.qcow2", &base.path, compression);
                write_one(image, &disk, 2);
                let said = accepts("qemu-img", &["check", shown(&disk)]);
                assert!(said.contains("No errors were found") && !said.contains("leaked"), "{said}");
                accepts("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", &expected, shown(&disk)]);
                assert_eq!(check(&disk.path).unwrap(), <[&str; 0]>::default());
            }
            let chain = accepts(
                "qemu-img",
                &["info", "--backing-chain", "--output=json", scratch.file("disk.qcow2").to_str().unwrap()],
            );
            let chain: serde_json::Value = serde_json::from_str(&chain).unwrap();
            let name = base.path.file_name().unwrap().to_str().unwrap();
            assert_eq!(chain[0]["backing-filename"], name);
            assert_eq!(chain[0]["backing-filename-format"], base.format.name());
            assert_eq!(chain.as_array().unwrap().len(), 2);
            assert!(std::fs::read(&base.path).unwrap() == before, "a base is only read");
        }
    }
}

#[test]
fn what_is_alike_takes_no_room() {
    let scratch = Scratch::new();
    let size = 700 * MIB;
    let extents = extents(size);
    let base = target(&scratch, "base.qcow2", Compression::Zstd);
    write_one(RawImage { size, extents: &extents }, &base, 2);
    let disk = over(&scratch, "disk.qcow2", &base.path, Compression::None);
    let len_of = |extents: &[Extent]| {
        write_one(RawImage { size, extents: &extents.to_vec() }, &disk, 2);
        std::fs::metadata(&disk.path).unwrap().len()
    };
    // The header, the L1 table, the table of the reference counts and one block of them.
    assert_eq!(len_of(&extents), 4 * 64 * KIB);
    // Every cluster of the base is marked as zero, in two L2 tables.
    assert_eq!(len_of(&[]), 6 * 64 * KIB);
    let mut one_more = extents.clone();
    one_more.insert(9, Extent::bytes(20 * MIB, vec![1]));
    one_more.sort_by_key(|extent| extent.offset);
    assert_eq!(len_of(&one_more), 6 * 64 * KIB, "a cluster and its L2 table");
}

#[test]
fn the_same_bytes_however_they_come() {
    let scratch = Scratch::new();
    for size in SIZES {
        let (old, new) = (extents(size), next(size));
        let base = target(&scratch, "base.qcow2", Compression::Zlib);
        write_one(RawImage { size, extents: &old }, &base, 2);
        let disk = over(&scratch, "disk.qcow2", &base.path, Compression::Zstd);
        write_one(RawImage { size, extents: &new }, &disk, 1);
        let expected = std::fs::read(&disk.path).unwrap();
        write_one(RawImage { size, extents: &new }, &disk, 5);
        assert!(std::fs::read(&disk.path).unwrap() == expected, "{size}");

        let plain = flatten(size, &new);
        let output = Output::create(&scratch.file("arrived.qcow2")).unwrap();
        let base = Base::open(&base.path, &scratch.file("arrived.qcow2")).unwrap();
        let mut arriving = Arriving::new(&base, Compression::Zstd, &output).unwrap();
        for (at, part) in (0..).step_by(300_000).zip(plain.chunks(300_000)) {
            data_runs(at, part).try_for_each(|(at, run)| arriving.put(at, run)).unwrap();
        }
        arriving.finish(size).unwrap();
        output.persist().unwrap();
        assert!(std::fs::read(scratch.file("arrived.qcow2")).unwrap() == expected, "{size}");
    }
}

#[test]
fn a_larger_disk_lies_over_a_smaller_base_and_not_the_other_way_round() {
    let scratch = Scratch::new();
    let (small, large) = (3 * MIB + 512, 12 * MIB);
    let [old, new] = [extents(small), next(large)];
    for base in ["base.qcow2", "base.raw"] {
        let base = target(&scratch, base, Compression::None);
        write_one(RawImage { size: small, extents: &old }, &base, 2);
        let disk = over(&scratch, "disk.qcow2", &base.path, Compression::Zstd);
        write_one(RawImage { size: large, extents: &new }, &disk, 2);
        accepts("qemu-img", &["check", shown(&disk)]);
        let expected = scratch.write("expected.raw", &flatten(large, &new));
        accepts("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", &expected, shown(&disk)]);

        let image = RawImage { size: small - 512, extents: &extents(small - 512) };
        std::fs::remove_file(&disk.path).unwrap();
        let error = write(image, std::slice::from_ref(&disk), &run(2)).unwrap_err();
        assert_eq!(*error.kind(), Kind::Input);
        assert!(error.to_string().contains("it cannot be smaller") && error.hint().is_some(), "{error}");
        let output = Output::create(&disk.path).unwrap();
        let arriving = Arriving::new(disk.base.as_ref().unwrap(), Compression::Zstd, &output).unwrap();
        assert!(arriving.finish(small - 512).unwrap_err().to_string().contains("it cannot be smaller"));
        assert!(!disk.path.exists());
    }
}

#[test]
fn a_base_may_lie_over_others_in_its_folder() {
    let scratch = Scratch::new();
    let size = 12 * MIB;
    let first = target(&scratch, "1.raw", Compression::None);
    write_one(RawImage { size, extents: &extents(size) }, &first, 2);
    let mut newest = next(size);
    let second = over(&scratch, "2.qcow2", &first.path, Compression::Zstd);
    write_one(RawImage { size, extents: &newest }, &second, 2);
    newest.insert(1, Extent::bytes(700, vec![3; 100]));
    // Only the first disk has these bytes, and the third has to hide them.
    newest.retain(|extent| extent.offset != 5 * MIB - 100);
    let third = over(&scratch, "3.qcow2", &second.path, Compression::None);
    write_one(RawImage { size, extents: &newest }, &third, 2);
    let expected = scratch.write("expected.raw", &flatten(size, &newest));
    accepts("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", &expected, shown(&third)]);
    assert_eq!(
        std::fs::metadata(&third.path).unwrap().len(),
        6 * 64 * KIB,
        "one cluster, and marks of those that became zero"
    );

    // Nobody has asked for the others where the disk is only opened.
    let error = open(&third.path).map(drop).unwrap_err();
    assert!(error.to_string().contains("backing files cannot be read"), "{error}");
    // A changed disk below is found as well.
    std::fs::OpenOptions::new().append(true).open(&first.path).unwrap().set_len(size + 512).unwrap();
    let fourth = target(&scratch, "4.qcow2", Compression::None);
    let fourth = Target { base: third.base.clone(), ..fourth };
    let image = RawImage { size, extents: &newest };
    let error = write(image, std::slice::from_ref(&fourth), &run(1)).unwrap_err();
    assert!(error.to_string().contains("1.raw: has changed while it was read as a base"), "{error}");
    assert!(!fourth.path.exists());
}

#[test]
fn what_is_no_base_is_refused() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.file("inside")).unwrap();
    std::fs::write(scratch.file("secret"), vec![1; MIB as usize]).unwrap();
    for args in [
        &["create", "-q", "-f", "raw", "first.raw", "1M"][..],
        &["create", "-q", "-f", "qcow2", "-b", "first.raw", "-F", "raw", "second"],
        &["create", "-q", "-f", "qcow2", "-b", "../secret", "-F", "raw", "inside/outside"],
        &["create", "-q", "-f", "vmdk", "other.vmdk", "1M"],
        &["create", "-q", "-f", "qcow2", "-o", "data_file=secret,data_file_raw=on", "data", "1M"],
        &["create", "-q", "-f", "qcow2", "-b", "other.vmdk", "-F", "vmdk", "over-vmdk"],
        &["create", "-q", "-f", "qcow2", "-b", "first.raw", "-F", "raw", "loop"],
        &["rebase", "-u", "-b", "loop", "-F", "qcow2", "loop"],
    ] {
        qemu_img(&scratch, args);
    }
    let secret = ["create", "-q", "-f", "qcow2", "--object", "secret,id=key,data=abc"];
    qemu_img(
        &scratch,
        &[&secret[..], &["-o", "encrypt.format=luks,encrypt.key-secret=key", "luks", "1M"]].concat(),
    );
    std::os::unix::fs::symlink(scratch.file("secret"), scratch.file("inside/link")).unwrap();
    qemu_img(&scratch, &["create", "-q", "-f", "qcow2", "-b", "link", "-F", "raw", "inside/by-link"]);
    // The format is not said.
    let mut unsaid = std::fs::read(scratch.file("second")).unwrap();
    let extension = unsaid.windows(4).position(|bytes| bytes == 0xe279_2aca_u32.to_be_bytes()).unwrap();
    unsaid[extension..extension + 4].fill(1);
    scratch.write("unsaid", &unsaid);
    for (base, new, kind, part) in [
        ("first.raw", "first.raw", Kind::Input, "first.raw: is the disk that is to be made"),
        (
            "second",
            "first.raw",
            Kind::Input,
            "first.raw: is the disk that is to be made, or one that its base lies over",
        ),
        ("inside/outside", "new", Kind::Input, "lies over \"../secret\", which is not in its folder"),
        ("inside/by-link", "new", Kind::Input, "lies over \"link\", which is not in its folder"),
        ("inside", "new", Kind::Input, "is not a regular file"),
        ("loop", "new", Kind::Unsupported, "loop: lies over itself"),
        ("other.vmdk", "new", Kind::Unsupported, "other.vmdk: is vmdk, and a base is qcow2 or raw"),
        ("over-vmdk", "new", Kind::Unsupported, "a backing file in the format \"vmdk\" cannot be read"),
        ("unsaid", "new", Kind::Unsupported, "does not say in which format its backing file is"),
        ("data", "new", Kind::Unsupported, "external data files cannot be read"),
        ("luks", "new", Kind::Unsupported, "encryption cannot be read"),
        ("missing", "new", Kind::Io, "missing: cannot open the base"),
    ] {
        let (found, said) = refused(&scratch, base, new);
        assert!(said.contains(part), "{base}: {said}");
        assert_eq!(found, kind, "{base}: {said}");
    }
    // What a machine has written into its raw disk is no reason to read others.
    std::fs::copy(scratch.file("second"), scratch.file("written.raw")).unwrap();
    let (kind, said) = refused(&scratch, "written.raw", "new");
    assert!(kind == Kind::Input && said.contains("begins as a qcow2"), "{said}");
    // By another name it is the same file.
    std::fs::hard_link(scratch.file("first.raw"), scratch.file("hard")).unwrap();
    assert!(refused(&scratch, "first.raw", "hard").1.contains("is the disk that is to be made"));
    Base::open(&scratch.file("second"), &scratch.file("new")).unwrap();

    for format in [Format::Raw, Format::Vmdk, Format::ContainerDisk] {
        let base = Some(Base::open(&scratch.file("first.raw"), &scratch.file("new")).unwrap());
        let disk = Target { base, ..any_target(&scratch, format) };
        let image = RawImage { size: MIB, extents: &extents(MIB) };
        let error = write(image, std::slice::from_ref(&disk), &run(1)).unwrap_err();
        assert!(error.to_string().contains("has no base"), "{error}");
    }
}

#[test]
fn too_many_files_over_each_other_are_refused() {
    let scratch = Scratch::new();
    qemu_img(&scratch, &["create", "-q", "-f", "qcow2", "0", "1M"]);
    for number in 1..=32 {
        let below = (number - 1).to_string();
        qemu_img(
            &scratch,
            &["create", "-q", "-f", "qcow2", "-b", &below, "-F", "qcow2", &number.to_string()],
        );
    }
    Base::open(&scratch.file("31"), &scratch.file("new")).unwrap();
    assert!(refused(&scratch, "32", "new").1.contains("or over more than 32 files"));
}

#[test]
fn a_damaged_name_of_a_base_is_found() {
    let scratch = Scratch::new();
    qemu_img(&scratch, &["create", "-q", "-f", "raw", "first.raw", "1M"]);
    qemu_img(&scratch, &["create", "-q", "-f", "qcow2", "-b", "first.raw", "-F", "raw", "second"]);
    let whole = std::fs::read(scratch.file("second")).unwrap();
    for (at, value, part) in [
        (16, &0_u32.to_be_bytes()[..], "the name of the backing file is impossible"),
        (16, &1024_u32.to_be_bytes(), "the name of the backing file is impossible"),
        (8, &(1_u64 << 40).to_be_bytes(), "the name of the backing file is impossible"),
        (8, &(1_u64 << 20).to_be_bytes(), "the image ends at"),
        (100, &u32::MAX.to_be_bytes(), "does not say in which format"),
    ] {
        let mut damaged = whole.clone();
        damaged[at..at + value.len()].copy_from_slice(value);
        scratch.write("damaged", &damaged);
        let (_, said) = refused(&scratch, "damaged", "new");
        assert!(said.contains(part), "{at}: {said}");
    }
}

#[test]
fn what_does_not_come_in_order_is_refused() {
    let scratch = Scratch::new();
    let base = scratch.write("base.raw", &[0; 4096]);
    let output = Output::create(&scratch.file("disk.qcow2")).unwrap();
    let base = Base::open(Path::new(&base), &scratch.file("disk.qcow2")).unwrap();
    let mut disk = Arriving::new(&base, Compression::None, &output).unwrap();
    disk.put(5000, &[1; 10]).unwrap();
    assert!(disk.put(5009, &[1]).unwrap_err().to_string().contains("does not come in order"));
}

#[test]
fn holes_are_known_without_reading_them() {
    let scratch = Scratch::new();
    let size = SIZES[4];
    let extents = extents(size);
    let plain = flatten(size, &extents);
    for name in ["disk.qcow2", "disk.raw"] {
        let disk = target(&scratch, name, Compression::None);
        write_one(RawImage { size, extents: &extents }, &disk, 2);
        let (_, image) = open(&disk.path).unwrap();
        let (mut at, mut steps) = (0, 0);
        while at < size {
            let data = image.data_from(at);
            assert!(
                (at..=size).contains(&data)
                    && plain[at as usize..data as usize].iter().all(|&byte| byte == 0)
            );
            at = (data / (64 * KIB) + 1) * 64 * KIB;
            steps += 1;
        }
        assert!(steps < 100, "{name}: of {} clusters", size / (64 * KIB));
        assert_eq!(image.data_from(size + 5), size);
    }
}
