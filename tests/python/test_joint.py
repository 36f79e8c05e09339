"""The joint deviation is scikit-learn's Mahalanobis distance with Ledoit-Wolf shrinkage, of the logarithms of z-scores."""

import re

import h5py
import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

import program
import sets
import test_calibration
import test_peers
from program import BAD_INPUT, WRONG_USAGE, fails
from test_bad_models import change, remove, replace, set_value


def signed_logs(values, model, group=None):
    """sign(z) log2(1 + |z|), linear between powers of two: np.frexp instead of bits. Among everyone or a group's rows."""
    center, rscale = model["/statistics/center32"][:], model["/statistics/rscale32"][:]
    if group is not None:
        center, rscale = model["/peers/center32"][group], model["/peers/rscale32"][group]
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


def joint_draws(seed, rows):
    """The draw of each row, in 32 bits: rows side by side share the 16 bytes of a counter, each has a counter for the rest."""
    counters = np.zeros((rows, 4), dtype=np.uint64)
    counters[:, 0] = np.arange(rows)
    counters[:, 3] = 6
    first_bytes = test_calibration.philox(counters[:rows // 16 + 1], seed).astype("<u4").view(np.uint8).ravel()[:rows]
    counters[:, 2] = 1
    return first_bytes.astype(np.uint64) << np.uint64(24) | test_calibration.philox(counters, seed)[:, 0] & np.uint64(0xFFFFFF)


def learnt_from(sizes, features):
    """How many rows of groups of these sizes are wanted: all, or as many of each as make 1 Mi values together."""
    level = max((n for n in range(256, 4097) if np.minimum(sizes, n).sum() <= (1 << 20) // features), default=256)
    return {size: 1 << 32 if size <= level else (level << 32) // size for size in sizes}


def within_all(learnt):
    """scikit-learn's covariance of all rows about the means of their groups, columns that vary in none left out."""
    centred = np.concatenate([logs - logs.mean(axis=0) for logs in learnt])
    varies = centred.std(axis=0) > 1e-12
    pooled = np.zeros((centred.shape[1],) * 2)
    pooled[np.ix_(varies, varies)] = LedoitWolf(assume_centered=True).fit(centred[:, varies]).covariance_
    return pooled


def distances(logs, learnt, pooled):
    """Of rows, by the covariance of a group and that within all, which counts as many rows as it has numbers."""
    varies = learnt.std(axis=0) > 1e-12
    n, prior = len(learnt), varies.sum() * (varies.sum() + 1) / 2
    covariance = (n * np.cov(learnt[:, varies], rowvar=False, bias=True).reshape((varies.sum(),) * 2)
                  + prior * pooled[np.ix_(varies, varies)]) / (n + prior)
    covariance += 1e-6 * (np.trace(covariance) / len(covariance) * np.eye(len(covariance)) - covariance)
    about = logs[:, varies] - learnt[:, varies].mean(axis=0)
    return (about * np.linalg.solve(covariance, about.T).T).sum(axis=1), int((~varies).any())


def check_peers(values, model, scores, least_rows):
    """Every group that is large enough has its own; each row is measured with that of the nearest group around it."""
    parent = model["/peers/parent"][:]
    n_groups, n_rows = len(parent), len(values)
    held_out = np.zeros(n_rows, bool)
    held_out[test_calibration.stratified(4, 3, int(model["/calibration"].attrs["rows"]), n_rows)] = True
    group = scores["/scores/peer_group"][:].astype(int)
    inside = np.zeros((n_groups, n_rows), bool)
    inside[group, np.arange(n_rows)] = True
    for g in range(n_groups - 1, 0, -1):
        inside[parent[g]] |= inside[g]
    wanted_groups = [g for g in range(1, n_groups) if (inside[g] & ~held_out).sum() >= least_rows]
    if not wanted_groups:
        assert "peers" not in model["/joint"]
    else:
        assert model["/joint/peers/group"][:].tolist() == wanted_groups
        assert model["/joint/peers/rows"][:].tolist() == [(inside[g] & ~held_out).sum() for g in wanted_groups]
    owner = np.zeros(n_rows, int)
    for g in wanted_groups:  # parents come first
        owner[inside[g]] = g
    got, n_constant = scores["/scores/joint"][:], 0
    draws, sizes = joint_draws(4, n_rows), {g: int((inside[g] & ~held_out).sum()) for g in wanted_groups}
    limits = learnt_from(np.array([*sizes.values()]), values.shape[1])
    learnt = {g: signed_logs(values, model, g)[inside[g] & ~held_out & (draws < limits[sizes[g]])] for g in wanted_groups}
    pooled = within_all(learnt.values()) if learnt else None
    for g in wanted_groups:
        logs = signed_logs(values, model, g)
        wanted, is_constant = distances(logs[owner == g], learnt[g], pooled)
        n_constant += is_constant
        error = np.abs(got[owner == g] - wanted) / np.maximum(wanted, 1e-4)
        assert len(error) == 0 or error.max() <= 1e-5, g
    factor = np.zeros((values.shape[1],) * 2)
    factor[np.tril_indices(values.shape[1])] = model["/joint/factor"][:]
    wanted = (((signed_logs(values, model) - model["/joint/mean"][:]) @ factor.T) ** 2).sum(axis=1)[owner == 0]
    assert (np.abs(got[owner == 0] - wanted) <= 1e-5 * np.maximum(wanted, 1e-4)).all()
    return owner, len(wanted_groups), n_constant


@pytest.mark.parametrize("rows, features", [(60_000, 5), (20_000, 60), (3000, 5)])
def test_large_groups_of_peers_have_their_own(rows, features, tmp_path):
    columns, keys = test_peers.table(rows)
    for k in range(5, features):  # some of them missing now and then
        columns[f"more{k:02}"] = (columns["amount"] if k % 3 else columns["holes"]) * np.float32(0.01 * k) + np.roll(
            columns["hours"], k) ** 2
    path = test_peers.write(tmp_path / "batch.h5", columns, keys)
    least_rows = max(1000, 20 * features)
    told = program.ok_json("fit", path, "--seed", 4, "--peers", ",".join(test_peers.KEYS), "--joint-peers", least_rows, "--out",
                           tmp_path / "model.h5")
    program.ok("score", "--model", tmp_path / "model.h5", path, "--out", tmp_path / "scores.h5")
    model, scores = h5py.File(tmp_path / "model.h5"), h5py.File(tmp_path / "scores.h5")
    names = [name.decode() for name in model["/features/name"][:]]
    values = np.stack([columns[name] for name in names], axis=1)
    owner, n_groups, n_constant = check_peers(values, model, scores, least_rows)
    assert told["joint_groups"] == n_groups and told["rows_joint_everyone"] == (owner == 0).sum()
    assert told["joint_groups_with_constants"] == n_constant and told["joint_groups_left_out"] == 0
    assert (n_groups > 1 and n_constant > 0) == (rows > 10_000)
    assert program.ok_json("model", "show", tmp_path / "model.h5")["joint_groups"] == n_groups
    # rows that calibrate are measured like any others, in the order of their numbers
    held_out = test_calibration.stratified(4, 3, int(model["/calibration"].attrs["rows"]), rows)
    assert np.array_equal(model["/calibration/joint"][:], scores["/scores/joint"][:][held_out])


def test_which_groups_have_their_own(tmp_path):
    """Those of 1,000 rows, or as many as --joint-peers says; not those in which nothing varies. Others are measured as
    with --joint-peers 0, which gives the very scores of a model without peers."""
    columns = sets.random_columns(6000, 4)
    key = np.repeat([1, 2, 3], [3000, 2000, 1000])
    for name in columns:
        columns[name] = np.where(key == 2, np.float32(0.5), columns[name]).astype(np.float32)
    path = sets.write_table(tmp_path / "batch.h5", {**columns, "key": key})
    got = {}
    for what, options in (("none", ("--peers", "key", "--joint-peers", 0)), ("large", ("--peers", "key")),
                          ("all", ("--peers", "key", "--joint-peers", 16)), ("no peers", ("--features", ",".join(columns)))):
        told = program.ok_json("fit", path, "--seed", 4, "--force", "--out", tmp_path / "model.h5", *options)
        program.ok("score", "--model", tmp_path / "model.h5", path, "--force", "--out", tmp_path / "scores.h5")
        with h5py.File(tmp_path / "scores.h5") as file:
            got[what] = file["/scores/joint"][:]
        groups = {"none": 0, "large": 1, "all": 2, "no peers": 0}[what]
        assert told["joint_groups"] == groups and told["joint_groups_alike"] == (groups > 0)
        assert told["rows_joint_everyone"] == {"none": 6000, "large": 3000, "all": 2000, "no peers": 0}[what]
        shown = program.ok_json("model", "show", tmp_path / "model.h5")
        assert shown["joint_peers"] == {"none": 0, "large": 1000, "all": 16, "no peers": 0}[what]
    assert np.array_equal(got["none"], got["no peers"]) and np.array_equal(got["large"][key > 1], got["none"][key > 1])
    assert np.array_equal(got["all"][key == 2], got["none"][key == 2])
    assert not (got["large"][key == 1] == got["none"][key == 1]).any()
    assert not (got["all"][key == 3] == got["none"][key == 3]).any()
    fails(WRONG_USAGE, "fit", path, "--peers", "key", "--joint-peers", 15, "--out", tmp_path / "never.h5",
          names=["15", "16"], folder=tmp_path)


def test_the_same_for_any_threads_and_memory(tmp_path):
    """Where there is no memory for the groups of all rows, a pass over the keys draws those that are learnt from."""
    random = np.random.default_rng(5)
    rows, features = 300_000, 3
    common = random.normal(size=rows)
    columns = {f"x{f:02}": (random.normal(size=rows) + common * (f % 3)).astype(np.float32) for f in range(features)}
    path = sets.write_table(tmp_path / "batch.h5", {**columns, "key": random.permutation(np.arange(rows) % 61)})
    command = ("fit", path, "--peers", "key", "--trees", 20, "--calibration", 1000, "--force", "--out", tmp_path / "model.h5")
    least = re.search(r"needs (\d+) MiB", program.run(*command, "--threads", 2, "--memory", "33M").stderr)[1]
    hashes, passes = set(), []
    for threads, memory in ((1, "512M"), (3, "512M"), (2, f"{least}M")):
        told = program.ok_json(*command, "--threads", threads, "--memory", memory)
        with h5py.File(tmp_path / "model.h5") as file:
            hashes.add(file.attrs["content_hash"])
        passes.append(told["passes"])
        assert told["joint_groups"] == 61 and told["rows_joint_everyone"] == 0
    without = program.ok_json(*command, "--joint-peers", 0)["passes"]
    assert len(hashes) == 1 and passes[0] == passes[1] == without and passes[2] > without + 1


def first_of(name, make):
    """Replace a data set by what `make` makes of it."""
    return lambda file: replace(name, make(file[name][:]))(file)


TAMPERED = {
    "a group that is not there": set_value("/joint/peers/group", -1, 4_000_000_000),
    "everyone's twice": set_value("/joint/peers/group", 0, 0),
    "a group twice": first_of("/joint/peers/group", lambda group: np.repeat(group[:1], len(group))),
    "groups that fall": first_of("/joint/peers/group", lambda group: group[::-1]),
    "groups in another type": first_of("/joint/peers/group", lambda group: group.astype(np.int64)),
    "more groups than there are": first_of("/joint/peers/group", lambda group: np.arange(1, 100_000, dtype=np.uint32)),
    "no group": first_of("/joint/peers/group", lambda group: group[:0]),
    "no groups": remove("/joint/peers/group"),
    "more rows than the group has": set_value("/joint/peers/rows", 0, 1 << 60),
    "fewer rows than it must have": set_value("/joint/peers/rows", 0, 999),
    "no least rows": lambda file: file["/joint/peers"].attrs.__delitem__("min_rows"),
    "least rows of nothing": lambda file: file["/joint/peers"].attrs.__setitem__("min_rows", np.uint64(0)),
    "no rows": remove("/joint/peers/rows"),
    "an infinite mean": set_value("/joint/peers/mean", (1, 2), np.inf),
    "a mean too few": first_of("/joint/peers/mean", lambda mean: mean[:-1]),
    "means of more features": first_of("/joint/peers/mean", lambda mean: np.repeat(mean, 2, axis=1)),
    "a NaN in a factor": set_value("/joint/peers/factor", (1, 2), np.nan),
    "a denormal in a factor": set_value("/joint/peers/factor", (0, 0), 1e-40),
    "factors in one dimension": first_of("/joint/peers/factor", lambda factor: factor.ravel()),
    "factors of fewer features": first_of("/joint/peers/factor", lambda factor: factor[:, :3]),
    "no factors": remove("/joint/peers/factor"),
    "a data set instead": lambda file: (remove("/joint/peers")(file), file["/joint"].create_dataset("peers", data=[1.0])),
    "no peer groups": remove("/peers"),
}


@pytest.fixture(scope="module")
def large_groups(tmp_path_factory):
    folder = tmp_path_factory.mktemp("joint")
    columns, keys = test_peers.table(12_000)
    path = test_peers.write(folder / "batch.h5", columns, keys)
    program.ok("fit", path, "--peers", "municipality", "--joint-peers", 1000, "--trees", 5, "--out", folder / "model.h5")
    with h5py.File(folder / "model.h5") as file:
        assert len(file["/joint/peers/group"]) > 1
    return path, folder / "model.h5"


@pytest.mark.parametrize("what", TAMPERED)
def test_tampered(what, large_groups, tmp_path):
    batch, model = large_groups
    path = change(model, tmp_path / "tampered.h5", TAMPERED[what])
    fails(BAD_INPUT, "score", "--model", path, batch, "--out", tmp_path / "never.h5", names=[path, "joint"],
          folder=tmp_path)
