#!/bin/sh
# Sets up what a job needs on its node and runs its program, as a launcher for Athena would.
# caf fills in the tags; this comment is full of ## signs and $ signs, which are left alone.
set -eu
echo "run #RUN_NUMBER#, job #JOB_CONFIGURATION#, attempt $CAF_ATTEMPT, release #ATLAS_RELEASE#"
exec "#PYTHON#" "config/#JOB_OPTIONS_NAME#" >"#JOB_LOG_DIR#/#JOB_LOG_NAME#" 2>&1
