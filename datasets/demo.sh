#!/bin/sh
# Shows avvik on real data: sh datasets/demo.sh
# Installs what is missing, builds, and looks for the unusual rows among 49,097 of the Statlog Shuttle set
# (datasets/real/README.md), of which 3,511 are known to be anomalies. Takes a minute or two the first time.
set -eu
cd "$(dirname "$0")/.."
. tests/setup.sh

avvik=build/release/avvik
data=datasets/real/shuttle.h5
model=build/demo/model.h5
scores=build/demo/scores.h5
labels=$data:/shuttle/label
budget=20

now_ms() { echo $(($(date +%s%N) / 1000000)); }

# Shows a command the way it would be typed, runs it, and tells the time it took.
show() {
  printf '\n$ %s\n' "$*"
  start_ms=$(now_ms)
  "$@" 2>&1 || { status=$?; echo "demo: this command failed (exit code $status)" >&2; exit "$status"; }
  echo "  ($(($(now_ms) - start_ms)) ms)"
}

avvik_install build || exit 1
avvik_build . release || exit 1
mkdir -p build/demo

show "$avvik" fit "$data" --trees 100 --sample 256 --seed 1 --force --out "$model"
show "$avvik" score --model "$model" "$data" --force --out "$scores"
show "$avvik" flag "$scores" --budget "$budget" --labels "$labels"
show "$avvik" evaluate "$scores" --labels "$labels" --budget "$budget"

cat <<EOF

The labels were used only to judge the list, never to make it. Try next:
  $avvik flag $scores --budget 20 --by deviation --labels $labels
  $avvik devices                      what else this machine could score on
  $avvik fit --help                   then your own file: any HDF5 table of numbers, from h5py or pandas
EOF
