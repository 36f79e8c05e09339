#!/bin/sh
# What a CI job on a GPU machine runs: sh bench/ci-gpu.sh [--cpu] [--quick] [--limit PERCENT] [--build DIR] [--out DIR]
#
# In turn: devices, self-test, kernels, stream, comparison with bench/baseline/DEVICE.json. A machine without a baseline
# keeps its measurements as OUT/DEVICE.json, to become one.
#
#   --cpu      an OpenCL device that is no GPU will do
#   --quick    small shapes, seconds instead of minutes; such a run is compared with a baseline of such a run only
#   --limit    how much slower is a regression (10)
#   --build    where avvik was built (build/release, which is made if it is not there)
#   --out      where results go (build/ci-gpu): junit.xml, a log a step, machine.json, kernels.json, stream.json
#
# The exit status is 0, or that of the first step that failed: 4 no GPU, 5 wrong results, 7 slower than the baseline.
#
# A bare CUDA machine has NVIDIA's driver, but no file that tells OpenCL of it. Then the driver is registered for this
# process and its children, in a folder that is removed again. AVVIK_ICD_DRIVER and AVVIK_ICD_FOLDER name another driver
# and another folder of registrations; where OCL_ICD_VENDORS is set, nothing is touched.
set -u
cd "$(dirname "$0")/.." || exit 70

build=build/release
out=build/ci-gpu
limit=10
wants_gpu=yes
quick=
while [ $# -gt 0 ]; do
  case $1 in
    --cpu) wants_gpu=no ;;
    --quick) quick=--quick ;;
    --limit | --build | --out)
      if [ $# -lt 2 ]; then
        echo "ci-gpu: $1 needs a value" >&2
        exit 2
      fi
      case $1 in
        --limit) limit=$2 ;;
        --build) build=$2 ;;
        --out) out=$2 ;;
      esac
      shift
      ;;
    *)
      echo "usage: sh bench/ci-gpu.sh [--cpu] [--quick] [--limit PERCENT] [--build DIR] [--out DIR]" >&2
      exit 2
      ;;
  esac
  shift
done
bench=$build/bench/avvik-bench
mkdir -p "$out" || exit 70
for name in machine kernels stream junit; do rm -f "$out/$name.json" "$out/$name.xml"; done

if [ ! -x "$bench" ] && [ "$build" = build/release ]; then
  . tests/setup.sh
  avvik_install build && avvik_build . release || exit 70
fi
if [ ! -x "$bench" ]; then
  echo "ci-gpu: there is no $bench; build avvik first" >&2
  exit 2
fi

# --- the driver --------------------------------------------------------------------------------------------------------

driver=${AVVIK_ICD_DRIVER:-libnvidia-opencl.so.1}
folder=${AVVIK_ICD_FOLDER:-/etc/OpenCL/vendors}

driver_path() { # the driver as the linker finds it, or where container runtimes put it; nothing if it is not there
  case $driver in
    /*) if [ -e "$driver" ]; then echo "$driver"; fi ;;
    *)
      if { ldconfig -p || /sbin/ldconfig -p; } 2>/dev/null | grep -q -F "$driver "; then
        echo "$driver"
        return
      fi
      for place in $(echo "${LD_LIBRARY_PATH:-}" | tr ':' ' ') /usr/local/nvidia/lib64 /usr/local/nvidia/lib \
        /usr/lib/x86_64-linux-gnu /usr/lib/aarch64-linux-gnu /usr/lib64 /usr/lib/wsl/lib; do
        if [ -e "$place/$driver" ]; then
          echo "$place/$driver"
          return
        fi
      done
      ;;
  esac
}

if [ -z "${OCL_ICD_VENDORS:-}" ] && [ -n "$(driver_path)" ] &&
  ! cat "$folder"/*.icd 2>/dev/null | grep -q -F "$(basename "$driver" | sed 's/\.so.*//')"; then
  registered=$(mktemp -d) || exit 70
  trap 'rm -rf "$registered"' EXIT
  trap 'exit 130' INT TERM
  cp "$folder"/*.icd "$registered" 2>/dev/null
  driver_path >"$registered/avvik-ci.icd"
  OCL_ICD_VENDORS=$registered
  export OCL_ICD_VENDORS
  echo "OpenCL was not told of $(driver_path); it is registered for this run"
fi

# --- steps -------------------------------------------------------------------------------------------------------------

status=0
n_steps=0
n_failed=0
n_skipped=0
cases=$out/cases.tmp
: >"$cases"

escape() { # the last lines of a file, as XML has them
  tail -n 40 "$1" | tr -d '\000-\010\013-\037' | sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g; s/"/\&quot;/g'
}

step() { # NAME COMMAND...: its output goes to OUT/NAME.log
  name=$1
  shift
  printf '%s ... ' "$name"
  start=$(date +%s)
  "$@" >"$out/$name.log" 2>&1 </dev/null
  code=$?
  seconds=$(($(date +%s) - start))
  n_steps=$((n_steps + 1))
  if [ $code = 0 ]; then
    echo "$seconds s"
    printf '<testcase classname="ci-gpu" name="%s" time="%s"/>\n' "$name" "$seconds" >>"$cases"
    return 0
  fi
  echo "failed with status $code"
  tail -n 15 "$out/$name.log" | sed 's/^/  /'
  n_failed=$((n_failed + 1))
  if [ $status = 0 ]; then status=$code; fi
  {
    printf '<testcase classname="ci-gpu" name="%s" time="%s"><failure message="exit status %s">' "$name" "$seconds" $code
    escape "$out/$name.log"
    printf '</failure></testcase>\n'
  } >>"$cases"
  return $code
}

skip() { # NAME REASON
  echo "$1 ... skipped: $2"
  n_steps=$((n_steps + 1))
  n_skipped=$((n_skipped + 1))
  printf '<testcase classname="ci-gpu" name="%s" time="0"><skipped message="%s"/></testcase>\n' "$1" "$2" >>"$cases"
}

devices() {
  "$build/avvik" devices || return
  "$bench" machine --json >"$out/machine.json" || return
  if [ $wants_gpu = yes ] && ! grep -q '"gpu": true' "$out/machine.json"; then
    echo "ci-gpu: OpenCL has no GPU here; --cpu takes any OpenCL device"
    return 4
  elif ! grep -q '"backend": "opencl:' "$out/machine.json"; then
    echo "ci-gpu: OpenCL has no device here"
    return 4
  fi
}

# shellcheck disable=SC2086 # $quick is an option or nothing
kernels() { "$bench" kernels $quick --json >"$out/kernels.json"; }
# shellcheck disable=SC2086
stream() { "$bench" stream $quick --json >"$out/stream.json"; }
all() { "$bench" join "$out/kernels.json" "$out/stream.json" >"$out/$device.json"; }
compare() { "$bench" compare --limit "$limit" "bench/baseline/$device.json" "$out/$device.json"; }

device=$("$bench" machine --name) || exit 70
step devices devices
step selftest "$build/avvik" selftest
measured=yes
step kernels kernels || measured=no
step stream stream || measured=no
if [ $measured = no ]; then
  skip compare "not everything was measured"
elif ! step join all; then
  skip compare "there is no document to compare"
elif [ ! -f "bench/baseline/$device.json" ]; then
  skip compare "there is no bench/baseline/$device.json; copy $out/$device.json there to make it the baseline"
else
  step compare compare
fi
{
  echo '<?xml version="1.0" encoding="UTF-8"?>'
  printf '<testsuite name="ci-gpu %s" tests="%s" failures="%s" errors="0" skipped="%s">\n' "$device" $n_steps $n_failed \
    $n_skipped
  cat "$cases"
  echo '</testsuite>'
} >"$out/junit.xml"
rm -f "$cases"
echo "$device: $((n_steps - n_failed - n_skipped)) passed, $n_failed failed, $n_skipped skipped; $out/junit.xml"
exit $status
