"""Writes inputs that fuzz_chunk_decode accepts, from chunks that HDF5 and its plugins wrote: seeds.py FOLDER"""

import pathlib
import sys

import h5py
import hdf5plugin
import numpy as np

DEFLATE, SHUFFLE, FLETCHER, ZSTD, LZ4, BLOSC = range(6)  # as in the menu of fuzz_chunk_decode.c
WRITERS = {
    "plain": ([], {}),
    "deflate": ([DEFLATE], dict(compression="gzip")),
    "shuffle": ([SHUFFLE, DEFLATE], dict(compression="gzip", shuffle=True)),
    "checksum": ([SHUFFLE, DEFLATE, FLETCHER], dict(compression="gzip", shuffle=True, fletcher32=True)),
    "zstd": ([ZSTD], dict(hdf5plugin.Zstd())),
    "lz4": ([LZ4], dict(hdf5plugin.LZ4())),
    "lz4-blocks": ([LZ4], dict(hdf5plugin.LZ4(nbytes=64))),
    **{f"blosc-{codec}-{shuffle}": ([BLOSC], dict(hdf5plugin.Blosc(cname=codec, shuffle=shuffle)))
       for codec in ("blosclz", "lz4", "zlib", "zstd") for shuffle in (0, 1, 2)},
}


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(1)
    for rows in (1, 40, 1000):
        values = (random.normal(size=rows) * 10).round().astype(np.float32)
        with h5py.File("seeds", "w", driver="core", backing_store=False) as file:
            for name, (filters, options) in WRITERS.items():
                column = file.create_dataset(f"{name}-{rows}", data=values, chunks=(rows,), **options)
                mask, stored = column.id.read_direct_chunk((0,))
                length = values.nbytes - 1
                header = bytes([len(filters) + 7 * mask]) + bytes(filters).ljust(6, b"\0") + length.to_bytes(2, "little") + b"\3"
                (folder / f"{name}-{rows}").write_bytes(header + stored)


main(pathlib.Path(sys.argv[1]))
