# make demo       install what is missing, build a Dockerfile into a disk, boot it
# make check      fmt, clippy, and every test that takes no more than Rust, a C linker and a shell: no engine, boot or root
# make test       every test, on real tools: Docker, QEMU, fsck
# make bench      the disk exporter against other tools, more than an hour; BENCH='--only growth' and the like
# make matrix     the long tests: every distribution by firmware, services, sweeps over sizes, hundreds of random trees
# make fuzz       hostile input for every reader, a minute each; FUZZ='tar gpt', FUZZ_S=600, FUZZ_J=2 (docs/security.md)
# make out/vmimage   the command line, a static binary
# make man        its manual, in out/man: a page for each command
FRONTEND := $(or $(VMIMAGE_FRONTEND),example/vmimage)
# Of Cargo.toml. The demo and the tests are for who waits: their program is optimised less.
PROFILE := release
demo test: PROFILE := demo
# What an incremental build keeps is more than one build needs.
test: export CARGO_INCREMENTAL := 0

.PHONY: demo check lint test bench matrix fuzz man frontend images engine setup

demo: out/vmimage
	out/vmimage build testdata/demo -o out/demo.qcow2
	testdata/demo/boot out/vmimage out/demo.qcow2

# The integration tests that take no other program, and the unit tests that do (qemu-img, sgdisk, fsck.fat, openssl,
# busybox, docker) or are of root: by names, or modules with all in them. What is left out is said.
SELF_SUFFICIENT := attached recorded laws marshal checker limits paths rooms memory frontend_role traps web update_servers
LEFT_OUT := authenticode::tests container::tests qcow2::overlay machines::tests secure_boot::tests sign::openpgp disk::tests fs::fat fs::luks::tests fs::squashfs \
	machine::online::tests machine::service::tests::scripts systemd_takes_the_units_and_would_not_take_others \
	a_hash_is_what_other_programs_make all_that_a_user_can_have the_disk_and_its_folder_are_qemus \
	the_buildx_that_is_installed_has_no_others a_disk_is_booted_unless_its_partitions_hold_only_data \
	formats_are_told_by_magic_not_by_name a_processor_that_is_half_there_is_not_believed \
	update::source::http::tests::tls a_strict_server_talks_to_machines_of_its_authority_and_to_no_others \
	a_strict_server_and_a_machine_tell_each_other_who_they_are the_probe_machine_works_where_emulation_does a_full_disk_is_one_clear_error the_kernel_understands \
	a_real_ext4_is_read what_veritysetup_has_made_is_read cloud_init_finds_two_files_on_a_fat_by_its_label

check: lint
	cargo test --workspace --locked --lib --bins $(SELF_SUFFICIENT:%=--test %) -- $(LEFT_OUT:%=--skip %)
	@echo "left to make test: $(LEFT_OUT), and integration tests but for $(SELF_SUFFICIENT)"

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

test: setup images frontend
	cargo test --workspace --locked

bench: setup out/vmimage
	cargo bench --locked -p vmimage --bench disk -- $(BENCH)

matrix: setup images frontend
	.ci/setup arm64
	.ci/images vmimage-test/debian:11 vmimage-test/debian:12-arm64 vmimage-test/debian:sid vmimage-test/judges:sid
	cargo test --locked -p vmimage --test e2e -- --ignored --nocapture
	cargo test --locked -p vmimage --test registry -- --ignored
	cargo test --locked -p guest -- --ignored
	cargo test --release --locked -p exporter -- --ignored

fuzz: setup
	fuzz/run

man: out/vmimage
	out/vmimage man out/man

setup:
	.ci/setup

# As much of it as builds a disk and boots it.
engine:
	.ci/setup engine

images: setup
	.ci/images

frontend: engine
	.ci/images rust:1-bookworm debian:12
	docker build --file Dockerfile.frontend --build-arg PROFILE=$(PROFILE) --tag $(FRONTEND) .

# The frontend image and the command line are one program: nothing is compiled twice.
out/vmimage: frontend
	mkdir -p out
	container=$$(docker create $(FRONTEND)) && docker cp -q $$container:/vmimage $@ && docker rm $$container >/dev/null
