#!/usr/bin/env python3
"""Convert real labelled sets that packages ship into the batches of this folder.

    python3 -m venv venv && venv/bin/pip install numpy h5py scikit-learn rdata
    venv/bin/python datasets/real/convert.py [--out DIR] [--mlbench DIR]

Statlog Shuttle, Satellite, Glass, Ionosphere and the original Wisconsin breast cancer set come from Debian's
r-cran-mlbench (R itself is not needed), the diagnostic Wisconsin set, Wine and Digits from scikit-learn. README.md
beside this file tells where each set comes from, who may use it and how its labels were made. With the same versions
of h5py and NumPy the script writes the same bytes every time.
"""

import argparse
import pathlib
import subprocess
import tempfile
import warnings

import h5py
import numpy as np

CREATED = "2026-11-24T00:00:00Z"
PRODUCER = "datasets/real/convert.py"
FORMAT_VERSION = 1
CHUNK_BYTES = 256 * 1024
MISSING_CODE = 0  # _FillValue of integer columns that have missing values; no such column has 0 among its values


def text(value):
    """A fixed-length UTF-8 string (or an array of them), which every HDF5 reader understands."""
    if isinstance(value, str):
        value = value.encode("utf-8")
        return np.array(value, dtype=f"S{max(1, len(value))}")
    encoded = [item.encode("utf-8") for item in value]
    return np.array(encoded, dtype=f"S{max(1, max(map(len, encoded)))}")


def smallest_type(values):
    """Whole numbers become the narrowest integer type that holds them, everything else float32."""
    present = values[~np.isnan(values)]
    if not np.array_equal(present, np.round(present)):
        assert not np.isnan(values).any()
        return values.astype(np.float32), None
    for kind in (np.uint8, np.int16, np.int32):
        limits = np.iinfo(kind)
        if limits.min <= present.min() and present.max() <= limits.max:
            break
    if len(present) == len(values):
        return values.astype(kind), None
    assert not (present == MISSING_CODE).any()
    return np.where(np.isnan(values), MISSING_CODE, values).astype(kind), kind(MISSING_CODE)


def write_column(group, name, values, role, long_name, units=None, fill=None, codes=None):
    rows = min(len(values), CHUNK_BYTES // values.itemsize)
    column = group.create_dataset(name, data=values, chunks=(rows,), shuffle=True, compression="gzip",
                                  compression_opts=9, track_times=False)
    column.attrs["role"] = text(role)
    column.attrs["long_name"] = text(long_name)
    if units is not None:
        column.attrs["units"] = text(units)
    if fill is not None:
        column.attrs["_FillValue"] = fill
    if codes is not None:
        column.attrs["codes"] = text(codes)


def write_batch(folder, name, title, columns, labels, classes, class_names):
    """columns: list of (name, long name, units or None, float64 values). classes: index into class_names a row."""
    path = folder / f"{name}.h5"
    with h5py.File(path, "w", libver=("earliest", "v110")) as file:
        file.attrs["avvik_kind"] = text("batch")
        file.attrs["format_version"] = np.int32(FORMAT_VERSION)
        file.attrs["producer"] = text(PRODUCER)
        file.attrs["created"] = text(CREATED)
        group = file.create_group(name, track_order=False)
        group.attrs["title"] = text(title)
        group.attrs["order"] = text([column[0] for column in columns] + ["class", "label"])
        for column, long_name, units, values in columns:
            stored, fill = smallest_type(np.asarray(values, dtype=np.float64))
            write_column(group, column, stored, "feature", long_name, units, fill)
        write_column(group, "class", classes.astype(np.uint16), "ignore", "class in the original set",
                     codes=class_names)
        write_column(group, "label", labels.astype(np.uint8), "label", "1: anomaly by the convention in README.md")
    print(f"{path.name:24} {len(labels):6} rows {len(columns):3} features {int(labels.sum()):5} anomalies "
          f"{path.stat().st_size:8} bytes")


def keep_first(is_anomaly, count):
    """Rows to keep when only the first `count` anomalies stay, as ODDS and ADBench thin out a large class."""
    return ~is_anomaly | (np.cumsum(is_anomaly) <= count)


def find_mlbench(folder, scratch):
    """The folder with mlbench's .rda files: as given, as installed, or out of the Debian package."""
    if folder:
        return pathlib.Path(folder)
    installed = pathlib.Path("/usr/lib/R/site-library/mlbench/data")
    if installed.is_dir():
        return installed
    subprocess.run(["apt-get", "download", "-qq", "r-cran-mlbench"], cwd=scratch, check=True)
    package, = pathlib.Path(scratch).glob("r-cran-mlbench_*.deb")
    subprocess.run(["dpkg-deb", "-x", package, scratch], check=True)
    return pathlib.Path(scratch) / "usr/lib/R/site-library/mlbench/data"


def read_mlbench(folder, name):
    import rdata
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the files name no text encoding; all of it is ASCII
        return rdata.read_rda(folder / f"{name}.rda")[name]


def classes_of(frame, column):
    names = [str(level) for level in frame[column].cat.categories]
    return frame[column].cat.codes.to_numpy(), names


def numbers(frame, column):
    """A numeric column, or a factor whose levels are numbers, as float64; missing is NaN."""
    return np.array([np.nan if value is None or value != value else float(value)
                     for value in frame[column].astype(object)])


def shuttle(mlbench, out):
    frame = read_mlbench(mlbench, "Shuttle")
    frame = frame[frame["Class"] != "High"]
    classes, names = classes_of(frame, "Class")
    columns = [("time", "time (the set's rows are not in its order)", None, numbers(frame, "V1"))]
    columns += [(f"v{i}", f"sensor reading {i} of 9", None, numbers(frame, f"V{i}")) for i in range(2, 10)]
    labels = (frame["Class"] != "Rad.Flow").to_numpy()
    write_batch(out, "shuttle", "Statlog (Shuttle)", columns, labels, classes, names)


def satellite(mlbench, out):
    frame = read_mlbench(mlbench, "Satellite")
    classes, names = classes_of(frame, "classes")
    place = ["top left", "top middle", "top right", "middle left", "centre", "middle right", "bottom left",
             "bottom middle", "bottom right"]
    columns = [(f"x{i + 1}", f"spectral band {i % 4 + 1}, {place[i // 4]} pixel", None, numbers(frame, f"x.{i + 1}"))
               for i in range(36)]
    labels = frame["classes"].isin(["cotton crop", "damp grey soil", "vegetation stubble"]).to_numpy()
    write_batch(out, "satellite", "Statlog (Landsat Satellite)", columns, labels, classes, names)


def glass(mlbench, out):
    frame = read_mlbench(mlbench, "Glass")
    classes, levels = classes_of(frame, "Type")
    meaning = {"1": "building windows, float processed", "2": "building windows, not float processed",
               "3": "vehicle windows, float processed", "5": "containers", "6": "tableware", "7": "headlamps"}
    oxides = {"Na": "sodium", "Mg": "magnesium", "Al": "aluminium", "Si": "silicon", "K": "potassium",
              "Ca": "calcium", "Ba": "barium", "Fe": "iron"}
    columns = [("RI", "refractive index", None, numbers(frame, "RI"))]
    columns += [(symbol, f"{word} oxide", "weight percent", numbers(frame, symbol)) for symbol, word in oxides.items()]
    labels = (frame["Type"] == "6").to_numpy()
    write_batch(out, "glass", "Glass Identification", columns, labels, classes, [meaning[level] for level in levels])


def ionosphere(mlbench, out):
    frame = read_mlbench(mlbench, "Ionosphere")
    classes, names = classes_of(frame, "Class")
    columns = []
    for i in range(1, 35):
        if i == 2:  # 0 in every row; left out as in ODDS
            continue
        part = "real" if i % 2 else "imaginary"
        columns.append((f"v{i}", f"pulse {(i + 1) // 2} of 17, {part} part", None, numbers(frame, f"V{i}")))
    labels = (frame["Class"] == "bad").to_numpy()
    write_batch(out, "ionosphere", "Ionosphere", columns, labels, classes, names)


def breast_original(mlbench, out):
    frame = read_mlbench(mlbench, "BreastCancer")
    classes, names = classes_of(frame, "Class")
    wanted = [("clump_thickness", "Cl.thickness"), ("cell_size_uniformity", "Cell.size"),
              ("cell_shape_uniformity", "Cell.shape"), ("marginal_adhesion", "Marg.adhesion"),
              ("epithelial_cell_size", "Epith.c.size"), ("bare_nuclei", "Bare.nuclei"),
              ("bland_chromatin", "Bl.cromatin"), ("normal_nucleoli", "Normal.nucleoli"), ("mitoses", "Mitoses")]
    columns = [(name, name.replace("_", " "), "grade 1 to 10", numbers(frame, source)) for name, source in wanted]
    labels = (frame["Class"] == "malignant").to_numpy()
    write_batch(out, "breast_original", "Breast Cancer Wisconsin (Original)", columns, labels, classes, names)


def breast_diagnostic(out):
    from sklearn.datasets import load_breast_cancer
    data = load_breast_cancer()
    keep = keep_first(data.target == 0, 10)
    columns = [(str(name).replace(" ", "_"), str(name), None, data.data[keep, i])
               for i, name in enumerate(data.feature_names)]
    labels = data.target[keep] == 0
    write_batch(out, "breast_diagnostic", "Breast Cancer Wisconsin (Diagnostic)", columns, labels, data.target[keep],
                [str(name) for name in data.target_names])


def wine(out):
    from sklearn.datasets import load_wine
    data = load_wine()
    keep = keep_first(data.target == 0, 10)
    columns = [(name.replace("/", "_"), name.replace("_", " "), None, data.data[keep, i])
               for i, name in enumerate(data.feature_names)]
    labels = data.target[keep] == 0
    write_batch(out, "wine", "Wine", columns, labels, data.target[keep], [str(name) for name in data.target_names])


def digits(out):
    from sklearn.datasets import load_digits
    data = load_digits()
    keep = keep_first(data.target == 0, 48)
    columns = [(name, f"ink at row {name[6]}, column {name[8]}", "pixels of 16", data.data[keep, i])
               for i, name in enumerate(data.feature_names)]
    labels = data.target[keep] == 0
    write_batch(out, "digits", "Optical Recognition of Handwritten Digits", columns, labels, data.target[keep],
                [str(name) for name in data.target_names])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent,
                        help="folder to write to (default: the folder of this script)")
    parser.add_argument("--mlbench", help="folder with mlbench's .rda files (default: as installed, else downloaded)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        mlbench = find_mlbench(options.mlbench, scratch)
        for convert in (shuttle, satellite, glass, ionosphere, breast_original):
            convert(mlbench, options.out)
    for convert in (breast_diagnostic, wine, digits):
        convert(options.out)


if __name__ == "__main__":
    main()
