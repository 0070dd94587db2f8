# A default entry by its number in a menu that is not made here.
# expect: report: is an entry of another menu, the first one boots
FROM vmimage-test/alpine:3.23
RUN mkdir -p /etc/default && printf '%s\n' 'GRUB_DEFAULT="1>2"' >/etc/default/grub
