#!/bin/bash
# Run Athena on the job options of #JOB_CONFIGURATION# for run #RUN_NUMBER#, and end with its exit status.
# caf renders this file into the attempt's config folder and runs it in the attempt's area; what stands between two
# hashes was replaced by caf.

release="#ATLAS_RELEASE#"
options="#JOB_CONFIG_DIR#/#JOB_CONFIGURATION#.py"
log="#JOB_LOG_DIR#/athena.log"

export ATLAS_LOCAL_ROOT_BASE="${ATLAS_LOCAL_ROOT_BASE:-/cvmfs/atlas.cern.ch/repo/ATLASLocalRootBase}"
setup="$ATLAS_LOCAL_ROOT_BASE/user/atlasLocalSetup.sh"

fail() {
    echo "launcher.sh: $1" >&2
    exit "$2"
}

echo "run #RUN_NUMBER#, $options, release $release, on $(hostname), $(date -u +%Y-%m-%dT%H:%M:%SZ)"

[ -r "$setup" ] || fail "$setup cannot be read: is CVMFS mounted on this node?" 70
# Neither set-up script stands `set -u` or `set -e`, so each is asked how it went.
shopt -s expand_aliases  # asetup is an alias
source "$setup" --quiet || fail "the ATLAS environment could not be set up" 71
asetup "$release",here || fail "release $release could not be set up" 72

athena.py "$options" > "$log" 2>&1
status=$?

echo "athena ended with $status, $(date -u +%Y-%m-%dT%H:%M:%SZ)"
tail -n 20 "$log"
exit "$status"
