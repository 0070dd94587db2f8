//! Tars that GNU tar has packed, compared with the directory they were packed from.

use std::path::Path;
use std::process::Command;

use exporter::tree::Detail;
use tempfile::TempDir;

use crate::support::{gzip, read, run, scan, sh, tar};

const EVERYTHING: Detail = Detail { holes: true, hashes: true };

/// Everything that a file system can have and all formats keep.
fn make_everything(root: &Path) {
    sh(
        root,
        r#"mkdir -p usr/bin etc deep && umask 022 && echo hi >etc/motd && head -c 100000 /dev/urandom >etc/large
        echo su >usr/bin/su && chmod 6755 usr/bin/su && chown 1000:2000 usr/bin/su && ln usr/bin/su usr/bin/su2
        mknod null c 1 3 && mknod disk b 259 70000 && mkfifo fifo && ln -s /etc/motd link && ln link link2
        touch "$(printf 'na me\n\377=\\')" && mkdir sticky && chmod 1777 sticky && : >empty
        name=$(printf 'n%.0s' $(seq 120)) && mkdir -p deep/$name/$name && echo deep >deep/$name/$name/$name
        ln -s $name/$name/$name/$name deep/link && ln deep/$name/$name/$name deep/$name/hard
        find . -exec touch -h -d @1700000000 {} +"#,
    );
}

/// What formats with extensions keep beside: xattrs with any bytes, ACLs, holes, times, large numbers.
fn make_extended(root: &Path) {
    sh(
        root,
        r#"cp -a usr/bin/su usr/bin/ping && setcap cap_net_raw+ep usr/bin/ping
        setfattr -n user.note -v 0x0a3130206e6f74653d0a00ff etc/motd && setfattr -h -n trusted.note -v l link
        setfacl -m u:1234567:rw,g:2000:r etc/motd && setfacl -d -m u:4000000000:rwx sticky
        chown 4000000000:3000000000 empty && truncate -s 3000000 holes && printf x >>holes
        printf y | dd of=holes bs=1 seek=1048576 conv=notrunc status=none && truncate -s 5000000 holes
        truncate -s 4194304 hole && touch -d @1600000000.123456789 holes && touch -d @-3.5 empty"#,
    );
}

#[track_caller]
fn assert_same(tar: &Path, root: &Path) {
    let read = read(tar.to_str().unwrap()).unwrap().tree.dump(EVERYTHING).unwrap();
    let expected = scan(root).dump(EVERYTHING).unwrap();
    for (read, expected) in read.lines().zip(expected.lines()) {
        assert_eq!(read, expected);
    }
    assert_eq!(read, expected);
}

#[test]
fn every_format_keeps_what_it_can() {
    let scratch = TempDir::new().unwrap();
    let root = scratch.path().join("root");
    std::fs::create_dir(&root).unwrap();
    make_everything(&root);
    let path = scratch.path().join("root.tar");
    for options in [
        &["--format=ustar", "--exclude=./deep"][..],
        &["--format=v7", "--exclude=./deep", "--exclude=./null", "--exclude=./disk", "--exclude=./fifo"],
        &["--format=gnu"],
        &["--format=oldgnu"],
        &["--format=pax"],
        &["--format=pax", "--gzip"],
        &["--format=gnu", "--zstd"],
    ] {
        run(Command::new("tar")
            .arg("-C")
            .arg(&root)
            .args(["--sort=name", "-cf"])
            .arg(&path)
            .args(options)
            .arg("."));
        let unpacked = TempDir::new().unwrap();
        run(Command::new("tar").args(["--numeric-owner", "-xpf"]).arg(&path).arg("-C").arg(unpacked.path()));
        assert_same(&path, unpacked.path());
        if options.len() == 1 && options[0] != "--format=ustar" {
            assert_same(&path, &root);
        }
    }
}

#[test]
fn pax_keeps_everything() {
    let scratch = TempDir::new().unwrap();
    let root = scratch.path().join("root");
    std::fs::create_dir(&root).unwrap();
    make_everything(&root);
    make_extended(&root);
    let path = scratch.path().join("root.tar");
    for sparse in ["0.0", "0.1", "1.0"] {
        run(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&path).args([
            "--format=pax",
            "--sparse",
            &format!("--sparse-version={sparse}"),
            "--xattrs",
            "--xattrs-include=*",
            "--acls",
            "--numeric-owner",
            ".",
        ]));
        assert_same(&path, &root);
    }
}

/// GNU tar writes the name of a user if this machine has one, whatever it is told.
#[test]
fn an_acl_with_names_is_refused() {
    let scratch = TempDir::new().unwrap();
    sh(scratch.path(), "mkdir root && : >root/f && setfacl -m u:daemon:rw root/f");
    sh(scratch.path(), "tar --format=pax --acls -C root -cf root.tar .");
    let error = read(scratch.path().join("root.tar").to_str().unwrap()).unwrap_err().to_string();
    assert!(
        error.ends_with(": SCHILY.acl.access has names of users or groups, only numbers can be read"),
        "{error}"
    );
}

#[test]
fn a_pipe_is_read_once_and_any_tar_is_known() {
    let scratch = TempDir::new().unwrap();
    let tar = tar(&["usr/lib/os-release=ID=x", "abs=1", "./here=2", "usr/lib/x=library", "link->usr/lib"]);
    let expected = "/ d 0755 0:0 1600000000.000000000\n\
        /abs - 0644 0:0 1600000000.000000000 1\n/here - 0644 0:0 1600000000.000000000 1\n\
        /link l 0777 0:0 1600000000.000000000 usr/lib\n/usr d 0755 0:0 1600000000.000000000\n\
        /usr/lib d 0755 0:0 1600000000.000000000\n/usr/lib/os-release - 0644 0:0 1600000000.000000000 4\n\
        /usr/lib/x - 0644 0:0 1600000000.000000000 7\n";
    for bytes in [gzip(&tar), tar.clone()] {
        let fifo = scratch.path().join("fifo");
        run(Command::new("mkfifo").arg(&fifo));
        let loaded = std::thread::scope(|scope| {
            scope.spawn(|| std::fs::write(&fifo, &bytes).unwrap());
            read(fifo.to_str().unwrap()).unwrap()
        });
        std::fs::remove_file(fifo).unwrap();
        assert!(loaded.config.is_none());
        assert_eq!(loaded.tree.dump(Detail::default()).unwrap(), expected);
        assert_eq!(loaded.tree.read("/link/x", 10).unwrap().unwrap(), b"library");
    }
}

#[test]
fn names_of_whiteouts_mean_nothing_in_the_tar_of_a_tree() {
    let scratch = TempDir::new().unwrap();
    let path = scratch.path().join("root.tar");
    std::fs::write(&path, tar(&["a=1", ".wh.a=", ".wh..wh..opq="])).unwrap();
    assert_eq!(read(path.to_str().unwrap()).unwrap().tree.children("/").count(), 3);
}
