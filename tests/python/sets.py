"""The labelled sets the tests run on, and plain HDF5 tables made on the spot."""

import dataclasses
import functools
import os
import pathlib

import h5py
import numpy as np

from program import ROOT

BUNDLED = ROOT / "datasets" / "real"
OPEN = pathlib.Path(os.environ.get("AVVIK_OPEN_DATA") or ROOT.parent / "shared" / "data" / "open")


@dataclasses.dataclass(frozen=True)
class LabelledSet:
    name: str
    path: pathlib.Path
    table: str
    labels: str  # path of the labels in the file

    @functools.cached_property
    def features(self):
        with h5py.File(self.path) as file:
            table = file[self.table]
            order = [name.decode() if isinstance(name, bytes) else str(name) for name in table.attrs["order"]]
            return [name for name in order if table[name].attrs.get("role", b"feature") in (b"feature", "feature")]

    @functools.cached_property
    def matrix(self):
        """Rows x features, float32 as avvik reads them; missing values are NaN."""
        columns = []
        with h5py.File(self.path) as file:
            for name in self.features:
                column = file[self.table][name]
                values = column[:].astype(np.float32)
                if "_FillValue" in column.attrs:
                    values[column[:] == column.attrs["_FillValue"]] = np.nan
                columns.append(values)
        return np.stack(columns, axis=1)

    @functools.cached_property
    def truth(self):
        with h5py.File(self.path) as file:
            return file[self.labels][:].astype(bool)

    def __str__(self):
        return self.name


def bundled():
    return [LabelledSet(path.stem, path, f"/{path.stem}", f"/{path.stem}/label") for path in sorted(BUNDLED.glob("*.h5"))]


def open_data():
    """Plain files: /features/<name> and /label, without avvik's attributes."""
    return [LabelledSet(f"open/{path.stem}", path, "/features", "/label") for path in sorted(OPEN.glob("*.h5"))]


def write_table(path, columns, table="t", order=True, **options):
    """A plain h5py file: one group, one data set a column. columns: dict of name to array."""
    with h5py.File(path, "w") as file:
        group = file.create_group(table)
        if order:
            group.attrs["order"] = np.array(list(columns), dtype="S")
        for name, values in columns.items():
            group.create_dataset(name, data=values, **options)
    return path


def random_columns(rows, features, seed=1, dtype=np.float32):
    """Normal values of different scales with a few far away, the same for the same arguments."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, features)) * 10.0 ** random.integers(-2, 4, size=features)
    values[random.random(rows) < 0.02] *= 6
    return {f"x{i:03}": values[:, i].astype(dtype) for i in range(features)}
