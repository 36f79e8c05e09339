"""How long a fit with peer groups takes, against one read of the file.

    python bench/fit_groups.py [--rows 10000000] [--features 16] [--groups 0,100,10000,1000000] [--rounds 5] [--dir DIR]

Writes a table of random amounts with two key columns (plain h5py). Then, in turns, reads it whole with h5py, column by
column; and fits it with `avvik fit --peers` (two levels). Medians over the rounds; the file is in the page cache. A read
goes into fresh memory, as one does that keeps the table ("read"), or again and again into memory that the process has
already ("into old memory"): the kernel need not find and clear pages then. HDF5 reads with one thread, whatever the number
of processors. Needs h5py and NumPy.
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


def read_into(path, memory):
    with h5py.File(path) as file:
        for column in file["t"].values():
            column.read_direct(memory.setdefault(column.dtype, np.zeros(column.shape, column.dtype)))


def seconds(work):
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def measure(path, command, rounds):
    """Medians of a read, a read into old memory and a fit; what the fit tells."""
    memory, times = {}, []
    read_into(path, memory)
    for _ in range(rounds):
        reading, _ = seconds(lambda: read(path))
        again, _ = seconds(lambda: read_into(path, memory))
        fitting, told = seconds(lambda: json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
        times.append((reading, again, fitting))
    return (*np.median(times, axis=0), told)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--features", type=int, default=16)
    parser.add_argument("--groups", default="0,100,10000,1000000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", help="where to put the files; removed afterwards")
    options = parser.parse_args()
    print("| groups | large enough | passes | read (s) | into old memory (s) | fit (s) | fit / read | fit / into old memory |\n"
          "|---:|---:|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        path, model = os.path.join(folder, "rows.h5"), os.path.join(folder, "model.h5")
        for groups in map(int, options.groups.split(",")):
            table_write(path, options.rows, options.features, groups)
            command = [AVVIK, "fit", path, "--out", model, "--force", "--json", "--quiet"]
            command += ["--peers", "outer,inner"] if groups else []
            reading, again, fitting, told = measure(path, command, options.rounds)
            print(f"| {told['groups_seen']:,} | {told['groups']:,} | {told['passes']} | {reading:.2f} | {again:.2f} | "
                  f"{fitting:.2f} | {fitting / reading:.1f} | {fitting / again:.1f} |", flush=True)


if __name__ == "__main__":
    main()
