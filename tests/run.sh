#!/bin/sh
# Runs the tests: sh tests/run.sh [quick|full]
#
#   quick  builds with gcc, runs the Check suites and the Python tests that take seconds
#   full   (default) also the comparison with scikit-learn, everything about files and the command line once more under
#          clang's address and undefined-behaviour sanitizers, and the OpenCL kernels under Oclgrind and through the
#          compilers of GPUs (those that are installed)
#
# AVVIK_EXPECT=scalar,avx2,opencl           backends whose tests may not be skipped
# AVVIK_REQUIRE=python,open-data,oclgrind   likewise the Python tests, those on ../shared/data/open (or the folder
#                                           AVVIK_OPEN_DATA), and Oclgrind; nvidia, amd and spirv: the compilers that
#                                           tests/opencl_offline.sh needs for them; browser: Chromium
# The last line is the total of all of them, and the exit status is non-zero if anything failed.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/setup.sh

tier=${1:-full}
case $tier in
  quick | full) ;;
  *)
    echo "usage: sh tests/run.sh [quick|full]" >&2
    exit 2
    ;;
esac

# Suites at a time. Of the Python tests, which wait for disks, browsers and clocks, one more.
jobs=$(nproc 2>/dev/null || echo 2)
if [ "$jobs" -gt 8 ]; then jobs=8; fi

passed=0
failed=0
skipped=0

# attribute NAME FILE: the number in an attribute of the first <testsuite> of a JUnit file; 0 if it is not there.
attribute() {
  value=$(tr '\n\t' '  ' <"$2" | sed -n 's/^.*<testsuite \([^>]*\)>.*$/\1/p' |
    sed -n "s/^\(.* \)\{0,1\}$1=\"\([0-9][0-9]*\)\".*$/\2/p")
  echo "${value:-0}"
}

# count NAME FILE STATUS: adds a JUnit file to the totals. A runner that failed without naming a failed test, or that
# ran no test, counts as one failure.
count() {
  if [ ! -s "$2" ]; then
    echo "$1: no result was written"
    failed=$((failed + 1))
    return
  fi
  all=$(attribute tests "$2")
  bad=$(($(attribute failures "$2") + $(attribute errors "$2")))
  out=$(($(attribute skipped "$2") + $(attribute disabled "$2")))
  if [ "$bad" = 0 ] && [ "$3" != 0 ]; then
    echo "$1: ended with status $3"
    bad=1
    all=$((all + 1))
  elif [ "$all" = 0 ]; then
    echo "$1: no test was run"
    bad=1
    all=1
  fi
  passed=$((passed + all - bad - out))
  failed=$((failed + bad))
  skipped=$((skipped + out))
}

run_ctest() { # PRESET CTEST-ARGUMENTS...
  preset=$1
  shift
  echo "== Check suites ($preset)"
  rm -f "build/ctest-$preset.xml"
  ctest "$@" --test-dir "build/$preset" --parallel "$jobs" --output-on-failure --no-tests=error --timeout 600 \
    --output-junit "../ctest-$preset.xml"
  count "ctest ($preset)" "build/ctest-$preset.xml" $?
}

run_pytest() { # PRESET PYTEST-ARGUMENTS...
  preset=$1
  shift
  echo "== Python tests ($preset)"
  rm -f "build/pytest-$preset.xml"
  AVVIK="$(pwd)/build/$preset/avvik" PYTHONPYCACHEPREFIX="$(pwd)/build/pycache" \
    build/venv/bin/python -m pytest -c tests/python/pytest.ini --rootdir tests/python -n "$((jobs + 1))" --dist loadgroup \
    --junitxml "build/pytest-$preset.xml" "$@"
  count "pytest ($preset)" "build/pytest-$preset.xml" $?
}

skip() { # WHAT NAME REASON: a failure where AVVIK_REQUIRE has NAME
  if wants "$2" "${AVVIK_REQUIRE:-}"; then
    echo "FAILED: $1 must run here, but $3"
    failed=$((failed + 1))
  else
    echo "SKIPPED: $1, because $3"
    skipped=$((skipped + 1))
  fi
}

run_oclgrind() {
  if ! command -v oclgrind >/dev/null; then
    skip "the OpenCL kernels under Oclgrind" oclgrind "oclgrind is not installed"
  elif avvik_step oclgrind "Running the OpenCL kernels under Oclgrind" sh tests/oclgrind.sh build/release; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
  fi
}

run_lint() {
  if avvik_step lint "Compiling the OpenCL kernels for NVIDIA, AMD and SPIR-V" sh tests/opencl_lint.sh; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
  fi
}

# Every kernel variant and backend over scalar, against floors that only something broken is below.
run_bench() {
  if avvik_step bench "Comparing the speed of every variant with its floor" env "AVVIK_CACHE=$(pwd)/build/cache" \
    "POCL_CACHE_DIR=$(pwd)/build/pocl" build/release/bench/avvik-bench kernels --quick \
    --check bench/baseline/floors.json; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
  fi
}

# For each kind of device: to machine code, and no register may be spilled.
run_offline() {
  for family in nvidia amd spirv; do
    need=$(sh tests/opencl_offline.sh missing $family)
    if [ -n "$need" ]; then
      skip "the OpenCL kernels through the compiler for $family" $family "$need is not installed"
    elif avvik_step "offline-$family" "Compiling the OpenCL kernels to the end for $family" sh tests/opencl_offline.sh $family; then
      passed=$((passed + 1))
    else
      failed=$((failed + 1))
    fi
  done
}

wants() { # NAME LIST: is NAME in the comma-separated LIST?
  case ",$2," in *",$1,"*) return 0 ;; *) return 1 ;; esac
}

end() {
  echo
  echo "$passed passed, $failed failed, $skipped skipped"
  [ "$failed" = 0 ]
  exit
}

mkdir -p build
if [ "$tier" = quick ]; then presets=release; else presets="release sanitize"; fi
avvik_install "$tier" || { failed=1; end; }

have_venv=yes
if ! avvik_venv; then
  have_venv=no
  skip "the Python tests" python "$avvik_reason"
fi

for preset in $presets; do
  avvik_build . "$preset" || { failed=$((failed + 1)); continue; }
  if [ "$preset" = sanitize ]; then avvik_sanitizer_options; fi
  # Kernels that PoCL compiles hold no sanitizer; what calls them is in the other suites.
  if [ "$preset" = sanitize ]; then run_ctest sanitize -E '^test_opencl(_more)?$'; else run_ctest "$preset"; fi
  if [ "$have_venv" = yes ]; then
    case $tier-$preset in
      quick-release) run_pytest release tests/python tests/faults -m "not slow" ;;
      full-release) run_pytest release tests/python tests/faults ;;
      # What reads files and arguments; figures, times, what is on the disk when, what is there after a kill (of which no
      # sanitizer tells) and HDF5's second way of chunking were checked above.
      full-sanitize) run_pytest sanitize tests/python/test_cli.py tests/python/test_bad_*.py tests/python/test_machine.py \
        tests/python/test_batches.py tests/python/test_files.py tests/python/test_reading.py tests/python/test_check*.py \
        tests/python/test_skip_damaged.py tests/python/test_store.py tests/python/test_serve.py tests/python/test_night*.py tests/faults -m "not slow" \
        -k "not power_loss and not kill_at and not interrupted_score and not checkpoints_keep and not v110" ;;
    esac
  fi
done
if [ -d build/release ]; then
  run_bench
fi
if [ "$tier" = full ] && [ -d build/release ]; then
  run_oclgrind
  run_lint
  run_offline
fi
end
