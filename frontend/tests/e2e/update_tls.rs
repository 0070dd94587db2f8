//! A machine that takes its next version by HTTPS from a server that lets in only those it knows.

use super::lab::scratch;
use super::tls;
use super::update_machine::{DEBIAN, Kiosk, Wishes, check};
use super::web::Server;

/// The authority comes with the image; what the machine shows of itself is put into it, and stays there.
const FILES: &str = "\
[[files]]
path = \"/etc/update/ca.crt\"
content = '''
AUTHORITY'''
";

const UPDATE: &str = "\
from = \"https://10.0.2.2:STRICT/next/\"
ca = \"/etc/update/ca.crt\"
certificate = \"/persist/update/machine.crt\"
key = \"/persist/update/machine.key\"
";

/// Each attempt but the last is refused, and the second slot is as it was.
const STEPS: &str = r#"
config=/usr/lib/vmimage/update.json
refused() {
	try "$@"
	fact "after-$1" "$([ "$(second)" = "$second_was" ] && echo untouched)"
}
if [ "$version" = "version one" ]; then
	write
	second_was=$(second)
	refused keyless vmimage-update apply

	# As if the image had said nothing of a certificate.
	sed 's/,"certificate":"[^"]*","key":"[^"]*"//' "$config" >/run/update.json
	mount --bind /run/update.json "$config"
	refused nobody vmimage-update apply
	umount "$config"

	umask 077
	mkdir -p /persist/update
	cat >/persist/update/machine.crt <<'PEM'
STRANGER.crtPEM
	cat >/persist/update/machine.key <<'PEM'
STRANGER.keyPEM
	refused stranger vmimage-update apply

	cat >/persist/update/machine.crt <<'PEM'
MACHINE.crtPEM
	cat >/persist/update/machine.key <<'PEM'
MACHINE.keyPEM
	refused impostor vmimage-update apply https://10.0.2.2:IMPOSTOR/next/
	try applied vmimage-update apply
	restart
fi
try again vmimage-update check
"#;

#[test]
#[ignore = "long: make matrix"]
fn a_machine_and_its_server_know_each_other_by_certificates() {
    let folder = scratch();
    let folder = folder.path();
    tls::certify(folder);
    let web = folder.join("web");
    std::fs::create_dir(&web).unwrap();
    let [strict, impostor] =
        ["server", "impostor"].map(|name| Server::within(&web, tls::strict(folder, name)).unwrap());
    let pem = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let tables = FILES.replace("AUTHORITY", &pem("ca.crt"));
    let update = UPDATE.replace("STRICT", &strict.port().to_string());
    let kiosk = Kiosk::new(DEBIAN, Wishes { tables: &tables, update: &update, ..Wishes::default() });
    std::os::unix::fs::symlink(kiosk.publish("2", "version two"), web.join("next")).unwrap();

    let mut steps = STEPS.replace("IMPOSTOR", &impostor.port().to_string());
    for name in ["stranger", "machine"] {
        for end in ["crt", "key"] {
            let place = format!("{}.{end}", name.to_uppercase());
            steps = steps.replace(&place, &pem(&format!("{name}.{end}")));
        }
    }
    let report = kiosk.boot(&kiosk.disk, "--bios", &steps, &[]);
    for (attempt, message) in [
        ("keyless", "/persist/update/machine.crt: cannot be read"),
        ("nobody", "hint: it may want a certificate of this machine"),
        ("stranger", "hint: it may want a certificate of this machine"),
        ("impostor", "cannot be trusted"),
    ] {
        let said = report.get(attempt);
        assert!(said.starts_with("1 ") && said.contains(message), "{attempt}: {said}");
        assert_eq!(report.get(&format!("after-{attempt}")), "untouched", "{attempt}: {said}");
    }
    assert!(impostor.asked().is_empty(), "it was told something");
    assert!(report.get("applied").starts_with("0 "), "{}", report.get("applied"));
    // The second version has the key yet, and asks by it.
    let again = report.get("again");
    assert!(again.starts_with("3 ") && again.contains("is what this machine runs"), "{again}");
    assert!(strict.asked().iter().any(|path| path == "/next/kiosk_2.root.zst"), "it came by another way");
    check(&report, "B", "version two");
}
