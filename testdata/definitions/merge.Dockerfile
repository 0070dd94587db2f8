# syntax=example/vmimage
# COPY --link becomes a merge of layers where the daemon can merge, an ordinary copy elsewhere.
FROM debian:12
COPY --link hello.txt /srv/
RUN test -s /srv/hello.txt
COPY --link --chown=1000:1000 hello.txt /home/
