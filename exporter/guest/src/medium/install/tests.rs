//! Whole runs: on files, on disks that fail, and from media that lie.

use std::io;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::config::Layer;
use super::target::Device;
use super::testing::{Answers, MIB, Machine, Medium, disk};
use super::*;
use crate::grow::gpt;
use crate::update::index::BLOCK;
use crate::update::source::http::tests::server::{Request, Server, Stream, hang};
use crate::update::source::open_impatient;

fn config(text: &str) -> Config {
    Config::of(vec![Layer::parse("t", text.as_bytes()).unwrap()]).unwrap()
}

/// Install on the only disk of a machine.
fn install(machine: &Machine, medium: &Medium, text: &str) -> Result<Vec<String>, String> {
    install_from(machine, &medium.manifest, &mut *medium.source(), text)
}

fn install_from(
    machine: &Machine,
    manifest: &Manifest,
    source: &mut dyn Source,
    text: &str,
) -> Result<Vec<String>, String> {
    let person = Answers::new(&[]);
    let config = config(text);
    let installer = Installer { config: &config, person: &person, places: machine.places() };
    installer.install(manifest, None, source).map(|()| person.said())
}

fn machine(bytes: u64) -> Machine {
    let machine = Machine::new();
    machine.disk("sda", bytes);
    machine
}

fn has_table(bytes: &[u8]) -> bool {
    bytes[446..510].iter().any(|byte| *byte != 0) || data_of(bytes)
}

/// Whether it is anything else than one that was marked.
fn data_of(bytes: &[u8]) -> bool {
    !mark::is_there(bytes) && bytes.iter().take(512).any(|byte| *byte != 0)
}

/// A disk as the table of another size has it.
fn expected(disk: &[u8], len: u64) -> Vec<u8> {
    let mut bytes = disk.to_vec();
    let last = bytes.len() - 512;
    bytes[last..].fill(0);
    bytes.resize(len as usize, 0);
    let read = |at: u64, len: usize| Ok(disk[at as usize..at as usize + len].to_vec());
    let table = gpt::Table::read(512, read).unwrap().unwrap();
    for (at, part) in table.at_the_end_of(len).unwrap() {
        bytes[at as usize..at as usize + part.len()].copy_from_slice(&part);
    }
    bytes
}

#[test]
fn a_disk_is_written_byte_for_byte() {
    let disk = disk();
    for is_packed in [true, false] {
        let medium = Medium::new(&disk, is_packed);
        for len in [disk.len() as u64, 8 * MIB] {
            let machine = machine(len);
            let said = install(&machine, &medium, "unattended = true").unwrap();
            assert!(machine.bytes("sda") == expected(&disk, len), "{is_packed} {len}");
            assert!(
                said.iter().any(|line| line.starts_with("writing: 3.0 MiB of 3.0 MiB, 100%")),
                "{said:?}"
            );
            assert!(said.iter().any(|line| line.starts_with("reading back: 3.0 MiB")), "{said:?}");
        }
    }
    // One of its own size is as it is on the medium.
    assert!(expected(&disk, disk.len() as u64) == disk);
}

#[test]
fn what_was_there_is_gone_where_it_would_be_found() {
    let (disk, machine) = (disk(), machine(8 * MIB));
    for at in [0, 600, MIB + 5 * BLOCK as u64, 8 * MIB - 512] {
        machine.write("sda", at, b"old");
    }
    assert!(install(&machine, &Medium::new(&disk, true), "overwrite = true").is_ok());
    assert!(machine.bytes("sda") == expected(&disk, 8 * MIB));
}

#[test]
fn a_disk_with_data_stays_as_it_is() {
    let machine = machine(8 * MIB);
    machine.write("sda", 4096, b"old");
    let before = machine.bytes("sda");
    let said = install(&machine, &Medium::new(&disk(), true), "unattended = true").unwrap_err();
    assert!(said.contains("has data, nothing was written"), "{said}");
    assert!(machine.bytes("sda") == before);
}

/// What happens to a disk in order, and where that ends.
struct Cut {
    disk: target::Disk,
    left: AtomicUsize,
    /// Of the byte that cannot be written.
    bad: Option<u64>,
    log: Mutex<Vec<Range<u64>>>,
}

impl Cut {
    fn may(&self, place: Range<u64>, keep: impl FnOnce(u64)) -> io::Result<()> {
        self.log.lock().unwrap().push(place.clone());
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 || self.bad.is_some_and(|bad| place.contains(&bad)) {
            // Some sectors of it are there.
            keep((place.end - place.start) / 2 / 512 * 512);
            return Err(io::Error::from_raw_os_error(5));
        }
        self.left.store(left - 1, Ordering::Relaxed);
        Ok(())
    }
}

impl Device for Cut {
    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let part = |len: u64| drop(self.disk.write(&bytes[..len as usize], at));
        self.may(at..at + bytes.len() as u64, part)?;
        self.disk.write(bytes, at)
    }

    fn clear(&self, place: Range<u64>) -> io::Result<()> {
        let part = |len: u64| drop(self.disk.clear(place.start..place.start + len));
        self.may(place.clone(), part)?;
        self.disk.clear(place)
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.disk.read(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn read_table(&self) -> io::Result<()> {
        Ok(())
    }

    fn forget(&mut self) -> io::Result<()> {
        self.disk.forget()
    }
}

/// A run on a disk that does so much and no more.
fn cut(
    machine: &Machine,
    medium: &Medium,
    left: usize,
    bad: Option<u64>,
    goes_on: bool,
) -> (Result<(), String>, Vec<Range<u64>>) {
    let path = machine.places().dev.join("sda");
    let device =
        Cut { disk: target::Disk::open(&path).unwrap(), left: left.into(), bad, log: Mutex::default() };
    let device = std::sync::Arc::new(Mutex::new(device));
    let mut target =
        Target { name: "/dev/sda".to_owned(), len: 8 * MIB, device: Box::new(Shared(device.clone())) };
    let (image, mut source) = (medium.image(), medium.source());
    let mut run = || {
        let index = Index::read(&image, &mut *source)?;
        let first = fill::first(&image, &index, &mut *source)?;
        let closing = Closing::of(&first, 512, target.len)?;
        write(&image, &index, &mut target, goes_on, first, &mut *source, &Answers::new(&[]))?;
        close(&mut target, &closing)
    };
    let done = run();
    let log = device.lock().unwrap().log.lock().unwrap().clone();
    (done, log)
}

/// The same disk for the run and for the test.
struct Shared(std::sync::Arc<Mutex<Cut>>);

impl Device for Shared {
    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.0.lock().unwrap().write(bytes, at)
    }
    fn clear(&self, place: Range<u64>) -> io::Result<()> {
        self.0.lock().unwrap().clear(place)
    }
    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.0.lock().unwrap().read(bytes, at)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.lock().unwrap().sync()
    }
    fn read_table(&self) -> io::Result<()> {
        Ok(())
    }
    fn forget(&mut self) -> io::Result<()> {
        self.0.lock().unwrap().forget()
    }
}

/// At every step, and not at chosen ones.
#[test]
fn a_run_that_is_cut_leaves_no_table_and_is_gone_on_with() {
    let disk = disk();
    let medium = Medium::new(&disk, true);
    let (done, log) = cut(&machine(8 * MIB), &medium, usize::MAX, None, false);
    done.unwrap();
    assert!(log.len() > 20, "{}", log.len());
    for left in 0..log.len() {
        let machine = machine(8 * MIB);
        machine.write("sda", 510, &[0x55, 0xaa]);
        machine.write("sda", 446, &[0x80, 0, 0, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 9]);
        let (done, _) = cut(&machine, &medium, left, None, false);
        let said = done.unwrap_err();
        assert!(said.starts_with("/dev/sda: cannot be written at byte "), "{said}");
        let bytes = machine.bytes("sda");
        // Nothing was written by the first step but a part of the first block: its first sector is there or is not.
        assert!(!has_table(&bytes), "step {left} of {}", log.len());
        let goes_on = data::of(&machine.places().dev.join("sda"), 8 * MIB, 512).unwrap();
        assert_eq!(goes_on, Contents::Unfinished, "step {left}");
        let said = install(&machine, &medium, "unattended = true").unwrap();
        assert!(
            said.iter().any(|line| line.contains("has an installation that is not complete")),
            "{said:?}"
        );
        assert!(machine.bytes("sda") == expected(&disk, 8 * MIB), "step {left}");
    }
}

#[test]
fn what_is_right_of_an_earlier_run_stays() {
    let disk = disk();
    let medium = Medium::new(&disk, true);
    let (_, whole) = cut(&machine(8 * MIB), &medium, usize::MAX, None, false);
    let machine = machine(8 * MIB);
    // All but the end.
    assert!(cut(&machine, &medium, whole.len() - 4, None, false).0.is_err());
    let (done, log) = cut(&machine, &medium, usize::MAX, None, true);
    done.unwrap();
    assert!(log.len() + 10 < whole.len(), "{} of {}", log.len(), whole.len());
    assert!(machine.bytes("sda") == expected(&disk, 8 * MIB));
}

#[test]
fn a_disk_that_fails_is_named_with_its_byte() {
    let medium = Medium::new(&disk(), false);
    for bad in [BLOCK as u64 * 17, MIB + 7 * BLOCK as u64, 8 * MIB - 1] {
        let machine = machine(8 * MIB);
        let (done, log) = cut(&machine, &medium, usize::MAX, Some(bad), false);
        let at = log.last().unwrap().start;
        let said = done.unwrap_err();
        assert!(said.starts_with(&format!("/dev/sda: cannot be written at byte {at}: ")), "{said}");
        assert!(said.contains("\nhint: the disk is failing or is gone"), "{said}");
        assert!(!has_table(&machine.bytes("sda")));
    }
}

/// One that forgets what it was given.
struct Forgetful(target::Disk);

impl Device for Forgetful {
    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut bytes = bytes.to_vec();
        if at == MIB + 4 * BLOCK as u64 {
            bytes[9] ^= 1;
        }
        self.0.write(&bytes, at)
    }
    fn clear(&self, place: Range<u64>) -> io::Result<()> {
        self.0.clear(place)
    }
    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.0.read(bytes, at)
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn read_table(&self) -> io::Result<()> {
        Ok(())
    }
    fn forget(&mut self) -> io::Result<()> {
        self.0.forget()
    }
}

#[test]
fn what_is_not_what_was_written_is_found() {
    let (medium, machine) = (Medium::new(&disk(), true), machine(8 * MIB));
    let device = Forgetful(target::Disk::open(&machine.places().dev.join("sda")).unwrap());
    let mut target = Target { name: "/dev/sda".to_owned(), len: 8 * MIB, device: Box::new(device) };
    let (image, mut source) = (medium.image(), medium.source());
    let index = Index::read(&image, &mut *source).unwrap();
    let first = fill::first(&image, &index, &mut *source).unwrap();
    let said =
        write(&image, &index, &mut target, false, first, &mut *source, &Answers::new(&[])).unwrap_err();
    assert!(said.contains(&format!("at byte {} is not what was written", MIB + 4 * BLOCK as u64)), "{said}");
}

#[test]
fn media_that_lie_write_nothing_that_starts() {
    type Change = fn(&Medium);
    let packed: [(Change, &str); 5] = [
        (|medium| medium.change("disk.zst", |bytes| bytes.truncate(bytes.len() / 2)), "cut short"),
        (
            |medium| {
                let len = medium.file("disk.zst").len();
                medium.change("disk.zst", |bytes| bytes[len / 2] ^= 0x10);
            },
            "is damaged: it was not written",
        ),
        (
            |medium| medium.change("disk.index", |bytes| bytes[9] ^= 1),
            "is not the one that medium.json names",
        ),
        (|medium| medium.change("disk.index", |bytes| bytes.truncate(36)), "cut short"),
        (|medium| medium.change("disk.zst", |bytes| bytes[20] ^= 0x10), "block 0 is damaged"),
    ];
    for (change, said) in packed {
        let (medium, machine) = (Medium::new(&disk(), true), machine(8 * MIB));
        change(&medium);
        let error = install(&machine, &medium, "unattended = true").unwrap_err();
        assert!(error.contains(said), "{said}: {error}");
        assert!(!has_table(&machine.bytes("sda")), "{said}");
    }
}

#[test]
fn a_disk_without_a_table_that_fits_is_refused_before_anything_is_written() {
    type Change = fn(&mut Vec<u8>);
    let changes: [(Change, &str); 4] = [
        (|disk| disk[..4096].fill(0), "has no partition table"),
        (|disk| disk[512 + 60] ^= 1, "header is damaged"),
        (|disk| disk[1024] ^= 1, "entries are damaged"),
        (|disk| disk[512 + 72..512 + 80].fill(0xff), "header is damaged"),
    ];
    for (change, said) in changes {
        let mut disk = disk();
        change(&mut disk);
        let machine = machine(8 * MIB);
        let error = install(&machine, &Medium::new(&disk, true), "unattended = true").unwrap_err();
        assert!(error.contains(said), "{said}: {error}");
        assert!(machine.bytes("sda").iter().all(|byte| *byte == 0), "{said}");
    }
}

#[test]
fn a_boot_record_needs_no_backup() {
    let mut disk = vec![0; 2 * MIB as usize];
    disk[450] = 0x83;
    disk[454..462].copy_from_slice(&[0, 8, 0, 0, 0, 8, 0, 0]);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    let len = disk.len();
    disk[len - 3..].copy_from_slice(b"end");
    let machine = machine(4 * MIB);
    install(&machine, &Medium::new(&disk, false), "unattended = true").unwrap();
    let bytes = machine.bytes("sda");
    assert!(bytes[..len] == disk && bytes[len..].iter().all(|byte| *byte == 0));
}

/// The folder on a web server, whose answer for the disk is another one.
fn served(medium: &Medium, disk: fn(&Request, &[u8], &mut Stream)) -> Server {
    let files = ["disk.zst", "disk.index"].map(|name| (format!("/{name}"), medium.file(name)));
    let text = medium.file("medium.json");
    Server::new(move |request, stream| match files.iter().find(|(name, _)| *name == request.path) {
        Some((name, bytes)) if name.ends_with(".zst") => disk(request, bytes, stream),
        Some((_, bytes)) => request.file(bytes, stream),
        None => request.file(&text, stream),
    })
}

#[test]
fn a_disk_comes_from_a_web_server_with_ranges_or_without() {
    let (disk, medium) = (disk(), Medium::new(&disk(), true));
    let without: fn(&Request, &[u8], &mut Stream) = |_, bytes, stream| stream.answer("200 OK", "", bytes);
    let files = ["disk.zst", "disk.index", "medium.json"].map(|name| (format!("/{name}"), medium.file(name)));
    let no_ranges = Server::new(move |request, stream| {
        let file = files.iter().find(|(name, _)| *name == request.path);
        without(request, &file.unwrap().1, stream);
    });
    for server in [served(&medium, |request, bytes, stream| request.file(bytes, stream)), no_ranges] {
        let mut source = open_impatient(&server.url);
        let manifest = read_manifest(&mut *source, None).unwrap();
        let machine = machine(8 * MIB);
        install_from(&machine, &manifest, &mut *source, "unattended = true").unwrap();
        assert!(machine.bytes("sda") == expected(&disk, 8 * MIB));
    }
}

#[test]
fn servers_that_stall_or_end_or_lie_leave_no_table() {
    type Answer = fn(&Request, &[u8], &mut Stream);
    let answers: [(Answer, &str); 4] = [
        // A connection that ends is resumed, so each has to end where it begins.
        (
            |request, bytes, stream| {
                let is_late = request.range().is_some_and(|(start, _)| start > 0);
                stream.cut(request, bytes, if is_late { 0 } else { usize::MAX });
            },
            "the connection broke",
        ),
        (
            |request, bytes, stream| match request.range() {
                Some((0, _)) | None => request.file(bytes, stream),
                _ => hang(),
            },
            "disk.zst",
        ),
        (
            |request, bytes, stream| {
                let bytes: Vec<_> =
                    bytes.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at > 2000)).collect();
                request.file(&bytes, stream);
            },
            "is damaged: it was not written",
        ),
        (
            |request, bytes, stream| match request.range() {
                Some((0, _)) | None => request.file(bytes, stream),
                _ => stream.answer("404 Not Found", "", b""),
            },
            "404",
        ),
    ];
    let medium = Medium::new(&disk(), true);
    for (answer, said) in answers {
        let server = served(&medium, answer);
        let mut source = open_impatient(&server.url);
        let manifest = read_manifest(&mut *source, None).unwrap();
        let machine = machine(8 * MIB);
        let error = install_from(&machine, &manifest, &mut *source, "unattended = true").unwrap_err();
        assert!(error.contains(said), "{said}: {error}");
        assert!(!has_table(&machine.bytes("sda")), "{said}");
        assert!(mark::is_there(&machine.bytes("sda")), "{said}");
    }
}

#[test]
fn a_system_for_another_machine_is_refused() {
    let medium = Medium::new(&disk(), true);
    let mut other = medium.manifest.clone();
    other.architecture = "riscv64".to_owned();
    let machine = machine(8 * MIB);
    let said = install_from(&machine, &other, &mut *medium.source(), "").unwrap_err();
    assert!(said.contains("is a system for riscv64"), "{said}");
}

#[test]
fn a_source_is_what_its_digest_says() {
    let medium = Medium::new(&disk(), true);
    let text = medium.file("medium.json");
    let digest: String = sums::sha(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(read_manifest(&mut *medium.source(), Some(&digest)).unwrap(), medium.manifest);
    assert_eq!(read_manifest(&mut *medium.source(), None).unwrap(), medium.manifest);
    let wrong = "00".repeat(32);
    assert!(
        read_manifest(&mut *medium.source(), Some(&wrong)).unwrap_err().contains("its digest is another one")
    );
}
