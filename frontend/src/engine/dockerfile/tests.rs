use super::*;

fn variables(all: &[(&str, &str)]) -> Variables {
    all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Stage, base and platform as `stage <- base @ platform`.
fn find(dockerfile: &str, stage: Option<&str>, given: &[(&str, &str)]) -> Result<String> {
    let target = Target::find(dockerfile, stage, &variables(given), &predefined(Some("linux/arm64")))?;
    let base = target.base.map_or(SCRATCH.into(), |base| {
        let platform = base.platform.map(|platform| format!(" @ {platform}")).unwrap_or_default();
        base.name + &platform
    });
    Ok(format!("{} <- {base}", target.stage))
}

const STAGES: &str = "FROM golang:1 AS build\nRUN make\nFROM debian:12 AS common\nFROM common\nRUN true\n\
                      FROM scratch AS files\nCOPY --from=build /x /\nFROM common AS final\nCOPY --from=files / /\n";

#[test]
fn the_base_of_the_target_is_found() {
    for (dockerfile, stage, given, found) in [
        ("FROM debian:12\n", None, &[][..], "0 <- debian:12"),
        ("from debian:12 as app\nrun true\n", None, &[], "app <- debian:12"),
        ("ARG BASE=debian:12\nFROM $BASE", None, &[], "0 <- debian:12"),
        ("ARG BASE=debian:12\nFROM $BASE", None, &[("BASE", "alpine:3.23")], "0 <- alpine:3.23"),
        ("ARG BASE\nFROM ${BASE:-debian:12}", None, &[], "0 <- debian:12"),
        ("ARG R=12 N=debian\nARG BASE=$N:${R}\nFROM $BASE", None, &[("R", "13")], "0 <- debian:13"),
        ("ARG A=\"debian:12\"\nFROM $A", None, &[], "0 <- debian:12"),
        ("FROM x-$TARGETARCH", None, &[], "0 <- x-arm64"),
        ("FROM --platform=$TARGETPLATFORM debian:12", None, &[], "0 <- debian:12 @ linux/arm64"),
        ("FROM x${TARGETVARIANT:-y}", None, &[], "0 <- xy"),
        ("FROM --platform=$NONE debian:12", None, &[], "0 <- debian:12"),
        ("FROM host:5000/a/b@sha256:00 AS x\n", None, &[], "x <- host:5000/a/b@sha256:00"),
        ("FROM scratch\nCOPY x /\n", None, &[], "0 <- scratch"),
        // An argument of a stage is none of FROM's.
        ("ARG B=one\nFROM a\nARG B=two\nFROM $B", None, &[], "1 <- one"),
        // What looks like an instruction and is part of another one, or of none.
        ("# FROM a\nFROM b\nRUN x \\\n# FROM c\nFROM d\n", None, &[], "0 <- b"),
        ("# escape=`\nFROM b\nRUN x `\nFROM c\n", None, &[], "0 <- b"),
        ("FROM \\\n  # which\n  b \\\n  AS c\n", None, &[], "c <- b"),
        ("FROM b\nRUN <<EOF\nFROM c\nEOF\n", None, &[], "0 <- b"),
        ("\u{feff}FROM b\n", None, &[], "0 <- b"),
        ("FROM a AS b\nFROM b AS c\nFROM c\n", None, &[], "2 <- a"),
        ("FROM a AS Base\nFROM base\n", None, &[], "1 <- a"),
        // A stage cannot stand on itself or on a later one: those are images.
        ("FROM debian AS debian\nFROM later\nFROM x AS later\n", Some("1"), &[], "1 <- later"),
        ("FROM debian AS debian\n", None, &[], "debian <- debian"),
        (STAGES, None, &[], "final <- debian:12"),
        (STAGES, Some("build"), &[], "build <- golang:1"),
        (STAGES, Some("FINAL"), &[], "final <- debian:12"),
        (STAGES, Some("0"), &[], "build <- golang:1"),
        (STAGES, Some("2"), &[], "2 <- debian:12"),
        (STAGES, Some("files"), &[], "files <- scratch"),
    ] {
        assert_eq!(find(dockerfile, stage, given).unwrap(), found, "{dockerfile:?} {stage:?}");
    }
}

#[test]
fn only_the_base_is_replaced() {
    let none = Variables::new();
    for (dockerfile, replaced) in [
        ("FROM --platform=linux/amd64 $B AS x\n", "FROM --platform=linux/amd64 IMAGE AS x\n"),
        ("\u{feff}FROM debian:12", "FROM IMAGE"),
        ("FROM a AS b\nFROM a\nCOPY --from=a /x /\n", "FROM a AS b\nFROM IMAGE\nCOPY --from=a /x /\n"),
        ("FROM a AS b\nFROM b AS a\n", "FROM IMAGE AS b\nFROM b AS a\n"),
    ] {
        let given = variables(&[("B", "b")]);
        let dockerfile = format!("ARG B\n{}", unmarked(dockerfile));
        let base = Target::find(&dockerfile, None, &given, &none).unwrap().base.unwrap();
        assert_eq!(base.replaced(&dockerfile, "IMAGE"), format!("ARG B\n{replaced}"));
    }
}

#[test]
fn what_has_no_base_is_refused() {
    for (dockerfile, stage, part) in [
        ("", None, "the Dockerfile: cannot be read"),
        ("RUN true\nFROM a\n", None, "the Dockerfile: cannot be read"),
        ("FROM a\nRUNN true\n", None, "the Dockerfile: cannot be read"),
        ("FROM $NONE\n", None, "FROM $NONE: names no image"),
        ("FROM a\n", Some("b"), "--target b: the Dockerfile has no such stage"),
        (STAGES, Some("5"), "--target 5: the Dockerfile has no such stage"),
    ] {
        let error = find(dockerfile, stage, &[]).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}

/// Forty of them doubled a byte to a terabyte.
#[test]
fn arguments_of_arguments_have_a_limit() {
    let doubled = |count: u32| {
        let arguments: String = (1..=count).map(|at| format!("ARG A{at}=$A{0}$A{0}\n", at - 1)).collect();
        format!("ARG A0=a\n{arguments}FROM $A{count}\n")
    };
    assert_eq!(find(&doubled(10), None, &[]).unwrap(), format!("0 <- {}", "a".repeat(1024)));
    let image = format!("ARG A={}\n{}", "a".repeat(1000), "FROM $A\n".repeat(2000));
    let chain: String = (1..2000).map(|at| format!("FROM ${{A:+s{}}} AS s{at}\n", at - 1)).collect();
    let chain = format!("ARG A={}\nFROM a AS s0\n{chain}FROM s1999$A", "a".repeat(2 << 20));
    for (text, is_right) in [(doubled(40), false), (doubled(1000), false), (image, true), (chain, false)] {
        let found = find(&text, None, &[]);
        assert_eq!(found.is_ok(), is_right, "{found:?}");
        let says_it = |error: Error| error.to_string().contains("bytes of variables, which is the limit");
        assert!(found.err().is_none_or(says_it));
    }
}

/// In a file of a mebibyte, each of which looked through all names for its own.
#[test]
fn stages_upon_stages_are_found_at_once() {
    let stages: String = (1..60_000).map(|at| format!("FROM s{} AS s{at}\n", at - 1)).collect();
    assert_eq!(find(&format!("FROM a AS s0\n{stages}"), None, &[]).unwrap(), "s59999 <- a");
}

/// The places of what follows were three bytes off, in the middle of a letter.
#[test]
fn two_byte_order_marks_are_refused() {
    for dockerfile in
        ["\u{feff}\u{feff}FROM b\u{fc}\u{fc}", "\u{feff}\u{feff}", "\u{feff}\u{feff}\u{feff}FROM b"]
    {
        let error = find(dockerfile, None, &[]).unwrap_err().to_string();
        assert_eq!(error, "the Dockerfile: begins with two byte order marks, and builders take one");
    }
    let dockerfile = "\u{feff}ARG B=b\nFROM b\u{fc}\u{fc} AS \u{fc}\n";
    let base = Target::find(dockerfile, None, &Variables::new(), &Variables::new()).unwrap().base.unwrap();
    assert_eq!(base.replaced(dockerfile, "IMAGE"), "ARG B=b\nFROM IMAGE AS \u{fc}\n");
}
