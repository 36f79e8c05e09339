"""A small synthetic country for the tests, and how to look at it with h5py."""

import datetime
import pathlib

import h5py
import numpy as np

import program

PERSONS, MONTHS = 20_000, 4
SCHEMES = ["barnetrygd", "kontantstotte", "tilleggsstonad", "foreldrepenger", "dagpenger", "sykepenger", "aap", "uforetrygd",
           "alderspensjon"]
EPOCH = datetime.date(1970, 1, 1)


def make(folder, persons=PERSONS, months=MONTHS, **options):
    arguments = [argument for name, value in options.items() for argument in
                 (["--" + name.replace("_", "-")] if value is True else [f"--{name.replace('_', '-')}={value}"])]
    program.ok("synth", "--out", folder, "--persons", persons, "--months", months, "--quiet", *arguments)
    return pathlib.Path(folder)


def batches(folder):
    return sorted(pathlib.Path(folder).glob("batch_*.h5"))


def column(path, name):
    with h5py.File(path) as file:
        return file[name][:]


def columns(path, table):
    """All columns of a table, and the names of codes."""
    with h5py.File(path) as file:
        values = {name: file[table][name][:] for name in file[table]}
        codes = {name: [text.decode() for text in file[table][name].attrs["codes"]] for name in file[table]
                 if "codes" in file[table][name].attrs}
    return values, codes


def joined(folder, table):
    """A table over all months, with its truth as columns typology and look_alike; missing amounts are NaN."""
    parts = {}
    with h5py.File(folder / "truth.h5") as truth:
        for path in batches(folder):
            with h5py.File(path) as file:
                if table not in file:
                    continue
                for name, data in list(file[table].items()) + list(truth[path.stem][table].items()):
                    values = data[:]
                    if data.dtype.kind == "i" and "_FillValue" in data.attrs:
                        values = np.where(values == data.attrs["_FillValue"], np.nan, values.astype(float))
                    parts.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in parts.items()}


def day(text):
    return (datetime.date.fromisoformat(text) - EPOCH).days
