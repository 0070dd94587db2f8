#!/bin/sh
# Install kernels, and other packages of which only files are taken, in a stage whose other files nobody takes. Arguments:
# packages. What they depend on would be for a machine, and no script is run; the hook that makes an initramfs comes with
# mkinitcpio, and where the image has that it is left out.
set -eu
export LC_ALL=C
mkdir "$WORK/pacman" "$WORK/hooks"
ln -s /dev/null "$WORK/hooks/90-mkinitcpio-install.hook"
pacman -Sy
pacman -Sp --nodeps --nodeps --noconfirm --print-format '%f %h' "$@" 2>/dev/null | take_archives "$WORK/pacman"
pacman -S --nodeps --nodeps --needed --noconfirm --noscriptlet --hookdir "$WORK/hooks" --cachedir "$WORK/pacman" "$@"
keep_archives "$WORK/pacman" "$WORK/pacman"/*.pkg.tar*
