"""Typologies: as many as asked for, not to be found by looking at one column, told apart from look-alikes by relations, and
known to nobody who scores."""

import shutil

import h5py
import numpy as np
import pytest
from scipy.stats import rankdata

import country
import program
from program import BAD_INPUT, fails

PERSONS, RATE = 100_000, 0.03
NAMES = ["none", "undeclared_work", "underreported_income", "fictitious_employer", "inflated_pay", "identity_misuse",
         "duplicate_claims", "vat_carousel", "fictitious_invoicing", "inflated_deductions", "below_limit"]
OF_BUSINESSES = ("vat_carousel", "fictitious_invoicing", "inflated_deductions")


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    return country.make(tmp_path_factory.mktemp("land") / "c", persons=PERSONS, months=12, fraud_rate=RATE, compress=0)


@pytest.fixture(scope="module")
def told(land):
    """What `check --truth` says of each table."""
    found = {}
    for table in ("benefit", "tax_wage", "tax_vat"):
        paths = [path for path in country.batches(land) if table in h5py.File(path)]
        document = program.ok_json("check", *paths, "--table", "/" + table, "--truth", land / "truth.h5")
        found[table] = {line["typology"]: line for line in document["truth"]["typologies"]}
        assert document["verdict"] in ("passed", "warning") and document["truth"]["rows"] == document["rows"]
    return found


def test_shares_are_those_asked_for(land):
    truth, codes = country.columns(land / "truth.h5", "person")
    assert codes["typology"] == NAMES
    people, businesses = 7, 3
    for name, table, n in [("person", truth, PERSONS), ("employer", country.columns(land / "truth.h5", "employer")[0], PERSONS / 10)]:
        for t, typology in enumerate(NAMES[1:], 1):
            if (typology in OF_BUSINESSES) != (name == "employer"):
                continue
            expected = n * RATE / (businesses if name == "employer" else people)
            cases, others = (table["typology"] == t).sum(), (table["look_alike"] == t).sum()
            assert abs(cases - expected) < 5 * expected ** 0.5 + 0.05 * expected, typology
            assert abs(others - 2 * expected) < 5 * (2 * expected) ** 0.5 + 0.1 * expected, typology
    assert not ((truth["typology"] != 0) & (truth["look_alike"] != 0)).any()


def test_rates_of_single_typologies(tmp_path):
    land = country.make(tmp_path / "c", persons=20_000, months=2, fraud_rate=0, typology="identity_misuse=0.02,vat_carousel=0.1",
                        look_alikes=0)
    cases = np.bincount(country.column(land / "truth.h5", "/person/typology"), minlength=len(NAMES))
    assert 300 < cases[5] < 500 and cases.sum() - cases[0] == cases[5]
    assert not country.column(land / "truth.h5", "/person/look_alike").any()
    businesses = np.bincount(country.column(land / "truth.h5", "/employer/typology"), minlength=len(NAMES))
    assert 150 < businesses[7] < 260


def test_no_single_column_finds_a_typology(land, told):
    """ROC-AUC of every raw column below 0.75, in both directions; the figures are SciPy's ranks' as well."""
    seen = set()
    for table, lines in told.items():
        joined = country.joined(land, table)
        for t, name in enumerate(NAMES):
            if name == "none" or lines[name]["rows"] == 0:
                continue
            is_case = joined["typology"] == t
            assert lines[name]["rows"] == is_case.sum()
            assert lines[name]["look_alikes"] == (joined["look_alike"] == t).sum()
            for column, told_auc in lines[name]["roc_auc"].items():
                values = joined[column].astype(np.float32).astype(float)
                known = ~np.isnan(values) & ~((values == 65535) & (column == "occupation"))
                cases, others = is_case & known, ~is_case & known
                if told_auc is None:
                    assert not cases.any()
                    continue
                ranks = rankdata(values[known])[cases[known]]
                auc = (ranks.sum() - cases.sum() * (cases.sum() + 1) / 2) / cases.sum() / others.sum()
                assert told_auc == pytest.approx(max(auc, 1 - auc), abs=1e-9), (table, name, column)
                assert told_auc < 0.75, (table, name, column)
                seen.add((name, column))
    assert {name for name, _ in seen} == set(NAMES[1:]) and len(seen) > 100


def test_no_single_column_finds_a_typology_within_a_month(land):
    """The same in a month by itself: the first, that of holiday pay, and the last ones, where spells and rings run out. What
    chance adds to few rows is allowed for."""
    looked_at = 0
    for path in [path for path in country.batches(land) if path.stem[-2:] in ("01", "06", "11", "12")]:
        for table in ("benefit", "tax_wage", "tax_vat"):
            if table not in h5py.File(path):
                continue
            document = program.ok_json("check", path, "--table", "/" + table, "--truth", land / "truth.h5")
            for line in document["truth"]["typologies"]:
                if line["rows"] < 50:
                    continue
                chance = (12 * line["rows"]) ** -0.5  # the standard deviation of the AUC of nothing, with many others
                for column, auc in line["roc_auc"].items():
                    assert auc is None or auc < 0.75 + 2 * chance, (path.stem, table, line["typology"], column, line["rows"])
                    looked_at += auc is not None
    assert looked_at > 300


def test_relations_tell_cases_from_look_alikes(land):
    """What each typology is made of can be seen by joining tables: each relation parts cases from all other rows."""
    benefit, vat = country.joined(land, "benefit"), country.joined(land, "tax_vat")
    persons = country.columns(land / "truth.h5", "person")[0]
    register = country.columns(land / "registry.h5", "person")[0]
    typology = dict(zip(register["person"], persons["typology"], strict=True))

    # one account, many persons, several offices
    order = np.argsort(benefit["account"], kind="stable")
    accounts, starts = np.unique(benefit["account"][order], return_index=True)
    offices = [len(np.unique(part)) for part in np.split(benefit["office"][order], starts[1:])]
    spread = dict(zip(accounts, offices, strict=True))
    several = np.array([account != 0 and spread[account] >= 3 for account in benefit["account"]])
    case = benefit["typology"] == NAMES.index("identity_misuse")
    assert several[case].mean() > 0.6 > 0.05 > several[~case].mean()

    # the same person, scheme and month twice, at two offices, and nothing taken back
    keys = np.stack([benefit["person"], benefit["benefit_code"].astype(np.uint64), benefit["period_from"].astype(np.uint64)])
    _, index, counts = np.unique(keys, axis=1, return_inverse=True, return_counts=True)
    sums = np.bincount(index.ravel(), benefit["gross"]) / benefit["gross"].clip(1)[np.unique(index, return_index=True)[1]]
    # children of one parent are paid for apart
    twice = (counts[index.ravel()] == 2) & (sums[index.ravel()] > 1.5) & (benefit["benefit_code"] > 1)
    case = benefit["typology"] == NAMES.index("duplicate_claims")
    assert twice[case].mean() > 0.95 and twice[~case].mean() < 0.01

    # purchases about equal to sales while nearly all is exported
    key = vat["business"].astype(np.uint64) ^ vat["term"].astype(np.uint64)
    _, index = np.unique(key, return_inverse=True)
    sales = np.bincount(index, np.where(vat["vat_code"] < 4, vat["basis"], 0))
    bought = np.bincount(index, np.where(vat["vat_code"] >= 4, vat["basis"], 0))
    ratio = (bought / sales.clip(1))[index]
    case = vat["typology"] == NAMES.index("inflated_deductions")
    assert np.median(ratio[case]) > np.median(ratio[vat["typology"] == 0])
    round_input = (vat["vat_code"] >= 4) & (vat["basis"] % 100_000 == 0) & (vat["basis"] > 0)
    bought_rows = vat["vat_code"] >= 4
    assert round_input[case & bought_rows].mean() > 20 * round_input[~case & bought_rows].mean()
    assert typology


def test_the_look_alikes_share_the_surface(land):
    """Look-alikes of amounts just below the limit lie there too; those of one account receive for many as well."""
    benefit = country.joined(land, "benefit")
    near = (benefit["gross"] >= 740_000) & (benefit["gross"] < 800_000)
    t = NAMES.index("below_limit")
    assert near[benefit["typology"] == t].all() and near[benefit["look_alike"] == t].all()
    assert len(np.unique(benefit["gross"][benefit["look_alike"] == t])) == 1 < len(np.unique(benefit["gross"][benefit["typology"] == t]))
    t = NAMES.index("identity_misuse")
    for which in ("typology", "look_alike"):
        rows = (benefit[which] == t) & (benefit["account"] != 0)
        _, index = np.unique(benefit["account"][rows], return_inverse=True)
        persons = [len(np.unique(benefit["person"][rows][index == k])) for k in range(min(20, index.max() + 1))]
        assert np.mean(persons) > 2.5


def test_staying_abroad_is_no_typology(land):
    benefit = country.joined(land, "benefit")
    with h5py.File(country.batches(land)[0]) as file:
        assert file["/benefit/country"].attrs["role"] == b"protected"
    away = benefit["country"] != 0
    assert 0.01 < away.mean() < 0.1
    assert (benefit["typology"][away] != 0).mean() == pytest.approx((benefit["typology"] != 0).mean(), rel=0.25)


def test_fit_and_score_do_not_know_the_truth(land, tmp_path):
    """The same bytes with the truth beside the batch, without it, and with a lie in its place."""
    hashes = set()
    for name in ("with", "without", "lie"):
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(land / "batch_2025-12.h5", folder)
        if name == "with":
            shutil.copy(land / "truth.h5", folder)
        elif name == "lie":
            with h5py.File(land / "truth.h5") as source, h5py.File(folder / "truth.h5", "w") as target:
                for key in source["batch_2025-12/benefit"]:
                    target.create_dataset(f"batch_2025-12/benefit/{key}", data=1 - source[f"batch_2025-12/benefit/{key}"][:])
        program.ok("fit", "batch_2025-12.h5", "--table", "/benefit", "--out", "m.h5", cwd=folder)
        program.ok("score", "--model", "m.h5", "batch_2025-12.h5", "--out", "s.h5", cwd=folder)
        with h5py.File(folder / "m.h5") as model, h5py.File(folder / "s.h5") as scores:
            hashes.add((model.attrs["content_hash"], scores.attrs["content_hash"], scores["/scores/path_sum"][:].tobytes()))
    assert len(hashes) == 1


def test_labels_are_taken_by_evaluate(land, tmp_path):
    labels = f"{land / 'truth.h5'}:/batch_2025-12/benefit/label"
    program.ok("fit", land / "batch_2025-12.h5", "--table", "/benefit", "--trees", 20, "--out", tmp_path / "m.h5")
    program.ok("score", "--model", tmp_path / "m.h5", land / "batch_2025-12.h5", "--out", tmp_path / "s.h5")
    document = program.ok_json("evaluate", tmp_path / "s.h5", "--labels", labels)
    assert document["anomalies"] == country.column(land / "truth.h5", "/batch_2025-12/benefit/label").sum() > 100


def test_check_tells_another_country_apart(land, tmp_path):
    other = country.make(tmp_path / "c", persons=1000, months=1)
    fails(BAD_INPUT, "check", land / "batch_2025-12.h5", "--table", "/benefit", "--truth", other / "truth.h5", names=["another country"])
    plain = tmp_path / "plain.h5"
    with h5py.File(plain, "w") as file:
        file["t/x"] = np.arange(10.0)
    fails(BAD_INPUT, "check", plain, "--truth", land / "truth.h5", names=[plain])
    text = program.ok("check", land / "batch_2025-12.h5", "--table", "/benefit", "--truth", land / "truth.h5").stdout
    assert "undeclared_work" in text and "best single column" in text
