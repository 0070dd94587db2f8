add_metal_to_dracut

# "?name" is installed only if this release has it.
for package; do
	shift
	case "$package" in
	\?*) package=${package#?}; [ -n "$(versions_of "$package")" ] || continue ;;
	esac
	set -- "$@" "$package"
done
