# What a microVM and a machine with systemd start alike.
FROM debian:12
COPY entry.sh /entry
ENTRYPOINT ["/entry"]
