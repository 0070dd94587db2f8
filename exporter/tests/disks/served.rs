//! A disk that is served without being written is the one that is written: for every kind of input and layout, by the clients of
//! others. And so is one that is read out of a file of any format.

use std::fs::{self, File};
use std::io::Write;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use exporter::assemble::{Input, plan};
use exporter::container::{self, Compression, Format, write};
use exporter::engine::{Run, View};
use exporter::nbd::{Address, Listener, Server};
use exporter::read_at::Shared;
use exporter::spec::{Layout, Profile, Size, Spec, Volatile};
use exporter::tree::{HostDir, scan};
use tempfile::TempDir;

use crate::inputs::{self, MIB, input, noise};
use crate::layouts::{said, started};
use crate::{encrypted, microvm, same_bytes, verity};

/// An image that is served for as long as this is there.
struct Served {
    folder: TempDir,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<exporter::Result<()>>>,
}

impl Served {
    fn new(view: Shared) -> Self {
        let folder = TempDir::new().unwrap();
        let listener = Listener::bind(&Address::Unix(folder.path().join("socket"))).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stops = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            Server { view, description: "a test".into(), tell: &|_, _| {} }.serve(&listener, &stops)
        });
        Self { folder, stop, thread: Some(thread) }
    }

    fn uri(&self) -> String {
        Address::Unix(self.folder.path().join("socket")).uri()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap().unwrap();
    }
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn compare(raw: &Path, uri: &str) -> Output {
    run(Command::new("qemu-img").args(["compare", "-f", "raw", "-F", "raw"]).arg(raw).arg(uri))
}

/// What qemu-img and nbdcopy find is the file `raw`, byte by byte.
fn is_served_as(raw: &Path, served: &Served, what: &str) {
    let uri = served.uri();
    let compared = compare(raw, &uri);
    assert!(compared.status.success(), "{what}: {compared:?}");
    let copy = served.folder.path().join("copy");
    let nbdcopy = run(Command::new("nbdcopy").arg(&uri).arg(&copy));
    assert!(nbdcopy.status.success(), "{what}: {nbdcopy:?}");
    assert!(is_same(raw, &copy), "{what}");
    let told = said(Command::new("nbdinfo").arg("--json").arg(&uri));
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let export = &told["exports"][0];
    assert_eq!(export["export-size"], fs::metadata(raw).unwrap().len(), "{what}");
    assert_eq!((&export["is_read_only"], &export["can_multi_conn"]), (&true.into(), &true.into()));
    // Without structured replies, as the kernel and old clients read.
    let simple = served.folder.path().join("simple");
    let script = format!(
        "h.set_request_structured_replies(False)\nh.connect_uri({uri:?})\nout = open({simple:?}, 'wb')\n\
         size, at = h.get_size(), 0\nwhile at < size:\n  out.write(h.pread(min(size - at, 3 << 20), at))\n  at += 3 << 20\n"
    );
    said(Command::new("/usr/bin/python3").args(["-m", "nbd", "-c", &script]));
    assert!(is_same(raw, &simple), "{what}");
}

fn is_same(one: &Path, other: &Path) -> bool {
    run(Command::new("cmp").arg(one).arg(other)).status.success()
}

/// The disk of an input, served, and the same written.
fn both(spec: &Spec, input: Input, what: &str) -> (TempDir, PathBuf, Served) {
    let run = Run::silent(NonZeroUsize::new(2).unwrap());
    let planned = plan(spec, input, &run).unwrap_or_else(|error| panic!("{what}: {error}"));
    let scratch = TempDir::new().unwrap();
    let raw = scratch.path().join("disk.raw");
    let target = planned.target(raw.clone(), Format::Raw, Compression::None);
    write(planned.image(), &[target], &run).unwrap();
    let view = View::new(planned.image(), scratch.path());
    // It needs no plan any more.
    drop(planned);
    (scratch, raw, Served::new(Arc::new(view)))
}

fn layout(text: &str) -> Layout {
    serde_json::from_str(text).unwrap()
}

#[test]
fn every_kind_of_input_is_served_as_it_is_written() {
    let scratch = TempDir::new().unwrap();
    for (name, spec, input) in same_bytes::disks(scratch.path()) {
        let spec = Spec { formats: vec![Format::Raw], ..spec };
        let (_scratch, raw, served) = both(&spec, input, name);
        is_served_as(&raw, &served, name);
    }
}

#[test]
fn every_layout_is_served_as_it_is_written() {
    let raw = || Spec { formats: vec![Format::Raw], ..Spec::default() };
    let erofs = |more: &str| {
        let root = format!(r#"{{"type":"root","filesystem":"erofs"{more}}}"#);
        let text = format!(r#"{{"preset":"split-boot","partitions":[{root}]}}"#);
        Spec { layout: layout(&text), volatile: Volatile::Overlay, ..raw() }
    };
    let many = r#"{"sector-size":4096,"partitions":[{"type":"esp","min":"300M"},{"type":"root","weight":1},
        {"type":"srv","weight":2},{"type":"swap","size":"64M"}]}"#;
    for (name, spec) in [
        ("simple", Spec { layout: layout(r#"{"preset":"simple"}"#), ..raw() }),
        ("mbr", Spec { layout: layout(r#"{"preset":"simple","table":"mbr"}"#), ..raw() }),
        ("split-boot", Spec { layout: layout(r#"{"preset":"split-boot"}"#), ..raw() }),
        ("split-boot, mbr", Spec { layout: layout(r#"{"preset":"split-boot","table":"mbr"}"#), ..raw() }),
        ("slots", Spec { layout: layout(r#"{"preset":"ab"}"#), ..raw() }),
        (
            "sectors of 4096 bytes",
            Spec { layout: layout(many), firmware: exporter::spec::Firmware::Uefi, ..raw() },
        ),
        ("erofs", erofs("")),
        ("erofs, compressed", erofs(r#","compression":"lz4""#)),
        ("large", Spec { size: Some(Size(20 << 30)), ..raw() }),
    ] {
        let (_scratch, raw, served) = both(&spec, started(&spec, inputs::debian_small()), name);
        match name {
            // The others would read all of its zeroes.
            "large" => assert!(compare(&raw, &served.uri()).status.success()),
            _ => is_served_as(&raw, &served, name),
        }
    }
}

/// Hashes of a root, what is encrypted, and parts of machines without a table.
#[test]
fn what_is_sealed_is_served_as_it_is_written() {
    let hashed = |list: &str| {
        let layout = layout(&format!(r#"{{"preset":"split-boot","partitions":[{list}]}}"#));
        Spec { layout, volatile: Volatile::Overlay, formats: vec![Format::Raw], ..Spec::default() }
    };
    for (name, spec) in [
        ("verity of ext4", hashed(r#"{"type":"root","verity":true}"#)),
        ("verity of erofs", hashed(r#"{"type":"root","verity":true,"filesystem":"erofs"}"#)),
        ("verity in a list of its own", verity::of_systemd_boot()),
    ] {
        let (_scratch, raw, served) = both(&spec, started(&spec, verity::tree()), name);
        is_served_as(&raw, &served, name);
    }
    // What is random in it was decided when it was planned.
    let (spec, input) = encrypted::parts();
    let (_scratch, raw, served) = both(&spec, input, "encrypted");
    is_served_as(&raw, &served, "encrypted");
    let (_scratch, raw, served) = both(&microvm::spec(Format::Microvm), microvm::scratch(), "microvm");
    is_served_as(&raw, &served, "microvm");
}

#[test]
fn data_alone_is_served_as_it_is_written() {
    let data = |text: &str| Spec {
        profile: Profile::Data,
        layout: layout(text),
        formats: vec![Format::Raw],
        ..Spec::default()
    };
    for (name, spec) in [
        ("mbr", data(r#"{"table":"mbr"}"#)),
        ("sectors of 4096 bytes", data(r#"{"sector-size":4096}"#)),
        ("of a size", Spec { size: Some(Size(70 * MIB)), ..data("{}") }),
    ] {
        let (_scratch, raw, served) = both(&spec, input(inputs::site()), name);
        is_served_as(&raw, &served, name);
    }
}

/// The comparisons above must be able to fail.
#[test]
fn another_byte_is_found() {
    let spec = Spec { profile: Profile::Data, formats: vec![Format::Raw], ..Spec::default() };
    let (_scratch, raw, served) = both(&spec, input(inputs::site()), "data");
    let file = File::options().write(true).open(&raw).unwrap();
    file.write_all_at(b"x", fs::metadata(&raw).unwrap().len() - MIB - 77).unwrap();
    assert_eq!(compare(&raw, &served.uri()).status.code(), Some(1));
}

/// A folder of files in the working directory's file system, as a disk of data.
fn folder(files: &[(&str, u64)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, len) in files {
        fs::write(folder.path().join(name), noise(*len, *len)).unwrap();
    }
    folder
}

#[test]
fn a_file_that_changes_while_it_is_served_is_an_error_and_the_rest_is_there() {
    let files = folder(&[("a", 3 * MIB), ("b", 2 * MIB)]);
    let tree = scan(&HostDir::open(files.path()).unwrap(), NonZeroUsize::MIN, &mut |_| {}).unwrap();
    let spec = Spec { profile: Profile::Data, formats: vec![Format::Raw], ..Spec::default() };
    let (_scratch, raw, served) = both(&spec, input(tree), "folder");
    is_served_as(&raw, &served, "folder");
    // After the clock of the file system has gone on.
    thread::sleep(Duration::from_millis(50));
    let changed = File::options().write(true).open(files.path().join("a")).unwrap();
    changed.write_all_at(b"other bytes, as long as before", 2 * MIB).unwrap();
    let compared = compare(&raw, &served.uri());
    assert!(compared.status.code() > Some(1), "an error, and no difference: {compared:?}");
    let told = run(Command::new("nbdinfo").arg(served.uri()));
    assert!(told.status.success(), "{told:?}");
}

#[test]
fn a_disk_of_any_format_is_served_until_it_changes() {
    let scratch = TempDir::new().unwrap();
    let path = |name: &str| scratch.path().join(name);
    let mut raw = File::create(path("disk.raw")).unwrap();
    raw.write_all(&noise(3 * MIB, 1)).unwrap();
    raw.write_all_at(&noise(MIB, 2), 9 * MIB).unwrap();
    raw.set_len(12 * MIB).unwrap();
    let made = [
        ("qcow2", &[][..]),
        ("qcow2", &["-c"]),
        ("vmdk", &[]),
        ("vhdx", &[]),
        ("vdi", &[]),
        ("vpc", &["-o", "force_size"]),
    ];
    for (at, (format, options)) in made.into_iter().enumerate() {
        let disk = path(&format!("disk{at}.{format}"));
        let mut convert = Command::new("qemu-img");
        convert.args(["convert", "-f", "raw", "-O", format]).args(options).arg(path("disk.raw")).arg(&disk);
        said(&mut convert);
        let served = Served::new(container::open_watched(&disk).unwrap().1);
        is_served_as(&path("disk.raw"), &served, &format!("{format} {options:?}"));
    }
    // One over another, with its backing file beside it.
    let over = path("over.qcow2");
    let mut create = Command::new("qemu-img");
    said(create.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "disk.raw"]).arg(&over));
    said(Command::new("qemu-io").args(["-c", "write -P 7 1M 64k", "-f", "qcow2"]).arg(&over));
    said(Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(&over).arg(path("flat.raw")));
    let view = container::open_watched(&over).unwrap().1;
    let served = Served::new(view.clone());
    is_served_as(&path("flat.raw"), &served, "over another");
    assert!(view.data_from(5 * MIB) > 5 * MIB);
    thread::sleep(Duration::from_millis(50));
    raw.write_all_at(b"changed", 5 * MIB).unwrap();
    let compared = compare(&path("flat.raw"), &served.uri());
    assert!(compared.status.code() > Some(1), "{compared:?}");
    let error = view.read_at(0, &mut [0]).unwrap_err();
    assert!(error.to_string().ends_with("disk.raw: the disk changed while it was read"), "{error}");
    // What was a hole is none that a client could be told of.
    assert_eq!(view.data_from(5 * MIB), 5 * MIB);
    let error = container::open_watched(&path("none")).err().unwrap();
    assert!(error.to_string().contains("none: cannot look at the disk file"), "{error}");
    let error = container::open_watched(Path::new("/dev/null")).err().unwrap();
    assert!(error.to_string().contains("/dev/null: is not a regular file"), "{error}");
}

#[test]
fn what_is_allocated_is_what_the_map_says() {
    let spec = Spec {
        profile: Profile::Data,
        formats: vec![Format::Raw],
        size: Some(Size(400 * MIB)),
        ..Spec::default()
    };
    let (_scratch, raw, served) = both(&spec, input(inputs::site()), "data");
    let map = |tool: &mut Command| -> Vec<serde_json::Value> { serde_json::from_str(&said(tool)).unwrap() };
    let of_server = map(Command::new("nbdinfo").args(["--map", "--json"]).arg(served.uri()));
    let sum = |map: &[serde_json::Value], key: &str| {
        map.iter().map(|part| part[key].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(sum(&of_server, "length"), 400 * MIB);
    let file = File::open(&raw).unwrap();
    let mut holes = 0;
    for part in of_server.iter().filter(|part| part["type"] != 0) {
        let (offset, len) = (part["offset"].as_u64().unwrap(), part["length"].as_u64().unwrap());
        let mut bytes = vec![1; len as usize];
        file.read_exact_at(&mut bytes, offset).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0), "{part}");
        holes += len;
    }
    assert!(holes > 300 * MIB, "{of_server:?}");
    let of_qemu = map(Command::new("qemu-img").args(["map", "--output=json"]).arg(served.uri()));
    let zero =
        of_qemu.iter().filter(|part| part["zero"] == true).map(|part| part["length"].as_u64().unwrap());
    assert_eq!(zero.sum::<u64>(), holes);
}

/// A client of somebody else's that goes away, again and again, while another one reads.
#[test]
fn clients_that_are_killed_harm_nobody() {
    let spec = Spec { profile: Profile::Data, formats: vec![Format::Raw], ..Spec::default() };
    let files = folder(&[("a", 40 * MIB)]);
    let tree = scan(&HostDir::open(files.path()).unwrap(), NonZeroUsize::MIN, &mut |_| {}).unwrap();
    let (_scratch, raw, served) = both(&spec, input(tree), "folder");
    for _ in 0..10 {
        let mut reader = Command::new("nbdcopy").arg(served.uri()).arg("null:").spawn().unwrap();
        thread::sleep(Duration::from_millis(5));
        reader.kill().unwrap();
        reader.wait().unwrap();
    }
    is_served_as(&raw, &served, "after others were killed");
}
