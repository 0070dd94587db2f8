# An app with a user and a folder of its own, in a place that reaches no mirror: another image's kernel, vmimage's init.
# expect: boots
FROM vmimage-test/debian:12
LABEL vmimage.kernel=image:vmimage-test/debian:12 vmimage.init=vmimage
RUN rm -rf /etc/apt/sources.list /etc/apt/sources.list.d && useradd --system app
WORKDIR /app
USER app
CMD ["perl", "-e", "$| = 1; print qq(the app runs on ), qx(cat /sys/class/dmi/id/product_name); sleep 60 while 1"]
