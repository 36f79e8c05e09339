"""What avvik reads by itself, without HDF5, is what h5py reads: every type, layout and filter, to the last bit."""

import ctypes
import pathlib
import warnings

import h5py
import hdf5plugin
import numpy as np
import pandas as pd
import pytest

import program
import reading
from reading import FLOATS, INTEGERS, agrees, as_float32, create, expected_of, values_of

TYPES = INTEGERS + FLOATS + ["bool"]
ROWS = 20_011
BLOCKS = (ROWS, 4096, 1000)  # the last cuts every chunk
V110 = ("v110", "v110")  # every structure in the newest form that HDF5 1.10 knows
VERSIONS = {"earliest": "earliest", "v110": V110}
DEFLATE, SHUFFLE, FLETCHER = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32


def name_of(dtype):
    return str(dtype).replace("<", "little_").replace(">", "big_").replace("|", "")


def unfiltered_edge(properties):
    """Leave the last chunk, which is not full, without filters: h5py has no call for it."""
    library = ctypes.CDLL(str(next((pathlib.Path(h5py.__file__).parent.parent / "h5py.libs").glob("libhdf5-*"))))
    assert library.H5Pset_chunk_opts(ctypes.c_int64(properties.id), ctypes.c_uint(2)) >= 0


LAYOUTS = {
    "contiguous": {},
    "chunked": dict(chunks=(4096,)),
    "odd-chunks": dict(chunks=(777,), compression="gzip", shuffle=True),
    "deflate-0": dict(chunks=(3000,), compression="gzip", compression_opts=0),
    "deflate-1": dict(chunks=(3000,), compression="gzip", compression_opts=1),
    "deflate-9": dict(chunks=(3000,), compression="gzip", compression_opts=9),
    "shuffle": dict(chunks=(3001,), shuffle=True),
    "fletcher": dict(chunks=(999,), fletcher32=True),
    "everything": dict(chunks=(5000,), compression="gzip", shuffle=True, fletcher32=True),
    "one-chunk": dict(chunks=(ROWS,), compression="gzip"),
    "larger-chunk": dict(chunks=(3 * ROWS,), maxshape=(None,), compression="gzip", shuffle=True),
    "resizable": dict(chunks=(1500,), maxshape=(None,)),
    "one-row-chunks-of-7": dict(chunks=(7,), compression="gzip"),
}
FILTERS = {
    "fletcher-then-deflate": [(FLETCHER, ()), (DEFLATE, (6,))],
    "fletcher-shuffle-deflate": [(FLETCHER, ()), (SHUFFLE, ()), (DEFLATE, (6,))],
    "shuffle-fletcher-deflate-fletcher": [(SHUFFLE, ()), (FLETCHER, ()), (DEFLATE, (6,)), (FLETCHER, ())],
    "shuffle-twice": [(SHUFFLE, ()), (SHUFFLE, ())],
    "seven": [(FLETCHER, ())] * 7,
}


def write_all_types(path, rows=ROWS, seed=1, libver="earliest", userblock=0, types=TYPES, **options):
    with h5py.File(path, "w", libver=VERSIONS[libver], userblock_size=userblock) as file:
        for dtype in types:
            file.create_dataset(f"t/{name_of(dtype)}", data=values_of(dtype, rows, seed), **options)
    return path


@pytest.mark.parametrize("libver", ["earliest", "v110"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_type(layout, libver, tmp_path):
    rows = 700 if layout == "one-row-chunks-of-7" else ROWS
    path = write_all_types(tmp_path / "batch.h5", rows, libver=libver, **LAYOUTS[layout])
    agrees(path, expected_of(path), [min(block, rows) for block in BLOCKS])


@pytest.mark.parametrize("filters", FILTERS)
def test_filters_in_any_order(filters, tmp_path):
    path = tmp_path / "batch.h5"
    with h5py.File(path, "w") as file:
        for dtype in TYPES:
            create(file.create_group("t") if "t" not in file else file["t"], name_of(dtype), values_of(dtype, 5003),
                   FILTERS[filters], chunk=600)
    agrees(path, expected_of(path), (5003, 1000))


@pytest.mark.parametrize("filters", [[(DEFLATE, (6,)), (SHUFFLE, ())], [(DEFLATE, (6,)), (DEFLATE, (6,))]])
def test_deflate_under_other_filters_is_refused(filters, tmp_path):
    """What such a chunk inflates to cannot be known before all of it is in memory."""
    path = tmp_path / "batch.h5"
    with h5py.File(path, "w") as file:
        create(file.create_group("t"), "x", values_of("<f4", 5003), filters, chunk=600)
    program.fails(program.BAD_INPUT, "fit", path, "--out", tmp_path / "never.h5", names=[path, "'x'", filters[1][0]],
                  folder=tmp_path)


def test_user_block(tmp_path):
    for layout in ("contiguous", "chunked", "everything"):
        path = write_all_types(tmp_path / f"{layout}.h5", userblock=2048, **LAYOUTS[layout])
        agrees(path, expected_of(path), (4096,))


def test_compact(tmp_path):
    path = tmp_path / "batch.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("t")
        for dtype in TYPES:
            create(group, name_of(dtype), values_of(dtype, 2000), layout=h5py.h5d.COMPACT)
    agrees(path, expected_of(path), (2000, 300))


@pytest.mark.parametrize("libver", ["earliest", "v110"])
def test_resized(libver, tmp_path):
    """Grown with a fill value, shrunk into the middle of a chunk, and grown again."""
    path = tmp_path / "batch.h5"
    with h5py.File(path, "w", libver=VERSIONS[libver]) as file:
        for dtype in TYPES:
            column = file.create_dataset(f"t/{name_of(dtype)}", data=values_of(dtype, 5000), chunks=(700,),
                                         maxshape=(None,), compression="gzip", fillvalue=1)
            column.resize((9001,))
            column.resize((4321,))
            column.resize((6000,))
    agrees(path, expected_of(path), (6000, 1000))


def test_early_allocation(tmp_path):
    """Chunks that have a place, but no index of them (HDF5's implicit index)."""
    path = tmp_path / "batch.h5"
    with h5py.File(path, "w", libver=V110) as file:
        group = file.create_group("t")
        for dtype in TYPES:
            create(group, name_of(dtype), values_of(dtype, 5000), chunk=700,
                   prepare=lambda properties: properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY))
    agrees(path, expected_of(path), (5000, 1000))


def test_edge_chunk_without_filters(tmp_path):
    path = tmp_path / "batch.h5"
    with h5py.File(path, "w", libver=V110) as file:
        group = file.create_group("t")
        for dtype in TYPES:
            create(group, name_of(dtype), values_of(dtype, 5003), [(SHUFFLE, ()), (DEFLATE, (6,))], chunk=700,
                   prepare=unfiltered_edge)
    agrees(path, expected_of(path), (5003, 1000))


def test_odd_numbers(tmp_path):
    """What avvik leaves to HDF5: integers of 12 bits in 2 bytes, long doubles, scale and offset, n-bit."""
    path = tmp_path / "batch.h5"
    random = np.random.default_rng(4)
    small = random.integers(0, 4000, 3000)
    with h5py.File(path, "w") as file:
        group = file.create_group("t")
        for name, filters in {"bits": [], "bits_packed": [(h5py.h5z.FILTER_NBIT, ())]}.items():
            dtype = h5py.h5t.STD_U16LE.copy()
            dtype.set_precision(12)
            dtype.set_offset(3)
            properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            properties.set_chunk((500,))
            for number, parameters in filters:
                properties.set_filter(number, 0, parameters)
            column = h5py.h5d.create(group.id, name.encode(), dtype, h5py.h5s.create_simple((3000,)), properties)
            column.write(h5py.h5s.ALL, h5py.h5s.ALL, small.astype(np.uint16))
        with np.errstate(invalid="ignore"):  # signalling NaNs among them
            group["long_double"] = values_of("f8", 3000).astype(np.longdouble)
        group.create_dataset("scaled", data=small, chunks=(500,), scaleoffset=0, compression="gzip")
    agrees(path, expected_of(path), (3000, 701))


def test_several_files_of_different_layout(tmp_path):
    paths, parts = [], []
    for number, (layout, rows) in enumerate([("contiguous", 1001), ("everything", 7), ("odd-chunks", 5003),
                                             ("chunked", 4096), ("one-chunk", 2500)]):
        paths.append(tmp_path / f"{number}.h5")
        types = TYPES if number % 2 else TYPES[::-1]  # one name, another type
        with h5py.File(paths[-1], "w") as file:
            for column, dtype in enumerate(types):
                options = {key: value if key != "chunks" else (min(value[0], rows),)
                           for key, value in LAYOUTS[layout].items()}
                file.create_dataset(f"t/x{column:02}", data=values_of(dtype, rows, seed=number), **options)
        parts.append(expected_of(paths[-1]))
    expected = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    agrees(paths, expected, (12607, 4096, 999))


PLUGINS = {
    "zstd": dict(hdf5plugin.Zstd(clevel=5)),
    "zstd-shuffle": dict(hdf5plugin.Zstd(), shuffle=True),
    "zstd-fletcher": dict(hdf5plugin.Zstd(), fletcher32=True),
    "lz4": dict(hdf5plugin.LZ4()),
    "lz4-blocks": dict(hdf5plugin.LZ4(nbytes=1024), shuffle=True),
    "lz4-tiny-blocks": dict(hdf5plugin.LZ4(nbytes=16)),
    **{f"blosc-{codec}-{shuffle}": dict(hdf5plugin.Blosc(cname=codec, clevel=5, shuffle=shuffle))
       for codec in ("blosclz", "lz4", "lz4hc", "zlib", "zstd") for shuffle in (0, 1, 2)},
}


@pytest.mark.parametrize("plugin", PLUGINS)
def test_plugins_are_not_needed(plugin, tmp_path):
    """avvik has no plugin path here, so that what it reads it has decoded itself."""
    path = write_all_types(tmp_path / "batch.h5", types=INTEGERS + ["<f4", ">f4", "<f8", "bool"], chunks=(3000,),
                           **PLUGINS[plugin])
    agrees(path, expected_of(path), BLOCKS, ways=["raw"])


@pytest.mark.parametrize("plugin,number", [(hdf5plugin.Bitshuffle(), 32008), (hdf5plugin.Blosc2(), 32026),
                                           (hdf5plugin.BZip2(), 307), ("lzf", 32000)],
                         ids=["bitshuffle", "blosc2", "bzip2", "lzf"])
def test_other_plugins_are_asked_for(plugin, number, tmp_path):
    options = dict(compression=plugin) if isinstance(plugin, str) else dict(plugin)
    path = write_all_types(tmp_path / "batch.h5", types=["<f4"], chunks=(3000,), **options)
    program.fails(program.BAD_INPUT, "fit", path, "--out", tmp_path / "never.h5", names=[path, "little_f4", number],
                  folder=tmp_path, env=program.environment(HDF5_PLUGIN_PATH="/nonexistent"))


@pytest.mark.parametrize("dtype", ["<f4", ">i4", "<i8", "<f2"])
def test_filters_left_out_of_a_chunk(dtype, tmp_path):
    """A writer may leave out a filter for one chunk: every combination of three."""
    path = tmp_path / "batch.h5"
    values = values_of(dtype, 8 * 500)
    with h5py.File(path, "w") as file:
        column = file.create_dataset("t/x", values.shape, dtype, chunks=(500,), shuffle=True, compression="gzip",
                                     fletcher32=True)
        with h5py.File(tmp_path / "parts.h5", "w") as parts:
            for mask in range(8):  # what HDF5 stores where only these filters are there
                part = parts.create_dataset(str(mask), data=values[mask * 500:(mask + 1) * 500], chunks=(500,),
                                            shuffle=not mask & 1, compression=None if mask & 2 else "gzip",
                                            fletcher32=not mask & 4)
                column.id.write_direct_chunk((mask * 500,), part.id.read_direct_chunk((0,))[1], filter_mask=mask)
    with h5py.File(path) as file:
        assert np.array_equal(file["t/x"][:].view(np.uint8), values.view(np.uint8))
    agrees(path, expected_of(path), (4000, 333))


@pytest.mark.parametrize("libver", ["earliest", "v110"])
@pytest.mark.parametrize("options", [dict(chunks=(500,)), dict(chunks=(500,), compression="gzip", shuffle=True), {},
                                     dict(chunks=(500,), maxshape=(None,), fletcher32=True)],
                         ids=["chunked", "deflate", "contiguous", "resizable"])
def test_rows_never_written(options, libver, tmp_path):
    path = tmp_path / "batch.h5"
    with h5py.File(path, "w", libver=VERSIONS[libver]) as file:
        for dtype in TYPES:
            for fill in (None, 1 if dtype == "bool" else 42):
                name = f"t/{name_of(dtype)}_{fill}"
                column = file.create_dataset(name, (4100,), np.dtype(dtype), fillvalue=fill, **options)
                if options:
                    column[1700:1800] = values_of(dtype, 100)
    agrees(path, expected_of(path), (4100, 800))


@pytest.mark.parametrize("options", [dict(chunks=(500,)), {}], ids=["chunked", "contiguous"])
def test_rows_without_any_fill_value(options, tmp_path):
    """HDF5 leaves the reader's memory as it is where a data set has no fill value at all: avvik reads zero there."""
    path = tmp_path / "batch.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("t")
        group["a"] = np.arange(1.0, 4101.0, dtype=np.float16)  # what lies in that memory before
        for dtype in ("<f4", "<f2", "<i8"):
            properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            if options:
                properties.set_chunk(options["chunks"])
            h5py.h5d.create(group.id, name_of(dtype).encode(), h5py.h5t.py_create(np.dtype(dtype)),
                            h5py.h5s.create_simple((4100,)), properties)
        expected = {name: np.zeros(4100, np.float32) for name in sorted(group)}
        expected["a"] = as_float32(group["a"])
    agrees(path, expected, (4100, 800))


def test_virtual_external_and_linked_columns(tmp_path):
    """Columns that are not in the file itself, through every way that HDF5 has for it, in one table."""
    other = write_all_types(tmp_path / "other.h5", types=["<f4", "<i8", ">i2"], chunks=(777,), compression="gzip")
    with h5py.File(other, "a") as file:
        file["t/plain"] = values_of("<f8", ROWS)
    path = tmp_path / "batch.h5"
    with h5py.File(path, "w") as file:
        table = file.create_group("t")
        for name in ("little_f4", "little_i8", "big_i2", "plain"):
            layout = h5py.VirtualLayout((ROWS,), dtype=h5py.File(other)[f"t/{name}"].dtype)
            layout[:] = h5py.VirtualSource("other.h5", f"t/{name}", (ROWS,))
            table.create_virtual_dataset(f"virtual_{name}", layout)
            table[f"linked_{name}"] = h5py.ExternalLink("other.h5", f"/t/{name}")
        table.create_dataset("external", data=values_of("<f4", ROWS),
                             external=[(tmp_path / "external.raw", 64, h5py.h5f.UNLIMITED)])
        file.create_dataset("elsewhere", data=values_of("u2", ROWS), chunks=(500,), compression="gzip")
        table["soft"] = h5py.SoftLink("/elsewhere")
        table["dangling"] = h5py.SoftLink("/nowhere")
        table["gone"] = h5py.ExternalLink("absent.h5", "/t/x")
    with h5py.File(path) as file:
        expected = {name: as_float32(file["t"][name]) for name in sorted(file["t"]) if name not in ("dangling", "gone")}
    agrees(path, expected, (ROWS, 4096))


COMPOUND = np.dtype([("a", "<f4"), ("b", ">i8"), ("c", "<u2"), ("d", ">f4", (3,)), ("e", "i1"), ("g", ">i2", (2,)),
                     ("h", "<f8"), ("i", ">u4")])
HALF = np.dtype([("a", "<f4"), ("b", "<f2"), ("c", ">f8")])
PADDED = np.dtype({"names": ["a", "b"], "formats": [">f4", "<i4"], "offsets": [5, 40], "itemsize": 61})
TEXTS = np.dtype([("a", "<f4"), ("name", h5py.string_dtype()), ("b", "<i4"), ("c", "<f8")])


def compound_rows(dtype, rows):
    table = np.zeros(rows, dtype)
    for seed, name in enumerate(dtype.names):
        field = dtype[name]
        if field.kind == "O":
            table[name] = [b"x" * (i % 50) for i in range(rows)]
        else:
            table[name] = values_of(field.base, rows * int(np.prod(field.shape or 1)), seed).reshape(rows, *field.shape)
    return table


def compound_expected(path):
    """HDF5's own conversion of the members that are numbers, in the version that h5py brings."""
    with h5py.File(path) as file:
        stored = file["t"].dtype
        floats = np.dtype([(name, np.float32, stored[name].shape) for name in stored.names if stored[name].kind != "O"])
        table = file["t"].astype(floats)[:]
    expected = {}
    for name in floats.names:
        for element in range(floats[name].shape[0]) if floats[name].shape else [None]:
            label = name if element is None else f"{name}[{element}]"
            expected[label] = np.ascontiguousarray(table[name] if element is None else table[name][:, element])
    return expected


@pytest.mark.parametrize("layout", ["contiguous", "chunked", "odd-chunks", "fletcher", "everything", "resizable"])
@pytest.mark.parametrize("dtype", [COMPOUND, HALF, PADDED, TEXTS], ids=["mixed", "half", "padded", "texts"])
def test_compound_tables(dtype, layout, tmp_path):
    """As PyTables writes them, with arrays, big-endian members, gaps, and texts of any length between the numbers."""
    rows = 5003
    table = compound_rows(dtype, rows)
    path = tmp_path / "batch.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("t", data=table, **LAYOUTS[layout])
    agrees(path, compound_expected(path), (rows, 1000))


@pytest.mark.parametrize("library", [None, "zlib", "blosc", "blosc:lz4", "blosc:zstd"])
def test_pandas_tables(library, tmp_path):
    frame = pd.DataFrame({f"x{i}": values_of(dtype, 3000, i) for i, dtype in
                          enumerate(["f4", "f4", "i8", "i8", "i2", "u1", "f8", "f8"])})
    frame.loc[:, ["x6", "x7"]] = frame[["x6", "x7"]].clip(-1e30, 1e30)
    path = tmp_path / "batch.h5"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame.to_hdf(path, key="t", format="table", complevel=5 if library else None, complib=library)
    values = {name: frame[name].to_numpy().astype(np.float32) for name in frame}
    read = reading.read("raw", 1000, path, features=8)
    found = [next(name for name in values if reading.same_bits(column, values[name])) for column in read]
    assert sorted(found) == sorted(values)  # pandas puts columns of one type together


def test_missing_values_and_codes(tmp_path):
    """_FillValue becomes missing, in every type and both ways of reading."""
    path = tmp_path / "batch.h5"
    expected = {}
    with h5py.File(path, "w") as file:
        for dtype in ("<f4", "<f2", ">i4", "<i8", "u1"):
            for layout in ("contiguous", "odd-chunks"):
                values = (values_of("u1", ROWS) % 50).astype(dtype)
                column = file.create_dataset(f"t/{name_of(dtype)}_{layout}", data=values, **LAYOUTS[layout])
                column.attrs["_FillValue"] = np.dtype(dtype).type(17)
                expected[f"{name_of(dtype)}_{layout}"] = np.where(values == 17, np.nan, values.astype(np.float32)).astype(
                    np.float32)
    agrees(path, {name: expected[name] for name in sorted(expected)}, (ROWS, 1001))
    assert all(np.isnan(values).any() for values in expected.values())
