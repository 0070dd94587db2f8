use super::*;

fn of(text: &str) -> Result<Config, String> {
    Config::of(vec![Layer::parse(NAME, text.as_bytes())?])
}

const ALL: &str = r#"
disk = { serial = "S4EV*", model = "Samsung*", min-size = "100G", max-size = "2T", transport = "nvme", path = "/dev/nvme0n1" }
overwrite = true
source = "https://10.0.0.1/web/"
source-digest = "abababababababababababababababababababababababababababababababab"
hostname = "web-1.example"
root-password = "$6$salt$hash"
user = "admin"
ssh-keys = ["ssh-ed25519 AAAA me"]
unattended = true
after = "poweroff"
boot-entry = false
[[interfaces]]
name = "eth0"
mac = "52:54:00:12:34:56"
dhcp = "ipv6"
addresses = ["10.0.2.50/24", "fd00::5/64"]
gateway = ["10.0.2.2", "fd00::1"]
dns = ["10.0.2.3"]
"#;

#[test]
fn all_keys_are_read() {
    let config = of(ALL).unwrap();
    let Wish::These(fitting) = &config.disk else { panic!("{config:?}") };
    assert_eq!((fitting.min_size, fitting.max_size), (Some(Size(100 << 30)), Some(Size(2 << 40))));
    assert_eq!((config.after(), config.boot_entry, config.overwrite), (After::PowerOff, false, true));
    assert_eq!(config.interfaces[0].prefixes().count(), 2);
    assert!(config.seeds() && config.unattended);
    let least = of("").unwrap();
    assert_eq!((least.disk.clone(), least.after(), &*least.user), (Wish::Free, After::Restart, "root"));
    assert!(least.boot_entry && !least.seeds() && !least.unattended && !least.overwrite);
}

#[test]
fn a_disk_is_a_path_or_a_word_or_a_table() {
    let path = Wish::These(Fitting { path: Some("/dev/sda".to_owned()), ..Fitting::default() });
    for (text, wish) in [
        ("'smallest'", Wish::Smallest),
        ("'largest'", Wish::Largest),
        ("'ask'", Wish::Ask),
        ("'/dev/sda'", path),
        ("{}", Wish::Free),
    ] {
        assert_eq!(of(&format!("disk = {text}")).unwrap().disk, wish);
    }
    for text in
        ["'sda'", "1", "[]", "'Smallest'", "{ min-size = 'x' }", "{ min-size = '2G', max-size = '1G' }"]
    {
        assert!(of(&format!("disk = {text}")).unwrap_err().contains("install.toml: "), "{text}");
    }
}

#[test]
fn dhcp_and_gateway_are_said_in_two_ways() {
    let one = |text: &str| of(&format!("[[interfaces]]\n{text}")).map(|config| config.interfaces[0].clone());
    assert_eq!(one("dhcp = true").unwrap().dhcp(), Dhcp::Both);
    assert_eq!(one("dhcp = false").unwrap().dhcp(), Dhcp::None);
    assert_eq!(one("").unwrap().dhcp(), Dhcp::Both);
    assert_eq!(one("addresses = ['10.0.0.1/8']").unwrap().dhcp(), Dhcp::None);
    assert_eq!(one("gateway = '10.0.2.2'").unwrap().gateway.len(), 1);
    assert!(one("dhcp = 'some'").is_err() && one("gateway = 'here'").is_err());
}

#[test]
fn what_cannot_be_is_refused_with_its_key() {
    for (text, said) in [
        ("hostname = '-web'", "hostname: \"-web\" is no name of a host"),
        ("hostname = 'a b'", "hostname: "),
        ("root-password = 'secret'", "root-password: is no hash"),
        ("root-password = '$6$a:b'", "root-password: is no hash"),
        ("root-password = '$6$a\nb'", ""),
        ("user = 'a:b'", "user: "),
        ("user = '../x'", "user: "),
        ("ssh-keys = ['ssh-ed25519']", "ssh-keys: "),
        ("ssh-keys = [\"a b\\nc d\"]", "ssh-keys: "),
        ("source-digest = 'ab'", "source-digest: "),
        ("disk = { transport = 'ide' }", "disk.transport: \"ide\" is none of nvme, "),
        ("[[interfaces]]\nname = 'a b'", "interfaces.name: "),
        ("[[interfaces]]\nname = '../../x'", "interfaces.name: "),
        ("[[interfaces]]\nmac = '52:54'", "interfaces.mac: "),
        ("[[interfaces]]\naddresses = ['10.0.0.1']", "interfaces.addresses: "),
        ("[[interfaces]]\naddresses = ['10.0.0.1/33']", "interfaces.addresses: "),
        ("[[interfaces]]\ngateway = ['10.0.0.1', '10.0.0.2']", "interfaces.gateway: "),
        ("after = 'halt'", "unknown variant `halt`"),
        ("overwrite = 'yes'", "invalid type"),
        ("hostname = ", "install.toml: line 1"),
    ] {
        let error = of(text).unwrap_err();
        assert!(error.starts_with("install.toml: ") && error.contains(said), "{text}: {error}");
    }
    assert!(!of("root-password = 'secret'").unwrap_err().contains("secret"));
    assert!(Layer::parse("x", &[0xff]).unwrap_err().contains("x: is no text"));
}

#[test]
fn the_later_one_counts_key_by_key() {
    let layer = |from: &str, text: &str| Layer::parse(from, text.as_bytes()).unwrap();
    let words: Vec<_> = [
        ("disk", "/dev/sda"),
        ("disk.serial", "1234"),
        ("hostname", "1234"),
        ("overwrite", "true"),
        ("ssh-keys", "ssh-ed25519 AAAA me"),
        ("interfaces", "[{name='eth0',addresses=['10.0.2.50/24'],gateway='10.0.2.2'}]"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .to_vec();
    let config = Config::of(vec![
        layer("a", "hostname = 'a'\ndisk = 'largest'\nafter = 'shell'"),
        layer("b", "hostname = 'b'\nunattended = true"),
        words::layer(&words).unwrap(),
    ])
    .unwrap();
    let serial = Wish::These(Fitting { serial: Some("1234".to_owned()), ..Fitting::default() });
    assert_eq!((config.disk, config.hostname.as_deref()), (serial, Some("1234")));
    assert_eq!((config.after, config.unattended, config.overwrite), (Afterwards::Shell, true, true));
    assert_eq!((config.ssh_keys.len(), config.interfaces.len()), (1, 1));
    let error = Config::of(vec![layer("a", ""), layer("b", "hostname = '-'")]).unwrap_err();
    assert!(error.starts_with("b: hostname: "), "{error}");
    let odd = words::layer(&[("hostnam".to_owned(), "x".to_owned())]).unwrap();
    assert!(Config::of(vec![odd]).unwrap_err().starts_with("vmimage.install: hostnam: unknown key"));
}

/// Of docs/installer.md: the tables of keys.
#[test]
fn the_reference_has_the_keys_that_there_are() {
    let text = include_str!("../../../../../../docs/installer.md");
    let documented = |title: &str| {
        let section = text.split(&format!("\n## {title}\n")).nth(1).unwrap_or_default();
        let rows = section.split("\n## ").next().unwrap_or_default().lines();
        let keys =
            rows.filter_map(|row| row.strip_prefix("| `")?.split_once('`').map(|(key, _)| key.to_owned()));
        keys.collect::<Vec<_>>()
    };
    assert_eq!(documented("Keys of `install.toml`"), TOP);
    assert_eq!(documented("Keys of `disk`"), DISK);
    assert_eq!(documented("Keys of `interfaces`"), INTERFACE);
    // And each of them is one of the type that is read.
    let mut read: Vec<_> = toml::from_str::<Table>(ALL).unwrap().keys().cloned().collect();
    read.sort();
    let mut keys = TOP.to_vec();
    keys.sort_unstable();
    assert_eq!(read, keys);
}

/// Each example of the page is one.
#[test]
fn the_examples_are_right() {
    let text = include_str!("../../../../../../docs/installer.md");
    let examples: Vec<_> =
        text.split("```text\n# install.toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 2);
    for example in examples {
        of(example).unwrap_or_else(|error| panic!("{example}: {error}"));
    }
}
