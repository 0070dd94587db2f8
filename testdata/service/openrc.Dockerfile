# A program that every Alpine has, on a port for which a user other than root needs leave.
FROM vmimage-test/alpine:3.23
COPY --chmod=755 answer.sh /usr/local/bin/answer
# The device manager of alpine-base, which this base lacks: without one there is no power button.
COPY --chmod=755 mdev /etc/init.d/mdev
ENV GREETING="it's \$HOME"
WORKDIR /srv/made
USER nobody
EXPOSE 80
ENTRYPOINT ["nc", "-lk", "-p", "80", "-e", "/usr/local/bin/answer"]
