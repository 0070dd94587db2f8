# vmimage's init with a shell to run: nobody could log in, and nothing would be started.
# expect: refused: bash is no service
FROM vmimage-test/debian:12
LABEL vmimage.kernel=image:vmimage-test/debian:12 vmimage.init=vmimage
CMD ["bash"]
