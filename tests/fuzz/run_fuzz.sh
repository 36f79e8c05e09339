#!/bin/sh
# Runs the fuzz targets of this folder one after the other: sh tests/fuzz/run_fuzz.sh [SECONDS EACH]
#
# Needs clang, and build/venv for the first inputs (sh tests/run.sh makes both). What is found is kept in
# build/fuzz/corpus-TARGET and taken up again the next time; an input that fails lies in build/fuzz as crash-*.
set -eu
cd "$(dirname "$0")/../.."
. tests/setup.sh
seconds=${1:-300}

cmake -S . -B build/fuzz -G Ninja -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  -DAVVIK_SANITIZE=fuzzer-no-link,address,undefined >build/fuzz.log
avvik_venv
avvik_sanitizer_options
for source in tests/fuzz/fuzz_*.c; do
  target=$(basename "$source" .c)
  cmake --build build/fuzz --target "$target" >>build/fuzz.log
  corpus=build/fuzz/corpus-$target
  mkdir -p "$corpus"
  build/venv/bin/python tests/fuzz/seeds.py "$target" "$corpus"
  echo "$target: $seconds s"
  build/fuzz/tests/"$target" -max_total_time="$seconds" -max_len=8192 -rss_limit_mb=1024 -timeout=10 -verbosity=0 \
    -print_final_stats=1 -artifact_prefix=build/fuzz/ "$corpus"
done
