//! Why a package step failed, read by the step's own script out of what the package manager has said.
//!
//! ```text
//! apt-get ─▶ E: … Temporary failure resolving 'deb.debian.org'
//! failure.sh ▶ vmimage: a host that packages come from has no address: … Temporary failure resolving 'deb.debian.org'
//!          exit code 202 ─▶ BuildKit, buildah, podman ─▶ Cause::by_exit_code ─▶ the last error, with its hint
//! ```
//!
//! An exit code is all that every engine tells of a step: BuildKit gives frontends none of its output.

use exporter::hint::{Hint, Part, Setting};

use crate::ask::Install;

/// One reason.
#[derive(Debug)]
pub(crate) struct Cause {
    /// The step's exit code; no package manager has such codes.
    exit_code: u8,
    /// In few words.
    what: &'static str,
    /// What package managers say of it, as a regular expression of `grep -E -i`.
    pattern: &'static str,
    /// The thing to do.
    remedy: Remedy,
}

/// What helps.
#[derive(Debug)]
enum Remedy {
    /// Another place that packages come from, or none.
    Elsewhere,
    /// The folder of packages, if there is one; else this.
    Supply(&'static [Part]),
    /// This.
    Do(&'static [Part]),
}

const ELSEWHERE: &[Part] = &[
    text("give the build a network (behind a proxy: --build-arg http_proxy=URL), name a mirror ("),
    set(Setting::Mirror, "URL"),
    text(") or a folder of packages ("),
    set(Setting::Packages, "DIR"),
    text("), or need none of them: "),
    set(Setting::Init, "vmimage"),
    text(" with "),
    set(Setting::Kernel, "image:REF"),
    text(", an image with a kernel in it"),
];

const IN_THE_FOLDER: &str = "put it into the folder of packages, with all that it depends on";

const fn text(words: &'static str) -> Part {
    Part::text(words)
}

const fn set(setting: Setting, value: &'static str) -> Part {
    Part::set(setting, value)
}

/// In their order: what makes other things fail comes before them. The words are those of apt, apk 2 and 3, dnf 4 and 5,
/// microdnf, yum, libcurl below these, zypper and pacman.
static CAUSES: [Cause; 11] = [
    Cause {
        exit_code: 201,
        what: "no space is left where the engine builds",
        pattern: "no space left on device|not enough free (disk )?space|enough free space in|disk quota exceeded|\
                  insufficient (storage )?space|at least [0-9.]+ ?[KMG]i?B more space needed|partition .* too full",
        remedy: Remedy::Do(&[text("make some: docker buildx prune, podman system prune or buildah prune")]),
    },
    Cause {
        exit_code: 202,
        what: "a host that packages come from has no address",
        // "temporary error" is what apk 2 says where no name server answers.
        pattern: "temporary failure resolving|could(n't| not) resolve (host|proxy|')|resolving timed out|\
                  DNS( lookup error|:)|temporary error \\(try again later\\)|name or service not known",
        remedy: Remedy::Elsewhere,
    },
    Cause {
        exit_code: 203,
        what: "the certificate of a host that packages come from is not trusted",
        pattern: "certificate verif|certificate.* (not trusted|isn't trusted|problem|issuer)|SSL peer certificate|\
                  no system certificates|SSL (connect|connection|routines)|self[- ]signed certificate|TLS:|handshake",
        remedy: Remedy::Do(&[
            text(
                "name its authority in vmimage.toml, certificates = [\"company.crt\"], or a mirror without TLS: ",
            ),
            set(Setting::Mirror, "http://…"),
            text("; packages are signed"),
        ]),
    },
    Cause {
        exit_code: 204,
        what: "a host that packages come from cannot be reached",
        pattern: "connection (refused|timed out|reset|failed|aborted)|could(n't| not) connect|\
                  (unable|failed) to connect|cannot initiate the connection|network is unreachable|no route to host|\
                  timeout (was reached|exceeded)|operation (timed out|too slow)|network (connection aborted|error)|\
                  proxy authentication required|CONNECT tunnel failed|invalid response from proxy",
        remedy: Remedy::Elsewhere,
    },
    Cause {
        exit_code: 205,
        what: "packages or their index are not signed by whom the image trusts, or too long ago",
        pattern: "NO_PUBKEY|EXPKEYSIG|BADSIG|signatures? (were|was|is|verification|could|from)|is not signed|\
                  public key .*(not available|not installed)|GPG (check|key).* fail|untrusted signature|bad signature|\
                  PGP signature|missing key|Release file for .* is (expired|not valid yet)",
        remedy: Remedy::Do(&[
            text("take a newer base image for its keys (--pull), or a mirror that is up to date ("),
            set(Setting::Mirror, "URL"),
            text("); or is the engine's clock wrong?"),
        ]),
    },
    Cause {
        exit_code: 206,
        what: "a repository lacks a file (404)",
        pattern: "404:? +not found|(error|code|HTTP)[: ]+404|does not have a Release file|not found on medium|\
                  valid metadata not found|cannot find a valid baseurl|cannot prepare internal mirrorlist|\
                  package mentioned in index not found|remote server returned error|\
                  (fetching|updating|opening) http.*: no such file|failed to download metadata",
        remedy: Remedy::Do(&[
            text("take a newer base image (--pull), or a mirror that has this release ("),
            set(Setting::Mirror, "URL"),
            text("): after its end only archives do"),
        ]),
    },
    Cause {
        exit_code: 207,
        what: "there is no such package",
        pattern: "unable to locate package|has no installation candidate|\\((no such package|missing)\\)|\
                  no match for argument|unable to find a match|no package .* available|no package matches|\
                  no provider of|not found in package names|target not found|package '.*' not found|has no version|\
                  version '.*' for '.*' was not found|couldn't find any package",
        remedy: Remedy::Supply(&[
            text("look at the names in "),
            Part::Name(Setting::Install),
            text(" and "),
            Part::Name(Setting::Kernel),
            text("; [[repositories]] in vmimage.toml adds where packages come from, "),
            set(Setting::Kernel, "image:REF"),
            text(" takes the kernel of another image, and "),
            set(Setting::Init, "vmimage"),
            text(" needs no other package"),
        ]),
    },
    Cause {
        exit_code: 208,
        what: "packages do not go together",
        pattern: "unmet dependencies|held broken packages|nothing provides|conflicting requests|\
                  could not satisfy dependencies|unable to satisfy dependency|breaks: world|\
                  unsatisfiable constraints|could not depsolve|is not installable",
        remedy: Remedy::Supply(&[text(
            "take a newer base image (--pull): its packages and those of the repositories are of different times",
        )]),
    },
    Cause {
        exit_code: 209,
        what: "the folder of packages has none of this distribution",
        pattern: "holds no \\.(deb|apk|rpm) files",
        remedy: Remedy::Do(&[
            text("put files of its package manager there, or leave "),
            Part::Name(Setting::Packages),
            text(" out"),
        ]),
    },
    Cause {
        exit_code: 210,
        what: "the mirror stands for no repository of the image",
        pattern: "names no host that .* could stand for",
        remedy: Remedy::Do(&[
            text("write it into the image's repository settings in the Dockerfile, or leave "),
            Part::Name(Setting::Mirror),
            text(" out"),
        ]),
    },
    Cause {
        exit_code: 211,
        what: "a script of a package failed",
        pattern: "error processing (package|archive)|returned an error code|scriptlet.* failed|\
                  (install|upgrade|trigger).*: .*exited with error|command failed to execute correctly",
        remedy: Remedy::Do(&[text(
            "its own words stand above; try the package in a container of the base image",
        )]),
    },
];

impl Cause {
    /// Why a step failed that has ended with this code, if that is known.
    pub(crate) fn by_exit_code(code: i32) -> Option<&'static Self> {
        CAUSES.iter().find(|cause| i32::from(cause.exit_code) == code)
    }

    /// In few words.
    pub(crate) fn what(&self) -> &'static str {
        self.what
    }

    /// What to do about it where `asked` was installed.
    pub(crate) fn hint(&self, asked: &Install) -> Hint {
        match (&self.remedy, &asked.mirror, &asked.packages) {
            (Remedy::Elsewhere, Some(mirror), _) => format!(
                "is {mirror} right, and reached from where the engine builds (--network, --add-host)?"
            )
            .into(),
            (Remedy::Elsewhere, None, _) => ELSEWHERE.into(),
            (Remedy::Supply(_), _, Some(_)) => IN_THE_FOLDER.into(),
            (Remedy::Supply(hint) | Remedy::Do(hint), ..) => (*hint).into(),
        }
    }
}

/// A step's script that says why it fails.
pub(super) fn explained(script: &str) -> String {
    let rows = CAUSES.iter().map(|cause| format!("{}|{}|{}\n", cause.exit_code, cause.what, cause.pattern));
    let rows: String = rows.collect();
    format!(
        "step() (\n{script}\n)\ncauses() {{\n\tcat <<'CAUSES'\n{rows}CAUSES\n}}\n{}",
        include_str!("failure.sh")
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::ask::Folder;
    use crate::ask::spelling;
    use crate::provision::scripts::{Sandbox, text};

    /// How a step ends in which the package manager says this: its exit code, and its last line.
    fn ending(said: &str) -> (i32, String) {
        let sandbox = Sandbox::new();
        let step = explained("set -eu\nprintf '%s\\n' \"$1\" >&2\nfalse\necho 'not reached'");
        let done = sandbox.run(&step, &[said], &[]);
        assert_eq!(text(&done.stdout), format!("{said}\n"), "what is said stands above");
        (done.status.code().unwrap(), text(&done.stderr).trim_end().to_owned())
    }

    /// What package managers were heard to say, or what their sources do.
    const SAID: &[(i32, &[&str])] = &[
        (
            201,
            &[
                "dpkg: error: failed to write (No space left on device)",
                "E: You don't have enough free space in /var/cache/apt/archives/.",
                "Error Summary\n  At least 120MB more space needed on the / filesystem.",
                "error: Partition /var too full: 100 blocks needed, 3 blocks free",
            ],
        ),
        (
            202,
            &[
                "W: Failed to fetch http://deb.debian.org/debian/dists/bookworm/InRelease  Temporary failure resolving \
                 'deb.debian.org'\nE: Unable to locate package nginx",
                "WARNING: updating and opening https://dl-cdn.alpinelinux.org/alpine/v3.22/main: temporary error (try \
                 again later)\nERROR: unable to select packages:\n  alpine-base (no such package):",
                "WARNING: updating https://dl-cdn.alpinelinux.org/alpine/v3.23/main: DNS: transient error (try again later)",
                " - Curl error (6): Couldn't resolve host name for https://mirrors.fedoraproject.org/metalink [Could not \
                 resolve host: mirrors.fedoraproject.org]",
                "error was 14: curl#6 - \"Could not resolve host: mirrorlist.centos.org; Unknown error\"\n Cannot find a \
                 valid baseurl for repo: base/7/x86_64",
                "Download (curl) error for 'http://download.opensuse.org/x':\nError code: Connection failed\nError \
                 message: Could not resolve host: download.opensuse.org",
                "error: failed retrieving file 'core.db' from geo.mirror.pkgbuild.com : Could not resolve host: x",
            ],
        ),
        (
            203,
            &[
                "  Certificate verification failed: The certificate is NOT trusted.",
                "1:error:0A000086:SSL routines:tls_post_process_server_certificate:certificate verify failed:x.c:1:",
                "Curl error (60): SSL peer certificate or SSH remote key was not OK for https://m/x",
                "[Errno 14] curl#60 - \"Peer's certificate issuer has been marked as not trusted by the user.\"",
            ],
        ),
        (
            204,
            &[
                "  Could not connect to 127.0.0.1:1 (127.0.0.1). - connect (111: Connection refused)",
                "WARNING: opening http://127.0.0.1:1/main: could not connect to server (check repositories file)",
                "Curl error (28): Timeout was reached for https://m/x",
                "error: failed retrieving file 'core.db' from m : Failed to connect to m port 443 after 1 ms",
            ],
        ),
        (
            205,
            &[
                "W: GPG error: http://m InRelease: The following signatures couldn't be verified because the public \
                 key is not available: NO_PUBKEY 0E98404D386FA1D9",
                "E: Release file for http://m/InRelease is expired (invalid since 2d 3h).",
                "ERROR: http://m/main: UNTRUSTED signature",
                "Error: GPG check FAILED",
                "error: core: signature from \"x <x@example>\" is unknown trust",
            ],
        ),
        (
            206,
            &[
                "Err:4 http://deb.debian.org/debian buster Release\n  404  Not Found [IP: 192.0.2.1 80]\nE: The \
                 repository 'http://deb.debian.org/debian buster Release' does not have a Release file.",
                "WARNING: updating and opening http://127.0.0.1:18081/main: No such file or directory\nERROR: unable to \
                 select packages:\n  alpine-base (no such package):",
                "Errors during downloading metadata for repository 'x':\n  - Status code: 404 for http://m/repodata",
                "http://m/repodata/repomd.xml: [Errno 14] HTTP Error 404 - Not Found",
                "File './repodata/repomd.xml' not found on medium 'http://m/oss/'",
                "error: failed retrieving file 'core.db' from m : The requested URL returned error: 404",
            ],
        ),
        (
            207,
            &[
                "E: Unable to locate package ngimx",
                "linux-image-cloud-amd64 has no version 5.99; there is: 6.1.148-1",
                "ERROR: unable to select packages:\n  alpine-base (no such package):\n    required by: world[alpine-base]",
                "No match for argument: ngimx\nError: Unable to find a match: ngimx",
                "No package ngimx available.\nError: Nothing to do",
                "No provider of 'ngimx' found.",
                "error: target not found: ngimx",
            ],
        ),
        (
            208,
            &[
                "The following packages have unmet dependencies:\n a : Depends: b but it is not installable",
                "ERROR: unable to select packages:\n  a-1:\n    breaks: world[a=2]",
                "Error: \n Problem: conflicting requests\n  - nothing provides b needed by a-1.x86_64",
                "Problem: nothing provides 'b' needed by the to be installed a-1.x86_64",
            ],
        ),
        (
            209,
            &[
                "/run/vmimage-packages holds no .deb files",
                "/run/vmimage-packages holds no .apk files",
                "/run/vmimage-packages holds no .rpm files",
            ],
        ),
        (210, &["/etc/yum.repos.d names no host that http://m could stand for"]),
        (
            211,
            &[
                "dpkg: error processing package x (--configure):\n installed x package post-installation script \
                 subprocess returned error exit status 1",
                "E: Sub-process /usr/bin/dpkg returned an error code (1)",
                "ERROR: x-1.post-install: script exited with error 1",
                "warning: %post(x-1.x86_64) scriptlet failed, exit status 1",
                "error: command failed to execute correctly",
            ],
        ),
    ];

    #[test]
    fn every_failure_is_read_for_its_cause_and_told_in_the_last_line() {
        for (code, all) in SAID {
            let cause = Cause::by_exit_code(*code).unwrap();
            for said in *all {
                let (ended, line) = ending(said);
                assert_eq!(ended, *code, "{said}\n{line}");
                let told = line.strip_prefix(&format!("vmimage: {}: ", cause.what)).unwrap_or_default();
                assert!(said.contains(told) && !told.is_empty(), "{line}");
            }
        }
        assert!(CAUSES.iter().all(|cause| SAID.iter().any(|(code, _)| *code == i32::from(cause.exit_code))));
    }

    #[test]
    fn what_nobody_knows_ends_as_it_did() {
        for said in ["", "Segmentation fault", "/boot/vmlinuz-virt has no initramfs"] {
            assert_eq!(ending(said), (1, String::new()), "{said}");
        }
        assert!([0, 1, 100, 104, 137].into_iter().all(|code| Cause::by_exit_code(code).is_none()));
    }

    #[test]
    fn a_step_that_ends_well_is_as_it_was() {
        let sandbox = Sandbox::new();
        let step = "set -eu\ntrap 'echo trapped' EXIT\nshift\necho \"$# $1\" 'no space left on device'\n";
        let done = sandbox.run(&explained(step), &["a", "b c", "d"], &[]);
        assert_eq!(text(&done.stdout), "2 b c no space left on device\ntrapped\n");
        assert!(done.status.success() && done.stderr.is_empty());
        assert_eq!(fs::read_dir(sandbox.path("cache")).unwrap().count(), 0);
        assert!(!fs::exists(sandbox.path("work")).unwrap());
    }

    /// What lay there is gone before the step begins, so no link of it is followed.
    #[test]
    fn a_step_has_a_folder_of_its_own_that_is_gone_in_the_end() {
        for (step, code) in [("echo mine >\"$WORK/file\"", 0), ("touch \"$WORK/file\"\nexit 3", 3)] {
            let sandbox = Sandbox::new();
            fs::write(sandbox.path("cache/log"), "theirs").unwrap();
            fs::write(sandbox.path("victim"), "theirs").unwrap();
            for name in ["file", "log", "ended"] {
                std::os::unix::fs::symlink(sandbox.path("victim"), sandbox.path(&format!("work/{name}")))
                    .unwrap();
            }
            let done = sandbox.run(&explained(step), &[], &[("WORK", "/nonexistent")]);
            assert_eq!(done.status.code(), Some(code), "{}", text(&done.stderr));
            assert!(!fs::exists(sandbox.path("work")).unwrap());
            for name in ["victim", "cache/log"] {
                assert_eq!(fs::read_to_string(sandbox.path(name)).unwrap(), "theirs");
            }
        }
    }

    #[test]
    fn the_documentation_has_every_cause() {
        let documented = include_str!("../../../docs/offline.md");
        for Cause { exit_code, what, .. } in &CAUSES {
            assert!(documented.contains(&format!("| {exit_code} | {what} | ")), "{exit_code}");
        }
    }

    #[test]
    fn hints_name_what_was_asked_for() {
        let no_address = Cause::by_exit_code(202).unwrap();
        let hint = no_address.hint(&Install::default()).spelled(spelling::flag);
        for flag in ["--mirror", "--packages", "--kernel image:", "--init vmimage"] {
            assert!(hint.contains(flag), "{hint}");
        }
        let asked = Install { mirror: Some("http://m".into()), ..Install::default() };
        assert!(no_address.hint(&asked).to_string().starts_with("is http://m right"));
        let unknown = Cause::by_exit_code(207).unwrap();
        assert!(unknown.hint(&Install::default()).to_string().contains("[[repositories]]"));
        let asked = Install { packages: Some(Folder::Client), ..Install::default() };
        assert_eq!(unknown.hint(&asked), IN_THE_FOLDER.into());
    }
}
