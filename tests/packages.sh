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
zsh zsh zsh
fish fish fish
busybox busybox-static busybox
parallel parallel parallel
openssl openssl openssl
xrootd xrootd-server xrootd-server
xrdfs xrootd-client xrootd-client
flock util-linux util-linux
chromium chromium chromium-headless
unshare util-linux util-linux
krb5kdc krb5-kdc krb5-server
kadmin.local krb5-admin-server krb5-server
kinit krb5-user krb5-workstation
mmdebstrap mmdebstrap mmdebstrap
systemd-analyze systemd systemd
logrotate logrotate logrotate
strace strace strace
mkfs.ext4 e2fsprogs e2fsprogs
mkfs.btrfs btrfs-progs btrfs-progs
munged munge munge
slurmctld slurmctld slurm-slurmctld
slurmd slurmd slurm-slurmd
squeue slurm-client slurm
slurmdbd slurmdbd slurm-slurmdbd
mariadbd mariadb-server-core mariadb-server
mariadb mariadb-client-core mariadb
TABLE
names() { for entry in $missing; do echo "$entry" | cut -d: -f"$1"; done; }
if [ -z "$missing" ]; then
    :
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    # shellcheck disable=SC2046  # one word a package
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(names 2) >/dev/null
elif [ "$(id -u)" = 0 ] && command -v dnf >/dev/null; then
    # shellcheck disable=SC2046
    dnf install -y -q --setopt=strict=0 $(names 3) || echo "not all of these could be installed:" $(names 3) >&2
else
    echo "not there, tests that need them are skipped:" $(names 1) >&2
fi

# Debian 12 has no HTCondor: a small tree of Debian 13 is kept for it. What it lacks the tests say, or fail for.
sh "$(dirname "$0")/clusters/condor.sh" root || echo "there is no HTCondor here: tests that need it are skipped" >&2
