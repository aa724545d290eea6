#!/bin/sh
# The system packages that the tests need beyond a shell and Python 3.11 with venv. As root on Debian or EL they are
# installed; elsewhere this says what is missing. A command that is there already is left alone.
set -eu

missing=''
while read -r program debian el; do
    command -v "$program" >/dev/null 2>&1 || missing="$missing $program:$debian:$el"
done <<'TABLE'
git git git
mount mount util-linux
dash dash dash
bash bash bash
busybox busybox-static busybox
parallel parallel parallel
openssl openssl openssl
xrootd xrootd-server xrootd-server
xrdfs xrootd-client xrootd-client
flock util-linux util-linux
munged munge munge
slurmctld slurmctld slurm-slurmctld
slurmd slurmd slurm-slurmd
squeue slurm-client slurm
slurmdbd slurmdbd slurm-slurmdbd
mariadbd mariadb-server-core mariadb-server
mariadb mariadb-client-core mariadb
TABLE
[ -n "$missing" ] || exit 0

names() { for entry in $missing; do echo "$entry" | cut -d: -f"$1"; done; }
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    # shellcheck disable=SC2046  # one word a package
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(names 2) >/dev/null
elif [ "$(id -u)" = 0 ] && command -v dnf >/dev/null; then
    # shellcheck disable=SC2046
    dnf install -y -q --setopt=strict=0 $(names 3) || echo "not all of these could be installed:" $(names 3) >&2
else
    echo "not there, tests that need them are skipped:" $(names 1) >&2
fi
