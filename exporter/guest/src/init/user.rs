//! Who runs the service: `USER`, `USER:GROUP` by name or number, as in a container.

use std::fs;

/// A process's rights and home.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Its further groups.
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

impl Identity {
    /// Look `user` up in the image's own files; those need not be there.
    pub(crate) fn find(user: &str) -> Result<Self, String> {
        let read = |path: &str| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Self::resolve(user, &read("/etc/passwd").unwrap_or_default(), &read("/etc/group").unwrap_or_default())
    }

    fn resolve(user: &str, passwd: &str, group: &str) -> Result<Self, String> {
        let (name, asked_group) =
            user.split_once(':').map_or((user, None), |(name, group)| (name, Some(group)));
        let name = if name.is_empty() { "0" } else { name };
        let account = passwd.lines().filter_map(Account::parse).find(|account| account.is(name));
        let (uid, own_gid, home) = match (&account, name.parse()) {
            (Some(account), _) => (account.uid, account.gid, account.home),
            (None, Ok(uid)) => (uid, 0, "/"),
            (None, Err(_)) => return Err(format!("user {name}: not in /etc/passwd")),
        };
        let groups: Vec<_> = group.lines().filter_map(Group::parse).collect();
        let gid = match asked_group.filter(|asked| !asked.is_empty()) {
            None => own_gid,
            Some(asked) => {
                let known = groups.iter().find(|group| group.name == asked).map(|group| group.gid);
                known.or(asked.parse().ok()).ok_or_else(|| format!("group {asked}: not in /etc/group"))?
            }
        };
        // Whoever names a group gets that one alone, as container engines have it.
        let further = groups.iter().filter(|_| asked_group.is_none()).filter(|group| {
            account
                .as_ref()
                .is_some_and(|account| group.members.split(',').any(|member| member == account.name))
        });
        let groups =
            std::iter::once(gid).chain(further.map(|group| group.gid).filter(|further| *further != gid));
        let home = if home.is_empty() { "/" } else { home };
        Ok(Self { uid, gid, groups: groups.collect(), home: home.to_owned() })
    }
}

/// A line of passwd(5).
struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> Account<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Self { name, uid, gid, home: fields.nth(1).unwrap_or_default() })
    }

    fn is(&self, user: &str) -> bool {
        self.name == user || user.parse() == Ok(self.uid)
    }
}

/// A line of group(5).
struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl<'a> Group<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next()?;
        Some(Self { name, gid: fields.nth(1)?.parse().ok()?, members: fields.next().unwrap_or_default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbroken\napp:x:1000:1001::/srv/app:/sbin/nologin\n";
    const GROUP: &str = "root:x:0:\napp:x:1001:\nmail:x:8:postfix,app\nextra:x:9:\n";

    fn resolve(user: &str) -> Result<(u32, u32, Vec<u32>, String), String> {
        Identity::resolve(user, PASSWD, GROUP)
            .map(|Identity { uid, gid, groups, home }| (uid, gid, groups, home))
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        for (user, uid, gid, groups, home) in [
            ("", 0, 0, vec![0], "/root"),
            ("app", 1000, 1001, vec![1001, 8], "/srv/app"),
            ("1000", 1000, 1001, vec![1001, 8], "/srv/app"),
            ("app:extra", 1000, 9, vec![9], "/srv/app"),
            ("65532", 65532, 0, vec![0], "/"),
            ("65532:65532", 65532, 65532, vec![65532], "/"),
            (":mail", 0, 8, vec![8], "/root"),
        ] {
            assert_eq!(resolve(user).unwrap(), (uid, gid, groups, home.to_owned()), "{user}");
        }
    }

    #[test]
    fn numbers_need_no_files_and_names_do() {
        let identity = Identity::resolve("65532:65532", "", "").unwrap();
        assert_eq!((identity.uid, identity.gid, &*identity.home), (65532, 65532, "/"));
        assert_eq!(resolve("nobody").unwrap_err(), "user nobody: not in /etc/passwd");
        assert_eq!(resolve("app:none").unwrap_err(), "group none: not in /etc/group");
        assert!(Identity::resolve("-1", PASSWD, GROUP).is_err());
    }
}
