#!/usr/bin/env bash
# Boot a real systemd as process 1 of namespaces of its own, or power it off. As root; whatever this machine's own
# process 1 is.
#
#   systemd.sh up FOLDER ROOT [HOST=SEEN]...    each HOST folder is SEEN inside, read-only
#   systemd.sh down FOLDER
# Its root is an overlay over ROOT (debian-root.sh), kept in memory and thrown away. FOLDER/pid has the number of its
# process 1, for nsenter. It must never boot on this machine's own root: systemd empties /tmp at each boot. So the new
# root is pivoted into, the old one let go, and nothing is started unless what is left is the new one.
set -euo pipefail
what=$1 D=$2
shift 2

hierarchy() { awk '$3 == "cgroup2" {print $2; exit}' /proc/mounts; }
control=$(hierarchy)/caf-$(basename "$D")

down() {
    local pid group
    pid=$(cat "$D/pid" 2>/dev/null) || return 0
    kill -s RTMIN+14 "$pid" 2>/dev/null # power off at once
    for _ in {1..30}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null # all of its namespace goes with it
    for _ in {1..50}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    for _ in {1..20}; do
        find "$control" -depth -type d -exec rmdir {} \; 2>/dev/null
        [[ -d $control ]] || break
        sleep 0.1
    done
    rm -rf --one-file-system "$D"
}

if [[ $what == down ]]; then
    set +e
    down
    exit 0
fi

R=$1
shift
[[ $(hierarchy) ]] || { echo "systemd.sh: there is no cgroup2 here" >&2; exit 1; }
mkdir -p "$D" "$control"
cat >"$D/boot" <<'BOOT'
set -euo pipefail
D=$1 R=$2
shift 2
N=$D/fs/root
mount --make-rprivate /
mkdir -p "$D/fs"
mount -t tmpfs -o mode=755,size=1g tmpfs "$D/fs"
mkdir "$D/fs/upper" "$D/fs/work" "$N"
mount -t overlay -o "lowerdir=$R,upperdir=$D/fs/upper,workdir=$D/fs/work" overlay "$N"

mount -t proc proc "$N/proc"
mount --bind "$N/proc/sys" "$N/proc/sys"
mount -o remount,bind,ro "$N/proc/sys"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$N/sys"
mount -t cgroup2 cgroup2 "$N/sys/fs/cgroup"
mount -t tmpfs -o mode=755,size=1m,nosuid tmpfs "$N/dev"
for device in null zero full random urandom tty; do
    : >"$N/dev/$device"
    mount --bind "/dev/$device" "$N/dev/$device"
done
mkdir "$N/dev/pts" "$N/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$N/dev/pts"
ln -s pts/ptmx "$N/dev/ptmx"
ln -s /proc/self/fd "$N/dev/fd"
mount -t tmpfs -o mode=1777 tmpfs "$N/dev/shm"
mount -t tmpfs -o mode=755,size=64m tmpfs "$N/run"
mount -t tmpfs -o mode=1777,size=256m tmpfs "$N/tmp"
for pair; do
    mkdir -p "$N${pair#*=}"
    mount --bind "${pair%%=*}" "$N${pair#*=}"
    mount -o remount,bind,ro "$N${pair#*=}"
done

echo cafnode >"$N/etc/hostname"
mkdir "$N/.old"
cd "$N"
pivot_root . .old
umount -l /.old
rmdir /.old
[[ -e /etc/caf-test-root && $(stat -f -c %T /) == overlayfs ]] || { echo "not the root that was made: not booted" >&2; exit 1; }
exec env -i container=caf PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=multi-user.target \
    --log-target=journal --show-status=no
BOOT

(
    echo "$BASHPID" >"$control/cgroup.procs"
    exec setsid unshare --pid --fork --mount --cgroup --uts --ipc --kill-child=SIGKILL \
        bash "$D/boot" "$D" "$R" "$@" </dev/null >"$D/log" 2>&1
) &
disown

# Process 1 of the new namespace: it moves itself into init.scope when it is up.
end=$((SECONDS + 30)) pid=''
while [[ -z $pid ]] && ((SECONDS < end)); do
    for one in $(cat "$control/init.scope/cgroup.procs" 2>/dev/null); do
        [[ $(awk '/^NSpid/ {print $NF}' "/proc/$one/status" 2>/dev/null) == 1 ]] && pid=$one
    done
    sleep 0.1
done
[[ $pid ]] || { echo "systemd.sh: it did not boot: $(tail -3 "$D/log")" >&2; exit 1; }
echo "$pid" >"$D/pid"
state=''
until [[ $state == running || $state == degraded ]]; do
    ((SECONDS < end)) || { echo "systemd.sh: booted, but ${state:-no answer}" >&2; down; exit 1; }
    state=$(timeout 5 nsenter -t "$pid" -m -p -C -u -i -r -w -- systemctl is-system-running 2>/dev/null || true)
    sleep 0.1
done
