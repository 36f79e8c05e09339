"""Medians and MADs of the model, bit for bit as NumPy and SciPy have them over all rows."""

import h5py
import numpy as np
import pytest
from scipy.stats import median_abs_deviation

import program
import sets

SMALLEST = np.finfo(np.float32).tiny


def column_of(kind, rows, random):
    x = random.normal(size=rows)
    return {
        "normal": lambda: x,
        "far": lambda: 1e7 + x,
        "skewed": lambda: 1000 * np.exp(x),
        "heavy": lambda: random.standard_cauchy(rows),
        "zeros": lambda: np.where(random.random(rows) < 0.6, 0, x),
        "half": lambda: np.arange(rows) % 2,
        "codes": lambda: np.round(3 * x),
        "cents": lambda: np.round(x * 1e4) / 100,
        "holes": lambda: np.where(random.random(rows) < 0.3, np.nan, x),
        "infinite": lambda: np.where(random.random(rows) < 0.2, np.where(x > 0.1, np.inf, -np.inf), x),
        "denormal": lambda: np.where(random.random(rows) < 0.5, 1e-40, x),
        "constant": lambda: np.full(rows, 7),
    }[kind]().astype(np.float32)


KINDS = ("normal", "far", "skewed", "heavy", "zeros", "half", "codes", "cents", "holes", "infinite", "denormal", "constant")


def statistics(model):
    with h5py.File(model) as file:
        return {name: file["/statistics"][name][:] for name in file["/statistics"]}, file.attrs["content_hash"]


def check(model, names, columns):
    with h5py.File(model) as file:
        assert [name.decode() for name in file["/features/name"][:]] == names
    got, _ = statistics(model)
    for f, name in enumerate(names):
        x = columns[name]
        x = np.where(np.abs(x) < SMALLEST, np.float32(0), x)[np.isfinite(x)]
        median = np.median(x)
        mad = median_abs_deviation(x)
        assert median.dtype == mad.dtype == np.float32
        assert got["median"][f] == median, name
        assert got["mad"][f] == mad, name
        mean = np.abs(x - median).astype(np.float64).mean() if mad == 0 else 0
        assert abs(got["mean_deviation"][f] - mean) <= 1e-13 * mean, name
        with np.errstate(divide="ignore"):
            scale = 0.6745 / np.float64(mad) if mad > 0 else 1 / (1.253314 * mean) if mean > 0 else 0
        assert got["center32"][f] == median and got["rscale32"][f] == np.float32(scale), name


@pytest.mark.parametrize("rows", [17, 1000, 16_385, 200_001])
def test_whole_data(rows, tmp_path):
    random = np.random.default_rng(rows)
    columns = {kind: column_of(kind, rows, random) for kind in sorted(KINDS)}
    path = sets.write_table(tmp_path / "batch.h5", columns)
    hashes = set()
    for number, threads in enumerate((1, 2, 5)):
        model = tmp_path / f"model{number}.h5"
        told = program.ok_json("fit", path, "--trees", 100, "--out", model, "--threads", threads)
        assert told["passes"] == (2 if rows > 100 else told["passes"])
        hashes.add(statistics(model)[1])
    check(model, sorted(columns), columns)
    assert len(hashes) == 1


def test_short_of_memory(tmp_path):
    """Many columns and little room: some are counted instead of kept, in more passes, and nothing else changes."""
    random = np.random.default_rng(5)
    columns = {f"x{k:03}": column_of(KINDS[k % 4], 150_000, random) for k in range(60)}
    path = sets.write_table(tmp_path / "batch.h5", columns)
    large, small = tmp_path / "large.h5", tmp_path / "small.h5"
    options = ("--trees", 20, "--sample", 64, "--threads", 2, "--calibration", 0)
    assert program.ok_json("fit", path, *options, "--out", large)["passes"] == 2
    told = program.ok_json("fit", path, *options, "--out", small, "--memory", "66M")
    assert 4 < told["passes"] <= 1 + 3 + 6
    check(small, sorted(columns), columns)
    assert statistics(small)[1] == statistics(large)[1]


def test_classical(tmp_path):
    random = np.random.default_rng(6)
    columns = {kind: column_of(kind, 3000, random) for kind in sorted(KINDS)}
    path = sets.write_table(tmp_path / "batch.h5", columns)
    model = tmp_path / "model.h5"
    assert program.ok_json("fit", path, "--deviation", "classical", "--out", model)["passes"] == 1
    got, _ = statistics(model)
    assert not got["median"].any() and not got["mad"].any() and not got["mean_deviation"].any()
    assert np.array_equal(got["center32"], got["mean"].astype(np.float32))
    assert program.ok_json("model", "show", model)["deviation"] == "classical"
    program.fails(program.WRONG_USAGE, "fit", path, "--deviation", "quantum", "--out", tmp_path / "never.h5",
                  names=["quantum", "robust", "classical"], folder=tmp_path)
