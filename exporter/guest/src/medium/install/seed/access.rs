//! Who may log in: a password in `/etc/shadow`, keys in a user's `authorized_keys` (passwd(5), shadow(5), sshd(8)).

use super::files::{Owner, System};

const PASSWD: &str = "/etc/passwd";
const SHADOW: &str = "/etc/shadow";

/// Give a user a password, by its hash.
pub(super) fn password(system: &System, user: &str, hash: &str) -> Result<String, String> {
    let (text, owner) = system.read(SHADOW)?.ok_or_else(|| format!("{SHADOW}: the system has none"))?;
    let text = String::from_utf8_lossy(&text);
    let text = with_hash(&text, user, hash).ok_or_else(|| format!("{SHADOW}: has no user {user}"))?;
    system.write(SHADOW, text.as_bytes(), owner)?;
    Ok(format!("{SHADOW}: a password for {user}"))
}

fn with_hash(shadow: &str, user: &str, hash: &str) -> Option<String> {
    let mut is_there = false;
    let lines = shadow.lines().map(|line| {
        let mut fields: Vec<_> = line.split(':').collect();
        match &mut fields[..] {
            [name, old, ..] if *name == user && !is_there => {
                is_there = true;
                *old = hash;
                fields.join(":") + "\n"
            }
            _ => format!("{line}\n"),
        }
    });
    let text: String = lines.collect();
    is_there.then_some(text)
}

/// Let a user in by these keys, beside those that are there.
pub(super) fn ssh_keys(system: &System, user: &str, keys: &[String]) -> Result<String, String> {
    let (text, _) = system.read(PASSWD)?.ok_or_else(|| format!("{PASSWD}: the system has none"))?;
    let found = account(&String::from_utf8_lossy(&text), user);
    let Account { uid, gid, home } = found.ok_or_else(|| {
        format!("{PASSWD}: has no user {user} with a home\nhint: ssh-keys are for user = \"…\", which is root unless it is said")
    })?;
    let owner = |mode| Owner { uid, gid, mode };
    let folder = format!("{home}/.ssh");
    system.make_folder(&folder, owner(0o700))?;
    let path = format!("{folder}/authorized_keys");
    let old = system.read(&path)?.map(|(text, _)| String::from_utf8_lossy(&text).into_owned());
    let old = old.unwrap_or_default();
    let old_lines = old.lines().filter(|line| !keys.iter().any(|key| key == line));
    let text: String =
        old_lines.chain(keys.iter().map(String::as_str)).flat_map(|line| [line, "\n"]).collect();
    system.write(&path, text.as_bytes(), owner(0o600))?;
    Ok(format!("{path}: {} of {user}", if keys.len() == 1 { "a key" } else { "keys" }))
}

struct Account {
    uid: u32,
    gid: u32,
    home: String,
}

fn account(passwd: &str, user: &str) -> Option<Account> {
    let fields = |line: &'_ str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    let row = passwd.lines().map(fields).find(|fields| fields.first().is_some_and(|name| name == user))?;
    let [_, _, uid, gid, _, home, ..] = &row[..] else { return None };
    let home = home.trim_end_matches('/');
    let is_path = home.starts_with('/') && !home.split('/').any(|part| part == "..");
    Some(Account { uid: uid.parse().ok()?, gid: gid.parse().ok()?, home: home.to_owned() })
        .filter(|_| is_path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_goes_into_the_second_field() {
        let shadow = "root:*:19000:0:99999:7:::\ndaemon:*:1::::::\n";
        let expected = "root:$6$a$b:19000:0:99999:7:::\ndaemon:*:1::::::\n";
        assert_eq!(with_hash(shadow, "root", "$6$a$b").as_deref(), Some(expected));
        assert_eq!(with_hash(shadow, "roo", "x"), None);
        assert_eq!(with_hash("root\n", "root", "x"), None);
    }

    #[test]
    fn an_account_has_a_home() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1001::/home/ada/:/bin/sh\nbad:x:1:1::../x:/\nshort:x:1\n";
        let ada = account(passwd, "ada").unwrap();
        assert_eq!((ada.uid, ada.gid, &*ada.home), (1000, 1001, "/home/ada"));
        for user in ["bad", "short", "eve", ""] {
            assert!(account(passwd, user).is_none(), "{user}");
        }
    }
}
