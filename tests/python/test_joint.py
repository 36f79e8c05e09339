"""The joint deviation is scikit-learn's Mahalanobis distance with Ledoit-Wolf shrinkage, of the logarithms of z-scores."""

import h5py
import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

import program
import sets
import test_calibration


def signed_logs(values, model):
    """sign(z) log2(1 + |z|), linear between powers of two: np.frexp instead of bits."""
    center, rscale = model["/statistics/center32"][:], model["/statistics/rscale32"][:]
    with np.errstate(invalid="ignore", over="ignore"):
        z = (values.astype(np.float32) - center) * rscale
    z = np.where(np.isfinite(values) & ~np.isnan(z), z, np.float32(0))
    mantissa, exponent = np.frexp(np.float32(1) + np.abs(z))
    return np.copysign((2 * mantissa.astype(np.float64) - 1) + (exponent - 1), z)


def fit_and_score(path, folder, *options):
    program.ok("fit", path, "--seed", 4, "--force", "--out", folder / "model.h5", *options)
    program.ok("score", "--model", folder / "model.h5", path, "--force", "--out", folder / "scores.h5")
    return h5py.File(folder / "model.h5"), h5py.File(folder / "scores.h5")


def check_joint(values, model, scores):
    """Learnt from the rows that some tree has drawn: in a small table, all that are not held out."""
    n_held_out = int(model["/calibration"].attrs["rows"])
    held_out = test_calibration.stratified(4, 3, n_held_out, len(values))
    logs = signed_logs(values, model)
    learnt = np.delete(logs, held_out, axis=0)
    varies = learnt.std(axis=0) > 0
    wanted = LedoitWolf().fit(learnt[:, varies]).mahalanobis(logs[:, varies])
    got = scores["/scores/joint"][:]
    assert got.dtype == np.float32
    # The squared distance of floats: of a row that lies all but on the mean, no digits are left to compare.
    error = np.abs(got - wanted) / np.maximum(wanted, 1e-5)
    print(f"largest relative error {error.max():.1e}")
    assert error.max() <= 1e-5


@pytest.mark.parametrize("name", ["breast_diagnostic", "breast_original", "digits", "glass", "wine"])
def test_it_is_scikit_learn_s(name, tmp_path):
    labelled = next(item for item in sets.bundled() if item.name == name)
    values = labelled.matrix
    values = values[np.isfinite(values).all(axis=1)]  # the fill of a missing value is told apart below
    path = sets.write_table(tmp_path / "batch.h5", dict(zip(labelled.features, values.T)))
    model, scores = fit_and_score(path, tmp_path)
    check_joint(values, model, scores)


@pytest.mark.parametrize("features", [1, 2, 17, 63, 64])
def test_any_number_of_features(features, tmp_path):
    random = np.random.default_rng(features)
    mixed = random.standard_t(3, size=(1500, features)) @ random.normal(size=(features, features))
    values = (mixed * 10.0 ** random.integers(-3, 4, size=features)).astype(np.float32)
    path = sets.write_table(tmp_path / "batch.h5", {f"x{i:02}": values[:, i] for i in range(features)})
    model, scores = fit_and_score(path, tmp_path)
    check_joint(values, model, scores)


def test_two_columns_that_are_one_and_one_that_is_constant(tmp_path):
    random = np.random.default_rng(8)
    columns = {"a": random.normal(size=1200), "b": random.gamma(2, size=1200), "constant": np.full(1200, 3.0)}
    columns["again"] = columns["a"]
    path = sets.write_table(tmp_path / "batch.h5", {name: v.astype(np.float32) for name, v in columns.items()})
    model, scores = fit_and_score(path, tmp_path)
    check_joint(np.stack([v.astype(np.float32) for v in columns.values()], axis=1), model, scores)
    assert "constant" in program.run("fit", path, "--force", "--out", tmp_path / "model.h5").stderr


def test_a_missing_value_is_as_its_median(tmp_path):
    random = np.random.default_rng(2)
    values = random.normal(size=(900, 3)).astype(np.float32)
    path = sets.write_table(tmp_path / "batch.h5", {f"x{i}": values[:, i] for i in range(3)})
    model, _ = fit_and_score(path, tmp_path)
    center = model["/statistics/center32"][:]
    rows = np.array([[np.nan, 1, 2], [center[0], 1, 2], [np.inf, 1, 2], [-np.inf, 1, 2], [np.nan] * 3, center],
                    dtype=np.float32)
    new = sets.write_table(tmp_path / "new.h5", {f"x{i}": rows[:, i] for i in range(3)})
    program.ok("score", "--model", tmp_path / "model.h5", new, "--out", tmp_path / "new_scores.h5")
    with h5py.File(tmp_path / "new_scores.h5") as file:
        got = file["/scores/joint"][:]
    assert (got[:4] == got[0]).all() and got[4] == got[5]


def test_no_joint_deviation(tmp_path):
    """Not wanted, or more features than it is for: 0 everywhere, and lists go by the others."""
    few = sets.write_table(tmp_path / "few.h5", sets.random_columns(800, 4))
    many = sets.write_table(tmp_path / "many.h5", sets.random_columns(800, 65))
    for path, options in ((few, ["--no-joint"]), (many, [])):
        model, scores = fit_and_score(path, tmp_path, *options)
        assert "joint" not in model and not scores["/scores/joint"][:].any() and not scores["/calibration/joint"][:].any()
        with_it = program.ok_json("flag", tmp_path / "scores.h5", "--budget", 50)["flags"]
        without = program.ok_json("flag", tmp_path / "scores.h5", "--budget", 50, "--weights",
                                  "forest=4,deviation=1")["flags"]
        assert [case["row"] for case in with_it] == [case["row"] for case in without]
        assert {case["p"]["joint"] for case in with_it} == {1.0}
