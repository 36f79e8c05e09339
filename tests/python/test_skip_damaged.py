"""Rows that cannot be read: the others are scored as if nothing were wrong, and every later command knows about it."""

import json

import h5py
import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

import program
from test_calibration import stratified

ROWS, CHUNK = 40_000, 3_000
DAMAGED = {"x1": 4, "x3": 11}  # column: number of its chunk


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """A whole batch, the same with two damaged chunks, a model, labels, and the rows that are lost."""
    folder = tmp_path_factory.mktemp("damaged")
    random = np.random.default_rng(5)
    values = random.normal(size=(ROWS, 5)).astype("f4")
    labels = random.random(ROWS) < 0.02
    values[labels] += 2.5
    for name in ("whole.h5", "broken.h5"):
        with h5py.File(folder / name, "w") as file:
            for f in range(5):
                file.create_dataset(f"/t/x{f}", data=values[:, f], chunks=(CHUNK,), compression="gzip", shuffle=True)
    with h5py.File(folder / "labels.h5", "w") as file:
        file["label"] = labels.astype("u1")
    with h5py.File(folder / "broken.h5") as file:
        places = [file[f"/t/{name}"].id.get_chunk_info(number).byte_offset for name, number in DAMAGED.items()]
    with open(folder / "broken.h5", "r+b") as file:
        for place in places:
            file.seek(place + 100)
            file.write(bytes(200))
    program.ok("fit", folder / "whole.h5", "--trees", 50, "--out", folder / "model.h5")
    program.ok("score", "--model", folder / "model.h5", folder / "whole.h5", "--out", folder / "whole.scores.h5")
    lost = np.zeros(ROWS, bool)
    for number in DAMAGED.values():
        lost[number * CHUNK:(number + 1) * CHUNK] = True
    return folder, labels, lost


def skip(folder, out, *options):
    result = program.ok("score", "--model", folder / "model.h5", folder / "broken.h5", "--skip-damaged", "--out", out, *options)
    assert "6,000 rows could not be read" in result.stderr
    return out


@pytest.mark.parametrize("options", [(), ("--threads", 1), ("--backend", "scalar", "--compress"), ("--backend", "opencl")])
def test_the_other_rows_have_their_scores(options, damaged, tmp_path):
    folder, _, lost = damaged
    with h5py.File(folder / "whole.scores.h5") as whole, h5py.File(skip(folder, tmp_path / "s.h5", *options)) as some:
        for name in whole["scores"]:
            assert np.array_equal(some["scores"][name][:][~lost], whole["scores"][name][:][~lost]), name
        assert np.array_equal(np.isnan(some["scores/forest"][:]), lost)
        assert np.array_equal(np.isnan(some["scores/deviation"][:]), lost)
        absent = some["absent"]
        features = [name.decode() for name in some["features/name"][:][absent["feature"][:]]]
        told = {name: (first, rows) for name, first, rows in zip(features, absent["first"][:], absent["rows"][:])}
        assert told == {name: (number * CHUNK, CHUNK) for name, number in DAMAGED.items()}
        assert all(len(reason) > 10 for reason in absent["reason"][:])


def test_lost_rows_are_in_no_list_and_no_figure(damaged, tmp_path):
    folder, labels, lost = damaged
    out = skip(folder, tmp_path / "s.h5")
    listed = program.ok_json("flag", out, "--budget", 500)
    assert listed["absent"] == lost.sum()
    assert len(listed["flags"]) == 500 and not lost[[flag["row"] for flag in listed["flags"]]].any()
    figures = program.ok_json("evaluate", out, "--labels", f"{folder / 'labels.h5'}:/label")
    assert (figures["rows"], figures["absent"]) == ((~lost).sum(), lost.sum())
    with h5py.File(out) as file:
        forest = file["scores/path_sum"][:]
    expected = roc_auc_score(labels[~lost], -forest[~lost].astype(float))
    assert figures["detectors"][0]["roc_auc"] == pytest.approx(expected, abs=1e-12)


def test_without_the_option_the_run_ends(damaged, tmp_path):
    folder, _, _ = damaged
    program.fails(program.BAD_INPUT, "score", "--model", folder / "model.h5", folder / "broken.h5", "--out", tmp_path / "s.h5",
                  names=["broken.h5", "x1", 12000, 14999, "--skip-damaged"], folder=tmp_path)


def test_the_log_counts_them(damaged, tmp_path):
    folder, _, lost = damaged
    result = program.ok("score", "--model", folder / "model.h5", folder / "broken.h5", "--skip-damaged", "--log", "json", "--out",
                        tmp_path / "s.h5")
    assert json.loads(result.stderr.splitlines()[-1])["rows_absent"] == lost.sum()


def test_the_outline_is_of_the_rows_that_were_read(damaged, tmp_path):
    """What a score file says of its batch, for drift: of the rows drawn, those that could be read."""
    folder, _, lost = damaged
    with h5py.File(folder / "whole.h5") as file:
        values = np.stack([file[f"t/x{f}"][:] for f in range(5)], axis=1)
    with h5py.File(folder / "whole.scores.h5") as file:
        rows = stratified(1, 5, int(file["batch"].attrs["rows"]), ROWS)
    here = values[rows[~lost[rows]]]
    assert 100 < len(here) < len(rows)
    for options in ((), ("--threads", 1, "--backend", "scalar", "--compress")):
        with h5py.File(skip(folder, tmp_path / "s.h5", "--force", *options)) as file:
            assert file["batch"].attrs["rows"] == len(here)
            assert np.array_equal(file["batch/median"][:], np.median(here, axis=0))
            assert np.array_equal(file["batch/mad"][:], stats.median_abs_deviation(here))
            assert np.array_equal(file["batch/quantiles"][:], np.quantile(here, np.arange(41) / 40, axis=0, method="inverted_cdf").T)
    result = program.ok_json("compare", folder / "whole.scores.h5", tmp_path / "s.h5")
    assert result["drifted"] == 0
