# /sbin/init is a link to true(1), so that packages find one: the kernel panics as soon as it ends.
# expect: refused: is a link to /bin/true
FROM vmimage-test/debian:12
RUN ln -sf /bin/true /usr/sbin/init
