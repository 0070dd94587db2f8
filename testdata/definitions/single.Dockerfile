# syntax=example/vmimage
# The plainest case: a base image with steps on top.
FROM debian:12
ENV GREETING=hello
RUN true
COPY hello.txt /srv/
CMD ["/bin/true"]
