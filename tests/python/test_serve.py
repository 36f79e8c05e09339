"""The review server over HTTP, without a browser: who may do what, hostile requests, headers, conflicts, a killed server."""

import concurrent.futures
import html
import http.client
import json
import random
import re
import shutil
import socket
import sqlite3
import ssl
import subprocess
import threading
import time
import urllib.parse

import pytest

import cases
import country
import program
from program import BAD_INPUT, WRONG_USAGE, fails
from reviewing import PASSWORD, Client, Server, pass_time, rows, token, user

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; "
                               "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-store", "X-Frame-Options": "DENY"}


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """make(folder, ...): a store there with cases and four people, whose passwords are hashed once: that takes its time on purpose."""
    people = tmp_path_factory.mktemp("people") / "cases.db"
    for name, role in (("kari", "lead"), ("ola", "auditor"), ("anne", "auditor"), ("rune", "reader")):
        user(people, name, role)

    def made(folder, n_ranked=60, n_random=6, **changes):
        store = folder / "cases.db"
        shutil.copy(people, store)
        program.ok("cases", "add", store, cases.write(folder / "cases.jsonl", cases.night(n_ranked, n_random, **changes)))
        return store
    return made


@pytest.fixture(scope="module")
def served(tmp_path_factory, make):
    store = make(tmp_path_factory.mktemp("served"))
    with Server(store) as server:
        server.store = store
        yield server
        server.stop()
    program.ok("audit", "verify", store)


def logged_in(server, name):
    client = Client(server)
    assert client.log_in(name)[0] == 303
    return client


def test_nothing_without_logging_in(served):
    client = Client(served)
    for path in ("/", "/cases", "/case/1", "/progress", "/case/1?done=decide", "/nothing"):
        status, headers, text = client.get(path)
        assert status == 303 and headers["Location"] == "/login" and text == "", path
        assert {name: headers[name] for name in HEADERS} == HEADERS
    assert client.form("/case/1", {"act": "decide", "decision": "confirmed", "version": 0})[0] == 401
    client = Client(served)
    status, headers, page = client.get("/login")
    assert status == 200 and {name: headers[name] for name in HEADERS} == HEADERS
    assert re.fullmatch(r"avvik_door=[0-9a-f]{64}; Path=/; HttpOnly; SameSite=Strict", headers["Set-Cookie"])
    # Without its cookie the form is worth nothing, nor is another's token.
    assert Client(served).form("/login", {"token": token(page), "name": "ola", "password": PASSWORD})[0] == 400
    status, headers, _ = client.form("/login", {"token": token(page), "name": "ola", "password": PASSWORD})
    assert status == 303
    assert re.fullmatch(r"avvik_session=[0-9a-f]{64}; Path=/; HttpOnly; SameSite=Strict", headers.get_all("Set-Cookie")[0])
    assert client.get("/cases")[0] == 200
    kept = rows(served.store, "SELECT hex(token) FROM sessions")
    assert client.cookies["avvik_session"].upper() not in [each for (each,) in kept]


def test_a_form_needs_the_token_of_its_session(served):
    ola, anne = logged_in(served, "ola"), logged_in(served, "anne")
    _, _, page = anne.get("/case/2")
    fields = {"act": "decide", "decision": "confirmed", "version": 0}
    for value in ("", "0" * 64, token(page), token(page)[:-1]):
        assert ola.form("/case/2", {**fields, "token": value})[0] == 400
    _, _, page = ola.get("/case/2")
    own = {**fields, "token": token(page)}
    assert ola.form("/case/2", own, Origin="https://elsewhere.example")[0] == 400
    assert ola.form("/case/2", own, Origin="null")[0] == 400
    assert ola.form("/case/2", own, Host="elsewhere.example")[0] == 400
    assert ola.get("/case/2", Host="elsewhere.example:80")[0] == 400
    assert ola.get("/case/2", Host=f"localhost:{served.port}")[0] == 200
    assert rows(served.store, "SELECT count(*) FROM entries WHERE case_id = 2") == [(0,)]
    assert ola.form("/case/2", own, Origin=served.url)[0] == 303
    assert ola.get("/logout")[0] == 404  # a link cannot log anyone out
    assert ola.get("/cases")[0] == 200


def test_roles(served):
    reader, ola, kari = (logged_in(served, name) for name in ("rune", "ola", "kari"))
    assert "look at cases" in reader.get("/case/3")[2] and 'name="decision"' not in reader.get("/case/3")[2]
    page = reader.get("/case/3")[2]
    for act in ("decide", "agree", "undo", "assign"):
        fields = {"token": token(page), "act": act, "version": 0, "decision": "confirmed", "assignee": "rune"}
        assert reader.form("/case/3", fields)[0] == 403
    assert ola.act(3, "assign", assignee="anne", version=0)[0] == 403
    assert kari.act(3, "assign", assignee="anne", version=0)[0] == 303
    assert kari.act(3, "assign", assignee="rune", version=1)[0] == 422
    assert ola.act(3, "decide", decision="explained", version=1)[0] == 303
    assert kari.act(3, "undo", version=2)[0] == 303
    assert rows(served.store, "SELECT state, version, assignee FROM cases WHERE id = 3") == [("open", 3, "anne")]


def test_two_at_once_and_nothing_is_lost(served):
    ola, anne = logged_in(served, "ola"), logged_in(served, "anne")
    assert ola.act(4, "decide", decision="explained", note="Called the employer.", version=0)[0] == 303
    status, _, page = anne.act(4, "decide", decision="confirmed", note="Not <b>ordinary</b> & late", version=0)
    assert status == 409 and "faster" in page and "Called the employer." in page
    assert "Not &lt;b&gt;ordinary&lt;/b&gt; &amp; late" in page and "<b>ordinary" not in page
    assert anne.act(4, "decide", decision="confirmed", version=1)[0] == 409
    # Where the case is open again, choice and note come back in the form.
    assert ola.act(4, "undo", version=1)[0] == 303
    status, _, page = anne.act(4, "decide", decision="confirmed", note="Still so", version=1)
    assert status == 409 and re.search(r'value="confirmed" checked', page) and ">\nStill so</textarea>" in page
    assert re.search(r'name="version" value="2"', page)
    for fields in ({"decision": "guilty"}, {}, {"decision": "confirmed", "note": "x" * 4001}):
        assert anne.act(4, "decide", version=2, **fields)[0] == 422
    assert anne.act(4, "burn", version=2)[0] == 422
    assert rows(served.store, "SELECT state, version FROM cases WHERE id = 4") == [("open", 2)]


def test_a_form_that_comes_twice_is_recorded_once(served):
    """A double click, or a browser that tries again: it was recorded, nobody else was faster, and the answer says so."""
    ola, anne, kari = (logged_in(served, name) for name in ("ola", "anne", "kari"))

    def twice(person, act, version, **fields):
        return [person.act(40, act, version=version, **fields)[0] for _ in range(2)]
    assert twice(ola, "decide", 0, decision="unclear", note="Once.") == [303, 303]
    assert ola.act(40, "decide", decision="unclear", note="Another.", version=0)[0] == 409
    assert ola.act(40, "decide", decision="error", note="Once.", version=0)[0] == 409
    assert anne.act(40, "decide", decision="unclear", note="Once.", version=0)[0] == 409
    assert twice(ola, "undo", 1) == [303, 303]
    assert ola.act(40, "decide", decision="unclear", note="Once.", version=0)[0] == 409  # long ago by now
    assert twice(kari, "assign", 2, assignee="anne") == [303, 303] and kari.act(40, "assign", assignee="ola", version=2)[0] == 409
    assert rows(served.store, "SELECT kind, account FROM entries WHERE case_id = 40") == [("decide", "ola"), ("undo", "ola"), ("assign", "kari")]
    assert rows(served.store, "SELECT count(*) FROM audit WHERE subject = 'benefit/8100040' AND action <> 'view'") == [(3 + 1,)]
    assert rows(served.store, "SELECT version, state, assignee FROM cases WHERE id = 40") == [(3, "open", "anne")]


def test_many_at_once_on_one_case(served):
    clients = [logged_in(served, name) for name in ("ola", "anne", "kari")]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        for case in range(30, 36):
            answers = list(pool.map(lambda k: clients[k % 3].act(case, "decide", decision="unclear", note=str(k), version=0)[0],
                                    range(9)))
            assert sorted(answers) == [303] + 8 * [409]
            assert rows(served.store, "SELECT version, state FROM cases WHERE id = ?", case) == [(1, "decided")]


def test_text_from_files_and_people_is_escaped(tmp_path):
    bad = "<script>alert(1)</script>\"'&\u2028\u202e"
    store = tmp_path / "cases.db"
    document = cases.document(1, rank=1, key="t/" + bad, office=bad, entity=bad, time=bad[:28], selected_by=bad, input=bad, table=bad)
    document["words"]["en"] = [bad]
    document["reasons"][0].update(label=bad, text=bad, peer_median_text=bad)
    document["fields"][0].update(label=bad, text=bad)
    document["peer_group"]["name"] = bad
    document["peer_plot"].update(label=bad, units=bad, text=bad)
    document["timeline"][0].update(time=bad[:28], text=bad)
    document["reasons"][1].update(units=bad, text=None)
    document["reasons"][2]["percentile"] = 100
    document["peer_group"]["keys"] = [{"column": bad, "label": bad, "text": bad}]
    program.ok("cases", "add", store, cases.write(tmp_path / "c.jsonl", [document]))
    user(store, "kari", "lead")
    with Server(store) as server:
        kari = logged_in(server, "kari")
        kari.act(1, "decide", decision="confirmed", note=bad)
        assert "highest of all" in kari.get("/case/1")[2]  # and not higher than 100 %
        for path in ("/cases", "/case/1", "/cases?search=" + urllib.parse.quote(bad), "/progress"):
            status, _, page = kari.get(path)
            assert status == 200
            assert "<script>alert" not in page and page.count("<script") == 1 and "\u202e" not in page
            assert "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;" in page or path == "/progress"


def test_only_fields_on_the_list_are_shown(served):
    page = logged_in(served, "ola").get("/case/5")[2]
    assert "hours reported" in page and "SECRET-ACCOUNT" not in page and "not on the list" in page


def test_every_view_is_in_the_log_before_it_is_seen(served):
    ola = logged_in(served, "ola")
    before = rows(served.store, "SELECT count(*) FROM audit")[0][0]
    ola.get("/case/7")
    ola.get("/case/7")
    ola.get("/case/100000")
    ola.get("/cases?state=open&search=abc")
    log = rows(served.store, "SELECT account, action, subject, detail FROM audit WHERE id > ? ORDER BY id", before)
    assert log[:2] == [("ola", "view", "benefit/8100007", "")] * 2
    assert len(log) == 3 and log[2][:3] == ("ola", "list", "2026-11-24") and "search=abc" in log[2][3]


def listed(page):
    return re.findall(r'href="/case/\d+">(benefit/\d+)</a>', page)


def test_filter_sort_search_pages(served):
    client = logged_in(served, "kari")
    told = {each["key"]: each for each in map(json.loads, open(served.store.parent / "cases.jsonl", encoding="utf-8"))}
    ranked = sorted((key for key in told if told[key]["rank"]), key=lambda key: told[key]["rank"])
    drawn = [key for key in told if not told[key]["rank"]]
    assert listed(client.get("/cases")[2]) == ranked[:50]
    assert listed(client.get("/cases?from=50")[2]) == ranked[50:] + drawn
    assert listed(client.get("/cases?selected=random")[2]) == drawn
    assert listed(client.get("/cases?office=0301")[2]) == [key for key in ranked + drawn if told[key]["office"] == "0301"]
    by_p = sorted(told, key=lambda key: -told[key]["p"])
    assert listed(client.get("/cases?sort=p&order=down")[2]) == by_p[:50]
    assert listed(client.get("/cases?search=8100011")[2]) == ["benefit/8100011"]
    assert listed(client.get("/cases?search=HOURS")[2]) == [
        key for key in ranked + drawn if "hours" in told[key]["reasons"][0]["label"]]
    for query in ("sort=nonsense", "from=-5", "from=99999999999999999999", "night=2099-01-01", "night='--", "assignee=%25",
                  "state=%27%20OR%201%3D1", "order=", "x=1&x=2", "sort="):
        assert client.get("/cases?" + query)[0] == 200, query
    assert "No case fits" in client.get("/cases?search=%27%20OR%20%27a%27%3D%27a")[2]


def test_hostile_requests(served):
    client = logged_in(served, "ola")
    assert client.get("/cases?a=%zz")[0] == 400
    assert client.get("/cases?a=%ff")[0] == 400
    assert client.get("/cases?a=%00")[0] == 400
    assert client.get("/cases?" + "&".join("a=1" for _ in range(40)))[0] == 400
    assert client.get("/cases?a=" + "x" * 5000)[0] == 413
    assert client.ask("PUT", "/case/1")[0] == 405
    assert client.ask("DELETE", "/case/1")[0] == 405
    assert client.ask("HEAD", "/cases")[0] == 200
    page = client.get("/case/8")[2]
    fields = f"token={token(page)}&act=decide&decision=confirmed&version=0"
    assert client.ask("POST", "/case/8", fields, {"Content-Type": "text/plain"})[0] == 400
    assert client.ask("POST", "/case/8", fields.encode() + b"&note=\xff")[0] == 400
    assert client.ask("POST", "/case/8", fields + "&note=%ed%a0%80")[0] == 400  # half a surrogate pair
    try:
        assert client.ask("POST", "/case/8", fields + "&note=" + "x" * 70_000)[0] == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # the connection was closed before all of it was sent
    for path in ("/case/", "/case/-1", "/case/1x", "/case/99999999999999999999", "/../etc/passwd", "/case/1/..", "/style.css/", "//"):
        assert client.get(path)[0] == 404, path
    for back in ("//elsewhere.example", "https://elsewhere.example", "/\\elsewhere", "/%0d%0aX:1"):
        assert client.get(f"/language?to=nb&back={back}")[1]["Location"] == "/cases"
    assert client.get("/language?to=nn&back=/case/1")[1]["Location"] == "/case/1"
    assert '<html lang="nn">' in client.get("/case/1")[2]
    for raw in (b"GARBAGE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0" * 500, b"GET " + b"/" * 70_000 + b" HTTP/1.1\r\n\r\n",
                b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n" +
                b"X: y\r\n" * 20_000 + b"\r\n"):
        with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
            try:
                connection.sendall(raw)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass
            except OSError:
                pass
    assert client.get("/cases")[0] == 200
    assert rows(served.store, "SELECT count(*) FROM entries WHERE case_id = 8") == [(0,)]


def test_languages(served):
    client = logged_in(served, "ola")
    for wish, language, word in (("nb-NO,nb;q=0.9", "nb", "Saker"), ("nn", "nn", "Kvifor"), ("no", "nb", "Hvorfor"),
                                 ("de,fr", "en", "Why"), ("de, nn;q=0.5", "nn", "Kvifor")):
        page = client.get("/case/9", **{"Accept-Language": wish})[2]
        assert f'<html lang="{language}">' in page and word in page


def test_guessing_is_slowed(make, tmp_path):
    store = make(tmp_path, 1, 0)
    with Server(store) as server:
        client = Client(server)
        for _ in range(5):
            assert client.log_in("ola", "wrong password")[0] == 401
        assert client.log_in("ola")[0] == 429  # even the right one
        assert client.log_in("anne")[0] == 303  # others are not locked out
        assert Client(server).log_in("nobody' OR 1=1 --")[0] == 401
    refused = rows(store, "SELECT count(*) FROM audit WHERE action = 'login refused' AND account = 'ola' AND detail = '127.0.0.1'")
    assert refused == [(5,)]
    assert rows(store, "SELECT count(*) FROM audit WHERE subject LIKE '%nobody%'") == [(0,)]


def test_a_password_of_ones_own(make, tmp_path):
    """Who got a password from a lead changes it: nobody else can, other places are logged out, and the log says who did it."""
    store, new = make(tmp_path, 1, 0), "another horse, another battery"
    with Server(store) as server:
        rune, elsewhere, ola = logged_in(server, "rune"), logged_in(server, "rune"), logged_in(server, "ola")
        page = rune.get("/account")[2]
        fields = {"token": token(page), "password": PASSWORD, "next": new, "again": new}
        for value in ("", "0" * 64, token(ola.get("/account")[2])):
            assert rune.form("/account", {**fields, "token": value})[0] == 400
        assert rune.form("/account", fields, Origin="https://elsewhere.example")[0] == 400
        assert ola.form("/account", fields)[0] == 400  # the token of another's session
        assert Client(server).form("/account", fields)[0] == 401
        for wrong, word in (({"password": "not the password"}, "not right"), ({"again": new + "x"}, "not the same"), ({"next": "short", "again": "short"}, "12 to"),
                            ({"next": PASSWORD, "again": PASSWORD}, "is the current one"), ({"next": "x" * 1025, "again": "x" * 1025}, "12 to")):
            status, _, page = rune.form("/account", {**fields, **wrong})
            assert status == 422 and word in page and "horse" not in page, word
        assert elsewhere.get("/cases")[0] == 200 and Client(server).log_in("rune", new)[0] == 401
        before = dict(rune.cookies)
        status, headers, _ = rune.form("/account", fields)
        assert status == 303 and headers["Location"] == "/account?done=password"
        assert "is changed" in rune.get("/account?done=password")[2] and elsewhere.get("/cases")[0] == 401
        assert rune.cookies["avvik_session"] != before["avvik_session"]
        elsewhere.cookies = before
        assert elsewhere.get("/cases")[0] == 401  # the session that changed it goes on under another token only
        assert Client(server).log_in("rune")[0] == 401 and Client(server).log_in("rune", new)[0] == 303
        assert ola.get("/cases")[0] == 200
        page = ola.get("/account")[2]
        for code in 5 * [422] + [429]:
            assert ola.form("/account", {"token": token(page), "password": "a guess of mine", "next": new, "again": new})[0] == code
        assert ola.form("/account", {"token": token(page), "password": PASSWORD, "next": new, "again": new})[0] == 429
        assert Client(server).log_in("ola")[0] == 429
    log = rows(store, "SELECT account, action, subject FROM audit WHERE action = 'account' ORDER BY id DESC LIMIT 1")
    assert log == [("rune", "account", "rune")]
    assert rows(store, "SELECT count(*), min(detail) FROM audit WHERE action = 'password refused' AND account = 'ola'") == [(5, "127.0.0.1")]
    program.ok("audit", "verify", store)


def test_sessions_end(make, tmp_path):
    store = make(tmp_path, 2, 0)
    with Server(store, "--idle", "5m", "--session", "900") as server:
        idle, busy = logged_in(server, "ola"), logged_in(server, "anne")
        page = idle.get("/case/1")[2]
        pass_time(store, "ola", idle=301)
        for _ in range(3):
            pass_time(store, "anne", idle=250, since_login=250)
            assert busy.get("/progress")[0] == 200
        status, _, text = idle.form("/case/1", {"token": token(page), "act": "decide", "decision": "confirmed", "version": 0,
                                                "note": "typed for long"})
        assert status == 401 and "nothing was recorded" in text and ">\ntyped for long</textarea>" in text
        # A password that is wrong at first loses nothing either, and what comes back is not recorded by itself.
        for password, code in (("not this one", 401), (PASSWORD, 200)):
            kept = {name: html.unescape(re.search(f'name="{name}" value="([^"]*)"', text).group(1)) for name in ("token", "back", "decision")}
            assert kept["back"] == "/case/1" and kept["decision"] == "confirmed"
            status, headers, text = idle.form("/login", {**kept, "note": "typed for long", "name": "ola", "password": password})
            assert status == code and ">\ntyped for long</textarea>" in text
        assert re.search(r'value="confirmed" checked', text) and "logged in again" in text
        assert rows(store, "SELECT count(*) FROM entries") == [(0,)]
        assert idle.form("/case/1", {"token": token(text.split("form method")[2]), "act": "decide", "decision": "confirmed", "version": 0,
                                     "note": "typed for long"})[0] == 303
        assert rows(store, "SELECT account, note FROM entries") == [("ola", "typed for long")]
        pass_time(store, "anne", since_login=151)
        status, _, text = busy.get("/progress")
        assert status == 401  # used all the time, and over nevertheless
        # One comes back to where one was, and to no other place.
        for back, place in (("/progress", "/progress"), ("//elsewhere.example", "/cases"), ("/case/1/../x", "/cases"), ("https://a.example", "/cases")):
            back = busy.form("/login", {"token": token(text), "back": back, "name": "anne", "password": PASSWORD, "note": "x" if back[1] == "/" else ""})
            assert back[0] == 303 and back[1]["Location"] == place
            busy.cookies.clear()
            text = busy.get("/login")[2]
        again = logged_in(server, "ola")
        program.ok("user", "disable", store, "ola")
        assert again.get("/cases")[0] == 401
        leaving = logged_in(server, "anne")
        page = leaving.get("/cases")[2]
        kept = dict(leaving.cookies)
        assert leaving.form("/logout", {"token": token(page)})[0] == 200
        leaving.cookies = kept
        assert leaving.get("/cases")[0] == 401
    assert rows(store, "SELECT count(*) FROM entries") == [(1,)]


def test_a_session_outlives_the_server(make, tmp_path):
    store = make(tmp_path, 2, 0)
    with Server(store) as server:
        client = logged_in(server, "ola")
        page = client.get("/case/1")[2]
    with Server(store) as server:
        client.server = server
        assert client.form("/case/1", {"token": token(page), "act": "decide", "decision": "explained", "version": 0})[0] == 303


def kill_while_deciding(store, n_rounds):
    """Kill the server while three people decide, in every second round after the first answer; after each round every case is whole."""
    case, draw = 0, random.Random(1)
    answered, clients = set(), []
    for i in range(n_rounds):
        server = Server(store)
        clients = clients or [logged_in(server, name) for name in ("ola", "anne", "kari")]
        for client in clients:  # whose sessions outlive the server
            client.server = server
        stop, first = threading.Event(), threading.Event()

        def decide(client, numbers):
            for number in numbers:
                try:
                    if not stop.is_set() and client.act(number, "decide", decision="explained", note="n" * 500)[0] == 303:
                        answered.add(number)
                        first.set()
                except (OSError, AttributeError, http.client.HTTPException):
                    return
        threads = [threading.Thread(target=decide, args=(client, range(case + 1 + k * 8, case + 9 + k * 8)))
                   for k, client in enumerate(clients)]
        for thread in threads:
            thread.start()
        assert i % 2 or first.wait(60)
        time.sleep(draw.uniform(0.01, 0.15))
        server.kill()
        stop.set()
        for thread in threads:
            thread.join()
        case += 24
        program.ok("audit", "verify", store)
        whole = {number for (number,) in rows(store, "SELECT c.id FROM cases c JOIN entries e ON e.case_id = c.id JOIN audit a ON"
                                              " a.id = e.audit_id WHERE c.state = 'decided' AND c.version = 1 AND length(e.note) = 500")}
        touched = {number for (number,) in rows(store, "SELECT id FROM cases WHERE state <> 'open' OR version > 0")}
        assert whole == touched and answered <= whole  # what was answered is there; what is there is whole
    return len(answered), len(touched)


def test_killed_while_deciding(make, tmp_path):
    answered, there = kill_while_deciding(make(tmp_path, 100, 0), 3)
    assert there > 0


@pytest.mark.slow
def test_killed_while_deciding_often(make, tmp_path):
    answered, there = kill_while_deciding(make(tmp_path, 1000, 0), 40)
    assert there > 100


def test_addresses_and_certificates(make, tmp_path):
    store = make(tmp_path, 1, 0)
    fails(WRONG_USAGE, "serve", store, "--address", "0.0.0.0", names=["0.0.0.0", "certificate"])
    fails(WRONG_USAGE, "serve", store, "--address", "::", names=["::"])
    fails(WRONG_USAGE, "serve", store, "--address", "localhost", names=["localhost"])
    fails(WRONG_USAGE, "serve", store, "--cert", "x.pem", names=["key"])
    for value in ("0", "15x", "m", "-1", "1.5h", "25h", "99999999999999999999d", ""):
        fails(WRONG_USAGE, "serve", store, "--idle", value, names=["--idle", f"'{value}'", "15m"])
    fails(WRONG_USAGE, "serve", store, "--session", "8d", names=["--session", "7d"])
    fails(WRONG_USAGE, "serve", store, "--idle", "2h", "--session", "30m", names=["--idle", "--session"])
    fails(BAD_INPUT, "serve", store, "--cert", tmp_path / "no.pem", "--key", tmp_path / "no.pem", names=["no.pem"])
    fails(BAD_INPUT, "serve", tmp_path / "no.db", names=["no.db"])
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj",
                    "/CN=localhost"], check=True, capture_output=True, timeout=60)
    fails(BAD_INPUT, "serve", store, "--port", 0, "--cert", key, "--key", cert, names=["key.pem"])
    with Server(store, "--address", "0.0.0.0", "--cert", cert, "--key", key) as server:
        context = ssl.create_default_context(cafile=cert)
        connection = http.client.HTTPSConnection("localhost", server.port, timeout=20, context=context)
        connection.request("GET", "/login")
        answer = connection.getresponse()
        assert answer.status == 200 and answer.headers["Strict-Transport-Security"]
        assert answer.headers["Set-Cookie"].endswith("; HttpOnly; SameSite=Strict; Secure")
        fails(BAD_INPUT, "serve", store, "--port", server.port, names=[str(server.port)])


def test_cases_that_explain_writes(make, tmp_path):
    """From a batch to the page of a case: every sentence, every reason, and the fields on the list, in two languages."""
    land = country.make(tmp_path / "c", persons=1000, months=2)
    names = sorted(path.name for path in land.glob("batch_*.h5"))
    model, scores, listed_, documents, store = (tmp_path / name for name in ("m.h5", "s.h5", "l.json", "d.jsonl", "cases.db"))
    program.ok("fit", land / names[0], "--table", "/benefit", "--trees", 32, "--out", model)
    program.ok("score", "--model", model, land / names[1], "--out", scores)
    listed_.write_text(program.ok("flag", scores, "--budget", 10, "--random-share", "20%", "--json").stdout, encoding="utf-8")
    program.ok("explain", "--model", model, "--flagged", listed_, scores, "--jsonl", documents, "--show", "gross,net,account,office")
    told = [json.loads(line) for line in documents.read_text(encoding="utf-8").splitlines()]
    assert program.ok_json("cases", "add", store, documents, "--night", "2026-11-24")["new"] == len(told) == 10
    user(store, "ola", "auditor")
    with Server(store) as server:
        ola = logged_in(server, "ola")
        assert sorted(re.findall(r'href="/case/\d+">([^<]+)</a>', ola.get("/cases")[2])) == sorted(case["key"] for case in told)
        for number, case in enumerate(told, 1):
            for language in ("en", "nn"):
                page = html.unescape(ola.get(f"/case/{number}", **{"Accept-Language": language})[2])
                for sentence in case["words"][language]:
                    assert sentence in page
            page = html.unescape(ola.get(f"/case/{number}", **{"Accept-Language": "en"})[2])
            for reason in case["reasons"]:
                assert reason["label"] in page and reason["text"] in page and reason["peer_median_text"] in page
            fields = {field["name"]: field["text"] for field in case["fields"]}
            assert fields["gross"] in page and fields["office"] in page and fields["account"] not in page
    program.ok("audit", "verify", store)


@pytest.mark.parametrize("sql, names", [
    ("UPDATE entries SET note = 'another' WHERE id = 1", ["entry 1", "benefit/8100001"]),
    ("UPDATE entries SET decision = 'explained' WHERE id = 1", ["entry 1"]),
    ("UPDATE entries SET account = 'anne' WHERE id = 1", ["entry 1"]),
    ("DELETE FROM entries WHERE id = 2; UPDATE cases SET version = 1, state = 'decided', decision = 'confirmed' WHERE id = 1",
     ["row 11 of the log", "missing"]),
    ("UPDATE cases SET decision = 'confirmed', state = 'decided' WHERE id = 1", ["benefit/8100001"])])
def test_decisions_that_were_tampered_with_are_found(make, tmp_path, sql, names):
    store = make(tmp_path, 2, 0)
    with Server(store) as server:
        ola = logged_in(server, "ola")
        ola.act(1, "decide", decision="confirmed", note="as it was")
        ola.act(1, "undo")
    assert rows(store, "SELECT id, action FROM audit WHERE action IN ('decide', 'undo')") == [(9, "decide"), (11, "undo")]
    program.ok("audit", "verify", store)
    with sqlite3.connect(store) as database:
        database.executescript("DROP TRIGGER entries_stay; DROP TRIGGER entries_are_kept;" + sql)
    fails(BAD_INPUT, "audit", "verify", store, names=names)
