"""How long it takes to explain rows, against scoring them: both by the library, from memory, one thread each, in turns.

    python bench/explain_rows.py [--rows 1000000] [--features 16] [--trees 100] [--backend auto] [--explain-on auto]
                                 [--turns 5]

Calls avvik_worker_score() (path sums and z-scores) and avvik_explainer_contributions() (what each feature adds to the path sum)
through ctypes on the same rows, checks that the contributions add up to the path sums, and prints the best of each and their
ratio. Needs h5py and NumPy, and build/release or AVVIK_BUILD.
"""

import argparse
import ctypes
import os
import pathlib
import subprocess
import tempfile
import time

import h5py
import numpy as np

BUILD = pathlib.Path(os.environ.get("AVVIK_BUILD", pathlib.Path(__file__).resolve().parents[1] / "build" / "release"))
BLOCK = 65536


class Rows(ctypes.Structure):
    _fields_ = [("values", ctypes.c_void_p), ("n_rows", ctypes.c_size_t), ("row_stride", ctypes.c_size_t),
                ("column_stride", ctypes.c_size_t), ("groups", ctypes.c_void_p)]


class Scores(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("path_sum", "deviation", "deviation_feature", "beyond", "missing",
                                                     "column_missing", "column_infinite", "joint", "tails")]


def done(status):
    assert status == 0, f"status {status}"


def model_make(folder, features, trees):
    random = np.random.default_rng(1)
    with h5py.File(folder / "rows.h5", "w") as file:
        for f in range(features):
            file[f"t/x{f:02}"] = random.standard_normal(50_000, dtype=np.float32)
    subprocess.run([BUILD / "avvik", "fit", folder / "rows.h5", "--trees", str(trees), "--quiet", "--out",
                    folder / "model.h5"], check=True)
    return str(folder / "model.h5").encode()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=16)
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--explain-on", default="auto")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    library = ctypes.CDLL(str(BUILD / "libavvik.so"))
    library.avvik_explainer_expected.restype = ctypes.c_int64
    library.avvik_engine_backend.restype = ctypes.c_char_p
    model, engine, worker, explainer = (ctypes.c_void_p() for _ in range(4))
    with tempfile.TemporaryDirectory() as folder:
        path = model_make(pathlib.Path(folder), options.features, options.trees)
        done(library.avvik_model_load(path, ctypes.byref(model), None))
    done(library.avvik_engine_open(model, options.backend.encode(), ctypes.byref(engine), None))
    done(library.avvik_worker_create(engine, ctypes.c_size_t(BLOCK), ctypes.byref(worker), None))
    done(library.avvik_explainer_open(model, options.explain_on.encode(), ctypes.byref(explainer), None))

    n, width = options.rows, options.features
    values = np.random.default_rng(2).standard_normal((width, n), dtype=np.float32)
    path_sum, deviation = np.zeros(n, np.int32), np.zeros(n, np.float32)
    small, contributions = np.zeros((3, n), np.uint16), np.zeros((n, width), np.int64)

    def blocks():
        for first in range(0, n, BLOCK):
            yield first, Rows(values[:, first:].ctypes.data, min(BLOCK, n - first), 1, n, None)

    def score():
        for first, rows in blocks():
            scores = Scores(path_sum[first:].ctypes.data, deviation[first:].ctypes.data,
                            *(column[first:].ctypes.data for column in small), None, None, None, None)
            done(library.avvik_worker_score(worker, ctypes.byref(rows), ctypes.byref(scores), None))

    def explain():
        for first, rows in blocks():
            done(library.avvik_explainer_contributions(explainer, ctypes.byref(rows),
                                                       contributions[first:].ctypes.data_as(ctypes.c_void_p), None))

    best = {}
    for _ in range(options.turns):
        for work in (score, explain):
            start = time.perf_counter()
            work()
            best[work] = min(best.get(work, np.inf), time.perf_counter() - start)
    expected = library.avvik_explainer_expected(explainer)
    assert (contributions.sum(axis=1) + expected == 512 * path_sum.astype(np.int64)).all(), "contributions do not add up"
    print(f"{n:,} rows x {width} features, {options.trees} trees, one thread: scored in {best[score]:.3f} s "
          f"({library.avvik_engine_backend(engine).decode()}), explained in {best[explain]:.3f} s ({options.explain_on}): "
          f"{best[explain] / best[score]:.2f} times as long")


main()
