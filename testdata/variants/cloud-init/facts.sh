# Read by testdata/machine/report.sh.
fact cloud-init "$(cloud-init status)"
fact seeded "$(cat /srv/seeded 2>/dev/null)"
