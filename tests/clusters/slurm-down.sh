#!/usr/bin/env bash
# End what slurm-up.sh started in a folder, jobs included, by the pid files that it left; --purge removes the folder.
set -uo pipefail
D=$1
[[ -d $D/run ]] || exit 0
export SLURM_CONF=$D/etc/slurm.conf

# A daemon that was stopped by a test takes no signal but KILL. Nothing here is to be kept, so KILL it is.
end() {
    local file=$D/run/$1.pid pid
    [[ -s $file ]] || return 0
    pid=$(<"$file")
    kill -KILL "$pid" 2>/dev/null
    rm -f "$file"
}
pid=$(cat "$D/run/slurmctld.pid" 2>/dev/null)
if [[ -n $pid ]] && kill -CONT "$pid" 2>/dev/null; then
    timeout 5 scancel --quiet --full --signal=KILL --state=RUNNING,SUSPENDED --user=root 2>/dev/null
    timeout 5 scancel --quiet --user=root 2>/dev/null
    for _ in {1..40}; do
        [[ -n $(timeout 5 squeue --noheader --states=R,CG,S --format=%i 2>/dev/null | head -1) ]] || break
        sleep 0.05
    done
fi
for file in "$D"/run/slurmd-*.pid; do
    [[ -e $file ]] && end "$(basename "$file" .pid)"
done
# Steps outlive their slurmd; each has its cluster in its environment.
for process in $(pgrep -x slurmstepd); do
    grep -qzxF "SLURM_CONF=$SLURM_CONF" "/proc/$process/environ" 2>/dev/null && kill -KILL "$process" 2>/dev/null
done
end slurmctld
end slurmdbd
end mariadbd
end munged
if [[ ${2-} == --purge ]]; then
    for group in /sys/fs/cgroup/{memory,freezer}/slurm_n*; do
        [[ -d $group ]] && find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null
    done
    rm -rf "$D" || { sleep 0.5; rm -rf "$D"; }
fi
exit 0
