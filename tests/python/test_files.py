"""Every file avvik writes can be read with h5py and h5dump, and is what the documentation says."""

import re
import shutil
import subprocess

import h5py
import numpy as np
import pytest
import xxhash

import program
import sets

MODEL = {
    "/features/fill": np.float32,
    "/statistics/mean": np.float64,
    "/statistics/sd": np.float64,
    "/statistics/count": np.uint64,
    "/statistics/center32": np.float32,
    "/statistics/rscale32": np.float32,
    "/forest/leaves": np.uint16,
    "/forest/rows": np.uint32,
}
PACKED = {"/forest/nodes": np.uint32}
WIDE = {"/forest/threshold": np.float32, "/forest/feature": np.uint16}
SCORES = {
    "/scores/path_sum": np.int32,
    "/scores/forest": np.float32,
    "/scores/deviation": np.float32,
    "/scores/deviation_feature": np.uint16,
    "/scores/beyond": np.uint16,
    "/scores/missing": np.uint16,
}


def everything(path):
    """(name, HDF5 type) of all data sets and attributes, links that are not hard links refused."""
    with h5py.File(path) as file:
        objects = [("/", file)]
        file.visititems(lambda name, item: objects.append((f"/{name}", item)))
        for name, item in objects:
            if isinstance(item, h5py.Dataset):
                item[()]  # all of it can be read
                yield name, item.id.get_type()
            else:
                for key in item:
                    assert isinstance(item.get(key, getlink=True), h5py.HardLink)
            for key in item.attrs:
                item.attrs[key]
                yield f"{name}@{key}", item.attrs.get_id(key).get_type()


def check_file(path, kind, content):
    for name, stored in everything(path):
        assert isinstance(stored, (h5py.h5t.TypeIntegerID, h5py.h5t.TypeFloatID, h5py.h5t.TypeStringID)), name
        if isinstance(stored, h5py.h5t.TypeStringID):
            assert not stored.is_variable_str(), name
    with h5py.File(path) as file:
        root = {key: value.decode() if isinstance(value, bytes) else value for key, value in file.attrs.items()}
        for name, dtype in content.items():
            assert name in file, name
            assert file[name].dtype == dtype, name
    assert root["avvik_kind"] == kind
    assert root["format_version"] == 2
    assert re.fullmatch(r"avvik \d+\.\d+\.\d+.*", root["producer"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", root["created"])
    assert re.fullmatch(r"xxh3-128:[0-9a-f]{32}", root["content_hash"])
    if shutil.which("h5dump"):
        dump = subprocess.run(["h5dump", path], capture_output=True, check=False)
        assert dump.returncode == 0, dump.stderr.decode()[:500]
        assert len(dump.stdout) > 1000


def test_h5dump_is_there():
    if not shutil.which("h5dump"):
        pytest.skip("no h5dump (Debian package hdf5-tools)")


@pytest.mark.parametrize("features,layout", [(5, PACKED), (80, WIDE)])
def test_model_and_scores(features, layout, tmp_path):
    batch = sets.write_table(tmp_path / "batch.h5", sets.random_columns(500, features))
    model, scores = tmp_path / "model.h5", tmp_path / "scores.h5"
    program.ok("fit", batch, "--trees", 10, "--sample", 64, "--out", model)
    program.ok("score", "--model", model, batch, "--out", scores)
    check_file(model, "model", MODEL | layout)
    check_file(scores, "scores", SCORES)
    with h5py.File(model) as file:
        assert [name.decode() for name in file["/features/name"]] == [f"x{i:03}" for i in range(features)]
        assert {"features", "statistics", "forest", "provenance"} <= set(file)
    with h5py.File(scores) as file:
        assert {len(file[name]) for name in SCORES} == {500}
        assert "run" in file


def without_created(path):
    """The file's bytes with the time it was made blotted out."""
    with h5py.File(path) as file:
        created = bytes(file.attrs["created"])
    content = path.read_bytes()
    assert content.count(created) == 1
    return content.replace(created, b"?" * len(created))


def test_model_does_not_depend_on_threads(tmp_path):
    """150,001 rows are several blocks of the statistics."""
    batch = sets.write_table(tmp_path / "batch.h5", sets.random_columns(150_001, 4), chunks=(10_000,), compression=1)
    models = []
    for threads in (1, 2, 3, 7):
        model = tmp_path / f"model{threads}.h5"
        program.ok("fit", batch, "--trees", 30, "--seed", 11, "--threads", threads, "--out", model)
        models.append(without_created(model))
    assert all(model == models[0] for model in models)
    other = tmp_path / "other.h5"
    program.ok("fit", batch, "--trees", 30, "--seed", 12, "--out", other)
    assert without_created(other) != models[0]


def test_bundled_sets_are_as_described(bundled):
    """The table in datasets/real/README.md holds for the files beside it."""
    text = (sets.BUNDLED / "README.md").read_text()
    line = re.search(rf"^\| `{bundled.name}\.h5` \| ([\d,]+) \| (\d+) \| ([\d,]+) \| ([\d.]+) % \|", text, re.M)
    rows, features, anomalies = (int(line[i].replace(",", "")) for i in (1, 2, 3))
    assert bundled.matrix.shape == (rows, features)
    assert bundled.truth.sum() == anomalies
    assert f"{100 * anomalies / rows:.2f}" == line[4]
    for name, stored in everything(bundled.path):
        assert not (isinstance(stored, h5py.h5t.TypeStringID) and stored.is_variable_str()), name


TYPES = {"u2": 0, "u4": 1, "u8": 2, "i4": 3, "f4": 4, "f8": 5}
UNCOUNTED = {"/@created", "/@producer", "/@content_hash", "/provenance@build", "/run@backend", "/run@device",
             "/run@input_state"}


def content_hash(path):
    """The content hash of a file as host/io/README.md describes it, by another implementation of XXH3."""
    records = []

    def add(name, kind, lengths, content):
        head = np.array([kind, len(lengths), *lengths], dtype="<u8").tobytes()
        digest = xxhash.xxh3_128_intdigest(head + content).to_bytes(16, "little")
        records.append(name.encode().ljust(192, b"\0") + digest)

    with h5py.File(path) as file:
        objects = [("/", file)]
        file.visititems(lambda name, item: objects.append((f"/{name}", item)))
        for name, item in objects:
            for key in item.attrs:
                if f"{name}@{key}" in UNCOUNTED:
                    continue
                value = item.attrs[key]
                if isinstance(value, bytes):
                    add(f"{name}@{key}", 6, [], value)
                else:
                    add(f"{name}@{key}", 2, [], np.uint64(value).tobytes())
            if isinstance(item, h5py.Dataset) and item.dtype.kind == "S":
                size = item.dtype.itemsize
                add(name, 6, [*item.shape, size], b"".join(text.ljust(size, b"\0") for text in item[:]))
            elif isinstance(item, h5py.Dataset):
                add(name, TYPES[item.dtype.str[1:]], item.shape, item[()].tobytes())
    return "xxh3-128:" + xxhash.xxh3_128_hexdigest(b"".join(sorted(records)))


def test_content_hash_is_what_the_documentation_says(model, scores):
    for path in (model, scores):
        with h5py.File(path) as file:
            assert file.attrs["content_hash"].decode() == content_hash(path)


def input_hash(columns):
    """host/io/input_hash.h, with another binding of XXH3."""
    chain = bytes(16)
    for first in range(0, len(columns[0]), 4096):
        digests = b"".join(xxhash.xxh3_128_digest(column[first:first + 4096].tobytes()) for column in columns)
        chain = xxhash.xxh3_128_digest(chain + xxhash.xxh3_128_digest(digests))
    return f"xxh3-128:{chain.hex()}"


@pytest.mark.parametrize("rows", [600, 4096, 70_000])
def test_input_hash(rows, tmp_path):
    """Of a model and of scores, in whatever blocks the rows were read."""
    columns = sets.random_columns(rows, 3)
    batch = sets.write_table(tmp_path / "batch.h5", columns)
    program.ok("fit", batch, "--trees", 5, "--out", tmp_path / "model.h5", "--threads", 2)
    program.ok("score", "--model", tmp_path / "model.h5", batch, "--out", tmp_path / "scores.h5", "--threads", 3)
    wanted = input_hash([columns[name] for name in sorted(columns)])
    for name, group in (("model.h5", "provenance"), ("scores.h5", "run")):
        with h5py.File(tmp_path / name) as file:
            assert file[group].attrs["input_hash"].decode() == wanted, name
