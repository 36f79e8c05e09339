#!/bin/sh
# What do the compilers of GPUs that are not here make of the OpenCL kernels?
#
#   sh tests/opencl_offline.sh [-o OPTIONS_PROGRAM] [nvidia] [amd] [spirv]   (default: all that have their tools)
#   sh tests/opencl_offline.sh missing nvidia|amd|spirv                      prints the first tool that is missing
#
# Every kernel is compiled with the options that avvik itself would use on such a device (OPTIONS_PROGRAM, default
# build/release/tests/opencl_options, asks its code), for 8 to 100 features: for NVIDIA by clang to PTX and by ptxas to machine
# code, for AMD by clang to machine code, to SPIR-V by clang and llvm-spirv, checked by spirv-val. Prints a table in
# Markdown; fails on a register that is spilled, on private memory (a stack), and on whatever does not compile.
#
# A cell is: registers of a work-item (AMD: vector / scalar), local memory of a work-group, occupancy on paper. NVIDIA:
#   warps that are resident / warps that a multiprocessor can hold, for as many groups as its registers (65,536, given out
#   to a warp by 256), its shared memory (1 KB of which every group takes from sm_80 on) and its limit of groups allow;
# AMD: waves a SIMD unit holds, as LLVM reports it, of the 8 (gfx90a) or 16 (gfx1100) that it can.
set -u
cd "$(dirname "$0")/.." || exit 1
PATH=$PATH:/usr/local/cuda/bin
clang="clang-15"
libclc=/usr/lib/clc
row_group=64 # ROW_GROUP of opencl_worker.c: work-items of a group in the kernels that take a row each
options=build/release/tests/opencl_options

missing() { # FAMILY: the first thing it needs that is not here
  case $1 in
    nvidia) needs="$clang ptxas $libclc/nvptx64--nvidiacl.bc" ;;
    amd) needs="$clang $libclc/amdgcn--amdhsa.bc" ;;
    spirv) needs="$clang llvm-spirv-15 spirv-val" ;;
    *)
      echo "no such family: $1" >&2
      exit 2
      ;;
  esac
  for need in $needs; do
    if ! command -v "$need" >/dev/null && [ ! -r "$need" ]; then
      echo "$need"
      return
    fi
  done
}

if [ "${1:-}" = missing ]; then
  missing "${2:-}"
  exit
fi
if [ "${1:-}" = -o ]; then
  options=$2
  shift 2
fi
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
for source in kernels/kernel_types.h kernels/*.cl; do
  echo "#line 1 \"$source\""
  cat "$source"
done >"$scratch/all.cl"
: >"$scratch/cells"
compiled=0
failed=0

fail() { # WORDS [LOG]
  echo "FAILED  $1" >&2
  [ $# = 1 ] || head -n 20 "$2" >&2
  failed=$((failed + 1))
}

compile() { # OUTPUT CLANG-OPTIONS...
  output=$1
  shift
  # shellcheck disable=SC2086 # $defines is a list
  $clang -x cl $defines -Xclang -finclude-default-header -nogpulib -D__OPENCL_VERSION__=120 -Wall -Wextra -Werror \
    -Wno-linker-warnings -o "$output" "$@" "$scratch/all.cl" >"$scratch/log" 2>&1
}

# cells TARGET: standard input is a line a kernel, "kernel registers local spilled stack occupancy"; adds what is to be
# printed to the cells and fails on spills.
cells() {
  while read -r kernel registers local_bytes spilled stack occupancy; do
    if [ "$spilled" != 0 ] || [ "$stack" != 0 ]; then
      fail "$kernel ($shape) for $1: $spilled spilled, $stack bytes of private memory"
    fi
    case $kernel in
      forest_path) echo "$kernel;$walk;$features;$1;$registers, $((local_bytes / 1024)) KB, $occupancy %" ;;
      *) if [ "$walk" = local ]; then echo "$kernel;;$features;$1;$registers, $occupancy %"; fi ;;
    esac >>"$scratch/$printed"
  done <"$scratch/found"
}

nvidia() {
  compile "$scratch/all.ptx" -O3 -target nvptx64-nvidia-nvcl -march=sm_70 -S \
    -Xclang -mlink-builtin-bitcode -Xclang "$libclc/nvptx64--nvidiacl.bc" || { fail "NVIDIA, $shape" "$scratch/log"; return; }
  for arch in $nvidia_archs; do
    if ! ptxas -arch="$arch" -v -o "$scratch/cubin" "$scratch/all.ptx" >"$scratch/log" 2>&1; then
      fail "$arch, $shape" "$scratch/log"
      continue
    fi
    awk -v arch="$arch" -v forest_group="$group" -v row_group="$row_group" '
      BEGIN {
        max_warps = arch == "sm_75" ? 32 : 64
        max_groups = arch == "sm_75" ? 16 : 32
        shared["sm_70"] = 96; shared["sm_75"] = 64; shared["sm_80"] = 164; shared["sm_90"] = 228
        reserved = arch >= "sm_80" ? 1024 : 0
      }
      /Compiling entry function/ { split($0, word, "\047"); kernel = word[2] }
      /bytes stack frame/ { stack = $1; spilled = $5 + $9 }
      /Used [0-9]+ registers/ {
        local_bytes = 0
        for (i = 2; i <= NF; i++) {
          if ($i ~ /^registers/) registers = $(i - 1)
          if ($i ~ /^smem/) local_bytes = $(i - 2)
        }
        group = kernel == "forest_path" ? forest_group : row_group
        warps = int((group + 31) / 32)
        groups = int(int(65536 / (int((registers + 7) / 8) * 256)) / warps)
        by_shared = int(shared[arch] * 1024 / (local_bytes + reserved + 1e-9))
        if (by_shared < groups) groups = by_shared
        if (max_groups < groups) groups = max_groups
        if (int(max_warps / warps) < groups) groups = int(max_warps / warps)
        print kernel, registers, local_bytes, spilled, stack, int(100 * groups * warps / max_warps)
      }' "$scratch/log" >"$scratch/found"
    [ "$(wc -l <"$scratch/found")" = 3 ] || fail "$arch, $shape: not every kernel was reported" "$scratch/log"
    cells "$arch"
    compiled=$((compiled + 1))
  done
}

amd() {
  for arch in gfx90a gfx1100; do
    if ! compile "$scratch/all.s" -O3 -target amdgcn-amd-amdhsa -mcpu=$arch -S -Rpass-analysis=kernel-resource-usage \
      -Xclang -mlink-builtin-bitcode -Xclang "$libclc/amdgcn--amdhsa.bc"; then
      fail "$arch, $shape" "$scratch/log"
      continue
    fi
    sed -n 's/^[^ ]* remark: *\(.*\) \[-Rpass.*$/\1/p' "$scratch/log" | awk -F': *' -v most="$([ $arch = gfx90a ] && echo 8 || echo 16)" '
      $1 == "Function Name" { kernel = $2 }
      $1 == "SGPRs" { scalar = $2 }
      $1 == "VGPRs" { vector = $2 }
      $1 == "ScratchSize [bytes/lane]" { stack = $2 }
      $1 == "Occupancy [waves/SIMD]" { waves = $2 }
      $1 == "SGPRs Spill" { spilled = $2 }
      $1 == "VGPRs Spill" { spilled += $2 }
      $1 == "LDS Size [bytes/block]" { print kernel, vector "/" scalar, $2, spilled, stack, int(100 * waves / most) }
      ' >"$scratch/found"
    [ "$(wc -l <"$scratch/found")" = 3 ] || fail "$arch, $shape: not every kernel was reported" "$scratch/log"
    cells "$arch"
    compiled=$((compiled + 1))
  done
}

spirv() {
  if compile "$scratch/all.bc" -O0 -target spir64 -emit-llvm -c &&
    llvm-spirv-15 --spirv-max-version=1.0 -o "$scratch/all.spv" "$scratch/all.bc" >"$scratch/log" 2>&1 &&
    spirv-val --target-env opencl1.2 "$scratch/all.spv" >"$scratch/log" 2>&1; then
    compiled=$((compiled + 1))
  else
    fail "SPIR-V, $shape" "$scratch/log"
  fi
}

# shape FEATURES HEIGHT WALK: one forest of 100 trees, for every family
shape() {
  features=$1
  walk=$3
  shape="$1 features, height $2, walk $3"
  printed=cells
  [ "$2" = 8 ] || printed=not_printed
  for family in $families; do
    case $family in # work-items of a group and local memory, as those devices report them
      nvidia) device="1024 49152" ;;
      amd) device="256 65536" ;;
      spirv) device="512 65536" ;;
    esac
    # shellcheck disable=SC2086 # two numbers
    if ! defines=$(if [ "$walk" != local ]; then export AVVIK_OPENCL_WALK="$walk"; fi && "$options" "$1" "$2" 100 $device); then
      fail "$shape: $options gave no options"
      continue
    fi
    group=$(echo "$defines" | sed 's/.*AVVIK_GROUP=\([0-9]*\)u.*/\1/')
    $family
  done
}

families=
wanted=${*:-nvidia amd spirv}
for family in $wanted; do
  need=$(missing "$family")
  if [ -z "$need" ]; then
    families="$families $family"
  elif [ $# != 0 ]; then
    fail "$family: $need is missing"
  else
    echo "SKIPPED $family: $need is missing" >&2
  fi
done
nvidia_archs=
if [ "${families#*nvidia}" != "$families" ]; then
  # CUDA 13 dropped sm_70: then the oldest that it has.
  oldest=$(ptxas --help | grep -o "'sm_7[05]'" | tr -d "'" | sort | head -n 1)
  nvidia_archs="$oldest sm_80 sm_90"
fi

for features in 8 16 32 64 100; do
  shape "$features" 8 local
  shape "$features" 8 global
done
shape 16 4 local
shape 16 12 local
shape 100 12 local
if [ "${families#*spirv}" != "$families" ]; then # what a CPU would be given
  families=spirv
  shape 16 8 lanes:16
  shape 64 8 lanes:8
  shape 100 8 lanes:16
fi

awk -F';' '
  !($4 in column) { column[$4] = ++n_columns; target[n_columns] = $4 }
  {
    row = $1 (($2 == "") ? "" : ", " $2) " | " $3
    if (!(row in at)) { at[row] = ++n_rows; name[n_rows] = row; order[n_rows] = $1 $2 sprintf("%04d", $3) }
    cell[at[row], column[$4]] = $5
  }
  END {
    line = "| kernel, walk | features |"; rule = "|---|---|"
    for (c = 1; c <= n_columns; c++) { line = line " " target[c] " |"; rule = rule "---|" }
    if (n_rows > 0) { print line; print rule }
    for (r = 1; r <= n_rows; r++) { # by kernel and walk
      best = 0
      for (i = 1; i <= n_rows; i++) if (!(i in done) && (best == 0 || order[i] < order[best])) best = i
      done[best] = 1
      line = "| " name[best] " |"
      for (c = 1; c <= n_columns; c++) line = line " " cell[best, c] " |"
      print line
    }
  }' "$scratch/cells"
echo
echo "$compiled programs compiled, $failed faults"
[ "$failed" = 0 ]
