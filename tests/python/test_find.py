"""`avvik find` against the same question put to the register with NumPy."""

import csv
import datetime
import io

import numpy as np
import pytest

import country
import program
from program import BAD_INPUT, WRONG_USAGE, fails


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    return country.make(tmp_path_factory.mktemp("land") / "c", persons=20_000, months=6, fraud_rate=0.02)


def ages(births, last):
    def age(birth):
        born = country.EPOCH + datetime.timedelta(int(birth))
        return last.year - born.year - ((last.month, last.day) < (born.month, born.day))
    return np.array([age(birth) for birth in births])


def answer(land, *filters):
    return program.ok_json("find", land / "registry.h5", "--limit", 100_000, *filters)


def test_filters_compose(land):
    persons, codes = country.columns(land / "registry.h5", "person")
    truth, typologies = country.columns(land / "truth.h5", "person")
    age = ages(persons["birth_date"], datetime.date(2025, 6, 30))
    events = ["birth", "job_found", "job_lost", "sick_child", "death", "inheritance", "new_in_country", "business_started"]
    bit = {name: 1 << k for k, name in enumerate(country.SCHEMES)} | {name: 1 << k for k, name in enumerate(events)}
    oslo = codes["municipality"].index("0301")
    questions = {
        ("--age", "30..40"): (age >= 30) & (age <= 40),
        ("--age", "67.."): age >= 67,
        ("--age", "..17"): age <= 17,
        ("--age", "50"): age == 50,
        ("--sex", "male"): persons["sex"] == codes["sex"].index("male"),
        ("--municipality", "0301"): persons["municipality"] == oslo,
        ("--benefit", "dagpenger"): persons["benefits"] & bit["dagpenger"] != 0,
        ("--benefit", "aap,tilleggsstonad"): (persons["benefits"] & bit["aap"] != 0) & (persons["benefits"] & bit["tilleggsstonad"] != 0),
        ("--event", "job_lost"): persons["events"] & bit["job_lost"] != 0,
        ("--truth", land / "truth.h5", "--typology", "none"): truth["typology"] == 0,
        ("--truth", land / "truth.h5", "--look-alike", "below_limit"):
            truth["look_alike"] == typologies["look_alike"].index("below_limit"),
    }
    for filters, expected in questions.items():
        found = answer(land, *filters)
        assert [person["row"] for person in found["persons"]] == np.flatnonzero(expected).tolist(), filters
        assert found["matching"] == expected.sum() > 0 and found["registered"] == 20_000
    everything = [argument for filters in questions if "--age" not in filters and "none" not in map(str, filters) and
                  "--look-alike" not in filters and "aap,tilleggsstonad" not in filters for argument in filters]
    found = answer(land, "--age", "25..60", *everything)
    expected = (age >= 25) & (age <= 60)
    for filters in questions:
        if filters[0] in everything and filters[1] in everything:
            expected &= questions[filters]
    assert [person["row"] for person in found["persons"]] == np.flatnonzero(expected).tolist()
    assert 0 < expected.sum() < 100


def test_what_is_told_of_a_person(land):
    persons, codes = country.columns(land / "registry.h5", "person")
    numbers = dict(zip(country.column(land / "registry.h5", "/employer/employer"),
                       country.column(land / "registry.h5", "/employer/organisation_number"), strict=True))
    for person in answer(land, "--benefit", "sykepenger")["persons"][:50]:
        row = person["row"]
        assert int(person["national_id"]) == persons["national_id"][row] and len(person["national_id"]) == 11
        assert int(person["person"]) == persons["person"][row]
        assert country.day(person["birth_date"]) == persons["birth_date"][row]
        assert person["municipality"] == codes["municipality"][persons["municipality"][row]]
        assert person["benefits"].split("+") == [name for k, name in enumerate(country.SCHEMES) if persons["benefits"][row] >> k & 1]
        employer = persons["employer"][row]
        assert person["employer"] == (f"{numbers[employer]:09d}" if employer else "")


def test_an_employers_people(land):
    persons, _ = country.columns(land / "registry.h5", "person")
    number = next(person["employer"] for person in answer(land, "--age", "30..50")["persons"] if person["employer"])
    employers, _ = country.columns(land / "registry.h5", "employer")
    own = employers["employer"][employers["organisation_number"] == int(number)][0]
    found = answer(land, "--employer", number)
    assert [person["row"] for person in found["persons"]] == np.flatnonzero(persons["employer"] == own).tolist()
    fails(WRONG_USAGE, "find", land / "registry.h5", "--employer", "123456789", names=["123456789"])


def test_table_and_csv_and_limit(land):
    query = ["find", land / "registry.h5", "--benefit", "dagpenger", "--limit", 3]
    document = program.ok_json(*query)
    assert len(document["persons"]) == 3 < document["matching"]
    rows = list(csv.DictReader(io.StringIO(program.ok(*query, "--csv").stdout)))
    assert [row["national_id"] for row in rows] == [person["national_id"] for person in document["persons"]]
    assert [row["benefits"] for row in rows] == [person["benefits"] for person in document["persons"]]
    table = program.ok(*query).stdout
    assert all(person["national_id"] in table for person in document["persons"])
    assert f"{document['matching']} of 20,000 persons match; the first 3 are listed" in table.replace(",", ",")
    nobody = program.ok("find", land / "registry.h5", "--age", "100..", "--event", "birth")
    assert "0 of 20,000 persons match." in nobody.stdout


@pytest.mark.parametrize("filters, known", [
    (["--benefit", "lottery"], "dagpenger"), (["--event", "war"], "job_lost"), (["--municipality", "9999"], "0301"),
    (["--sex", "x"], "female"), (["--typology", "theft"], "vat_carousel"), (["--benefit", "aap,"], "dagpenger"),
    (["--age", "old"], "30..40"), (["--age", "40..30"], "30..40"), (["--age", ".."], "30..40"), (["--age", "-1"], "30..40"),
    (["--employer", "12"], "nine digits")], ids=str)
def test_unknown_values_list_the_known(filters, known, land):
    fails(WRONG_USAGE, "find", land / "registry.h5", *filters, names=[known])


def test_the_truth_is_named_or_not_read(land, tmp_path):
    fails(WRONG_USAGE, "find", land / "registry.h5", "--typology", "none", names=["--truth"])
    other = country.make(tmp_path / "c", persons=20_000, months=6, seed=9)
    fails(BAD_INPUT, "find", land / "registry.h5", "--truth", other / "truth.h5", names=["another country"])
    fails(BAD_INPUT, "find", land / "truth.h5", names=["registry"])
    fails(BAD_INPUT, "find", land / "registry.h5", "--truth", land / "registry.h5", names=["truth"])
    fails(BAD_INPUT, "find", tmp_path / "none.h5", names=["none.h5"])
    fails(WRONG_USAGE, "find", names=["register"])
