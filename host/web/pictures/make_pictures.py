"""Pictures of the review server and of a report, of made-up cases: python host/web/pictures/make_pictures.py"""

import os
import pathlib
import shutil
import sys
import tempfile

from PIL import Image
from playwright.sync_api import sync_playwright

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parents[2] / "tests" / "python"))
import cases  # noqa: E402
import program  # noqa: E402
from reviewing import PASSWORD, Client, Server, user  # noqa: E402

SHOTS = [("list-light", "light", 1280, 860, "/cases"), ("list-dark", "dark", 1280, 860, "/cases"),
         ("list-320", "light", 320, 860, "/cases"), ("case-light", "light", 1280, 1290, "/case/72"),
         ("case-dark", "dark", 1280, 1290, "/case/71"), ("case-320", "dark", 320, 1290, "/case/72"),
         ("progress-light", "light", 1280, 560, "/progress"), ("account-light", "light", 1280, 560, "/account")]


def prepare(folder):
    store = folder / "cases.db"
    program.ok("cases", "add", store, cases.write(folder / "a.jsonl", cases.night(80, 8)))
    program.ok("cases", "add", store, cases.write(folder / "b.jsonl", cases.night(90, 10, date="2026-11-25", first=70)))
    for name, role in (("kari", "lead"), ("ola", "auditor"), ("anne", "auditor")):
        user(store, name, role)
    program.ok("cases", "rules", store, "--four-eyes", "confirmed")
    return store


def decide(server):
    ola, anne = Client(server), Client(server)
    ola.log_in("ola")
    anne.log_in("anne")
    ola.act(71, "decide", decision="confirmed", note="The office confirms that the payment was made twice.")
    for number, decision in ((70, "confirmed"), (73, "explained"), (74, "error"), (76, "confirmed"), (77, "unclear"), (79, "explained"),
                             (160, "explained"), (162, "explained")):
        ola.act(number, "decide", decision=decision, note="Looked at.")
        if decision == "confirmed":
            anne.act(number, "agree")
    for number in (75, 78, 80):
        anne.act(number, "assign", assignee="anne")


def take(page, name):
    file = FOLDER / f"{name}.png"
    page.screenshot(path=file)
    Image.open(file).convert("RGB").quantize(128).save(file, optimize=True)


def main():
    with tempfile.TemporaryDirectory() as folder, Server(prepare(pathlib.Path(folder))) as server, sync_playwright() as driver:
        decide(server)
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"] if os.geteuid() == 0 else [])
        for name, scheme, width, height, path in SHOTS:
            page = browser.new_context(base_url=server.url, color_scheme=scheme, viewport={"width": width, "height": height}).new_page()
            page.goto("/login")
            page.get_by_label("User name").fill("kari")
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button").click()
            page.goto(path)
            take(page, name)
        report = pathlib.Path(folder) / "report.html"
        program.ok("report", report.with_name("b.jsonl"), "--out", report)
        page = browser.new_page(viewport={"width": 320, "height": 860})
        page.goto(report.as_uri())
        take(page, "report-320")
        browser.close()


main()
