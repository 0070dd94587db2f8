//! A disk or an update as a container image: the configuration and annotations that an exporter of images takes from a
//! result.

use exporter::container::image::{CREATED, LayerImage, TITLE, VERSION, rfc3339};
use exporter::container::{containerdisk, update};
use exporter::spec::{Architecture, Identity, Spec};

use crate::ask::request::Stage;
use crate::gateway::Image;

/// What an image with KubeOS's `/os.tar` says that it has.
const KUBEOS: &str = "os.tar";
/// What the OCI image specification has names for, in its "Annotations".
const PREDEFINED: &str = "org.opencontainers.image.";

/// Describe the image that `image` becomes. Labels of the Dockerfile and of `--label` stay, and those with a
/// predefined name are annotations as well.
pub(super) fn describe(image: &mut Image, stage: Stage, architecture: Architecture, spec: &Spec) {
    let mut labels = std::mem::take(&mut image.says.labels);
    if let Some(title) = title(spec) {
        labels.entry(TITLE.to_owned()).or_insert_with(|| title.clone());
    }
    if let Some(version) = &spec.image.version {
        // The Dockerfile's is often that of its base.
        labels.insert(VERSION.to_owned(), version.clone());
    }
    let content = match stage {
        Stage::Update => update::CONTENT,
        Stage::KubeOs => KUBEOS,
        Stage::Dockerfile | Stage::Rootfs | Stage::Disk | Stage::ContainerDisk => containerdisk::CONTENT,
    };
    if stage == Stage::Update {
        labels.extend(of_update(spec));
    }
    let created = spec.source_date_epoch.unwrap_or_default();
    let described = LayerImage { content, architecture, created, labels };
    let mut json = described.config(&[]);
    if stage == Stage::KubeOs {
        // Nothing runs it, but `docker create`, by which KubeOS gets at the file, wants a command.
        json["config"]["Cmd"] = ["/bin/sh"].into();
    }
    if let Some(platform) = image.platform.as_ref().filter(|platform| !platform.variant.is_empty()) {
        json["variant"] = platform.variant.as_str().into();
    }
    image.config = Some(json.to_string().into_bytes());
    let is_annotation = |key: &str| key.starts_with(PREDEFINED) && !key.contains(char::is_whitespace);
    image.annotations = described.labels.into_iter().filter(|(key, _)| is_annotation(key)).collect();
    if let Some(seconds) = spec.source_date_epoch {
        image.annotations.entry(CREATED.to_owned()).or_insert_with(|| rfc3339(seconds));
    }
}

/// What machines are told by a registry, before they fetch a byte of it.
fn of_update(spec: &Spec) -> impl Iterator<Item = (String, String)> {
    let Identity { id, version, .. } = &spec.image;
    let named = id.as_ref().zip(version.as_ref()).zip(spec.image.compatible());
    named.map(|((id, version), compatible)| update::labels(id, version, compatible)).into_iter().flatten()
}

/// The name it was given. Without one there is none: of an annotation that the client asks for as well, ours
/// would count.
fn title(spec: &Spec) -> Option<&String> {
    spec.hostname.as_ref().or(Some(&spec.name).filter(|name| **name != Spec::default().name))
}

#[cfg(test)]
mod tests {
    use exporter::spec::ImageConfig;
    use serde_json::{Value, json};

    use super::*;
    use crate::gateway::Platform;

    fn described(config: Option<&str>, spec: &Spec) -> (Value, Vec<(String, String)>) {
        let platform = Platform { variant: "v2".into(), ..Platform::default() };
        let json = config.map(|config| serde_json::from_str(config).unwrap());
        let says = json.map(|json| ImageConfig::read(&json).unwrap()).unwrap_or_default();
        let mut image = Image { says, platform: Some(platform), ..Image::default() };
        describe(&mut image, Stage::ContainerDisk, Architecture::Aarch64, spec);
        (serde_json::from_slice(&image.config.unwrap()).unwrap(), image.annotations.into_iter().collect())
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (format!("{PREDEFINED}{key}"), value.to_owned())
    }

    #[test]
    fn labels_stay_and_the_rest_of_a_container_goes() {
        let own = r#"{"architecture":"amd64","config":{"Cmd":["sh"],"Labels":
            {"team":"a","org.opencontainers.image.source":"https://a.example","org.opencontainers.image.a b":"c"}}}"#;
        let spec = Spec { name: "web".into(), source_date_epoch: Some(1_700_000_000), ..Spec::default() };
        let (config, annotations) = described(Some(own), &spec);
        assert_eq!((&config["architecture"], &config["os"]), (&json!("arm64"), &json!("linux")));
        assert_eq!((&config["variant"], &config["created"]), (&json!("v2"), &json!("2023-11-14T22:13:20Z")));
        assert_eq!(config["config"].as_object().unwrap().len(), 1, "{config}");
        assert_eq!(config["config"]["Labels"].as_object().unwrap().len(), 4);
        assert_eq!(config["config"]["Labels"]["team"], "a");
        let expected = [
            pair("created", "2023-11-14T22:13:20Z"),
            pair("source", "https://a.example"),
            pair("title", "web"),
        ];
        assert_eq!(annotations, expected);
    }

    #[test]
    fn an_image_without_a_configuration_gets_one() {
        for own in [None, Some("{}"), Some(r#"{"config":{"Labels":null}}"#)] {
            let (config, annotations) = described(own, &Spec::default());
            assert_eq!(config["created"], "1970-01-01T00:00:00Z");
            assert_eq!((&config["config"]["Labels"], annotations.len()), (&json!({}), 0));
            let spec = Spec { hostname: Some("web-1".into()), ..Spec::default() };
            assert_eq!(described(own, &spec).1, [pair("title", "web-1")]);
        }
    }

    #[test]
    fn a_version_that_was_asked_for_is_the_images_whatever_its_base_says() {
        let base = r#"{"config":{"Labels":{"org.opencontainers.image.version":"24.04"}}}"#;
        let asked = exporter::spec::Identity { version: Some("1.4.0".into()), ..Default::default() };
        for (image, version) in [(asked, "1.4.0"), (Default::default(), "24.04")] {
            let spec = Spec { image, ..Spec::default() };
            assert_eq!(described(Some(base), &spec).1, [pair("version", version)]);
        }
    }

    #[test]
    fn an_update_says_what_it_is_of_and_kubeos_gets_a_command() {
        let asked = exporter::spec::Identity {
            id: Some("kiosk".into()),
            version: Some("1.4.0".into()),
            ..Default::default()
        };
        let spec = Spec { image: asked, ..Spec::default() };
        let of = |stage| {
            let mut image = Image::default();
            describe(&mut image, stage, Architecture::X86_64, &spec);
            serde_json::from_slice::<Value>(&image.config.unwrap()).unwrap()["config"].clone()
        };
        let labels = json!({ "org.opencontainers.image.version": "1.4.0", "io.vmimage.update.id": "kiosk",
            "io.vmimage.update.compatible": "kiosk" });
        assert_eq!(of(Stage::Update), json!({ "Labels": labels }));
        assert_eq!(of(Stage::KubeOs)["Cmd"], json!(["/bin/sh"]));
    }
}
