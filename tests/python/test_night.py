"""A whole night: `avvik night night.yaml`. Undisturbed, killed at every point, and with everything that can be wrong."""

import csv
import datetime
import fcntl
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import time

import h5py
import numpy as np
import pytest
import xxhash

import program
import sets
from calibration import Calibration
from program import BAD_INPUT, DONE, INTERRUPTED, WRONG_USAGE
from test_machine import small_disk

GATE = 7
NIGHT = "2026-11-24"
SOURCE = program.ROOT / "host" / "night"

PLAIN = """\
runs: runs
table: t
inputs:
  - in/*-{date}.h5
model:
  path: models/m.h5
  fit:
    from: [history/*.h5]
    every: 30 days
    trees: 20
    sample: 64
score:
  backend: scalar
flag:
  budget: 40
results: lists
metrics: night.prom
"""


class Place:
    """A folder with a night.yaml, batches of one night, and history to learn from."""

    def __init__(self, folder, text=PLAIN, rows=(900, 700), date=NIGHT):
        self.folder = folder
        self.config = folder / "night.yaml"
        self.date = date
        for name in ("in", "history", "models"):
            (folder / name).mkdir(parents=True)
        self.write(text)
        sets.write_table(folder / "history" / "h.h5", sets.random_columns(1500, 5, seed=9), table="t")
        self.inputs = [self.batch(name, n, seed) for seed, (name, n) in enumerate(zip("abcdefgh", rows))]

    def write(self, text):
        self.config.write_text(text, encoding="utf-8")

    def batch(self, name, rows, seed, date=None):
        columns = sets.random_columns(rows, 5, seed=seed)
        columns["x002"][::50] = np.nan
        return sets.write_table(self.folder / "in" / f"{name}-{date or self.date}.h5", columns)

    def run(self, *arguments, date=None, **options):
        return program.run("night", self.config, "--date", date or self.date, *arguments, **options)

    def ok(self, *arguments, **options):
        result = self.run(*arguments, **options)
        assert result.returncode == DONE, result.stdout + result.stderr
        return result

    @property
    def night(self):
        return self.folder / "runs" / self.date

    @property
    def manifest(self):
        return json.loads((self.night / "manifest.json").read_text())

    def clean(self):
        for name in ("runs", "lists", "models"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        (self.folder / "models").mkdir()
        (self.folder / "night.prom").unlink(missing_ok=True)


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "place")


def flat(path):
    """Everything in one of avvik's HDF5 files but the time it was made."""
    found = {}
    with h5py.File(path) as file:
        def take(name, item):
            for key, value in item.attrs.items():
                if key not in ("created", "input_state"):  # the latter: when the input was written
                    found[f"{name}@{key}"] = np.asarray(value).tobytes()
            if isinstance(item, h5py.Dataset):
                found[name] = (str(item.dtype), item.shape, item[()].tobytes())
        take("", file)
        file.visititems(take)
    return found


TIMES = {"began", "ended", "seconds", "runs", "key", "mtime_ns", "inode", "created", "timings", "elapsed_seconds"}


def timeless(value, path=None):
    """A JSON document without what may differ from run to run: times, and hashes of bytes that hold a time."""
    if isinstance(value, dict):
        drop = TIMES | ({"hash"} if str(value.get("path", "")).endswith(".json") or
                        re.search(r"(model|scores)\.h5$", str(value.get("path", ""))) else set())
        drop |= {"bytes"} if str(value.get("path", "")).endswith("check.json") else set()
        drop |= {"threads"} if "stages" in value else set()
        return {key: timeless(item) for key, item in value.items()
                if key not in drop and not key.endswith(("seconds", "per_second", "_ns"))}
    if isinstance(value, list):
        return [timeless(item) for item in value]
    return value


def outcome(place):
    """All that a night leaves, without its times. Nothing unfinished may lie about."""
    left = {}
    for base in (place.night, place.folder / "lists", place.folder / "models"):
        for path in sorted(base.rglob("*")):
            name = str(path.relative_to(place.folder))
            assert not name.endswith((".partial", ".journal")), f"{name} was left behind"
            if path.suffix == ".h5":
                left[name] = flat(path)
            elif path.suffix == ".json" and path.name != "flags.json":
                left[name] = timeless(json.loads(path.read_text()))
            elif path.is_file():
                left[name] = path.read_bytes()
    return left


def assert_same(got, wanted):
    assert sorted(got) == sorted(wanted)
    for name in wanted:
        assert got[name] == wanted[name], name


def step(manifest, name):
    return [unit for unit in manifest["steps"] if unit["step"] == name]


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


def test_a_finished_night_is_not_done_again(place):
    place.ok()
    before = {path: path.stat().st_mtime_ns for path in place.night.rglob("*") if path.is_file()}
    wanted = outcome(place)
    place.ok()
    after = {path: path.stat().st_mtime_ns for path in place.night.rglob("*") if path.is_file()}
    changed = {path.name for path in before if before[path] != after[path]}
    assert changed == {"manifest.json"}
    assert_same(outcome(place), wanted)
    place.ok("--again")
    assert (place.night / "flags.csv").stat().st_mtime_ns != before[place.night / "flags.csv"]


@pytest.mark.parametrize("what", ["scores/a-2026-11-24.scores.h5", "flags.csv", "model.h5", "check/b-2026-11-24.check.json"])
@pytest.mark.parametrize("how", ["gone", "changed"])
def test_a_damaged_output_is_made_again(what, how, place):
    place.ok()
    wanted = outcome(place)
    if how == "gone":
        (place.night / what).unlink()
    else:
        content = bytearray((place.night / what).read_bytes())
        content[len(content) // 2] ^= 1
        (place.night / what).write_bytes(content)
    place.ok()
    assert_same(outcome(place), wanted)


SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
static int calls;
int rename(const char *from, const char *to)
{
    int (*real)(const char *, const char *) = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
    const char *at = getenv("KILL_AT_RENAME");
    const int number = at == NULL ? 0 : atoi(at);
    const int now = ++calls;
    if (number == now)
        kill(getpid(), SIGKILL);
    const int result = real(from, to);
    if (number == -now)
        kill(getpid(), SIGKILL);
    return result;
}
"""


@pytest.fixture(scope="session")
def kill_shim(tmp_path_factory):
    """Kills the process before (N) or after (-N) its N-th rename: every file of a night gets its name by one."""
    if not shutil.which("gcc"):
        pytest.skip("no gcc")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", folder / "shim.so", folder / "shim.c", "-ldl"], check=True)
    return folder / "shim.so"


def killed(place, shim, number):
    env = program.environment(LD_PRELOAD=str(shim), KILL_AT_RENAME=str(number),
                              ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0")
    return place.run(env=env).returncode


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_rename(when, place, kill_shim):
    place.ok()
    wanted = outcome(place)
    steps_hit, number = set(), 0
    while True:
        number += 1
        place.clean()
        code = killed(place, kill_shim, number if when == "before" else -number)
        if code == DONE:
            break
        assert code == -signal.SIGKILL, number
        if (place.night / "manifest.json").exists():
            steps_hit |= {unit["step"] for unit in place.manifest["steps"] if unit["status"] == "running"}
        place.ok()
        assert_same(outcome(place), wanted)
    assert number > 15
    assert steps_hit == {"inputs", "check", "model", "score", "flag", "results"}


def test_killed_again_and_again(place, kill_shim):
    """Every run of the night gets a little further than the one before, until one gets to the end."""
    place.ok()
    wanted = outcome(place)
    place.clean()
    for number in range(1, 200):
        code = killed(place, kill_shim, -7)
        if code == DONE:
            break
        assert code == -signal.SIGKILL
    else:
        pytest.fail("it never came to an end")
    assert number > 3
    place.ok()
    assert_same(outcome(place), wanted)


@pytest.mark.slow
def test_killed_at_any_time(tmp_path):
    place = Place(tmp_path / "place", PLAIN.replace("trees: 20", "trees: 300"), rows=(60_000, 50_000))
    start = time.monotonic()
    place.ok()
    whole = time.monotonic() - start
    wanted = outcome(place)
    chance = random.Random(4)
    n_killed = 0
    for _ in range(12):
        place.clean()
        for _ in range(3):  # up to three kills on the way of one night
            process = subprocess.Popen([program.AVVIK, "night", place.config, "--date", NIGHT], env=program.environment(),
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(chance.random() * whole)
            process.kill()
            n_killed += process.wait() == -signal.SIGKILL
        place.ok()
        assert_same(outcome(place), wanted)
    assert n_killed > 12


@pytest.mark.slow
def test_terminated(tmp_path):
    place = Place(tmp_path / "place", PLAIN.replace("trees: 20", "trees: 2000"), rows=(60_000, 3000))
    place.ok()
    wanted = outcome(place)
    place.clean()
    process = subprocess.Popen([program.AVVIK, "night", place.config, "--date", NIGHT, "--quiet"],
                               env=program.environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if (place.night / "manifest.json").exists() and step(place.manifest, "score")[0]["status"] == "running":
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED, told
    assert len(told.splitlines()) == 1 and NIGHT in told
    assert place.manifest["status"] == "interrupted" and place.manifest["exit_code"] == INTERRUPTED
    place.ok()
    assert_same(outcome(place), wanted)


def test_two_nights_at_once(place):
    (place.folder / "runs").mkdir()
    with open(place.folder / "runs" / "night.lock", "w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        result = place.run()
        assert result.returncode == BAD_INPUT
        assert f"process {os.getpid()} " in result.stderr and len(result.stderr.splitlines()) == 1
        assert os.listdir(place.folder / "runs") == ["night.lock"]
        assert not (place.folder / "night.prom").exists()
        plan = json.loads(place.ok("--dry-run", "--json").stdout)
        assert plan["running_process"] == os.getpid()
    place.ok()


def tree(folder):
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns, path.lstat().st_ino)
            for path in [folder, *folder.rglob("*")]}


@pytest.mark.parametrize("when", ["before", "after"])
def test_dry_run_touches_nothing(when, place):
    if when == "after":
        place.ok()
        place.inputs[0].unlink()  # its scores would be removed
        place.write(PLAIN + "retention:\n  nights: 1\n")
        place.ok(date="2026-11-20", *[]) if place.batch("a", 100, 1, date="2026-11-20") else None
    before = tree(place.folder)
    plan = json.loads(place.ok("--dry-run", "--json").stdout)
    text = place.ok("--dry-run").stdout
    assert tree(place.folder) == before
    assert plan["folder"] == str(place.night) and plan["date"] == NIGHT
    there = [path for path in place.inputs if path.exists()]
    assert [file["path"] for file in plan["inputs"]] == [str(path) for path in there]
    assert [file["bytes"] for file in plan["inputs"]] == [path.stat().st_size for path in there]
    for path in there:
        assert f"scores/{path.stem}.scores.h5" in plan["outputs"] and str(path) in text
    assert plan["model"]["action"] == "fit"
    if when == "before":
        assert {unit["status"] for unit in plan["steps"]} == {"pending"} and plan["earlier_run"] == "none"
    else:
        assert plan["earlier_run"] == "done"


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
    settings = "    sample: 64\n    peers: [office, branch]\n    min_peers: 72\n    weights: x001=2,x003=0.5\n    tails: yes\n"
    place.write(PLAIN.replace("    sample: 64\n", settings))
    place.ok()
    by_hand = place.folder / "by_hand.h5"
    program.ok("fit", place.folder / "history" / "h.h5", "--table", "t", "--trees", 20, "--sample", 64, "--peers",
               "office,branch", "--min-peers", 72, "--weight", "x001=2,x003=0.5", "--tails", "--out", by_hand)
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


@pytest.mark.parametrize("weights, words", [("x009=2", ["x009", "names no feature"]), ("x001", ["NAME=NUMBER"]),
                                            ("x001=-1", ["x001=-1", "1000"])])
def test_weights_of_a_fit_that_cannot_be(weights, words, place):
    place.write(PLAIN.replace("    sample: 64\n", f"    sample: 64\n    weights: {weights}\n"))
    result = place.run("--quiet")
    assert result.returncode == BAD_INPUT and "model.fit.weights" in result.stderr, result.stderr
    assert all(word in result.stderr for word in words) and len(result.stderr.splitlines()) == 1


def test_no_model_and_no_fit(place):
    place.write(re.sub(r"  fit:\n(    .*\n)+", "", PLAIN))
    result = place.run("--quiet")
    assert result.returncode == BAD_INPUT and "models/m.h5" in result.stderr


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


def test_again_leaves_nothing_of_what_was_before(place):
    place.ok()
    place.inputs[1].unlink()
    place.ok("--again")
    assert [path.name for path in (place.night / "scores").iterdir()] == [f"a-{NIGHT}.scores.h5"]
    assert [path.name for path in (place.night / "check").iterdir()] == [f"a-{NIGHT}.check.json"]
    place.write(PLAIN + "check:\n  min_rows: 100000\n")
    assert place.run("--again", "--quiet").returncode == GATE
    assert not list(place.night.glob("flags.*"))


def test_a_refused_input_keeps_its_report(place):
    place.ok()
    place.write(re.sub(r"  fit:\n(    .*\n)+", "", PLAIN))  # so that there is a model to compare with
    bad_batch(place.inputs[1], "column gone")
    result = place.run("--quiet", "--again")
    assert result.returncode == BAD_INPUT and f"b-{NIGHT}.h5" in result.stderr
    report = json.loads((place.night / "check" / f"b-{NIGHT}.check.json").read_text())
    assert report["verdict"] == "refused"
    assert not (place.night / "scores" / f"b-{NIGHT}.scores.h5").exists()


SLURM = """\
#!/bin/sh
echo "$(basename "$0") $*" >>calls
case $0 in *srun) exit $(cat outcome);; esac
"""


def test_slurm_script(tmp_path):
    """It asks for its CPUs, keeps its date over a requeue, and leaves nothing behind. Slurm itself is played."""
    for name in ("srun", "scontrol"):
        (tmp_path / name).write_text(SLURM)
        (tmp_path / name).chmod(0o755)
    env = dict(os.environ, PATH=f"{tmp_path}:{os.environ['PATH']}", SLURM_JOB_ID="7", SLURM_SUBMIT_DIR=str(tmp_path),
               SLURM_CPUS_PER_TASK="3")
    started = "srun --cpus-per-task=3 avvik night n.yaml --date 2026-11-24 --log json"
    for code, dates, calls in ((INTERRUPTED, ["2026-11-24"], [started, "scontrol requeue 7"]), (DONE, [], [started])):
        (tmp_path / "outcome").write_text(str(code))
        (tmp_path / "calls").write_text("")
        date = ["2026-11-24"] if code == INTERRUPTED else []  # what runs again is the script as it was; the file has the date
        result = subprocess.run(["sh", SOURCE / "night.slurm", "n.yaml", *date], cwd=tmp_path, env=env, check=False)
        assert result.returncode == code
        assert (tmp_path / "calls").read_text().splitlines() == calls
        assert [path.read_text().strip() for path in tmp_path.glob(".avvik-night-*.date")] == dates


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
def test_systemd_units(tmp_path):
    """systemd knows every setting, and what the service runs is there; its own paths have no program in a build folder."""
    for name in ("avvik-night.service", "avvik-night.timer"):
        text = (SOURCE / name).read_text()
        (tmp_path / name).write_text(text.replace("ExecStart=avvik", f"ExecStart={program.AVVIK}"))
    command = ["systemd-analyze", "verify", "--man=no", *tmp_path.iterdir()]  # a bare machine has no manual to look at
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


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


def test_settings_that_change_redo_what_depends_on_them(place):
    place.ok()
    before = {path: path.stat().st_mtime_ns for path in place.night.rglob("*") if path.is_file()}
    place.write(PLAIN.replace("budget: 40", "budget: 41"))
    place.ok()
    changed = {str(path.relative_to(place.night)) for path in before if path.stat().st_mtime_ns != before[path]}
    assert changed == {"manifest.json", "flags.csv", "flags.json"}
    assert step(place.manifest, "flag")[0]["facts"]["flagged"] == 41
    place.batch("a", 901, 5)  # another batch under the same name
    place.ok()
    assert json.loads((place.night / "flags.json").read_text())["rows"] == 1601
    place.inputs[1].unlink()
    place.ok()
    assert os.listdir(place.night / "scores") == ["a-2026-11-24.scores.h5"]


def days(first, n):
    start = datetime.date.fromisoformat(first)
    return [str(start + datetime.timedelta(days=i)) for i in range(n)]


def test_retention(place):
    dates = days("2026-11-18", 7)
    for i, date in enumerate(dates):
        place.batch("r", 60, i, date=date)
    runs = place.folder / "runs"
    for date in dates[:5]:
        place.ok(date=date)
    # What is no night of avvik's stays, whatever its name.
    outside = place.folder / "outside"
    shutil.copytree(runs / dates[0], outside)
    manifest = json.loads((outside / "manifest.json").read_text())
    manifest["date"] = "2026-11-01"
    (outside / "manifest.json").write_text(json.dumps(manifest))
    (runs / "2026-11-01").symlink_to(outside)
    shutil.copytree(runs / dates[0], runs / "2026-11-02")  # its manifest is of another date
    (runs / "2026-11-03").mkdir()
    (runs / "2026-11-03" / "diary").write_text("dear diary")
    shutil.copytree(runs / dates[0], runs / "archive")
    (runs / dates[1] / "notes.txt").write_text("an auditor's")
    (runs / dates[2] / "scores" / "x.scores.h5").symlink_to(place.inputs[0])
    kept = {"night.lock", "2026-11-01", "2026-11-02", "2026-11-03", "archive", dates[1], dates[2]}
    outside_before = tree(outside)
    place.write(PLAIN + "retention:\n  nights: 2\n")
    plan = json.loads(place.ok("--dry-run", "--json", date=dates[5]).stdout)
    assert sorted(plan["removals"]) == dates[:4]  # the new night is not there yet
    told = place.ok("--log", "text", date=dates[5]).stderr
    assert set(os.listdir(runs)) == kept | {dates[4], dates[5]}
    assert "notes.txt" in told and "x.scores.h5" in told
    assert (runs / dates[1] / "flags.csv").exists() and (runs / dates[1] / "notes.txt").exists()
    assert tree(outside) == outside_before and place.inputs[0].exists()


def test_retention_keeps_the_newest_good_night(place):
    dates = days("2026-11-18", 5)
    for i, date in enumerate(dates):
        place.batch("r", 60, i, date=date)
    text = PLAIN + "retention:\n  nights: 1\n"
    place.write(text)
    place.ok(date=dates[0])
    for date in dates[1:]:  # not good: one input is missing
        place.write(text.replace("  - in/*", "  - in/absent.h5\n  - in/*"))
        assert place.run(date=date).returncode == BAD_INPUT
    assert sorted(os.listdir(place.folder / "runs")) == [dates[0], dates[4], "night.lock"]
    place.write(PLAIN + "retention:\n  days: 3\n")
    place.ok(date=dates[4])
    assert sorted(os.listdir(place.folder / "runs")) == [dates[4], "night.lock"]


METRIC = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"\})? (-?[0-9.e+-]+|NaN|[+-]Inf)$')


def metrics(path):
    """The samples of a Prometheus text file, read strictly: HELP and TYPE stand once and before the samples."""
    try:
        from prometheus_client.parser import text_string_to_metric_families
        return {(sample.name, *sample.labels.values()): sample.value
                for family in text_string_to_metric_families(path.read_text()) for sample in family.samples}
    except ImportError:
        pass
    text = path.read_text()
    assert text.endswith("\n")
    samples, typed, helped = {}, set(), set()
    for line in text.splitlines():
        words = line.split(" ", 3)
        if words[:2] == ["#", "HELP"]:
            assert words[2] not in helped and words[3]
            helped.add(words[2])
        elif words[:2] == ["#", "TYPE"]:
            assert words[2] not in typed and words[3] == "gauge"
            typed.add(words[2])
        else:
            name, _, label, value = METRIC.match(line).groups()
            assert name in typed and name in helped
            key = (name, label) if label is not None else (name,)
            assert key not in samples
            samples[key] = float(value)
    return samples


def test_metrics(place):
    before = time.time()
    place.ok()
    path = place.folder / "night.prom"
    found = {key[0].removeprefix("avvik_night_") if len(key) == 1 else (key[0].removeprefix("avvik_night_"), key[1]): value
             for key, value in metrics(path).items()}
    assert found["exit_code"] == 0 and found["rows"] == 1600 and found["flagged"] == 40
    assert found["inputs"] == 2 and found["inputs_bad"] == 0 and found["fitted"] == 1
    assert found["missing_values"] == 18 + 14  # every fiftieth of one column
    assert int(before) <= found["last_success_timestamp_seconds"] <= time.time()
    for name in ("inputs", "check", "model", "score", "flag", "results"):
        total = sum(unit["seconds"] for unit in step(place.manifest, name))
        assert found["step_seconds", name] == pytest.approx(total, abs=1e-5) and total > 0
    facts = [unit["facts"] for unit in step(place.manifest, "check")]
    for severity in ("note", "warning", "breach", "refused"):
        assert found["findings", severity] == sum(fact[severity] for fact in facts)
    good = found["last_success_timestamp_seconds"]
    time.sleep(1.1)
    assert place.run(date="2026-11-25").returncode == BAD_INPUT
    later = metrics(path)
    assert later["avvik_night_exit_code",] == BAD_INPUT
    assert later["avvik_night_last_success_timestamp_seconds",] == good
    assert later["avvik_night_last_end_timestamp_seconds",] > good
    assert later["avvik_night_rows",] == 0


def without(key):
    return re.sub(rf"(?m)^{key}:.*\n(^[ -].*\n)*", "", PLAIN)


@pytest.mark.parametrize("text, line, names", [
    (PLAIN + "frobnicate: 1\n", 18, ["frobnicate"]),
    (PLAIN.replace("budget: 40", "budget: 200000") + "store: s.db\n", 15, ["flag.budget", "100000"]),
    (PLAIN + "store: s/{date}.db\n", 18, ["store", "{date}"]),
    (PLAIN + "explain:\n  language: sv\n", 19, ["explain.language", "sv"]),
    (PLAIN + "explain:\n  reasons: 0\n", 19, ["explain.reasons", "'0'"]),
    (PLAIN.replace("budget: 40", "budgt: 40"), 15, ["flag.budgt"]),
    (PLAIN.replace("budget: 40", "budget: 0"), 15, ["flag.budget", "'0'"]),
    (PLAIN.replace("budget: 40", "budget: 40x"), 15, ["flag.budget", "40x"]),
    (PLAIN.replace("budget: 40", "budget: -1"), 15, ["flag.budget", "-1"]),
    (PLAIN.replace("budget: 40", "fdr: 1"), 15, ["flag.fdr", "'1'"]),
    (PLAIN.replace("budget: 40", "fdr: 5 kr"), 15, ["flag.fdr", "5 kr"]),
    (PLAIN.replace("budget: 40", "random_share: 101 %"), 15, ["flag.random_share", "101 %"]),
    (PLAIN.replace("budget: 40", "weights: forest"), 15, ["flag.weights", "forest"]),
    (PLAIN.replace("budget: 40", "by: guilt"), 15, ["flag.by", "guilt"]),
    (PLAIN.replace("every: 30 days", "every: 30"), 9, ["model.fit.every", "30 days"]),
    (PLAIN.replace("every: 30 days", "every: 30 parsecs"), 9, ["model.fit.every", "parsecs"]),
    (PLAIN.replace("trees: 20", "trees: 0"), 10, ["model.fit.trees", "10000"]),
    (PLAIN.replace("sample: 64", "sample: [64]"), 11, ["model.fit.sample"]),
    (PLAIN.replace("sample: 64", "min_peers: 60"), 11, ["model.fit.min_peers", "model.fit.peers"]),
    (PLAIN.replace("sample: 64", "peers: [x004]\n    min_peers: 0"), 12, ["model.fit.min_peers", "'0'"]),
    (PLAIN.replace("backend: scalar", "memory: 512"), 13, ["score.memory", "MiB"]),
    (PLAIN.replace("backend: scalar", "memory: 512 bananas"), 13, ["score.memory", "bananas"]),
    (PLAIN.replace("backend: scalar", "compress: 10"), 13, ["score.compress"]),
    (PLAIN.replace("backend: scalar", "damaged: maybe"), 13, ["score.damaged", "maybe"]),
    (PLAIN.replace("in/*-{date}.h5", "in/*-{datum}.h5"), 4, ["inputs[0]", "{datum}"]),
    (PLAIN.replace("runs: runs", "runs: runs/{date}"), 1, ["runs", "{date}"]),
    (PLAIN.replace("table: t", "table: t\ntable: u"), 3, ["table", "twice"]),
    (PLAIN.replace("table: t", "table: [t"), 3, ["YAML"]),
    (PLAIN.replace("table: t", "table: &x t\nlock: *x"), 3, ["lock", "alias"]),
    (without("runs"), 1, ["runs", "missing"]),
    (without("inputs"), 1, ["inputs", "missing"]),
    (without("model"), 1, ["model.path", "missing"]),
    (PLAIN.replace("    from: [history/*.h5]\n", ""), 7, ["model.fit.from", "missing"]),
    (PLAIN.replace("  - in/*-{date}.h5\n", "  a: b\n"), 3, ["inputs"]),
    (PLAIN + "retention:\n  nights: none\n", 19, ["retention.nights", "none"]),
    (PLAIN + "check:\n  missing: lots\n", 19, ["check.missing", "lots"]),
    (PLAIN + "check:\n  columns:\n    - nme: x\n", 20, ["check.columns[0].nme"]),
    (PLAIN + "---\nruns: x\n", 19, ["second document"]),
    ("- a\n- b\n", 1, []), ("", 1, ["runs"]), ("just text\n", 1, []), ("\0\0\0", 1, []), ("a: " + "[" * 3000, 2, []),
])
def test_a_configuration_that_cannot_be(text, line, names, place):
    place.write(text)
    before = tree(place.folder)
    for arguments in ([], ["--dry-run"]):
        result = place.run(*arguments)
        assert result.returncode == BAD_INPUT, result.stderr
        assert len(result.stderr.splitlines()) == 1 and result.stdout == ""
        assert result.stderr.startswith(f"avvik: {place.config}:{line}: "), result.stderr
        for name in names:
            assert name in result.stderr
    assert tree(place.folder) == before


def test_a_configuration_that_cannot_be_read(place):
    program.fails(BAD_INPUT, "night", place.folder / "absent.yaml", names=["absent.yaml"], folder=place.folder)
    (place.folder / "large.yaml").write_text("# " + "x" * 300_000)
    program.fails(BAD_INPUT, "night", place.folder / "large.yaml", names=["large.yaml"], folder=place.folder)


@pytest.mark.parametrize("date", ["yesterday", "2026-02-30", "2026-1-1", "2026-11-24x", ""])
def test_no_such_date(date, place):
    program.fails(WRONG_USAGE, "night", place.config, "--date", date, names=[date], folder=place.folder)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"kind": "night"}', '{"kind": "night", "format_version": 1, "date": '
                                     '"2026-11-24", "steps": 7}', "\0" * 100])
def test_a_damaged_manifest(content, place):
    place.ok()
    wanted = outcome(place)
    (place.night / "manifest.json").write_text(content)
    result = place.run("--quiet")
    assert result.returncode == BAD_INPUT and "--again" in result.stderr
    assert (place.night / "manifest.json").read_text() == content
    place.ok("--again")
    got = outcome(place)
    depends = re.compile("manifest.json$|/check/")  # the model that the first run has fitted was there now
    assert_same({name: value for name, value in got.items() if not depends.search(name)},
                {name: value for name, value in wanted.items() if not depends.search(name)})


def test_a_manifest_cannot_reach_outside(place):
    """A manifest is a file like any other: paths in it are not believed."""
    place.ok()
    victim = place.folder / "victim"
    victim.write_text("precious")
    manifest = place.manifest
    for path in ("../../victim", str(victim), "scores/../../../victim"):
        manifest["steps"].append({"step": "score", "input": "gone.h5" + path, "status": "done", "key": "x",
                                  "outputs": [{"path": path, "bytes": 8, "hash": "x"}]})
    (place.night / "manifest.json").write_text(json.dumps(manifest))
    place.ok()
    assert victim.read_text() == "precious"


def test_a_folder_of_somebody_else(place):
    place.night.mkdir(parents=True)
    (place.night / "thesis.tex").write_text("42")
    result = place.run("--quiet")
    assert result.returncode == BAD_INPUT and str(place.night) in result.stderr
    assert os.listdir(place.night) == ["thesis.tex"]


def test_full_disk(place, tmp_path):
    place.ok()
    wanted = outcome(place)
    shutil.rmtree(place.folder / "runs")
    shutil.rmtree(place.folder / "models")
    (place.folder / "models").mkdir()
    sizes = [f"{kib}k" for kib in (4, 16, 40, 72, 104, 136)]
    with small_disk(place.folder / "runs", sizes[0]) as disk:
        codes = []
        for size in sizes + ["4m"]:
            subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)
            result = place.run("--quiet")
            codes.append(result.returncode)
            assert result.returncode in (DONE, BAD_INPUT) and len(result.stderr.splitlines()) == (codes[-1] != DONE)
        assert codes[0] == BAD_INPUT and codes[-1] == DONE
        got = outcome(place)
    del wanted["runs/2026-11-24/manifest.json"], got["runs/2026-11-24/manifest.json"]
    assert_same(got, wanted)


def test_the_example(tmp_path):
    """The night.yaml of the source tree runs as it stands, and its README tells every field."""
    columns = {name: values for name, values in zip(
        ("gross", "net", "tax", "grade_pct", "hours_reported"), sets.random_columns(400, 5).values())}
    columns["gross"] = np.arange(400, dtype=np.int64) * 60_000
    for folder in ("incoming/2026-11-24", "history", "models", "lists", "metrics"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(SOURCE / "night.yaml", tmp_path)
    for i, path in enumerate(("incoming/2026-11-24/east.h5", "incoming/2026-11-24/west.h5", "incoming/late-20261124.h5",
                              "history/past.h5")):
        columns["case_id"] = np.arange(1000 * i, 1000 * i + 400, dtype=np.uint64)
        sets.write_table(tmp_path / path, columns, table="benefit")
        with h5py.File(tmp_path / path, "a") as file:
            file["benefit/case_id"].attrs["role"] = "id"
    program.ok("night", tmp_path / "night.yaml", "--date", NIGHT)
    assert len((tmp_path / "lists" / NIGHT / "flags.csv").read_text().splitlines()) == 101
    fields = set(re.findall(r'\b(?:TEXTS?|BLOCK)\("(\w+)"', (SOURCE / "night_config.c").read_text()))
    assert len(fields) > 20
    readme, example = (SOURCE / "README.md").read_text(), (SOURCE / "night.yaml").read_text()
    for field in fields:
        assert re.search(rf"`(\w+\.)*{field}(\.\w+)*`", readme), f"{field} is not in the README"
        assert re.search(rf"\b{field}:", example), f"{field} is not in the example"
