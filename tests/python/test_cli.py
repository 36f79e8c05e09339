"""Every command does what its help says, and tells wrong usage apart."""

import csv
import io
import json
import os
import re

import h5py
import numpy as np
import pytest

import program
import sets
from program import BAD_INPUT, DONE, WRONG_USAGE, fails

COMMANDS = ["synth", "find", "check", "compare", "history", "fit", "score", "flag", "evaluate", "explain", "report", "night",
            "cases", "serve", "user", "audit", "devices", "selftest", "tune", "model"]
ROWS = 600  # of the fixture `batch`


def test_version_names_libraries():
    text = program.ok("--version").stdout
    assert text.startswith("avvik ")
    assert "HDF5" in text
    document = json.loads(program.ok("--version", "--json").stdout)
    assert document["version"] == text.split()[1]


def test_help_of_the_program():
    listed = program.ok("--help").stdout.split("commands:\n")[1].split("\n\n")[0]
    assert [line.split()[0] for line in listed.splitlines()] == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command, tmp_path):
    result = program.ok(command, "--help")
    assert result.stdout.startswith("usage: avvik " + command)
    assert result.stderr == ""
    assert max(map(len, result.stdout.splitlines())) <= 120
    taking = re.findall(r"^  (--[a-z-]+) [A-Z]", result.stdout, re.MULTILINE)
    for option in taking[:1] + taking[-1:]:
        # Its value was forgotten: what comes next is no value, and no file is called so.
        fails(WRONG_USAGE, command, option, "--quiet", names=[option, "--quiet"], folder=tmp_path, cwd=tmp_path)


def test_a_value_may_begin_like_an_option(batch, tmp_path):
    program.ok("fit", batch, "--trees", 5, "--out=--quiet", cwd=tmp_path)
    assert (tmp_path / "--quiet").is_file()


def test_fit_score_flag_evaluate_on_labelled_rows(shuttle, tmp_path):
    model, scores = tmp_path / "model.h5", tmp_path / "scores.h5"
    labels = f"{shuttle.path}:{shuttle.labels}"
    program.ok("fit", shuttle.path, "--trees", 100, "--sample", 256, "--seed", 1, "--out", model)
    summary = program.ok("score", "--model", model, shuttle.path, "--log", "text", "--out", scores).stderr
    assert "scored 49,097 rows" in summary and "rows/s" in summary and "binds" in summary
    log = json.loads(program.ok("score", "--model", model, shuttle.path, "--force", "--out", scores).stderr)
    assert log["event"] == "scored" and log["rows"] == 49097 and log["stage_seconds"]["work"] > 0
    for by in ("forest", "deviation"):
        with h5py.File(scores) as file:
            values = file[f"/scores/{by}"][:]
        first = np.lexsort((np.arange(len(values)), -values))[:20]
        text = program.ok("flag", scores, "--budget", 20, "--by", by, "--labels", labels, "--csv").stdout
        table = list(csv.DictReader(io.StringIO(text)))
        assert [int(line["row"]) for line in table] == first.tolist()
        assert [int(line["rank"]) for line in table] == list(range(1, 21))
        assert [int(line["label"]) for line in table] == shuttle.truth[first].astype(int).tolist()
        document = program.ok_json("flag", scores, "--budget", 20, "--by", by, "--labels", labels)
        assert [line["row"] for line in document["flags"]] == first.tolist()
        assert [float(line[by]) for line in document["flags"]] == pytest.approx(values[first].tolist(), rel=1e-6)
        plain = program.ok("flag", scores, "--budget", 20, "--by", by, "--labels", labels).stdout
        for row in first:
            assert str(row) in plain.replace(",", "")
    text = program.ok("evaluate", scores, "--labels", labels, "--budget", 20).stdout
    assert "forest" in text and "deviation" in text


def test_every_command_prints_one_json_document(batch, model, scores, tmp_path):
    assert isinstance(program.ok_json("fit", batch, "--trees", 5, "--out", tmp_path / "m.h5"), dict)
    document = program.ok_json("score", "--model", model, batch, "--out", tmp_path / "s.h5")
    assert document["rows"] == ROWS
    assert len(program.ok_json("flag", scores, "--budget", 7)["flags"]) == 7
    assert {device["backend"].split(":")[0] for device in program.ok_json("devices")["devices"]} >= {"scalar"}
    assert isinstance(program.ok_json("selftest", timeout=600), dict)
    assert program.ok_json("model", "show", model)["trees"] == 20


def test_quiet_says_nothing(batch, model, scores, tmp_path):
    assert program.ok("fit", batch, "--trees", 5, "--out", tmp_path / "m.h5", "--quiet").stderr == ""
    assert program.ok("score", "--model", model, batch, "--out", tmp_path / "s.h5", "--quiet").stderr == ""


def test_selftest_covers_what_must_run_here():
    """Every backend of AVVIK_EXPECT can run here, and computes what scalar does."""
    available = {device["backend"].split(":")[0]: device["available"]
                 for device in program.ok_json("devices")["devices"]}
    assert available["scalar"]
    for name in filter(None, os.environ.get("AVVIK_EXPECT", "").split(",")):
        assert available.get(name), f"{name} must run here: {available}"
    result = program.ok("selftest", timeout=600)
    for name, runs in available.items():
        if runs:
            assert name in result.stdout, name


def test_model_show(model):
    text = program.ok("model", "show", model).stdout
    for word in ("20", "64", "x000", "x004"):
        assert word in text


def test_a_budget_that_cannot_be_met(scores):
    assert len(program.ok_json("flag", scores, "--budget", ROWS)["flags"]) == ROWS
    fails(WRONG_USAGE, "flag", scores, "--budget", ROWS + 1, names=[scores, ROWS])


def test_ties_break_by_row_number(tmp_path):
    values = np.zeros(200)
    values[[150, 20, 90]] = 50  # three equal rows that stand out
    path = sets.write_table(tmp_path / "batch.h5", {"x": values, "y": np.arange(200) % 2})
    program.ok("fit", path, "--trees", 10, "--out", tmp_path / "m.h5")
    program.ok("score", "--model", tmp_path / "m.h5", path, "--out", tmp_path / "s.h5")
    flags = program.ok_json("flag", tmp_path / "s.h5", "--budget", 3, "--by", "deviation")["flags"]
    assert [flag["row"] for flag in flags] == [20, 90, 150]


@pytest.mark.parametrize("arguments", [
    [], ["frobnicate"], ["--frobnicate"], ["fit"], ["fit", "{batch}"], ["fit", "--out", "{out}"],
    ["fit", "{batch}", "--out"], ["fit", "{batch}", "--out", "{out}", "--frobnicate"],
    ["fit", "{batch}", "--out", "{out}", "--trees", "0"], ["fit", "{batch}", "--out", "{out}", "--trees", "ten"],
    ["fit", "{batch}", "--out", "{out}", "--trees", "-1"], ["fit", "{batch}", "--out", "{out}", "--trees", "10001"],
    ["fit", "{batch}", "--out", "{out}", "--trees", "5x"], ["fit", "{batch}", "--out", "{out}", "--trees", ""],
    ["fit", "{batch}", "--out", "{out}", "--sample", "15"], ["fit", "{batch}", "--out", "{out}", "--sample", "4097"],
    ["fit", "{batch}", "--out", "{out}", "--seed", "one"], ["fit", "{batch}", "--out", "{out}", "--seed", "-1"],
    ["fit", "{batch}", "--out", "{out}", "--seed", "18446744073709551616"],
    ["fit", "{batch}", "--out", "{out}", "--threads", "-1"], ["fit", "{batch}", "--out", "{out}", "--threads", "a"],
    ["score", "{batch}", "--out", "{out}"], ["score", "--model", "{model}", "--out", "{out}"],
    ["score", "--model", "{model}", "{batch}"],
    ["flag"], ["flag", "{scores}", "--budget", "0"], ["flag", "{scores}", "--budget", "many"],
    ["flag", "{scores}", "--by", "guilt"], ["flag", "{scores}", "--csv", "--json"],
    ["flag", "{scores}", "--labels", "no-colon"],
    ["evaluate", "{scores}"], ["evaluate", "{scores}", "--labels", "no-colon"],
    ["evaluate", "--labels", "{batch}:/t/x000"],
    ["model"], ["model", "frobnicate"], ["model", "show"], ["devices", "extra"], ["selftest", "extra"],
], ids=" ".join)
def test_wrong_usage(arguments, batch, model, scores, tmp_path):
    places = {"batch": batch, "model": model, "scores": scores, "out": tmp_path / "never.h5"}
    fails(WRONG_USAGE, *[argument.format(**places) for argument in arguments], folder=tmp_path)


def test_existing_output_needs_force(batch, model, tmp_path):
    out = tmp_path / "precious.h5"
    out.write_text("precious")
    for command in (["fit", batch, "--trees", 5], ["score", "--model", model, batch]):
        sentence = fails(BAD_INPUT, *command, "--out", out, names=[out, "--force"], folder=tmp_path)
        assert out.read_text() == "precious", sentence
    program.ok("fit", batch, "--trees", 5, "--out", out, "--force")
    program.ok("score", "--model", model, batch, "--out", out, "--force")
    with h5py.File(out) as file:
        assert "scores" in file


def test_output_may_not_be_an_input(batch, model, tmp_path):
    content = batch.read_bytes()
    fails(WRONG_USAGE, "fit", batch, "--trees", 5, "--force", "--out", batch, names=[batch], folder=tmp_path)
    fails(WRONG_USAGE, "score", "--model", model, batch, "--force", "--out", batch, names=[batch], folder=tmp_path)
    assert batch.read_bytes() == content


HOSTILE_NAMES = {"escape": "x\x1b[2J", "lines": "x\ny", "bytes": b"x\xff\xfe", "quotes": 'x,"y"', "blank": "x y",
                 "long": "x" * 126, "letters": "beløp"}


@pytest.mark.parametrize("what", HOSTILE_NAMES)
def test_names_are_shown_safely(what, tmp_path):
    """A column's name comes from a file: it must not break lines, drive the terminal or spoil CSV and JSON."""
    name = HOSTILE_NAMES[what]
    path = tmp_path / "batch.h5"
    random = np.random.default_rng(3)
    with h5py.File(path, "w") as file:
        table = file.create_group("t")
        for column in (name, "z"):
            table.create_dataset(column, data=random.normal(size=100))
    model, scores = tmp_path / "model.h5", tmp_path / "scores.h5"
    result = program.run("fit", path, "--trees", 5, "--out", model, text=False)
    shown = [result]
    if result.returncode == BAD_INPUT:  # refusing such a name is fine, if it is done well
        assert len(result.stderr.splitlines()) == 1
        assert what not in ("quotes", "blank", "long", "letters")
    else:
        assert result.returncode == DONE, result.stderr
        shown.append(program.run("score", "--model", model, path, "--out", scores, text=False))
        shown.append(program.run("model", "show", model, text=False))
        shown.append(program.run("flag", scores, "--budget", 100, "--by", "deviation", text=False))
        table = program.run("flag", scores, "--budget", 100, "--by", "deviation", "--csv", text=False)
        document = program.run("flag", scores, "--budget", 100, "--by", "deviation", "--json", text=False)
        shown += [table, document]
        lines = list(csv.DictReader(io.StringIO(table.stdout.decode())))
        assert len(lines) == 100
        flags = json.loads(document.stdout)["flags"]
        assert len(flags) == 100
        if isinstance(name, str) and name.isprintable():
            for told in (lines, flags):
                assert {line["deviation_feature"] for line in told} == {name, "z"}
    for result in shown:
        assert result.returncode in (DONE, BAD_INPUT)
        text = (result.stdout + result.stderr).decode("utf-8")
        assert all(character.isprintable() or character == "\n" for character in text), text
