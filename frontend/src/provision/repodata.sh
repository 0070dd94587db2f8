# The metadata of the rpm files in $PACKAGES, as of a repository, where it has none: images have no createrepo_c(8).
# The elements are those of libsolv's repo_rpmmd.c: what packages are, what they need, and which files they bring.
element='<package type="rpm"><name>%{NAME}</name><arch>%{ARCH}</arch>
<version epoch="%{EPOCHNUM}" ver="%{VERSION}" rel="%{RELEASE}"/>
<format>
<rpm:provides>
[entry\t%{PROVIDENAME}\t%{PROVIDEFLAGS:depflags}\t%{PROVIDEVERSION}\n]</rpm:provides>
<rpm:requires>
[entry\t%{REQUIRENAME}\t%{REQUIREFLAGS:depflags}\t%{REQUIREVERSION}\n]</rpm:requires>
<rpm:conflicts>
[entry\t%{CONFLICTNAME}\t%{CONFLICTFLAGS:depflags}\t%{CONFLICTVERSION}\n]</rpm:conflicts>
<rpm:obsoletes>
[entry\t%{OBSOLETENAME}\t%{OBSOLETEFLAGS:depflags}\t%{OBSOLETEVERSION}\n]</rpm:obsoletes>
[file\t%{FILENAMES}\n]</format>
'

# Lines "entry NAME FLAGS VERSION" and "file NAME" as XML. rpm itself provides rpmlib(…); (none) is an empty list.
as_xml() {
	sed -E '
		/^entry\t(rpmlib\(|\(none\))|^file\t\(none\)/d
		/^(entry|file)\t/!b
		s/&/\&amp;/g
		s/</\&lt;/g
		s/>/\&gt;/g
		s/"/\&quot;/g
		s#^file\t(.*)#<file>\1</file>#
		s/\t&lt;=\t/\tLE\t/
		s/\t&gt;=\t/\tGE\t/
		s/\t&lt;\t/\tLT\t/
		s/\t&gt;\t/\tGT\t/
		s/\t=\t/\tEQ\t/
		s#^entry\t([^\t]*)\t\t.*#<rpm:entry name="\1"/>#
		s#^entry\t([^\t]*)\t([A-Z]+)\t(([0-9]+):)?([^-]*)(-(.*))?#<rpm:entry name="\1" flags="\2" epoch="\4" ver="\5" rel="\7"/>#
		s/ (epoch|rel)=""//g
	'
}

describe_packages() {
	repository=$sources/repository
	primary=$repository/repodata/primary.xml
	mkdir -p "$repository/repodata"
	{
		echo '<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm">'
		for package in "$PACKAGES"/*.rpm "$PACKAGES"/*/*.rpm; do
			[ -e "$package" ] && [ "${package%.src.rpm}" = "$package" ] || continue
			name=${package##*/}
			ln -sf "$package" "$repository/$name"
			digest=$(sha256sum <"$package")
			rpm -qp --nosignature --nodigest --queryformat "$element" "$package" >"$sources/element"
			as_xml <"$sources/element"
			echo "<checksum type=\"sha256\" pkgid=\"YES\">${digest%% *}</checksum>"
			echo "<size package=\"$(stat -c %s "$package")\"/><location href=\"$name\"/>"
			echo '</package>'
		done
		echo '</metadata>'
	} >"$primary"
	[ -n "${name-}" ] || { echo "$PACKAGES holds no .rpm files" >&2; return 1; }
	digest=$(sha256sum <"$primary")
	cat >"$repository/repodata/repomd.xml" <<-XML
		<repomd xmlns="http://linux.duke.edu/metadata/repo">
		<data type="primary"><location href="repodata/primary.xml"/><checksum type="sha256">${digest%% *}</checksum></data>
		</repomd>
	XML
	packages_source "$repository"
}

