//! Images whose files the caller fetches: the same as those that lie here, and as little trusted.

use std::cell::RefCell;
use std::fs::File;
use std::num::NonZeroUsize;

use exporter::input::{Fetch, Loaded, Options, Platform, read_fetched};
use exporter::{Error, Kind, Result};
use oci_spec::image::{Descriptor, ImageIndex};
use tempfile::TempDir;

use crate::support::{Layout, Stored, dump, read, tar};

fn fetched(layout: &Layout, fetch: &Fetch<'_>) -> Result<Loaded> {
    let index = ImageIndex::from_file(layout.path().join("index.json")).unwrap();
    let spool = TempDir::new().unwrap();
    let options = Options {
        platform: &Platform::linux("amd64"),
        threads: NonZeroUsize::MIN,
        spool: spool.path(),
        progress: &|_| {},
    };
    read_fetched("there", index.manifests()[0].clone(), fetch, &options)
}

fn open(layout: &Layout, descriptors: &[Descriptor]) -> Result<Vec<File>> {
    let open = |descriptor: &Descriptor| File::open(layout.blob(descriptor.digest().as_ref())).unwrap();
    Ok(descriptors.iter().map(open).collect())
}

fn image() -> Layout {
    let mut layout = Layout::new();
    layout.add("v1", "arm64", &[tar(&["other=platform"])], Stored::Plain);
    layout.add("v1", "amd64", &[tar(&["a/", "a/b=b", "c=c"]), tar(&["a/.wh.b=", "d=d"])], Stored::Gzip);
    layout.nest();
    layout
}

#[test]
fn only_what_is_needed_is_asked_for_and_layers_at_once() {
    let layout = image();
    let asked = RefCell::new(Vec::new());
    let loaded = fetched(&layout, &|descriptors| {
        asked.borrow_mut().push(descriptors.len());
        open(&layout, descriptors)
    });
    assert_eq!(dump(&loaded.unwrap().tree), dump(&read(&layout.input()).unwrap().tree));
    // The index, which tells no platforms: manifest and configuration of both; those that are meant; both layers.
    assert_eq!(*asked.borrow(), [1, 1, 1, 1, 1, 1, 1, 2]);
}

#[test]
fn what_is_fetched_is_checked() {
    let layout = image();
    let error = |change: &dyn Fn(&mut Vec<File>)| {
        let fetch = |descriptors: &[Descriptor]| {
            let mut files = open(&layout, descriptors)?;
            change(&mut files);
            Ok(files)
        };
        fetched(&layout, &fetch).unwrap_err().to_string()
    };
    assert!(error(&|files| files.clear()).starts_with("there: there is no blobs/sha256/"));
    assert!(
        error(&|files| files.truncate(1)).starts_with("there: the image has 1 layers, its configuration 2")
    );
    assert!(error(&|files| files.reverse()).starts_with("there: "));
    let refused = fetched(&layout, &|_| Err(Error::new(Kind::Io, "there", "nobody answers")));
    assert_eq!(refused.unwrap_err().to_string(), "there: nobody answers");
}
