# A script that only a shell can follow: the service has the image's title for a name.
# expect: report: service web-shop: runs /bin/sh -c
FROM vmimage-test/debian:12
LABEL org.opencontainers.image.title="Web Shop"
CMD case $MODE in once) echo answered;; *) while :; do echo answered; sleep 5; done;; esac
