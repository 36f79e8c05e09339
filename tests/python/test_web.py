"""The review server in a real Chromium: an auditor's morning, with and without scripts; axe on every page and state; reflow.

One browser for the file. AVVIK_REQUIRE=browser makes a Chromium that is not there a failure.
"""

import os
import pathlib
import random
import shutil
import time

import pytest

import cases
import program
from reviewing import PASSWORD, Server, pass_time, rows, user

playwright = pytest.importorskip("playwright.sync_api")
import axe_playwright_python  # noqa: E402  for the axe-core that it brings

AXE = (pathlib.Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        if program.expected("browser", "AVVIK_REQUIRE"):
            pytest.fail("no chromium, and AVVIK_REQUIRE wants it")
        pytest.skip("no chromium")
    # Chromium's own sandbox needs an ordinary user; the tests may be run as root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield started
        started.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("web")
    store = folder / "cases.db"
    program.ok("cases", "add", store, cases.write(folder / "first.jsonl", cases.night(30, 4, date="2026-11-23")))
    program.ok("cases", "add", store, cases.write(folder / "cases.jsonl", cases.night(60, 6)))
    for name, role in (("kari", "lead"), ("ola", "auditor"), ("anne", "auditor"), ("rune", "reader")):
        user(store, name, role)
    program.ok("cases", "rules", store, "--four-eyes", "confirmed")
    with Server(store) as server:
        server.store = store
        yield server
        assert server.stop() == ""
    program.ok("audit", "verify", store)


@pytest.fixture
def person(browser, served):
    """person("ola", ...) is a page of a browser of hers, logged in; what the browser complains of fails the test."""
    opened, complaints = [], []

    def open_page(name=None, server=served, **options):
        context = browser.new_context(base_url=server.url, **{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(15_000)
        page = context.new_page()
        # Answers of 4xx are asked for, and net::ERR_... is what a server leaves that is killed; neither is the page's fault.
        page.on("console", lambda message: complaints.append(message.text)
                if message.type == "error" and "status of" not in message.text and "net::ERR_" not in message.text else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        opened.append(context)
        if name:
            page.goto("/")
            log_in(page, name)
            assert page.url == server.url + "/cases"
        return page
    yield open_page
    for context in opened:
        context.close()
    assert not complaints


def go(page, to):
    """Press a link or button, and wait until the page that it leads to stands: what is read sooner may be half of it."""
    with page.expect_navigation():
        to.click()


def log_in(page, name, password=PASSWORD):
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(password)
    go(page, page.get_by_role("button", name="Log in"))


def decide(page, decision, note=""):
    page.get_by_label(decision, exact=False).check()
    page.get_by_label("Note").fill(note)
    go(page, page.get_by_role("button", name="Record the decision"))


def told(page):
    return page.locator(".notice").inner_text()


def test_a_morning(person, served):
    ola = person("ola")
    assert ola.title() == "Cases – avvik"
    assert ola.locator(".cases tbody tr").count() == 50
    ola.get_by_label("Office", exact=True).select_option("0301")
    ola.get_by_label("Search").fill("hours")
    go(ola, ola.get_by_role("button", name="Show"))
    shown = ola.locator(".cases tbody tr")
    assert 0 < shown.count() < 12
    for row in shown.all():
        assert "0301" in row.inner_text() and "hours" in row.inner_text()
    assert ola.get_by_label("Office", exact=True).input_value() == "0301"
    ola.goto("/cases")
    go(ola, ola.get_by_role("link", name="benefit/8100002"))
    assert ola.get_by_role("heading", level=1).inner_text() == "benefit/8100002"
    assert "2026-11-24 (Rank 2), 2026-11-23 (Rank 2)" in ola.locator(".facts").inner_text().replace("\u00a0", " ")
    assert ola.locator("svg.plot").count() == 2
    ola.get_by_text("As a table").first.click()
    assert ola.get_by_role("cell", name="kr").first.is_visible()
    decide(ola, "Explained", "Back pay after an appeal.")
    assert told(ola) == "The decision is recorded."
    assert "Back pay after an appeal." in ola.locator(".history").inner_text()
    go(ola, ola.get_by_role("button", name="Undo"))
    assert "taken back" in ola.locator(".history").inner_text()
    assert ola.get_by_role("button", name="Record the decision").is_visible()
    decide(ola, "Confirmed", "Paid twice.")
    assert "waits for a second person" in ola.locator(".card").first.inner_text()
    anne = person("anne")
    anne.get_by_label("State").select_option("waiting")
    go(anne, anne.get_by_role("button", name="Show"))
    assert anne.locator(".cases tbody tr").count() == 1
    go(anne, anne.get_by_role("link", name="benefit/8100002"))
    go(anne, anne.get_by_role("button", name="Agree"))
    assert "Confirmed" in anne.locator(".casehead .chip").inner_text()
    go(anne, anne.get_by_role("link", name="Progress"))
    assert "100" in anne.locator(".cases tbody tr").first.inner_text()
    go(anne, anne.get_by_role("button", name="Log out"))
    assert "You have logged out." in anne.locator("main").inner_text()
    anne.goto("/case/2")
    assert anne.url == served.url + "/login"


def test_two_auditors_at_once(person):
    ola, anne = person("ola"), person("anne")
    for page in (ola, anne):
        page.goto("/case/10")
    decide(ola, "Unclear", "No answer yet.")
    decide(anne, "Error in the data", "Typed with one digit too many.")
    assert "faster" in told(anne) and "No answer yet." in anne.locator(".history").inner_text()
    assert "Typed with one digit too many." in anne.get_by_label("Your note, not recorded").input_value()
    go(ola, ola.get_by_role("button", name="Undo"))
    anne.goto("/case/11")
    ola.goto("/case/11")
    go(ola, ola.get_by_role("button", name="Take this case"))
    decide(anne, "Explained", "A note worth keeping")
    assert "faster" in told(anne) and anne.get_by_label("Note").input_value() == "A note worth keeping"
    assert anne.get_by_label("Explained").is_checked()
    go(anne, anne.get_by_role("button", name="Record the decision"))
    assert told(anne) == "The decision is recorded."


def test_keyboard_only(person):
    page = person("ola")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.id === 'content'")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("jk/")  # letters are letters where one types
    assert page.get_by_label("Search").input_value() == "jk/"
    page.get_by_label("Search").fill("")
    page.get_by_role("heading", level=1).click()
    for key in "jjjk":
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.innerText") == "benefit/8100002"
    page.get_by_label("Keyboard shortcuts").uncheck()
    page.reload()
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.tagName") == "BODY"  # switched off, and that is kept
    page.get_by_label("Keyboard shortcuts").check()
    page.locator(".cases tbody a").nth(19).focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/case/20")
    page.locator("#d-explained").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.type("By keys alone.")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    page.keyboard.press("Tab")
    assert page.evaluate(outline) == "solid"  # focus can be seen
    page.keyboard.press("Enter")
    page.wait_for_url("**?done=decide")
    assert told(page) == "The decision is recorded."


def test_without_scripts(person):
    ola = person("ola", java_script_enabled=False)
    ola.get_by_label("Selected by").select_option("random")
    go(ola, ola.get_by_role("button", name="Show"))
    assert ola.locator(".cases tbody tr").count() == 6
    assert not ola.get_by_text("Keyboard shortcuts").is_visible()
    go(ola, ola.get_by_role("link", name="Rank").first)
    go(ola, ola.get_by_role("link", name="benefit/8100063"))
    decide(ola, "Explained", "Drawn at random, and ordinary.")
    assert told(ola) == "The decision is recorded."


def test_a_session_that_ends_over_a_note(person, served):
    """30 minutes without a request, 10 hours with: the person is told, comes back to the case, and what was typed is there."""
    note = "Rang the employer: <b>5 < 6</b> & \"so on\".\nHe'll write."
    page, other = person("ola"), None
    page.goto("/case/21")
    page.get_by_label("Explained").check()
    page.get_by_label("Note").fill(note)
    other = page.context.new_page()
    pass_time(served.store, "ola", idle=1700)
    other.goto("/progress")
    assert other.get_by_role("heading", level=1).inner_text() != "Log in"  # not yet, and used again
    pass_time(served.store, "ola", idle=1810)
    go(page, page.get_by_role("button", name="Record the decision"))
    assert "nothing was recorded" in page.get_by_role("alert").inner_text()
    assert page.get_by_label("Your note, not recorded").input_value() == note
    log_in(page, "ola", "mistyped at first")
    assert page.get_by_label("Your note, not recorded").input_value() == note
    log_in(page, "ola")
    assert "logged in again" in told(page) and page.get_by_role("heading", level=1).inner_text() == "benefit/8100021"
    assert page.get_by_label("Note").input_value() == note and page.get_by_label("Explained").is_checked()
    assert rows(served.store, "SELECT count(*) FROM entries WHERE case_id = 21") == [(0,)]
    go(page, page.get_by_role("button", name="Record the decision"))
    assert told(page) == "The decision is recorded."
    assert rows(served.store, "SELECT account, note FROM entries WHERE case_id = 21") == [("ola", note)]
    pass_time(served.store, "ola", since_login=35_900)
    page.goto("/progress")
    assert page.url == served.url + "/progress"
    pass_time(served.store, "ola", since_login=200)  # used just now, and over nevertheless
    page.goto("/progress")
    assert "session has ended" in page.get_by_role("alert").inner_text()
    log_in(page, "ola")
    assert page.url == served.url + "/progress"


def pages_asked(page):
    """Requests for pages that this one sends from now on, and those that have ended, with an answer or without."""
    sent, ended = [], []
    for event, kept in (("request", sent), ("requestfinished", ended), ("requestfailed", ended)):
        page.on(event, lambda request, kept=kept: kept.append(request) if request.is_navigation_request() else None)
    return sent, ended


def test_killed_while_the_browser_sends_a_decision(person, tmp_path):
    """Either whole or not there; what the page said was recorded is; the session goes on with the next server.

    A browser whose connection ends before any answer may send the same form once more by itself, as Chromium does on a connection
    that was used before: then it reaches whatever listens at the port. So the next server listens at another port in every second
    round, and the store is read while nobody can write; in the others it listens at the old port, and the tab is waited for.
    """
    store, draw = tmp_path / "cases.db", random.Random(2)
    program.ok("cases", "add", store, cases.write(tmp_path / "c.jsonl", cases.night(6, 0)))
    user(store, "ola", "auditor")
    server = Server(store)
    page = person("ola", server=server)
    for case in range(1, 7):
        page.goto(f"{server.url}/case/{case}")
        page.get_by_label("Explained").check()
        page.get_by_label("Note").fill("n" * 500)
        sent, ended = pages_asked(page)
        page.get_by_role("button", name="Record the decision").click(no_wait_after=True)
        time.sleep(draw.uniform(0, 0.03))
        server.kill()
        if is_same_port := case % 2 == 0:
            server = Server(store, "--port", server.port)
            deadline = time.monotonic() + 30
            while not sent or len(ended) < len(sent):
                assert time.monotonic() < deadline, sent
                page.wait_for_timeout(20)
        said = page.locator(".notice").filter(has_text="The decision is recorded.").count() == 1
        tab, page = page, page.context.new_page()
        tab.close()
        there = rows(store, f"SELECT c.version, c.state, e.note FROM cases c LEFT JOIN entries e ON e.case_id = c.id WHERE c.id = {case}")
        assert there == [(1, "decided", "n" * 500)] or (there == [(0, "open", None)] and not said)
        if not is_same_port:
            server = Server(store)
        page.goto(f"{server.url}/case/{case}")
        assert ("n" * 500 in page.locator(".history, .acts").first.inner_text()) is (there[0][0] == 1)
    assert server.stop() == ""
    program.ok("audit", "verify", store)


def visit_all(person, store):
    """Every page and state, by name, one after the other; a page is good until the next is asked for."""
    def states(**options):
        door = person(**options)
        door.goto("/login")
        yield "login", door
        log_in(door, "ola", "wrong password")
        yield "login refused", door
        door.goto("/nothing")
        kari, ola, rune = person("kari", **options), person("ola", **options), person("rune", **options)
        for name, path in (("list", "/cases?office=0301"), ("list, nothing found", "/cases?search=nothing-has-this"), ("progress", "/progress"),
                           ("not found", "/nothing"), ("list, second page", "/cases?from=50&sort=p&order=down"), ("case", "/case/40")):
            kari.goto(path)
            yield name, kari
        for each in kari.locator("summary").all():
            each.click()
        yield "case, with tables", kari
        go(kari, kari.get_by_role("link", name="kari"))
        yield "account", kari
        for label in ("Current password", "New password at least", "New password again"):
            kari.get_by_label(label).fill("a guess of mine" + label)
        go(kari, kari.get_by_role("button", name="Change the password"))
        yield "account, refused", kari
        kari.goto("/account?done=password")
        yield "account, changed", kari
        kari.goto("/cases?from=abc&a=%zz")
        yield "bad request", kari
        rune.goto("/case/40")
        yield "case of a reader", rune
        ola.goto("/case/41")
        kari.goto("/case/41")
        if kari.get_by_role("button", name="Record the decision").is_visible():
            decide(kari, "Confirmed", "To be looked at again.")
        yield "own decision waits", kari
        if ola.get_by_role("button", name="Record the decision").is_visible():
            decide(ola, "Explained", "Written meanwhile")
        yield "conflict", ola
        ola.goto("/case/41")
        yield "second person", ola
        go(kari, kari.get_by_role("button", name="Undo"))
        yield "undone", kari
        kari.goto("/case/43")
        if kari.get_by_role("button", name="Record the decision").is_visible():
            decide(kari, "Explained", "Looked at.")
        yield "decided", kari
        ola.goto("/case/42")
        ola.get_by_label("Note").fill("Not yet sent")
        ola.get_by_label("Unclear").check()
        pass_time(store, "ola", idle=1810)
        go(ola, ola.get_by_role("button", name="Record the decision"))
        yield "session ended", ola
        log_in(ola, "ola")
        yield "back again", ola
    return states


RUN = """() => axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'], resultTypes: ['violations'],
                          preload: false, iframes: false}).then(result => result.violations)"""
SMALL = """() => [...document.querySelectorAll('button, .button, select, input:not([type=hidden])')]
    .filter(e => e.offsetParent && !['checkbox', 'radio'].includes(e.type) && e.getBoundingClientRect().height < 24)
    .map(e => e.outerHTML)"""


def test_every_page_and_state(person, served):
    """axe finds nothing by any rule, light or dark, at 1280 and at 320 px; there, and at 640 (1280 at 200 %), nothing is cut off."""
    seen = []
    for name, page in visit_all(person, served.store)(reduced_motion="reduce"):
        page.evaluate(AXE)
        for width, schemes in ((320, ("light", "dark")), (640, ()), (1280, ("dark", "light"))):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
            assert not page.evaluate(SMALL), (name, width)
            for scheme in schemes:
                page.emulate_media(color_scheme=scheme)
                found = page.evaluate(RUN)
                assert not found, f"{name}, {scheme}, {width} px: " + "; ".join(
                    f"{each['id']}: {each['help']} {each['nodes'][0]['html'][:300]} {each['nodes'][0]['failureSummary'][:400]}" for each in found)
        seen.append(name)
    assert len(seen) == 21 and "conflict" in seen
