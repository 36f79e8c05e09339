#!/bin/sh
# Does every form of the OpenCL kernels compile, without a warning, for devices that are not here?
# sh tests/opencl_lint.sh [CLANG]
#
# clang checks the sources for NVIDIA (PTX), AMD (gfx) and SPIR-V targets with each combination of walk and nodes that
# opencl_program.c may ask for. No device, driver or SDK is needed (they would define __OPENCL_VERSION__).
set -u
cd "$(dirname "$0")/.." || exit 1
clang=${1:-clang}
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
for source in kernels/kernel_types.h kernels/*.cl; do
  echo "#line 1 \"$source\""
  cat "$source"
done >"$scratch/all.cl"
passed=0
failed=0

# lint NAME OPTION...: the same source for each target
lint() {
  name=$1
  shift
  for target in nvptx64-nvidia-nvcl amdgcn-amd-amdhsa spir64; do
    if $clang -x cl -cl-std=CL1.2 -target "$target" -Xclang -finclude-default-header -nogpulib -D__OPENCL_VERSION__=120 -fsyntax-only \
      -Wall -Wextra -Wconversion -Wno-sign-conversion -Werror "$@" "$scratch/all.cl" 2>"$scratch/log"; then
      passed=$((passed + 1))
    else
      echo "FAILED  $name for $target"
      head -n 20 "$scratch/log"
      failed=$((failed + 1))
    fi
  done
}

# shape FEATURES STRIDE HEIGHT WIDE: the walks over one shape of forest
shape() {
  common="-DAVVIK_FEATURES=${1}u -DAVVIK_STRIDE=${2}u -DAVVIK_HEIGHT=${3}u -DAVVIK_WIDE=$4"
  # shellcheck disable=SC2086
  {
    for vector in 16 8; do
      lint "lanes, vectors of $vector, $1 features" $common -DAVVIK_WALK_LANES=1 -DAVVIK_WALK_ITEMS=0 \
        -DAVVIK_VECTOR=$vector -DAVVIK_ROWS=8u
    done
    lint "local memory, $1 features" $common -DAVVIK_WALK_LANES=0 -DAVVIK_WALK_ITEMS=1 -DAVVIK_ROWS=1u -DAVVIK_GROUP=64u \
      -DAVVIK_TILE_TREES=4u -DAVVIK_IN_FLIGHT=2u -DAVVIK_LOCAL_ROWS=1
    lint "tiles only, $1 features" $common -DAVVIK_WALK_LANES=0 -DAVVIK_WALK_ITEMS=1 -DAVVIK_ROWS=1u -DAVVIK_GROUP=64u \
      -DAVVIK_TILE_TREES=1u -DAVVIK_IN_FLIGHT=1u -DAVVIK_LOCAL_ROWS=0
    lint "reasons, $1 features" $common -DAVVIK_WALK_LANES=0 -DAVVIK_WALK_ITEMS=0 -DAVVIK_REASONS=1
    lint "global memory, $1 features" $common -DAVVIK_WALK_LANES=0 -DAVVIK_WALK_ITEMS=1 -DAVVIK_ROWS=1u -DAVVIK_GROUP=64u \
      -DAVVIK_TILE_TREES=0u -DAVVIK_IN_FLIGHT=2u -DAVVIK_LOCAL_ROWS=0
  }
}

shape 16 16 8 0
shape 32 32 4 0
shape 48 48 12 0
shape 64 64 8 0
shape 65 80 8 1
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
