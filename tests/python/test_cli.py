"""Every command, and every way in which input, arguments and the machine can be wrong.

An error is one sentence on stderr that starts with `avvik: ` and names the file (and the column where there is one), an exit
code of its own, and nothing left behind: no output under its final name, no partial file.
"""

import contextlib
import csv
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import time

import h5py
import numpy as np
import pytest

import program
import sets
from program import BAD_INPUT, DONE, INTERRUPTED, NO_BACKEND, WRONG_USAGE

COMMANDS = ["fit", "score", "flag", "evaluate", "devices", "selftest", "model"]
ROWS = 600


def fails(code, *arguments, names=(), folder=None, **options):
    """Run avvik, insist on the exit code and on one sentence that names `names`; nothing new may lie in `folder`."""
    before = set(os.listdir(folder)) if folder else None
    result = program.run(*arguments, **options)
    told = f"avvik {' '.join(map(str, arguments))}\nexit code {result.returncode}\n{result.stdout}{result.stderr}"
    assert result.returncode == code, told
    lines = result.stderr.splitlines()
    assert len(lines) == 1, told
    assert lines[0].startswith("avvik: ") and len(lines[0]) > len("avvik: ") + 8, told
    assert result.stdout == "", told
    for name in names:
        assert str(name) in lines[0], f"{name} is not named\n{told}"
    if folder:
        assert set(os.listdir(folder)) == before, told
    return lines[0]


def refuses_batch(path, *names, command="fit", table=None, features=None, model=None):
    """Both commands that read batches refuse this one with exit code 3."""
    out = path.parent / "never.h5"
    options = (["--table", table] if table else []) + (["--features", features] if features else [])
    if command == "score":
        return fails(BAD_INPUT, "score", "--model", model, path, "--out", out, names=[path, *names], folder=path.parent)
    return fails(BAD_INPUT, "fit", path, *options, "--trees", 5, "--out", out, names=[path, *names],
                 folder=path.parent)


# --- what works ---------------------------------------------------------------------------------------------------

def test_version_names_libraries():
    text = program.ok("--version").stdout
    assert text.startswith("avvik ")
    assert "HDF5" in text
    document = json.loads(program.ok("--version", "--json").stdout)
    assert document["version"] == text.split()[1]


def test_help_of_the_program():
    text = program.ok("--help").stdout
    for command in COMMANDS:
        assert command in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command):
    result = program.ok(command, "--help")
    assert result.stdout.startswith("usage: avvik " + command)
    assert result.stderr == ""
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_fit_score_flag_evaluate_on_labelled_rows(shuttle, tmp_path):
    model, scores = tmp_path / "model.h5", tmp_path / "scores.h5"
    labels = f"{shuttle.path}:{shuttle.labels}"
    program.ok("fit", shuttle.path, "--trees", 100, "--sample", 256, "--seed", 1, "--out", model)
    summary = program.ok("score", "--model", model, shuttle.path, "--out", scores).stderr
    assert "49,097" in summary or "49097" in summary
    assert "rows/s" in summary
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


# --- arguments ----------------------------------------------------------------------------------------------------

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


# --- batches ------------------------------------------------------------------------------------------------------

def test_no_such_file(model, tmp_path):
    path = tmp_path / "absent.h5"
    refuses_batch(path)
    refuses_batch(path, command="score", model=model)
    fails(BAD_INPUT, "score", "--model", path, path, "--out", tmp_path / "never.h5", names=[path], folder=tmp_path)
    fails(BAD_INPUT, "flag", path, names=[path])
    fails(BAD_INPUT, "evaluate", path, "--labels", f"{path}:/label", names=[path])
    fails(BAD_INPUT, "model", "show", path, names=[path])


def test_not_hdf5(model, scores, batch, tmp_path):
    contents = {"empty.h5": b"", "text.h5": b"person,gross\n1,2\n" * 100, "noise.h5": os.urandom(5000)}
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        refuses_batch(path)
        refuses_batch(path, command="score", model=model)
        fails(BAD_INPUT, "score", "--model", path, batch, "--out", tmp_path / "never.h5", names=[path], folder=tmp_path)
        fails(BAD_INPUT, "flag", path, names=[path])
        fails(BAD_INPUT, "evaluate", scores, "--labels", f"{path}:/label", names=[path])
        fails(BAD_INPUT, "model", "show", path, names=[path])
    folder = tmp_path / "folder.h5"
    folder.mkdir()
    refuses_batch(folder)


def test_truncated(batch, model, tmp_path):
    whole = batch.read_bytes()
    for length in (8, 100, 500, 1000, len(whole) // 2, len(whole) - 1):
        path = tmp_path / "cut.h5"
        path.write_bytes(whole[:length])
        refuses_batch(path)
        refuses_batch(path, command="score", model=model)
        path.unlink()


def test_damaged_chunk_names_the_column(model, tmp_path):
    columns = sets.random_columns(ROWS, 5)
    path = sets.write_table(tmp_path / "batch.h5", columns, chunks=(100,), compression="gzip")
    with h5py.File(path) as file:
        chunk = file["/t/x003"].id.get_chunk_info(2)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset:chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    path.write_bytes(content)
    refuses_batch(path, "x003")
    refuses_batch(path, "x003", command="score", model=model)


def test_failed_checksum_names_the_column(tmp_path):
    path = sets.write_table(tmp_path / "batch.h5", sets.random_columns(ROWS, 3), chunks=(100,), fletcher32=True)
    with h5py.File(path) as file:
        chunk = file["/t/x001"].id.get_chunk_info(1)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + 5] ^= 1
    path.write_bytes(content)
    refuses_batch(path, "x001")


def test_missing_table_and_column(batch, model, tmp_path):
    refuses_batch(batch, "/absent", table="/absent")
    refuses_batch(batch, "absent", features="x000,absent")
    narrow = sets.write_table(tmp_path / "narrow.h5", sets.random_columns(100, 3))
    refuses_batch(narrow, "x003", command="score", model=model)
    no_table = tmp_path / "none.h5"
    with h5py.File(no_table, "w"):
        pass
    refuses_batch(no_table)
    elsewhere = sets.write_table(tmp_path / "elsewhere.h5", sets.random_columns(100, 5), table="other")
    refuses_batch(elsewhere, "/t", command="score", model=model)


def test_several_tables_need_a_name(tmp_path):
    path = sets.write_table(tmp_path / "batch.h5", sets.random_columns(100, 2), table="wages")
    with h5py.File(path, "a") as file:
        file["taxes/x"] = np.arange(50.0)
    out = tmp_path / "never.h5"
    fails(WRONG_USAGE, "fit", path, "--out", out, names=[path, "--table", "/wages", "/taxes"], folder=tmp_path)
    program.ok("fit", path, "--table", "wages", "--trees", 5, "--out", out)


def test_repeated_and_empty_features(batch):
    for features in ("x000,x000", "x000,", ","):
        fails(WRONG_USAGE, "fit", batch, "--features", features, "--out", batch.parent / "never.h5",
              folder=batch.parent)


def test_columns_of_unequal_length(tmp_path):
    columns = sets.random_columns(100, 3)
    columns["x002"] = columns["x002"][:99]
    refuses_batch(sets.write_table(tmp_path / "batch.h5", columns), "x002")


@pytest.mark.parametrize("values", [np.array([b"ten"] * 100), np.array(["ten"] * 100, dtype=object),
                                    np.zeros((100, 2)), np.zeros(100, dtype=[("re", "f4"), ("im", "f4")])],
                         ids=["text", "text-of-any-length", "matrix", "compound"])
def test_column_that_is_not_numbers(values, tmp_path):
    path = sets.write_table(tmp_path / "batch.h5", sets.random_columns(100, 2))
    with h5py.File(path, "a") as file:
        file["/t/odd"] = values
    refuses_batch(path, "odd", table="/t", features="x000,odd")


@pytest.mark.parametrize("role", ["protected", "excluded", "label"])
def test_column_that_may_not_be_a_feature(role, model, tmp_path):
    path = sets.write_table(tmp_path / "batch.h5", sets.random_columns(100, 5))
    with h5py.File(path, "a") as file:
        file["/t/x001"].attrs["role"] = np.bytes_(role)
    refuses_batch(path, "x001", role, features="x000,x001")
    refuses_batch(path, "x001", command="score", model=model)


def test_no_rows(model, tmp_path):
    path = sets.write_table(tmp_path / "batch.h5", sets.random_columns(0, 5))
    refuses_batch(path)
    refuses_batch(path, command="score", model=model)


@pytest.mark.parametrize("rows", [1, 15])
def test_too_few_rows(rows, model, tmp_path):
    path = sets.write_table(tmp_path / "batch.h5", sets.random_columns(rows, 5))
    refuses_batch(path, str(rows), "16")
    program.ok("score", "--model", model, path, "--out", tmp_path / "scores.h5")  # scoring needs no more than one


@pytest.mark.parametrize("rows", [16, 100, 255])
def test_sample_shrinks_to_the_rows(rows, tmp_path):
    path = sets.write_table(tmp_path / "batch.h5", sets.random_columns(rows, 3))
    result = program.ok("fit", path, "--trees", 5, "--sample", 256, "--out", tmp_path / "model.h5")
    assert "256" in result.stderr and str(rows) in result.stderr
    with h5py.File(tmp_path / "model.h5") as file:
        assert file["forest"].attrs["sample"] == rows


def test_one_constant_column(tmp_path):
    columns = sets.random_columns(100, 3)
    columns["x001"][:] = 4
    path = sets.write_table(tmp_path / "batch.h5", columns)
    result = program.ok("fit", path, "--trees", 5, "--out", tmp_path / "model.h5")
    assert "x001" in result.stderr
    program.ok("score", "--model", tmp_path / "model.h5", path, "--out", tmp_path / "scores.h5")


def test_all_columns_constant(tmp_path):
    path = sets.write_table(tmp_path / "batch.h5", {"x": np.full(100, 2.0), "y": np.full(100, np.nan)})
    refuses_batch(path, "constant")


def test_missing_and_infinite_values_are_counted(tmp_path):
    columns = sets.random_columns(200, 3)
    columns["x000"][:7] = np.nan
    columns["x001"][:3] = np.inf
    columns["x001"][5:7] = -np.inf
    path = sets.write_table(tmp_path / "batch.h5", columns)
    model, scores = tmp_path / "model.h5", tmp_path / "scores.h5"
    result = program.ok("fit", path, "--trees", 5, "--out", model)
    assert "x001" in result.stderr  # infinities are worth a word
    shown = {feature["name"]: feature for feature in program.ok_json("model", "show", model)["features"]}
    assert [shown[name]["missing"] for name in columns] == [7, 0, 0]
    assert [shown[name]["infinite"] for name in columns] == [0, 5, 0]
    result = program.ok("score", "--model", model, path, "--out", scores)
    with h5py.File(scores) as file:
        assert file["/scores/missing"][:8].tolist() == [2, 2, 2, 1, 1, 2, 2, 0]
        assert np.isfinite(file["/scores/forest"][:]).all()
        assert np.isfinite(file["/scores/deviation"][:]).all()


def foreign_filter(path, number):
    """A batch with one column whose chunk claims to be compressed by filter `number`."""
    sets.write_table(path, sets.random_columns(100, 2))
    with h5py.File(path, "a") as file:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((100,))
        properties.set_filter(number, h5py.h5z.FLAG_OPTIONAL, ())
        column = h5py.h5d.create(file["t"].id, b"packed", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((100,)),
                                 properties)
        column.write_direct_chunk((0,), b"\1" * 64)
    return path


@pytest.mark.parametrize("number", [32001, 300])
def test_missing_compression_filter(number, tmp_path):
    path = foreign_filter(tmp_path / "batch.h5", number)
    out = tmp_path / "never.h5"
    fails(BAD_INPUT, "fit", path, "--features", "x000,packed", "--out", out, names=[path, "packed", number],
          folder=tmp_path, env=program.environment(HDF5_PLUGIN_PATH="/nonexistent"))


def whole_stacks():
    """Where the sanitizers are on: stacks that show which part of HDF5 lost memory over a damaged file."""
    options = [os.environ.get("ASAN_OPTIONS", ""), "fast_unwind_on_malloc=0"]
    return program.environment(ASAN_OPTIONS=":".join(filter(None, options)))


def test_random_damage_to_a_batch(batch, tmp_path):
    """Flipped bytes anywhere: a refusal or a result, never a crash, never a long sentence, nothing left behind."""
    random = np.random.default_rng(77)
    whole = np.frombuffer(batch.read_bytes(), dtype=np.uint8)
    path, out = tmp_path / "damaged.h5", tmp_path / "never.h5"
    refused = 0
    for attempt in range(60):
        content = whole.copy()
        where = random.integers(0, 3000 if attempt % 2 else len(content), size=random.integers(1, 20))
        content[where] = random.integers(0, 256, size=len(where))
        path.write_bytes(content.tobytes())
        result = program.run("fit", path, "--trees", 3, "--out", out, env=whole_stacks())
        assert result.returncode in (DONE, BAD_INPUT, WRONG_USAGE), (attempt, result.returncode, result.stderr)
        if result.returncode == DONE:
            out.unlink()
        else:
            refused += 1
            assert len(result.stderr.splitlines()) == 1, (attempt, result.stderr)
            assert result.stderr.startswith("avvik: ")
        assert not list(tmp_path.glob("never*")), attempt
    assert refused > 5


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


# --- models and scores --------------------------------------------------------------------------------------------

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
    "a NaN for a scale": set_value("/statistics/rscale32", 1, np.nan),
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
                 replace("/scores/path_sum", np.zeros((ROWS, 2), np.int32)), remove("/scores")):
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


# --- the machine --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("backend", ["abacus", "opencl:9.9", "opencl:x", "avx", ""])
def test_unknown_backend(backend, batch, model, tmp_path):
    names = [backend.split(":")[-1]] if backend else []
    fails(NO_BACKEND, "score", "--model", model, batch, "--backend", backend, "--out", tmp_path / "never.h5",
          names=names, folder=tmp_path)


def test_no_opencl_platform(batch, model, tmp_path):
    """Without any OpenCL driver `auto` runs on the CPU, and asking for OpenCL is an error."""
    empty = tmp_path / "vendors"
    empty.mkdir()
    env = program.environment(OCL_ICD_VENDORS=str(empty))
    program.ok("score", "--model", model, batch, "--out", tmp_path / "scores.h5", env=env)
    fails(NO_BACKEND, "score", "--model", model, batch, "--backend", "opencl", "--out", tmp_path / "never.h5",
          names=["opencl"], folder=tmp_path, env=env)
    devices = program.ok_json("devices", env=env)["devices"]
    assert not [device for device in devices if device["backend"].startswith("opencl") and device["available"]]


def test_output_where_none_can_be(batch, model, tmp_path):
    for out in (tmp_path / "absent" / "out.h5", batch / "out.h5"):
        fails(BAD_INPUT, "fit", batch, "--trees", 5, "--out", out, names=[out], folder=tmp_path)
        fails(BAD_INPUT, "score", "--model", model, batch, "--out", out, names=[out], folder=tmp_path)
    fails(BAD_INPUT, "fit", batch, "--trees", 5, "--force", "--out", tmp_path, names=[tmp_path], folder=tmp_path)


@contextlib.contextmanager
def small_disk(folder, size, read_only=False):
    """A file system of its own at `folder`; needs root."""
    folder.mkdir()
    options = f"size={size}" + (",ro" if read_only else "")
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True,
                          check=False) if os.geteuid() == 0 else None
    if made is None or made.returncode != 0:
        pytest.skip("needs the right to mount a file system" + (f": {made.stderr.strip()}" if made else ""))
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_full_disk(batch, model, tmp_path):
    large = sets.write_table(tmp_path / "large.h5", sets.random_columns(100_000, 5))
    with small_disk(tmp_path / "disk", "64k") as disk:
        out = disk / "out.h5"
        fails(BAD_INPUT, "score", "--model", model, large, "--out", out, names=[out], folder=disk)
        fails(BAD_INPUT, "fit", large, "--trees", 100, "--out", out, names=[out], folder=disk)
        (disk / "rest").write_bytes(b"0" * 61440)  # now not even the beginning of a file fits
        fails(BAD_INPUT, "score", "--model", model, batch, "--out", out, names=[out], folder=disk)


@pytest.mark.parametrize("limit", [0, 1000, 20_000])
def test_file_size_limit(limit, model, tmp_path):
    """Where a disk cannot be made: the kernel refuses to let any file grow."""
    large = sets.write_table(tmp_path / "large.h5", sets.random_columns(100_000, 5))
    out = tmp_path / "out.h5"

    def bound():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    env = program.environment(AVVIK_CACHE=str(tmp_path / "cache"))
    fails(BAD_INPUT, "score", "--model", model, large, "--backend", "scalar", "--out", out, names=[out],
          folder=tmp_path, preexec_fn=bound, env=env)
    fails(BAD_INPUT, "fit", large, "--trees", 100, "--out", out, names=[out], folder=tmp_path, preexec_fn=bound, env=env)


def test_read_only_directory(batch, model, tmp_path):
    with small_disk(tmp_path / "disk", "64k", read_only=True) as disk:
        out = disk / "out.h5"
        fails(BAD_INPUT, "fit", batch, "--trees", 5, "--out", out, names=[out], folder=disk)
        fails(BAD_INPUT, "score", "--model", model, batch, "--out", out, names=[out], folder=disk)


def test_directory_of_somebody_else(batch, model, tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o555)
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere; test_read_only_directory stands in")
    out = folder / "out.h5"
    fails(BAD_INPUT, "fit", batch, "--trees", 5, "--out", out, names=[out], folder=folder)
    fails(BAD_INPUT, "score", "--model", model, batch, "--out", out, names=[out], folder=folder)


def test_unwritable_cache_is_no_obstacle(batch, model, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    program.ok("score", "--model", model, batch, "--out", tmp_path / "scores.h5",
               env=program.environment(AVVIK_CACHE=str(blocked)))


def test_closed_standard_output(scores):
    """`avvik flag | head -1` ends quietly or with a sentence, and never by a crash."""
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run([program.AVVIK, "flag", scores, "--budget", "600", "--csv"], stdin=subprocess.DEVNULL,
                            stdout=writer, stderr=subprocess.PIPE, text=True, env=program.environment(), check=False)
    os.close(writer)
    assert result.returncode in (DONE, BAD_INPUT, -signal.SIGPIPE), result.stderr
    assert len(result.stderr.splitlines()) <= 1


def test_standard_output_on_a_full_device(scores):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    with open("/dev/full", "w") as full:
        result = subprocess.run([program.AVVIK, "flag", scores, "--csv"], stdin=subprocess.DEVNULL, stdout=full,
                                stderr=subprocess.PIPE, text=True, env=program.environment(), check=False)
    assert result.returncode == BAD_INPUT
    assert result.stderr.startswith("avvik: ") and len(result.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def long_run(tmp_path_factory):
    """A batch and a model that take one scalar core many seconds to score, and longer to fit."""
    folder = tmp_path_factory.mktemp("long")
    batch = sets.write_table(folder / "batch.h5", sets.random_columns(300_000, 16))
    model = folder / "model.h5"
    program.ok("fit", batch, "--trees", 5000, "--sample", 256, "--out", model)
    return batch, model


def interrupt(arguments, number, folder, started):
    """Start avvik, send it a signal once `started` is true, and return how it ended."""
    process = subprocess.Popen([program.AVVIK, *map(str, arguments)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=program.environment())
    try:
        deadline = time.monotonic() + 30
        while not started() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.3)
        assert process.poll() is None, f"it ended before it could be interrupted: {process.communicate()}"
        process.send_signal(number)
        sent = time.monotonic()
        out, err = process.communicate(timeout=60)
        assert time.monotonic() - sent < 3
    finally:
        process.kill()
    assert process.returncode == INTERRUPTED, (process.returncode, out, err)
    assert err.startswith("avvik: ") and len(err.splitlines()) == 1, err
    assert os.listdir(folder) == [], "something was left behind"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_score(number, long_run, tmp_path):
    batch, model = long_run
    out = tmp_path / "scores.h5"
    interrupt(["score", "--model", model, batch, "--backend", "scalar", "--threads", 1, "--out", out], number, tmp_path,
              started=lambda: os.listdir(tmp_path) != [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_fit(number, long_run, tmp_path):
    batch, _ = long_run
    interrupt(["fit", batch, "--trees", 4000, "--sample", 4096, "--threads", 1, "--out", tmp_path / "model.h5"],
              number, tmp_path, started=lambda: True)


def test_interrupted_run_leaves_the_old_output(long_run, tmp_path):
    batch, model = long_run
    out = tmp_path / "out" / "scores.h5"
    out.parent.mkdir()
    out.write_text("last night's")
    process = subprocess.Popen([program.AVVIK, "score", "--model", str(model), str(batch), "--backend", "scalar",
                                "--threads", "1", "--force", "--out", str(out)], stderr=subprocess.PIPE,
                               env=program.environment())
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == INTERRUPTED, process.stderr.read()
    process.stderr.close()
    assert out.read_text() == "last night's"
    assert os.listdir(out.parent) == ["scores.h5"]
