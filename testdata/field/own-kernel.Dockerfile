# A kernel of the user's own beside the one for virtual machines: it is the one that boots.
# expect: report: in the menu, and not the one that boots by itself
FROM vmimage-test/debian:12
RUN apt-get update && apt-get install -y --no-install-recommends linux-image-amd64
