//! A placement as an artifact.

use super::*;

#[test]
fn it_is_what_was_told_and_no_disk() {
    let scratch = Scratch::new();
    let target = any_target(&scratch, Format::Placement);
    write_one(RawImage { size: 4 * MIB, extents: &extents(4 * MIB) }, &target, 2);
    assert_eq!(std::fs::read(&target.path).unwrap(), b"vmiplace, and where all lies");
    assert_eq!(identify(&target.path).unwrap(), (Format::Placement, None));
    for error in [open(&target.path).err().unwrap(), check(&target.path).unwrap_err()] {
        assert_eq!(error.message(), "is the placement of a build, and no disk is in it");
    }
}

#[test]
fn what_has_none_leaves_nothing() {
    let scratch = Scratch::new();
    let target = Target { placement: None, ..any_target(&scratch, Format::Placement) };
    let image = RawImage { size: MIB, extents: &Vec::new() };
    let error = write(image, &[target], &run(1)).unwrap_err();
    assert_eq!(*error.kind(), Kind::Unsupported);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}
