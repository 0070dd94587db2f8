# As the official image, but for the user: without the cluster of Debian's package, and with a socket in /run, which
# a machine makes anew at every boot.
FROM vmimage-test/debian:12
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=tmpfs,target=/var/lib/apt/lists \
    apt-get update && apt-get install -y --no-install-recommends postgresql-common && \
    echo "create_main_cluster = false" >>/etc/postgresql-common/createcluster.conf && \
    apt-get install -y --no-install-recommends postgresql-15
COPY --chmod=755 postgres.sh /usr/local/bin/docker-entrypoint.sh
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/15/bin \
    PGDATA=/var/lib/postgresql/data
RUN install -d -o postgres -g postgres -m 700 "$PGDATA" && install -d -o postgres -g postgres -m 3775 /run/of-image
VOLUME /var/lib/postgresql/data
USER postgres
WORKDIR /var/lib/postgresql
EXPOSE 5432
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres", "-c", "listen_addresses=*", "-c", "unix_socket_directories=/run/of-image"]
