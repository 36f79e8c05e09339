#!/bin/sh
# Shows avvik on real data and on a synthetic country: sh datasets/demo.sh
# Installs what is missing, builds, and looks for the unusual rows among 49,097 of the Statlog Shuttle set
# (datasets/real/README.md), of which 3,511 are known to be anomalies; then makes 100,000 persons who never existed, scores a
# night of their benefits and puts the truth beside the list. Takes a minute or two the first time.
set -eu
cd "$(dirname "$0")/.."
. tests/setup.sh

avvik=build/release/avvik
data=datasets/real/shuttle.h5
model=build/demo/model.h5
scores=build/demo/scores.h5
labels=$data:/shuttle/label
budget=20
country=build/demo/country
night=$country/batch_2025-12.h5
truth=$country/truth.h5:/batch_2025-12/benefit/label

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

The labels were used only to judge the list, never to make it. Now a country that never existed: a model of eleven months, and
the payments of the twelfth.
EOF
show "$avvik" synth --persons 100000 --months 12 --force --out "$country"
show "$avvik" fit "$country"/batch_2025-0[1-9].h5 "$country"/batch_2025-1[01].h5 --table /benefit --quiet --force --out build/demo/country-model.h5
show "$avvik" score --model build/demo/country-model.h5 "$night" --quiet --force --out build/demo/country-scores.h5
show "$avvik" flag build/demo/country-scores.h5 --budget "$budget" --labels "$truth"
show "$avvik" evaluate build/demo/country-scores.h5 --labels "$truth"
"$avvik" flag build/demo/country-scores.h5 --budget "$budget" --json >build/demo/flags.json
cat <<EOF

Why are they there? The first two of the list, explained; then all of them on one page.
EOF
show "$avvik" explain build/demo/country-scores.h5 --model build/demo/country-model.h5 --flagged build/demo/flags.json --first 2 --reasons 3
show "$avvik" explain build/demo/country-scores.h5 --model build/demo/country-model.h5 --flagged build/demo/flags.json --quiet --force --jsonl build/demo/cases.jsonl
show "$avvik" report build/demo/cases.jsonl --force --out build/demo/report.html
show "$avvik" find "$country/registry.h5" --age 30..40 --municipality 0301 --benefit dagpenger --event job_lost --limit 5
cat <<EOF

The list has the payments that deviate most, and hardly any that belongs to a typology: no column, and no single row, gives
those away. What does lies between tables, peers and months (datasets/README.md). Why each of them is there stands in
build/demo/report.html, for any browser. Try next:
  $avvik check $night --table /benefit --truth $country/truth.h5
  $avvik synth --help                 more persons, more months, other typologies
  $avvik explain build/demo/country-scores.h5 --model build/demo/country-model.h5 --rows 42 --language nb
  $avvik devices                      what else this machine could score on
  $avvik fit --help                   then your own file: any HDF5 table of numbers, from h5py or pandas
EOF
