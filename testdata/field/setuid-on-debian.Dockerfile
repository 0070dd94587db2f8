# The least that every engine has to make alike: a setuid file on a Debian whose kernel step gives the journal a POSIX ACL.
# expect: boots
FROM vmimage-test/debian:12
RUN echo hi >/hi && chmod 4755 /hi
