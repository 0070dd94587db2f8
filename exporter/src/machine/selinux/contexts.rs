//! The labels that a policy has for files, by their paths (file_contexts(5)), as setfiles(8) gives them.
//!
//! ```text
//! /usr/bin/.*      --      system_u:object_r:bin_t:s0        a regular file
//! /proc/.*                 <<none>>                          no label
//! ```
//!
//! Of the lines that match a path one without a pattern counts, else the last one. Paths may have to be looked up as
//! others (`file_contexts.subs_dist`: `/run /var/run`).

use std::collections::HashMap;

use regex::bytes::{RegexSet, RegexSetBuilder};

use crate::error::{Error, Kind, Result, show_text};
use crate::limits;
use crate::tree::{InodeKind, Tree};

/// The files of a policy with its contexts, each after those that it comes before.
const FILES: [&str; 3] = ["file_contexts", "file_contexts.homedirs", "file_contexts.local"];
/// Those with other paths to look up, in the order in which they are asked.
const SUBSTITUTIONS: [&str; 2] = ["file_contexts.subs", "file_contexts.subs_dist"];
/// Bytes of all patterns, ready to match: those of Fedora's policy take a tenth of it.
const PATTERNS: usize = 256 << 20;
/// Bytes of what is remembered of paths while they are matched.
const MEMORY: usize = 32 << 20;

/// What the label of a file is looked up by.
pub(super) struct Contexts {
    /// By path, those without a pattern.
    exact: HashMap<Vec<u8>, Vec<Context>>,
    patterns: RegexSet,
    /// Of each pattern.
    of_patterns: Vec<Context>,
    substitutions: Vec<Vec<(Vec<u8>, Vec<u8>)>>,
}

/// A label for files of a kind.
#[derive(Clone)]
struct Context {
    /// The letter of the kind, as `ls` and `find` have it; `None`: any.
    kind: Option<u8>,
    /// `None`: no label.
    label: Option<Box<[u8]>>,
}

impl Context {
    fn is_for(&self, kind: u8) -> bool {
        self.kind.is_none_or(|own| own == kind)
    }
}

impl Contexts {
    /// Those in a folder of the tree.
    ///
    /// # Errors
    /// What cannot be read of them.
    pub(super) fn read(tree: &Tree, folder: &str) -> Result<Self> {
        let (mut exact, mut patterns, mut of_patterns) = (HashMap::new(), Vec::new(), Vec::new());
        for name in FILES {
            let path = format!("{folder}/{name}");
            for line in text(tree, &path)?.lines() {
                let Some((pattern, context)) = parse(line).map_err(|why| at(&path, line, why))? else {
                    continue;
                };
                match literal(pattern) {
                    Some(path) => exact.entry(path).or_insert_with(Vec::new).push(context),
                    None => {
                        patterns.push(format!("^(?:{pattern})$"));
                        of_patterns.push(context);
                    }
                }
            }
        }
        if of_patterns.is_empty() {
            let message = "has no contexts of files, which SELinux labels are made by";
            return Err(Error::new(Kind::NotFound, folder, message)
                .with_hint("install the policy again, or set SELINUX=disabled in /etc/selinux/config"));
        }
        let patterns = compiled(&patterns).map_err(|error| {
            Error::new(Kind::Unsupported, folder, format!("a pattern is not read: {error}"))
        })?;
        let substitutions = SUBSTITUTIONS.into_iter();
        let substitutions = substitutions
            .map(|name| Ok(substitutes(&text(tree, &format!("{folder}/{name}"))?)))
            .collect::<Result<_>>()?;
        Ok(Self { exact, patterns, of_patterns, substitutions })
    }

    /// The label of what is at a path; `None`: it has none.
    pub(super) fn label(&self, path: &[u8], kind: &InodeKind) -> Option<&[u8]> {
        let kind = letter(kind);
        let path = self.substitutions.iter().fold(path.to_vec(), |path, list| substituted(path, list));
        let exact = self.exact.get(&path).and_then(|all| all.iter().rfind(|context| context.is_for(kind)));
        let by_pattern = || {
            let matched = self.patterns.matches(&path);
            let contexts = matched.iter().rev().filter_map(|at| self.of_patterns.get(at));
            contexts.into_iter().find(|context| context.is_for(kind))
        };
        exact.or_else(by_pattern)?.label.as_deref()
    }
}

fn text(tree: &Tree, path: &str) -> Result<String> {
    let bytes = tree.read(path, limits::TEXTS)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn at(path: &str, line: &str, why: &str) -> Error {
    Error::new(Kind::Input, path, format!("{}: {why}", show_text(line)))
}

/// Pattern and context of a line; `None`: it says nothing.
fn parse(line: &str) -> std::result::Result<Option<(&str, Context)>, &'static str> {
    let mut words = line.split_ascii_whitespace();
    let Some(pattern) = words.next().filter(|word| !word.starts_with('#')) else { return Ok(None) };
    let (kind, label) = match (words.next(), words.next(), words.next()) {
        (Some(label), None, None) => (None, label),
        (Some(kind), Some(label), None) => (Some(kind), label),
        _ => return Err("is no pattern with a context"),
    };
    let kind = match kind.map(str::as_bytes) {
        None => None,
        Some([b'-', letter @ (b'-' | b'd' | b'l' | b'c' | b'b' | b'p' | b's')]) => Some(*letter),
        Some(_) => return Err("is for no kind of file that is known"),
    };
    // The kernel keeps them as strings of C.
    let label = (label != "<<none>>").then(|| [label.as_bytes(), b"\0"].concat().into());
    Ok(Some((pattern, Context { kind, label })))
}

/// The path that a pattern is, if it is no more than that.
fn literal(pattern: &str) -> Option<Vec<u8>> {
    let mut path = Vec::new();
    let mut bytes = pattern.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => path.push(bytes.next().filter(|next| !next.is_ascii_alphanumeric())?),
            b'.' | b'^' | b'$' | b'?' | b'*' | b'+' | b'|' | b'[' | b'(' | b'{' => return None,
            _ => path.push(byte),
        }
    }
    Some(path)
}

fn compiled(patterns: &[String]) -> std::result::Result<RegexSet, regex::Error> {
    let mut builder = RegexSetBuilder::new(patterns);
    builder.unicode(false).dot_matches_new_line(true);
    builder.size_limit(PATTERNS).dfa_size_limit(MEMORY).build()
}

/// The last line of a path counts.
fn substitutes(text: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let lines = text.lines().rev().filter(|line| !line.trim_start().starts_with('#'));
    let pair = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        Some((words.next()?.into(), words.next()?.into()))
    };
    lines.filter_map(pair).collect()
}

fn substituted(path: Vec<u8>, list: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let other = list.iter().find_map(|(from, to)| {
        let rest = path.strip_prefix(&**from)?;
        let is_below = rest.is_empty() || rest.starts_with(b"/");
        // What is in place of `/` has the slash of the rest.
        is_below.then(|| [if **to == *b"/" { b"" } else { &**to }, rest].concat())
    });
    other.unwrap_or(path)
}

fn letter(kind: &InodeKind) -> u8 {
    match kind {
        InodeKind::Directory(_) => b'd',
        InodeKind::File(_) => b'-',
        InodeKind::Symlink(_) => b'l',
        InodeKind::Fifo => b'p',
        InodeKind::Socket => b's',
        InodeKind::CharDevice(_) => b'c',
        InodeKind::BlockDevice(_) => b'b',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::tree;
    use crate::tree::{Content, Device};

    const FOLDER: &str = "/etc/selinux/targeted/contexts/files";
    const POLICY: &str = "# of a policy\n\
        /.*                      u:r:default_t:s0\n\
        /[^/]+             --    u:r:root_file_t:s0\n\
        /usr/bin/.*              u:r:bin_t:s0\n\
        /usr/bin/su        --    u:r:su_exec_t:s0\n\
        /usr/bin(/.*)?     -d    u:r:bin_dir_t:s0\n\
        /usr/lib(64)?/[^/]*\\.so(\\.[0-9]+)*  --  u:r:lib_t:s0\n\
        /etc/resolv\\.conf.* --   u:r:net_conf_t:s0\n\
        /etc/ld\\.so\\.cache       u:r:ld_so_cache_t:s0\n\
        /proc/.*                 <<none>>\n\
        /var/run/.*        -s    u:r:socket_t:s0\n";

    fn contexts(files: &[(&str, &str)]) -> Result<Contexts> {
        let paths: Vec<_> = files.iter().map(|(name, _)| format!("{FOLDER}/{name}")).collect();
        let files: Vec<_> =
            paths.iter().map(String::as_str).zip(files.iter().map(|(_, text)| *text)).collect();
        Contexts::read(&tree(&files), FOLDER)
    }

    fn label(contexts: &Contexts, path: &str, kind: &InodeKind) -> String {
        let label = contexts.label(path.as_bytes(), kind).unwrap_or(b"\0");
        let (end, text) = label.split_last().unwrap();
        assert_eq!(*end, 0);
        String::from_utf8_lossy(text).replace("u:r:", "").replace(":s0", "")
    }

    #[test]
    fn a_file_has_the_label_of_the_last_line_or_of_its_own() {
        let local = "/srv/www(/.*)? u:r:www_t:s0\n";
        let subs = "# other names\n/run /var/run\n/usr/lib64 /usr/lib\n/sbin /\n";
        let files =
            [("file_contexts", POLICY), ("file_contexts.local", local), ("file_contexts.subs_dist", subs)];
        let contexts = contexts(&files).unwrap();
        let file = InodeKind::File(Content::Bytes(Box::<[u8]>::default().into()));
        let directory = InodeKind::Directory(Default::default());
        let device = InodeKind::CharDevice(Device { major: 1, minor: 3 });
        for (path, kind, expected) in [
            ("/", &directory, "default_t"),
            ("/vmlinuz", &file, "root_file_t"),
            ("/vmlinuz", &InodeKind::Symlink((*b"x").into()), "default_t"),
            ("/usr/bin/ls", &file, "bin_t"),
            ("/usr/bin", &directory, "bin_dir_t"),
            ("/usr/bin/su", &file, "su_exec_t"),
            ("/usr/bin/su", &directory, "bin_dir_t"),
            ("/usr/lib/libc.so.6", &file, "lib_t"),
            ("/usr/lib64/libc.so.6", &file, "lib_t"),
            ("/usr/lib/libcxso", &file, "default_t"),
            ("/etc/resolv.conf.bak", &file, "net_conf_t"),
            ("/etc/ld.so.cache", &file, "ld_so_cache_t"),
            ("/etc/ldxsoxcache", &file, "default_t"),
            ("/proc/1", &directory, ""),
            ("/run/socket", &InodeKind::Socket, "socket_t"),
            ("/run/socket", &InodeKind::Fifo, "default_t"),
            ("/runner/socket", &InodeKind::Socket, "default_t"),
            ("/srv/www/a\nb", &file, "www_t"),
            ("/sbin/vmlinuz", &file, "root_file_t"),
            ("/dev/null", &device, "default_t"),
        ] {
            assert_eq!(label(&contexts, path, kind), expected, "{path}");
        }
        assert_eq!(contexts.label(b"/usr/bin/\xff", &file), Some(&b"u:r:bin_t:s0\0"[..]));
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        for (text, expected) in [
            ("", "has no contexts of files"),
            ("/etc/passwd", "/etc/passwd: is no pattern with a context"),
            ("/a -x u:r:t", "/a -x u:r:t: is for no kind of file"),
            ("/a -- u:r:t more", "is no pattern with a context"),
            ("/(a u:r:t", "a pattern is not read: "),
            // A gigabyte of states.
            ("/(((a{100}){100}){100}){100} u:r:t", "a pattern is not read: "),
        ] {
            let error = contexts(&[("file_contexts", text)]).err().unwrap().to_string();
            assert!(error.starts_with(FOLDER) && error.contains(expected), "{text}: {error}");
        }
    }
}
