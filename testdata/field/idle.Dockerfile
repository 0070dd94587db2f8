# A container that only waits, as those of development do.
# expect: report: service: none, sleep has nothing to do without a terminal
FROM vmimage-test/debian:12
CMD ["sh", "-c", "trap : TERM INT; sleep infinity & wait"]
