#!/bin/sh
# mmdebstrap's customize hook: lays Debian's Python out as in the published python:3.13-slim-trixie, whose registry cannot
# be reached from everywhere. Python and its library are under /usr/local, pip is there, bytecode is not.
# Usage: base_image.sh ROOT
set -eu
root=$1
library="$root/usr/local/lib/python3.13"
rm -rf "$library"
mv "$root/usr/lib/python3.13" "$library"
ln -s ../local/lib/python3.13 "$root/usr/lib/python3.13"
cp "$root/usr/bin/python3.13" "$root/usr/local/bin/python3.13"
ln -s python3.13 "$root/usr/local/bin/python3"
ln -s python3.13 "$root/usr/local/bin/python"
printf '#!/usr/local/bin/python3\n' >"$root/usr/local/bin/pip3"
mkdir "$library/site-packages"
chroot "$root" sh -c 'python3 -m zipfile -e /usr/share/python-wheels/pip-*.whl /usr/local/lib/python3.13/site-packages'
find "$root/usr" -name __pycache__ -prune -exec rm -r {} +
