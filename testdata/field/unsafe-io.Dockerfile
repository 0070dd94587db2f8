# Settings that make layers small and builds fast, as Debian's and Ubuntu's images have them.
# expect: report: force-unsafe-io removed
FROM vmimage-test/debian:12
RUN echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/docker-apt-speedup \
 && echo 'path-exclude /usr/share/doc/*' >/etc/dpkg/dpkg.cfg.d/docker \
 && echo 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };' >/etc/apt/apt.conf.d/docker-clean
