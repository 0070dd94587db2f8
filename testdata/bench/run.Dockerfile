# What `--only run` starts: it prints its line, which is edited, and is over.
FROM debian:12
COPY line /line
ENTRYPOINT ["cat", "/line"]
