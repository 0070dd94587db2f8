# An image made small without its modules: a machine without network, if it boots at all.
# expect: refused: needs it
FROM vmimage-test/debian:12
RUN rm -rf /lib/modules/*
