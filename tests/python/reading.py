"""Reading rows by tests/read_rows.c, next to the program, and files written with HDF5's lower level."""

import pathlib
import subprocess

import h5py
import numpy as np

import program

READ_ROWS = pathlib.Path(program.AVVIK).parent / "tests" / "read_rows"
INTEGERS = [order + kind + size for size in "1248" for kind in "iu" for order in ("<>" if size != "1" else "|")]
FLOATS = [order + "f" + size for size in "248" for order in "<>"]


def run(way, block_rows, *paths):
    return subprocess.run([READ_ROWS, way, str(block_rows), *map(str, paths)], capture_output=True, check=False,
                          env=dict(program.whole_stacks(), HDF5_PLUGIN_PATH="/nonexistent"), timeout=300)


def read(way, block_rows, *paths, features):
    """Features x rows, as avvik reads these files: by HDF5 (`plain`) or by itself (`raw`)."""
    result = run(way, block_rows, *paths)
    assert result.returncode == 0, (way, block_rows, result.returncode, result.stderr.decode())
    values = np.frombuffer(result.stdout, np.float32)
    whole = features * block_rows
    full = len(values) // whole
    blocks = [values[i * whole:(i + 1) * whole].reshape(features, -1) for i in range(full)]
    if len(values) % whole:
        blocks.append(values[full * whole:].reshape(features, -1))
    return np.concatenate(blocks, axis=1)


def same_bits(read_values, expected):
    """Bit for bit, but that any NaN is as good as another."""
    return ((read_values.view(np.uint32) == expected.view(np.uint32))
            | (np.isnan(read_values) & np.isnan(expected))).all(axis=-1)


def agrees(paths, expected, block_sizes, ways=("plain", "raw")):
    """Both ways of reading, in blocks of each size, give what h5py gave. expected: name to float32, in avvik's order."""
    paths = paths if isinstance(paths, (list, tuple)) else [paths]
    reference = np.stack(list(expected.values()))
    assert reference.dtype == np.float32
    for way in ways:
        for block_rows in block_sizes:
            values = read(way, block_rows, *paths, features=len(reference))
            assert values.shape == reference.shape, (way, block_rows)
            wrong = [name for name, is_same in zip(expected, same_bits(values, reference)) if not is_same]
            assert not wrong, (way, block_rows, wrong)


def values_of(dtype, rows, seed=1):
    """Values over the whole range of a type: half of them any bits at all, half of them of every size."""
    random = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    half = rows // 2
    if dtype == bool:
        return random.random(rows) < 0.3
    if dtype.kind in "iu":
        range_ = np.iinfo(dtype)
        native = dtype.newbyteorder("=")
        values = random.integers(range_.min, range_.max, rows, dtype=native, endpoint=True)
        values[:half] >>= random.integers(0, dtype.itemsize * 8, half).astype(native)
        return values.astype(dtype)
    values = random.integers(0, 256, rows * dtype.itemsize, dtype=np.uint8).view(dtype.newbyteorder("=")).copy()
    powers = 10.0 ** random.integers(-4, 4, half) if dtype.itemsize == 2 else 10.0 ** random.integers(-30, 30, half)
    values[:half] = random.standard_normal(half) * powers
    if dtype.itemsize == 8 and rows > 8:  # around the largest float32
        values[:6] = [3.4028235e38, 3.4028235677973366e38, 3.40282356e38 * 1.0000001, -3.4028235677973366e38, 1e39, -0.0]
    return values.astype(dtype)


def as_float32(dataset):
    """HDF5's own conversion, in the version that h5py brings."""
    if dataset.dtype == bool or h5py.check_enum_dtype(dataset.dtype):
        return dataset[:].astype(np.float32)
    return dataset.astype(np.float32)[:]


def expected_of(path, table="t"):
    with h5py.File(path) as file:
        return {name: as_float32(file[table][name]) for name in sorted(file[table])}


def create(group, name, values, filters=(), chunk=None, resizable=False, layout=None, prepare=None):
    """A data set whose filters stand in just this order. filters: (number, parameters)."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    if chunk:
        properties.set_chunk((chunk,))
    if layout is not None:
        properties.set_layout(layout)
    for number, parameters in filters:
        properties.set_filter(number, h5py.h5z.FLAG_OPTIONAL, tuple(parameters))
    if prepare:
        prepare(properties)
    space = h5py.h5s.create_simple((len(values),), (h5py.h5s.UNLIMITED if resizable else len(values),))
    dataset = h5py.h5d.create(group.id, name.encode(), h5py.h5t.py_create(values.dtype, logical=True), space, properties)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(values))
    return h5py.Dataset(dataset)
