# An app that waits a little before it starts, in a line of shell whose first word is sleep.
# expect: report: service answer: runs /bin/sh -c 'sleep 1 && exec /usr/local/bin/answer'
FROM vmimage-test/debian:12
RUN printf '#!/bin/sh\nwhile :; do echo answered; sleep 5; done\n' >/usr/local/bin/answer && chmod 755 /usr/local/bin/answer
CMD sleep 1 && exec /usr/local/bin/answer
