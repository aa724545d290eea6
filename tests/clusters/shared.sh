#!/usr/bin/env bash
# Keep a cluster for everybody who asks for it at the same time: the first brings it up, the last takes it down.
#
#   shared.sh LOCK UP DOWN      (commands of the shell)
# Says "up" on standard output once it is, and stays until its standard input ends: whoever asked has ended then, in
# order or by a kill, so that nothing is left in any case.
set -uo pipefail
trap '' INT TERM HUP
exec 8>>"$1.making" 9>>"$1.users"
flock 8
flock -s 9
if bash -c "$2" 8>&- 9>&- </dev/null >&2; then echo up; else echo failed; fi
flock -u 8
cat >/dev/null
exec >/dev/null
flock 8
flock -u 9
if flock -n 9; then bash -c "$3" 8>&- 9>&- </dev/null; fi
