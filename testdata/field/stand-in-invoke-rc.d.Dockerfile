# invoke-rc.d overwritten by a script that does nothing, so that packages start no services while the image is built.
# expect: report: stand-in: /usr/sbin/invoke-rc.d is a script that does nothing
FROM vmimage-test/debian:12
RUN printf '#!/bin/sh\nexit 0\n' >/usr/sbin/invoke-rc.d && chmod 755 /usr/sbin/invoke-rc.d
