# Read by testdata/machine/report.sh.
fact ignited "$(cat /srv/ignited 2>/dev/null)"
fact core-keys "$(cat /home/core/.ssh/authorized_keys.d/ignition /home/core/.ssh/authorized_keys 2>/dev/null)"
