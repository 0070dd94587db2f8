# Nothing but a program: what a build takes is what its kernel takes.
FROM scratch
COPY entry.sh /entry
ENTRYPOINT ["/entry"]
