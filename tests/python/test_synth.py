"""The synthetic country: the same bytes from the same seed, identities that can be nobody's, files as documented."""

import datetime
import os
import signal
import stat
import subprocess
import time

import h5py
import numpy as np
import pytest

import country
import program
import test_machine
from program import BAD_INPUT, INTERRUPTED, WRONG_USAGE, fails


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    return country.make(tmp_path_factory.mktemp("land") / "c")


def contents(folder):
    """Every byte of every file, but for the time of making."""
    files = {}
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        if path.suffix == ".h5":
            with h5py.File(path) as file:
                created = file.attrs["created"]
            assert data.count(created) == 1
            data = data.replace(created, b"-" * len(created))
        files[path.name] = data
    return files


def values(folder):
    """Every array of every file."""
    found = {}
    for path in sorted(folder.glob("*.h5")):
        with h5py.File(path) as file:
            file.visititems(lambda name, item, stem=path.stem: found.update({(stem, name): item[:].tobytes()})
                            if isinstance(item, h5py.Dataset) else None)
    return found


@pytest.mark.parametrize("threads", [1, 3, 7])
def test_the_same_bytes_for_any_number_of_threads(threads, land, tmp_path):
    assert contents(country.make(tmp_path / "c", threads=threads)) == contents(land)


def test_the_same_values_in_any_layout(land, tmp_path):
    expected = values(land)
    assert values(country.make(tmp_path / "plain", compress=0)) == expected
    whole = country.make(tmp_path / "whole", layout="contiguous")
    assert values(whole) == expected
    with h5py.File(whole / "batch_2025-01.h5") as file:
        assert file["/benefit/gross"].chunks is None
    with h5py.File(land / "batch_2025-01.h5") as file:
        gross = file["/benefit/gross"]
        assert (gross.compression, gross.shuffle) == ("gzip", True)


def test_a_month_does_not_depend_on_the_months_after_it(land, tmp_path):
    """But for what looks at the whole period: typologies, and how a life goes on. Persons are the same."""
    shorter = country.make(tmp_path / "c", months=2)
    for name in ("/person/national_id", "/person/municipality", "/household/household"):
        assert np.array_equal(country.column(shorter / "registry.h5", name), country.column(land / "registry.h5", name))


def test_another_seed_is_another_country(land, tmp_path):
    other = country.make(tmp_path / "c", seed=2)
    assert not np.array_equal(country.column(other / "registry.h5", "/person/municipality"),
                              country.column(land / "registry.h5", "/person/municipality"))
    assert (other / "identity.key").read_text() != (land / "identity.key").read_text()


def check_national_ids(ids, births, is_male):
    """The rules as published by the Norwegian Tax Administration, 80 added to the month. (tests/test_synth.c has those of 2032.)"""
    digits = (ids[:, None] // 10 ** np.arange(10, -1, -1, dtype=np.uint64) % 10).astype(int)
    first = digits[:, :10] @ [3, 7, 6, 1, 8, 9, 4, 5, 2, 1] % 11
    second = digits @ [5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1] % 11
    assert (first == 0).all() and (second == 0).all()
    day, month, year = digits[:, 0] * 10 + digits[:, 1], digits[:, 2] * 10 + digits[:, 3], digits[:, 4] * 10 + digits[:, 5]
    assert ((month >= 81) & (month <= 92)).all()
    dates = [country.EPOCH + datetime.timedelta(int(birth)) for birth in births]
    assert [(d.day, d.month + 80, d.year % 100) for d in dates] == list(zip(day, month, year, strict=True))
    assert np.array_equal(digits[:, 8] % 2, is_male)
    individual = digits[:, 6] * 100 + digits[:, 7] * 10 + digits[:, 8]
    years = np.array([d.year for d in dates])
    assert (individual[years < 1940] < 500).all()
    assert (individual[years >= 2000] >= 500).all()
    middle = individual[(years >= 1940) & (years < 2000)]
    assert ((middle < 500) | (middle >= 900)).all()
    assert len(np.unique(ids)) == len(ids)


def test_tables_of_many_chunks_are_whole(tmp_path):
    """Chunks are made apart: no row is lost or doubled where one ends, and the order is that of the register."""
    land = country.make(tmp_path / "c", persons=150_000, months=1, threads=3, compress=0, fraud_rate=0.02)
    assert contents(country.make(tmp_path / "one", persons=150_000, months=1, threads=1, compress=0, fraud_rate=0.02)) == contents(land)
    persons, _ = country.columns(land / "registry.h5", "person")
    benefit = country.joined(land, "benefit")
    with h5py.File(land / "batch_2025-01.h5") as file:
        assert file["/benefit/gross"].id.get_num_chunks() > 1 and file["/tax_wage/amount"].id.get_num_chunks() > 1
    assert len(np.unique(benefit["case_id"])) == len(benefit["case_id"])
    for code, name in enumerate(country.SCHEMES):
        drew = persons["person"][persons["benefits"] >> code & 1 == 1]
        paid = np.unique(benefit["person"][benefit["benefit_code"] == code])
        if name in ("aap", "uforetrygd", "alderspensjon"):  # a day at the month's end may be no weekday, or no claim was made
            assert np.isin(paid, drew).all() and len(paid) > 0.99 * len(drew), name
    order = np.argsort(persons["person"])
    row = order[np.searchsorted(persons["person"], benefit["person"], sorter=order)]
    assert (np.diff(row) > -6).all(), "a child's payment stands in the name of its parent, a few persons before"
    for name in ("national_id", "person"):
        assert len(np.unique(persons[name])) == 150_000


def test_a_chunk_may_end_within_a_run_of_repeated_payments(tmp_path):
    """What is paid twice, or taken back and paid again, is made from the first payment: also where that is in the chunk before."""
    land = country.make(tmp_path / "c", persons=40_000, months=12, compress=0, fraud_rate=0, typology="duplicate_claims=0.15",
                        look_alikes=1)
    same = ["person", "household", "benefit_code", "period_from", "period_to", "basis", "grade_pct", "hours_reported", "employer",
            "account", "country"]
    within = 0
    for path in country.batches(land):
        benefit, _ = country.columns(path, "benefit")
        with h5py.File(path) as file:
            (rows,) = file["/benefit/gross"].chunks
        runs = np.all([benefit[name][1:] == benefit[name][:-1] for name in ("person", "benefit_code", "period_from")], axis=0)
        runs &= benefit["benefit_code"][1:] > 2  # not several children of one parent
        for edge in range(rows, len(benefit["gross"]), rows):
            if not runs[edge - 1]:
                continue
            within += 1
            first = edge - 1
            while runs[first - 1]:
                first -= 1
            for at in range(first + 1, edge + 1 + int(edge < len(runs) and runs[edge])):
                assert all(np.array_equal(benefit[name][at], benefit[name][first], equal_nan=benefit[name].dtype.kind == "f") for name in same)
                assert abs(benefit["gross"][at]) == pytest.approx(abs(benefit["gross"][first]), rel=0.031, abs=100)
    assert within >= 3, "the country has no such edge: choose another seed"


def test_no_identity_number_can_be_a_real_persons(land):
    persons, _ = country.columns(land / "registry.h5", "person")
    check_national_ids(persons["national_id"], persons["birth_date"], persons["sex"])
    numbers = country.column(land / "registry.h5", "/employer/organisation_number").astype(np.uint64)
    digits = (numbers[:, None] // 10 ** np.arange(8, -1, -1, dtype=np.uint64) % 10).astype(int)
    assert np.isin(digits[:, 0], [2, 3]).all()
    assert (digits @ [3, 2, 7, 6, 5, 4, 3, 2, 1] % 11 == 0).all()
    assert len(np.unique(numbers)) == len(numbers)
    accounts = country.column(land / "registry.h5", "/account/number")
    assert (accounts >= 10 ** 11).all() and len(np.unique(accounts)) == len(accounts)


def test_no_identity_number_reaches_a_batch(land):
    """No number of the register stands in any batch or the truth, as a value or as text."""
    secret = np.concatenate([country.column(land / "registry.h5", name).astype(np.uint64) for name in
                             ("/person/national_id", "/employer/organisation_number", "/account/number")])
    for path in country.batches(land) + [land / "truth.h5"]:
        with h5py.File(path) as file:
            arrays = []
            file.visititems(lambda _, item, to=arrays: to.append(item[:].ravel())
                            if isinstance(item, h5py.Dataset) and item.dtype.kind in "iu" else None)
        for array in arrays:
            if array.dtype.itemsize == 8 and array.dtype.kind == "u":
                assert not np.isin(array, secret).any(), path


def test_hashes_are_siphash_of_the_key_file(land):
    """SipHash-2-4 written from the paper (Aumasson and Bernstein 2012)."""
    key = bytes.fromhex((land / "identity.key").read_text().splitlines()[1])
    persons, _ = country.columns(land / "registry.h5", "person")
    for number, expected in list(zip(persons["national_id"], persons["person"], strict=True))[:50]:
        assert siphash(key, b"\x01" + int(number).to_bytes(8, "little")) == expected


def siphash(key, message):
    mask = (1 << 64) - 1
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rotate(x, n):
        return ((x << n) | (x >> (64 - n))) & mask

    def rounds(n):
        for _ in range(n):
            v[0] = (v[0] + v[1]) & mask
            v[1] = rotate(v[1], 13) ^ v[0]
            v[0] = rotate(v[0], 32)
            v[2] = (v[2] + v[3]) & mask
            v[3] = rotate(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & mask
            v[3] = rotate(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & mask
            v[1] = rotate(v[1], 17) ^ v[2]
            v[2] = rotate(v[2], 32)

    padded = message + b"\0" * (7 - len(message) % 8) + bytes([len(message) % 256])
    for i in range(0, len(padded), 8):
        word = int.from_bytes(padded[i:i + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def test_keys_join_the_tables(land):
    persons, _ = country.columns(land / "registry.h5", "person")
    households = country.column(land / "registry.h5", "/household/household")
    employers = country.column(land / "registry.h5", "/employer/employer")
    accounts = country.column(land / "registry.h5", "/account/account")
    assert np.isin(persons["household"], households).all()
    assert np.isin(persons["employer"][persons["employer"] != 0], employers).all()
    benefit, wage, vat = (country.joined(land, table) for table in ("benefit", "tax_wage", "tax_vat"))
    assert np.isin(benefit["person"], persons["person"]).all() and np.isin(wage["person"], persons["person"]).all()
    assert np.isin(wage["employer"], employers).all() and np.isin(vat["business"], employers).all()
    for table in (benefit, wage, vat):
        assert np.isin(table["account"][table["account"] != 0], accounts).all()
    assert len(np.unique(benefit["case_id"])) == len(benefit["case_id"])


def test_every_batch_passes_the_check(land):
    for path in country.batches(land):
        for table in ("/benefit", "/tax_wage", "/tax_vat"):
            with h5py.File(path) as file:
                if table not in file:
                    continue
            report = program.ok_json("check", path, "--table", table)
            assert not [f for f in report["findings"] if f["severity"] in ("refused", "breach")]
            assert all(c.get("unknown_codes", 0) == 0 for c in report["columns"])


def test_files_are_as_documented(land):
    kinds = {"registry.h5": "registry", "truth.h5": "truth"}
    for path in land.glob("*.h5"):
        with h5py.File(path) as file:
            assert file.attrs["avvik_kind"].decode() == kinds.get(path.name, "batch")
            assert file["/country"].attrs["persons"] == country.PERSONS
            assert b"xxh3-128:" in file.attrs["content_hash"]
    with h5py.File(land / "batch_2025-02.h5") as file:
        assert set(file) == {"country", "benefit", "tax_wage", "tax_vat"}
        assert [name.decode() for name in file["benefit"].attrs["order"]] == [
            "case_id", "person", "household", "benefit_code", "period_from", "period_to", "pay_date", "gross", "net", "tax",
            "basis", "grade_pct", "hours_reported", "employer", "account", "office", "country"]
        assert file["benefit/gross"].dtype == "<i8" and file["benefit/gross"].attrs["units"] == b"oere"
        assert file["benefit/country"].attrs["role"] == b"protected"
        assert not {"typology", "look_alike", "label"} & set(file["benefit"])
    with h5py.File(land / "batch_2025-01.h5") as file:
        assert "tax_vat" not in file


def test_the_key_file_is_private(land, tmp_path):
    key = land / "identity.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    own = tmp_path / "own.key"
    own.write_text("avvik identity key 1\n" + "0123456789abcdef" * 2 + "\n")
    own.chmod(0o600)
    other = country.make(tmp_path / "c", persons=2000, months=1, key=own)
    assert (other / "identity.key").read_text() == own.read_text()
    own.chmod(0o644)
    fails(BAD_INPUT, "synth", "--out", tmp_path / "d", "--key", own, names=[own, "chmod 600"], folder=tmp_path)
    own.write_text("not a key\n")
    own.chmod(0o600)
    fails(BAD_INPUT, "synth", "--out", tmp_path / "d", "--key", own, names=[own], folder=tmp_path)
    fails(BAD_INPUT, "synth", "--out", tmp_path / "d", "--key", tmp_path / "none", names=["none"], folder=tmp_path)


@pytest.mark.parametrize("arguments", [
    ["--persons", "999"], ["--persons", "50000001"], ["--months", "0"], ["--months", "-3"], ["--months", "49"],
    ["--from", "2022-12"], ["--from", "2026-06"], ["--from", "2025-13"], ["--from", "January"], ["--fraud-rate", "0.3"],
    ["--fraud-rate", "-0.1"], ["--fraud-rate", "nan"], ["--fraud-rate", "much"], ["--look-alikes", "11"],
    ["--typology", "vat_carousel"], ["--typology", "theft=0.1"], ["--typology", "vat_carousel=2"], ["--compress=10"],
    ["--fraud-rate", "0.2", "--look-alikes", "9"], ["--layout", "round"], ["--seed", "-1"], ["here"]], ids=" ".join)
def test_wrong_usage(arguments, tmp_path):
    fails(WRONG_USAGE, "synth", "--out", tmp_path / "c", *arguments, folder=tmp_path)


def test_unknown_typology_lists_the_known(tmp_path):
    fails(WRONG_USAGE, "synth", "--out", tmp_path / "c", "--typology", "theft=0.1", names=["undeclared_work", "below_limit"])


def test_what_is_there_is_kept(tmp_path):
    small = ["--persons", 1000, "--months", 1, "--quiet"]
    out = tmp_path / "c"
    out.mkdir()
    program.ok("synth", "--out", f"{out}/", *small)  # an empty folder will do
    before = contents(out)
    fails(BAD_INPUT, "synth", "--out", out, *small, names=[out, "--force"], folder=tmp_path)
    assert contents(out) == before
    program.ok("synth", "--out", out, "--force", "--seed", 5, *small)
    assert contents(out) != before and os.listdir(tmp_path) == ["c"]
    (out / "thesis.txt").write_text("precious")
    fails(BAD_INPUT, "synth", "--out", out, "--force", *small, names=["thesis.txt"], folder=tmp_path)
    (tmp_path / "file").write_text("precious")
    fails(BAD_INPUT, "synth", "--out", tmp_path / "file", "--force", *small, names=["file"], folder=tmp_path)
    fails(BAD_INPUT, "synth", "--out", tmp_path / "no" / "where", *small, names=["where"], folder=tmp_path)


def test_full_disk(tmp_path):
    with test_machine.small_disk(tmp_path / "disk", "600k") as disk:
        fails(BAD_INPUT, "synth", "--out", disk / "c", "--persons", 5000, "--months", 2, "--quiet", names=[disk], folder=disk)


def test_interrupted(tmp_path):
    process = subprocess.Popen([program.AVVIK, "synth", "--out", tmp_path / "c", "--persons", "3000000", "--quiet"],
                               stderr=subprocess.PIPE, text=True, env=program.environment())
    while not (tmp_path / "c.partial").exists():
        time.sleep(0.01)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED and told.startswith("avvik: ")
    assert os.listdir(tmp_path) == []


def test_a_killed_run_is_no_obstacle(tmp_path):
    left = tmp_path / "c.partial"
    left.mkdir()
    (left / "registry.h5.partial").write_bytes(b"half")
    country.make(tmp_path / "c", persons=1000, months=1)
    assert os.listdir(tmp_path) == ["c"]


def test_rules_are_shown_with_their_source():
    rules = program.ok_json("synth", "--rules")["rules"]
    amounts = {rule["from"]: rule["value"] for rule in rules if rule["rule"] == "BASIC_AMOUNT"}
    assert amounts["2023-05-01"] == 118620 and amounts["2024-05-01"] == 124028
    assert amounts["2025-05-01"] == 130160 and amounts["2026-05-01"] == 136549
    assert all(rule["source"] and rule["unit"] for rule in rules)
    assert "BASIC_AMOUNT" in program.ok("synth", "--rules").stdout
