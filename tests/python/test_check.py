"""avvik check: what it measures of a batch against NumPy, what it finds in its schema, and hostile files."""

import h5py
import numpy as np
import pytest

import program
import sets
from checking import BREACHED, ROWS, check, column_of, config, day, found, write
from program import BAD_INPUT, DONE, WRONG_USAGE, fails, whole_stacks


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


# --- wrong usage, hostile files ---

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
