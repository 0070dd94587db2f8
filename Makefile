# make demo       install what is missing, build a Dockerfile into a disk, boot it
# make test       every test, on real tools: Docker, QEMU, fsck
# make bench      the disk exporter against other tools, more than an hour; BENCH='--only growth' and the like
# make matrix     the long tests: every distribution by firmware, services, sweeps over sizes, hundreds of random trees
# make fuzz       hostile input for every reader, a minute each; FUZZ='tar gpt', FUZZ_S=600, FUZZ_J=2 (docs/security.md)
# make out/vmimage   the command line, a static binary
# make man        its manual, in out/man: a page for each command
FRONTEND := $(or $(VMIMAGE_FRONTEND),example/vmimage)

.PHONY: demo test bench matrix fuzz man frontend images setup

demo: setup out/vmimage
	out/vmimage build testdata/demo -o out/demo.qcow2
	testdata/demo/boot out/vmimage out/demo.qcow2

test: setup images frontend
	cargo test --workspace --locked

bench: setup out/vmimage
	cargo bench --locked -p vmimage --bench disk -- $(BENCH)

matrix: setup images frontend
	.ci/images vmimage-test/debian:11 vmimage-test/debian:sid vmimage-test/judges:sid
	cargo test --locked -p vmimage --test e2e -- --ignored --nocapture
	cargo test --locked -p vmimage --test registry -- --ignored
	cargo test --release --locked -p exporter -- --ignored

fuzz: setup
	fuzz/run

man: out/vmimage
	out/vmimage man out/man

setup:
	.ci/setup

images: setup
	.ci/images

frontend: setup
	.ci/images rust:1-bookworm debian:12
	docker build --file Dockerfile.frontend --tag $(FRONTEND) .

# The frontend image and the command line are one program: nothing is compiled twice.
out/vmimage: frontend
	mkdir -p out
	container=$$(docker create $(FRONTEND)) && docker cp -q $$container:/vmimage $@ && docker rm $$container >/dev/null
