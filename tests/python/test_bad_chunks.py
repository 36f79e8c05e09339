"""Damaged and hostile storage of rows: one sentence that names file, column and rows, and no memory beyond a chunk's."""

import os
import struct
import subprocess
import zlib

import h5py
import hdf5plugin
import numpy as np
import pytest

import program
import reading
from program import BAD_INPUT, DONE, fails, whole_stacks
from reading import create

ROWS, CHUNK = 2000, 200
DEFLATE, SHUFFLE, FLETCHER = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32
GZIP = dict(chunks=(CHUNK,), compression="gzip")
SECOND = ("bad", f"rows {CHUNK} to {2 * CHUNK - 1}")  # the column and the rows of the chunk that most cases damage


def numbers(rows=ROWS, seed=5):
    return (np.random.default_rng(seed).normal(size=rows) * 100).round().astype(np.float32)


def write(path, dtype="<f4", rows=ROWS, libver="earliest", **options):
    """A table of a column `good`, stored as it is, and a column `bad`."""
    with h5py.File(path, "w", libver=libver) as file:
        file["t/good"] = numbers(rows)
        file.create_dataset("t/bad", data=numbers(rows, 6).astype(dtype), **options)
    return path


def write_filtered(path, *filters):
    with h5py.File(path, "w") as file:
        file["t/good"] = numbers()
        create(file["t"], "bad", numbers(seed=6), filters, chunk=CHUNK)
    return path


def chunk_of(path, number=1):
    with h5py.File(path) as file:
        return file["t/bad"].id.get_chunk_info(number)


def replace(path, old, new):
    content = path.read_bytes()
    assert len(old) == len(new) and content.count(old) == 1
    path.write_bytes(content.replace(old, new))


def overwrite(path, where, new):
    content = bytearray(path.read_bytes())
    content[where:where + len(new)] = new
    path.write_bytes(content)


def put_chunk(path, stored, number=1, mask=0):
    """Write bytes as they are where a chunk is expected."""
    with h5py.File(path, "a") as file:
        file["t/bad"].id.write_direct_chunk((number * CHUNK,), stored, filter_mask=mask)


def index_entry(size, row, address):
    """How HDF5's B-tree of chunks names one: bytes, mask of filters, offset, address."""
    return struct.pack("<IIQQQ", size, 0, row, 0, address)


def change_index(path, number=1, size=None, address=None):
    chunk = chunk_of(path, number)
    row = number * CHUNK
    replace(path, index_entry(chunk.size, row, chunk.byte_offset),
            index_entry(chunk.size if size is None else size, row, chunk.byte_offset if address is None else address))


def cut(path, length):
    """Shorten a file, and let its superblock say that it is whole."""
    content = bytearray(path.read_bytes()[:length])
    assert content[8] == 0  # version of the superblock: its end of file stands at 40
    content[40:48] = struct.pack("<Q", length)
    path.write_bytes(content)


CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


@case
def flipped_byte_in_deflate(path):
    chunk = chunk_of(write(path, **GZIP))
    overwrite(path, chunk.byte_offset + chunk.size // 2, b"\xa5\x5a\xff")
    return (*SECOND, "damaged")


@case
def flipped_byte_in_integers_under_shuffle(path):
    chunk = chunk_of(write(path, "<i8", shuffle=True, **GZIP), 9)
    overwrite(path, chunk.byte_offset + chunk.size - 3, b"\xa5\x5a")  # Adler-32 of the plain bytes
    return "bad", "rows 1800 to 1999"


@case
def flipped_byte_under_checksum(path):
    chunk = chunk_of(write(path, fletcher32=True, chunks=(CHUNK,)))
    overwrite(path, chunk.byte_offset + 77, b"\xee")
    return (*SECOND, "checksum")


@case
def flipped_byte_of_checksum(path):
    chunk = chunk_of(write(path, fletcher32=True, **GZIP))
    overwrite(path, chunk.byte_offset + chunk.size - 1, b"\xee")
    return (*SECOND, "checksum")


@case
def checksum_under_deflate(path):
    write_filtered(path, (FLETCHER, ()), (DEFLATE, (6,)))
    put_chunk(path, zlib.compress(numbers(CHUNK).tobytes() + b"\1\2\3\4"))
    return (*SECOND, "checksum")


@case
def shorter_than_its_checksum(path):
    put_chunk(write(path, fletcher32=True, **GZIP), b"\1\2")
    return (*SECOND, "too short for its checksum")


@case
def damaged_in_a_type_that_hdf5_converts(path):
    chunk = chunk_of(write(path, "<f2", **GZIP))
    overwrite(path, chunk.byte_offset + chunk.size // 2, b"\xa5\x5a\xff")
    return SECOND


@case
def too_short_for_a_type_that_hdf5_converts(path):
    """HDF5 1.10 itself would read beyond what it has inflated."""
    put_chunk(write(path, ">f8", **GZIP), zlib.compress(bytes(8 * CHUNK - 100)))
    return SECOND


@case
def damaged_under_a_filter_that_only_hdf5_has(path):
    chunk = chunk_of(write(path, "<i4", scaleoffset=0, **GZIP))
    overwrite(path, chunk.byte_offset + chunk.size // 2, b"\xa5\x5a\xff")
    return "bad", "rows 0 to 1999"  # HDF5 does not tell which of the rows that were asked for


@case
def inflates_to_more(path):
    put_chunk(write(path, **GZIP), zlib.compress(bytes(4 * CHUNK + 1)))
    return (*SECOND, "more bytes")


@case
def inflates_to_less(path):
    put_chunk(write(path, **GZIP), zlib.compress(bytes(4 * CHUNK - 1)))
    return (*SECOND, "fewer bytes")


@case
def inflates_to_nothing(path):
    put_chunk(write(path, **GZIP), zlib.compress(b""))
    return SECOND


@case
def deflate_stream_cut_short(path):
    put_chunk(write(path, **GZIP), zlib.compress(numbers(CHUNK).tobytes())[:-20])
    return SECOND


@case
def stored_in_more_bytes_than_possible(path):
    put_chunk(write(path, **GZIP), zlib.compress(bytes(4 * CHUNK)) + bytes(10 << 20))
    return (*SECOND, "larger than any")


@case
def shuffled_bytes_that_are_too_few(path):
    put_chunk(write(path, shuffle=True, chunks=(CHUNK,)), bytes(4 * CHUNK - 4))
    return SECOND


@case
def mask_that_denies_the_compression(path):
    put_chunk(write(path, **GZIP), zlib.compress(numbers(CHUNK).tobytes()), mask=1)
    return SECOND


@case
def index_with_a_chunk_of_four_gigabytes(path):
    change_index(write(path, **GZIP), size=0xffffffff)
    return SECOND


@case
def index_with_a_chunk_of_no_bytes(path):
    change_index(write(path, **GZIP), size=0)
    return SECOND


@case
def index_with_an_unfiltered_chunk_of_no_bytes(path):
    change_index(write(path, chunks=(CHUNK,)), size=0)
    return (*SECOND, "not as many bytes")


@case
def chunk_beyond_the_end(path):
    change_index(write(path, **GZIP), address=1 << 40)
    return (*SECOND, "beyond the end")


@case
def chunk_just_over_the_end(path):
    write(path, chunks=(CHUNK,))
    change_index(path, address=path.stat().st_size - 4)
    return (*SECOND, "beyond the end")


@case
def chunk_at_a_negative_address(path):
    change_index(write(path, chunks=(CHUNK,)), address=(1 << 64) - 4096)
    return SECOND


@case
def chunk_upon_the_superblock(path):
    change_index(write(path, **GZIP), address=0)
    return SECOND


@case
def file_cut_in_the_middle_of_a_chunk(path):
    chunk = chunk_of(write(path, chunks=(CHUNK,)), 9)
    cut(path, chunk.byte_offset + 100)
    return "bad", "rows 1800 to 1999"


@case
def file_cut_after_the_first_chunks(path):
    chunk = chunk_of(write(path, **GZIP), 2)
    cut(path, chunk.byte_offset)
    return "bad", "rows 400 to 599"


@case
def file_cut_in_a_contiguous_column(path):
    with h5py.File(write(path)) as file:
        cut(path, file["t/bad"].id.get_offset() + 4001)
    return "bad", "rows 0 to 1999"


@case
def contiguous_column_beyond_the_end(path):
    with h5py.File(write(path)) as file:
        address = file["t/bad"].id.get_offset()
    replace(path, struct.pack("<BBQQ", 3, 1, address, 4 * ROWS), struct.pack("<BBQQ", 3, 1, 1 << 50, 4 * ROWS))
    return ("bad",)


@case
def contiguous_column_just_over_the_end(path):
    with h5py.File(write(path)) as file:
        address = file["t/bad"].id.get_offset()
    end = path.stat().st_size
    replace(path, struct.pack("<BBQQ", 3, 1, address, 4 * ROWS), struct.pack("<BBQQ", 3, 1, end - 8, 4 * ROWS))
    return ("bad",)


@case
def rows_without_end(path):
    """Both columns claim 2^61 rows, whose bytes are more than 2^63."""
    write(path)
    content = path.read_bytes()
    dims = struct.pack("<QQ", ROWS, ROWS)
    assert content.count(dims) == 2
    path.write_bytes(content.replace(dims, struct.pack("<QQ", 1 << 61, 1 << 61)))
    return "good", 1 << 61


@case
def chunks_above_256_mib(path):
    write(path)
    with h5py.File(path, "a") as file:
        del file["t/bad"]
        file["t"].create_dataset("bad", (ROWS,), "f4", maxshape=(None,), chunks=((256 << 18) + 1,), compression="gzip")
    return "bad", "256 MiB"


def change_first(path, where, old, new):
    """Replace the first `old` of the second chunk's stored bytes from `where` on; the file's size does not change."""
    chunk = chunk_of(path)
    content = path.read_bytes()[chunk.byte_offset:chunk.byte_offset + chunk.size]
    assert content[where:where + len(old)] == old, content[:32]
    overwrite(path, chunk.byte_offset + where, new)


def lz4(path, **options):
    return write(path, chunks=(CHUNK,), **hdf5plugin.LZ4(**options))


@case
def lz4_of_more_bytes(path):
    change_first(lz4(path), 0, struct.pack(">Q", 4 * CHUNK), struct.pack(">Q", 1 << 30))
    return SECOND


@case
def lz4_of_bytes_beyond_64_bits(path):
    change_first(lz4(path), 0, struct.pack(">Q", 4 * CHUNK), struct.pack(">Q", (1 << 63) + 4 * CHUNK))
    return SECOND


@case
def lz4_in_blocks_of_no_bytes(path):
    change_first(lz4(path, nbytes=128), 8, struct.pack(">I", 128), bytes(4))
    return SECOND


@case
def lz4_with_a_block_beyond_the_chunk(path):
    lz4(path, nbytes=128)
    overwrite(path, chunk_of(path).byte_offset + 12, struct.pack(">I", 0x7fffffff))
    return SECOND


@case
def lz4_with_a_block_that_expands_too_far(path):
    put_chunk(lz4(path), struct.pack(">QII", 4 * CHUNK, 4 * CHUNK, 40) + b"\x1f\x00\x01\x00" + b"\xff" * 36)
    return SECOND


@case
def zstd_that_says_more(path):
    write(path, chunks=(CHUNK,), **hdf5plugin.Zstd())
    change_first(path, 0, struct.pack("<I", 0xfd2fb528), struct.pack("<I", 0xfd2fb528))
    overwrite(path, chunk_of(path).byte_offset + 4, b"\xe0" + struct.pack("<Q", 1 << 40))  # frame content size
    return SECOND


@case
def zstd_cut_short(path):
    write(path, chunks=(CHUNK,), **hdf5plugin.Zstd())
    with h5py.File(path) as file:
        stored = file["t/bad"].id.read_direct_chunk((CHUNK,))[1]
    put_chunk(path, stored[:-9])
    return SECOND


@case
def blosc_that_says_more(path):
    write(path, chunks=(CHUNK,), **hdf5plugin.Blosc())
    change_first(path, 4, struct.pack("<I", 4 * CHUNK), struct.pack("<I", 0x7ffffff0))
    return SECOND


@case
def blosc_with_a_wrong_size_of_itself(path):
    write(path, chunks=(CHUNK,), **hdf5plugin.Blosc())
    change_first(path, 12, struct.pack("<I", chunk_of(path).size), struct.pack("<I", 1 << 30))
    return SECOND


@case
def blosc_in_blocks_of_no_bytes(path):
    write(path, chunks=(CHUNK,), **hdf5plugin.Blosc())
    overwrite(path, chunk_of(path).byte_offset + 8, bytes(4))
    return SECOND


@case
def blosc_shorter_than_its_header(path):
    put_chunk(write(path, chunks=(CHUNK,), **hdf5plugin.Blosc()), b"\2\1\1\4" + struct.pack("<I", 4 * CHUNK))
    return SECOND


@case
def shuffle_of_elements_of_no_bytes(path):
    write_filtered(path, (SHUFFLE, ()))
    replace(path, b"shuffle\0" + struct.pack("<I", 4), b"shuffle\0" + struct.pack("<I", 0))
    return ("bad",)


@case
def link_in_a_circle(path):
    write(path)
    with h5py.File(path, "a") as file:
        del file["t/bad"]
        file["t/bad"] = h5py.SoftLink("/t/worse")
        file["t/worse"] = h5py.SoftLink("/t/bad")
    return ("bad",)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    program.ok("fit", write(folder / "batch.h5"), "--trees", 5, "--out", folder / "model.h5", "--features", "good,bad")
    return folder / "model.h5"


@pytest.mark.parametrize("name", CASES)
def test_refused_with_one_sentence(name, model, tmp_path):
    path = tmp_path / "batch.h5"
    names = CASES[name](path)
    out = tmp_path / "never.h5"
    options = dict(names=[path, *names], folder=tmp_path,
                   env=dict(whole_stacks(), HDF5_PLUGIN_PATH="/nonexistent"), timeout=60)
    fitted = fails(BAD_INPUT, "fit", path, "--features", "good,bad", "--trees", 5, "--out", out, **options)
    scored = fails(BAD_INPUT, "score", "--model", model, path, "--out", out, **options)
    assert len(fitted) < 400 and len(scored) < 400


@pytest.mark.parametrize("size", [4 * CHUNK - 4, 4 * CHUNK + 400])
def test_unfiltered_chunks_have_the_size_of_their_rows(size, tmp_path):
    """Whatever the index of chunks says, where HDF5 reads too few and returns what lay in memory for the others."""
    path = write(tmp_path / "batch.h5", chunks=(CHUNK,))
    expected = reading.expected_of(path)
    change_index(path, size=size)
    reading.agrees(path, expected, (ROWS,), ways=["raw"])


def test_shuffle_of_huge_elements_is_none(tmp_path):
    """HDF5 leaves alone what is shorter than one element."""
    path = write_filtered(tmp_path / "batch.h5", (SHUFFLE, ()))
    replace(path, b"shuffle\0" + struct.pack("<I", 4), b"shuffle\0" + struct.pack("<I", 0xfffffffe))
    reading.agrees(path, reading.expected_of(path), (ROWS,))


def test_chunks_of_a_compound_table_above_256_mib(tmp_path):
    path = tmp_path / "batch.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("t", (ROWS,), [("x", "f4"), ("y", "i8")], maxshape=(None,), chunks=(30_000_000,))
    fails(BAD_INPUT, "fit", path, "--out", tmp_path / "never.h5", names=[path, "256 MiB"], folder=tmp_path)


# --- bombs

BOMB = 1 << 30
BOMB_ROWS = 1 << 19


@pytest.fixture(scope="module")
def bomb():
    """A megabyte that inflates to a gigabyte."""
    stream, zeros = zlib.compressobj(9), bytes(1 << 24)
    stored = b"".join(stream.compress(zeros) for _ in range(BOMB >> 24)) + stream.flush()
    assert len(stored) < 1 << 21
    return stored


def peak_memory(*command):
    """Exit code, stderr and largest resident size in bytes of a program."""
    options = ":".join(filter(None, [os.environ.get("ASAN_OPTIONS", ""), "quarantine_size_mb=1"]))  # where it is built in
    process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, env=program.environment(HDF5_PLUGIN_PATH="/nonexistent",
                                                                               ASAN_OPTIONS=options))
    told = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, told, usage.ru_maxrss * 1024


def write_bomb(path, dtype, stored, virtual=False, **options):
    name = "hidden/bad" if virtual else "t/bad"
    with h5py.File(path, "w") as file:
        file["t/good"] = numbers(BOMB_ROWS)
        column = file.create_dataset(name, data=numbers(BOMB_ROWS).astype(dtype), chunks=(BOMB_ROWS,), **options)
        if stored is not None:
            column.id.write_direct_chunk((0,), stored)
        if virtual:
            layout = h5py.VirtualLayout((BOMB_ROWS,), dtype)
            layout[:] = h5py.VirtualSource(".", name, (BOMB_ROWS,))
            file["t"].create_virtual_dataset("bad", layout)
    return path


@pytest.mark.parametrize("dtype,options", [("<f4", dict(compression="gzip")), ("<f2", dict(compression="gzip")),
                                           (">f8", dict(compression="gzip", shuffle=True)),
                                           ("<i4", dict(compression="gzip", scaleoffset=0)),
                                           ("<f2", dict(compression="gzip", virtual=True))],
                         ids=["raw", "half", "big-endian-double", "scale-offset", "virtual"])
def test_bomb_takes_no_memory(dtype, options, bomb, tmp_path):
    out = tmp_path / "never.h5"
    code, told, whole = peak_memory(program.AVVIK, "fit", write_bomb(tmp_path / "whole.h5", dtype, None, **options),
                                    "--table", "t", "--trees", 5, "--out", tmp_path / "model.h5")
    assert code == DONE, told
    path = write_bomb(tmp_path / "bomb.h5", dtype, bomb, **options)
    code, told, taken = peak_memory(program.AVVIK, "fit", path, "--table", "t", "--trees", 5, "--out", out)
    assert code == BAD_INPUT and str(path) in told and "'bad'" in told and len(told.splitlines()) == 1, told
    assert not out.exists()
    room = 256 << 20 if options.get("virtual") else 0  # of a chunk in another place it is only known that it is no larger
    assert taken < whole + room + (64 << 20), (taken, whole)


def test_many_files_take_no_more_memory_than_one(tmp_path):
    """What is kept of one file's chunks goes when the next is read."""
    def read_rows(n_files):
        paths = []
        for number in range(n_files):
            paths.append(tmp_path / f"{number}.h5")
            with h5py.File(paths[-1], "w") as file:
                for column in range(4):
                    file.create_dataset(f"t/x{column}", data=np.zeros(1 << 20, np.float32), chunks=(1 << 20,),
                                        compression="gzip")
        code, told, taken = peak_memory(reading.READ_ROWS, "raw", 1 << 20, *paths)
        assert code == DONE, told
        return taken
    one, many = read_rows(2), read_rows(12)
    assert many < one + (32 << 20), (one, many)  # each has 16 MiB of rows


# --- any bytes at all

LAYOUTS = {
    "contiguous": {},
    "chunked": dict(chunks=(50,)),
    "deflate": dict(chunks=(50,), compression="gzip", shuffle=True),
    "checksums": dict(chunks=(64,), compression="gzip", fletcher32=True, libver=("v110", "v110")),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_random_damage(layout, tmp_path):
    """A few flipped bytes anywhere: rows or a sentence, the same rows as HDF5 where both give any, never a crash."""
    random = np.random.default_rng(11)
    whole = np.frombuffer(write(tmp_path / "whole.h5", rows=200, **LAYOUTS[layout]).read_bytes(), np.uint8)
    path = tmp_path / "damaged.h5"
    codes = []
    for attempt in range(50):
        content = whole.copy()
        where = random.integers(0, len(content), size=random.integers(1, 12))
        content[where] = random.integers(0, 256, size=len(where))
        path.write_bytes(content.tobytes())
        results = {way: reading.run(way, 77, path) for way in ("raw", "plain")}
        for way, result in results.items():
            assert result.returncode in (DONE, BAD_INPUT), (attempt, way, result.returncode, result.stderr[-3000:])
            assert len(result.stderr.splitlines()) == (result.returncode == BAD_INPUT), (attempt, result.stderr)
        codes.append(results["raw"].returncode)
        if not results["raw"].returncode and not results["plain"].returncode:
            assert results["raw"].stdout == results["plain"].stdout, attempt
    assert DONE in codes and BAD_INPUT in codes
