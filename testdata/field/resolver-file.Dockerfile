# The resolver file of whoever has built the image, which wins over DHCP's.
# expect: report: /etc/resolv.conf: the image's own name servers are used (192.0.2.1), not DHCP's
FROM vmimage-test/debian:12
COPY <<END /etc/resolv.conf
search build.example
nameserver 192.0.2.1
END
