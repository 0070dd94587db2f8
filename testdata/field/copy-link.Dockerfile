# A layer of its own (COPY --link) that writes below a link of the base: the link stays or gives way, and the machine boots.
# expect: boots
FROM vmimage-test/debian:12
RUN mkdir /srv/www && ln -s srv/www /www
COPY --link --from=vmimage-test/debian:12 /etc/debian_version /www/
