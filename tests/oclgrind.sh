#!/bin/sh
# Runs every OpenCL kernel under Oclgrind, which finds accesses out of bounds, data races and uninitialised reads:
# sh tests/oclgrind.sh BUILD_DIR
#
# Oclgrind ends with 0 even when it has found something: its log is what counts, and that the results were right.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${1:?usage: sh tests/oclgrind.sh BUILD_DIR}
test="$build/tests/test_opencl"
if ! [ -x "$test" ]; then
  echo "oclgrind.sh: there is no $test: build first" >&2
  exit 1
fi
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
AVVIK_CACHE=$scratch/cache
export AVVIK_CACHE
passed=0
failed=0

# check NAME WALK FEATURES HEIGHT TREES WIDE: one shape of forest on one walk. Deviation and fill_missing run in each.
check() {
  log=$scratch/log
  : >"$log"
  AVVIK_OPENCL_WALK=$2 oclgrind --data-races --uninitialized --build-options -cl-opt-disable --log "$log" "$test" "$3" "$4" "$5" "$6" \
    >"$scratch/out" 2>&1
  status=$?
  if [ "$status" = 0 ] && ! [ -s "$log" ]; then
    echo "ok      $1"
    passed=$((passed + 1))
  else
    echo "FAILED  $1 (status $status)"
    head -n 8 "$scratch/out" "$log" | cut -c1-200
    failed=$((failed + 1))
  fi
}

check "deviation, fill_missing, forest_path: packed, 16 trees in lanes" lanes 16 6 17 0
check "deviation, fill_missing, forest_path: packed, 64 features in lanes" lanes 64 4 3 0
check "deviation, fill_missing, forest_path: wide, in lanes" lanes 70 5 18 1
check "deviation, fill_missing, forest_path: packed, tiles and rows in local memory" local:8192 5 7 7 0
check "deviation, fill_missing, forest_path: packed, tiles of one tree in local memory" local:2048 40 8 3 0
check "deviation, fill_missing, forest_path: wide, tiles and rows in local memory" local:32768 66 6 9 1
check "deviation, fill_missing, forest_path: packed, in global memory" global 17 5 3 0
check "deviation, fill_missing, forest_path: wide, in global memory" global 70 4 5 1
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
