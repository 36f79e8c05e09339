"""Peer groups: what rows are measured with and whom they are compared with, as pandas, NumPy and SciPy have it."""

import itertools

import h5py
import numpy as np
import pandas
import pytest
from scipy.stats import median_abs_deviation

import program
import sets
from program import BAD_INPUT, WRONG_USAGE, fails

KEYS = ("municipality", "benefit")
CUT = np.float32(3.5)
SMALLEST = np.finfo(np.float32).tiny


def table(rows, seed=1):
    """Amounts that depend on where and what for; groups of one row and of thousands; codes that are missing."""
    random = np.random.default_rng(seed)
    municipality = (random.pareto(1.2, rows) * 3).astype(int) % 500 + 100
    benefit = random.integers(-3, 9, rows).astype(np.float64)
    level = municipality % 7 + 2 * (benefit % 3)
    x = random.normal(size=(5, rows))
    columns = {
        "amount": 1000 * np.exp(0.3 * x[0]) * (1 + level),
        "hours": np.round(x[1] * 4 + level),
        "extra": np.where(random.random(rows) < 0.55, 0, x[2]),
        "fixed": np.where(benefit == 2, 7, x[3]),  # says nothing within one of the benefits
        "holes": np.where(random.random(rows) < 0.02 + (municipality == 101), np.nan, x[4] + level),
    }
    columns = {name: values.astype(np.float32) for name, values in columns.items()}
    benefit[random.random(rows) < 0.03] = np.nan
    keys = {"municipality": municipality.astype(np.float32), "benefit": benefit.astype(np.float32)}
    keys["municipality"][random.random(rows) < 0.02] = np.nan  # of a group of everyone, whatever the benefit
    return columns, keys


def write(path, columns, keys):
    return sets.write_table(path, {**columns, **keys})


class Peers:
    def __init__(self, path):
        with h5py.File(path) as file:
            self.names = [name.decode() for name in file["/features/name"][:]]
            self.everyone = file["/statistics/center32"][:], file["/statistics/rscale32"][:]
            peers = file["/peers"]
            self.keys = [name.decode() for name in peers["key"][:]]
            self.parent, self.code, self.rows = peers["parent"][:], peers["code"][:], peers["rows"][:]
            self.center, self.rscale = peers["center32"][:], peers["rscale32"][:]
            self.hash = file.attrs["content_hash"]

    def path_of(self, group):
        codes = []
        while group:
            codes.append(int(self.code[group]))
            group = self.parent[group]
        return tuple(reversed(codes))


def robust(x):
    """Center and reciprocal scale of one group's values, or None where they say nothing."""
    median, mad = np.median(x), median_abs_deviation(x)
    if mad > 0:
        return median, np.float32(0.6745 / np.float64(mad))
    mean = np.abs(x - median).astype(np.float64).mean()
    return (median, np.float32(1 / (1.253314 * mean))) if mean > 0 else None


def classical(x):
    sd = x.astype(np.float64).std(ddof=1)
    return (np.float32(x.astype(np.float64).mean()), np.float32(1 / sd)) if x.min() < x.max() else None


def wanted(columns, keys, names, everyone, min_peers, spread):
    """{path of codes: (rows, centers, rscales)} by pandas' groupby, with what is missing taken from the parent."""
    frame = pandas.DataFrame({**columns, **{name: keys[name] for name in KEYS}})
    groups = {(): (len(frame), *everyone)}
    for depth in range(1, len(KEYS) + 1):
        known = frame.dropna(subset=list(KEYS[:depth]))
        for codes, part in known.groupby(list(KEYS[:depth])):
            if len(part) < min_peers:
                continue
            codes = tuple(int(code) for code in (codes if isinstance(codes, tuple) else (codes,)))
            _, center, rscale = groups[codes[:-1]]
            center, rscale = center.copy(), rscale.copy()
            for f, name in enumerate(names):
                x = part[name].to_numpy()
                x = x[np.isfinite(x)]
                found = spread(x) if len(x) >= min_peers else None
                if found is not None:
                    center[f], rscale[f] = found
            groups[codes] = len(part), center, rscale
    return groups


def check_model(path, columns, keys, min_peers, spread=robust):
    peers = Peers(path)
    assert peers.keys == list(KEYS)
    groups = wanted(columns, keys, peers.names, peers.everyone, min_peers, spread)
    paths = [peers.path_of(group) for group in range(len(peers.parent))]
    assert sorted(paths) == paths == sorted(groups)
    for group, codes in enumerate(paths):
        rows, center, rscale = groups[codes]
        assert peers.rows[group] == rows, codes
        if spread is robust:
            assert np.array_equal(peers.center[group], center), codes
            assert np.array_equal(peers.rscale[group], rscale), codes
        else:  # sums of many values: NumPy rounds them in another order
            assert np.allclose(peers.center[group], center, rtol=3e-7, atol=1e-6), codes
            assert np.allclose(peers.rscale[group], rscale, rtol=3e-7), codes
    return peers, paths


def check_scores(path, peers, paths, columns, keys):
    with h5py.File(path) as file:
        scores = {name: file["/scores"][name][:] for name in file["/scores"]}
    number = {codes: group for group, codes in enumerate(paths)}
    municipality, benefit = keys["municipality"], keys["benefit"]
    group = np.zeros(len(municipality), np.uint32)
    for i, codes in enumerate(zip(municipality, benefit)):
        codes = tuple(int(code) for code in itertools.takewhile(lambda code: code == code, codes))
        while codes not in number:
            codes = codes[:-1]
        group[i] = number[codes]
    assert np.array_equal(scores["peer_group"], group)
    level = np.array([len(codes) for codes in paths])[group]
    assert np.array_equal(scores["peer_level"], level)
    values = np.stack([columns[name] for name in peers.names], axis=1)
    with np.errstate(invalid="ignore"):
        z = (np.where(np.isfinite(values), values, np.nan) - peers.center[group]).astype(np.float32) * peers.rscale[group]
    z = np.abs(np.where(np.abs(z) < SMALLEST, np.float32(0), z))
    z = np.where(np.isnan(z), np.float32(0), z)
    assert np.array_equal(scores["deviation"].view(np.uint32), z.max(axis=1).view(np.uint32))
    assert np.array_equal(scores["deviation_feature"], z.argmax(axis=1))
    assert np.array_equal(scores["beyond"], (z > CUT).sum(axis=1))
    return level


@pytest.mark.parametrize("min_peers", [1, 50, 3000])
def test_robust_peers(min_peers, tmp_path):
    columns, keys = table(60_000)
    path, model, out = write(tmp_path / "batch.h5", columns, keys), tmp_path / "model.h5", tmp_path / "scores.h5"
    told = program.ok_json("fit", path, "--peers", ",".join(KEYS), "--min-peers", min_peers, "--out", model)
    peers, paths = check_model(model, columns, keys, min_peers)
    assert told["groups"] == len(paths) - 1 and told["passes"] == 2
    known = pandas.DataFrame(keys).dropna()
    assert told["groups_seen"] == len(known.groupby(list(KEYS))) + np.isfinite(np.unique(keys["municipality"])).sum()
    assert set(peers.names) == set(columns)  # a key is no feature
    scored = program.ok_json("score", "--model", model, path, "--out", out)
    level = check_scores(out, peers, paths, columns, keys)
    assert len(program.ok_json("flag", out, "--budget", 7, "--by", "deviation")["flags"]) == 7
    missing = np.isnan(keys["municipality"]) & (level == 0) | np.isnan(keys["benefit"]) & (level == 1)
    assert scored["rows_without_key"] == missing.sum()
    assert scored["rows_without_group"] == (level < 2).sum() - missing.sum()
    assert program.ok_json("model", "show", model)["peers"] == list(KEYS)
    with h5py.File(model) as file, h5py.File(out) as scores:  # rows that calibrate are measured among their peers, too
        assert np.isin(file["/calibration/deviation"][:], scores["/scores/deviation"][:]).all()


def test_classical_peers(tmp_path):
    columns, keys = table(20_000)
    path, model = write(tmp_path / "batch.h5", columns, keys), tmp_path / "model.h5"
    program.ok("fit", path, "--peers", ",".join(KEYS), "--deviation", "classical", "--out", model)
    check_model(model, columns, keys, 50, classical)


def test_groups_that_the_model_has_not_seen(tmp_path):
    columns, keys = table(20_000)
    path, model = write(tmp_path / "batch.h5", columns, keys), tmp_path / "model.h5"
    program.ok("fit", path, "--peers", ",".join(KEYS), "--out", model)
    peers, paths = check_model(model, columns, keys, 50)
    columns, keys = table(5000, seed=2)
    keys["municipality"][:1000] = 7  # nobody lives there
    keys["benefit"][1000:2000] = 16_777_215
    keys["benefit"][2000:3000] = np.nan
    rows, out = write(tmp_path / "rows.h5", columns, keys), tmp_path / "scores.h5"
    told = program.ok_json("score", "--model", model, rows, "--out", out)
    level = check_scores(out, peers, paths, columns, keys)
    assert (level[:1000] == 0).all() and (level[1000:3000] <= 1).all()
    assert told["rows_without_key"] + told["rows_without_group"] == (level < 2).sum()


@pytest.mark.parametrize("deviation", ["robust", "classical"])
def test_same_model_for_any_threads_and_memory(deviation, tmp_path):
    columns, keys = table(400_000)
    columns.update({f"more{k:02}": columns["amount"] * np.float32(k + 1) + columns["hours"] for k in range(12)})
    path = write(tmp_path / "batch.h5", columns, keys)
    hashes, passes = set(), []
    for number, options in enumerate([("--threads", 1), ("--threads", 2), ("--threads", 5, "--memory", "95M"),
                                      ("--threads", 1, "--trees", 128, "--memory", "84M")]):
        model = tmp_path / f"model{number}.h5"
        told = program.ok_json("fit", path, "--peers", ",".join(KEYS), "--deviation", deviation, "--out", model, *options)
        passes.append(told["passes"])
        hashes.add(Peers(model).hash)
    assert len(hashes) == 1
    assert passes[0] == 2 and passes[-1] > passes[0]


def test_same_scores_on_any_backend(tmp_path):
    columns, keys = table(30_000)
    path, model = write(tmp_path / "batch.h5", columns, keys), tmp_path / "model.h5"
    program.ok("fit", path, "--peers", ",".join(KEYS), "--out", model, "--trees", 20)
    hashes = set()
    for device in program.ok_json("devices")["devices"]:
        if not device["available"]:
            continue
        out = tmp_path / f"{device['backend'].replace(':', '_')}.h5"
        program.ok("score", "--model", model, path, "--backend", device["backend"], "--out", out)
        with h5py.File(out) as file:
            hashes.add(file.attrs["content_hash"])
    assert len(hashes) == 1


def test_one_group_and_many(tmp_path):
    """Everybody in one group; everybody in a group of their own."""
    columns, _ = table(2000)
    for name, codes, groups in (("one", np.zeros(2000), 1), ("own", np.arange(2000), 0)):
        path = sets.write_table(tmp_path / f"{name}.h5", {**columns, "key": codes.astype(np.int64)})
        model, out = tmp_path / f"{name}.model", tmp_path / f"{name}.scores"
        told = program.ok_json("fit", path, "--peers", "key", "--out", model)
        assert told["groups"] == groups and told["rows_everyone"] == (0 if groups else 2000)
        program.ok("score", "--model", model, path, "--out", out)
        with h5py.File(out) as file:
            assert (file["/scores/peer_group"][:] == groups).all()


def test_keys_that_cannot_be(tmp_path):
    columns, keys = table(1000)
    out = tmp_path / "never.h5"

    def refused(code, names, peers, **changed):
        path = sets.write_table(tmp_path / "batch.h5", {**columns, **keys, **changed})
        fails(code, "fit", path, "--peers", peers, "--out", out, names=names, folder=tmp_path)

    sets.write_table(tmp_path / "batch.h5", columns)
    refused(BAD_INPUT, ["'nowhere'"], "nowhere")
    refused(WRONG_USAGE, ["'benefit'", "twice"], "benefit,benefit")
    refused(WRONG_USAGE, ["empty"], "benefit,")
    refused(BAD_INPUT, ["'half'", "2.5", "whole"], "half", half=np.full(1000, 2.5, np.float32))
    refused(BAD_INPUT, ["'large'", "16777216"], "large", large=np.full(1000, 1 << 24, np.int64))
    refused(BAD_INPUT, ["'endless'"], "endless", endless=np.full(1000, np.inf, np.float32))
    path = sets.write_table(tmp_path / "batch.h5", {**columns, **keys})
    fails(WRONG_USAGE, "fit", path, "--features", "amount,benefit", "--peers", "benefit", "--out", out,
          names=["'benefit'"], folder=tmp_path)
    fails(WRONG_USAGE, "fit", path, "--peers", "benefit", "--min-peers", 0, "--out", out, names=["min-peers"],
          folder=tmp_path)
    with h5py.File(path, "a") as file:
        file["/t/benefit"].attrs["role"] = "protected"
    fails(BAD_INPUT, "fit", path, "--peers", "benefit", "--out", out, names=["'benefit'", "protected"], folder=tmp_path)


def test_a_batch_without_the_models_keys(tmp_path):
    columns, keys = table(3000)
    path, model = write(tmp_path / "batch.h5", columns, keys), tmp_path / "model.h5"
    program.ok("fit", path, "--peers", "municipality", "--features", "amount,hours", "--out", model)
    rows = sets.write_table(tmp_path / "rows.h5", columns)
    fails(BAD_INPUT, "score", "--model", model, rows, "--out", tmp_path / "never.h5", names=["'municipality'"],
          folder=tmp_path)


def set_value(name, place, value):
    def edit(file):
        file[name][place] = value
    return edit


TAMPERED = {
    "a parent behind its child": set_value("/peers/parent", 1, 2),
    "a parent that is not open": set_value("/peers/parent", -1, 1),
    "a code twice": lambda file: set_value("/peers/code", 2, file["/peers/code"][1])(file),
    "a code for everyone": set_value("/peers/code", 0, 4),
    "more rows than there are": set_value("/peers/rows", 0, 1 << 40),
    "a group that is too small": set_value("/peers/rows", 1, 1),
    "a NaN for a center": set_value("/peers/center32", (1, 0), np.nan),
    "an infinite center": set_value("/peers/center32", (1, 0), np.inf),
    "a negative scale": set_value("/peers/rscale32", (1, 0), -1),
    "a scale that is not normal": set_value("/peers/rscale32", (1, 0), 1e-40),
    "everyone with another center": set_value("/peers/center32", (0, 0), 1),
    "no rows": lambda file: file.__delitem__("/peers/rows"),
    "no peers": lambda file: file.__delitem__("/peers"),
    "a key without a name": set_value("/peers/key", 0, b""),
    "another minimum": lambda file: file["/peers"].attrs.__setitem__("min_rows", np.uint64(1)),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("peers")
    columns, keys = table(3000)
    path = write(folder / "batch.h5", columns, keys)
    program.ok("fit", path, "--peers", ",".join(KEYS), "--trees", 5, "--out", folder / "model.h5")
    return path, folder / "model.h5"


@pytest.mark.parametrize("what", TAMPERED)
def test_tampered_peers(what, small, tmp_path):
    batch, model = small
    path = tmp_path / "tampered.h5"
    path.write_bytes(model.read_bytes())
    with h5py.File(path, "a") as file:
        TAMPERED[what](file)
    fails(BAD_INPUT, "score", "--model", path, batch, "--out", tmp_path / "never.h5", names=[path], folder=tmp_path)


def test_a_night_with_peers(tmp_path):
    columns, keys = table(5000)
    for folder in ("in", "models"):
        (tmp_path / folder).mkdir()
    path = write(tmp_path / "in" / "b-2026-11-24.h5", columns, keys)
    program.ok("fit", path, "--peers", ",".join(KEYS), "--trees", 5, "--out", tmp_path / "models" / "m.h5")
    config = tmp_path / "night.yaml"
    config.write_text("runs: runs\ntable: t\ninputs:\n  - in/*-{date}.h5\nmodel:\n  path: models/m.h5\nflag:\n  budget: 5\n"
                      "results: lists\n")
    program.ok("night", config, "--date", "2026-11-24")
    scores = next((tmp_path / "runs").rglob("*.scores.h5"))
    with h5py.File(scores) as file:
        assert len(np.unique(file["/scores/peer_group"][:])) > 20
