
# Only of jobs with `scratch = true`: the payload runs in a private folder of the node's scratch, named after the token,
# with config/ and job.json in it. The batch system's own scratch comes first: what is in there goes with the job.
caf_scratch='' caf_trouble='no scratch on this node: neither _CONDOR_SCRATCH_DIR, SLURM_TMPDIR, TMPDIR nor /tmp'
for caf_line in "${_CONDOR_SCRATCH_DIR-}" "${SLURM_TMPDIR-}" "${TMPDIR-}" /tmp; do
    [ "${caf_line#/}" != "$caf_line" ] || continue
    caf_said=$(LC_ALL=C command mkdir "$caf_line/$CAF_TOKEN" 2>&1) && caf_scratch=$caf_line/$CAF_TOKEN && break
    caf_trouble="no scratch on this node: $caf_line: ${caf_said##*: }"
done
if [ "$caf_scratch" ]; then
    caf_trouble=''
    caf_said=$(
        cd "$caf_scratch" && LC_ALL=C command mkdir log root pool post 2>&1 &&
            LC_ALL=C command cp -R "$caf_area/config" "$caf_area/job.json" . 2>&1
    ) || caf_trouble="cannot fill the scratch $caf_scratch: ${caf_said##*: }"
fi
caf_line='
'
caf_trouble=${caf_trouble%%"$caf_line"*}
if [ "$caf_trouble" ]; then
    set -- false # nothing of the user's is started
else
    set -- /bin/sh -c 'cd "$1" || exit 75; shift; exec "$@"' sh "$caf_scratch" "$@"
fi
