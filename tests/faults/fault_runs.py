"""Runs that are killed, denied the disk or robbed of what was not synced, and what must come of them."""

import dataclasses
import errno
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import time

import h5py
import numpy as np

import program
import sets

SHIM = pathlib.Path(program.AVVIK).parent / "tests" / "fault_shim.so"
FULL = os.environ.get("AVVIK_FAULTS") == "full"
ROWS = 40_000


def some(quick, full):
    """How much of it: `quick` in the quick selection, `full` by hand (run_faults.sh)."""
    return full if FULL else quick


def content(path):
    """The bytes of an output but for the time at which its run began."""
    with h5py.File(path) as file:
        created = file.attrs["created"]
    created = created if isinstance(created, bytes) else created.encode()
    data = path.read_bytes()
    assert data.count(created) == 1
    return data.replace(created, b"*" * len(created))


@dataclasses.dataclass
class Ending:
    """How a run of the program ended, and whether what the shim was told to do has happened."""
    code: int
    error: str
    has_fired: bool
    calls: int = 0
    file: str = ""  # that the call was about

    def insist(self, *codes):
        assert self.code in codes, f"exit code {self.code}, not one of {codes}: {self.error}"
        lines = self.error.splitlines()
        if self.code == 0:
            assert lines == [], self.error
        elif self.code > 0:
            assert len(lines) == 1 and lines[0].startswith("avvik: ") and len(lines[0]) > 20, self.error
        return self


@dataclasses.dataclass
class Job:
    """A run of avvik that writes one file into a folder of its own. arguments: without --out and --resume."""
    arguments: list
    folder: pathlib.Path
    threads: tuple = (1, 2, 4)
    reference: bytes = b""
    seconds: float = 0
    seed: int = 1

    def __post_init__(self):
        self.random = random.Random(self.seed)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.out = self.folder / "out.h5"
        started = time.monotonic()
        self.run().insist(program.DONE)
        self.seconds = time.monotonic() - started
        self.reference = content(self.out)
        self.calls = self.run("--force", FAULT_AT=0).insist(program.DONE).calls
        assert content(self.out) == self.reference, "two undisturbed runs differ"

    def command(self, *more):
        return [program.AVVIK, *map(str, self.arguments), "--quiet", "--checkpoint", "0", "--threads",
                str(self.random.choice(self.threads)), "--out", str(self.out), *more]

    def run(self, *more, limit=None, **fault):
        """Run to the end, under the shim if any FAULT_ variable is given."""
        env, log = program.environment(), self.folder.parent / f"{self.folder.name}.log"
        log.unlink(missing_ok=True)
        if fault:
            env.update(LD_PRELOAD=str(SHIM), FAULT_DIR=str(self.folder), FAULT_LOG=str(log),
                       **{name: str(value) for name, value in fault.items()})
        result = subprocess.run(self.command(*more), stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
                                env=env, timeout=120, check=False, preexec_fn=limit)
        told = log.read_text().splitlines() if fault else []
        has_fired = "fired" in told
        return Ending(result.returncode, result.stderr, has_fired, len(told) - has_fired,
                      told[told.index("fired") - 1].split()[2] if has_fired else "")

    def kill_after(self, seconds, *more):
        """Start, and kill -9 after that time. Returns None if it was killed, else how it ended."""
        with subprocess.Popen(self.command(*more), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8",
                              env=program.environment()) as process:
            try:
                _, told = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                _, told = process.communicate()
        return None if process.returncode == -signal.SIGKILL else Ending(process.returncode, told, False)

    def clear(self):
        for path in self.folder.iterdir():
            path.unlink()

    def left(self):
        return sorted(path.name for path in self.folder.iterdir())

    def insist_complete(self):
        """The output is that of an undisturbed run, and nothing else lies there."""
        assert self.left() == ["out.h5"], self.left()
        assert content(self.out) == self.reference, "the output differs from that of an undisturbed run"

    def recover(self, *, resume=True):
        """The fault is gone: the next run completes the output. Without --resume it is made anew."""
        self.run(*(["--resume"] if resume else ["--force"])).insist(program.DONE)
        self.insist_complete()
        self.clear()

    def keep_aside(self):
        """A copy of what a run has left, for another try at going on from it."""
        aside = self.folder.parent / f"{self.folder.name}.aside"
        shutil.rmtree(aside, ignore_errors=True)
        shutil.copytree(self.folder, aside, symlinks=True)
        return aside

    def put_back(self, aside):
        self.clear()
        for path in aside.iterdir():
            shutil.copy2(path, self.folder / path.name, follow_symlinks=False)


def damage(path, column, offset, n=64):
    """Overwrite stored bytes of a column's second chunk."""
    with h5py.File(path) as file:
        chunk = file[column].id.get_chunk_info(1)
    with open(path, "r+b") as file:
        file.seek(chunk.byte_offset + offset)
        file.write(b"\xa5" * n)


def make_inputs(folder):
    """Batches of all kinds that a run may read, and a model of them."""
    columns = sets.random_columns(ROWS, 4)
    sets.write_table(folder / "plain.h5", columns)
    sets.write_table(folder / "deflate.h5", columns, chunks=(5000,), compression="gzip", shuffle=True, fletcher32=True)
    sets.write_table(folder / "damaged.h5", columns, chunks=(5000,), compression="gzip", shuffle=True, fletcher32=True)
    damage(folder / "damaged.h5", "t/x001", 100)
    parts = np.array_split(np.arange(ROWS), 3)
    for i, rows in enumerate(parts):
        sets.write_table(folder / f"part{i}.h5", {name: values[rows] for name, values in columns.items()})
    sets.write_table(folder / "large.h5", {**sets.random_columns(5 * ROWS, 4),
                                           "group": np.arange(5 * ROWS, dtype=np.int32) ** 2 % 11})
    program.ok("fit", folder / "plain.h5", "--trees", 40, "--sample", 128, "--out", folder / "model.h5")
    program.ok("fit", folder / "plain.h5", "--trees", 41, "--sample", 128, "--out", folder / "other.h5")
    return folder


def job(kind, inputs, folder, **options):
    score = ["score", "--backend", "scalar", "--model", inputs / "model.h5"]
    return Job({"score": [*score, inputs / "plain.h5"],
                "compress": [*score, inputs / "plain.h5", "--compress"],
                "deflate": [*score, inputs / "deflate.h5"],
                "several": [*score, *(inputs / f"part{i}.h5" for i in range(3))],
                "damaged": [*score, inputs / "damaged.h5", "--skip-damaged"],
                "fit": ["fit", inputs / "large.h5", "--trees", 30, "--sample", 256,
                        "--peers", "group"]}[kind], folder / kind, **options)


KINDS = ["score", "compress", "deflate", "several", "damaged", "fit"]
ENOSPC, EIO = errno.ENOSPC, errno.EIO


def sentence(ending, *parts):
    for part in parts:
        assert re.search(str(part), ending.error), f"'{part}' is not in: {ending.error}"
