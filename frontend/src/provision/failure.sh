# Runs a package step. If it fails, its last line says why: the first cause whose words the package manager has used, in
# an order that counts, since who cannot reach a host finds no package either. The exit code says it to whoever does not
# see that line.
#
# Before this stand `step`, the script as a function, and `causes`, lines of "CODE|CAUSE|PATTERN".

# The step's own folder: no other build can write there, and nothing of it is left in the layer.
WORK=${CACHE%/*}/work
rm -rf "$WORK"
mkdir -p "$WORK"
log=$WORK/log
ended=$WORK/ended

# No "||" here: under it the step's own "set -e" would not count.
{
	step "$@"
	echo $? >"$ended"
} 2>&1 | tee "$log"
teed=$?

# What was said; a disk that is full holds no more of it.
said() {
	cat "$log"
	[ "$teed" = 0 ] || echo 'no space left on device'
}

# CODE|LINE, or nothing.
find_cause() {
	causes | while IFS='|' read -r code cause pattern; do
		line=$(said | grep -E -i -m 1 -e "$pattern" | sed -E 's/^[[:space:]]*([A-Za-z]+:[[:space:]]+)*//' | cut -c 1-300)
		[ -n "$line" ] || continue
		printf '%s|vmimage: %s: %s\n' "$code" "$cause" "$line"
		break
	done
}

code=$(cat "$ended" 2>/dev/null)
why=
[ "$code" = 0 ] || why=$(find_cause)
rm -rf "$WORK"
[ -n "$why" ] || exit "${code:-1}"
printf '%s\n' "${why#*|}" >&2
exit "${why%%|*}"
