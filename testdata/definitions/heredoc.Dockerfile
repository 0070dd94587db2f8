FROM debian:12
RUN <<SCRIPT
set -e
echo one > /one
echo two > /two
SCRIPT
COPY <<motd <<issue /etc/
Welcome.
motd
vmimage
issue
