#!/usr/bin/env bash
# Runs as a script of bash: $BASH is set there alone.
echo "hook ran in ${BASH##*/}" >/srv/hook
