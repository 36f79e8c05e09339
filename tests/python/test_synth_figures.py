"""The country is believable: ages, households, pay, seasons, benefits and the mistakes that people make; and every amount
follows from the rules, which are written here once more."""

import datetime

import h5py
import numpy as np
import pytest
from scipy import stats

import country

G = {2024: 124_028, 2025: 130_160}  # from May of the year on


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    return country.make(tmp_path_factory.mktemp("land") / "c", persons=120_000, months=12)


@pytest.fixture(scope="module")
def persons(land):
    return country.columns(land / "registry.h5", "person")[0]


@pytest.fixture(scope="module")
def benefit(land):
    return country.joined(land, "benefit")


@pytest.fixture(scope="module")
def wage(land):
    return country.joined(land, "tax_wage")


def scheme(name):
    return country.SCHEMES.index(name)


def months(days):
    return (days.astype("datetime64[D]").astype("datetime64[M]").astype(int) - 55 * 12) % 12 + 1


def test_ages(persons):
    """Beside the public figures of datasets/README.md, where their sources are."""
    age = np.floor((country.day("2025-01-01") - persons["birth_date"]) / 365.2425)
    age = age[age >= 0]
    for low, high, public in [(0, 15, 0.159), (15, 65, 0.650), (65, 200, 0.191),  # United Nations, 2025
                              (0, 20, 0.23), (20, 40, 0.27), (40, 60, 0.27), (60, 80, 0.19), (80, 200, 0.04),  # Statistics Norway, 2021
                              (65, 70, 0.05)]:  # Statistics Norway's projection for 2020
        assert ((age >= low) & (age < high)).mean() == pytest.approx(public, abs=0.016), (low, high)
    assert persons["sex"].mean() == pytest.approx(0.5, abs=0.02)
    assert persons["sex"][(country.day("2025-01-01") - persons["birth_date"]) / 365.2425 >= 80].mean() < 0.49
    year = np.bincount(age.astype(int))[:65]
    assert year.max() < 2.6 * year[year > 0].min(), "no year of birth stands out"


def test_births_and_deaths(land, persons):
    """Statistics Norway, 2024: 54,000 births and 44,242 deaths among 5.58 million."""
    births = (persons["birth_date"] >= country.day("2025-01-01")).mean()
    assert births == pytest.approx(0.0097, abs=0.001)
    deaths = (persons["events"] >> 4 & 1).mean()
    assert deaths == pytest.approx(0.0079, abs=0.001)


def test_households(land):
    """Statistics Norway, 2021."""
    household, codes = country.columns(land / "registry.h5", "household")
    assert household["size"].mean() == pytest.approx(2.12, abs=0.1)
    assert (household["size"] == 1).mean() == pytest.approx(0.404, abs=0.02)
    assert household["size"].max() <= 6
    assert set(np.unique(household["kind"])) == set(range(len(codes["kind"])))


def test_pay_is_lognormal_with_a_pareto_tail(land, persons):
    pay = persons["wage"][persons["wage"] > np.iinfo(np.int64).min] / 100
    assert len(pay) > 40_000
    body = np.log(pay[pay < np.quantile(pay, 0.93)])
    mean, sd = np.median(np.log(pay)), 0.39
    middle = stats.norm(mean, sd)
    assert np.exp(mean) == pytest.approx(53_490, rel=0.02), "the median of table 11418 of Statistics Norway, 2024"
    assert pay.mean() == pytest.approx(59_370, rel=0.04), "and the mean"
    # the body: quantiles of a lognormal, within a few per cent
    for q in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert np.quantile(np.log(pay), q) == pytest.approx(middle.ppf(q), abs=0.06), q
    assert abs(stats.skew(body)) < 0.6
    # the tail: what exceeds a high threshold is generalized Pareto, of shape 1/3, and by far not lognormal
    threshold = np.quantile(pay, 0.97)
    excess = pay[pay > threshold] - threshold
    shape, _, scale = stats.genpareto.fit(excess, floc=0)
    assert 0.22 < shape < 0.45
    assert stats.kstest(excess, stats.genpareto(shape, scale=scale).cdf).statistic < 0.04
    beyond = 5 * np.median(pay)
    assert (pay > beyond).mean() > 20 * stats.lognorm(sd, scale=np.median(pay)).sf(beyond)


def test_shares_of_the_benefits(benefit):
    """Receivers in a month as a share of the population, around NAV's figures where datasets/README.md has one."""
    last = benefit["period_to"] >= country.day("2025-12-01")
    people = {name: len(np.unique(benefit["person"][last & (benefit["benefit_code"] == k)])) / 120_000
              for k, name in enumerate(country.SCHEMES)}
    expected = {"barnetrygd": (0.11, 0.13), "foreldrepenger": (0.005, 0.013), "dagpenger": (0.008, 0.016),
                "sykepenger": (0.015, 0.032), "aap": (0.025, 0.032), "uforetrygd": (0.060, 0.073),
                "alderspensjon": (0.179, 0.199), "kontantstotte": (0.0004, 0.003), "tilleggsstonad": (0.003, 0.012)}
    for name, (low, high) in expected.items():
        assert low < people[name] < high, (name, people[name])


def weekdays(first, last):
    return np.busday_count(first.astype("datetime64[D]"), (last + 1).astype("datetime64[D]"))


def g_on(days):
    return np.where(days >= country.day("2025-05-01"), G[2025], G[2024])


def ordinary(benefit, name):
    return (benefit["benefit_code"] == scheme(name)) & (benefit["gross"] > 0)


def test_amounts_follow_the_rules(benefit):
    gross, basis = benefit["gross"] / 100, benefit["basis"] / 100
    days = weekdays(benefit["period_from"], benefit["period_to"])
    again = 1.031  # a second claim, or what is paid again, differs by up to three per cent
    rows = ordinary(benefit, "dagpenger")
    most = np.round(0.0024 * np.minimum(basis, 6 * g_on(benefit["period_to"])) + 0.5) * days
    assert (gross[rows] <= again * most[rows] + 1).all()
    idle = rows & (benefit["hours_reported"] == 0) & (basis < 5.5 * G[2024])
    exact = np.isclose(gross[idle], (np.floor(0.0024 * basis[idle] + 0.5) * days[idle]), atol=1)
    assert exact.mean() > 0.96  # the others were paid twice
    rows = ordinary(benefit, "sykepenger")
    daily = np.minimum(basis, 6 * g_on(benefit["period_to"])) / 260
    assert (gross[rows] <= again * np.round(daily + 0.5)[rows] * days[rows] * benefit["grade_pct"][rows] / 100 + 1)[~np.isnan(benefit["grade_pct"][rows])].all()
    rows = ordinary(benefit, "aap") & (benefit["grade_pct"] == 100) & (benefit["hours_reported"] == 0)
    floor = 2.041 * g_on(benefit["period_to"]) / 260
    assert (gross[rows] >= 0.969 * np.floor(floor)[rows] * days[rows]).all()
    cap = 0.66 * 6 * g_on(benefit["period_to"]) / 260
    assert (gross[rows] <= again * np.round(cap + 0.5)[rows] * days[rows] + 1).all()
    rows = ordinary(benefit, "barnetrygd")
    early = benefit["period_to"] < country.day("2025-05-01")
    assert set(gross[rows & early]) == {1766, 1510} and set(gross[rows & ~early]) == {1968}
    assert set(gross[ordinary(benefit, "kontantstotte")]) == {7500}
    taxed = ~np.isnan(benefit["tax"])
    assert (benefit["net"][taxed] == (benefit["gross"] - benefit["tax"])[taxed]).all()
    assert (benefit["net"][~taxed] == benefit["gross"][~taxed]).all() and set(benefit["benefit_code"][~taxed]) == {0, 1, 2}


def test_the_year_has_seasons(land, benefit, wage):
    # holiday pay comes in June, and hardly otherwise
    holiday = np.bincount(months(wage["earned_to"][wage["income_type"] == 3]), minlength=13)
    assert holiday[6] > 50 * np.delete(holiday, 6).max()
    # pay rises in May by the norm of the settlement
    fixed = (wage["income_type"] == 0) & (wage["position_pct"] == 100) & (wage["leave_pct"] == 0)
    whole = fixed & (wage["earned_to"] - wage["earned_from"] >= 27)
    by_month = {m: dict(zip(wage["person"][whole & (months(wage["earned_to"]) == m)], wage["amount"][whole & (months(wage["earned_to"]) == m)],
                            strict=True)) for m in (4, 5)}
    ratios = [by_month[5][p] / by_month[4][p] for p in by_month[4] if p in by_month[5]]
    assert np.median(ratios) == pytest.approx(1.044, abs=0.0005)
    # students work in the summer
    jobs = np.bincount(months(wage["earned_to"][wage["income_type"] == 1]), minlength=13)
    assert jobs[7] > 1.15 * jobs[2]
    # more people lose their job in January than in May
    events = country.columns(land / "registry.h5", "event")[0]
    lost = np.bincount(months(events["date"][events["event"] == 2]), minlength=13)
    assert lost[1] > 1.4 * lost[5]
    # hotels and restaurants sell most in summer
    vat = country.joined(land, "tax_vat")
    guests = (vat["industry"] == 8) & (vat["vat_code"] < 3)
    sales = np.bincount(vat["term"][guests].astype(int), vat["basis"][guests], minlength=7)
    assert sales[4] > 1.3 * sales[1]


def test_people_make_mistakes(benefit, wage):
    late = wage["reported_on"] - wage["earned_to"]
    due = wage["income_type"] != 5
    whole = due & (months(wage["earned_to"]) != months(wage["earned_to"] + 1))
    assert 0.04 < (late[whole] > 5).mean() < 0.12 and late[whole].min() >= 1
    assert 0.005 < (wage["income_type"] == 5).mean() < 0.02
    assert 0.01 < np.isnan(wage["position_pct"]).mean() < 0.025
    assert 0.003 < (wage["occupation"] == 65535).mean() < 0.015
    card = np.isin(benefit["benefit_code"], [scheme("dagpenger"), scheme("aap")])
    assert 0.008 < np.isnan(benefit["hours_reported"][card]).mean() < 0.03
    assert 0.0005 < (benefit["gross"] < 0).mean() < 0.005
    assert 0.001 < (benefit["account"] == 0).mean() < 0.005


def test_hours_on_the_card_are_those_of_the_reported_job(benefit, wage):
    """Where work beside the benefit is told, the card and the wage report agree; where it is hidden they do not."""
    june = country.day("2025-09-01"), country.day("2025-09-30")
    rows = (benefit["benefit_code"] == scheme("dagpenger")) & (benefit["period_from"] == june[0]) & (benefit["period_to"] == june[1])
    work = (wage["earned_from"] == june[0]) & (wage["earned_to"] == june[1]) & (wage["income_type"] < 2) & ~np.isnan(wage["position_pct"])
    position = dict(zip(wage["person"][work], wage["position_pct"][work], strict=True))
    ratios = {0: [], 1: []}
    for i in np.flatnonzero(rows & ~np.isnan(benefit["hours_reported"])):
        if benefit["person"][i] in position:
            full = 7.5 * np.busday_count("2025-09-01", "2025-10-01")
            kind = int(benefit["typology"][i] == 1)
            if kind or (benefit["typology"][i] == 0 and benefit["look_alike"][i] == 0):
                ratios[kind].append(benefit["hours_reported"][i] / (full * position[benefit["person"][i]] / 100))
    assert len(ratios[0]) > 50 and 0.95 < np.median(ratios[0]) < 1.05
    assert len(ratios[1]) > 10 and np.median(ratios[1]) < 0.3


def test_employers_are_few_large_and_many_small(land):
    jobs = country.columns(land / "registry.h5", "employment")[0]
    _, staff = np.unique(jobs["employer"], return_counts=True)
    assert np.median(staff) < 12 and staff.max() > 40 * np.median(staff)
    with h5py.File(land / "registry.h5") as file:
        founded = file["/employer/founded"][:]
    assert (founded < country.day("2026-01-01")).all() and np.median(founded) > country.day("2005-01-01")
    assert datetime.date(2025, 1, 1) > country.EPOCH
