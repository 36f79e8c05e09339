"""avvik check: what it measures against NumPy and SciPy, what it finds, what it refuses, and its exit codes."""

import json
import re

import h5py
import numpy as np
import pytest
import scipy.stats

import program
import sets
from program import BAD_INPUT, DONE, WRONG_USAGE, fails, whole_stacks

BREACHED = 7
ROWS = 70_001  # more than a block of any size that is used, and no multiple of one


def day(text):
    return int(np.datetime64(text, "D").astype(int))


def write(path, columns, attributes=None, table="t", **options):
    """attributes: {column: {name: value}}; text becomes fixed-length, as in the files that avvik's users write."""
    sets.write_table(path, columns, table, **options)
    with h5py.File(path, "a") as file:
        for column, values in (attributes or {}).items():
            for name, value in values.items():
                file[table][column].attrs[name] = np.bytes_(value.encode()) if isinstance(value, str) else value
    return path


def check(*arguments, code=DONE, **options):
    """The report as JSON; the exit code must be `code`, and with a code other than 0 stderr has its one sentence."""
    result = program.run("check", "--json", *arguments, **options)
    assert result.returncode == code, f"{result.returncode}\n{result.stdout}{result.stderr}"
    lines = result.stderr.splitlines()
    assert len(lines) == (code != DONE) and all(line.startswith("avvik: ") for line in lines), result.stderr
    return json.loads(result.stdout)


def column_of(report, name):
    return next(column for column in report["columns"] if column["name"] == name)


def found(report, kind, column=None):
    return [finding for finding in report["findings"]
            if finding["kind"] == kind and (column is None or finding["column"] == column)]


def config(folder, text):
    path = folder / "check.yaml"
    path.write_text(text)
    return path


def quality_columns():
    random = np.random.default_rng(4)
    floats = (random.normal(size=ROWS) * 1e3 + 5e3).astype(np.float32)
    floats[random.random(ROWS) < 0.01] = np.nan
    floats[random.random(ROWS) < 0.01] = 0
    floats[7], floats[ROWS - 1], floats[4096] = np.inf, -np.inf, np.inf
    tiny = np.zeros(ROWS, np.float32)
    tiny[::3] = 1e-42  # a denormal number counts as zero
    tiny[1] = -2
    return {"amount": random.integers(-10**9, 10**9, ROWS), "measure": floats, "tiny": tiny,
            "wide": random.normal(size=ROWS).astype(">f8"), "small": random.integers(-3, 4, ROWS).astype(np.int8),
            "hours": random.integers(0, 60, ROWS).astype(np.uint16), "none": np.full(ROWS, np.nan, np.float32)}


@pytest.mark.parametrize("options", [{}, {"chunks": (1000,), "compression": "gzip", "shuffle": True}],
                         ids=["contiguous", "deflated"])
def test_columns_are_measured_as_numpy_does(options, tmp_path):
    columns = quality_columns()
    path = write(tmp_path / "batch.h5", columns, {"small": {"_FillValue": np.int8(3), "units": "days"}}, **options)
    report = check(path)
    assert report["rows"] == ROWS and report["table"] == "/t"
    for name, values in columns.items():
        values = values.astype(np.float32)
        if name == "small":
            values[values == 3] = np.nan
        values[np.abs(values) < np.finfo(np.float32).tiny] = 0
        finite = values[np.isfinite(values)].astype(np.float64)
        got = column_of(report, name)
        assert got["count"] == len(finite)
        assert got["missing"] == np.isnan(values).sum()
        assert got["infinite"] == np.isinf(values).sum()
        assert got["zeros"] == (finite == 0).sum()
        assert got["negative"] == (finite < 0).sum()
        assert got["constant"] == (len(np.unique(finite)) < 2)
        if len(finite) == 0:
            assert got["min"] is got["max"] is got["mean"] is got["sd"] is None
            continue
        assert (got["min"], got["max"]) == (finite.min(), finite.max())
        assert got["mean"] == pytest.approx(finite.mean(), rel=1e-9, abs=1e-9)
        assert got["sd"] == pytest.approx(finite.std(ddof=1), rel=1e-9)
    assert column_of(report, "wide")["type"] == "float64 BE"
    assert column_of(report, "small")["units"] == "days"
    assert [finding["column"] for finding in found(report, "infinite")] == ["measure"]
    assert [finding["column"] for finding in found(report, "missing")] == ["none"]
    assert [finding["column"] for finding in found(report, "constant")] == ["none"]


def test_report_does_not_depend_on_threads(tmp_path):
    path = write(tmp_path / "batch.h5", quality_columns())
    train = write(tmp_path / "train.h5", sets.random_columns(500, 2) | {"measure": quality_columns()["measure"][:500]})
    program.ok("fit", train, "--features", "measure", "--out", tmp_path / "model.h5", "--trees", 5)
    reports = [check(path, "--model", tmp_path / "model.h5", "--threads", threads) for threads in (1, 2, 5)]
    for report in reports:
        for key in ("seconds", "rows_per_second", "stage_seconds", "threads"):
            del report[key]
    assert reports[0] == reports[1] == reports[2]


def test_codes_outside_the_table(tmp_path):
    codes = np.arange(1000, dtype=np.float32) % 3
    codes[[5, 17]] = 3
    codes[400], codes[500], codes[600] = -1, 1.5, np.nan
    attributes = {"code": {"codes": np.array([b"a", b"b", b"c"])}}
    path = write(tmp_path / "batch.h5", {"code": codes, "x": np.arange(1000.0)}, attributes)
    report = check(path)
    assert column_of(report, "code")["codes"] == 3
    assert column_of(report, "code")["unknown_codes"] == 4
    assert column_of(report, "code")["missing"] == 1
    finding, = found(report, "unknown_codes")
    assert (finding["severity"], finding["value"]) == ("warning", 4 / 1000)
    assert "unknown_codes" not in column_of(report, "x")


def dates_batch(path):
    dates = np.full(1000, day("2024-01-15"), np.int32)
    dates[:5] = [day("2024-01-01"), day("2024-01-31"), day("2023-12-31"), day("2024-02-01"), day("1850-01-01")]
    dates[5:9] = [day("1849-12-31"), day("2200-01-01"), 2**31 - 1, -(2**31)]
    dates[9] = -1
    dates[10] = day("2199-12-31")
    return write(path, {"paid": dates, "other": dates, "x": np.arange(1000.0)},
                 {"paid": {"role": "time", "_FillValue": np.int32(-1)}})


def test_dates(tmp_path):
    path = dates_batch(tmp_path / "batch.h5")
    report = check(path)
    assert column_of(report, "paid")["impossible_dates"] == 4
    assert column_of(report, "paid")["outside_period"] == 0
    assert "period" not in column_of(report, "other")
    report = check(path, "--period", "2024-01-01..2024-01-31")
    assert column_of(report, "paid")["outside_period"] == 4
    assert column_of(report, "paid")["period"] == ["2024-01-01", "2024-01-31"]
    assert column_of(report, "paid")["missing"] == 1
    assert column_of(check(path, "--period", "..2024-01-31"), "paid")["outside_period"] == 2
    assert column_of(check(path, "--period", "2024-01-15.."), "paid")["outside_period"] == 3
    yaml = config(tmp_path, "check:\n  period: 2020-02-29..2030-01-01\n  columns:\n"
                            "    - {name: other, period: 2024-01-15..2024-01-15}\n")
    report = check(path, "--config", yaml)
    assert column_of(report, "paid")["outside_period"] == 2
    assert column_of(report, "other")["outside_period"] == 7
    assert column_of(report, "other")["impossible_dates"] == 4


@pytest.mark.parametrize("period", ["2024-01-01", "2024-02-30..", "2024-02-01..2024-01-01", "2024-13-01..", "x..y",
                                    "2023-02-29..2024-01-01", "2024-1-1..2024-01-02", "2024-01-01..2024-01-02 ", ""])
def test_wrong_periods(period, batch, tmp_path):
    fails(WRONG_USAGE, "check", batch, "--period", period, names=["--period"])
    yaml = config(tmp_path, f"check:\n  period: '{period}'\n")
    fails(BAD_INPUT, "check", batch, "--config", yaml, names=[f"{yaml}:2", "check.period"])


def duplicates_of(ids):
    """Rows that repeat an id, ids that repeat, and the first eight of these by their second row."""
    order = np.argsort(ids, kind="stable")
    same = ids[order][1:] == ids[order][:-1]
    second = same & ~np.concatenate([[False], same[:-1]])
    pairs = sorted((int(order[i + 1]), int(order[i])) for i in np.flatnonzero(second))
    return same.sum(), second.sum(), [([first, again], str(ids[again])) for again, first in pairs[:8]]


def compare_duplicates(report, ids, rows=None):
    rows = np.arange(len(ids)) if rows is None else rows
    n_rows, n_ids, first = duplicates_of(ids)
    assert (report["ids"]["repeated_rows"], report["ids"]["repeated_ids"]) == (n_rows, n_ids)
    assert [(one["rows"], one["id"]) for one in report["ids"]["first"]] == \
        [([int(rows[row]) for row in pair], text) for pair, text in first]


IDS = {
    "none": lambda random: random.permutation(ROWS * 5).astype(np.uint64),
    "few": lambda random: np.concatenate([random.permutation(ROWS * 5), [3, 17, 3]]).astype(np.uint64),
    "beyond doubles": lambda random: np.uint64(2**63) + random.integers(0, ROWS * 40, ROWS * 5).astype(np.uint64),
    "signed": lambda random: random.integers(-ROWS * 40, ROWS * 40, ROWS * 5),
    "one": lambda random: np.full(ROWS * 5, 2**64 - 1, np.uint64),
    "pairs": lambda random: np.repeat(np.arange(ROWS * 3, dtype=np.uint64), 2),
    "sorted": lambda random: np.arange(ROWS * 5, dtype=np.uint32),
    "narrow": lambda random: random.integers(0, 200, ROWS).astype(np.uint8),
}


@pytest.mark.parametrize("memory", ["1M", "256M"])
@pytest.mark.parametrize("kind", IDS)
def test_duplicates_are_exact(kind, memory, tmp_path):
    """350,005 ids take 5.6 MB, so that 1 MiB means a temporary file; more than a block, so that pairs lie across."""
    ids = IDS[kind](np.random.default_rng(9))
    path = write(tmp_path / "batch.h5", {"case": ids, "x": np.zeros(len(ids), np.uint8)}, {"case": {"role": "id"}},
                 chunks=(5000,))
    folder = tmp_path / "temporary"
    folder.mkdir()
    report = check(path, "--id-memory", memory, env=program.environment(TMPDIR=str(folder)))
    compare_duplicates(report, ids)
    assert not list(folder.iterdir())
    is_repeated = report["ids"]["repeated_rows"] > 0
    assert [finding["severity"] for finding in found(report, "duplicates")] == ["warning"] * is_repeated


def test_ids_that_differ_by_one_at_2_to_the_53(tmp_path):
    ids = np.array([2**53, 2**53 + 1, 2**53 + 2, 2**53 + 1] + [2**24 + i for i in range(100)], np.uint64)
    path = write(tmp_path / "batch.h5", {"case": ids, "x": np.arange(len(ids))})
    assert check(path)["ids"] is None
    report = check(path, "--id", "case")
    assert report["ids"]["repeated_rows"] == 1
    assert report["ids"]["first"] == [{"id": str(2**53 + 1), "rows": [1, 3]}]
    assert column_of(report, "case")["not_read"] is None  # a plain column of numbers too


def test_missing_ids_and_several_files(tmp_path):
    ids = np.array([5, 6, 0, 0, 7, 0], np.uint64)
    attributes = {"case": {"role": "id", "_FillValue": np.uint64(0)}}
    paths = [write(tmp_path / f"{name}.h5", {"case": ids, "x": np.arange(6.0)}, attributes) for name in "ab"]
    report = check(*paths)
    assert report["ids"]["missing"] == 6
    compare_duplicates(report, np.array([5, 6, 7, 5, 6, 7], np.uint64), rows=[0, 1, 4, 6, 7, 10])
    assert report["inputs"] == [{"path": str(paths[0]), "first_row": 0}, {"path": str(paths[1]), "first_row": 6}]
    sentence = found(report, "duplicates")[0]["text"]
    assert f"row 0 of {paths[0]}" in sentence and f"row 0 of {paths[1]}" in sentence
    assert column_of(report, "case")["missing"] == 6


def test_ids_of_a_pandas_table(tmp_path):
    rows = np.zeros(3000, dtype=[("index", "i8"), ("case", "u8"), ("x", "f4")])
    rows["case"] = np.arange(3000) + 2**60
    rows["case"][2999] = 2**60 + 7
    path = tmp_path / "compound.h5"
    with h5py.File(path, "w") as file:
        file["t"] = rows
    report = check(path, "--id", "case")
    assert report["ids"]["first"] == [{"id": str(2**60 + 7), "rows": [7, 2999]}]
    assert column_of(report, "x")["zeros"] == 3000


def test_temporary_folder(tmp_path):
    ids = np.arange(300_000, dtype=np.uint64)
    path = write(tmp_path / "batch.h5", {"case": ids, "x": ids}, {"case": {"role": "id"}})
    nowhere = program.environment(TMPDIR=str(tmp_path / "absent"))
    sentence = fails(BAD_INPUT, "check", path, "--id-memory", "1M", env=nowhere, names=[tmp_path / "absent", "TMPDIR"])
    assert "No such file" in sentence
    check(path, env=nowhere)  # 256 MiB are enough


@pytest.mark.parametrize("values, why", [(np.arange(100.0), "whole numbers"), (np.array([b"a"] * 100), "text")])
def test_ids_that_are_no_whole_numbers(values, why, tmp_path):
    path = write(tmp_path / "batch.h5", {"case": values, "x": np.arange(100)}, {"case": {"role": "id"}})
    report = check(path)
    finding, = found(report, "ids")
    assert report["ids"] is None and finding["severity"] == "warning" and why in finding["text"]
    finding, = found(check(path, "--config", config(tmp_path, "check: {duplicates: 0}"), code=BREACHED), "ids")
    assert finding["severity"] == "breach"
    fails(BAD_INPUT, "check", path, "--id", "absent", names=[path, "absent"])


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


# --- schema ---

def test_features_the_model_needs(batch, model, tmp_path):
    narrow = write(tmp_path / "narrow.h5", sets.random_columns(100, 3))
    report = check("--model", model, narrow, code=BAD_INPUT)
    assert report["verdict"] == "refused"
    assert [finding["column"] for finding in found(report, "schema")] == ["x003", "x004"]
    assert {finding["severity"] for finding in found(report, "schema")} == {"refused"}
    for role in ("protected", "excluded", "label"):
        path = write(tmp_path / f"{role}.h5", sets.random_columns(100, 5), {"x001": {"role": role}})
        report = check("--model", model, path, code=BAD_INPUT)
        assert role in found(report, "schema", "x001")[0]["text"]
        assert column_of(report, "x001")["not_read"] and column_of(report, "x001")["min"] is None
    elsewhere = write(tmp_path / "elsewhere.h5", sets.random_columns(100, 5), table="other")
    fails(BAD_INPUT, "check", "--model", model, elsewhere, names=[elsewhere, "/t"])
    check("--model", model, elsewhere, "--table", "other")
    check("--model", model, batch)


def test_roles_that_are_not_read(tmp_path):
    columns = sets.random_columns(100, 5)
    path = write(tmp_path / "batch.h5", columns, {"x000": {"role": "ignore"}, "x001": {"role": "protected"},
                                                  "x002": {"role": "key"}, "x003": {"role": "feature"}})
    report = check(path)
    assert [column["name"] for column in report["columns"] if column["not_read"]] == ["x000", "x001"]
    assert [column["name"] for column in report["columns"] if column["feature"]] == ["x003"]
    assert report["findings"] == []


def test_unequal_lengths_and_text(tmp_path):
    columns = sets.random_columns(100, 4)
    columns["x002"] = columns["x002"][:99]
    columns["words"] = np.array([b"ten"] * 100)
    report = check(write(tmp_path / "batch.h5", columns), code=BAD_INPUT)
    refused, note = found(report, "schema")
    assert (refused["severity"], refused["column"], note["severity"], note["column"]) == ("refused", "x002", "note", "words")
    assert "99 rows" in refused["text"] and report["rows"] == 100
    assert column_of(report, "x003")["count"] == 100


def test_missing_filter(tmp_path):
    path = write(tmp_path / "batch.h5", sets.random_columns(100, 2))
    with h5py.File(path, "a") as file:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((100,))
        properties.set_filter(300, h5py.h5z.FLAG_OPTIONAL, ())
        column = h5py.h5d.create(file["t"].id, b"packed", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((100,)),
                                 properties)
        column.write_direct_chunk((0,), b"\1" * 64)
    report = check(path, code=BAD_INPUT)
    finding, = found(report, "schema")
    assert (finding["severity"], finding["column"]) == ("refused", "packed") and "300" in finding["text"]
    assert column_of(report, "x001")["count"] == 100


def test_files_that_disagree(tmp_path):
    columns = sets.random_columns(100, 3)
    first = write(tmp_path / "a.h5", columns, {"x000": {"units": "NOK"}, "x001": {"codes": np.array([b"a", b"b"])}})
    columns["x002"] = columns["x002"].astype(np.float64)
    columns["more"] = columns.pop("x001").astype(np.int8)
    second = write(tmp_path / "b.h5", columns, {"x000": {"units": "EUR"}})
    report = check(first, second, code=BAD_INPUT)
    told = {(finding["severity"], finding["column"]) for finding in found(report, "schema")}
    assert told == {("refused", "x001"), ("warning", "x000"), ("note", "x002"), ("note", "more")}
    assert report["rows"] == 200 and column_of(report, "x000")["count"] == 200
    hidden = write(tmp_path / "hidden.h5", sets.random_columns(100, 3), {"x001": {"role": "protected"}})
    for pair in ((first, hidden), (hidden, first)):  # one that may not be read is not read from either
        report = check(*pair, code=BAD_INPUT if pair[0] == first else DONE)
        assert column_of(report, "x001")["not_read"] and column_of(report, "x001")["count"] == 0
        assert column_of(report, "x002")["count"] == 200
    assert check(first, first)["rows"] == 200


def test_protected_ids_are_not_compared(tmp_path):
    columns = {"case": np.zeros(100, np.uint64), "x": np.arange(100.0)}
    first = write(tmp_path / "a.h5", columns, {"case": {"role": "id"}})
    second = write(tmp_path / "b.h5", columns, {"case": {"role": "protected"}})
    assert check(first)["ids"]["repeated_rows"] == 99
    for report in (check(first, second), check(second, "--id", "case")):
        assert report["ids"] is None and "protected" in found(report, "ids")[0]["text"]


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


# --- the report as text, wrong usage, hostile files ---

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


def test_wrong_usage(batch, tmp_path):
    fails(WRONG_USAGE, "check", names=["batch"])
    fails(WRONG_USAGE, "check", batch, "--id-memory", "10", names=["--id-memory"])
    fails(WRONG_USAGE, "check", batch, "--nonsense")
    two = write(tmp_path / "two.h5", sets.random_columns(10, 2), table="a")
    with h5py.File(two, "a") as file:
        file["b/x"] = np.arange(5)
    fails(WRONG_USAGE, "check", two, names=[two, "--table"])
    fails(BAD_INPUT, "check", batch, "--table", "/absent", names=[batch, "/absent"])
    fails(BAD_INPUT, "check", tmp_path / "absent.h5", names=["absent.h5"])
    fails(BAD_INPUT, "check", batch, "--model", batch, names=[batch])
    for path in (tmp_path / "absent.yaml", tmp_path, config(tmp_path, "check: {psi: 1}\n" + "# much\n" * 500_000)):
        fails(BAD_INPUT, "check", batch, "--config", path, names=[path])
    empty = write(tmp_path / "empty.h5", sets.random_columns(0, 2))
    fails(BAD_INPUT, "check", empty, names=[empty])
    words = write(tmp_path / "words.h5", {"word": np.array([b"ten"] * 100)})
    fails(BAD_INPUT, "check", words, "--table", "t", names=[words])


def test_truncated(batch, tmp_path):
    whole = batch.read_bytes()
    for length in (8, 100, 500, 1000, len(whole) // 2, len(whole) - 1):
        path = tmp_path / "cut.h5"
        path.write_bytes(whole[:length])
        fails(BAD_INPUT, "check", path, names=[path])


@pytest.mark.parametrize("column", ["x003", "case"])
def test_damaged_chunk_names_the_column(column, tmp_path):
    columns = sets.random_columns(20_000, 5) | {"case": np.arange(20_000, dtype=np.uint64)}
    path = write(tmp_path / "batch.h5", columns, {"case": {"role": "id"}}, chunks=(1000,), compression="gzip")
    with h5py.File(path) as file:
        chunk = file["/t"][column].id.get_chunk_info(12)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset:chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    path.write_bytes(content)
    fails(BAD_INPUT, "check", path, names=[path, column])


def test_random_damage(tmp_path):
    """Flipped bytes anywhere: a report or a refusal, never a crash."""
    random = np.random.default_rng(79)
    columns = sets.random_columns(600, 4) | {"case": np.arange(600, dtype=np.uint64), "code": np.arange(600) % 3}
    path = write(tmp_path / "batch.h5", columns, {"case": {"role": "id"}, "code": {"codes": np.array([b"a", b"b", b"c"])}})
    whole = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    codes = set()
    for attempt in range(80):
        content = whole.copy()
        where = random.integers(0, 5000 if attempt % 2 else len(content), size=random.integers(1, 20))
        content[where] = random.integers(0, 256, size=len(where))
        path.write_bytes(content.tobytes())
        result = program.run("check", path, env=whole_stacks())
        assert result.returncode in (DONE, BAD_INPUT, WRONG_USAGE), (attempt, result.returncode, result.stderr)
        assert len(result.stderr.splitlines()) == (result.returncode != DONE), (attempt, result.stderr)
        codes.add(result.returncode)
    assert {DONE, BAD_INPUT} <= codes
