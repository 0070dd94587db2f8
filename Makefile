# make demo   install what is missing, build a Dockerfile into a disk, boot it
# make test   every test, on real tools: Docker, QEMU, fsck
FRONTEND := example/vmimage

.PHONY: demo test frontend images setup install

demo: setup frontend
	.ci/images debian:12
	cargo build --release --locked -p vmimage
	target/release/vmimage build testdata/demo -o out/demo.qcow2
	testdata/demo/boot target/release/vmimage out/demo.qcow2

test: setup images frontend
	cargo test --workspace --locked

setup:
	.ci/setup

images:
	.ci/images

frontend:
	.ci/images rust:1-bookworm debian:12
	docker build --quiet --file Dockerfile.frontend --tag $(FRONTEND) .
