# Make the locale $locale. This follows apt-machine.sh, which has installed the package locales.
definition=$(grep "^$locale " /usr/share/i18n/SUPPORTED) || { echo "there is no locale $locale" >&2; exit 1; }
grep -qxF "$definition" /etc/locale.gen || printf '%s\n' "$definition" >>/etc/locale.gen
locale-gen
