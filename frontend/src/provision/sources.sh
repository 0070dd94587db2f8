# What is trusted, and where packages come from. This goes before the script of a package manager.
set -eu

# put PATH TEXT: a file.
put() {
	mkdir -p "${1%/*}"
	printf '%s\n' "$2" >"$1"
}

# add PATH TEXT: lines at the end of a file, unless it has them. A step may run on its own result.
add() {
	grep -qxF -e "$(printf '%s\n' "$2" | head -n 1)" "$1" 2>/dev/null || printf '%s\n' "$2" >>"$1"
}

# trust NAME TEXT: an authority, in the store of whichever distribution this is. Where the tool that keeps the store
# is not installed, the bundle that programs read is written to, and the tool's package finds the file later.
trust() {
	case "$(command -v update-ca-trust update-ca-certificates | head -n 1)" in
	*/update-ca-trust)
		if [ -d /etc/pki/ca-trust ]; then put "/etc/pki/ca-trust/source/anchors/${1%.*}.crt" "$2"
		else put "/etc/ca-certificates/trust-source/anchors/${1%.*}.crt" "$2"; fi
		update-ca-trust ;;
	*/update-ca-certificates)
		if [ -d /etc/pki/trust ]; then put "/etc/pki/trust/anchors/${1%.*}.crt" "$2"
		else put "/usr/local/share/ca-certificates/${1%.*}.crt" "$2"; fi
		update-ca-certificates ;;
	*)
		put "/usr/local/share/ca-certificates/${1%.*}.crt" "$2"
		mkdir -p /etc/ssl/certs
		printf '%s\n' "$2" >>/etc/ssl/certs/ca-certificates.crt ;;
	esac
}

