"""A row beside its own past, compared with pandas: whatever the order of the rows, the memory and the number of threads."""

import h5py
import numpy as np
import pandas as pd
import pytest

import program
import sets
from program import BAD_INPUT, WRONG_USAGE, fails

FEATURES = ("gross", "net")


def rows_make(n, seed, first_month=0, months=30, entities=200):
    random = np.random.default_rng(seed)
    entity = (random.integers(0, entities, n) << 34) - 5  # no float32, and the same in the low 32 bits
    month = random.integers(first_month, first_month + months, n).astype(np.int32)
    level = (np.abs(entity >> 34) % 97 + 3).astype(float)
    gross = np.where(random.random(n) < 0.4, level * 100, level * 100 * random.lognormal(0, 0.3, n)).astype(np.float32)
    net = np.where(random.random(n) < 0.1, np.nan, random.normal(0, 10, n)).astype(np.float32)
    net[random.random(n) < 0.3] = 0
    return {"person": entity.astype(np.int64), "month": month, "gross": gross, "net": net}


def expected(columns, is_here, periods=12, least=3):
    frame = pd.DataFrame(columns)
    wanted = {name: np.full(len(frame), np.nan) for name in
              ("history_periods", *(f"{f}_{what}" for f in FEATURES for what in ("change", "history_z")))}
    for _, own in frame.groupby("person"):
        times = np.sort(own["month"].unique())
        for row in own.index[is_here[own.index]]:
            before = times[times < frame.at[row, "month"]][-periods:]
            wanted["history_periods"][row] = len(before)
            past = own[own["month"].isin(before)]
            for f in FEATURES:
                values, value = past[f].dropna().to_numpy(), frame.at[row, f]
                if len(before) < least or len(values) < least or np.isnan(value):
                    continue
                median = np.median(values)
                mad = np.median(np.abs(values - median))
                sd = max(float(mad) / 0.6745, 0.01 * abs(float(median)))
                change = float(value) - float(median)
                wanted[f"{f}_change"][row] = change
                wanted[f"{f}_history_z"][row] = 0 if change == 0 else change / sd if sd > 0 else np.nan
    return {name: values[is_here] for name, values in wanted.items()}


def history(out, *batches, options=()):
    told = program.ok_json("history", *batches, "--entity", "person", "--time", "month", "--features", ",".join(FEATURES),
                           "--force", "--out", out, *options)
    with h5py.File(out) as file:
        return told, {name: values[:] for name, values in file["t"].items()}


def check(got, wanted):
    for name, values in wanted.items():
        assert got[name].dtype == np.float32
        assert np.array_equal(np.isnan(got[name]), np.isnan(values)), name
        assert np.allclose(got[name], values, rtol=1e-6, atol=0, equal_nan=True), name


def test_as_pandas_has_it(tmp_path):
    columns = rows_make(5000, 1)
    told, got = history(tmp_path / "out.h5", sets.write_table(tmp_path / "batch.h5", columns, order=False))
    wanted = expected(columns, np.ones(5000, bool))
    check(got, wanted)
    assert told["rows_with_history"] == (wanted["history_periods"] >= 3).sum()
    for name, values in columns.items():  # the batch itself is there as it was
        assert got[name].dtype == values.dtype and np.array_equal(got[name], values, equal_nan=name == "net")


def test_other_periods(tmp_path):
    columns = rows_make(3000, 2, first_month=-9)  # before the year from which it counts
    batch = sets.write_table(tmp_path / "batch.h5", columns, order=False)
    _, got = history(tmp_path / "out.h5", batch, options=("--periods", 4, "--least", 1))
    check(got, expected(columns, np.ones(3000, bool), periods=4, least=1))


def test_earlier_batches_are_past(tmp_path):
    parts = [rows_make(3000, 3, 0, 10), rows_make(2500, 4, 8, 10), rows_make(1000, 5, 15, 4)]
    batches = [sets.write_table(tmp_path / f"{i}.h5", part, order=False) for i, part in enumerate(parts)]
    told, got = history(tmp_path / "out.h5", *batches)
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    check(got, expected(whole, np.arange(6500) >= 5500))
    assert (told["rows"], told["past_rows"]) == (1000, 5500)


def test_order_memory_and_threads_do_not_matter(tmp_path):
    columns = rows_make(120_000, 6, entities=9000)
    batch = sets.write_table(tmp_path / "batch.h5", columns, order=False)
    told, plain = history(tmp_path / "plain.h5", batch)
    assert told["spilled_bytes"] == 0
    spilled, small = history(tmp_path / "small.h5", batch, options=("--memory", "1M", "--threads", 3))
    assert spilled["spilled_bytes"] > 2_000_000
    with h5py.File(tmp_path / "plain.h5") as one, h5py.File(tmp_path / "small.h5") as other:
        assert one.attrs["content_hash"] == other.attrs["content_hash"]
    order = np.random.default_rng(7).permutation(120_000)
    shuffled = sets.write_table(tmp_path / "shuffled.h5", {name: values[order] for name, values in columns.items()},
                                order=False)
    _, other = history(tmp_path / "other.h5", shuffled, options=("--threads", 1))
    for name, values in plain.items():
        assert np.array_equal(other[name], values[order], equal_nan=values.dtype.kind == "f"), name
        assert np.array_equal(small[name], values, equal_nan=values.dtype.kind == "f"), name


def test_what_comes_out_is_a_batch(tmp_path):
    columns = rows_make(4000, 8)
    batch = sets.write_table(tmp_path / "batch.h5", columns, order=False)
    with h5py.File(batch, "a") as file:
        file["t/person"].attrs["role"] = "id"
        file["t/person"].attrs["_FillValue"] = columns["person"][0]
        for name in FEATURES:
            file["t"][name].attrs["role"] = "feature"
    told, got = history(tmp_path / "out.h5", batch)
    gone = columns["person"] == columns["person"][0]
    assert told["rows_without_entity"] == gone.sum()
    assert (got["history_periods"][gone] == 0).all() and np.isnan(got["gross_change"][gone]).all()
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["t/person"].attrs["role"] == "id" and file["t/gross_history_z"].attrs["role"] == b"feature"
    program.ok("fit", tmp_path / "out.h5", "--out", tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5") as model:
        assert {b"gross", b"net", b"gross_change", b"net_history_z"} <= set(model["/features/name"][:])


def test_what_cannot_be(tmp_path):
    columns = rows_make(2000, 9)
    batch = sets.write_table(tmp_path / "batch.h5", columns, order=False)
    out = tmp_path / "out.h5"
    whole = {"--entity": "person", "--time": "month", "--features": "gross"}

    def call(code, *more, batches=(batch,), names=(), **changed):
        given = {**whole, **{f"--{name}": value for name, value in changed.items()}}
        fails(code, "history", *batches, *(word for pair in given.items() for word in pair), "--out", out, *more,
              names=names, folder=tmp_path)

    call(BAD_INPUT, entity="gross", names=("gross",))
    call(BAD_INPUT, entity="nobody", names=("nobody",))
    call(BAD_INPUT, features="gross,nothing", names=("nothing",))
    call(WRONG_USAGE, features="gross,,net")
    call(WRONG_USAGE, periods=0)
    call(BAD_INPUT, batches=(tmp_path / "none.h5",), names=("none.h5",))
    one = sets.write_table(tmp_path / "one.h5", {**rows_make(200_000, 1), "person": np.ones(200_000, np.int64)}, order=False)
    call(WRONG_USAGE, "--memory", "1M", batches=(one,), names=("memory",))
    taken = sets.write_table(tmp_path / "taken.h5", {**columns, "gross_change": columns["gross"]}, order=False)
    call(BAD_INPUT, batches=(taken,), names=("gross_change",))
    compound = tmp_path / "compound.h5"
    with h5py.File(compound, "w") as file:
        file["t"] = pd.DataFrame(columns).to_records(index=False)
    call(BAD_INPUT, batches=(compound,), names=("compound",))
    program.ok("history", batch, "--entity", "person", "--time", "month", "--features", "gross", "--out", out)
    fails(BAD_INPUT, "history", batch, *(word for pair in whole.items() for word in pair), "--out", out, names=("out.h5",))
