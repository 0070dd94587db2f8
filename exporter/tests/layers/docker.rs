//! Images that docker has built and saved, compared with what docker itself exports.

use std::path::Path;
use std::process::Command;

use exporter::tree::{Editor, Time, Tree};
use tempfile::TempDir;

use crate::support::{dump, read, run, scan, sh};

/// Layers with all that layers can do to each other.
const DOCKERFILE: &str = r#"
FROM vmimage-test/debian:12
ADD special.tar /special/
RUN cd /special && ln file other && mkdir -p opaque/deep type-a && echo a >opaque/deep/a && echo a >type-b \
 && ln -s /usr link && echo masked >masked && ln masked survivor
RUN cd /special && rm -rf opaque type-a type-b link && mkdir opaque type-b && echo b >opaque/b \
 && echo b >type-b/b && ln -s type-b type-a && mkdir link && echo here >link/here && rm masked \
 && chmod 4700 other && rm -rf /usr/share/doc && chown 1000:1000 type-b
RUN rm -rf /var/lib/apt && find /usr/share/locale -name '*.mo' -delete; mv /etc/debian_version /etc/moved
ENTRYPOINT ["/bin/sh", "-c"]
"#;

/// An image and a container of it, removed with the value.
struct Built {
    image: String,
    container: String,
}

impl Built {
    fn new(context: &Path) -> Self {
        let image = format!("vmimage-test/layers:{}", std::process::id());
        run(Command::new("docker").args(["build", "-q", "-t", &image]).arg(context));
        let mut built = Self { image, container: String::new() };
        let created = run(Command::new("docker").args(["create", &built.image]));
        built.container = String::from_utf8(created).unwrap().trim().to_owned();
        built
    }
}

impl Drop for Built {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", &self.container]).output();
        let _ = Command::new("docker").args(["rmi", "--no-prune", &self.image]).output();
    }
}

/// Without what docker puts into every container, and the times of the directories it does so in.
fn without_container(mut tree: Tree) -> Tree {
    let mut editor = Editor::new(&mut tree, Time::default());
    for path in [".dockerenv", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", "dev/console"] {
        editor.remove(path);
    }
    for path in ["dev", "proc", "sys"] {
        editor.mkdir_all(path).unwrap();
        editor.empty_dir(path);
    }
    for path in ["/", "etc", "dev", "proc", "sys"] {
        editor.set_mtime(path, Time::default());
    }
    tree
}

#[test]
fn what_docker_saves_is_what_docker_exports() {
    let scratch = TempDir::new().unwrap();
    let context = scratch.path().join("context");
    std::fs::create_dir(&context).unwrap();
    std::fs::write(context.join("Dockerfile"), DOCKERFILE).unwrap();
    sh(
        scratch.path(),
        "mkdir special && cd special && echo file >file && cp /bin/true ping && setcap cap_net_raw+ep ping \
         && mkfifo fifo && mknod null c 1 3 && mkdir sub && chmod 1777 sub && chown -h 5:6 sub file \
         && tar --xattrs --xattrs-include='*' -cf ../context/special.tar .",
    );
    let built = Built::new(&context);
    sh(
        scratch.path(),
        &format!(
            "docker save {} -o saved.tar && mkdir exported && docker export {} | \
             tar -x --xattrs --xattrs-include='*' -p --same-owner -C exported",
            built.image, built.container
        ),
    );
    let expected = dump(&without_container(scan(&scratch.path().join("exported"))));
    assert!(expected.contains("security.capability=") && expected.contains("/special/survivor"));

    let saved = scratch.path().join("saved.tar").display().to_string();
    for input in
        [saved.clone(), format!("oci-archive:{saved}"), format!("docker-archive:{saved}:{}", built.image)]
    {
        let loaded = read(&input).unwrap();
        let config = loaded.config.unwrap();
        let entrypoint = config.config().as_ref().unwrap().entrypoint().clone();
        assert_eq!(entrypoint.unwrap(), ["/bin/sh", "-c"]);
        let dumped = dump(&without_container(loaded.tree));
        let difference = dumped.lines().zip(expected.lines()).find(|(is, expected)| is != expected);
        assert!(dumped == expected, "{input}: {difference:?}");
    }
}
