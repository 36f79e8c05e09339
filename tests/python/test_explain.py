"""`avvik explain`: contributions, reasons, counterfactuals and words, against a walk of the model file by NumPy."""

import functools
import itertools
import datetime
import json
import math
import re
import shutil

import h5py
import numpy as np
import pytest

import program
import sets
from explained import Model
from program import BAD_INPUT, NO_BACKEND, WRONG_USAGE, fails

WORDS = program.ROOT / "host" / "cases"


def write_batch(path, rows=4000, seed=5):
    """Payments: amounts in øre, hours with gaps, an identity, an office, a day, a column nobody may see."""
    random = np.random.default_rng(seed)
    office = random.integers(0, 3, rows).astype(np.uint16)
    gross = np.round(np.exp(random.normal(14.2, 0.3, rows)) * (1 + office)).astype(np.int64)
    columns = {
        "case_id": np.arange(rows, dtype=np.uint64) + np.uint64(2**63),
        "person": random.integers(2**60, 2**62, rows // 2, np.uint64).repeat(2),
        "pay_date": (20000 + random.integers(0, 28, rows)).astype(np.int32),
        "office": office,
        "country": random.integers(0, 2, rows).astype(np.uint16),
        "gross": gross,
        "net": (gross * random.uniform(0.6, 0.9, rows)).astype(np.int64),
        "hours": np.where(random.random(rows) < 0.05, np.nan, random.gamma(2, 20, rows)).astype(np.float32),
        "rate": random.choice([0.5, 0.8, 1.0], rows).astype(np.float64),
    }
    columns["gross"][random.random(rows) < 0.01] *= 9
    roles = {"case_id": "id", "person": "key", "pay_date": "time", "office": "group", "country": "protected"}
    sets.write_table(path, columns, table="benefit", chunks=(min(rows, 500),), fletcher32=True)
    with h5py.File(path, "r+") as file:
        table = file["benefit"]
        for name in columns:
            table[name].attrs["role"] = np.bytes_(roles.get(name, "feature"))
        for name in ("gross", "net"):
            table[name].attrs["units"] = np.bytes_("oere")
        table["hours"].attrs["units"] = np.bytes_("hours")
        table["pay_date"].attrs["units"] = np.bytes_("days since 1970-01-01")
        table["office"].attrs["codes"] = np.array([b"0301", b"1103", b"4601"])
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A batch, a model with and one without peers, scores and lists."""
    folder = tmp_path_factory.mktemp("explain")
    write_batch(folder / "batch.h5")
    for name, options in {"all": (), "peers": ("--peers", "office", "--joint-peers", 200)}.items():
        program.ok("fit", folder / "batch.h5", "--trees", 40, "--sample", 128, "--seed", 3, *options, "--out",
                   folder / f"{name}.model.h5")
        assert (len(Model(folder / f"{name}.model.h5").joint_peers) > 1) == (name == "peers")
        program.ok("score", "--model", folder / f"{name}.model.h5", folder / "batch.h5", "--out", folder / f"{name}.h5")
        flags = program.ok("flag", folder / f"{name}.h5", "--budget", 12, "--random-share", "25%", "--json").stdout
        (folder / f"{name}.json").write_text(flags, encoding="utf-8")
    return folder


def explain(folder, name, *options):
    return json.loads(program.ok("explain", folder / f"{name}.h5", "--model", folder / f"{name}.model.h5", "--json",
                                 *options).stdout)


@functools.cache
def matrix(folder):
    names = Model(folder / "all.model.h5").names
    with h5py.File(folder / "batch.h5") as file:
        return np.stack([file["benefit"][name][:].astype(np.float32) for name in names], axis=1)


def features_of(folder, rows):
    return matrix(folder)[rows]


def test_contributions_are_the_same_on_every_backend(folder):
    available = [device["backend"] for device in program.ok_json("devices")["devices"] if device["available"]]
    chosen = [backend for backend in available if backend.split(":")[0] in ("scalar", "avx2", "avx512", "opencl")]
    for name in ("scalar", "avx2", "avx512", "opencl"):
        assert not program.expected(name) or [backend for backend in chosen if backend.startswith(name)], name
    wanted = explain(folder, "peers", "--flagged", folder / "peers.json")
    for backend in ["auto", *chosen]:
        assert explain(folder, "peers", "--flagged", folder / "peers.json", "--backend", backend) == wanted, backend
    for backend in ("cuda", "opencl:99.0"):
        fails(NO_BACKEND, "explain", folder / "all.h5", "--model", folder / "all.model.h5", "--rows", 1, "--backend", backend,
              names=["99" if "opencl" in backend else "cuda"])


@pytest.mark.parametrize("name", ["all", "peers"])
def test_contributions_are_those_of_a_walk(folder, name):
    rows = [0, 17, 1234, 3999, *range(2000, 2040)]
    model, cases = Model(folder / f"{name}.model.h5"), explain(folder, name, "--rows", ",".join(map(str, rows)))
    values = features_of(folder, rows)
    assert np.isnan(values).any()
    expected = sum(g[1] for g in model.expected)
    for case, row, value in zip(cases, rows, values, strict=True):
        added, path_sum = model.contributions(value)
        assert case["row"] == row
        assert case["forest"] == {"path_sum": path_sum, "expected_steps": expected, "contributions": added}
        assert 512 * path_sum == expected + sum(added)
        for reason in case["reasons"]:
            steps = added[model.names.index(reason["feature"])]
            assert reason["contribution_steps"] == steps
            assert reason["contribution"] == pytest.approx(steps / 2**20 / model.trees, rel=1e-12)


def test_reasons_add_up(folder):
    """z, parts of the distance, bits and percentiles by NumPy; for every detector its own shares."""
    with h5py.File(folder / "peers.h5") as file:
        groups = file["/scores/peer_group"][:]
    model = Model(folder / "peers.model.h5")
    flagged = [flag["row"] for flag in json.loads((folder / "peers.json").read_text(encoding="utf-8"))["flags"]]
    for by in ("forest", "deviation", "joint", "combined"):
        for case in explain(folder, "peers", "--rows", ",".join(map(str, flagged)), "--reasons", 99, "--by", by):
            row, value = case["row"], features_of(folder, [case["row"]])[0]
            z, joint = model.z(value, groups[row]), model.joint_parts(value, groups[row])
            assert case["scores"]["joint"] == pytest.approx(joint.sum(), rel=1e-4)
            assert case["scores"]["deviation"] == np.abs(z).max()
            assert sum(reason["share"] for reason in case["reasons"]) == pytest.approx(1)
            shares = [reason["share"] for reason in case["reasons"]]
            assert shares == sorted(shares, reverse=True) and min(shares) > 0
            for reason in case["reasons"]:
                f = model.names.index(reason["feature"])
                assert reason["robust_z"] == z[f]
                assert reason["joint"] == pytest.approx(joint[f], rel=1e-6, abs=1e-9)
                assert reason["peer_median"] == model.peers["center32"][groups[row], f]
                assert reason["peers"] == model.peers["rows"][groups[row]]
                if np.isnan(value[f]):
                    assert reason["percentile"] is None and reason["value"] is None
                else:
                    at_most = np.interp(value[f], model.quantiles[f], model.quantile_rows[f])
                    at_most = 0 if value[f] < model.quantiles[f][0] else at_most
                    assert reason["percentile"] == pytest.approx(100 * at_most / model.quantile_rows[f][-1])
                pushes = -np.minimum(case["forest"]["contributions"], 0)
                own = {"forest": pushes[f] / pushes.sum(), "deviation": float(abs(z[f]) == np.abs(z).max()),
                       "joint": max(joint[f], 0) / joint[joint > 0].sum(),
                       "combined": reason["bits"] / sum(other["bits"] for other in case["reasons"])}
                assert reason["share"] == pytest.approx(own[by], rel=1e-6)
            if by == "combined":
                assert sum(reason["bits"] for reason in case["reasons"]) == pytest.approx(case["scores"]["combined"])


def test_scores_and_p_values_are_those_of_the_list(folder, tmp_path):
    document = json.loads((folder / "peers.json").read_text(encoding="utf-8"))
    cases = explain(folder, "peers", "--flagged", folder / "peers.json")
    assert len(cases) == len(document["flags"]) == 12
    for case, flag in zip(cases, document["flags"], strict=True):
        assert (case["row"], case["rank"], case["selected_by"]) == (flag["row"], flag["rank"], flag["selected_by"])
        assert case["p"] == flag["p"]["combined"] and case["p_values"] == flag["p"]
        assert case["scores"]["deviation"] == pytest.approx(flag["deviation"])
    ranked = [case for case in cases if case["rank"]]
    assert min(case["scores"]["combined"] for case in ranked) == cases[0]["cut"]["score"]
    assert [case["counterfactual"]["is_ordinary"] for case in cases] == [case["rank"] is None for case in cases]
    listed = tmp_path / "flags.csv"
    listed.write_text(program.ok("flag", folder / "peers.h5", "--budget", 12, "--random-share", "25%", "--csv").stdout,
                      encoding="utf-8")
    assert explain(folder, "peers", "--flagged", listed) == cases
    lines = tmp_path / "cases.jsonl"
    program.ok("explain", folder / "peers.h5", "--model", folder / "peers.model.h5", "--flagged", listed, "--jsonl", lines)
    assert [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()] == cases
    fails(BAD_INPUT, "explain", folder / "peers.h5", "--model", folder / "peers.model.h5", "--flagged", listed, "--jsonl",
          lines, names=[lines, "--force"], folder=tmp_path)


def test_fields_are_what_the_batch_has(folder):
    case = explain(folder, "peers", "--rows", 21, "--show", "gross,person,pay_date,office,hours")[0]
    with h5py.File(folder / "batch.h5") as file:
        row = {name: file["benefit"][name][21] for name in file["benefit"]}
    fields = {field["name"]: field for field in case["fields"]}
    assert list(fields) == ["gross", "person", "pay_date", "office", "hours"]
    assert fields["gross"]["value"] == row["gross"]
    assert fields["gross"]["text"] == f"{row['gross'] / 100:,.2f}\u00a0kr"
    assert fields["person"]["text"] == str(row["person"]) == case["entity"]
    day = str(np.datetime64(int(row["pay_date"]), "D"))
    assert fields["pay_date"]["text"] == day == case["time"]
    assert fields["office"]["text"] == ["0301", "1103", "4601"][row["office"]] == case["office"]
    assert case["key"] == f"benefit/{row['case_id']}"
    assert case["entity_column"] == "person"
    assert case["peer_group"]["name"] == f"office {case['office']}" and case["peer_group"]["depth"] == 1
    norwegian = explain(folder, "peers", "--rows", 21, "--language", "nb")[0]
    gross = {field["name"]: field for field in norwegian["fields"]}["gross"]
    assert gross["text"] == f"{row['gross'] / 100:,.2f}\u00a0kr".replace(",", "\u00a0").replace(".", ",")
    assert gross["label"] == "bruttobeløp"
    shown = json.dumps(explain(folder, "all", "--rows", 21))
    assert "country" not in shown




@pytest.mark.parametrize("name", ["all", "peers"])
def test_no_smaller_change_of_one_feature_would_do(folder, name):
    """Every threshold of the forest, and between them a fine grid."""
    model = Model(folder / f"{name}.model.h5")
    cases = explain(folder, name, "--flagged", folder / f"{name}.json")
    with h5py.File(folder / f"{name}.h5") as file:
        groups = file["/scores/peer_group"][:] if name == "peers" else np.zeros(4000, int)
    n_found = 0
    for case in cases:
        if case["counterfactual"]["is_ordinary"]:
            continue
        row, group = features_of(folder, [case["row"]])[0], groups[case["row"]]
        if np.isnan(row).any():
            continue
        rscale = (model.rscale if model.peers is None else model.peers["rscale32"][group]).astype(np.float64)
        cut = case["cut"]["score"]
        size = np.inf
        if case["counterfactual"]["one"] is not None:
            change = case["counterfactual"]["one"][0]
            f, border, n_found = model.names.index(change["feature"]), np.float32(change["value"]), n_found + 1
            inside = border if change["direction"] == "from" else np.nextafter(border, np.float32(-np.inf))
            size = abs(float(inside) - row[f]) * rscale[f]
            outside = np.nextafter(border, np.float32(-np.inf)) if change["direction"] == "from" else border
            for value, is_ordinary in ((inside, True), (outside, False)):
                changed = row.copy()
                changed[f] = value
                combined = model.combined([changed], group)[0]  # the joint deviation is a float: a border on it is soft
                assert combined < cut + 1e-5 if is_ordinary else combined > cut - 1e-5, (case["row"], change)
            assert change["size"] == pytest.approx(size, rel=1e-5)
        for f in range(len(model.names)):
            borders = model.thresholds_of(f)
            grid = np.linspace(row[f] - 12 / rscale[f], row[f] + 12 / rscale[f], 1500, dtype=np.float32)
            tried = np.unique(np.concatenate([borders, np.nextafter(borders, np.float32(-np.inf)), grid]))
            tried = tried[np.abs(tried.astype(np.float64) - row[f]) * rscale[f] < size * 0.98]
            rows = np.repeat(row[None], len(tried), axis=0)
            rows[:, f] = tried
            ordinary = model.combined(rows, group) < cut - 1e-6 if len(tried) else np.zeros(0, bool)
            assert not ordinary.any(), (case["row"], model.names[f], tried[ordinary][:3], case["counterfactual"])
    assert n_found >= 3


def test_shapley_values_are_those_of_every_coalition(folder):
    """The definition (Shapley 1953) over all 2^F coalitions of features, on the model file."""
    rows = [3, 40, 1600, 2222]
    model, n = Model(folder / "all.model.h5"), 4
    assert len(model.names) == n
    for case, row in zip(explain(folder, "all", "--rows", ",".join(map(str, rows)), "--shap"), rows, strict=True):
        value = model.filled(features_of(folder, [row])[0])
        length = {known: model.path_given(value, known) for size in range(n + 1)
                  for known in map(frozenset, itertools.combinations(range(n), size))}
        for f, got in enumerate(case["shap"]["values"]):
            others = [g for g in range(n) if g != f]
            wanted = sum(math.factorial(size) * math.factorial(n - size - 1) / math.factorial(n)
                         * (length[frozenset(known) | {f}] - length[frozenset(known)])
                         for size in range(n) for known in itertools.combinations(others, size))
            assert got["feature"] == model.names[f]
            assert got["value"] == pytest.approx(wanted, rel=1e-9, abs=1e-12)
        assert case["shap"]["expected"] == pytest.approx(length[frozenset()], rel=1e-12)
        assert case["shap"]["sum"] == pytest.approx(length[frozenset(range(n))], rel=1e-12)
        added = sum(value["value"] for value in case["shap"]["values"])
        assert added == pytest.approx(case["shap"]["sum"] - case["shap"]["expected"], rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["breast_diagnostic", "shuttle"])
def test_shapley_values_are_those_of_the_shap_package(name, tmp_path):
    """TreeExplainer, path-dependent, on the same forest."""
    import shap
    labelled = next(item for item in sets.bundled() if item.name == name)
    program.ok("fit", labelled.path, "--trees", 50, "--sample", 256, "--out", tmp_path / "model.h5")
    program.ok("score", "--model", tmp_path / "model.h5", labelled.path, "--out", tmp_path / "scores.h5")
    model, rows = Model(tmp_path / "model.h5"), range(120)
    cases = json.loads(program.ok("explain", tmp_path / "scores.h5", "--model", tmp_path / "model.h5", "--rows", "0..119",
                                  "--shap", "--json").stdout)
    explainer = shap.TreeExplainer({"trees": [model.tree_of_shap(tree) for tree in range(model.trees)], "base_offset": 0,
                                    "tree_output": "raw_value", "objective": "squared_error",
                                    "input_dtype": np.float32, "internal_dtype": np.float64},
                                   feature_perturbation="tree_path_dependent")
    values = np.stack([model.filled(row) for row in labelled.matrix[rows]])
    wanted = explainer.shap_values(values) / model.trees
    got = np.array([[value["value"] for value in case["shap"]["values"]] for case in cases])
    difference = np.abs(got - wanted).max()
    print(f"{name}: largest difference to shap {shap.__version__} {difference:.1e}, values up to {np.abs(wanted).max():.2f}")
    assert difference < 1e-6 and np.abs(wanted).max() > 0.5


def test_scan_tells_of_peers_and_of_the_same_person(folder):
    """Percentiles among the rows of the same office, and all rows of a person, by NumPy."""
    with h5py.File(folder / "batch.h5") as file:
        table = {name: file["benefit"][name][:] for name in file["benefit"]}
    plain = explain(folder, "peers", "--flagged", folder / "peers.json")
    for case, before in zip(explain(folder, "peers", "--flagged", folder / "peers.json", "--scan"), plain, strict=True):
        peers = table["office"] == table["office"][case["row"]]
        for reason in case["reasons"]:
            column = table[reason["feature"]].astype(np.float32)
            if reason["value"] is not None:
                among = column[peers & ~np.isnan(column)]
                assert reason["percentile_among"] == "peers"
                assert reason["percentile"] == pytest.approx(100 * (among <= column[case["row"]]).mean(), rel=1e-12)
        plot, first = case["peer_plot"], case["reasons"][0]
        among = table[first["feature"]].astype(np.float32)[peers]
        among = among[~np.isnan(among)]
        assert (plot["among"], plot["rows"], plot["feature"]) == ("peers", len(among), first["feature"])
        assert plot["value"] == first["value"]
        assert plot["quantiles"] == pytest.approx(np.quantile(among.astype(np.float64), np.linspace(0, 1, 101)), rel=1e-6)
        rows = np.flatnonzero(table["person"] == table["person"][case["row"]])
        rows = rows[np.argsort(table["pay_date"][rows], kind="stable")]
        assert [moment["row"] for moment in case["timeline"]] == rows.tolist() and len(rows) >= 2
        for moment in case["timeline"]:
            value = table[case["reasons"][0]["feature"]][moment["row"]]
            assert moment["value"] == value or (moment["value"] is None and np.isnan(value))
            assert moment["time"] == str(np.datetime64(int(table["pay_date"][moment["row"]]), "D"))
            assert moment["is_case"] == (moment["row"] == case["row"])
        assert before["timeline"] is None and before["peer_plot"]["among"] == "reference"
        for document in (case, before):
            document.pop("timeline"), document.pop("peer_plot")
            for reason in document["reasons"]:
                reason.pop("percentile"), reason.pop("percentile_among")
        assert case == before


def test_threads_scan_the_same(tmp_path):
    """More rows than a plot keeps of a group: what it keeps does not depend on who reads which block."""
    columns = sets.random_columns(150_000, 3)
    batch = sets.write_table(tmp_path / "batch.h5", columns)
    program.ok("fit", batch, "--trees", 5, "--sample", 64, "--out", tmp_path / "model.h5")
    program.ok("score", "--model", tmp_path / "model.h5", batch, "--out", tmp_path / "scores.h5")
    found = [program.ok("explain", tmp_path / "scores.h5", "--model", tmp_path / "model.h5", "--rows", "0..40", "--scan",
                        "--json", "--threads", threads).stdout for threads in (1, 3)]
    assert found[0] == found[1]
    for case in json.loads(found[0]):
        plot, values = case["peer_plot"], np.sort(columns[case["reasons"][0]["feature"]])
        assert plot["rows"] == len(values) and len(values) > 1 << 16
        assert plot["quantiles"][0] == values[0] and plot["quantiles"][-1] == values[-1]
        shares = np.searchsorted(values, np.float32(plot["quantiles"])) / len(values)
        assert np.abs(shares - np.linspace(0, 1, 101)).max() < 0.01


def test_scan_over_several_batches_and_small_groups(tmp_path):
    """Blocks that reach from one file into the next; a group too small to stand alone, whose rows everyone is peer of; two
    cases of one person. By NumPy."""
    paths = [write_batch(tmp_path / "one.h5", rows=5000, seed=31), write_batch(tmp_path / "two.h5", rows=3000, seed=32)]
    for path in paths:
        with h5py.File(path, "r+") as file:
            office, person = file["benefit/office"][:], file["benefit/person"]
            office[office == 2] = 1
            office[10:30] = 2
            file["benefit/office"][...] = office
            person[:40] = np.arange(40, dtype=np.uint64) // 4 + 7
    program.ok("fit", *paths, "--trees", 20, "--sample", 64, "--peers", "office", "--out", tmp_path / "many.model.h5")
    program.ok("score", "--model", tmp_path / "many.model.h5", *paths, "--out", tmp_path / "many.h5")
    table = {}
    for name in ("office", "person", "pay_date", "gross", "net", "hours", "rate"):
        table[name] = np.concatenate([h5py.File(path)["benefit"][name][:] for path in paths])
    rows = [0, 1, 10, 11, 12, 27, 4999, 5000, 5010, 5011, 7999, 4500, 6000]
    groups = set()
    for case in explain(tmp_path, "many", "--rows", ",".join(map(str, rows)), "--scan"):
        office = table["office"][case["row"]]
        groups.add(case["peer_group"]["depth"])
        assert case["peer_group"]["depth"] == (office != 2)
        peers = np.ones(8000, bool) if office == 2 else table["office"] == office
        for reason in case["reasons"]:
            column = table[reason["feature"]].astype(np.float32)
            if reason["value"] is not None:
                among = column[peers & ~np.isnan(column)]
                assert reason["percentile"] == pytest.approx(100 * (among <= column[case["row"]]).mean(), rel=1e-12)
                if reason["place"] == 1:
                    assert case["peer_plot"]["rows"] == len(among)
                    assert case["peer_plot"]["quantiles"][50] == pytest.approx(np.median(among.astype(np.float64)), rel=1e-6)
        same = np.flatnonzero(table["person"] == table["person"][case["row"]])
        assert sorted(moment["row"] for moment in case["timeline"]) == same.tolist()
        for moment in case["timeline"]:
            assert moment["input"] == str(paths[moment["row"] >= 5000]) and moment["input_row"] == moment["row"] % 5000
            assert moment["time"] == str(np.datetime64(int(table["pay_date"][moment["row"]]), "D"))
    assert groups == {0, 1}
    with h5py.File(paths[1], "r+") as file:  # not to be shown in one batch: in none
        file["benefit/person"].attrs["role"] = np.bytes_("protected")
    fails(BAD_INPUT, "explain", tmp_path / "many.h5", "--model", tmp_path / "many.model.h5", "--rows", "7", "--show", "person",
          names=["person", "may not be shown"])


@pytest.mark.parametrize("options", [(), ("--no-joint",)])
def test_a_row_that_changed_a_little_is_noticed(folder, tmp_path, options):
    """By so little that no tree sees it: the deviation alone tells it, or the joint deviation."""
    program.ok("fit", folder / "batch.h5", "--trees", 3, "--sample", 16, *options, "--out", tmp_path / "few.model.h5")
    program.ok("score", "--model", tmp_path / "few.model.h5", folder / "batch.h5", "--out", tmp_path / "few.h5")
    model = Model(tmp_path / "few.model.h5")
    gross = model.names.index("gross")
    with h5py.File(tmp_path / "few.h5") as file:
        attained = file["/scores/deviation_feature"][:] == gross
    row = int(np.flatnonzero(attained == (options != ()))[0])  # with a joint deviation: where the deviation stays as it is
    shutil.copy(folder / "batch.h5", tmp_path / "changed.h5")
    with h5py.File(tmp_path / "changed.h5", "r+") as file:
        file["benefit/gross"][row] += 400
    before, after = (Model.filled(model, features_of(folder, [row])[0]) for _ in range(2))
    after[gross] += 400
    assert model.contributions(before) == model.contributions(after)
    fails(BAD_INPUT, "explain", tmp_path / "few.h5", "--model", tmp_path / "few.model.h5", "--rows", row, "--inputs",
          tmp_path / "changed.h5", names=[f"row {row}", "changed"])


def catalogue():
    text = (WORDS / "words.def").read_text(encoding="utf-8")
    calls = re.findall(r"AVVIK_WORDS\((\w+),\s*(\"(?:[^\"]|\"\s*\")*?\"),\s*(\".*?\"),\s*(\".*?\")\)\n", text, re.S)
    assert len(calls) == text.count("\nAVVIK_WORDS(") > 20
    return {name: [re.sub(r'"\s*"', "", message)[1:-1] for message in messages] for name, *messages in calls}


BLAME = ("suspic", "suspect", "fraud", "guilt", "crime", "cheat", "mistenk", "mistanke", "svindel", "svik", "skyldig",
         "bedrag", "juks", "lovbrudd", "lovbrot", "kriminell")


def test_the_catalogue_blames_nobody_and_has_the_same_slots():
    for name, messages in catalogue().items():
        slots = [sorted(re.findall(r"\{(\w+)\}", message)) for message in messages]
        assert slots[0] == slots[1] == slots[2], name
        for message in messages:
            assert not any(word in message.lower() for word in BLAME), (name, message)
            assert message.count("{") == message.count("}") == len(slots[0])
    columns = (WORDS / "columns.def").read_text(encoding="utf-8").lower()
    assert not any(word in columns for word in BLAME)


@pytest.mark.parametrize("name", ["all", "peers"])
def test_every_case_has_four_sentences(folder, name):
    cases = explain(folder, name, "--flagged", folder / f"{name}.json") + explain(folder, name, "--rows", "0..60")
    said = set()
    for case in cases:
        assert set(case["words"]) == {"en", "nb", "nn"}
        for language, sentences in case["words"].items():
            assert len(sentences) == 4
            for sentence in sentences:
                assert sentence[0].isupper() or not sentence[0].isalpha()
                assert sentence.endswith(".") and "{" not in sentence and "  " not in sentence
                assert len(sentence) < 200 and not any(word in sentence.lower() for word in BLAME)
                said.add((language, re.sub(r"[\d.,\u00a0]+", "#", sentence)))
    assert len(said) > 20
    listed = [case for case in cases if case["rank"] == 1][0]
    first = listed["reasons"][0]
    assert listed["words"]["en"][0].startswith(("The ", "“"))
    if first["units"] == "oere":
        assert f"{first['value'] / 100:,.2f}".removesuffix(".00") + "\u00a0kr" in listed["words"]["en"][0]


def test_days_are_told_as_days(tmp_path):
    """Later and earlier, not above and below; the border of a change is a day, and no change that is told is too small."""
    random = np.random.default_rng(1)
    days = random.integers(20000, 20100, 4000).astype(np.int32)
    days[7:9] = 20333, 19000
    sets.write_table(tmp_path / "days.h5", {"day": days, "amount": random.normal(1000, 10, 4000)}, table="t")
    with h5py.File(tmp_path / "days.h5", "r+") as file:
        file["t/day"].attrs["units"] = np.bytes_("days since 1970-01-01")
    program.ok("fit", tmp_path / "days.h5", "--table", "/t", "--trees", 40, "--seed", 1, "--out", tmp_path / "m.h5")
    program.ok("score", "--model", tmp_path / "m.h5", tmp_path / "days.h5", "--out", tmp_path / "s.h5")
    program.ok("explain", tmp_path / "s.h5", "--model", tmp_path / "m.h5", "--rows", "7,8", "--cut", "0.1", "--jsonl", tmp_path / "c.jsonl")
    late, early = (json.loads(line) for line in (tmp_path / "c.jsonl").read_text(encoding="utf-8").splitlines())
    for case, words, change in ((late, {"en": " later than usual: 2025-09-02", "nb": " senere enn vanlig", "nn": " seinare enn vanleg"}, "before"),
                                (early, {"en": " earlier than usual: 2022-01-08", "nb": " tidligere enn vanlig", "nn": " tidlegare enn vanleg"}, "or later")):
        assert all(words[language] in case["words"][language][0] for language in words)
        told = case["counterfactual"]["one"][0]
        day = (datetime.date.fromisoformat(told["text"]) - datetime.date(1970, 1, 1)).days
        assert change in case["words"]["en"][3] and told["text"] in case["words"]["nn"][3]
        assert day >= told["value"] if change == "or later" else day <= np.ceil(told["value"])


def test_text_for_people(folder):
    shown = program.ok("explain", folder / "peers.h5", "--model", folder / "peers.model.h5", "--flagged",
                       folder / "peers.json", "--language", "nn").stdout
    case = explain(folder, "peers", "--flagged", folder / "peers.json")[0]
    for sentence in case["words"]["nn"]:
        assert sentence in shown
    assert f"row {case['row']}," in shown


def test_only_what_is_needed_is_read(folder, tmp_path):
    """All chunks but the one of the row are damaged, and nobody notices."""
    damaged = tmp_path / "batch.h5"
    damaged.write_bytes((folder / "batch.h5").read_bytes())
    places = []
    with h5py.File(damaged, "r+") as file:
        for name in file["benefit"]:
            for i in range(8):
                info = file["benefit"][name].id.get_chunk_info(i)
                if info.chunk_offset != (1500,):
                    places.append(info.byte_offset)
    with open(damaged, "r+b") as file:
        for place in places:
            file.seek(place)
            file.write(b"\xff" * 16)
    arguments = ["--rows", "1600", "--inputs", damaged]
    assert explain(folder, "peers", *arguments) == explain(folder, "peers", "--rows", "1600")
    fails(BAD_INPUT, "explain", folder / "peers.h5", "--model", folder / "peers.model.h5", "--rows", "20", "--inputs",
          damaged, names=[damaged, "column"])


def test_several_score_files_are_numbered_on(folder, tmp_path):
    second = write_batch(tmp_path / "second.h5", rows=700, seed=6)
    program.ok("score", "--model", folder / "peers.model.h5", second, "--out", tmp_path / "second.scores.h5")
    cases = json.loads(program.ok("explain", folder / "peers.h5", tmp_path / "second.scores.h5", "--model",
                                  folder / "peers.model.h5", "--rows", "3999,4321,17", "--json").stdout)
    assert [(case["row"], case["input_row"], case["input"]) for case in cases] == [
        (3999, 3999, str(folder / "batch.h5")), (4321, 321, str(second)), (17, 17, str(folder / "batch.h5"))]
    program.ok("score", "--model", folder / "peers.model.h5", folder / "batch.h5", second, "--out", tmp_path / "both.h5")
    both = json.loads(program.ok("explain", tmp_path / "both.h5", "--model", folder / "peers.model.h5", "--rows",
                                 "3999,4321,17", "--json").stdout)
    for one, other in zip(cases, both, strict=True):
        one.pop("scores_file"), other.pop("scores_file")
    assert cases == both


def test_what_cannot_be_explained_is_told(folder, tmp_path):
    scores, model = folder / "peers.h5", folder / "peers.model.h5"
    run = ["explain", scores, "--model", model]
    fails(WRONG_USAGE, *run, "--rows", "4000", names=["4000", scores])
    fails(WRONG_USAGE, *run, "--rows", "7,7", names=["row 7", "twice"])
    fails(WRONG_USAGE, *run, "--rows", "7,", names=["--rows"])
    fails(WRONG_USAGE, *run, "--rows", "9..3", names=["--rows"])
    fails(WRONG_USAGE, *run, names=["--rows", "--flagged"])
    fails(WRONG_USAGE, *run, "--rows", "1", "--language", "de", names=["--language", "de"])
    fails(BAD_INPUT, *run, "--rows", "1", "--show", "country", names=["country", "protected"])
    fails(BAD_INPUT, *run, "--rows", "1", "--entity", "country", names=["country", "protected"])
    fails(BAD_INPUT, *run, "--rows", "1", "--show", "nothing", names=["nothing"])
    fails(BAD_INPUT, "explain", scores, "--model", folder / "all.model.h5", "--rows", "1", names=[scores, "model"])
    fails(BAD_INPUT, "explain", folder / "batch.h5", "--model", model, "--rows", "1", names=[folder / "batch.h5"])
    fails(BAD_INPUT, *run, "--flagged", folder / "all.json", names=["list"])
    fails(BAD_INPUT, *run, "--flagged", tmp_path / "none.json", names=["none.json"])
    for text in ("", "{", "[1]", "a,b\n1,2\n", '{"flags": [{}], "by": "combined", "content_hash": "x"}',
                 "rank,row,path_sum,selected_by\n1,x,3,combined\n", "rank,row,path_sum,selected_by\n1,2,3,luck\n"):
        listed = tmp_path / "list"
        listed.write_text(text, encoding="utf-8")
        fails(BAD_INPUT, *run, "--flagged", listed, names=[listed])
    another = write_batch(tmp_path / "another.h5", seed=9)
    fails(BAD_INPUT, *run, "--rows", "5", "--inputs", another, names=[another, "row 5"])
    short = write_batch(tmp_path / "short.h5", rows=900)
    fails(BAD_INPUT, *run, "--rows", "5", "--inputs", short, names=[short, "900"])
    fails(BAD_INPUT, *run, "--rows", "5", "--inputs", tmp_path / "gone.h5", names=["gone.h5"])


def test_an_empty_list_has_no_cases(folder, tmp_path):
    listed, lines = tmp_path / "flags.csv", tmp_path / "cases.jsonl"
    listed.write_text("rank,row,path_sum,selected_by\n", encoding="utf-8")
    program.ok("explain", folder / "peers.h5", "--model", folder / "peers.model.h5", "--flagged", listed, "--jsonl", lines)
    assert lines.read_text(encoding="utf-8") == ""


def test_wide_tables_and_odd_models(tmp_path):
    """More than 64 features, no joint deviation, no held-out rows, no roles: still whole."""
    columns = sets.random_columns(600, 70)
    batch = sets.write_table(tmp_path / "batch.h5", columns)
    program.ok("fit", batch, "--trees", 10, "--sample", 64, "--calibration", 0, "--out", tmp_path / "model.h5")
    program.ok("score", "--model", tmp_path / "model.h5", batch, "--out", tmp_path / "scores.h5")
    case = json.loads(program.ok("explain", tmp_path / "scores.h5", "--model", tmp_path / "model.h5", "--rows", "42",
                                 "--json").stdout)[0]
    model = Model(tmp_path / "model.h5")
    added, path_sum = model.contributions([values[42] for values in columns.values()])
    assert case["forest"]["contributions"] == added and case["forest"]["path_sum"] == path_sum
    assert case["p"] is None and case["cut"] is None and case["reasons"][0]["joint"] is None
    assert case["key"].startswith("t/xxh3-128:") and case["key"].endswith("/42") and case["entity"] is None
