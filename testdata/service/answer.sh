#!/bin/sh
# Who answers, from where, and with which variables.
echo "answer: to a client" >&2
echo "$(id -un) in $PWD: $GREETING, HOME is $HOME"
