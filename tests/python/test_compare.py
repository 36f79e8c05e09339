"""Drift between two models: population stability index and Kolmogorov-Smirnov statistic of the data that they were fitted
on, by NumPy and SciPy; gates; what cannot be compared."""

import h5py
import numpy as np
import pytest
from scipy.stats import ks_2samp

import program
import sets
from program import BAD_INPUT, WRONG_USAGE, fails

GATE_BREACHED = 7
ROWS = 40_000
random = np.random.default_rng(5)
BEFORE = {"same": random.normal(10, 2, ROWS), "moved": random.normal(0, 1, ROWS), "wider": random.normal(0, 1, ROWS),
          "count": random.poisson(2, ROWS), "gone": random.normal(size=ROWS), "gaps": random.lognormal(size=ROWS)}
AFTER = {"same": random.normal(10, 2, ROWS), "moved": random.normal(1.5, 1, ROWS), "wider": random.normal(0, 3, ROWS),
         "count": random.poisson(3, ROWS), "come": random.normal(size=ROWS),
         "gaps": np.where(random.random(ROWS) < 0.3, np.nan, random.lognormal(size=ROWS))}


def float32(columns):
    return {name: values.astype(np.float32) for name, values in columns.items()}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    for name, columns in (("before", BEFORE), ("after", AFTER)):
        program.ok("fit", sets.write_table(folder / f"{name}-batch.h5", float32(columns)), "--out", folder / f"{name}.h5")
    program.ok("fit", folder / "after-batch.h5", "--deviation", "classical", "--out", folder / "classical.h5")
    return folder


def compared(models, *options, after="after.h5"):
    result = program.ok_json("compare", models / "before.h5", models / after, *options)
    return result, {one["name"]: one for one in result["features"]}


def stability_index(before, after):
    edges = np.quantile(before, np.arange(1, 10) / 10, method="inverted_cdf")
    shares = [np.diff(np.concatenate([[0], np.searchsorted(np.sort(x), edges, side="right"), [len(x)]])) / len(x)
              for x in (before, after)]
    return np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0]))


@pytest.mark.parametrize("name", ["same", "moved", "wider", "count", "gaps"])
def test_distributions_as_numpy_and_scipy_have_them(name, models):
    one = compared(models)[1][name]
    after = AFTER[name][np.isfinite(AFTER[name])]
    # The models know 32,768 drawn rows, to a fortieth.
    assert one["ks"] == pytest.approx(ks_2samp(BEFORE[name], after).statistic, abs=0.03)
    if name != "count":  # whose tens are not distinct
        assert one["psi"] == pytest.approx(stability_index(BEFORE[name], after), rel=0.1, abs=0.01)


def test_centers_are_exact(models):
    features = compared(models)[1]
    for name in ("same", "moved", "wider", "count"):
        before, after = BEFORE[name].astype(np.float32), AFTER[name].astype(np.float32)
        assert features[name]["center"] == [np.median(before), np.median(after)]
        mad = np.median(np.abs(before - np.median(before)))
        assert features[name]["shift"] == pytest.approx(0.6745 * (float(np.median(after)) - float(np.median(before))) / mad,
                                                        rel=1e-5, abs=1e-12)
    assert features["gaps"]["missing_share"] == [0, np.isnan(AFTER["gaps"]).mean()]


def test_what_has_drifted(models):
    result, features = compared(models)
    assert {name for name, one in features.items() if one["drifted"]} == {"moved", "wider", "count", "gaps", "gone", "come"}
    assert result["drifted"] == 6
    assert (features["gone"]["in"], features["come"]["in"], features["same"]["in"]) == ("before", "after", "both")
    assert features["gone"]["psi"] is None
    text = program.ok("compare", models / "before.h5", models / "after.h5").stdout
    assert "6 of 7 features have drifted" in text and "only in the second model" in text


def test_limits_move_it_and_a_gate_stops(models):
    wide = "psi=9,ks=1,shift=9,missing_change=1"
    assert {name for name, one in compared(models, "--limits", wide)[1].items() if one["drifted"]} == {"gone", "come"}
    assert {name for name, one in compared(models, "--limits", "psi=9,ks=1,shift=9,missing_change=0.29")[1].items()
            if one["drifted"]} == {"gone", "come", "gaps"}
    breached = program.run("compare", models / "before.h5", models / "after.h5", "--gate", "psi=0.25", "--json")
    assert breached.returncode == GATE_BREACHED and '"drifted": 6' in breached.stdout
    assert program.run("compare", models / "before.h5", models / "before.h5", "--gate", "psi=0").returncode == 0


def test_other_kinds_of_models(models):
    features = compared(models, after="classical.h5")[1]
    assert features["moved"]["shift"] is None and features["moved"]["center"] == [None, None]
    assert features["moved"]["ks"] > 0.4
    same = program.ok_json("compare", models / "after.h5", models / "after.h5")
    assert same["drifted"] == 0 and all(one["psi"] == 0 and one["ks"] == 0 for one in same["features"])


@pytest.mark.parametrize("limits", ["", "psi", "psi=", "psi=-1", "psi=nan", "p=1", "psi=1,psi=2", "psi=1,", "psi=1e9"])
def test_limits_that_are_none(limits, models):
    fails(WRONG_USAGE, "compare", models / "before.h5", models / "after.h5", "--limits", limits)


def test_files_that_are_no_models(models, tmp_path):
    fails(WRONG_USAGE, "compare", models / "before.h5")
    fails(BAD_INPUT, "compare", models / "before.h5", models / "after-batch.h5")
    fails(BAD_INPUT, "compare", models / "before.h5", tmp_path / "nothing.h5")
    with h5py.File(models / "before.h5") as file:
        assert file.attrs["content_hash"]
