#!/usr/bin/env bash
# Make a small Debian 12 with systemd in a folder, for systemd.sh to boot. What is there already is left alone, so a change
# of this file makes another folder (systemd.py).
#
#   debian-root.sh FOLDER
# From the mirror that this machine's apt uses, if it is a Debian 12; else from deb.debian.org.
set -euo pipefail
R=$1
[[ -e $R/etc/caf-test-root ]] && exit 0
mkdir -p "$(dirname "$R")"
exec 9>"$R.lock"
flock 9
[[ -e $R/etc/caf-test-root ]] && exit 0

mirror=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    awk '$1 == "bookworm" {print $2; exit}' || true)
trap 'rm -rf --one-file-system "$R.part"' EXIT
make() {
    rm -rf --one-file-system "$R.part"
    mmdebstrap --quiet --mode=root --variant=essential \
        --include=systemd,systemd-sysv,dbus,python3,logrotate,procps,sudo,krb5-user \
        --dpkgopt=force-unsafe-io --aptopt='Acquire::Languages "none"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        bookworm "$R.part" "${mirror:-http://deb.debian.org/debian}" >&2
}
make || make # a mirror may be tired for a moment
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer \
    getty.target console-getty.service logrotate.timer; do
    ln -sf /dev/null "$R.part/etc/systemd/system/$unit"
done
: >"$R.part/etc/machine-id"
: >"$R.part/etc/caf-test-root"
mv -T "$R.part" "$R"
