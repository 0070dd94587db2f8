# The least that BuildKit does for an edit of the app of testdata/demo: it makes the app's layer again, and
# sends a file as large as the disk to the client.
FROM debian:12 AS app
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=tmpfs,target=/var/lib/apt/lists \
    apt-get update && apt-get install -y --no-install-recommends nginx-light
COPY index.html /var/www/html/

FROM scratch
COPY disk /
COPY --from=app /var/www/html/index.html /
