
# What every attempt does on its node. It may be started more than once, by any batch system, and die anywhere: the
# payload starts at most once, and only for the process that made `claim`; a start record exists only beside a claim,
# an exit record only when the payload has ended or can never start. A record is whole when its last line is `end`.
# On Linux nothing is forked but mkdir and the payload. Names begin with caf_, so that none of the user's is changed.

set +Ceu # SHELLOPTS may come with the environment
umask 0007
PATH=${PATH-/usr/local/bin:/usr/bin:/bin} # unset in an empty environment, and a shell's own default is not exported
export PATH CAF_RUN CAF_JOB CAF_ATTEMPT CAF_TOKEN
cd "$caf_area" || { echo "caf: cannot enter $caf_area" >&2; exit 75; }

# Outlive what batch systems send before KILL, so that the exit record is written. The payload gets the defaults back.
trap : TERM INT HUP USR1 USR2 XCPU

# Who makes this folder owns the attempt. Another start of this script, or a supervisor that revokes it, finds it made.
if ! command mkdir claim; then
    [ -d claim ] || { echo "caf: cannot make $caf_area/claim" >&2; exit 75; }
    echo "caf: attempt already claimed" >&2
    exit 0
fi

# The start record. `read` is a builtin, so /proc/self is this shell; field 22 there, the 20th after its name in
# parentheses, is when it started. What is read, also below, is kept short: no shell reads more than a byte at once.
caf_host='' caf_boot='' caf_stat='' caf_ticks='' caf_uptime=''
caf_started() { [ $# -lt 20 ] || { shift 19; caf_ticks=$1; }; }
{ IFS= read -r caf_host </proc/sys/kernel/hostname; } 2>/dev/null || caf_host=$(uname -n)
{ IFS= read -r caf_boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
{ IFS= read -r caf_stat </proc/self/stat; } 2>/dev/null
caf_started ${caf_stat##*) }
{ read -r caf_uptime caf_line </proc/uptime; } 2>/dev/null
caf_id="pid=$$"
{ printf '%s\n' "token=$CAF_TOKEN" "host=$caf_host" "boot=$caf_boot" "$caf_id" "ticks=$caf_ticks" "uptime=$caf_uptime" \
    "batch=$caf_batch_id" end
} >./start || { echo "caf: cannot write $caf_area/start" >&2; exit 75; }
# A full NFS says so only at close, which no shell looks at: read it back before anything is started.
while IFS= read -r caf_line && [ "$caf_line" != end ]; do :; done <./start
[ "$caf_line" = end ] || { echo "caf: cannot write $caf_area/start" >&2; exit 75; }
#: scratch.sh

# The payload. `exec` finds no builtin or function of this shell; where the redirection fails nothing in here is done.
caf_code=''
{
    (exec "$@")
    caf_code=$?
} </dev/null >log/stdout 2>log/stderr

# The exit record. Of a code above 128 it cannot be known here whether it was a signal, so it is left as it is.
caf_why=''
[ "$caf_code" ] || { caf_code=75; caf_why="why=cannot write log/stdout"; }
#: copy.sh
{ read -r caf_uptime caf_line </proc/uptime; } 2>/dev/null
set -- "token=$CAF_TOKEN" "code=$caf_code" "host=$caf_host" "boot=$caf_boot" "uptime=$caf_uptime" ${caf_why:+"$caf_why"}
printf '%s\n' "$@" end >./exit || echo "caf: cannot write $caf_area/exit" >&2
#: remove.sh
exit "$caf_code"
