"""Weights of features: what they do to z-scores and to the trees, and which are refused."""

import h5py
import numpy as np
import pytest
from scipy import stats

import program
import sets
from program import BAD_INPUT, WRONG_USAGE, fails

NAMES = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    random = np.random.default_rng(3)
    columns = {name: random.normal(size=5000).astype(np.float32) for name in NAMES}
    columns["key"] = random.integers(0, 5, 5000)
    return sets.write_table(tmp_path_factory.mktemp("weights") / "batch.h5", columns)


def fit(batch, path, *options):
    program.ok("fit", batch, "--features", ",".join(NAMES), "--trees", 200, "--out", path, *options)
    with h5py.File(path) as file:
        nodes = file["/forest/nodes"][:, 1:]
        chosen = np.bincount((nodes & 63)[nodes != 0x7F800000], minlength=4)[:4]
        return file["/statistics/rscale32"][:], chosen, file.attrs["content_hash"], {
            name: file["/forest"][name][:] for name in ("nodes", "leaves", "rows")}, file["/features/weight"][:]


def test_equal_weights_change_no_tree(batch, tmp_path):
    plain = fit(batch, tmp_path / "plain.h5")
    assert (plain[4] == 1).all()
    ones = fit(batch, tmp_path / "ones.h5", "--weight", "a=1,b=1.0")
    assert ones[2] == plain[2]
    thirds = fit(batch, tmp_path / "thirds.h5", "--weight", "a=0.3,b=0.3,c=0.3,d=0.3")
    for name, values in plain[3].items():
        assert np.array_equal(values, thirds[3][name])


def test_kurtosis_chooses_features(tmp_path):
    """Every tree grows from all rows, so that SciPy knows the kurtosis that its root chooses by."""
    random = np.random.default_rng(4)
    columns = {"a": random.uniform(size=256), "b": random.normal(size=256), "c": random.standard_t(3, size=256) * 1e6,
               "d": (random.random(256) < 0.04) * 1.0}
    batch = sets.write_table(tmp_path / "batch.h5", {name: values.astype(np.float32) for name, values in columns.items()})
    weights = np.array([4, 1, 1, 0.5])
    kurtosis = [stats.kurtosis(values.astype(np.float32).astype(float), fisher=False) for values in columns.values()]
    assert max(kurtosis) > 5 * min(kurtosis)
    roots = {}
    for splits in ("uniform", "mixed", "kurtosis"):
        program.ok("fit", batch, "--trees", 2000, "--calibration", 0, "--weight", "a=4,d=0.5", "--splits", splits, "--out",
                   tmp_path / f"{splits}.h5")
        assert program.ok_json("model", "show", tmp_path / f"{splits}.h5")["splits"] == splits
        with h5py.File(tmp_path / f"{splits}.h5") as file:
            roots[splits] = file["/forest/nodes"][:, 1] & 63
    assert (roots["mixed"][0::2] == roots["uniform"][0::2]).all() and (roots["mixed"][1::2] == roots["kurtosis"][1::2]).all()
    for splits, chances in (("uniform", weights), ("kurtosis", weights * kurtosis)):
        counts = np.bincount(roots[splits], minlength=4)
        assert stats.chisquare(counts, chances / chances.sum() * counts.sum()).pvalue > 0.001, (splits, counts)
    fails(WRONG_USAGE, "fit", batch, "--splits", "best", "--out", tmp_path / "m.h5", names=("uniform, mixed or kurtosis",))


@pytest.mark.parametrize("peers", [(), ("--peers", "key")])
def test_weights_multiply_scores_and_choice(peers, batch, tmp_path):
    plain = fit(batch, tmp_path / "plain.h5", *peers)
    heavy = fit(batch, tmp_path / "heavy.h5", "--weight", "a=3,c=0,d=0.5", *peers)
    weights = np.array([3, 1, 0, 0.5])
    assert np.array_equal(heavy[4], weights.astype(np.float32))
    share = heavy[1] / heavy[1].sum()
    assert heavy[1][2] == 0
    assert np.abs(share - weights / weights.sum()).max() < 0.03  # of some 20,000 nodes
    assert np.abs(plain[1] / plain[1].sum() - 0.25).max() < 0.03
    assert np.allclose(heavy[0], plain[0] * weights, rtol=2e-7, atol=0)
    if peers:
        with h5py.File(tmp_path / "plain.h5") as one, h5py.File(tmp_path / "heavy.h5") as other:
            assert np.allclose(other["/peers/rscale32"][:], one["/peers/rscale32"][:] * weights, rtol=2e-7, atol=0)
            counts = weights > 0
            assert np.array_equal(other["/peers/center32"][:, counts], one["/peers/center32"][:, counts])
    scores = tmp_path / "scores.h5"
    program.ok("score", "--model", tmp_path / "heavy.h5", batch, "--out", scores)
    with h5py.File(scores) as file:
        assert not (file["/scores/deviation_feature"][:] == 2).any()
    shown = program.ok_json("model", "show", tmp_path / "heavy.h5")["features"]
    assert [feature["weight"] for feature in shown] == list(weights)


@pytest.mark.parametrize("text, names", [("a=-1", ["a=-1", "0 to"]), ("a=nan", ["a=nan"]), ("a=1e9", ["a=1e9"]), ("e=1", ["e=1"]),
                                         ("a", ["NAME=NUMBER", "nor a file"]), ("a=", ["NAME=NUMBER"]),
                                         ("a=2x", ["NAME=NUMBER"]), ("a=1,a=2", ["a=2", "twice"]), ("a=1,,b=2", ["empty"]), ("a=0,b=0,c=0,d=0", ["above 0"])])
def test_weights_that_cannot_be(text, names, batch, tmp_path):
    fails(WRONG_USAGE, "fit", batch, "--features", ",".join(NAMES), "--weight", text, "--out", tmp_path / "never.h5",
          names=names, folder=tmp_path)


def test_weights_from_a_file_are_those_of_the_command_line(batch, tmp_path):
    file = tmp_path / "weights.yaml"
    file.write_text("# whose\nother: [1, 2]\nfeature:\n  weight:\n    a: 3\n    'c': 0\n    d: .5e0\n")
    by_text = fit(batch, tmp_path / "text.h5", "--weight", "a=3,c=0,d=0.5")
    assert fit(batch, tmp_path / "file.h5", "--weight", file)[2] == by_text[2]
    file.write_text("feature: {weight: {a: 3, b: 1, c: 0}}")
    assert fit(batch, tmp_path / "other.h5", "--weight", file)[2] != by_text[2]


@pytest.mark.parametrize("text, line, words", [
    ("feature:\n  weight:\n    a: 1\n    e: 2\n", 4, ["e: 2", "names no feature"]),
    ("feature:\n  weight:\n    a: 1\n    a: 2\n", 4, ["a: 2", "twice"]),
    ("feature:\n  weight:\n    a: -1\n", 3, ["a: -1", "0 to 1000"]), ("feature:\n  weight:\n    a: 2x\n", 3, ["no number"]),
    ("feature:\n  weight:\n    a: nan\n", 3, ["0 to 1000"]), ("feature:\n  weight:\n    a: [1]\n", 3, ["NAME: NUMBER"]),
    ("feature:\n  weight:\n    a:\n", 3, ["no number"]), ("feature:\n  weight: a=1\n", 2, ["feature.weight", "NAME: NUMBER"]),
    ("feature:\n  heavy: 1\n", 1, ["feature.weight", "not there"]), ("weight:\n  a: 1\n", 1, ["not there"]),
    ("", 1, ["not there"]), ("feature: [\n", 2, ["YAML"]), ("a: 1\n---\nb: 1\n", 3, ["second document"])])
def test_files_of_weights_that_cannot_be(text, line, words, batch, tmp_path):
    file = tmp_path / "weights.yaml"
    file.write_text(text)
    fails(BAD_INPUT, "fit", batch, "--features", ",".join(NAMES), "--weight", file, "--out", tmp_path / "never.h5",
          names=[f"weights.yaml:{line}: ", *words])
    assert not (tmp_path / "never.h5").exists()
    fails(BAD_INPUT, "fit", batch, "--features", ",".join(NAMES), "--weight", tmp_path, "--out", tmp_path / "never.h5")
