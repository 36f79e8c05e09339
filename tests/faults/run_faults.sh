#!/bin/sh
# Every fault in tests/faults, many times over: sh tests/faults/run_faults.sh [PRESET] [PYTEST-ARGUMENTS...]
#
# PRESET   release (default), sanitize or thread: the build to try
#
# Takes a quarter of an hour, and prints how many kills, failing writes and power losses were survived. The times at which
# runs are killed are drawn from fixed seeds; where in a run they fall depends on the machine.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/setup.sh

preset=${1:-release}
[ $# -eq 0 ] || shift
avvik_install full && avvik_venv && avvik_build . "$preset" || exit 1
if [ "$preset" != release ]; then avvik_sanitizer_options; fi
AVVIK_FAULTS=full AVVIK="$(pwd)/build/$preset/avvik" PYTHONPYCACHEPREFIX="$(pwd)/build/pycache" \
  build/venv/bin/python -m pytest -c tests/python/pytest.ini --rootdir tests/python tests/faults "$@"
