# A worker of a distribution, by a user with a name. SIGUSR1 stops it, and it ends with 7 then; SIGTERM is another matter.
FROM vmimage-test/alpine:3.23
RUN adduser -D app
COPY --chmod=755 worker.sh /usr/local/bin/worker
USER app
WORKDIR /home/app
STOPSIGNAL SIGUSR1
HEALTHCHECK --interval=1s --retries=1 CMD test ! -e /home/app/sick
ENTRYPOINT ["worker"]
