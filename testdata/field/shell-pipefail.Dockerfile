# A strict shell, and a script that makes a folder before its program: neither is the service's name.
# expect: report: service answer: runs /bin/bash -o pipefail -c
FROM vmimage-test/debian:12
RUN printf '#!/bin/sh\nwhile :; do echo answered; sleep 5; done\n' >/usr/local/bin/answer && chmod 755 /usr/local/bin/answer
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
CMD mkdir -p /run/answer && exec /usr/local/bin/answer
