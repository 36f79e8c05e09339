"""Running avvik check in the tests: batches with attributes, and its report."""

import json

import h5py
import numpy as np

import program
import sets
from program import DONE

BREACHED = 7
ROWS = 70_001  # more than a block of any size that is used, and no multiple of one


def day(text):
    return int(np.datetime64(text, "D").astype(int))


def write(path, columns, attributes=None, table="t", **options):
    """attributes: {column: {name: value}}; text becomes fixed-length, as in the files that avvik's users write."""
    sets.write_table(path, columns, table, **options)
    with h5py.File(path, "a") as file:
        for column, values in (attributes or {}).items():
            for name, value in values.items():
                file[table][column].attrs[name] = np.bytes_(value.encode()) if isinstance(value, str) else value
    return path


def check(*arguments, code=DONE, **options):
    """The report as JSON; the exit code must be `code`, and with a code other than 0 stderr has its one sentence."""
    result = program.run("check", "--json", *arguments, **options)
    assert result.returncode == code, f"{result.returncode}\n{result.stdout}{result.stderr}"
    lines = result.stderr.splitlines()
    assert len(lines) == (code != DONE) and all(line.startswith("avvik: ") for line in lines), result.stderr
    return json.loads(result.stdout)


def column_of(report, name):
    return next(column for column in report["columns"] if column["name"] == name)


def found(report, kind, column=None):
    return [finding for finding in report["findings"]
            if finding["kind"] == kind and (column is None or finding["column"] == column)]


def config(folder, text):
    path = folder / "check.yaml"
    path.write_text(text)
    return path
