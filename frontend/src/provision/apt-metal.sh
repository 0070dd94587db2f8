# Firmware is in components that images do not name in their sources: this step looks into them, with sources of its own,
# and the image's stay as they are. Who has packages in a folder has firmware there too.
with_component() { # FILE
	edits=
	for each in $component; do
		edits="$edits
		/^(deb[[:space:]]|Components:).*[[:space:]]main([[:space:]]|\$)/{
			/[[:space:]]$each([[:space:]]|\$)/!s/[[:space:]]main([[:space:]]|\$)/ main $each\1/
		}"
	done
	sed -E "$edits" "$1"
}
if [ -n "$component" ] && [ -z "${PACKAGES-}" ]; then
	own=$WORK/sources/parts # With the mirror in them already.
	mkdir -p "$WORK/firmware"
	for file in "$own"/*.list "$own"/*.sources; do
		[ ! -e "$file" ] || with_component "$file" >"$WORK/firmware/${file##*/}"
	done
	if [ -z "${MIRROR-}" ]; then
		for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
			[ ! -e "$file" ] || with_component "$file" >"$WORK/firmware/${file##*/}"
		done
	fi
	cat >>"$APT_CONFIG" <<-CONF
		Dir::Etc::SourceList "/dev/null";
		Dir::Etc::SourceParts "$WORK/firmware";
	CONF
	apt-get -q update
fi

# What is for the processor goes into the initramfs whichever processor builds it, now and after upgrades: the hooks of
# initramfs-tools look at that one, unless they are told.
tell() { # FILE NAME VALUE
	mkdir -p "${1%/*}"
	grep -qs "^$2=" "$1" || echo "$2=$3" >>"$1"
}
tell /etc/default/intel-microcode IUCODE_TOOL_INITRAMFS early
tell /etc/default/intel-microcode IUCODE_TOOL_SCANCPUS no
tell /etc/default/amd64-microcode AMD64UCODE_INITRAMFS early

case " $* $(command -v dracut || :)" in
*dracut*) add_metal_to_dracut ;;
esac
