//! What is set up on a machine beyond what its image has: users, files, services and the like.
//!
//! These types are what `vmimage.toml` is read into and what its JSON schema is made from. A `format` of the
//! schema is a [`TextFormat`], where the check of such texts is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TextFormat;

/// What is set up, nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Setup {
    /// Groups, made before the users.
    pub groups: Vec<Group>,
    /// Users, in their order.
    pub users: Vec<User>,
    /// The administrator.
    pub root: Option<Root>,
    /// Files and folders, in their order.
    pub files: Vec<File>,
    /// Services on and off.
    pub services: Services,
    /// Time zone, by its name in the tz database.
    pub timezone: Option<String>,
    /// Locale of the system, the value of `LANG`.
    pub locale: Option<String>,
    /// Kernel modules loaded at boot.
    pub modules: Vec<String>,
}

/// A group. One that is there already gets the members in addition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Group {
    /// Its name.
    #[schemars(extend("format" = TextFormat::UserName), example = &"app")]
    pub name: String,
    /// Its number; by default the first free one from 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Users that are members. They must be there or be among `users`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("items" = TextFormat::UserName.schema()))]
    pub members: Vec<String>,
}

/// A user. One that is there already is changed in what is said here and stays as it is otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct User {
    /// Its name.
    #[schemars(extend("format" = TextFormat::UserName), example = &"ada")]
    pub name: String,
    /// Its number; by default the first free one from 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The number of its own group; by default a group of the user's name is found or made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Its own group by name, in place of `gid`. It must be there or be among `groups`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::UserName), example = &"admin")]
    pub group: Option<String>,
    /// Further groups. They must be there or be among `groups`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("items" = TextFormat::UserName.schema()))]
    pub groups: Vec<String>,
    /// The full name, or what the user is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::PasswdField), example = &"Ada Lovelace")]
    pub comment: Option<String>,
    /// The home, made from `/etc/skel` if it is not there; by default `/home/NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::AbsolutePath))]
    pub home: Option<String>,
    /// The login shell; by default `/bin/bash` if the image has it, else `/bin/sh`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::AbsolutePath), example = &"/bin/sh")]
    pub shell: Option<String>,
    /// Without one, nobody can log in by a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Password>,
    /// Keys that may log in by SSH, added to `~/.ssh/authorized_keys`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorized_keys: Vec<Keys>,
    /// May do what root may, by sudo or doas: with the password, or without one if the user has none.
    #[serde(default)]
    pub sudo: bool,
    /// Locks the account: no login, by key or password, until somebody unlocks it.
    #[serde(default)]
    pub locked: bool,
}

/// The administrator. Without this table, root is as the image has it: locked in those of distributions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Root {
    /// Lets root log in at the console.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Password>,
    /// Keys that may log in by SSH, added to `/root/.ssh/authorized_keys`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorized_keys: Vec<Keys>,
}

/// A password: a crypt(5) hash, or a secret of the build with a password or a hash in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Password {
    /// A hash, as `mkpasswd` and `openssl passwd -6` print it.
    Hash(#[schemars(extend("format" = TextFormat::PasswordHash))] String),
    /// A secret of the build.
    Secret(Secret),
}

/// SSH keys: a line as in `authorized_keys`, or a file or secret with such lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Keys {
    /// One key.
    Key(#[schemars(extend("format" = TextFormat::SshKey))] String),
    /// A file of the build context.
    File(ContextFile),
    /// A secret of the build.
    Secret(Secret),
}

/// A secret of the build, as `--secret id=ID,src=FILE` gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// Its id.
    #[schemars(extend("format" = TextFormat::SecretId))]
    pub secret: String,
}

/// A file of the build context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContextFile {
    /// Its path in the build context.
    #[schemars(extend("format" = TextFormat::ContextPath))]
    pub file: String,
}

/// A file of the machine, in place of what has that name. Exactly one of `content`, `source` and `secret` is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct File {
    /// Where it is on the machine.
    #[schemars(extend("format" = TextFormat::AbsolutePath), example = &"/etc/motd")]
    pub path: String,
    /// Its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// A file of the build context, or a folder, which is copied with all in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::ContextPath))]
    pub source: Option<String>,
    /// A secret of the build, by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::SecretId))]
    pub secret: Option<String>,
    /// Its permissions in octal; by default `0644`, of a secret `0600`, and of what a folder holds those in the context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::FileMode), example = &"0755")]
    pub mode: Option<String>,
    /// Its owner, `USER` or `USER:GROUP` by name or number; by default root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::Owner), example = &"ada:ada")]
    pub owner: Option<String>,
}

/// Services by the names of systemd's units (`.service` may be left out) or of OpenRC's scripts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Services {
    /// Started at boot.
    #[schemars(extend("items" = TextFormat::ServiceName.schema()))]
    pub enable: Vec<String>,
    /// Not started at boot.
    #[schemars(extend("items" = TextFormat::ServiceName.schema()))]
    pub disable: Vec<String>,
    /// Never started, by nobody (systemd only).
    #[schemars(extend("items" = TextFormat::ServiceName.schema()))]
    pub mask: Vec<String>,
}

impl Setup {
    /// Whether nothing is set up.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The ids of all secrets it needs, each once.
    pub(super) fn secrets(&self) -> Vec<&str> {
        let root = self.root.iter().flat_map(|root| {
            let keys = root.authorized_keys.iter().filter_map(Keys::secret);
            root.password.iter().filter_map(Password::secret).chain(keys)
        });
        let users = self.users.iter().flat_map(|user| {
            let keys = user.authorized_keys.iter().filter_map(Keys::secret);
            user.password.iter().filter_map(Password::secret).chain(keys)
        });
        let files = self.files.iter().filter_map(|file| file.secret.as_deref());
        once_each(root.chain(users).chain(files))
    }

    /// The paths of all files and folders of the build context it needs, each once.
    pub fn context_files(&self) -> Vec<&str> {
        let root = self.root.iter().flat_map(|root| &root.authorized_keys);
        let users = self.users.iter().flat_map(|user| &user.authorized_keys);
        let keys = root.chain(users).filter_map(|keys| match keys {
            Keys::File(file) => Some(file.file.as_str()),
            Keys::Key(_) | Keys::Secret(_) => None,
        });
        once_each(keys.chain(self.files.iter().filter_map(|file| file.source.as_deref())))
    }
}

impl Password {
    fn secret(&self) -> Option<&str> {
        match self {
            Self::Hash(_) => None,
            Self::Secret(secret) => Some(&secret.secret),
        }
    }
}

impl Keys {
    fn secret(&self) -> Option<&str> {
        match self {
            Self::Key(_) | Self::File(_) => None,
            Self::Secret(secret) => Some(&secret.secret),
        }
    }
}

pub(super) fn once_each<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names.dedup();
    names
}
