# systemctl overwritten by a script that does nothing, so that packages install without systemd.
# expect: report: stand-in: /usr/bin/systemctl is a script that does nothing
FROM vmimage-test/debian:12
RUN printf '#!/bin/sh\nexit 0\n' >/usr/bin/systemctl && chmod 755 /usr/bin/systemctl
