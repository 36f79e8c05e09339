"""Models, scores and labels that are damaged, changed by somebody or of another kind are refused."""

import shutil

import h5py
import numpy as np
import pytest

import program
from program import BAD_INPUT, DONE, fails, whole_stacks

ROWS = 600  # of the fixture `batch`


def change(path, copy, edit):
    shutil.copy(path, copy)
    with h5py.File(copy, "a") as file:
        edit(file)
    return copy


def replace(name, values):
    def edit(file):
        attributes = dict(file[name].attrs)
        del file[name]
        file.create_dataset(name, data=values)
        file[name].attrs.update(attributes)
    return edit


def set_value(name, where, value):
    def edit(file):
        file[name][where] = value
    return edit


def set_attribute(name, key, value):
    def edit(file):
        file[name].attrs[key] = value
    return edit


def remove(name):
    def edit(file):
        del file[name]
    return edit


@pytest.fixture
def model(tmp_path, batch):
    """With everything that a model may hold but peers."""
    path = tmp_path / "model.h5"
    program.ok("fit", batch, "--trees", 20, "--sample", 64, "--seed", 1, "--tails", "--out", path)
    return path


TAMPERED = {
    "a node": set_value("/forest/nodes", (3, 5), 63),
    "a threshold": set_value("/forest/nodes", (3, 1), 0x7FC00000),
    "a leaf": set_value("/forest/leaves", (0, 0), 65535),
    "a row count": set_value("/forest/rows", (0, 1), 4_000_000_000),
    "more trees than there are": set_attribute("/forest", "trees", np.int64(2**40)),
    "no trees": set_attribute("/forest", "trees", np.int64(0)),
    "negative trees": set_attribute("/forest", "trees", np.int64(-1)),
    "a height of 40": set_attribute("/forest", "height", np.int64(40)),
    "a height of 3": set_attribute("/forest", "height", np.int64(3)),
    "a sample of 1": set_attribute("/forest", "sample", np.int64(1)),
    "splits of an unknown kind": set_attribute("/forest", "splits", np.bytes_("best")),
    "an unknown layout": set_attribute("/forest", "layout", np.bytes_("square")),
    "a wide layout that is not there": set_attribute("/forest", "layout", np.bytes_("wide")),
    "text for a number": set_attribute("/forest", "trees", np.bytes_("twenty")),
    "fewer nodes": replace("/forest/nodes", np.zeros((20, 8), np.uint32)),
    "nodes in one dimension": replace("/forest/nodes", np.zeros(20 * 64, np.uint32)),
    "nodes as float": replace("/forest/nodes", np.zeros((20, 64), np.float32)),
    "no nodes": remove("/forest/nodes"),
    "no leaves": remove("/forest/leaves"),
    "no forest": remove("/forest"),
    "no statistics": remove("/statistics"),
    "one mean too few": replace("/statistics/mean", np.zeros(4)),
    "a mean": set_value("/statistics/mean", 0, 1.0),
    "a median beyond the largest value": set_value("/statistics/median", 0, 1e30),
    "a NaN for a median": set_value("/statistics/median", 0, np.nan),
    "a MAD beyond the range": set_value("/statistics/mad", 0, 1e30),
    "a negative MAD": set_value("/statistics/mad", 0, -1.0),
    "a mean deviation beside a MAD": set_value("/statistics/mean_deviation", 0, 0.5),
    "no MAD": remove("/statistics/mad"),
    "an unknown deviation": set_attribute("/statistics", "deviation", np.bytes_("square")),
    "another deviation": set_attribute("/statistics", "deviation", np.bytes_("classical")),
    "no deviation": lambda file: file["/statistics"].attrs.__delitem__("deviation"),
    "a negative weight": set_value("/features/weight", 1, -1.0),
    "a weight that the scale does not have": set_value("/features/weight", 1, 2.0),
    "a NaN for a scale": set_value("/statistics/rscale32", 1, np.nan),
    "a NaN quantile": set_value("/statistics/quantiles", (1, 7), np.nan),
    "quantiles that fall": set_value("/statistics/quantiles", (1, 7), -1e30),
    "quantiles of more rows than were drawn": set_value("/statistics/quantile_rows", (2, 40), 4_000_000_000),
    "fewer quantiles": replace("/statistics/quantiles", np.zeros((5, 11), np.float32)),
    "no quantiles": remove("/statistics/quantiles"),
    "a negative path sum that calibrates": set_value("/calibration/path_sum", 3, -1),
    "a NaN that calibrates": set_value("/calibration/deviation", 3, np.nan),
    "a negative deviation that calibrates": set_value("/calibration/deviation", 3, -1.0),
    "more rows that calibrate": set_attribute("/calibration", "rows", np.int64(2**40)),
    "one row more that calibrates": set_attribute("/calibration", "rows", np.int64(151)),
    "no rows that calibrate, though they are there": set_attribute("/calibration", "rows", np.int64(0)),
    "no calibration": remove("/calibration"),
    "no deviations that calibrate": remove("/calibration/deviation"),
    "reference scores that fall": set_value("/reference/path_sum", 5, 0),
    "a NaN in the reference": set_value("/reference/deviation", 0, np.nan),
    "no reference": remove("/reference"),
    "a NaN in the factor": set_value("/joint/factor", 2, np.nan),
    "a denormal in the factor": set_value("/joint/factor", 2, 1e-40),
    "an infinite mean": set_value("/joint/mean", 2, np.inf),
    "a factor of more features": replace("/joint/factor", np.ones(21, np.float32)),
    "no factor": remove("/joint/factor"),
    "a joint deviation that is gone": remove("/joint"),
    "a NaN quantile in the tails": set_value("/tails/quantile", (1, 7), np.nan),
    "quantiles in the tails that fall": set_value("/tails/quantile", (1, 7), -1e30),
    "more rows below one than there are": set_value("/tails/below", (2, 5), 2**40),
    "fewer rows up to one than its place": set_value("/tails/at_most", (2, 5), 0),
    "tails of fewer features": replace("/tails/below", np.zeros((4, 126), np.uint64)),
    "no numbers of rows in the tails": remove("/tails/at_most"),
    "tails that are gone": remove("/tails"),
    "no tails that calibrate": remove("/calibration/tails"),
    "negative tails that calibrate": set_value("/calibration/tails", 3, -1),
    "a negative joint deviation that calibrates": set_value("/calibration/joint", 3, -1.0),
    "a NaN for a fill": set_value("/features/fill", 1, np.nan),
    "one name too few": replace("/features/name", np.array([b"x000", b"x001", b"x002", b"x003"])),
    "a name twice": set_value("/features/name", 1, b"x000"),
    "a name of any length": lambda file: replace("/features/name", np.array(list("abcde"), dtype=object))(file),
    "no names": remove("/features/name"),
    "another kind": set_attribute("/", "avvik_kind", np.bytes_("scores")),
    "no kind": lambda file: file.attrs.__delitem__("avvik_kind"),
    "another version": set_attribute("/", "format_version", np.int32(99)),
    "no version": lambda file: file.attrs.__delitem__("format_version"),
    "no hash": lambda file: file.attrs.__delitem__("content_hash"),
    "another hash": set_attribute("/", "content_hash", np.bytes_("xxh3-128:" + "0" * 32)),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_tampered_model(what, batch, model, tmp_path):
    path = change(model, tmp_path / "tampered.h5", TAMPERED[what])
    sentence = fails(BAD_INPUT, "score", "--model", path, batch, "--out", tmp_path / "never.h5", names=[path],
                     folder=tmp_path)
    if what == "another version":
        assert "99" in sentence
    if "quantile" in what and "tails" not in what:
        assert "quantiles" in sentence
    fails(BAD_INPUT, "model", "show", path, names=[path])


def test_truncated_model(batch, model, tmp_path):
    whole = model.read_bytes()
    for length in (100, len(whole) // 2, len(whole) - 1):
        path = tmp_path / "cut.h5"
        path.write_bytes(whole[:length])
        fails(BAD_INPUT, "score", "--model", path, batch, "--out", tmp_path / "never.h5", names=[path], folder=tmp_path)


def test_random_damage_to_a_model(batch, model, scores, tmp_path):
    """Flipped bytes anywhere: refused, or of no consequence."""
    random = np.random.default_rng(78)
    whole = np.frombuffer(model.read_bytes(), dtype=np.uint8)
    with h5py.File(scores) as file:
        wanted = file["/scores/path_sum"][:]
    path, out = tmp_path / "damaged.h5", tmp_path / "never.h5"
    refused = 0
    for attempt in range(60):
        content = whole.copy()
        where = random.integers(0, len(content), size=random.integers(1, 10))
        content[where] ^= random.integers(1, 256, size=len(where)).astype(np.uint8)
        path.write_bytes(content.tobytes())
        result = program.run("score", "--model", path, batch, "--out", out, env=whole_stacks())
        assert result.returncode in (DONE, BAD_INPUT), (attempt, result.returncode, result.stderr)
        if result.returncode == DONE:
            with h5py.File(out) as file:
                assert np.array_equal(file["/scores/path_sum"][:], wanted), attempt
            out.unlink()
        else:
            refused += 1
            assert len(result.stderr.splitlines()) == 1, (attempt, result.stderr)
        assert not list(tmp_path.glob("never*")), attempt
    assert refused > 20


def test_files_of_the_wrong_kind(batch, model, scores, tmp_path):
    out = tmp_path / "never.h5"
    fails(BAD_INPUT, "score", "--model", batch, batch, "--out", out, names=[batch], folder=tmp_path)
    fails(BAD_INPUT, "score", "--model", scores, batch, "--out", out, names=[scores], folder=tmp_path)
    fails(BAD_INPUT, "flag", batch, names=[batch])
    fails(BAD_INPUT, "flag", model, names=[model])
    fails(BAD_INPUT, "evaluate", model, "--labels", f"{batch}:/t/x000", names=[model])
    fails(BAD_INPUT, "model", "show", scores, names=[scores])


def test_scores_of_another_version_and_damaged(scores, tmp_path):
    path = tmp_path / "tampered.h5"
    for edit in (set_attribute("/", "format_version", np.int32(99)), remove("/scores/forest"),
                 replace("/scores/forest", np.zeros(5, np.float32)),
                 replace("/scores/path_sum", np.zeros((ROWS, 2), np.int32)), set_value("/scores/tails", 3, -1),
                 remove("/scores/tails"), remove("/scores")):
        fails(BAD_INPUT, "flag", change(scores, path, edit), "--budget", 5, names=[path])


def test_labels(batch, scores, tmp_path):
    path = tmp_path / "labels.h5"
    truth = (np.arange(ROWS) % 10 == 0).astype(np.uint8)
    with h5py.File(path, "w") as file:
        file["good"] = truth
        file["short"] = truth[:-1]
        file["none"] = np.zeros(ROWS, np.uint8)
        file["all"] = np.ones(ROWS, np.uint8)
        file["three"] = truth * 3
        file["text"] = np.array([b"yes"] * ROWS)
        file["matrix"] = np.zeros((ROWS, 2), np.uint8)
        file["group/x"] = 1
    assert program.ok_json("evaluate", scores, "--labels", f"{path}:/good")["anomalies"] == truth.sum()
    # Other numbers than 0 and 1 are no labels: class numbers, given by mistake, would be read as anomalies.
    for name in ("short", "text", "matrix", "group", "absent", "three"):
        fails(BAD_INPUT, "evaluate", scores, "--labels", f"{path}:/{name}", names=[path, f"/{name}"])
        fails(BAD_INPUT, "flag", scores, "--labels", f"{path}:/{name}", names=[path, f"/{name}"])
    for name in ("none", "all"):  # no measure without both kinds of row
        fails(BAD_INPUT, "evaluate", scores, "--labels", f"{path}:/{name}", names=[path, f"/{name}"])
