# syntax=example/vmimage
# Steps with mounts: bind from a stage, cache, tmpfs and an optional secret. Only "/" is the chain.
FROM alpine:3.23 AS tools
RUN echo tool >/tool

FROM debian:12
RUN --mount=from=tools,source=/tool,target=/tmp/tool \
    --mount=type=cache,target=/var/cache/demo \
    --mount=type=tmpfs,target=/scratch \
    --mount=type=secret,id=token \
    test -s /tmp/tool
WORKDIR /srv/app
