# Read by testdata/machine/report.sh.
fact label "$(stat -c %C /etc/shadow)"
fact unlabelled "$(find / -xdev -context '*:unlabeled_t:*' | wc -l)"
