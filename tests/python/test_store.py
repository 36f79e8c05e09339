"""The case store: what is put in and linked, hostile documents, accounts, and a log in which every kind of tampering shows."""

import csv
import hashlib
import io
import json
import os
import pty
import sqlite3
import stat
import subprocess
import threading

import pytest

import cases
import program
from program import BAD_INPUT, WRONG_USAGE, fails
from reviewing import Client, Server

PASSWORD = "correct horse battery"


def user(store, *arguments, password=PASSWORD, code=0):
    result = subprocess.run([program.AVVIK, "user", *map(str, arguments[:1]), str(store), *map(str, arguments[1:])],
                            input=password + "\n", capture_output=True, encoding="utf-8", env=program.environment(),
                            timeout=60, check=False)
    assert result.returncode == code, result.stderr
    return result


@pytest.fixture
def store(tmp_path):
    """Two nights: 6 cases by rank and 2 at random, then 5 of which 3 are known; two accounts."""
    path = tmp_path / "cases.db"
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    program.ok("cases", "add", path, cases.write(first, cases.night(6, 2)))
    program.ok("cases", "add", path, cases.write(second, cases.night(5, date="2026-11-25", first=4)))
    user(path, "add", "kari", "--role", "lead")
    user(path, "add", "ola")
    return path


def rows(store, sql, *values):
    with sqlite3.connect(store) as database:
        return database.execute(sql, values).fetchall()


def test_cases_are_added_once_and_linked_over_nights(tmp_path):
    store = tmp_path / "cases.db"
    first = cases.write(tmp_path / "first.jsonl", cases.night(6, 2))
    assert program.ok_json("cases", "add", store, first)["new"] == 8
    assert stat.S_IMODE(os.stat(store).st_mode) == 0o600
    again = program.ok_json("cases", "add", store, first)
    assert (again["new"], again["linked"], again["known"]) == (0, 0, 8) and again["log"]["row"] == 8
    later = cases.write(tmp_path / "later.jsonl", cases.night(5, date="2026-11-25", first=4))
    added = program.ok_json("cases", "add", store, later)
    assert (added["new"], added["linked"], added["known"]) == (0, 5, 0)
    assert rows(store, "SELECT count(*) FROM cases") == [(8,)]
    night = ("SELECT n.name FROM cases c JOIN sightings s ON s.id = c.last_sighting JOIN nights n ON n.id = s.night_id"
             " WHERE c.key = 'benefit/8100004'")
    assert rows(store, night) == [("2026-11-25",)]
    # An earlier night that comes late is linked, and is not the latest.
    program.ok("cases", "add", store, cases.write(tmp_path / "early.jsonl", cases.night(5, date="2026-11-20", first=4)))
    assert rows(store, night) == [("2026-11-25",)]
    assert rows(store, "PRAGMA journal_mode") == [("wal",)] and rows(store, "PRAGMA foreign_key_check") == []
    stored = rows(store, "SELECT document, rank, selected_by, reason FROM sightings ORDER BY id LIMIT 8")
    for line, (document, rank, selected, reason) in zip(first.read_text(encoding="utf-8").splitlines(), stored):
        told = json.loads(line)
        assert document == line and rank == told["rank"] and selected == told["selected_by"]
        assert reason == told["reasons"][0]["label"]


def test_decisions_are_exported(store):
    """What is said of each case is what the entries come to, in CSV and in JSON Lines; cells are no formulas; the log tells of it."""
    note = '=HYPERLINK("http://a.example"), "quoted"\nsecond line'
    with Server(store) as server:
        ola, kari = Client(server), Client(server)
        ola.log_in("ola"), kari.log_in("kari")
        program.ok("cases", "rules", store, "--four-eyes", "confirmed")
        assert ola.act(1, "decide", decision="confirmed", note=note)[0] == 303 and kari.act(1, "agree")[0] == 303
        assert ola.act(2, "decide", decision="confirmed", note="@waits")[0] == 303
        assert ola.act(3, "decide", decision="explained", note="undone")[0] == 303 and ola.act(3, "undo")[0] == 303
        assert kari.act(4, "assign", assignee="ola")[0] == 303 and kari.act(4, "decide", decision="error", note="")[0] == 303
    lines = [json.loads(line) for line in program.ok("cases", "export", store, "--json").stdout.splitlines()]
    told = list(csv.DictReader(io.StringIO(program.ok("cases", "export", store).stdout, newline="")))
    found = {line["key"]: line for line in lines}
    assert len(lines) == len(told) == len(found) == rows(store, "SELECT count(*) FROM cases")[0][0] == 8
    for line, row in zip(lines, told, strict=True):
        for name, value in line.items():
            text = "" if value is None else str(value)
            assert row[name] == ("'" if text[:1] in ("=", "@") else "") + text or float(row[name]) == value, name
    first, second, third, fourth = (found[f"benefit/{8_100_000 + i}"] for i in (1, 2, 3, 4))
    assert (first["state"], first["decision"], first["decided_by"], first["agreed_by"], first["note"]) == ("decided", "confirmed", "ola", "kari", note)
    at = rows(store, "SELECT at FROM entries WHERE case_id = 1 ORDER BY id")
    assert [(first["decided_at"],), (first["agreed_at"],)] == at and first["night"] == "2026-11-24" and first["rank"] == 1
    assert (second["state"], second["agreed_by"], second["note"]) == ("waiting", None, "@waits")
    assert (third["state"], third["decision"], third["note"], third["decided_by"]) == ("open", None, None, None)
    assert (fourth["decision"], fourth["assignee"], fourth["night"], fourth["rank"]) == ("error", "ola", "2026-11-25", 1)
    one = [json.loads(line) for line in program.ok("cases", "export", store, "--json", "--night", "2026-11-24").stdout.splitlines()]
    assert [line["rank"] for line in one] == [1, 2, 3, 4, 5, 6, None, None] and {line["night"] for line in one} == {"2026-11-24"}
    assert rows(store, "SELECT subject, detail FROM audit WHERE action = 'export'") == [("all", "8 cases")] * 2 + [("2026-11-24", "8 cases")]
    fails(WRONG_USAGE, "cases", "export", store, "--night", "2020-01-01", names=["2020-01-01"])
    fails(WRONG_USAGE, "cases", "export", store, "--four-eyes", "all", names=["rules"])
    program.ok("audit", "verify", store)


def hostile():
    base = cases.document(1, rank=1)

    def changed(**changes):
        return json.dumps({**base, **changes}, ensure_ascii=False)
    deep = "[" * 5000
    return {
        "no JSON": "{", "not an object": "[1]", "another kind": changed(avvik_case=2), "no key": changed(key=None),
        "empty key": changed(key=""), "key is a number": changed(key=5), "long key": changed(key="k" * 201),
        "a line in the key": changed(key="a\nb"), "an escape in the key": changed(key="a\x1b[2J"),
        "night is none": changed(night="2026-02-30"), "rank zero": changed(rank=0), "rank is a fraction": changed(rank=1.5),
        "negative row": changed(row=-1), "p is text": changed(p="small"), "words missing": changed(words=None),
        "words in Norwegian only": changed(words={"nb": ["x"]}), "words are numbers": changed(words={"en": [1]}),
        "reasons no list": changed(reasons={"a": 1}), "too many reasons": changed(reasons=[base["reasons"][0]] * 17),
        "a reason that is text": changed(reasons=["gross"]), "too many fields": changed(fields=[base["fields"][0]] * 257),
        "a field without name": changed(fields=[{"label": "x"}]), "100 quantiles": changed(
            peer_plot={"feature": "g", "quantiles": [1] * 100, "value": 1}),
        "quantiles descend": changed(peer_plot={"feature": "g", "quantiles": list(range(101, 0, -1)), "value": 1}),
        "a quantile of text": changed(peer_plot={"feature": "g", "quantiles": ["1"] * 101, "value": 1}),
        "too long a timeline": changed(timeline=[{"time": "2026-01-01", "value": 1}] * 2049),
        "a moment without time": changed(timeline=[{"value": 1}]),
        "counterfactual is text": changed(counterfactual={"one": "gross"}),
        "the same name twice": '{"avvik_case":1,"avvik_case":1}', "NUL": changed(key="a\0b"), "deep": deep,
        "infinite": changed().replace('"row": 1,', '"row": 1, "p2": 1e999,'), "two documents": changed() + changed(),
        "very long": changed(padding="x" * (1 << 20)),
    }


@pytest.mark.parametrize("kind", hostile())
def test_hostile_documents_change_nothing(tmp_path, kind):
    store, file = tmp_path / "cases.db", tmp_path / "cases.jsonl"
    program.ok("cases", "add", store, cases.write(tmp_path / "before.jsonl", cases.night(1, first=500)))
    before = rows(store, "SELECT * FROM audit"), rows(store, "SELECT * FROM cases"), rows(store, "SELECT * FROM nights")
    good = json.dumps(cases.document(2, rank=2))
    file.write_text(good + "\n" + hostile()[kind] + "\n", encoding="utf-8", newline="")
    fails(BAD_INPUT, "cases", "add", store, file, names=["cases.jsonl", "line 2" if kind != "a line in the key" else "line"])
    assert (rows(store, "SELECT * FROM audit"), rows(store, "SELECT * FROM cases"), rows(store, "SELECT * FROM nights")) == before


def test_other_wrong_files(tmp_path):
    store, file = tmp_path / "cases.db", tmp_path / "cases.jsonl"
    cases.write(file, [cases.document(1, rank=1, night=None)])
    fails(BAD_INPUT, "cases", "add", store, file, names=["--night", "line 1"])
    assert program.ok_json("cases", "add", store, file, "--night", "2026-11-24")["new"] == 1
    fails(WRONG_USAGE, "cases", "add", store, file, "--night", "yesterday", names=["yesterday"])
    cases.write(file, [cases.document(1, rank=1)])
    fails(BAD_INPUT, "cases", "add", store, file, "--night", "2026-11-25", names=["2026-11-24", "2026-11-25"])
    cases.write(file, [cases.document(2, rank=1), cases.document(2, rank=1)])
    fails(BAD_INPUT, "cases", "add", store, file, names=["twice", "line 2", "benefit/8100002"])
    cases.write(file, [cases.document(1, rank=1, office="0000")])
    fails(BAD_INPUT, "cases", "add", store, file, names=["another content", "benefit/8100001"])
    file.write_bytes(b'{"avvik_case":1,"key":"\xff\xfe"}\n')
    fails(BAD_INPUT, "cases", "add", store, file, names=["line 1"])
    fails(BAD_INPUT, "cases", "add", store, tmp_path / "none.jsonl", names=["none.jsonl"])
    file.write_bytes(b"")
    assert program.ok_json("cases", "add", store, file)["new"] == 0
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE t (x)")
    fails(BAD_INPUT, "cases", "add", other, file, names=["no case store"])
    other.write_bytes(os.urandom(20_000))
    fails(BAD_INPUT, "audit", "verify", other, names=["other.db"])
    fails(BAD_INPUT, "audit", "verify", tmp_path / "missing.db", names=["missing.db"])
    assert not (tmp_path / "missing.db").exists()
    with sqlite3.connect(store) as database:
        database.execute("PRAGMA user_version = 999")
    fails(BAD_INPUT, "audit", "verify", store, names=["999", "later"])


def test_an_earlier_store_is_brought_forward(store):
    head = program.ok_json("audit", "verify", store)["log"]
    with sqlite3.connect(store) as database:
        database.execute("DROP TABLE sessions")
        database.execute("PRAGMA user_version = 1")
    assert program.ok_json("audit", "verify", store)["log"] == head
    assert rows(store, "PRAGMA user_version") == [(2,)] and rows(store, "SELECT count(*) FROM sessions") == [(0,)]


def test_accounts(store, tmp_path):
    listed = program.ok_json("user", "list", store)["accounts"]
    assert [(each["name"], each["role"], each["disabled"]) for each in listed] == [("kari", "lead", False), ("ola", "auditor", False)]
    for (kept,) in rows(store, "SELECT password FROM accounts"):
        assert kept.startswith("$argon2id$v=19$m=65536,t=2,p=1$") and PASSWORD not in kept
    assert "already" in user(store, "add", "Kari", code=BAD_INPUT).stderr
    for name in ("", "a b", "-x", "a" * 65, "ø", "a;b"):
        assert user(store, "add", "--", name, code=WRONG_USAGE).stderr.startswith("avvik: ")
    assert "12" in user(store, "add", "short", password="elevenbytes", code=WRONG_USAGE).stderr
    user(store, "add", "long", password="x" * 1025, code=WRONG_USAGE)
    fails(WRONG_USAGE, "user", "add", store, "nobody", names=["password"])  # standard input is empty
    fails(WRONG_USAGE, "user", "disable", store, "nobody", names=["nobody"])
    fails(WRONG_USAGE, "user", "add", store, "x", "--role", "king", names=["king"])
    before = rows(store, "SELECT password FROM accounts WHERE name = 'ola'")
    user(store, "password", "ola", password="another long password")
    assert rows(store, "SELECT password FROM accounts WHERE name = 'ola'") != before
    program.ok("user", "disable", store, "ola")
    assert "disabled" in program.ok("user", "list", store).stdout
    program.ok("audit", "verify", store)


def test_a_password_is_not_shown_on_a_terminal(store):
    ours, theirs = pty.openpty()
    shown = []
    process = subprocess.Popen([program.AVVIK, "user", "add", str(store), "anne"], stdin=theirs, stdout=theirs, stderr=theirs,
                               env=program.environment(), close_fds=True, start_new_session=True)
    os.close(theirs)

    def talk():
        for _ in range(2):
            while not shown or not (shown[-1].endswith(b": ")):
                shown.append(os.read(ours, 1000))
            os.write(ours, b"typed on a terminal\n")
            shown.append(b"")
        try:
            while data := os.read(ours, 1000):
                shown.append(data)
        except OSError:
            pass
    talker = threading.Thread(target=talk, daemon=True)
    talker.start()
    assert process.wait(60) == 0
    talker.join(10)
    assert b"typed" not in b"".join(shown)
    assert "anne" in program.ok("user", "list", store).stdout


def test_rules(store):
    rules = program.ok_json("cases", "rules", store)
    assert rules["four_eyes"] == "none" and "gross" in rules["fields"].split(",") and "person" not in rules["fields"]
    set_to = program.ok_json("cases", "rules", store, "--four-eyes", "confirmed", "--fields", "gross,office")
    assert set_to == {"four_eyes": "confirmed", "fields": "gross,office"} == program.ok_json("cases", "rules", store)
    fails(WRONG_USAGE, "cases", "rules", store, "--four-eyes", "some", names=["some"])
    fails(WRONG_USAGE, "cases", "rules", store, "--fields", "a b", names=["commas"])
    program.ok("audit", "verify", store)


# The log.

def chain(store):
    """The hash of every row as host/cases/README.md defines it, by Python's own BLAKE2b."""
    def text(value):
        return len(value).to_bytes(8, "little") + value
    before, hashes = bytes(32), []
    for number, at, account, action, subject, detail in rows(
            store, "SELECT id, at, account, action, subject, detail FROM audit ORDER BY id"):
        content = text(b"avvik audit 1") + text(before) + number.to_bytes(8, "little")
        content += b"".join(text(each.encode()) for each in (at, account, action, subject, detail))
        before = hashlib.blake2b(content, digest_size=32).digest()
        hashes.append(before)
    return hashes


def forge(store):
    """All hashes anew, from the first row to the last, and the head with them: what who may write the file can do."""
    with sqlite3.connect(store) as database:
        before = bytes(32)
        for number, now in enumerate(chain(store), 1):
            database.execute("UPDATE audit SET hash_before = ?, hash = ? WHERE id = ?", (before, now, number))
            before = now
        database.execute("UPDATE audit_head SET id = (SELECT max(id) FROM audit), hash = ?", (before,))


def test_the_log_is_as_it_is_documented(store):
    hashes = chain(store)
    assert [bytes(each) for (each,) in rows(store, "SELECT hash FROM audit ORDER BY id")] == hashes
    told = program.ok_json("audit", "verify", store)
    assert told["log"] == {"row": len(hashes), "hash": hashes[-1].hex()}
    assert (told["documents"], told["accounts"]) == (13, 2)
    with sqlite3.connect(store) as database, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        database.execute("DELETE FROM audit WHERE id = 3")


UNTIE = "DROP TRIGGER audit_stays; DROP TRIGGER audit_is_kept; DROP TRIGGER sightings_stay; DROP TRIGGER sightings_are_kept;"
TAMPERING = {
    "a row was changed": ("UPDATE audit SET account = 'ola' WHERE id = 5", ["row 5", "changed"]),
    "a row was changed, and its hash": ("", ["row 6", "follow"]),
    "a row was removed": ("DELETE FROM audit WHERE id = 7", ["row 7", "missing", "row 8"]),
    "two rows changed places": ("UPDATE audit SET id = -1 WHERE id = 4; UPDATE audit SET id = 4 WHERE id = 5;"
                                "UPDATE audit SET id = 5 WHERE id = -1", ["row 4", "order"]),
    "the end was removed": ("DELETE FROM audit WHERE id >= 12", ["row 12", "end"]),
    "a row was added": ("INSERT INTO audit SELECT 16, at, account, action, subject, detail, hash, hash FROM audit WHERE id = 15",
                        ["row 16"]),
    "a document was changed": ("UPDATE sightings SET document = replace(document, '0301', '1103') WHERE id = 6",
                               ["row 6 of sightings"]),
    "a rank was changed": ("UPDATE sightings SET rank = 99 WHERE id = 2", ["row 2 of sightings"]),
    "a sighting was removed": ("UPDATE cases SET last_sighting = NULL; DELETE FROM sightings WHERE id = 3", ["row 3 of the log"]),
    "a decision was written by hand": ("UPDATE cases SET state = 'decided', decision = 'explained' WHERE id = 3",
                                       ["benefit/8100003"]),
    "an entry was written by hand": (
        "INSERT INTO entries VALUES (1, 2, 'decide', 'explained', '', 0, NULL, 'kari', '2026-11-26T08:00:00Z', 2)", ["entry 1"]),
    "a role was raised": ("UPDATE accounts SET role = 'lead' WHERE name = 'ola'", ["account 'ola'"]),
    "a password was swapped": ("UPDATE accounts SET password = (SELECT password FROM accounts WHERE name = 'kari')"
                               " WHERE name = 'ola'", ["account 'ola'"]),
    "a rule was loosened": ("INSERT INTO rules VALUES ('fields', 'person')", ["rules"]),
}


@pytest.mark.parametrize("kind", TAMPERING)
def test_tampering_is_found(store, kind):
    sql, names = TAMPERING[kind]
    with sqlite3.connect(store) as database:
        database.executescript(UNTIE + sql)
    if kind == "a row was changed, and its hash":
        with sqlite3.connect(store) as database:
            database.execute("UPDATE audit SET account = 'ola' WHERE id = 5")
        with sqlite3.connect(store) as database:
            database.execute("UPDATE audit SET hash = ? WHERE id = 5", (chain(store)[4],))
    told = fails(BAD_INPUT, "audit", "verify", store, names=names)
    assert "cases.db" in told


def test_what_only_an_anchor_finds(store):
    noted = program.ok_json("audit", "verify", store)["log"]
    anchor = f"{noted['row']}:{noted['hash']}"
    user(store, "add", "later")
    program.ok("audit", "verify", store, "--anchor", anchor)
    with sqlite3.connect(store) as database:
        database.executescript(UNTIE + "UPDATE audit SET at = '2020-01-01T00:00:00Z' WHERE id = 9")
    forge(store)
    program.ok("audit", "verify", store)  # the chain is whole: this is what it cannot know
    fails(BAD_INPUT, "audit", "verify", store, "--anchor", anchor, names=[f"row {noted['row']}", "noted"])
    # Removed from the end, all traces with it.
    with sqlite3.connect(store) as database:
        database.executescript("DELETE FROM accounts WHERE name IN ('ola', 'later'); DELETE FROM audit WHERE id >= 15")
    forge(store)
    program.ok("audit", "verify", store)
    fails(BAD_INPUT, "audit", "verify", store, "--anchor", anchor, names=["row 15", "missing"])
    fails(WRONG_USAGE, "audit", "verify", store, "--anchor", "5", names=["ROW:HASH"])
