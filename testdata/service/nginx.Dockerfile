# As the official image: its logs are links to /dev/stdout and /dev/stderr, its entrypoint is a script. Debian's
# package enables a service of its own, which would take the port.
FROM vmimage-test/debian:12
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=tmpfs,target=/var/lib/apt/lists \
    apt-get update && apt-get install -y --no-install-recommends nginx-light && \
    ln -sf /dev/stdout /var/log/nginx/access.log && ln -sf /dev/stderr /var/log/nginx/error.log && \
    sed -i 's,^error_log.*,error_log /var/log/nginx/error.log notice;,' /etc/nginx/nginx.conf
COPY shell.socket shell@.service /etc/systemd/system/
RUN mkdir -p /etc/systemd/system/sockets.target.wants && \
    ln -s /etc/systemd/system/shell.socket /etc/systemd/system/sockets.target.wants/
COPY --chmod=755 entrypoint.sh /docker-entrypoint.sh
RUN echo "served from inside" >/var/www/html/index.html && mkdir -p /run/made-in-image && chown www-data /run/made-in-image
ENV ODD="a  \"b\" \$HOME %h it's \\ ä; # end" EMPTY="" A.B="no name for systemd"
EXPOSE 80
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=2s --timeout=5s --retries=2 CMD test ! -e /tmp/sick
ENTRYPOINT ["/docker-entrypoint.sh"]
CMD ["nginx", "-g", "daemon off;"]
