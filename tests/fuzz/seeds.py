"""Writes first inputs of a fuzz target: seeds.py TARGET FOLDER

fuzz_chunk_decode gets chunks that HDF5 and its plugins wrote, fuzz_form what a browser sent, fuzz_case case documents.
"""

import json
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


def chunks(folder):
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


def requests(folder):
    lines = (HERE / "form_requests.txt").read_text(encoding="utf-8").splitlines()[1:]
    for i in range(0, len(lines), 3):
        (folder / f"request-{i // 3}").write_bytes("\n".join(lines[i:i + 3]).encode())


def documents(folder):
    sys.path.insert(0, str(HERE.parent / "python"))
    import cases
    wide = cases.document(3, rank=3)
    wide["fields"] = [wide["fields"][0] | {"name": f"f{i}"} for i in range(20)]
    for i, case in enumerate([cases.document(1, rank=1), cases.document(2), wide]):
        case["peer_plot"]["quantiles"] = [round(q) for q in case["peer_plot"]["quantiles"]]
        (folder / f"case-{i}").write_text(json.dumps(case, ensure_ascii=False), encoding="utf-8")
    (folder / "bare").write_text('{"avvik_case":1,"key":"t/1","row":0,"selected_by":"row","words":{"en":["Odd."]}}')


HERE = pathlib.Path(__file__).resolve().parent
target, into = sys.argv[1], pathlib.Path(sys.argv[2])
into.mkdir(parents=True, exist_ok=True)
{"fuzz_chunk_decode": chunks, "fuzz_form": requests, "fuzz_case": documents}[target](into)
