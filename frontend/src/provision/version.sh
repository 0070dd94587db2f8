# A package in a version: of the arguments, "name@6.1" becomes the newest version that is 6.1 or goes on from it with
# another component, which 6.10 does not. `versions_of NAME` tells what there is, $pin is between name and version.
in_version() { # NAME VERSION
	versions=$(versions_of "$1" | sort -Vru)
	for version in $versions; do
		case "$version" in
		"$2" | "$2"[!0-9A-Za-z]*) echo "$1$pin$version"; return ;;
		esac
	done
	echo "$1 has no version $2; there is:" ${versions:-none} >&2
	return 1
}

for package; do
	shift
	case "$package" in
	*@*) package=$(in_version "${package%@*}" "${package#*@}") ;;
	esac
	set -- "$@" "$package"
done

