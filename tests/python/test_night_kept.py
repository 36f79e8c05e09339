"""What a night keeps, does again and removes: outputs, settings, manifests, retention, metrics."""

import datetime
import json
import os
import re
import shutil
import time

import pytest

from nights import GATE, NIGHT, PLAIN, assert_same, outcome, step, tree
from program import BAD_INPUT


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


def test_again_leaves_nothing_of_what_was_before(place):
    place.ok()
    place.inputs[1].unlink()
    place.ok("--again")
    assert [path.name for path in (place.night / "scores").iterdir()] == [f"a-{NIGHT}.scores.h5"]
    assert [path.name for path in (place.night / "check").iterdir()] == [f"a-{NIGHT}.check.json"]
    place.write(PLAIN + "check:\n  min_rows: 100000\n")
    assert place.run("--again", "--quiet").returncode == GATE
    assert not list(place.night.glob("flags.*"))


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
