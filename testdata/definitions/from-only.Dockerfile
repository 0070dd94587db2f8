# syntax=example/vmimage
# Not a single step: the base image is the result.
FROM debian:12
LABEL vmimage.size=10G
