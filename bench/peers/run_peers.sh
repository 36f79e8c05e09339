#!/bin/sh
# Times avvik against other people's libraries on the same rows and trees: sh bench/peers/run_peers.sh [OPTIONS]
# Options go to compare_peers.py (--help lists them). Makes build/venv-peers (isotree is compiled: some minutes) and
# build/release where they are missing; a library that cannot be installed is left out by name.
cd "$(dirname "$0")/../.." || exit 1
. tests/setup.sh
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE # they hold back NumPy's BLAS

venv=build/venv-peers
made=$venv/made-from-peers.txt # what has been tried, so that a second run asks no one
mkdir -p build

# peer NAME PACKAGE...: the last package may need a compiler, so each has a line and a log of its own.
peer() {
  name=$1
  shift
  grep -qx "$name" "$made" && return
  if avvik_step "venv-peers-$name" "Installing $name" \
    "$venv/bin/pip" install --disable-pip-version-check --no-input --retries 1 "$@"; then
    echo "$name" >>"$made"
  else
    echo "  $name is left out; all of the reason is in build/venv-peers-$name.log"
  fi
}

if [ ! -x "$venv/bin/pip" ]; then
  avvik_step venv-peers "Making $venv" "$(avvik_python)" -m venv "$venv" || exit 1
fi
touch "$made"
peer numpy numpy
peer h5py h5py
peer scikit-learn scikit-learn
peer isotree isotree pandas
peer xgboost xgboost-cpu # XGBoost without its GPU code
peer onnxruntime onnxruntime onnx
peer coniferest coniferest

if [ ! -x build/release/avvik ]; then
  avvik_install build || exit 1
  avvik_build . release || exit 1
fi
exec "$venv/bin/python" bench/peers/compare_peers.py "$@"
