# Install kernels, and other packages of which only files are taken, in a stage whose other files nobody takes. Arguments:
# packages. No script is run, so none makes an initramfs.
apk add --no-scripts $from "$@"
keep_archives "$WORK/apk" "$WORK/apk"/*.apk
