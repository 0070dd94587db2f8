//! Which image is meant, of those that lie in one place.

use std::collections::BTreeSet;

use super::platform::{Fit, Platform};
use crate::error::{Error, Kind, Result};

/// Images that a hint names.
const LISTED: usize = 40;

/// An image that could be chosen.
pub(super) struct Candidate<T> {
    /// What leads to it.
    pub(super) image: T,
    /// Names by which it is called.
    pub(super) names: BTreeSet<String>,
    pub(super) form: Form,
    /// The index that it is an instance of; none if it is listed by itself.
    pub(super) index: Option<String>,
    /// Whether it is another one in another compression (`podman push --add-compression`).
    pub(super) is_recompressed: bool,
}

/// What a candidate is.
pub(super) enum Form {
    /// An image for this platform.
    Image(Platform),
    /// Something else of this type: a signature, a chart, a list of packages.
    Artifact(String),
}

/// The one image that is meant, by its place in `candidates`: the first of those that fit best.
///
/// # Errors
/// `NotFound` if there is none, `Input` if there are several; both list what there is.
pub(super) fn choose<T>(
    shown: &str,
    candidates: &[Candidate<T>],
    reference: Option<&str>,
    platform: &Platform,
) -> Result<usize> {
    let fit = |candidate: &Candidate<T>| match &candidate.form {
        Form::Image(image) if is_called(&candidate.names, reference) => platform.fit(image),
        _ => None,
    };
    let fitting = || (0..).zip(candidates).filter_map(|(place, candidate)| Some((fit(candidate)?, place)));
    let wanted = match reference {
        Some(reference) => format!("image {reference:?} for {platform}"),
        None => format!("image for {platform}"),
    };
    let Some((best_fit, best)) = fitting().min() else {
        let error = Error::new(Kind::NotFound, shown, format!("there is no {wanted}"));
        return Err(error.with_hint(list(candidates)));
    };
    let is_other = |(fit, place): &(Fit, usize)| {
        let (best, other) = (&candidates[best], &candidates[*place]);
        let is_same_name = reference.is_some() || best.names == other.names;
        !(is_same_name && is_instance(best, other, *fit == best_fit))
    };
    match fitting().filter(|found| found.1 != best && is_other(found)).count() {
        0 => Ok(best),
        others => {
            let message = format!("there are {} of {wanted}", others + 1);
            Err(Error::new(Kind::Input, shown, message).with_hint(list(candidates)))
        }
    }
}

/// Whether two of one name are one image: of an index all are; of what is listed by itself those for different
/// platforms, or in different compressions.
fn is_instance<T>(one: &Candidate<T>, other: &Candidate<T>, fit_equally: bool) -> bool {
    one.index == other.index
        && (one.index.is_some() || !fit_equally || one.is_recompressed || other.is_recompressed)
}

fn list<T>(candidates: &[Candidate<T>]) -> String {
    if candidates.is_empty() {
        return "it holds no image at all".to_owned();
    }
    let line = |candidate: &Candidate<T>| {
        let form = match &candidate.form {
            Form::Image(platform) => platform.to_string(),
            Form::Artifact(media_type) => format!("an artifact of the type {media_type}"),
        };
        match candidate.names.iter().map(String::as_str).collect::<Vec<_>>().join(", ") {
            names if names.is_empty() => form,
            names => format!("{form} ({names})"),
        }
    };
    let mut lines: Vec<_> = candidates.iter().take(LISTED).map(line).collect();
    lines.extend(candidates.len().checked_sub(LISTED + 1).map(|more| format!("{} more", more + 1)));
    format!("it holds {}", lines.join("; "))
}

fn is_called(names: &BTreeSet<String>, reference: Option<&str>) -> bool {
    reference.is_none_or(|reference| names.iter().any(|name| is_same_name(name, reference)))
}

/// Whether two names are the same with what docker leaves out: registry, `library/` and `:latest`.
fn is_same_name(name: &str, reference: &str) -> bool {
    fn full(name: &str) -> String {
        let short = name.strip_prefix("docker.io/").unwrap_or(name);
        let short = short.strip_prefix("library/").unwrap_or(short);
        let last = short.rsplit('/').next().unwrap_or(short);
        if last.contains(':') { short.to_owned() } else { format!("{short}:latest") }
    }
    name == reference || full(name) == full(reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(names: &[&str], platform: &str) -> Candidate<()> {
        Candidate {
            image: (),
            names: names.iter().map(|&name| name.to_owned()).collect(),
            form: Form::Image(Platform::parse(platform).unwrap()),
            index: None,
            is_recompressed: false,
        }
    }

    fn candidates() -> Vec<Candidate<()>> {
        vec![
            candidate(&["docker.io/library/debian:12"], "linux/amd64"),
            candidate(&["docker.io/library/debian:12"], "linux/arm64/v8"),
            candidate(&["alpine"], "linux/arm64"),
            candidate(&[], "linux/arm/v6"),
            candidate(&[], "linux/arm/v7"),
        ]
    }

    #[test]
    fn images_are_chosen_by_name_and_platform() {
        let choose = |reference, platform| {
            let platform = Platform::parse(platform).unwrap();
            choose("x.tar", &candidates(), reference, &platform).map_err(|error| error.to_string())
        };
        assert_eq!(choose(None, "linux/amd64"), Ok(0));
        assert_eq!(choose(Some("debian:12"), "linux/arm64"), Ok(1));
        assert_eq!(choose(Some("alpine:latest"), "linux/arm64/v8"), Ok(2));
        assert_eq!(choose(None, "linux/arm/v7"), Ok(4));
        assert_eq!(choose(None, "linux/arm/v6"), Ok(3));
        assert_eq!(choose(None, "linux/arm64"), Err("x.tar: there are 2 of image for linux/arm64".into()));
        let none = "x.tar: there is no image \"debian\" for linux/amd64";
        assert_eq!(choose(Some("debian"), "linux/amd64"), Err(none.into()));
    }

    #[test]
    fn instances_of_one_image_are_no_choice_and_images_are() {
        let index = |index: &str| Some(index.to_owned());
        let plain = || candidate(&[], "linux/amd64");
        let of = |name: &str| Candidate { index: index(name), ..plain() };
        let recompressed = || Candidate { is_recompressed: true, ..plain() };
        for (candidates, chosen) in [
            (vec![recompressed(), plain()], Some(0)),
            (vec![candidate(&[], "linux/amd64/v2"), plain()], Some(1)),
            (vec![of("a"), of("a")], Some(0)),
            (vec![plain(), plain()], None),
            (vec![of("a"), of("b")], None),
            (vec![candidate(&["a"], "linux/amd64"), candidate(&["b"], "linux/amd64/v2")], None),
        ] {
            assert_eq!(choose("x", &candidates, None, &Platform::linux("amd64")).ok(), chosen);
        }
    }

    #[test]
    fn an_error_lists_what_there_is() {
        let mut candidates = candidates();
        candidates
            .push(Candidate { form: Form::Artifact("text/spdx".into()), ..candidate(&["sbom"], "a/b") });
        let error = choose("x.tar", &candidates, None, &Platform::linux("s390x")).unwrap_err();
        let list = "it holds linux/amd64 (docker.io/library/debian:12); \
                    linux/arm64/v8 (docker.io/library/debian:12); linux/arm64 (alpine); \
                    linux/arm/v6; linux/arm/v7; an artifact of the type text/spdx (sbom)";
        assert_eq!(error.hint(), Some(&list.into()));
    }
}
