"""How the review server bears a busy morning: python bench/review_load.py [--seconds 60] [--rate 50] [--browser]

Makes a store of 10,000 cases of one night, serves it on one core (of which it takes what is left for itself on another), and asks
for pages from 8 sessions at a fixed rate, whether or not earlier answers have come: half cases, a third lists with all kinds of
filters, the rest decisions and progress. Then times the list alone, one request after the other. On the loopback only; every
answer is checked, and the log afterwards. With --browser only the list, in Chromium, as its own navigation timing has it: until
the last byte, and until the page stands. Figures are in host/web/README.md.
"""

import argparse
import concurrent.futures
import os
import pathlib
import random
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "python"))
import cases  # noqa: E402
import program  # noqa: E402
from reviewing import PASSWORD, Client, Server, user  # noqa: E402

N_CASES, N_SESSIONS = 10_000, 8
LISTS = ["", "?sort=p&order=down", "?search=hours", "?office=0301&state=open", "?selected=random", "?sort=key&from=5000",
         "?state=explained", "?from=9950&sort=time&order=down", "?night=all&search=gross"]


def one(client, draw, n_cases):
    """A request, and how long it took in seconds; raises unless the answer is the one that was due."""
    kind, case = draw.random(), draw.randrange(1, n_cases + 1)
    start = time.perf_counter()
    if kind < 0.5:
        status, _, page = client.get(f"/case/{case}")
        good = status == 200 and "</html>" in page
        kind = "case"
    elif kind < 0.83:
        status, _, page = client.get("/cases" + draw.choice(LISTS))
        good = status == 200 and "</html>" in page
        kind = "list"
    elif kind < 0.93:
        status, _, _ = client.act(case, "decide", decision="explained", note="Looked at, and in order.")
        good = status in (303, 409)  # 409: decided by another session
        kind = "decision, with its page"
    else:
        status, _, page = client.get("/progress")
        good = status == 200 and "</html>" in page
        kind = "progress"
    assert good, (kind, status)
    return kind, time.perf_counter() - start


def told(name, seconds):
    seconds = sorted(seconds)
    at = [1000 * seconds[min(len(seconds) - 1, int(len(seconds) * share))] for share in (0.5, 0.95, 0.99)]
    print(f"{name:<26} {len(seconds):>6}  {at[0]:8.1f} {at[1]:8.1f} {at[2]:8.1f} {1000 * seconds[-1]:8.1f}")


def browse(server):
    """The list of all cases in Chromium, 15 times each way."""
    import shutil
    from playwright.sync_api import sync_playwright
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"] if os.geteuid() == 0 else [])
        page = browser.new_page(base_url=server.url, viewport={"width": 1280, "height": 900})
        page.goto("/login")
        page.get_by_label("User name").fill("ola")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button").click()
        print(f"{'milliseconds':<42} {'n':>3}  {'median':>8} {'95 %':>8} {'99 %':>8} {'longest':>8}")
        for query in LISTS:
            parts = {"last byte": [], "page stands": []}
            for _ in range(15):
                page.goto("/cases" + query)
                timing = page.evaluate("performance.getEntriesByType('navigation')[0].toJSON()")
                parts["last byte"].append(timing["responseEnd"] / 1000)
                parts["page stands"].append(timing["loadEventEnd"] / 1000)
            for part, seconds in parts.items():
                told(f"/cases{query}, {part}", seconds)
        browser.close()


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=int, default=60)
    options.add_argument("--rate", type=float, default=50)
    options.add_argument("--browser", action="store_true")
    options = options.parse_args()
    holder = tempfile.TemporaryDirectory(prefix="avvik-load-")
    folder = pathlib.Path(holder.name)
    store = folder / "cases.db"
    program.ok("cases", "add", store, cases.write(folder / "cases.jsonl", cases.night(9_500, 500)))
    user(store, "ola", "auditor")
    with Server(store) as server:
        cores = sorted(os.sched_getaffinity(0))
        for thread in os.listdir(f"/proc/{server.process.pid}/task"):
            os.sched_setaffinity(int(thread), {cores[-1]})
        if options.browser:
            browse(server)
            return
        clients = [Client(server) for _ in range(N_SESSIONS)]
        for client in clients:
            assert client.log_in("ola")[0] == 303
        draw = random.Random(1)
        times, late = {}, 0
        n = int(options.seconds * options.rate)
        with concurrent.futures.ThreadPoolExecutor(N_SESSIONS * 2) as pool:
            begin, pending = time.perf_counter(), []
            for i in range(n):
                wait = begin + i / options.rate - time.perf_counter()
                if wait > 0:
                    time.sleep(wait)
                late = max(late, -wait)
                pending.append(pool.submit(one, clients[i % N_SESSIONS], random.Random(draw.random()), N_CASES))
            for each in pending:
                kind, seconds = each.result()
                times.setdefault(kind, []).append(seconds)
            took = time.perf_counter() - begin
        with open(f"/proc/{server.process.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        busy = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
            peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
        print(f"{n} requests in {took:.1f} s, {n / took:.1f} a second, no error; the server was busy for {busy:.1f} s and took "
              f"{int(peak) // 1024} MiB at most\n")
        print(f"{'milliseconds':<26} {'n':>6}  {'median':>8} {'95 %':>8} {'99 %':>8} {'longest':>8}")
        for kind in sorted(times):
            told(kind, times[kind])
        alone = {query: [] for query in LISTS}
        for _ in range(20):
            for query in LISTS:
                start = time.perf_counter()
                assert clients[0].get("/cases" + query)[0] == 200
                alone[query].append(time.perf_counter() - start)
        print("\none after the other:")
        for query in LISTS:
            told("/cases" + query, alone[query])
    print(program.ok("audit", "verify", store).stdout.splitlines()[0])


main()
