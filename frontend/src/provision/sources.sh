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
	file=${1%.*}.crt
	if command -v update-ca-trust >/dev/null; then
		folder=/etc/pki/ca-trust/source/anchors
		[ -d "$folder" ] || folder=/etc/ca-certificates/trust-source/anchors # Arch
		put "$folder/$file" "$2"
		update-ca-trust
	elif command -v update-ca-certificates >/dev/null; then
		folder=/etc/pki/trust/anchors # SUSE
		[ -d "$folder" ] || folder=/usr/local/share/ca-certificates
		put "$folder/$file" "$2"
		update-ca-certificates
	else
		put "/usr/local/share/ca-certificates/$file" "$2"
		mkdir -p /etc/ssl/certs
		printf '%s\n' "$2" >>/etc/ssl/certs/ca-certificates.crt
	fi
}

