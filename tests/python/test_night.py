"""A whole night: `avvik night night.yaml`, undisturbed; its models, its cases."""

import csv
import datetime
import json
import pathlib
import re
import shutil

import h5py
import numpy as np
import pytest
import xxhash

import program
from calibration import Calibration
from nights import GATE, NIGHT, PLAIN, flat, step
from program import BAD_INPUT


def test_a_whole_night(place):
    result = place.ok("--json")
    manifest = json.loads(result.stdout)
    assert manifest == place.manifest
    assert manifest["status"] == "done" and manifest["exit_code"] == 0
    assert {unit["status"] for unit in manifest["steps"]} == {"done"}
    for record, path in zip(manifest["inputs"], place.inputs, strict=True):
        assert record["path"] == str(path) and record["bytes"] == path.stat().st_size
        assert record["hash"] == "xxh3-128:" + xxhash.xxh3_128(path.read_bytes()).hexdigest()
    for unit in manifest["steps"]:
        for output in unit.get("outputs", []):
            path = place.night / output["path"]
            assert output["hash"] == "xxh3-128:" + xxhash.xxh3_128(path.read_bytes()).hexdigest()
    # The list is what a sort of all scores says, over the files in their order.
    files = [place.night / "scores" / f"{path.stem}.scores.h5" for path in place.inputs]
    surprise = np.concatenate([Calibration(file).rows(file)["combined"] for file in files])
    first = np.lexsort((np.arange(len(surprise)), -surprise))[:40]
    with open(place.night / "flags.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [int(line["row"]) for line in table] == first.tolist()
    rows_of_first = h5py.File(place.inputs[0])["/t/x000"].shape[0]
    for line in table:
        row = int(line["row"])
        assert line["input"] == str(place.inputs[row >= rows_of_first])
        assert int(line["input_row"]) == row - rows_of_first * (row >= rows_of_first)
    flags = json.loads((place.night / "flags.json").read_text())
    assert [flag["row"] for flag in flags["flags"]] == first.tolist()
    for name in ("flags.csv", "flags.json"):
        assert (place.folder / "lists" / name).read_bytes() == (place.night / name).read_bytes()
    # The model is the one `avvik fit` makes, for the nights to come and for this one.
    program.ok("fit", place.folder / "history" / "h.h5", "--table", "t", "--trees", 20, "--sample", 64, "--seed", 1,
               "--out", place.folder / "other.h5")
    assert flat(place.night / "model.h5") == flat(place.folder / "models" / "m.h5")
    other = flat(place.folder / "other.h5")
    assert flat(place.night / "model.h5")["@content_hash"] == other["@content_hash"]


def test_one_score_file_is_what_score_makes(place):
    place.ok()
    out = place.folder / "alone.h5"
    program.ok("score", "--model", place.night / "model.h5", place.inputs[0], "--table", "t", "--out", out)
    with h5py.File(out) as alone, h5py.File(place.night / "scores" / f"{place.inputs[0].stem}.scores.h5") as night:
        assert alone.attrs["content_hash"] == night.attrs["content_hash"]


def test_the_model_is_fitted_when_it_is_due(place):
    place.ok()
    assert place.manifest["model"]["action"] == "fit"
    made = json.loads(program.ok("model", "show", place.folder / "models" / "m.h5", "--json").stdout)["created"][:10]
    made = datetime.date.fromisoformat(made)
    for days, action in ((29, "copy"), (30, "fit"), (0, "copy"), (-5, "copy")):
        date = str(made + datetime.timedelta(days=days))
        place.batch("z", 300, 3, date=date)
        if date != NIGHT:
            plan = json.loads(place.ok("--dry-run", "--json", date=date).stdout)
            assert (plan["model"]["action"], plan["model"]["age_days"]) == (action, days)
    place.write(PLAIN.replace("    every: 30 days\n", ""))
    later = str(made + datetime.timedelta(days=400))
    assert json.loads(place.ok("--dry-run", "--json", date=later).stdout)["model"]["action"] == "copy"


def test_a_fit_with_groups_and_weights(place):
    """The model is the one that `avvik fit` makes with the same settings."""
    for folder, name in (("history", "h"), ("in", f"a-{NIGHT}"), ("in", f"b-{NIGHT}")):
        with h5py.File(place.folder / folder / f"{name}.h5", "a") as file:
            rows = file["t/x000"].shape[0]
            file["t/office"] = (np.arange(rows) % 7).astype("u2")
            file["t/branch"] = (np.arange(rows) % 3).astype("u1")
    settings = "    sample: 64\n    splits: kurtosis\n    peers: [office, branch]\n    min_peers: 72\n    joint_peers: 90\n    weights: x001=2,x003=0.5\n    tails: yes\n"
    place.write(PLAIN.replace("    sample: 64\n", settings))
    place.ok()
    by_hand = place.folder / "by_hand.h5"
    program.ok("fit", place.folder / "history" / "h.h5", "--table", "t", "--trees", 20, "--sample", 64, "--splits", "kurtosis", "--peers",
               "office,branch", "--min-peers", 72, "--joint-peers", 90, "--weight", "x001=2,x003=0.5", "--tails", "--out", by_hand)
    assert flat(place.night / "model.h5") == flat(by_hand)
    with h5py.File(place.night / "scores" / f"a-{NIGHT}.scores.h5") as file:  # 21 groups of 71 or 72 rows
        assert set(np.unique(file["scores/peer_level"])) == {1, 2}
    before = place.manifest
    place.ok()  # nothing is due
    assert step(place.manifest, "model") == step(before, "model")
    # The same from a file; then with others in the same file.
    weights = place.folder / "weights.yaml"
    for number, is_same in ((0.5, True), (0.25, False)):
        weights.write_text(f"feature:\n  weight: {{x001: 2, x003: {number}}}\n")
        place.write(PLAIN.replace("    sample: 64\n", settings.replace("x001=2,x003=0.5", "weights.yaml")))
        place.ok()
        assert (flat(place.night / "model.h5") == flat(by_hand)) == is_same
    before = place.manifest
    place.write(PLAIN.replace("    sample: 64\n", settings.replace("72", "50")))
    place.ok()
    assert step(place.manifest, "model")[0]["facts"]["content_hash"] != step(before, "model")[0]["facts"]["content_hash"]


def test_no_model_and_no_fit(place):
    place.write(re.sub(r"  fit:\n(    .*\n)+", "", PLAIN))
    result = place.run("--quiet")
    assert result.returncode == BAD_INPUT and "models/m.h5" in result.stderr


@pytest.mark.parametrize("name, old, new", [("model", "models/m.h5", "other/m.h5"), ("results", "results: lists", "results: lists/of/{date}"),
                                            ("store", "metrics:", "explain:\n  language: nb\nstore: other/cases.db\nmetrics:"),
                                            ("metrics", "night.prom", "other/avvik.prom")])
def test_a_folder_that_is_missing_is_told_before_the_work(place, name, old, new):
    folder = place.folder / ("lists/of" if name == "results" else "other")
    place.write(PLAIN.replace(old, new))
    result = place.run("--quiet")
    assert result.returncode == BAD_INPUT and f"{folder}: " in result.stderr and f"`{name}`" in result.stderr
    assert not [unit for unit in place.manifest["steps"] if unit["status"] == "done"]
    folder.mkdir(parents=True)
    place.ok()
    shutil.rmtree(place.folder / "other", ignore_errors=True)


CASES = PLAIN + "explain:\n  language: nb\n  reasons: 3\n  history: [in/*.h5, old/*.h5]\nstore: cases.db\n"


def with_ids(path):
    with h5py.File(path, "a") as file:
        rows = file["t/x000"].shape[0]
        file["t/case"] = np.arange(rows) + 1_000_000 * (ord(path.name[0]) - ord("a"))
        file["t/person"] = np.arange(rows) % 300
        file["t/day"] = np.full(rows, 20_000, np.int32)
        file["t/day"].attrs["units"] = "days since 1970-01-01"
        for name, role in (("case", "id"), ("person", "key"), ("day", "time")):
            file[f"t/{name}"].attrs["role"] = role


def test_cases_are_explained_and_stored(place):
    """The documents are those that `avvik explain` writes; a case of an earlier night is linked, not there twice."""
    for path in place.inputs:
        with_ids(path)
    place.write(CASES)
    assert "40 new cases, 0 seen on earlier nights, 0 known already" in place.ok().stderr
    scores = [place.night / "scores" / f"{name}-{NIGHT}.scores.h5" for name in "ab"]
    program.ok("explain", *scores, "--model", place.night / "model.h5", "--flagged", place.night / "flags.json", "--scan",
               "--night", NIGHT, "--language", "nb", "--reasons", 3, "--jsonl", place.folder / "by_hand.jsonl")
    assert (place.night / "cases.jsonl").read_bytes() == (place.folder / "by_hand.jsonl").read_bytes()
    cases = [json.loads(line) for line in (place.night / "cases.jsonl").read_text().splitlines()]
    assert len({case["key"] for case in cases}) == 40 and {case["night"] for case in cases} == {NIGHT}
    assert step(place.manifest, "store")[0]["facts"] == {"cases": 40}
    checks = ",".join(str(place.night / "check" / f"{name}-{NIGHT}.check.json") for name in "ab")
    program.ok("report", place.night / "cases.jsonl", "--check", checks, "--language", "nb", "--out",
               place.folder / "by_hand.html")
    assert (place.night / "report.html").read_bytes() == (place.folder / "by_hand.html").read_bytes()

    documents = (place.night / "cases.jsonl").stat().st_mtime_ns
    place.ok()
    assert (place.night / "cases.jsonl").stat().st_mtime_ns == documents  # nothing was done again

    later = "2026-11-25"
    for name in "ab":  # the same rows again, and four that deviate more
        path = place.folder / "in" / f"{name}-{later}.h5"
        shutil.copy(place.folder / "in" / f"{name}-{NIGHT}.h5", path)
        with h5py.File(path, "a") as file:
            file["t/x001"][:2] = 1e6
            file["t/day"][:] += 1
    (place.folder / "in" / "broken.h5").write_bytes(b"no batch")
    told = place.ok(date=later).stderr
    assert "no earlier batch is called" in told and "left out of the timelines" in told and "broken.h5" in told
    for case in map(json.loads, (place.folder / "runs" / later / "cases.jsonl").read_text().splitlines()):
        days = [(moment["time"], pathlib.Path(moment["input"]).name[2:12]) for moment in case["timeline"]]
        assert set(days) == {("2024-10-04", NIGHT), ("2024-10-05", later)} and days == sorted(days)
        assert case["peer_plot"]["among"] == "peers"
    new, linked = map(int, re.search(r"(\d+) new cases, (\d+) seen on earlier nights, 0 known", told).groups())
    seen = {case["key"] for case in cases}
    now = {json.loads(line)["key"] for line in (place.folder / "runs" / later / "cases.jsonl").read_text().splitlines()}
    assert (new, linked) == (len(now - seen), len(now & seen)) and linked > 20 and new > 0
    program.ok("audit", "verify", place.folder / "cases.db")

    (place.folder / "cases.db").unlink()  # a store that is gone is filled again
    assert "40 new cases" in place.ok().stderr
    place.write(CASES + "check:\n  min_rows: 100000\n")
    assert place.run("--quiet").returncode == GATE
    assert not (place.night / "cases.jsonl").exists() and not (place.night / "report.html").exists()


def test_a_case_is_not_changed_behind_the_auditors(place):
    """What the store has of a night stays as it is: a list that has changed since is told, and not mixed in."""
    for path in place.inputs:
        with_ids(path)
    place.write(CASES)
    place.ok()
    stored = (place.folder / "cases.db").read_bytes()
    place.write(CASES.replace("reasons: 3", "reasons: 2"))
    result = place.run("--quiet")
    assert result.returncode == BAD_INPUT and len(result.stderr.splitlines()) == 1, result.stderr
    assert (place.folder / "cases.db").read_bytes() == stored
    assert step(place.manifest, "store")[0]["status"] != "done" and (place.folder / "lists" / "flags.csv").exists()
