# The shell as ENTRYPOINT, the line as CMD.
# expect: report: service answer: runs sh -c 'sleep 1 && /usr/local/bin/answer'
FROM vmimage-test/debian:12
RUN printf '#!/bin/sh\nwhile :; do echo answered; sleep 5; done\n' >/usr/local/bin/answer && chmod 755 /usr/local/bin/answer
ENTRYPOINT ["sh", "-c"]
CMD ["sleep 1 && /usr/local/bin/answer"]
