# dnf, microdnf or yum, with downloads and metadata in the folder of this step, $WORK, so that none of them is left in a
# layer. The scripts that go on from here are dnf-machine.sh and dnf-boot.sh.

for manager in dnf microdnf yum; do ! command -v "$manager" >/dev/null || break; done
cache=cachedir
[ ! -e /usr/bin/dnf5 ] || cache=system_cachedir # root's, in version 5
mkdir -p "$WORK/dnf"
manage() { # COMMAND ARGUMENT...
	"$manager" "$@" --setopt="$cache=$WORK/dnf" ${sources:+"--setopt=reposdir=$sources"}
}
install_packages() {
	manage install -y --setopt=install_weak_deps=0 --setopt=keepcache=1 "$@"
	keep_archives "$WORK/dnf" "$WORK/dnf"/*/packages/*.rpm
}

redirect /etc/yum.repos.d
[ -z "${PACKAGES-}" ] || [ -e "$PACKAGES/repodata" ] || describe_packages

# All of them compare an archive that is there already with the digest in the metadata, and download it anew if it is
# another (yum's verifyPkg, lr_download_packages of librepo for the rest). Only folders that they have made themselves
# are filled: any other could be in their way.
fast=
[ "$manager" != yum ] || fast=fast # without lists of files
[ -n "${PACKAGES-}" ] || manage makecache $fast || :
for repository in "$WORK/dnf"/*/; do
	repository=${repository%/}
	for kept in "$CACHE/${repository##*/},packages,"*.rpm; do
		take_archive "${kept##*/}" "$repository/packages/${kept##*,}" || :
	done
done

# What version.sh asks. `name-0:6.1-1.x86_64` is a line of repoquery, `name.x86_64 6.1-1 repository` one of yum, which
# breaks long ones.
pin=-
versions_of() {
	case "$manager" in
	yum) manage list --showduplicates "$1" | tr -s ' \n' '\n\n' | sed -n "/^$1\.[a-z0-9_]*\$/{n;p;}" ;;
	*) manage repoquery "$1" | sed -E -n "s/^$1-([0-9]+:)?(.*)\.[a-z0-9_]+\$/\2/p" ;;
	esac
}

