"""Inputs of a night that are absent, damaged or beyond a gate."""

import json
import os
import re
import shutil

import h5py
import numpy as np
import pytest

import sets
from nights import GATE, NIGHT, PLAIN, assert_same, outcome, step
from program import BAD_INPUT, DONE


def bad_batch(path, how):
    if how == "no HDF5":
        path.write_bytes(b"this is no HDF5 file" * 100)
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:3000])
    elif how == "other table":
        path.unlink()
        sets.write_table(path, sets.random_columns(50, 5), table="u")
    elif how == "column gone":
        with h5py.File(path, "a") as file:
            del file["t/x001"]
    elif how == "directory":
        path.unlink()
        path.mkdir()
    elif how == "pipe":
        path.unlink()
        os.mkfifo(path)
    elif how == "link to nothing":
        path.unlink()
        path.symlink_to("nowhere")


def test_a_refused_input_keeps_its_report(place):
    place.ok()
    place.write(re.sub(r"  fit:\n(    .*\n)+", "", PLAIN))  # so that there is a model to compare with
    bad_batch(place.inputs[1], "column gone")
    result = place.run("--quiet", "--again")
    assert result.returncode == BAD_INPUT and f"b-{NIGHT}.h5" in result.stderr
    report = json.loads((place.night / "check" / f"b-{NIGHT}.check.json").read_text())
    assert report["verdict"] == "refused"
    assert not (place.night / "scores" / f"b-{NIGHT}.scores.h5").exists()


@pytest.mark.parametrize("how", ["no HDF5", "cut", "other table", "column gone", "directory", "pipe", "link to nothing"])
def test_a_bad_input_does_not_stop_the_others(how, place):
    place.ok()
    wanted = outcome(place)
    place.clean()
    bad, kept = place.inputs[0], place.inputs[0].read_bytes()
    bad_batch(bad, how)
    result = place.run("--quiet", timeout=60)
    assert result.returncode == BAD_INPUT
    assert len(result.stderr.splitlines()) == 1 and str(bad) in result.stderr
    manifest = place.manifest
    assert manifest["status"] == "incomplete" and manifest["exit_code"] == BAD_INPUT
    assert [record["status"] for record in manifest["inputs"]] == ["bad", "ok"]
    assert manifest["inputs"][0]["sentence"]
    assert os.listdir(place.night / "scores") == [f"{place.inputs[1].stem}.scores.h5"]
    assert json.loads((place.night / "flags.json").read_text())["rows"] == 700
    if bad.is_dir():
        bad.rmdir()
    bad.unlink(missing_ok=True)
    bad.write_bytes(kept)
    place.ok()  # mended: the night is completed, and as if nothing had been
    assert_same(outcome(place), wanted)


def test_an_input_that_is_not_there_is_told(place):
    place.write(PLAIN.replace("  - in/*-{date}.h5\n", "  - in/*-{date}.h5\n  - in/extra-{year}{month}{day}.h5\n"))
    result = place.run("--quiet")
    assert result.returncode == BAD_INPUT and "in/extra-20261124.h5" in result.stderr
    assert json.loads((place.night / "flags.json").read_text())["rows"] == 1600


def test_nothing_to_score(place):
    result = place.run("--quiet", date="2026-11-25")
    assert result.returncode == BAD_INPUT and "*-2026-11-25.h5" in result.stderr
    assert not (place.folder / "runs" / "2026-11-25" / "flags.csv").exists()


def test_two_inputs_of_one_name(place):
    other = place.folder / "other"
    other.mkdir()
    shutil.copy(place.inputs[0], other)
    place.write(PLAIN.replace("  - in/*-{date}.h5\n", "  - in/*-{date}.h5\n  - other/*.h5\n"))
    result = place.run("--quiet")
    assert result.returncode == BAD_INPUT and str(place.inputs[0]) in result.stderr and str(other) in result.stderr


def test_a_breached_gate(place):
    place.write(PLAIN + "check:\n  columns:\n    - name: x001\n      max: 0\n")
    result = place.run("--quiet")
    assert result.returncode == GATE and len(result.stderr.splitlines()) == 1
    assert place.manifest["status"] == "gate" and place.manifest["exit_code"] == GATE
    assert step(place.manifest, "check")[0]["facts"]["breach"] >= 1
    for name in ("model.h5", "scores", "flags.csv", "flags.json"):
        assert not (place.night / name).exists()
    assert not (place.folder / "lists").exists() and os.listdir(place.folder / "models") == []
    assert place.run("--quiet").returncode == GATE
    place.write(PLAIN)
    place.ok()
    # A list of an earlier run does not outlive a breach.
    place.write(PLAIN + "check:\n  min_rows: 800\n")
    assert place.run("--quiet").returncode == GATE
    assert not (place.night / "flags.csv").exists()


@pytest.mark.parametrize("most, code", [("9.99 kr", DONE), ("9.98 kr", GATE), ("999 øre", DONE), ("998 øre", GATE),
                                        ("999", DONE), ("998", GATE), ("0.29 kr", GATE)])
def test_amounts_have_units(most, code, place):
    for path in place.inputs:
        with h5py.File(path, "a") as file:
            file["t/x001"][:] = np.arange(file["t/x001"].shape[0]) % 1000
    with h5py.File(place.inputs[0], "a") as file:
        file["t/x001"][0] = 999
    place.write(PLAIN + f"check:\n  columns:\n    - name: x001\n      max: {most}\n")
    assert place.run("--quiet").returncode == code
