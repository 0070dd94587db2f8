# Archives of packages that steps leave for those after them in the cache mount, $CACHE. Whoever builds on the engine can
# mount it and write what they like there, while this step runs, too, so nothing in it is trusted. No list and no index
# is kept there. An archive is copied into the folder of this step, $WORK, before anything reads it, and compared there
# with the digest in this step's own index: here, or by a package manager that does so before it installs.

# No archive is larger, and the cache is begun anew when it is.
archive_limit=1073741824
cache_limit=4194304 # KiB

# What was downloaded is younger than this, and what was taken older.
border=$WORK/border
touch -t 197001030000 "$border"

# take_archive NAME TO: a copy of a kept file alone, with no attribute of it, for librepo believes a digest in one. A
# name is of the letters that names of packages have.
take_archive() {
	case "$1" in *[!A-Za-z0-9.,:_+~^%@=-]*) return 1 ;; esac
	[ -f "$CACHE/$1" ] && [ ! -L "$CACHE/$1" ] || return 1
	mkdir -p "${2%/*}"
	head -c "$archive_limit" "$CACHE/$1" >"$2" && touch -t 197001020000 "$2"
}

# The same of lines "NAME SHA256", if that is what the copy has.
take_archives() { # FOLDER
	while read -r name digest; do
		take_archive "$name" "$1/$name" || continue
		found=$(sha256sum <"$1/$name") || found=
		[ "${found%% *}" = "$digest" ] || rm "$1/$name"
	done
}

# keep_archives FOLDER ARCHIVE...: what was downloaded into the folder, each under its path there with "," for "/".
# Whatever has that name in the cache goes, so nothing is written through a link.
keep_archives() (
	below=$1
	shift
	for archive; do
		[ -f "$archive" ] && [ ! "$archive" -ot "$border" ] || continue
		kept=$CACHE/$(printf %s "${archive#"$below"/}" | tr / ,)
		rm -rf "$kept"
		(set -C && cat "$archive" >"$kept") || :
	done
	[ "$(du -sk "$CACHE" | cut -f 1)" -le "$cache_limit" ] || rm -rf "${CACHE:?}"/*
)

