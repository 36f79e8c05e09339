"""Every way in which a batch can be wrong: refused with one sentence that names the file and the column."""

import os

import h5py
import numpy as np
import pytest

import program
import sets
from program import BAD_INPUT, DONE, WRONG_USAGE, fails, whole_stacks

ROWS = 600  # of the fixture `batch`


def refuses_batch(path, *names, command="fit", table=None, features=None, model=None):
    """Both commands that read batches refuse this one with exit code 3."""
    out = path.parent / "never.h5"
    options = (["--table", table] if table else []) + (["--features", features] if features else [])
    if command == "score":
        return fails(BAD_INPUT, "score", "--model", model, path, "--out", out, names=[path, *names], folder=path.parent)
    return fails(BAD_INPUT, "fit", path, *options, "--trees", 5, "--out", out, names=[path, *names],
                 folder=path.parent)


def test_no_such_file(model, tmp_path):
    path = tmp_path / "absent.h5"
    refuses_batch(path)
    refuses_batch(path, command="score", model=model)
    fails(BAD_INPUT, "score", "--model", path, path, "--out", tmp_path / "never.h5", names=[path], folder=tmp_path)
    fails(BAD_INPUT, "flag", path, names=[path])
    fails(BAD_INPUT, "evaluate", path, "--labels", f"{path}:/label", names=[path])
    fails(BAD_INPUT, "model", "show", path, names=[path])


def test_not_hdf5(model, scores, batch, tmp_path):
    contents = {"empty.h5": b"", "text.h5": b"person,gross\n1,2\n" * 100, "noise.h5": os.urandom(5000)}
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        refuses_batch(path)
        refuses_batch(path, command="score", model=model)
        fails(BAD_INPUT, "score", "--model", path, batch, "--out", tmp_path / "never.h5", names=[path], folder=tmp_path)
        fails(BAD_INPUT, "flag", path, names=[path])
        fails(BAD_INPUT, "evaluate", scores, "--labels", f"{path}:/label", names=[path])
        fails(BAD_INPUT, "model", "show", path, names=[path])
    folder = tmp_path / "folder.h5"
    folder.mkdir()
    refuses_batch(folder)


def test_truncated(batch, model, tmp_path):
    whole = batch.read_bytes()
    for length in (8, 100, 500, 1000, len(whole) // 2, len(whole) - 1):
        path = tmp_path / "cut.h5"
        path.write_bytes(whole[:length])
        refuses_batch(path)
        refuses_batch(path, command="score", model=model)
        path.unlink()


def test_damaged_chunk_names_the_column(model, tmp_path):
    columns = sets.random_columns(ROWS, 5)
    path = sets.write_table(tmp_path / "batch.h5", columns, chunks=(100,), compression="gzip")
    with h5py.File(path) as file:
        chunk = file["/t/x003"].id.get_chunk_info(2)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset:chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    path.write_bytes(content)
    refuses_batch(path, "x003")
    refuses_batch(path, "x003", command="score", model=model)


def test_failed_checksum_names_the_column(tmp_path):
    path = sets.write_table(tmp_path / "batch.h5", sets.random_columns(ROWS, 3), chunks=(100,), fletcher32=True)
    with h5py.File(path) as file:
        chunk = file["/t/x001"].id.get_chunk_info(1)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + 5] ^= 1
    path.write_bytes(content)
    refuses_batch(path, "x001")


def test_missing_table_and_column(batch, model, tmp_path):
    refuses_batch(batch, "/absent", table="/absent")
    refuses_batch(batch, "absent", features="x000,absent")
    narrow = sets.write_table(tmp_path / "narrow.h5", sets.random_columns(100, 3))
    refuses_batch(narrow, "x003", command="score", model=model)
    no_table = tmp_path / "none.h5"
    with h5py.File(no_table, "w"):
        pass
    refuses_batch(no_table)
    elsewhere = sets.write_table(tmp_path / "elsewhere.h5", sets.random_columns(100, 5), table="other")
    refuses_batch(elsewhere, "/t", command="score", model=model)


def test_several_tables_need_a_name(tmp_path):
    path = sets.write_table(tmp_path / "batch.h5", sets.random_columns(100, 2), table="wages")
    with h5py.File(path, "a") as file:
        file["taxes/x"] = np.arange(50.0)
    out = tmp_path / "never.h5"
    fails(WRONG_USAGE, "fit", path, "--out", out, names=[path, "--table", "/wages", "/taxes"], folder=tmp_path)
    program.ok("fit", path, "--table", "wages", "--trees", 5, "--out", out)


def test_repeated_and_empty_features(batch):
    for features in ("x000,x000", "x000,", ","):
        fails(WRONG_USAGE, "fit", batch, "--features", features, "--out", batch.parent / "never.h5",
              folder=batch.parent)


def test_columns_of_unequal_length(tmp_path):
    columns = sets.random_columns(100, 3)
    columns["x002"] = columns["x002"][:99]
    refuses_batch(sets.write_table(tmp_path / "batch.h5", columns), "x002")


@pytest.mark.parametrize("values", [np.array([b"ten"] * 100), np.array(["ten"] * 100, dtype=object),
                                    np.zeros((100, 2)), np.zeros(100, dtype=[("re", "f4"), ("im", "f4")])],
                         ids=["text", "text-of-any-length", "matrix", "compound"])
def test_column_that_is_not_numbers(values, tmp_path):
    path = sets.write_table(tmp_path / "batch.h5", sets.random_columns(100, 2))
    with h5py.File(path, "a") as file:
        file["/t/odd"] = values
    refuses_batch(path, "odd", table="/t", features="x000,odd")


@pytest.mark.parametrize("role", ["protected", "excluded", "label"])
def test_column_that_may_not_be_a_feature(role, model, tmp_path):
    path = sets.write_table(tmp_path / "batch.h5", sets.random_columns(100, 5))
    with h5py.File(path, "a") as file:
        file["/t/x001"].attrs["role"] = np.bytes_(role)
    refuses_batch(path, "x001", role, features="x000,x001")
    refuses_batch(path, "x001", command="score", model=model)


def test_no_rows(model, tmp_path):
    path = sets.write_table(tmp_path / "batch.h5", sets.random_columns(0, 5))
    refuses_batch(path)
    refuses_batch(path, command="score", model=model)


@pytest.mark.parametrize("rows", [1, 15])
def test_too_few_rows(rows, model, tmp_path):
    path = sets.write_table(tmp_path / "batch.h5", sets.random_columns(rows, 5))
    refuses_batch(path, str(rows), "16")
    program.ok("score", "--model", model, path, "--out", tmp_path / "scores.h5")  # scoring needs no more than one


@pytest.mark.parametrize("rows", [16, 100, 255])
def test_sample_shrinks_to_the_rows(rows, tmp_path):
    path = sets.write_table(tmp_path / "batch.h5", sets.random_columns(rows, 3))
    result = program.ok("fit", path, "--trees", 5, "--sample", 256, "--out", tmp_path / "model.h5")
    assert "256" in result.stderr and str(rows) in result.stderr
    with h5py.File(tmp_path / "model.h5") as file:
        assert file["forest"].attrs["sample"] == rows - min(rows // 4, rows - 16)  # the others are held out


def test_one_constant_column(tmp_path):
    columns = sets.random_columns(100, 3)
    columns["x001"][:] = 4
    path = sets.write_table(tmp_path / "batch.h5", columns)
    result = program.ok("fit", path, "--trees", 5, "--out", tmp_path / "model.h5")
    assert "x001" in result.stderr
    program.ok("score", "--model", tmp_path / "model.h5", path, "--out", tmp_path / "scores.h5")


def test_all_columns_constant(tmp_path):
    path = sets.write_table(tmp_path / "batch.h5", {"x": np.full(100, 2.0), "y": np.full(100, np.nan)})
    refuses_batch(path, "constant")


def test_missing_and_infinite_values_are_counted(tmp_path):
    columns = sets.random_columns(200, 3)
    columns["x000"][:7] = np.nan
    columns["x001"][:3] = np.inf
    columns["x001"][5:7] = -np.inf
    path = sets.write_table(tmp_path / "batch.h5", columns)
    model, scores = tmp_path / "model.h5", tmp_path / "scores.h5"
    result = program.ok("fit", path, "--trees", 5, "--out", model)
    assert "x001" in result.stderr  # infinities are worth a word
    shown = {feature["name"]: feature for feature in program.ok_json("model", "show", model)["features"]}
    assert [shown[name]["missing"] for name in columns] == [7, 0, 0]
    assert [shown[name]["infinite"] for name in columns] == [0, 5, 0]
    result = program.ok("score", "--model", model, path, "--out", scores)
    with h5py.File(scores) as file:
        assert file["/scores/missing"][:8].tolist() == [2, 2, 2, 1, 1, 2, 2, 0]
        assert np.isfinite(file["/scores/forest"][:]).all()
        assert np.isfinite(file["/scores/deviation"][:]).all()


def foreign_filter(path, number):
    """A batch with one column whose chunk claims to be compressed by filter `number`."""
    sets.write_table(path, sets.random_columns(100, 2))
    with h5py.File(path, "a") as file:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((100,))
        properties.set_filter(number, h5py.h5z.FLAG_OPTIONAL, ())
        column = h5py.h5d.create(file["t"].id, b"packed", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((100,)),
                                 properties)
        column.write_direct_chunk((0,), b"\1" * 64)
    return path


@pytest.mark.parametrize("number", [32013, 300])
def test_missing_compression_filter(number, tmp_path):
    path = foreign_filter(tmp_path / "batch.h5", number)
    out = tmp_path / "never.h5"
    fails(BAD_INPUT, "fit", path, "--features", "x000,packed", "--out", out, names=[path, "packed", number],
          folder=tmp_path, env=program.environment(HDF5_PLUGIN_PATH="/nonexistent"))


def test_random_damage_to_a_batch(batch, tmp_path):
    """Flipped bytes anywhere: a refusal or a result, never a crash, never a long sentence, nothing left behind."""
    random = np.random.default_rng(77)
    whole = np.frombuffer(batch.read_bytes(), dtype=np.uint8)
    path, out = tmp_path / "damaged.h5", tmp_path / "never.h5"
    refused = 0
    for attempt in range(60):
        content = whole.copy()
        where = random.integers(0, 3000 if attempt % 2 else len(content), size=random.integers(1, 20))
        content[where] = random.integers(0, 256, size=len(where))
        path.write_bytes(content.tobytes())
        result = program.run("fit", path, "--trees", 3, "--out", out, env=whole_stacks())
        assert result.returncode in (DONE, BAD_INPUT, WRONG_USAGE), (attempt, result.returncode, result.stderr)
        if result.returncode == DONE:
            out.unlink()
        else:
            refused += 1
            assert len(result.stderr.splitlines()) == 1, (attempt, result.stderr)
            assert result.stderr.startswith("avvik: ")
        assert not list(tmp_path.glob("never*")), attempt
    assert refused > 5


def test_locked_and_truncated_files_are_told_apart(tmp_path, batch):
    """Why HDF5 cannot open a file is told, not only that it cannot."""
    whole = batch.read_bytes()
    with h5py.File(batch, "r+", locking=True):
        told = fails(BAD_INPUT, "check", batch, names=[batch])
        assert "another program holds a lock on it" in told
        program.ok("check", batch, env=program.environment(HDF5_USE_FILE_LOCKING="FALSE"))
    program.ok("check", batch)
    short = tmp_path / "short.h5"
    short.write_bytes(whole[:len(whole) // 2])
    told = fails(BAD_INPUT, "check", short, names=[short])
    assert "truncated" in told and f"stored_eof = {len(whole)}" in told and "lock on it" not in told


def test_a_directory_is_no_output(tmp_path, batch, model):
    """Known before the work, --force or not; and what is in it stays."""
    for more in ([], ["--force"]):
        told = fails(BAD_INPUT, "score", "--model", model, batch, "--out", tmp_path, *more, folder=tmp_path)
        assert "is a directory" in told
