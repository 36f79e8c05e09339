"""How long a fit with peer groups takes, against one read of the file.

    python bench/fit_groups.py [--rows 10000000] [--features 16] [--groups 0,100,10000,1000000] [--dir DIR]

Writes a table of random amounts with two key columns (plain h5py), reads it once with h5py, column by column into fresh
memory, and fits it with `avvik fit --peers` (two levels), best of three each, files in the page cache. Needs h5py and NumPy.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

import h5py
import numpy as np

AVVIK = os.environ.get("AVVIK", str(pathlib.Path(__file__).resolve().parents[1] / "build" / "release" / "avvik"))


def table_write(path, rows, features, groups):
    """`groups` pairs of codes, all about equally frequent; 0: no keys."""
    random = np.random.default_rng(1)
    with h5py.File(path, "w") as file:
        table = file.create_group("t")
        if groups:
            code = random.integers(0, groups, rows)
            inner = max(1, int(groups**0.5))
            table["outer"] = (code // inner).astype(np.int32)
            table["inner"] = (code % inner).astype(np.int16)
        for f in range(features):
            table[f"x{f:02}"] = random.standard_normal(rows, dtype=np.float32) * np.float32(10) + np.float32(50)


def read(path):
    with h5py.File(path) as file:
        return sum(len(column[:]) for column in file["t"].values())


def best_of_three(work):
    times = []
    for _ in range(3):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return min(times), result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--features", type=int, default=16)
    parser.add_argument("--groups", default="0,100,10000,1000000")
    parser.add_argument("--dir", help="where to put the files; removed afterwards")
    options = parser.parse_args()
    print("| groups | large enough | passes | read (s) | fit (s) | fit / read |\n|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        path, model = os.path.join(folder, "rows.h5"), os.path.join(folder, "model.h5")
        for groups in map(int, options.groups.split(",")):
            table_write(path, options.rows, options.features, groups)
            command = [AVVIK, "fit", path, "--out", model, "--force", "--json", "--quiet"]
            command += ["--peers", "outer,inner"] if groups else []
            reading, _ = best_of_three(lambda: read(path))
            fitting, told = best_of_three(lambda: json.loads(subprocess.run(
                command, check=True, stdout=subprocess.PIPE).stdout))
            print(f"| {told['groups_seen']:,} | {told['groups']:,} | {told['passes']} | {reading:.2f} | {fitting:.2f} | "
                  f"{fitting / reading:.1f} |", flush=True)


if __name__ == "__main__":
    main()
