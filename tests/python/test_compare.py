"""Drift between two models, two score files, or one of each: population stability index and Kolmogorov-Smirnov statistic of the data that they were fitted
on, by NumPy and SciPy; gates; what cannot be compared."""

import json

import h5py
import numpy as np
import pytest
from scipy.stats import ks_2samp, median_abs_deviation

import program
import sets
from test_calibration import stratified
from test_strata import rehash
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
    assert "6 of 7 features have drifted" in text and "only in the second file" in text


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


SCORED = 2048


@pytest.fixture(scope="module")
def nights(models, tmp_path_factory):
    """Two batches scored by one model of the columns that both have, and one by another."""
    folder = tmp_path_factory.mktemp("nights")
    shared = [name for name in BEFORE if name != "gone"]
    program.ok("fit", models / "before-batch.h5", "--features", ",".join(shared), "--trees", 20, "--out", folder / "model.h5")
    program.ok("fit", models / "after-batch.h5", "--trees", 20, "--seed", 9, "--out", folder / "second.h5")
    for out, model, batch in (("before", "model", "before"), ("after", "model", "after"), ("other", "second", "after")):
        program.ok("score", "--model", folder / f"{model}.h5", models / f"{batch}-batch.h5", "--out", folder / f"{out}.h5",
                   "--backend", "avx2" if out == "before" else "scalar", "--threads", 1 if out == "before" else 2)
    return folder, shared


def test_a_score_file_outlines_its_batch(nights):
    """By NumPy and SciPy, from the rows that the draws name."""
    folder, shared = nights
    rows = stratified(1, 5, SCORED, ROWS)
    with h5py.File(folder / "after.h5") as file:
        batch = {name: file["/batch"][name][:] for name in ("quantiles", "quantile_rows", "median", "mad", "mean_deviation")}
        assert file["/batch"].attrs["rows"] == SCORED
    for f, name in enumerate(shared):
        values = float32(AFTER)[name][rows]
        values = values[np.isfinite(values)]
        assert np.array_equal(batch["quantiles"][f], np.quantile(values, np.arange(41) / 40, method="inverted_cdf"))
        assert np.array_equal(batch["quantile_rows"][f], np.searchsorted(np.sort(values), batch["quantiles"][f], side="right"))
        assert batch["median"][f] == np.median(values)
        assert batch["mad"][f] == median_abs_deviation(values)
        assert batch["mean_deviation"][f] == (0 if batch["mad"][f] else np.abs(values - np.median(values)).mean())


@pytest.mark.parametrize("before, after", [("before.h5", "after.h5"), ("model.h5", "after.h5"), ("before.h5", "other.h5")])
def test_nights_that_drift(before, after, nights):
    folder, shared = nights
    result = program.ok_json("compare", folder / before, folder / after)
    features = {one["name"]: one for one in result["features"]}
    assert {name for name, one in features.items() if one["drifted"]} == \
        {"moved", "wider", "count", "gaps"} | ({"come"} if after == "other.h5" else set())
    for name in shared:
        known = AFTER[name][np.isfinite(AFTER[name])]
        assert features[name]["ks"] == pytest.approx(ks_2samp(BEFORE[name], known).statistic, abs=0.08)
        assert features[name]["missing_share"][1] == pytest.approx(np.isnan(AFTER[name]).mean(), abs=0.04)
        assert features[name]["shift"] == pytest.approx(
            0.6745 * (np.median(known) - np.median(BEFORE[name])) / median_abs_deviation(BEFORE[name]), abs=0.15) or name == "count"
    breached = program.run("compare", folder / before, folder / after, "--gate", "psi=0.25")
    assert breached.returncode == GATE_BREACHED and "  drifted" in breached.stdout
    assert program.run("compare", folder / after, folder / after, "--gate", "psi=0,ks=0,shift=0,missing_change=0").returncode == 0


def test_the_same_outline_from_any_run(nights, models, tmp_path):
    """Whatever the threads, chunks and backend; and where a run was interrupted and went on."""
    folder, _ = nights
    with h5py.File(models / "after-batch.h5") as file:
        columns = {name: file["t"][name][:] for name in file["t"]}
    deflated = sets.write_table(tmp_path / "deflated.h5", columns, chunks=(777,), compression=1)
    program.ok("score", "--model", folder / "model.h5", deflated, "--out", tmp_path / "scores.h5", "--threads", 3, "--compress")
    with h5py.File(folder / "after.h5") as one, h5py.File(tmp_path / "scores.h5") as other:
        for name in one["/batch"]:
            assert np.array_equal(one["/batch"][name][:], other["/batch"][name][:])


def test_scoring_beside_a_baseline_names_what_has_drifted(nights, models, tmp_path):
    folder, _ = nights
    score = ["score", "--model", folder / "model.h5", "--baseline"]
    for baseline in (folder / "before.h5", folder / "model.h5"):
        result = program.ok(*score, baseline, models / "after-batch.h5", "--force", "--json", "--out", tmp_path / "scores.h5")
        assert set(json.loads(result.stdout)["drifted"]) == {"moved", "wider", "count", "gaps"}
        assert "4 of 5 features have drifted since" in result.stderr and "moved" in result.stderr
    result = program.ok(*score, folder / "after.h5", models / "after-batch.h5", "--out-dir", tmp_path / "each")
    assert "drifted" not in result.stderr
    for wrong in (tmp_path / "none.h5", models / "after-batch.h5"):
        fails(BAD_INPUT, *score, wrong, models / "after-batch.h5", "--out", tmp_path / "never.h5", names=[wrong])
        assert not (tmp_path / "never.h5").exists()
    fails(WRONG_USAGE, *score, tmp_path / "scores.h5", models / "after-batch.h5", "--force", "--out", tmp_path / "scores.h5")


HOSTILE = {
    "quantiles that fall": ("quantiles", lambda values: values[:, ::-1].copy()), "a NaN": ("quantiles", lambda values: values * np.nan),
    "more rows than there are": ("quantile_rows", lambda values: values + np.uint32(5000)),
    "a feature too few": ("quantiles", lambda values: values[1:]), "a median outside": ("median", lambda values: values + 1e9),
    "a negative MAD": ("mad", lambda values: -values - 1), "an endless distance": ("mean_deviation", lambda values: values + np.inf),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_outlines_that_cannot_be(what, nights, tmp_path):
    folder, _ = nights
    member, edit = HOSTILE[what]
    path = tmp_path / "scores.h5"
    path.write_bytes((folder / "after.h5").read_bytes())
    with h5py.File(path, "a") as file:
        values = edit(file["/batch"][member][:])
        del file["/batch"][member]
        file["/batch"][member] = values
    rehash(path)
    for command in (("compare", folder / "before.h5", path), ("flag", path)):
        fails(BAD_INPUT, *command, names=[path])


def test_score_files_of_earlier_versions(nights, tmp_path):
    folder, _ = nights
    path = tmp_path / "scores.h5"
    path.write_bytes((folder / "after.h5").read_bytes())
    with h5py.File(path, "a") as file:
        del file["/batch"]
    rehash(path)
    program.ok("flag", path)
    fails(BAD_INPUT, "compare", folder / "before.h5", path, names=[path, "earlier version", "anew"])
