#!/bin/sh
# Set up everything that the tests need, from nothing but Python 3.11, and pass them: style, types, tests, coverage.
# Arguments go to pytest. The environment is kept in .venv-tests and used again while its requirements stay the same.
set -eu
cd "$(dirname "$0")/.."

sh tests/packages.sh
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "Python 3.11 or later is needed; name it as in: PYTHON=/usr/bin/python3.11 sh tests/run.sh" >&2; exit 2; }
venv=.venv-tests
wanted=$(cat tests/requirements.txt pyproject.toml | cksum)
if [ "$(cat $venv/made-of 2>/dev/null)" != "$wanted" ]; then
    "$python" -m venv --clear $venv
    $venv/bin/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
    # What is tested is caf as it is installed; editable, so that a change needs no new installation.
    $venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
    echo "$wanted" >$venv/made-of
fi
PATH=$PWD/$venv/bin:$PATH
export PATH

ruff check caf tests
ruff format --check --quiet caf tests
mypy
pytest -n 2 --dist worksteal --cov --cov-report=term "$@"
# The long ones, those on real servers and those in a browser, unless somebody asks for something of his own.
if [ $# = 0 ]; then
    pytest -n 3 --dist worksteal -m "campaign and not clusters"
    pytest -n 3 --dist loadscope -m "clusters or browser" tests/clusters tests/browser
fi
