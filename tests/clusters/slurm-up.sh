#!/usr/bin/env bash
# Bring up a private Slurm on loopback: slurmctld, some slurmd, a munged of its own, and with --acct slurmdbd on a
# mariadbd of its own. As root; without systemd, and without cgroups unless --cgroup. Everything lives in one folder.
# What is up already is left as it is.
#
#   slurm-up.sh FOLDER [--acct] [--cgroup] [--port P] [--cpus N] [--nodes N] [--min-job-age S]
#   --acct    accounting, so that sacct answers
#   --cgroup  by the memory and freezer controllers of cgroup v1: a job beyond its memory ends as OUT_OF_MEMORY
#   --port    the first of some ports in a row: controller, accounting, then one for each node
# Afterwards FOLDER/env, read by a shell, has clients talk to this cluster.
set -euo pipefail
D=$1
shift
ACCT=0 CGROUP=0 PORT=16817 CPUS=32 NODES=2 MINAGE=120
while (($#)); do
    case $1 in
        --acct) ACCT=1 ;;
        --cgroup) CGROUP=1 ;;
        --port) PORT=$2; shift ;;
        --cpus) CPUS=$2; shift ;;
        --nodes) NODES=$2; shift ;;
        --min-job-age) MINAGE=$2; shift ;;
        *) echo "slurm-up: unknown option $1" >&2; exit 2 ;;
    esac
    shift
done
((EUID == 0)) || { echo "slurm-up: needs root: slurmd starts jobs as other users" >&2; exit 2; }

say() { echo "slurm-up: $*" >&2; }
alive() { [[ -s $D/run/$1.pid ]] && kill -0 "$(<"$D/run/$1.pid")" 2>/dev/null; }
await() { # await SECONDS WHAT COMMAND...: by the clock, as Slurm's clients try for seconds themselves
    local end=$((SECONDS + $1)) what=$2
    shift 2
    while ! "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || { say "$what did not come up; see $D/log, and: $*"; return 1; }
        sleep 0.05
    done
}

host=$(hostname -s)
mkdir -p "$D"/{state,log,run,munge,etc,spool}
chmod 755 "$D" "$D"/{log,run,etc}
chmod 700 "$D/munge"

# The key's folder must be closed to others, and so must all folders above the socket, or have the sticky bit: --force.
socket=$D/run/munge.socket
[[ -s $D/munge/key ]] || { dd if=/dev/urandom of="$D/munge/key" bs=1024 count=1 status=none; chmod 400 "$D/munge/key"; }
chown -R munge:munge "$D/munge"
chown munge:munge "$D/run"
if ! alive munged; then
    rm -f "$socket" "$socket.lock"
    setpriv --reuid=munge --regid=munge --clear-groups \
        munged --force --key-file="$D/munge/key" --socket="$socket" --pid-file="$D/run/munged.pid" \
        --log-file="$D/munge/munged.log" --seed-file="$D/munge/seed" --num-threads=4
fi
await 10 munged munge -n -S "$socket"

if ! alive slurmctld; then
    if ((ACCT)); then
        # For this connection AccountingStoragePass, not AuthInfo, names munge's socket.
        accounting="AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((PORT + 1))
AccountingStoragePass=$socket
AccountingStoreFlags=job_comment
AccountingStorageEnforce=limits,qos"
    else
        accounting=AccountingStorageType=accounting_storage/none
    fi
    if ((CGROUP)); then
        tasks="ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup"
        printf '%s\n' CgroupPlugin=cgroup/v1 CgroupMountpoint=/sys/fs/cgroup ConstrainRAMSpace=yes ConstrainCores=no \
            >"$D/etc/cgroup.conf"
    else
        tasks="ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherParams=OverMemoryKill"
    fi
    cat >"$D/etc/slurm.conf" <<CONF
ClusterName=caf
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$PORT
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$socket
CredType=cred/munge
# Bind to 127.0.0.1 and not to every address.
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation=$D/state
SlurmdSpoolDir=$D/spool/%n
SlurmctldPidFile=$D/run/slurmctld.pid
SlurmdPidFile=$D/run/slurmd-%n.pid
SlurmctldLogFile=$D/log/slurmctld.log
SlurmdLogFile=$D/log/slurmd-%n.log
$tasks
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
MpiDefault=none
SwitchType=switch/none
# More processors than the machine has, so that many short jobs run side by side.
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=64
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,default_queue_depth=1000,batch_sched_delay=0,sched_min_interval=0,max_rpc_cnt=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=20
InactiveLimit=0
KillWait=3
OverTimeLimit=0
MinJobAge=$MINAGE
MaxJobCount=20000
JobRequeue=1
$accounting
$(for ((i = 1; i <= NODES; i++)); do
    echo "NodeName=n$i NodeHostname=$host NodeAddr=127.0.0.1 Port=$((PORT + 1 + i)) CPUs=$CPUS RealMemory=8000 State=UNKNOWN"
done)
PartitionName=short Nodes=n[1-$NODES] Default=YES MaxTime=60 DefaultTime=10 State=UP PriorityTier=1 OverSubscribe=NO
PartitionName=express Nodes=n[1-$NODES] MaxTime=10 DefaultTime=1 State=UP PriorityTier=10 PreemptMode=off
PartitionName=closed Nodes=n[1-$NODES] MaxTime=60 State=DOWN
CONF
fi
export SLURM_CONF=$D/etc/slurm.conf
printf 'export SLURM_CONF=%q MUNGE_SOCKET=%q\n' "$SLURM_CONF" "$socket" >"$D/env"

sql() { mariadb --no-defaults -uroot -S "$D/run/mariadb.sock" -e "$1"; }
if ((ACCT)); then
    mkdir -p "$D/db"
    chmod 700 "$D/db"
    if ! alive mariadbd; then
        [[ -d $D/db/data/mysql ]] || mariadb-install-db --no-defaults --user=root --datadir="$D/db/data" \
            --auth-root-authentication-method=socket --skip-test-db >"$D/log/mariadb-install.log" 2>&1
        mariadbd --no-defaults --user=root --datadir="$D/db/data" --socket="$D/run/mariadb.sock" --skip-networking \
            --pid-file="$D/run/mariadbd.pid" --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 \
            --innodb-flush-log-at-trx-commit=0 </dev/null >"$D/log/mariadb.log" 2>&1 &
        disown
    fi
    await 30 mariadbd sql 'select 1'
    sql 'create database if not exists slurm_acct'
    if ! alive slurmdbd; then
        cat >"$D/etc/slurmdbd.conf" <<CONF
AuthType=auth/munge
AuthInfo=socket=$socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$((PORT + 1))
CommunicationParameters=NoCtldInAddrAny
SlurmUser=root
PidFile=$D/run/slurmdbd.pid
LogFile=$D/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct
CONF
        chmod 600 "$D/etc/slurmdbd.conf"
        MYSQL_UNIX_PORT=$D/run/mariadb.sock slurmdbd </dev/null
    fi
    await 30 slurmdbd sacctmgr -n list cluster
    sacctmgr -n list cluster | grep -qw caf || sacctmgr -i add cluster caf >/dev/null
fi

alive slurmctld || slurmctld </dev/null
await 20 slurmctld scontrol ping
for ((i = 1; i <= NODES; i++)); do
    alive "slurmd-n$i" || slurmd -N "n$i" </dev/null
done
ready() { [[ $(sinfo -h -N -p short -t idle,mix,alloc -o %N | sort -u | wc -l) -eq $NODES ]]; }
await 30 "all $NODES nodes" ready
