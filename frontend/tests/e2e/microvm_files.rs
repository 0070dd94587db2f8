//! The files of a microVM's folder, and what monitors make of them: by schemas, since no other monitor is here.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::lab::names_in;

/// The three descriptions, and the schema of each.
fn schemas() -> [(&'static str, PathBuf); 3] {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    [
        ("vm.json", here.join("../docs/vm.schema.json")),
        ("firecracker.json", here.join("tests/schemas/firecracker.json")),
        ("cloud-hypervisor.json", here.join("tests/schemas/cloud-hypervisor.json")),
    ]
}

fn read(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What is wrong with it by the schema in a file.
fn wrong(value: &Value, schema: &Path) -> Vec<String> {
    let validator = jsonschema::validator_for(&read(schema)).unwrap();
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// That the folder has what a monitor takes, and each description names its files and nothing else.
#[track_caller]
pub(crate) fn check(folder: &Path) {
    let names = names_in(folder);
    for (name, schema) in schemas() {
        if !names.iter().any(|there| there == name) {
            assert_ne!(name, "vm.json", "{names:?}");
            continue;
        }
        assert_eq!(wrong(&read(&folder.join(name)), &schema), [""; 0], "{name}");
    }
    let description = read(&folder.join("vm.json"));
    let mut named: Vec<_> = ["kernel", "vmlinux", "initramfs"].map(|name| &description[name]).to_vec();
    named.extend(description["drives"].as_array().unwrap().iter().map(|drive| &drive["file"]));
    let mut named: Vec<_> = named.into_iter().filter_map(Value::as_str).collect();
    named.extend(schemas().map(|(name, _)| name).into_iter().filter(|name| folder.join(name).exists()));
    named.sort_unstable();
    assert_eq!(names, named, "{description:#}");
    assert_eq!(description["drives"][0]["id"], "root");
    same_machine(folder, &description);
}

/// That the other monitors are told of the same machine.
fn same_machine(folder: &Path, description: &Value) {
    let [firecracker, cloud_hypervisor] =
        ["firecracker.json", "cloud-hypervisor.json"].map(|name| folder.join(name));
    if firecracker.exists() {
        let told = read(&firecracker);
        assert_eq!(told["machine-config"]["vcpu_count"], description["cpus"]);
        assert_eq!(told["machine-config"]["mem_size_mib"], description["memory_mib"]);
        // It takes no bzImage, and no qcow2.
        assert_eq!(told["boot-source"]["kernel_image_path"], description["vmlinux"]);
        assert_eq!(description["drives"][0]["format"], "raw");
    }
    if cloud_hypervisor.exists() {
        let told = read(&cloud_hypervisor);
        let bytes = description["memory_mib"].as_u64().unwrap() << 20;
        assert_eq!(told["memory"]["size"], bytes);
        assert_eq!(told["disks"][0]["path"], description["drives"][0]["file"]);
    }
}

/// Right files of each kind, of which one member is wrong.
#[test]
fn each_schema_can_say_no() {
    let vm = json!({
        "version": 1, "name": "web", "architecture": "x86_64", "cpus": 1, "memory_mib": 256, "kernel": "vmlinuz",
        "cmdline": "quiet", "drives": [{"id": "root", "file": "root.raw", "format": "raw", "read_only": false}],
        "ports": ["80/tcp"], "agent": "io.vmimage.agent", "status": "io.vmimage.status", "machines": ["q35"],
    });
    let firecracker = json!({
        "boot-source": {"kernel_image_path": "vmlinux", "boot_args": "quiet"},
        "drives": [{"drive_id": "root", "path_on_host": "root.raw", "is_root_device": true, "is_read_only": false}],
        "machine-config": {"vcpu_count": 1, "mem_size_mib": 256},
    });
    let cloud_hypervisor = json!({
        "cpus": {"boot_vcpus": 1, "max_vcpus": 1}, "memory": {"size": 268_435_456},
        "payload": {"kernel": "vmlinuz", "cmdline": "quiet"}, "disks": [{"path": "root.raw", "readonly": false}],
        "rng": {"src": "/dev/urandom"}, "serial": {"mode": "Tty"}, "console": {"mode": "Off"},
    });
    let [of_vm, of_firecracker, of_cloud_hypervisor] = schemas().map(|(_, schema)| schema);
    for (value, schema, pointer, other) in [
        (&vm, &of_vm, "/cpus", json!("one")),
        (&vm, &of_vm, "/drives/0/format", json!("vmdk")),
        (&firecracker, &of_firecracker, "/machine-config/vcpu_count", json!(33)),
        (&firecracker, &of_firecracker, "/drives/0", json!({"drive_id": "root"})),
        (&cloud_hypervisor, &of_cloud_hypervisor, "/memory/size", json!("256M")),
        (&cloud_hypervisor, &of_cloud_hypervisor, "/console/mode", json!("off")),
    ] {
        assert_eq!(wrong(value, schema), [""; 0]);
        let mut changed = value.clone();
        *changed.pointer_mut(pointer).unwrap() = other;
        assert!(!wrong(&changed, schema).is_empty(), "{pointer} of {}", schema.display());
        let mut more = value.clone();
        more["machine"] = "q35".into();
        // What is new in ours is for who knows it.
        assert_eq!(
            wrong(&more, schema).is_empty(),
            *schema == of_vm,
            "one member more, by {}",
            schema.display()
        );
    }
}
