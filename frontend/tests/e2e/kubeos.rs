//! `testdata/kubeos`: a system like KubeOS's, by the words of vmimage.

use std::fs;

use super::distributions::make_stand_in;
use super::lab::{Report, boot, build, nonce, partitions, raw, reporting, scratch};

/// Asked as somebody who has opened the socket asks.
const FACTS: &str = r#"
[[files]]
path = "/etc/report.d/kubeos"
content = '''
ask() { echo "$*" | /usr/libexec/node-agent 2>/run/agent-said || fact "agent-$1-failed" "$(tail -n 1 /run/agent-said)"; }
fact user "$(id -gn ada) $(id -Gn ada)"
fact socket "$(systemctl is-active node-agent.socket) $(stat -c '%a %U' /run/os-agent/os-agent.sock)"
fact motd "$(cat /etc/motd)"
fact issue "$(cat /etc/issue)"
fact persist "$(ls -d /persist/foo /persist/bar | tr '\n' ' ')"
fact root "$(awk '$2 == "/" { print $3, substr($4, 1, 2) }' /proc/mounts)"
fact agent "$(ask status)"
fact configured "$(ask configure vm.swappiness=7) $(cat /proc/sys/vm/swappiness)"
fact refused "$(ask 'upgrade --force' || true)"
fact settings "$(grep -c swappiness /etc/sysctl.d/90-node-agent.conf)"
'''
"#;

#[test]
#[ignore = "long: make matrix"]
fn a_node_is_what_kbimg_would_make_of_it() {
    let folder = scratch();
    let context = reporting("kubeos", FACTS, folder.path());
    let password = folder.path().join("password");
    fs::write(&password, nonce()).unwrap();
    let secrets = ["root-password", "ada-password", "grub-password"]
        .map(|id| format!("--secret=id={id},src={}", password.display()));
    let base = format!("BASE={}", make_stand_in("openeuler-24.03", "dnf"));
    let words = ["--build-arg", &base, "--build-arg", "PACKAGES=", "--network-manager", "networkmanager"];
    let args: Vec<_> = words.into_iter().chain(secrets.iter().map(String::as_str)).collect();
    let disk = folder.path().join("node.qcow2");
    build(&context, &disk, &args);
    let raw = raw(&disk, folder.path());
    let parts = partitions(&raw);
    assert_eq!([parts[2].size, parts[3].size], [2560 << 20; 2]);
    check(&boot(&disk, "--uefi", &[]));
}

fn check(report: &Report) {
    assert_eq!(report.get("user"), "admin admin operators");
    assert_eq!(report.get("socket"), "active 600 root");
    assert_eq!(report.get("motd"), "Managed as a whole: changes of /usr are those of the next version.");
    assert_eq!(report.get("issue"), "Authorized use only.");
    assert_eq!(report.get("persist"), "/persist/bar /persist/foo");
    assert_eq!(report.get("root"), "ext4 ro");
    assert_eq!(report.get("address"), "10.0.2.15/24");
    assert!(report.get("agent").contains(r#""version":"1.0.0""#), "{}", report.console());
    assert_eq!(report.get("configured"), "{\"status\":\"Configured\"} 7");
    assert_eq!(report.get("refused"), "{\"status\":\"Refused\"}");
    assert_eq!(report.get("settings"), "1");
}
