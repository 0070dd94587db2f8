//! Updates and machines for tests: a folder such as a build writes it, and a machine of files.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use minisign::KeyPair;
use serde_json::{Value, json};
use tempfile::TempDir;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use super::archive::testing as archive;
use super::index::BLOCK;
use super::simulated::{Simulated, SlotState, State};
use super::sums::sha;
use crate::choice::{EMPTY, Slot};

/// Bytes of the slots of [`machine`].
pub(super) const SLOT: usize = 16 * BLOCK;

/// Whoever signs.
pub(super) struct Signer(KeyPair);

impl Signer {
    pub(super) fn new() -> Self {
        Self(KeyPair::generate_unencrypted_keypair().unwrap())
    }

    pub(super) fn key(&self) -> String {
        self.0.pk.to_base64()
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        let signed = minisign::sign(None, &self.0.sk, Cursor::new(bytes), Some("kiosk 1.5.0"), None).unwrap();
        signed.into_string().into_bytes()
    }
}

/// A root: blocks that all have, one of `number`, zeroes, one twice, and a short one at the end.
pub(super) fn root(number: u8) -> Vec<u8> {
    let block = |seed: u8| (0..BLOCK).map(move |at| ((at * usize::from(seed)) >> 7) as u8 ^ seed);
    let blocks = [1, 2, 100 + number, 3, 0, 3].into_iter().flat_map(block);
    blocks.chain([number; 100]).collect()
}

/// The folder of an update of `kiosk`.
pub(super) struct Folder {
    folder: TempDir,
    pub(super) version: String,
    pub(super) manifest: Value,
}

impl Folder {
    pub(super) fn new(version: &str, root: &[u8]) -> Self {
        let mut compressor = Compressor::new(1).unwrap();
        compressor.set_parameter(CParameter::ChecksumFlag(true)).unwrap();
        let (mut frames, mut index) = (Vec::new(), Vec::new());
        for block in root.chunks(BLOCK) {
            let frame = compressor.compress(block).unwrap();
            index.extend(sha(block));
            index.extend((frame.len() as u32).to_le_bytes());
            frames.extend(frame);
        }
        let name = |end: &str| format!("kiosk_{version}{end}");
        let listed =
            |name: &str, bytes: &[u8]| json!({"file": name, "bytes": bytes.len(), "sha256": hex(bytes)});
        let mut part = listed(&name(".root.zst"), &frames);
        part["name"] = "root".into();
        part["plain_bytes"] = root.len().into();
        part["block_size"] = BLOCK.into();
        part["index"] = listed(&name(".root.index"), &index);
        let manifest = json!({"format": 1, "id": "kiosk", "version": version, "compatible": "acme kiosk-2",
            "architecture": "x86_64", "loader": "grub", "parts": [part]});
        let folder = Self { folder: tempfile::tempdir().unwrap(), version: version.to_owned(), manifest };
        folder.write(&name(".root.zst"), &frames);
        folder.write(&name(".root.index"), &index);
        folder.seal();
        folder
    }

    /// With kernels beside the root.
    pub(super) fn with_kernels(mut self, archive: &[u8]) -> Self {
        let name = format!("kiosk_{}.boot.tar.zst", self.version);
        let packed = zstd::bulk::compress(archive, 1).unwrap();
        self.write(&name, &packed);
        let part = json!({"name": "boot", "file": name, "bytes": packed.len(), "sha256": hex(&packed),
            "plain_bytes": archive.len()});
        self.manifest["parts"].as_array_mut().unwrap().push(part);
        self.seal();
        self
    }

    /// With another word in the manifest, as if it had been built so.
    pub(super) fn with(mut self, key: &str, value: &str) -> Self {
        self.manifest[key] = value.into();
        self.seal();
        self
    }

    pub(super) fn signed(self, signer: &Signer) -> Self {
        self.write("SHA256SUMS.minisig", &signer.sign(&self.read("SHA256SUMS")));
        self
    }

    fn seal(&self) {
        let text = serde_json::to_vec_pretty(&self.manifest).unwrap();
        self.write("manifest.json", &text);
        self.write("SHA256SUMS", format!("{}  manifest.json\n", hex(&text)).as_bytes());
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path().join(name)).unwrap()
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path().join(name), bytes).unwrap();
    }

    /// The same as an archive, in the order in which it is read.
    pub(super) fn archive(&self) -> Vec<u8> {
        let own =
            [".root.index", ".boot.tar.zst", ".root.zst"].map(|end| format!("kiosk_{}{end}", self.version));
        let names = ["SHA256SUMS", "SHA256SUMS.minisig", "manifest.json"]
            .into_iter()
            .chain(own.iter().map(|name| &**name));
        let there = names.filter(|name| self.path().join(name).exists());
        let members: Vec<_> = there.map(|name| archive::member(name, &self.read(name))).collect();
        archive::archive(&members)
    }
}

fn hex(bytes: &[u8]) -> String {
    sha(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A machine of files.
pub(super) struct Files(TempDir);

/// One that runs a version of `kiosk` from slot A; slot B is empty.
pub(super) fn machine(version: &str, root: &[u8]) -> Files {
    let files = Files(tempfile::tempdir().unwrap());
    let mut slot = root.to_vec();
    slot.resize(SLOT, 0);
    fs::write(files.simulated().path(Slot::A), slot).unwrap();
    fs::write(files.simulated().path(Slot::B), vec![0; SLOT]).unwrap();
    let slots = [(format!("kiosk_{version}"), true), (EMPTY.to_owned(), false)];
    let state = State {
        booted: Slot::A,
        order: vec![Slot::A, Slot::B],
        good: Some(Slot::A),
        by_hand: false,
        passed_over: false,
        by_other: false,
        slots: slots.map(|(label, ok)| SlotState { label, ok, tries: 0 }),
        restarts: 0,
        config: json!({"id": "kiosk", "version": "0", "compatible": "acme kiosk-2", "architecture": "x86_64",
            "loader": "grub"}),
    };
    files.simulated().set_state(&state).unwrap();
    files
}

impl Files {
    pub(super) fn simulated(&self) -> Simulated {
        Simulated(self.0.path().to_owned())
    }

    pub(super) fn state(&self) -> State {
        self.simulated().state().unwrap()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        self.simulated().set_state(&state).unwrap();
    }

    pub(super) fn set_config(&self, key: &str, value: Value) {
        self.change(|state| state.config[key] = value);
    }

    pub(super) fn set_from(&self, path: &Path) {
        self.set_config("from", path.to_str().unwrap().into());
    }

    pub(super) fn slot(&self, slot: Slot) -> Vec<u8> {
        fs::read(self.simulated().path(slot)).unwrap()
    }

    pub(super) fn write_slot(&self, slot: Slot, bytes: &[u8]) {
        fs::write(self.simulated().path(slot), bytes).unwrap();
    }

    /// A file beside the slots.
    pub(super) fn kernel(&self, path: &str) -> Vec<u8> {
        fs::read(self.0.path().join("kernels").join(path)).unwrap()
    }
}
