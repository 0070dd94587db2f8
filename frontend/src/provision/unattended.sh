# Nobody is there to answer: who reads standard input finds its end, and what could ask all the same is told not to
# (debconf(7), ucf(1), needrestart(1), apt-listchanges(1), apt-listbugs(1)).
exec </dev/null
export DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1
export NEEDRESTART_SUSPEND=1 APT_LISTCHANGES_FRONTEND=none APT_LISTBUGS_FRONTEND=none
