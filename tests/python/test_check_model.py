"""avvik check against a model: shift as SciPy and a stability index written from its definition have it; and gates."""

import re

import h5py
import numpy as np
import pytest
import scipy.stats

import program
import sets
from checking import BREACHED, ROWS, check, column_of, config, day, found, write
from program import BAD_INPUT, DONE, fails


# --- against a model ---

def training(random):
    n = 4096
    return {"normal": random.normal(size=n), "heavy": random.lognormal(sigma=2, size=n),
            "code": random.integers(0, 5, n).astype(float), "rare": (random.random(n) < 0.03).astype(float),
            "common": (random.random(n) < 0.97).astype(float), "tied": np.round(random.normal(size=n), 1),
            "many": random.integers(0, 1000, n).astype(float),
            "few": random.choice(4, n, p=[0.04, 0.05, 0.87, 0.04]).astype(float)}


def later(random, n):
    return {"normal": random.normal(loc=0.3, size=n), "heavy": random.lognormal(sigma=2, size=n),
            "code": random.integers(0, 6, n).astype(float), "rare": (random.random(n) < 0.3).astype(float),
            "common": (random.random(n) < 0.9).astype(float), "tied": np.round(random.normal(size=n) * 2, 1),
            "many": random.integers(900, 1200, n).astype(float),
            "few": random.choice(4, n, p=[0.05, 0.2, 0.7, 0.05]).astype(float)}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A model whose trees were grown from every row, so that its reference is the whole training batch."""
    folder = tmp_path_factory.mktemp("fitted")
    columns = {name: values.astype(np.float32) for name, values in training(np.random.default_rng(21)).items()}
    columns["normal"][::7] = np.nan
    columns["heavy"][5] = np.inf
    path = write(folder / "train.h5", columns)
    program.ok("fit", path, "--sample", 4096, "--trees", 2, "--calibration", 0, "--out",
               folder / "model.h5")
    return folder / "model.h5", columns


def test_reference_is_numpys(fitted):
    model, columns = fitted
    with h5py.File(model) as file:
        names = [name.decode() for name in file["/features/name"][:]]
        assert sorted(names) == sorted(columns)
        for name, quantiles, rows in zip(names, file["/statistics/quantiles"][:], file["/statistics/quantile_rows"][:]):
            values = columns[name][np.isfinite(columns[name])]
            np.testing.assert_array_equal(quantiles, np.quantile(values, np.arange(41) / 40, method="inverted_cdf"))
            np.testing.assert_array_equal(rows, [2 * (values <= quantile).sum() for quantile in quantiles])


def stability_index(train, here):
    """The population stability index, written from its definition (host/check/README.md)."""
    edges = np.unique(np.quantile(train, np.arange(41) / 40, method="inverted_cdf"))
    if len(edges) > 10:
        edges = np.unique(np.quantile(train, np.arange(1, 10) / 10, method="inverted_cdf"))
    edges = edges[edges < train.max()]
    shares = [np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1) / len(values)
              for values in (train, here)]
    expected, actual = np.maximum(shares, 1e-4)
    return ((actual - expected) * np.log(actual / expected)).sum()


@pytest.mark.parametrize("rows", [50, 5000, ROWS])
def test_shift_is_scipys(rows, fitted, tmp_path):
    model, train = fitted
    columns = {name: values.astype(np.float32) for name, values in later(np.random.default_rng(22), rows).items()}
    columns["heavy"][::5] = np.nan
    columns["code"][::9] = -np.inf
    report = check("--model", model, write(tmp_path / "batch.h5", columns, table="t"))
    for name, values in columns.items():
        learnt, here = (values[np.isfinite(values)] for values in (train[name], values))
        got = column_of(report, name)["training"]
        assert got["psi"] == pytest.approx(stability_index(learnt, here), rel=1e-9, abs=1e-12), name
        # Between two edges lie at most 1/40 of the training's rows: so much the statistic may be below SciPy's.
        statistic = scipy.stats.ks_2samp(learnt, here).statistic
        assert statistic - 0.025 - 1e-9 <= got["ks"] <= statistic + 1e-9, name
        edges = np.unique(np.quantile(learnt, np.arange(41) / 40, method="inverted_cdf"))
        at_edges = max(abs((learnt <= edge).mean() - (here <= edge).mean()) for edge in edges)
        assert got["ks"] == pytest.approx(at_edges, abs=1e-12), name
        if len(np.unique(learnt)) <= 40 and np.isin(np.unique(learnt), edges).all():
            assert got["ks"] == pytest.approx(statistic, abs=1e-12), name
        assert got["missing_share"] == pytest.approx(1 - len(here) / rows)
        assert got["trained_missing_share"] == pytest.approx(1 - len(learnt) / 4096)
    if rows > 50:
        assert {finding["column"] for finding in found(report, "psi")} == {"rare", "tied", "many", "few"}
        assert "heavy" not in {finding["column"] for finding in found(report, "ks")}
        assert {finding["column"] for finding in found(report, "missing_change")} == {"normal", "heavy", "code"}


def test_the_training_itself_has_not_moved(fitted, tmp_path):
    model, columns = fitted
    report = check("--model", model, write(tmp_path / "batch.h5", columns))
    for name in columns:
        assert column_of(report, name)["training"]["psi"] == pytest.approx(0, abs=1e-12)
        assert column_of(report, name)["training"]["ks"] == pytest.approx(0, abs=1e-12)
    assert [finding["kind"] for finding in report["findings"]] == ["infinite"]


def test_constant_features(tmp_path):
    columns = sets.random_columns(300, 4) | {"steady": np.full(300, 4, np.float32)}
    program.ok("fit", write(tmp_path / "train.h5", columns), "--out", tmp_path / "model.h5", "--trees", 5)
    changed = dict(columns, x000=np.full(300, 2, np.float32), x001=np.full(300, np.nan, np.float32),
                   steady=np.arange(300, dtype=np.float32))
    report = check("--model", tmp_path / "model.h5", write(tmp_path / "batch.h5", changed))
    assert [finding["column"] for finding in found(report, "constant")] == ["x000", "x001"]
    assert [finding["column"] for finding in found(report, "shift")] == ["steady"]
    assert column_of(report, "x001")["training"]["psi"] is None
    changed = dict(columns, steady=np.full(300, 5, np.float32))
    report = check("--model", tmp_path / "model.h5", write(tmp_path / "other.h5", changed))
    assert [finding["column"] for finding in found(report, "shift")] == ["steady"]


# --- gates ---

def gate(batch, tmp_path, text, code, *options):
    return check(batch, "--config", config(tmp_path, text), *options, code=code)


def test_gates(tmp_path):
    columns = {"a": np.arange(1000.0), "b": np.where(np.arange(1000) % 10 == 0, np.nan, 5.0), "c": np.full(1000, -2.0)}
    batch = write(tmp_path / "batch.h5", columns)
    assert gate(batch, tmp_path, "check: {missing: 10 %}", DONE)["verdict"] == "passed"
    assert gate(batch, tmp_path, "check: {missing: 0.1}", DONE)["verdict"] == "passed"
    for text in ("check: {missing: 9.9%}", "check: {missing: 0.099}", "check:\n  columns: [{name: b, missing: 0}]",
                 "check: {min_rows: 1001}", "check: {max_rows: 999}", "check:\n  columns: [{name: c, min: -1.5}]",
                 "check:\n  columns: [{name: a, max: 998}]", "check:\n  columns: [{name: absent, max: 998}]",
                 "check: {duplicates: 0}"):
        report = gate(batch, tmp_path, text, BREACHED)
        assert report["verdict"] == "breach" and [f["severity"] for f in report["findings"]].count("breach") == 1, text
    report = gate(batch, tmp_path, "check:\n  missing: 1%\n  min_rows: 2000\n  columns:\n    - {name: b, missing: 0.5}\n"
                                   "    - {name: a, min: 1, max: 3}\n    - {name: c, min: -2, max: -2}\n", BREACHED)
    assert [finding["kind"] for finding in report["findings"] if finding["severity"] == "breach"] == \
        ["rows", "range", "range"]
    report = gate(batch, tmp_path, "check: {psi: 0.1}", DONE)  # against what, without a model?
    assert [(finding["kind"], finding["column"], finding["severity"]) for finding in report["findings"]] == [
        ("psi", None, "note"), ("constant", "b", "note"), ("constant", "c", "note")]


def test_gates_against_a_model(fitted, tmp_path):
    model, columns = fitted
    batch = write(tmp_path / "batch.h5", dict(columns, rare=1 - columns["rare"]))
    assert check("--model", model, batch)["verdict"] == "warning"
    for text in ("psi: 0.2", "ks: 0.2"):
        report = gate(batch, tmp_path, f"check: {{{text}, constant: 0}}", BREACHED, "--model", model)
        breach, = [finding for finding in report["findings"] if finding["severity"] == "breach"]
        assert breach["column"] == "rare" and breach["limit"] == 0.2 and breach["value"] > 0.2
    steady = write(tmp_path / "steady.h5", dict(columns, many=np.full(4096, 7, np.float32)))
    report = gate(steady, tmp_path, "check: {constant: 0}", BREACHED, "--model", model)
    assert [finding["column"] for finding in found(report, "constant")] == ["many"]
    gate(steady, tmp_path, "check: {constant: 1}", DONE, "--model", model)
    narrow = write(tmp_path / "narrow.h5", sets.random_columns(100, 3))  # bad input goes before a breach
    report = gate(narrow, tmp_path, "check: {min_rows: 1000}", BAD_INPUT, "--model", model)
    assert {finding["severity"] for finding in report["findings"]} >= {"refused", "breach"}


BAD_CONFIGS = {
    "unknown field": ("check:\n  psi: 0.1\n  psy: 0.1\n", 3, "check.psy"),
    "unknown block": ("chek:\n  psi: 0.1\n", 1, "chek"),
    "words": ("check:\n  psi: much\n", 2, "check.psi"),
    "half a number": ("check:\n  missing: 0.5x\n", 2, "check.missing"),
    "more than all": ("check:\n  missing: 5\n", 2, "check.missing"),
    "negative": ("check:\n\n  ks: -0.1\n", 3, "check.ks"),
    "not a number": ("check:\n  psi: nan\n", 2, "check.psi"),
    "percent of an index": ("check:\n  psi: 20 %\n", 2, "check.psi"),
    "rows": ("check:\n  min_rows: 1.5\n", 2, "check.min_rows"),
    "a list": ("check:\n  psi: [1, 2]\n", 2, "check.psi"),
    "no list": ("check:\n  columns: x\n", 2, "check.columns"),
    "no name": ("check:\n  columns:\n    - psi: 0.1\n", 3, "columns"),
    "a column twice": ("check:\n  columns:\n    - name: a\n    - name: a\n", 4, "columns[1].name"),
    "in a column": ("check:\n  columns:\n    - name: a\n      max: x\n", 4, "check.columns[0].max"),
    "ids in a column": ("check:\n  columns:\n    - name: a\n      duplicates: 0\n", 4, "duplicates"),
    "a field twice": ("check:\n  psi: 1\n  psi: 2\n", 3, "check.psi"),
    "no YAML": ("check: {psi: 1\nmissing: [\n", None, "YAML"),
    "an alias": ("check: &a\n  psi: 1\n  ks: *a\n", 3, "alias"),
    "empty": ("", None, "check"),
}


@pytest.mark.parametrize("what", BAD_CONFIGS)
def test_bad_configurations(what, batch, tmp_path):
    text, line, field = BAD_CONFIGS[what]
    path = config(tmp_path, text)
    sentence = fails(BAD_INPUT, "check", batch, "--config", path, names=[path, field])
    if line is not None:
        assert re.search(rf"{re.escape(str(path))}:{line}\b", sentence), sentence


def test_text_report(fitted, tmp_path):
    model, columns = fitted
    moved = dict(columns, rare=1 - columns["rare"], paid=np.full(4096, day("2024-01-15"), np.int32))
    path = write(tmp_path / "batch.h5", moved, {"paid": {"role": "time", "units": "d\x1b[31m\u00f8"}})
    result = program.ok("check", "--model", model, path)
    lines = result.stdout.splitlines()
    assert "4096 rows" in lines[0]
    assert any(line.startswith("warning ") and "'rare'" in line for line in lines)
    table = lines[next(i for i, line in enumerate(lines) if line.startswith("column ")):]
    assert [line.split()[0] for line in table[1:]] == sorted(moved)
    assert "2024-01-15..2024-01-15" in table[1 + sorted(moved).index("paid")]
    assert "\x1b" not in result.stdout and "\u00f8" in result.stdout
