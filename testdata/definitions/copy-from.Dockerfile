FROM alpine:3.23 AS tools
FROM tools AS left
RUN echo left > /left
FROM tools AS right
RUN echo right > /right
FROM debian:12
COPY --from=left /left /
COPY --from=right /right /
COPY --from=alpine:3.23 /etc/os-release /alpine-release
RUN --mount=from=tools,source=/etc,target=/mnt ls /mnt
