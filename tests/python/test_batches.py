"""The same numbers give the same scores, however they are stored."""

import h5py
import numpy as np
import pandas as pd
import pytest

import program
import sets

NAMES = ["a", "b", "c", "d"]
ROWS = 400


def small_integers():
    """0 to 100, so that every type from int8 to float64 holds them."""
    random = np.random.default_rng(21)
    values = np.minimum(random.geometric(0.08, size=(ROWS, len(NAMES))), 100)
    return {name: values[:, i] for i, name in enumerate(NAMES)}


def scores_of(path):
    with h5py.File(path) as file:
        return {name: file["/scores"][name][:] for name in file["/scores"]}


def fit_and_score(folder, path, *options):
    model, scores = folder / f"{path.stem}.model.h5", folder / f"{path.stem}.scores.h5"
    program.ok("fit", path, "--trees", 20, "--sample", 64, "--seed", 2, *options, "--force", "--out", model)
    program.ok("score", "--model", model, path, "--force", "--out", scores)
    return scores_of(scores)


def same(one, other):
    assert set(one) == set(other)
    for name in one:
        assert one[name].tobytes() == other[name].tobytes(), name


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    path = sets.write_table(folder / "float32.h5",
                            {name: values.astype(np.float32) for name, values in small_integers().items()})
    scores = fit_and_score(folder, path)
    assert len(np.unique(scores["path_sum"])) > 50
    return scores


INTEGERS = ["i1", "u1", "<i2", ">i2", "<u2", ">u2", "<i4", ">i4", "<u4", ">u4", "<i8", ">i8", "<u8", ">u8"]
FLOATS = ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"]


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
def test_every_number_type(dtype, reference, tmp_path):
    columns = {name: values.astype(dtype) for name, values in small_integers().items()}
    path = sets.write_table(tmp_path / "batch.h5", columns)
    with h5py.File(path) as file:
        assert file["/t/a"].dtype == np.dtype(dtype)
    same(fit_and_score(tmp_path, path), reference)


def test_types_side_by_side(reference, tmp_path):
    columns = {name: values.astype(dtype)
               for (name, values), dtype in zip(small_integers().items(), ["u1", ">f8", "<i8", "<f2"])}
    same(fit_and_score(tmp_path, sets.write_table(tmp_path / "batch.h5", columns)), reference)


@pytest.mark.parametrize("options", [{"chunks": (7,)}, {"chunks": (400,), "compression": "gzip", "shuffle": True},
                                     {"chunks": (64,), "fletcher32": True}, {"chunks": (100,), "maxshape": (None,)}],
                         ids=lambda options: "+".join(options))
def test_every_storage(options, reference, tmp_path):
    columns = {name: values.astype(np.float32) for name, values in small_integers().items()}
    same(fit_and_score(tmp_path, sets.write_table(tmp_path / "batch.h5", columns, **options)), reference)


def test_large_integers_round_as_numpy(tmp_path):
    """Beyond 2^24 float32 rounds to nearest, ties to even, in avvik as in NumPy."""
    random = np.random.default_rng(5)
    columns = {"amount": random.integers(-2**53, 2**53, ROWS), "wide": random.integers(2**24, 2**26, ROWS),
               "unsigned": random.integers(2**63, 2**64, ROWS, dtype=np.uint64)}
    stored = sets.write_table(tmp_path / "integers.h5", columns)
    rounded = sets.write_table(tmp_path / "rounded.h5",
                               {name: values.astype(np.float32) for name, values in columns.items()})
    same(fit_and_score(tmp_path, stored), fit_and_score(tmp_path, rounded))


def test_booleans_and_enumerations(tmp_path):
    random = np.random.default_rng(6)
    flag = random.random(ROWS) < 0.2
    kind = random.integers(0, 5, ROWS)
    value = random.normal(size=ROWS).astype(np.float32)
    plain = sets.write_table(tmp_path / "plain.h5", {"flag": flag.astype(np.float32), "kind": kind.astype(np.float32),
                                                     "value": value})
    with h5py.File(tmp_path / "named.h5", "w") as file:
        table = file.create_group("t")
        table.attrs["order"] = np.array(["flag", "kind", "value"], dtype="S")
        table["flag"] = flag
        names = h5py.enum_dtype({f"kind{i}": i for i in range(5)}, basetype="<i2")
        table.create_dataset("kind", data=kind.astype("<i2"), dtype=names)
        table["value"] = value
    same(fit_and_score(tmp_path, tmp_path / "named.h5"), fit_and_score(tmp_path, plain))


@pytest.mark.parametrize("data_columns", [True, None, ["b"]], ids=["data-columns", "blocks", "mixed"])
def test_pandas_table(data_columns, reference, tmp_path):
    frame = pd.DataFrame({name: values.astype("f4" if name in "ac" else "i8")
                          for name, values in small_integers().items()})
    path = tmp_path / "batch.h5"
    frame.to_hdf(path, key="payments", format="table", data_columns=data_columns)
    same(fit_and_score(tmp_path, path, "--table", "/payments", "--features", ",".join(NAMES)), reference)


@pytest.mark.parametrize("complevel", [0, 9])
def test_pandas_table_found_by_itself(complevel, tmp_path):
    """The only table of the file needs no name; the index pandas stores beside the columns is not a feature."""
    frame = pd.DataFrame({name: values.astype("f4") for name, values in small_integers().items()})
    path = tmp_path / "batch.h5"
    frame.to_hdf(path, key="payments", format="table", data_columns=True, complevel=complevel)
    model = tmp_path / "model.h5"
    program.ok("fit", path, "--trees", 5, "--out", model)
    with h5py.File(model) as file:
        assert sorted(name.decode() for name in file["/features/name"]) == NAMES


def test_features_are_taken_in_the_order_named(tmp_path):
    columns = sets.random_columns(300, 3)
    path = sets.write_table(tmp_path / "batch.h5", columns)
    program.ok("fit", path, "--features", "x002,x000", "--trees", 5, "--out", tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5") as file:
        assert [name.decode() for name in file["/features/name"]] == ["x002", "x000"]


def test_columns_without_order_go_by_name(tmp_path):
    columns = {"b": np.arange(50.0), "a": np.arange(50.0), "c": np.arange(50.0)}
    path = sets.write_table(tmp_path / "batch.h5", columns, order=False)
    program.ok("fit", path, "--trees", 5, "--out", tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5") as file:
        assert [name.decode() for name in file["/features/name"]] == ["a", "b", "c"]


def test_text_and_matrices_are_passed_over(tmp_path):
    """Without --features only numeric one-dimensional columns take part."""
    path = sets.write_table(tmp_path / "batch.h5", {"x": np.arange(50.0), "name": np.array([b"text"] * 50)})
    with h5py.File(path, "a") as file:
        file["/t/matrix"] = np.zeros((50, 2))
    program.ok("fit", path, "--trees", 5, "--out", tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5") as file:
        assert [name.decode() for name in file["/features/name"]] == ["x"]


def test_roles_choose_the_features(tmp_path):
    columns = sets.random_columns(100, 4)
    path = sets.write_table(tmp_path / "batch.h5", columns)
    with h5py.File(path, "a") as file:
        for name, role in zip(columns, ["feature", "label", "protected", "feature"]):
            file["/t"][name].attrs["role"] = np.bytes_(role)
    program.ok("fit", path, "--trees", 5, "--out", tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5") as file:
        assert [name.decode() for name in file["/features/name"]] == ["x000", "x003"]


def test_fill_value_is_missing(tmp_path):
    columns = sets.random_columns(300, 2)
    columns["x000"] = np.round(columns["x000"])
    holes = np.arange(300) % 7 == 0
    stored = dict(columns, x000=np.where(holes, -32768, columns["x000"].astype(np.int16)).astype(np.int16))
    path = sets.write_table(tmp_path / "filled.h5", stored)
    with h5py.File(path, "a") as file:
        file["/t/x000"].attrs["_FillValue"] = np.int16(-32768)
    with_nan = dict(columns, x000=np.where(holes, np.nan, stored["x000"]).astype(np.float32))
    scores = fit_and_score(tmp_path, path)
    assert np.array_equal(scores["missing"], holes)
    same(scores, fit_and_score(tmp_path, sets.write_table(tmp_path / "nan.h5", with_nan)))


def test_several_files_are_one_batch(tmp_path):
    columns = sets.random_columns(1000, 4)
    whole = sets.write_table(tmp_path / "whole.h5", columns)
    cuts = [0, 1, 16, 600, 1000]
    parts = [sets.write_table(tmp_path / f"part{i}.h5", {name: values[cuts[i]:cuts[i + 1]]
                                                         for name, values in columns.items()}) for i in range(4)]
    expected = fit_and_score(tmp_path, whole)
    model, scores = tmp_path / "parts.model.h5", tmp_path / "parts.scores.h5"
    program.ok("fit", *parts, "--trees", 20, "--sample", 64, "--seed", 2, "--out", model)
    program.ok("score", "--model", model, *parts, "--out", scores)
    same(scores_of(scores), expected)


@pytest.fixture(scope="module", params=["breast_original", "digits", "shuttle"])
def scored_by_scalar(request, tmp_path_factory):
    """A bundled set, its model, and what one thread of scalar kernels says."""
    bundled = next(item for item in sets.bundled() if item.name == request.param)
    folder = tmp_path_factory.mktemp("scalar")
    program.ok("fit", bundled.path, "--trees", 100, "--seed", 4, "--out", folder / "model.h5")
    program.ok("score", "--model", folder / "model.h5", bundled.path, "--backend", "scalar", "--threads", 1, "--out", folder / "s.h5")
    return bundled.path, folder / "model.h5", scores_of(folder / "s.h5")


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("backend", ["scalar", "avx2", "avx512", "avx512vbmi", "opencl"])
def test_every_backend_writes_the_same_bits(scored_by_scalar, backend, threads, tmp_path):
    path, model, wanted = scored_by_scalar
    here = tmp_path / "here.h5"
    result = program.run("score", "--model", model, path, "--backend", backend, "--threads", threads, "--out", here)
    if result.returncode == program.NO_BACKEND and not program.expected(backend):
        pytest.skip(f"{backend} cannot run here: {result.stderr.strip()}")
    assert result.returncode == program.DONE, result.stderr
    same(scores_of(here), wanted)
