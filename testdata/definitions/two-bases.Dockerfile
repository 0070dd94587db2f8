# syntax=example/vmimage
# A builder on another base image, and a file straight from a third place: COPY --from=<image>.
FROM alpine:3.23 AS builder
RUN echo built >/built

FROM debian:12
COPY --from=builder /built /usr/local/bin/
COPY --from=alpine:3.23 /etc/alpine-release /srv/
