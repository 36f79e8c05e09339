"""Nights in the tests: a folder with night.yaml, batches and history, and all that a night leaves."""

import json
import re
import shutil

import h5py
import numpy as np

import program
import sets
from program import DONE

GATE = 7
NIGHT = "2026-11-24"
SOURCE = program.ROOT / "host" / "night"

PLAIN = """\
runs: runs
table: t
inputs:
  - in/*-{date}.h5
model:
  path: models/m.h5
  fit:
    from: [history/*.h5]
    every: 30 days
    trees: 20
    sample: 64
score:
  backend: scalar
flag:
  budget: 40
results: lists
metrics: night.prom
"""


class Place:
    """A folder with a night.yaml, batches of one night, and history to learn from."""

    def __init__(self, folder, text=PLAIN, rows=(900, 700), date=NIGHT):
        self.folder = folder
        self.config = folder / "night.yaml"
        self.date = date
        for name in ("in", "history", "models"):
            (folder / name).mkdir(parents=True)
        self.write(text)
        sets.write_table(folder / "history" / "h.h5", sets.random_columns(1500, 5, seed=9), table="t")
        self.inputs = [self.batch(name, n, seed) for seed, (name, n) in enumerate(zip("abcdefgh", rows))]

    def write(self, text):
        self.config.write_text(text, encoding="utf-8")

    def batch(self, name, rows, seed, date=None):
        columns = sets.random_columns(rows, 5, seed=seed)
        columns["x002"][::50] = np.nan
        return sets.write_table(self.folder / "in" / f"{name}-{date or self.date}.h5", columns)

    def run(self, *arguments, date=None, **options):
        return program.run("night", self.config, "--date", date or self.date, *arguments, **options)

    def ok(self, *arguments, **options):
        result = self.run(*arguments, **options)
        assert result.returncode == DONE, result.stdout + result.stderr
        return result

    @property
    def night(self):
        return self.folder / "runs" / self.date

    @property
    def manifest(self):
        return json.loads((self.night / "manifest.json").read_text())

    def clean(self):
        for name in ("runs", "lists", "models"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        (self.folder / "models").mkdir()
        (self.folder / "night.prom").unlink(missing_ok=True)


def flat(path):
    """Everything in one of avvik's HDF5 files but the time it was made."""
    found = {}
    with h5py.File(path) as file:
        def take(name, item):
            for key, value in item.attrs.items():
                if key not in ("created", "input_state"):  # the latter: when the input was written
                    found[f"{name}@{key}"] = np.asarray(value).tobytes()
            if isinstance(item, h5py.Dataset):
                found[name] = (str(item.dtype), item.shape, item[()].tobytes())
        take("", file)
        file.visititems(take)
    return found

TIMES = {"began", "ended", "seconds", "runs", "key", "mtime_ns", "inode", "created", "timings", "elapsed_seconds"}


def timeless(value, path=None):
    """A JSON document without what may differ from run to run: times, and hashes of bytes that hold a time."""
    if isinstance(value, dict):
        drop = TIMES | ({"hash"} if str(value.get("path", "")).endswith(".json") or
                        re.search(r"(model|scores)\.h5$", str(value.get("path", ""))) else set())
        drop |= {"bytes"} if str(value.get("path", "")).endswith("check.json") else set()
        drop |= {"threads"} if "stages" in value else set()
        return {key: timeless(item) for key, item in value.items()
                if key not in drop and not key.endswith(("seconds", "per_second", "_ns"))}
    if isinstance(value, list):
        return [timeless(item) for item in value]
    return value


def outcome(place):
    """All that a night leaves, without its times. Nothing unfinished may lie about."""
    left = {}
    for base in (place.night, place.folder / "lists", place.folder / "models"):
        for path in sorted(base.rglob("*")):
            name = str(path.relative_to(place.folder))
            assert not name.endswith((".partial", ".journal")), f"{name} was left behind"
            if path.suffix == ".h5":
                left[name] = flat(path)
            elif path.suffix == ".json" and path.name != "flags.json":
                left[name] = timeless(json.loads(path.read_text()))
            elif path.is_file():
                left[name] = path.read_bytes()
    return left


def assert_same(got, wanted):
    assert sorted(got) == sorted(wanted)
    for name in wanted:
        assert got[name] == wanted[name], name


def step(manifest, name):
    return [unit for unit in manifest["steps"] if unit["step"] == name]


def tree(folder):
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns, path.lstat().st_ino)
            for path in [folder, *folder.rglob("*")]}
