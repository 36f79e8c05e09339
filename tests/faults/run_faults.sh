#!/bin/sh
# Every fault in tests/faults, many times over: sh tests/faults/run_faults.sh [PRESET] [PYTEST-ARGUMENTS...]
#
# PRESET   release (default), sanitize or thread: the build to try
#
# Takes some minutes, and prints how many kills, failing writes and power losses were survived. The times at which
# runs are killed are drawn from fixed seeds; where in a run they fall depends on the machine.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/setup.sh

preset=${1:-release}
[ $# -eq 0 ] || shift
avvik_install full && avvik_venv && avvik_build . "$preset" || exit 1
if [ "$preset" != release ]; then avvik_sanitizer_options; fi
AVVIK_FAULTS_TALLY=$(pwd)/build/faults-survived.txt
export AVVIK_FAULTS_TALLY
rm -f "$AVVIK_FAULTS_TALLY"
AVVIK_FAULTS=full AVVIK="$(pwd)/build/$preset/avvik" PYTHONPYCACHEPREFIX="$(pwd)/build/pycache" \
  build/venv/bin/python -m pytest -c tests/python/pytest.ini --rootdir tests/python -n "$(nproc)" tests/faults "$@"
status=$?
[ ! -s "$AVVIK_FAULTS_TALLY" ] ||
  awk '{ n = $1; sub(/^[0-9]+ /, ""); sum[$0] += n } END { for (what in sum) print "survived: " sum[what] " " what }' \
    "$AVVIK_FAULTS_TALLY" | sort
exit $status
