//! A configuration becomes what is asked of the exporter and of the package manager.

use std::collections::BTreeMap;

use exporter::spec::Setup;

use super::{Config, HookConfig, Repository, Text};
use crate::ask::{self, Asked, Folder, Hook, Sources, TextFile};

/// A configuration with the texts that it names.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Configuration {
    pub(crate) config: Config,
    /// By their paths in the build context.
    pub(crate) texts: BTreeMap<String, String>,
}

/// More than this is no text that somebody writes, and too long for the arguments of a step.
pub(crate) const MAX_TEXT: usize = 96 << 10;

impl Configuration {
    /// Asks for all that the configuration says.
    pub(crate) fn ask(&self, asked: &mut Asked) {
        asked.ask(&self.config.wishes);
        asked.spec.layout.partitions.clone_from(&self.config.partitions);
        asked.spec.persist.clone_from(&self.config.persist);
        // Labels go before, build arguments and flags behind.
        asked.spec.grub.clone_from(&self.config.grub);
        asked.spec.microvm = self.config.microvm.clone();
        asked.spec.medium = self.config.medium.clone();
        asked.spec.image = self.config.image.clone().or(std::mem::take(&mut asked.spec.image));
        asked.spec.network = self.config.network.clone().or(std::mem::take(&mut asked.spec.network));
        let Setup { timezone, locale, modules, .. } = asked.spec.setup.clone();
        asked.spec.setup = Setup { timezone, locale, modules, ..self.config.setup() };
        asked.spec.update = self.config.update.clone();
        asked.spec.rauc = self.config.rauc.clone();
        asked.spec.uki = self.config.uki;
        asked.spec.secure_boot = self.config.secure_boot.clone();
        asked.install.packages = self.config.packages.clone().map(Folder::Context);
        asked.install.proxy.clone_from(&self.config.proxy);
        asked.install.sources = Sources {
            certificates: self.config.certificates.iter().map(|path| self.file(path)).collect(),
            repositories: self
                .config
                .repositories
                .iter()
                .map(|repository| self.repository(repository))
                .collect(),
        };
        asked.hooks =
            self.config.hooks.iter().enumerate().map(|(index, hook)| self.hook(index, hook)).collect();
    }

    fn text(&self, path: &str) -> String {
        self.texts.get(path).cloned().unwrap_or_default()
    }

    /// A file of the context under its own name.
    fn file(&self, path: &str) -> TextFile {
        let name = path.rsplit('/').next().unwrap_or(path);
        TextFile { name: name.to_owned(), text: self.text(path) }
    }

    fn repository(&self, repository: &Repository) -> ask::Repository {
        let source = match &repository.source {
            Text::Inline(text) => text.clone(),
            Text::File(file) => self.text(&file.file),
        };
        let key = repository.key.as_deref().map(|path| self.file(path));
        ask::Repository { name: repository.name.clone(), source, key }
    }

    fn hook(&self, index: usize, hook: &HookConfig) -> Hook {
        let (name, script) = match (&hook.script, &hook.run) {
            (Some(path), _) => (path.clone(), self.text(path)),
            (None, run) => ((index + 1).to_string(), run.clone().unwrap_or_default()),
        };
        Hook { title: format!("[vmimage] hook {name}"), script, network: hook.network }
    }
}
