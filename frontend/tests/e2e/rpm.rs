//! dnf and zypper where there is no network: from a folder of packages, and from a mirror. On stand-ins, whose own
//! repository is taken away.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::boot::check_report;
use super::distributions::make_stand_in;
use super::lab::{Mount, VMIMAGE, boot, build, names_in, partitions, raw, refused, run, scratch, testdata};

/// A stand-in that knows no repository but one that is not there, and the packages it was made with.
pub(super) fn without_packages(release: &str, manager: &str, folder: &Path) -> (String, PathBuf) {
    let image = make_stand_in(release, manager);
    let container = run(Command::new("docker").args(["create", &image]));
    let container = container.trim();
    run(Command::new("docker").args(["cp", "-q", &format!("{container}:/repository")]).arg(folder));
    run(Command::new("docker").args(["rm", container]));
    let context = folder.join("context");
    fs::create_dir_all(&context).unwrap();
    let place = place(manager);
    let dockerfile = format!("FROM {image}\nRUN rm -r /repository /{place}/*\nCOPY company.repo /{place}/\n");
    fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    fs::write(context.join("company.repo"), COMPANY).unwrap();
    let image = format!("vmimage-test/no-packages-{release}");
    run(Command::new("docker").args(["build", "-q", "-t", &image]).arg(&context));
    (image, folder.join("repository"))
}

/// Where the .repo files are.
fn place(manager: &str) -> &'static str {
    if manager == "dnf" { "etc/yum.repos.d" } else { "etc/zypp/repos.d" }
}

/// A host of one of the distributions.
const COMPANY: &str = "[os]\nname=OS\nbaseurl=http://repo.openeuler.org/repository/\nenabled=1\ngpgcheck=0\n";

/// Build `testdata/machine` on `base` and boot it.
fn boots(base: &str, args: &[&str], folder: &Path) {
    let disk = folder.join("disk.qcow2");
    let base_argument = format!("BASE={base}");
    let arguments = [&["--build-arg", &base_argument, "--hostname", "web"], args].concat();
    build(&testdata("machine"), &disk, &arguments);
    check_report(base, "--bios", &boot(&disk, "--bios", &[]));
}

/// What is said of a build that fails.
fn fails(base: &str, args: &[&str], folder: &Path) -> String {
    let mut command = Command::new(VMIMAGE);
    command.arg("build").arg(testdata("machine")).arg("-o").arg(folder.join("never.qcow2"));
    refused(command.args(["--build-arg", &format!("BASE={base}")]).args(args))
}

/// With its index, and as `dnf download` leaves it.
#[test]
#[ignore = "minutes: make matrix"]
fn dnf_installs_from_a_folder_alone() {
    let folder = scratch();
    let (base, packages) = without_packages("openeuler-24.03", "dnf", folder.path());
    let args = ["--packages", packages.to_str().unwrap(), "--network", "none"];
    boots(&base, &args, folder.path());
    fs::remove_dir_all(packages.join("repodata")).unwrap();
    boots(&base, &[&args[..], &["--kernel", "1"]].concat(), folder.path());
    let said = fails(&base, &[&args[..], &["--kernel", "6.1"]].concat(), folder.path());
    assert!(said.contains("kernel has no version 6.1; there is: 1-1"), "{said}");
}

#[test]
#[ignore = "minutes: make matrix"]
fn zypper_installs_from_a_folder_alone() {
    let folder = scratch();
    let (base, packages) = without_packages("opensuse-leap-15", "zypper", folder.path());
    let args = ["--packages", packages.to_str().unwrap(), "--network", "none"];
    boots(&base, &args, folder.path());
    fs::remove_dir_all(packages.join("repodata")).unwrap();
    boots(&base, &[&args[..], &["--kernel", "1"]].concat(), folder.path());
    let said = fails(&base, &[&args[..], &["--kernel", "6.1"]].concat(), folder.path());
    assert!(said.contains("kernel-default-base has no version 6.1; there is: 1-1"), "{said}");
}

/// A folder on a loopback port; the server ends with this.
pub(super) struct Server {
    child: Child,
    pub(super) url: String,
}

impl Server {
    pub(super) fn start(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        drop(listener);
        let mut command = Command::new("python3");
        command.args(["-m", "http.server", "--bind", "127.0.0.1", &port]).current_dir(folder);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { child, url: format!("http://127.0.0.1:{port}") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "minutes: make matrix"]
fn a_mirror_stands_for_the_hosts_of_repositories() {
    for (release, manager) in [("openeuler-24.03", "dnf"), ("opensuse-leap-15", "zypper")] {
        let folder = scratch();
        let (base, _) = without_packages(release, manager, folder.path());
        let server = Server::start(folder.path());
        let disk = folder.path().join("disk.qcow2");
        let base_argument = format!("BASE={base}");
        let args = ["--mirror", &server.url, "--network", "host", "--build-arg", &base_argument];
        build(&testdata("machine"), &disk, &args);
        let raw = raw(&disk, folder.path());
        let root = Mount::new(&raw, &partitions(&raw)[2], folder.path().join("root"));
        let settings = fs::read_to_string(root.0.join(place(manager)).join("company.repo")).unwrap();
        assert_eq!(settings, COMPANY, "the machine's own settings");
        assert_eq!(names_in(&root.0.join(place(manager))).len(), 1);
    }
}
