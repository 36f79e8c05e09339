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

# run WALK FEATURES HEIGHT TREES WIDE OPTION: status 0 if the results are right. Without optimisation, as Oclgrind 21.10
# computes zext of a vector of bits wrongly, which the optimiser writes for comparisons.
run() {
  AVVIK_OPENCL_WALK=$1 oclgrind "$6" --build-options -cl-opt-disable --log "$scratch/log" \
    "$test" "$2" "$3" "$4" "$5" >"$scratch/out" 2>&1
}

# report NAME STATUS FINDINGS
report() {
  if [ "$2" = 0 ] && [ -z "$3" ]; then
    echo "ok      $1"
    passed=$((passed + 1))
  else
    echo "FAILED  $1 (status $2)"
    tail -n 3 "$scratch/out" | cut -c1-300
    echo "$3" | head -n 12
    failed=$((failed + 1))
  fi
}

# Bounds and races, in all three kernels: check NAME WALK FEATURES HEIGHT TREES WIDE
check() {
  : >"$scratch/log"
  run "$2" "$3" "$4" "$5" "$6" --data-races
  report "bounds and races: $1" $? "$(cat "$scratch/log")"
}

# Uninitialised reads, above all of local memory, in the scalar walk only: on vectors of 16 Oclgrind 21.10 reports
# values that are initialised, and crashes.
check_uninitialized() {
  : >"$scratch/log"
  run "$2" "$3" "$4" "$5" "$6" --uninitialized
  report "uninitialised reads: $1" $? "$(grep -B 1 -A 4 'Kernel: forest_path' "$scratch/log")"
}

for check in check check_uninitialized; do
  $check "forest_path, packed, tiles and two rows an item in local memory" local:16384 5 7 7 0
  $check "forest_path, packed, rows in local memory" local:8192 5 7 7 0
  $check "forest_path, packed, tiles of one tree in local memory" local:2048 40 8 3 0
  $check "forest_path, wide, tiles and rows in local memory" local:32768 66 6 9 1
  $check "forest_path, packed, global memory" global 17 5 3 0
  $check "forest_path, wide, global memory" global 70 4 5 1
done
check "deviation, fill_missing, forest_path in lanes, packed, 16 features" lanes:16 16 6 17 0
check "deviation, fill_missing, forest_path in lanes, packed, 33 features" lanes:16 33 4 3 0
check "deviation, fill_missing, forest_path in lanes, packed, 64 features" lanes:16 64 4 3 0
check "deviation, fill_missing, forest_path in lanes, wide" lanes:16 70 5 18 1
check "forest_path in lanes, vectors of 8, packed, 16 features" lanes:8 16 6 17 0
check "forest_path in lanes, vectors of 8, packed, 64 features" lanes:8 64 4 3 0
check "forest_path in lanes, vectors of 8, wide" lanes:8 70 5 18 1
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
