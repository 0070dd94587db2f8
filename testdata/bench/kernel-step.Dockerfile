# Nothing but a program and the shell that it is for: what a build takes is what its kernel takes.
FROM scratch
COPY --from=debian:12 /usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 /lib64/
COPY --from=debian:12 /usr/lib/x86_64-linux-gnu/libc.so.6 /lib/x86_64-linux-gnu/
COPY --from=debian:12 /usr/bin/dash /bin/sh
COPY entry.sh /entry
ENTRYPOINT ["/entry"]
