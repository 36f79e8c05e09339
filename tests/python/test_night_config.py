"""What may stand in night.yaml and what may not; the example, the dry run, the units for Slurm and systemd."""

import json
import os
import re
import shutil
import subprocess

import h5py
import numpy as np
import pytest

import program
import sets
from nights import NIGHT, PLAIN, SOURCE, tree
from program import BAD_INPUT, DONE, INTERRUPTED, WRONG_USAGE


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


@pytest.mark.parametrize("weights, words", [("x009=2", ["x009", "names no feature"]), ("x001", ["NAME=NUMBER"]),
                                            ("x001=-1", ["x001=-1", "1000"])])
def test_weights_of_a_fit_that_cannot_be(weights, words, place):
    place.write(PLAIN.replace("    sample: 64\n", f"    sample: 64\n    weights: {weights}\n"))
    result = place.run("--quiet")
    assert result.returncode == BAD_INPUT and "model.fit.weights" in result.stderr, result.stderr
    assert all(word in result.stderr for word in words) and len(result.stderr.splitlines()) == 1

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
    (PLAIN.replace("sample: 64", "splits: best"), 11, ["model.fit.splits", "mixed", "'best'"]),
    (PLAIN.replace("sample: 64", "joint_peers: 60"), 11, ["model.fit.joint_peers", "model.fit.peers"]),
    (PLAIN.replace("sample: 64", "peers: [x004]\n    joint_peers: 15"), 12, ["model.fit.joint_peers", "'15'", "16"]),
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
