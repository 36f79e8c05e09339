# shellcheck shell=sh
# What avvik needs on Debian 12 and how it is built, in one place. Sourced, from the root of the source tree, by
# datasets/demo.sh and tests/run.sh:
#
#   avvik_install build|quick|full   installs the packages that are missing to build, or to run that tier of the tests
#   avvik_build DIR PRESET...        configures and builds DIR/build/PRESET (release, sanitize, thread)
#   avvik_venv                       makes build/venv with the Python packages of tests/python/requirements.txt
#
# Each prints one line a step, keeps the rest in build/*.log, shows the end of that log when it fails and returns non-zero.

avvik_build_packages="gcc libc6-dev cmake ninja-build pkg-config opencl-headers ocl-icd-opencl-dev ocl-icd-libopencl1
  pocl-opencl-icd libhdf5-dev libopenblas-serial-dev liblapacke-dev check librandom123-dev libjansson-dev libxxhash-dev
  libcyaml-dev libyaml-dev libdeflate-dev libzstd-dev liblz4-dev libblosc-dev libsodium-dev libsqlite3-dev libmicrohttpd-dev"
avvik_quick_packages="$avvik_build_packages python3-venv hdf5-tools"
avvik_full_packages="$avvik_quick_packages clang libclang-rt-14-dev llvm oclgrind
  clang-15 libclc-15 libclc-15-dev llvm-spirv-15 spirv-tools chromium"

avvik_now() { date +%s; }

# avvik_step LOG WORDS COMMAND...: runs COMMAND with its output in build/LOG.log, and says WORDS and the time it took.
avvik_step() {
  avvik_log=build/$1.log
  avvik_words=$2
  shift 2
  mkdir -p build
  avvik_start=$(avvik_now)
  printf '%s ... ' "$avvik_words"
  if "$@" >"$avvik_log" 2>&1 </dev/null; then
    printf '%s s\n' "$(($(avvik_now) - avvik_start))"
  else
    avvik_status=$?
    printf 'failed. The end of %s:\n' "$avvik_log"
    tail -n 25 "$avvik_log" | sed 's/^/  /'
    return "$avvik_status"
  fi
}

avvik_apt() {
  if [ "$(id -u)" = 0 ]; then
    env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=300 "$@"
  else
    sudo env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=300 "$@"
  fi
}

# The package lists may be absent (a new system) or too old for what they name; both are mended by an update.
avvik_apt_install() {
  if ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 && avvik_apt install --no-install-recommends "$@"; then
    return 0
  fi
  avvik_apt update && avvik_apt install --no-install-recommends "$@"
}

avvik_install() {
  case $1 in
    build) avvik_wanted=$avvik_build_packages ;;
    quick) avvik_wanted=$avvik_quick_packages ;;
    full) avvik_wanted=$avvik_full_packages ;;
  esac
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "This is no Debian system, so nothing is installed here. avvik needs what Debian 12 calls:"
    echo "$avvik_wanted"
    return 0
  fi
  avvik_missing=
  avvik_count=0
  for avvik_package in $avvik_wanted; do
    # shellcheck disable=SC2016 # the format is dpkg-query's, not the shell's
    if [ "$(dpkg-query -W -f='${db:Status-Status}' "$avvik_package" 2>/dev/null)" != installed ]; then
      avvik_missing="$avvik_missing $avvik_package"
      avvik_count=$((avvik_count + 1))
    fi
  done
  [ -n "$avvik_missing" ] || return 0
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    echo "Please install these packages as root and run this again: apt-get install$avvik_missing"
    return 1
  fi
  # shellcheck disable=SC2086 # a list of names
  avvik_step install "Installing $avvik_count packages" avvik_apt_install $avvik_missing
}

avvik_cmake() {
  (cd "$1" && cmake --preset "$2" && cmake --build --preset "$2")
}

avvik_build() {
  avvik_dir=$1
  shift
  for avvik_preset in "$@"; do
    avvik_step "build-$avvik_preset" "Building avvik ($avvik_preset)" avvik_cmake "$avvik_dir" "$avvik_preset" ||
      return 1
  done
}

# Debian's python3-venv serves Debian's python3, so that one is taken where it is there.
avvik_python() {
  if [ -x /usr/bin/python3 ]; then echo /usr/bin/python3; else command -v python3; fi
}

avvik_venv_make() {
  rm -rf build/venv
  "$(avvik_python)" -m venv build/venv &&
    build/venv/bin/pip install --disable-pip-version-check --no-input --retries 1 -r tests/python/requirements.txt &&
    cp tests/python/requirements.txt build/venv/made-from.txt
}

# shellcheck disable=SC2034 # avvik_reason is read by the caller
# Returns 1 with the reason in $avvik_reason where Python, its venv module or the network is missing.
avvik_venv() {
  avvik_reason=
  cmp -s tests/python/requirements.txt build/venv/made-from.txt && return 0
  if [ -z "$(avvik_python)" ]; then
    avvik_reason="there is no python3"
    return 1
  fi
  avvik_step venv "Making build/venv with the Python packages of the tests" avvik_venv_make && return 0
  if grep -q -i -e 'ensurepip' build/venv.log; then
    avvik_reason="Python has no venv module (Debian package python3-venv)"
  else
    avvik_reason="the Python packages of the tests could not be fetched (no network?)"
  fi
  return 1
}

# Options for programs built with sanitizers. What is not reported: what LLVM keeps when PoCL compiles a kernel (it is C++,
# and avvik is not: nothing of ours comes from operator new), and what HDF5 1.10 loses when the header of an object is
# damaged. Other OpenCL drivers that may be installed do not live with the sanitizers at all.
avvik_sanitizer_options() {
  mkdir -p build
  printf 'leak:%s\n' libLLVM libpocl libclang-cpp libstdc++ H5FL_blk_malloc H5O_protect >build/leaks-not-ours.txt
  LSAN_OPTIONS="suppressions=$(pwd)/build/leaks-not-ours.txt:print_suppressions=0${LSAN_OPTIONS:+:$LSAN_OPTIONS}"
  UBSAN_OPTIONS="print_stacktrace=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}"
  export LSAN_OPTIONS UBSAN_OPTIONS
  if [ -f /etc/OpenCL/vendors/pocl.icd ]; then
    OCL_ICD_VENDORS=/etc/OpenCL/vendors/pocl.icd
    export OCL_ICD_VENDORS
  fi
}
