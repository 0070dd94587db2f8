# A package that is misspelt, as many are: the package manager's words are far above the end of the build.
# expect: refused: there is no such package
FROM vmimage-test/debian:12
LABEL vmimage.install=vmimage-no-such-package
