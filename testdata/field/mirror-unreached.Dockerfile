# A mirror that nobody answers for: apt itself goes on, and complains of the package.
# expect: refused: a host that packages come from cannot be reached
FROM vmimage-test/debian:12
LABEL vmimage.mirror=http://127.0.0.1:1
