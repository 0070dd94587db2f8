# A Debian with a package of another kernel: that for machines of every maker beside that for clouds.
FROM vmimage-test/debian:12
RUN mkdir /kernel && cd /kernel && apt-get update && \
    apt-get download $(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[^ ]*\).*/\1/p')
