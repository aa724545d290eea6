#!/bin/sh
# A real HTCondor of one machine, as root on Debian, without systemd.
#
#   condor.sh root          make what it needs from the distribution's packages (once: a minute, 290 MB)
#   condor.sh up DIR PORT   bring it up, on 127.0.0.1; everything that it writes is in DIR
#   condor.sh down DIR      take it down at once, and remove DIR
#
# Debian 12 has no HTCondor but Debian 13 has: a small tree of that is made with mmdebstrap, and used by chroot. Daemons
# and jobs live in a mount and a process namespace of their own, so nothing is changed on the machine but the cached
# tree, several of them can be up at once, and when the first process of the namespace is killed nothing is left.
#
# DIR/bin has the clients. They are run as the user with the number in DIR/uid, since a schedd takes no jobs from root.
# /tmp is the machine's own, so files there have the same path on both sides. Exit status 77: not to be had here.
set -eu
ROOT=${CAF_CONDOR_ROOT:-/var/cache/caf-tests/condor}
USER_ID=64190
CPUS=${CAF_CONDOR_CPUS:-32}
say() { echo "condor.sh: $*" >&2; }
cannot() { say "$*"; exit 77; }

# In a shell of its own, so that no daemon holds the lock.
make_root() { (
    mkdir -p "$(dirname "$ROOT")"
    exec 7>"$ROOT.lock"
    flock 7
    [ ! -x "$ROOT/usr/sbin/condor_master" ] || exit 0
    command -v apt-get >/dev/null || cannot "needs Debian's packages"
    # The keyring too: an older one does not know Debian 13.
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        mmdebstrap debian-archive-keyring >/dev/null
    mirror=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' |
        sed -n 's/^Debian \(.*\)/\1/p' | head -n 1)
    [ -n "$mirror" ] || cannot "none of apt's sources is Debian's own"
    say "making $ROOT: once, about a minute"
    for try in 1 2; do
        rm -rf --one-file-system "$ROOT.part"
        ! mmdebstrap --quiet --mode=root --variant=apt --include=condor,minicondor \
            --aptopt='Acquire::Languages "none"' \
            --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
            trixie "$ROOT.part" "$mirror" >&2 || { mv "$ROOT.part" "$ROOT"; exit 0; }
        say "that failed, try $try"
    done
    exit 1
) }

# ---- in the namespaces ------------------------------------------------------------------------
inside() {
    DIR=$1
    mount --rbind "$ROOT" "$DIR/root"
    mount -t proc proc "$DIR/root/proc"
    mount -t sysfs -o ro sysfs "$DIR/root/sys"
    mount --rbind /dev "$DIR/root/dev"
    mount -t tmpfs run "$DIR/root/run"
    mkdir -p "$DIR/root/run/lock" # /var/lock and /var/run are links to it
    mount --bind /tmp "$DIR/root/tmp"
    mount --bind "$DIR/config" "$DIR/root/etc/condor/config.d"
    mount --bind "$DIR/passwd" "$DIR/root/etc/passwd"
    mount --bind "$DIR/group" "$DIR/root/etc/group"
    mount --bind /etc/hosts "$DIR/root/etc/hosts"
    mount --bind "$DIR/spool" "$DIR/root/var/spool/condor"
    mount --bind "$DIR/log" "$DIR/root/var/log/condor"
    mount --bind "$DIR/execute" "$DIR/root/var/lib/condor/execute"
    chroot "$DIR/root" /bin/sh -c 'mkdir -p /run/condor /run/lock/condor; chown -R condor:condor /run/condor /run/lock/condor \
        /var/spool/condor /var/log/condor /var/lib/condor/execute'
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$DIR/root" condor_master -f </dev/null >/dev/null 2>&1 &
    wait $! || : # takes up orphans as well; when this process ends, so does everything else here
}

# ---- outside ------------------------------------------------------------------------------------
up() {
    DIR=$1 PORT=$2
    umask 022
    ! is_up || return 0
    mkdir -p "$ROOT/var/spool/condor" "$ROOT/var/log/condor" "$ROOT/var/lib/condor/execute"
    mkdir -p "$DIR/root" "$DIR/bin" "$DIR/spool" "$DIR/log" "$DIR/execute"
    chmod 755 "$DIR"
    echo "$USER_ID" >"$DIR/uid"
    for file in passwd group; do grep -v ":$USER_ID:" "$ROOT/etc/$file" >"$DIR/$file"; done
    echo "cafbatch:x:$USER_ID:$USER_ID::/tmp:/bin/sh" >>"$DIR/passwd"
    echo "cafbatch:x:$USER_ID:" >>"$DIR/group"
    cp -R "$ROOT/etc/condor/config.d" "$DIR/config"
    configuration >"$DIR/config/99-caf"
    setsid unshare --mount --pid --fork --kill-child --propagation private sh "$0" inside "$DIR" \
        </dev/null >"$DIR/log/inside" 2>&1 &
    echo $! >"$DIR/outer"
    clients
    tries=0
    until [ "$("$DIR/bin/condor_status" -af Name 2>/dev/null | wc -l)" -ge 1 ] &&
        [ "$("$DIR/bin/condor_status" -schedd -af Name 2>/dev/null | wc -l)" -ge 1 ]; do
        is_up && [ "$tries" -lt 200 ] || { say "did not come up; see $DIR/log"; cat "$DIR/log/inside" >&2; exit 1; }
        tries=$((tries + 1))
        sleep 0.2
    done
}

is_up() { [ -s "$DIR/outer" ] && grep -qsF "$DIR" "/proc/$(cat "$DIR/outer")/cmdline"; }

down() {
    DIR=$1
    while is_up; do
        kill -KILL "$(cat "$DIR/outer")" || :
        sleep 0.05
    done
    rm -rf --one-file-system "$DIR"
}

# A client enters the mounts of the namespace, and then the tree, as the submitting user.
clients() {
    cat >"$DIR/bin/.client" <<EOT
#!/bin/sh
unset CONDOR_CONFIG
exec nsenter --mount=/proc/\$(cat "$DIR/init")/ns/mnt /usr/sbin/chroot --userspec=\${CAF_CONDOR_AS:-$USER_ID:$USER_ID} "$DIR/root" \\
    /usr/bin/env PATH=/usr/sbin:/usr/bin:/sbin:/bin "\${0##*/}" "\$@"
EOT
    chmod 755 "$DIR/bin/.client"
    for name in submit q rm hold release history status version vacate_job userprio config_val reconfig qedit; do
        ln -sf .client "$DIR/bin/condor_$name"
    done
    outer=$(cat "$DIR/outer")
    until init=$(cat "/proc/$outer/task/$outer/children") && [ "$init" ]; do sleep 0.05; done
    echo "${init% }" >"$DIR/init"
}

configuration() {
    cat <<EOT
COLLECTOR_HOST = 127.0.0.1:$PORT
COLLECTOR_PORT = $PORT
SHARED_PORT_PORT = $PORT
UID_DOMAIN = caf.test
FILESYSTEM_DOMAIN = caf.test
TRUST_UID_DOMAIN = True
# no systemd, no delegated cgroup: the process tree is followed instead
BASE_CGROUP =
CGROUP_MEMORY_LIMIT_POLICY = none
USE_PID_NAMESPACES = False
MOUNT_UNDER_SCRATCH =
MOUNT_PRIVATE_DEV_SHM = False
DISCARD_SESSION_KEYRING_ON_STARTUP = False
ENABLE_IPV6 = False
# else the master, being root, writes the kernel's settings
ENABLE_KERNEL_TUNING = False
LINUX_KERNEL_TUNING_SCRIPT =
# one partitionable slot with more processors than the machine has
NUM_CPUS = $CPUS
MEMORY = 32768
SLOT_TYPE_1 = 100%
SLOT_TYPE_1_PARTITIONABLE = True
NUM_SLOTS_TYPE_1 = 1
START = True
SUSPEND = False
PREEMPT = False
KILL = False
# quick
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_MIN_INTERVAL = 1
NEGOTIATOR_CYCLE_DELAY = 1
SCHEDD_INTERVAL = 2
SCHEDD_MIN_INTERVAL = 1
UPDATE_INTERVAL = 2
JOB_START_COUNT = 100
JOB_START_DELAY = 0
PERIODIC_EXPR_INTERVAL = 2
MAX_PERIODIC_EXPR_INTERVAL = 4
SHADOW_QUEUE_UPDATE_INTERVAL = 5
STARTER_UPDATE_INTERVAL = 5
DAEMON_LIST = MASTER, SHARED_PORT, COLLECTOR, NEGOTIATOR, SCHEDD, STARTD
EOT
}

case ${1-} in
    inside) inside "$2" ;;
    down) down "$2" ;;
    root | up)
        [ "$(id -u)" = 0 ] || cannot "needs root, for chroot and namespaces"
        make_root
        [ "$1" = root ] || up "$2" "$3"
        ;;
    *) say "root, up DIR PORT, or down DIR"; exit 2 ;;
esac
