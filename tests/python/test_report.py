"""`avvik report`: everything of a case is on the page and nothing else gets on it; it stands alone, is small, is read without
JavaScript, filters and sorts in a real browser, and keeps to WCAG 2.1 AA as axe sees it."""

import csv
import html.parser
import json
import pathlib
import random
import re
import shutil
import subprocess

import pytest

import cases
import country
import program
from program import BAD_INPUT, WRONG_USAGE, fails

VOID = {"meta", "input", "br", "link", "img", "hr"}
FORBIDDEN = ["suspicious", "suspect", "fraud", "guilty", "mistenk", "svindel", "skyldig"]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class Page(html.parser.HTMLParser):
    """What a reader finds: elements with their attributes, text by the id of the article it is in, tables after plots."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.text, self.articles, self.order, self.article = [], [], {}, [], None
        self.raw = path.read_text(encoding="utf-8")
        self.feed(self.raw)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "article":
            self.article = dict(attributes)["id"]
            self.articles[self.article] = []
        if tag in ("svg", "table", "figure"):
            self.order.append(tag)

    def handle_endtag(self, tag):
        if tag == "article":
            self.article = None

    def handle_data(self, data):
        if self.lasttag not in ("style", "script"):
            self.text.append(data)
            if self.article:
                self.articles[self.article].append(data)

    def said(self, article=None):
        return re.sub(r"\s+", " ", "".join(self.text if article is None else self.articles[article]))

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def check_document(**changes):
    document = {"verdict": "warning", "table": "/benefit", "rows": 104211, "ids": {"repeated_rows": 3},
                "findings": [{"severity": "warning", "kind": "missing", "column": "employer", "text": "85.4 % of 'employer' are <missing>"}],
                "columns": [{"name": "gross", "not_read": None, "rows": 104211, "missing": 0, "infinite": 0,
                             "training": {"psi": 0.123, "ks": 0.045, "missing_share": 0, "trained_missing_share": 0.25}},
                            {"name": "country", "not_read": "is declared protected, and not read", "rows": 104211, "missing": 0, "infinite": 0},
                            {"name": "employer", "not_read": None, "rows": 104211, "missing": 89016, "infinite": 0}]}
    return document | changes


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    documents = cases.night(40, 5)
    cases.write(folder / "cases.jsonl", documents[::-1])  # the order of the list is not that of the file
    (folder / "check.json").write_text(json.dumps(check_document()))
    program.ok("report", folder / "cases.jsonl", "--check", folder / "check.json", "--out", folder / "report.html", "--csv", folder / "r.csv",
               "--jsonl", folder / "r.jsonl")
    return folder, documents


def test_every_case_is_there_with_its_words_reasons_and_row(made):
    folder, documents = made
    page = Page(folder / "report.html")
    assert list(page.articles) == [f"c{i}" for i in range(1, 46)]
    for number, case in enumerate(documents, 1):  # ranked first, by rank
        if case["rank"] is None:
            continue
        said = page.said(f"c{number}")
        for text in (case["key"], case["office"], case["time"], case["entity"], *case["words"]["en"], *(field["text"] for field in case["fields"]),
                     *(reason["text"] for reason in case["reasons"]), *(reason["peer_median_text"] for reason in case["reasons"])):
            assert re.sub(r"\s+", " ", text) in said, (number, text)
        for moment in case["timeline"]:
            assert moment["time"] in said
        assert f"#c{number}" in [anchor.get("href") for anchor in page.of("a")]
    whole = page.said().lower()
    assert "<" not in whole.replace("<missing>", ""), "markup that was taken for text"
    assert not [word for word in FORBIDDEN if word in whole]


def test_quality_drift_and_what_was_absent(made):
    page = Page(made[0] / "report.html")
    said = page.said()
    for text in ("104,211", "85.4 % of 'employer' are <missing>", "0.123", "0.045", "25.00", "is declared protected", "85.42",
                 "Rows with an id that an earlier row has: 3", "Cases without", "check.json"):
        assert (text in said) is (text != "Cases without"), text


def test_offices_and_weeks(made):
    folder, documents = made
    import datetime
    expected = {}
    for case in documents:
        year, week, _ = datetime.date.fromisoformat(case["time"]).isocalendar()
        expected[case["office"], f"{year}-W{week:02d}"] = expected.get((case["office"], f"{year}-W{week:02d}"), 0) + 1
    section = (folder / "report.html").read_text().split("<section id=heat")[1].split("</section>")[0]
    weeks = re.findall(r"<th scope=col>(\d{4}-W\d\d)", section)
    found = {}
    for office, cells in re.findall(r"<tr><th scope=row>([^<]+)((?:<td[^>]*>[^<]*)+)", section):
        numbers = re.findall(r"<td[^>]*>([^<\s]*)", cells)
        assert int(numbers[-1]) == sum(int(n or 0) for n in numbers[:-1])
        found |= {(office, week): int(n) for week, n in zip(weeks, numbers, strict=False) if n}
    assert found == expected


def test_the_page_stands_alone_and_is_well_formed(made):
    page = Page(made[0] / "report.html")
    assert page.of("html")[0]["lang"] == "en" and len(page.of("h1")) == 1 and page.of("main") and page.of("title")
    for tag, attributes in page.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base"), tag
        for name, value in attributes.items():
            assert name not in ("src", "srcset", "style", "background") and not name.startswith("on"), (tag, name)
            assert name != "href" or value.startswith("#")
    assert "http://" not in page.raw and "https://" not in page.raw and "url(" not in page.raw and "@import" not in page.raw
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {value for _, attributes in page.elements if (value := attributes.get("aria-labelledby"))} <= set(ids)
    plots = [tag for tag in page.order if tag != "figure"][len(page.of("caption")) - 45 - 45:]
    assert [tag for tag in plots if tag == "svg"] == ["svg"] * 91  # and what they share
    for i, tag in enumerate(plots[plots.index("svg") + 1:]):
        assert tag != "svg" or plots[plots.index("svg") + 1:][i + 1] == "table", "a table beside every plot"


def widen(document, n_fields, n_reasons=5, n_moments=24):
    """As many fields, reasons and moments as explain writes of a wide table."""
    draw = random.Random(document["key"])
    document["fields"] = [document["fields"][0] | {"name": f"paid_{i}", "label": f"paid in month {i}", "value": (amount := draw.randrange(10**6, 10**7)),
                                                   "text": cases.kroner(amount)} for i in range(n_fields)]
    if draw.random() < 0.3:
        document["fields"][7] |= {"value": None, "text": "missing"}
    document["fields"][8] |= {"label": "share", "units": None, "value": 0.25, "text": "0.25"}
    document["reasons"] = [document["reasons"][i % 3] | {"place": i + 1, "feature": f"paid_{i}", "label": f"paid in month {i}"}
                           for i in range(n_reasons)]
    document["timeline"] = [{"time": f"{2023 + i // 12}-{1 + i % 12:02d}-20", "value": 10**6 + i, "text": cases.kroner(10**6 + i),
                             "is_case": i == n_moments - 1} for i in range(n_moments)]
    return document


@pytest.mark.parametrize("n_fields,most", [(16, 1_900_000), (64, 1_950_000)])
def test_five_hundred_cases_are_under_two_megabytes(n_fields, most, tmp_path):
    cases.write(tmp_path / "c.jsonl", [widen(case, n_fields) for case in cases.night(490, 10)])
    program.ok("report", tmp_path / "c.jsonl", "--out", tmp_path / "r.html")
    assert 500_000 < (tmp_path / "r.html").stat().st_size < most


def test_rows_of_many_fields_are_in_tables_of_all_cases(tmp_path):
    """Nothing is lost where fields are too many for the cases, and cases of different tables are kept apart."""
    documents = [widen(case, 64 if i % 3 else 30) for i, case in enumerate(cases.night(9, 2))]
    documents[1] = cases.document(100, rank=2)  # a case with few fields keeps them
    cases.write(tmp_path / "c.jsonl", documents)
    program.ok("report", tmp_path / "c.jsonl", "--out", tmp_path / "r.html", "--language", "en")
    page = Page(tmp_path / "r.html")
    section = page.raw.split("<section id=rows")[1].split("</section>")[0]
    for number, case in enumerate(documents, 1):
        if number == 2:
            assert f"id=r{number}>" not in section and all(re.sub(r"\s+", " ", field["text"]) in page.said("c2") for field in case["fields"])
            continue
        assert f"#r{number}" in [anchor.get("href") for anchor in page.of("a")]
        found = {}
        for table in re.findall(r"<table>.*?</table>", section, re.DOTALL):
            heads = [html.unescape(head).strip() for head in re.findall(r"<th>([^<]*)", table.split("<tbody>")[0])]
            for row in re.findall(r"<tr(?: id=r\d+)?>(?:(?!<tr).)*", table.split("<tbody>")[1], re.DOTALL):
                if f">{case['key']}<" in row:
                    values = [html.unescape(cell).replace("\u00a0", " ").strip() for cell in re.findall(r"<td>([^<]*)", row)]
                    found |= dict(zip(heads[1:], values, strict=True))
        assert len(found) == len(case["fields"])
        for field in case["fields"]:
            if field["value"] is None:
                assert found[field["label"] + " (kr)"] == "missing"
            else:
                unit = " (kr)" if field["text"].endswith("kr") else ""
                assert found[field["label"] + unit] + unit.strip(" ()") == field["text"].replace("\u00a0", " ").replace(" kr", "kr"), field


@pytest.mark.parametrize("language", ["en", "nb", "nn"])
def test_three_languages(language, made, tmp_path):
    folder, documents = made
    program.ok("report", folder / "cases.jsonl", "--language", language, "--out", tmp_path / "r.html", "--check", folder / "check.json")
    page = Page(tmp_path / "r.html")
    assert page.of("html")[0]["lang"] == language
    said = page.said()
    assert documents[0]["words"][language][0] in said
    others = {"en": "What was absent", "nb": "Det som manglet", "nn": "Det som mangla"}
    assert [name for name, text in others.items() if text in said.replace("manglet", "manglet.")
            or (name == "nb" and "Det som manglet" in said)] == [language]
    assert ("104\u00a0211" in page.raw) is (language != "en")
    assert not [word for word in FORBIDDEN if word in said.lower()]


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u2028\u202e\u2067 =cmd|' /C calc'!A0"
SHORT = "<b>1</b>\"'&</td><!--\u202e"  # where a text has 32 characters at most


@pytest.mark.parametrize("n_fields", [0, 20])
def test_nothing_in_a_document_becomes_markup(n_fields, tmp_path):
    """Every text of a document is hostile once; the elements and attributes of the page stay those of a harmless one."""
    plain, hostile = cases.document(1, rank=1), cases.document(1, rank=1)

    def spoil(value, name=None):
        if isinstance(value, dict):
            return {k: spoil(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [spoil(v, name) for v in value]
        if not isinstance(value, str) or value.startswith("7<b>") or name in ("night", "direction"):
            return value
        return SHORT if value in ("in May", "somebody", "pieces") else value if name == "time" else HOSTILE

    if n_fields:
        widen(plain, n_fields), widen(hostile, n_fields)
        hostile["fields"][0]["text"] = plain["fields"][0]["text"] = "7<b>\"&'"  # taken for a unit
    for case in (plain, hostile):
        case["peer_plot"] |= {"label": "a label", "text": "a text", "units": "pieces"}
        case |= {"language": "none of ours", "selected_by": "somebody", "time": "in May"}  # no date, and shown as it is
        case["timeline"][3]["time"] = "in May"
        for each in case["fields"] + case["reasons"]:
            each["units"] = "pieces"
        case["reasons"][0]["text"] = case["reasons"][1]["peer_median_text"] = None  # then number and units are shown
    check = check_document()
    for name, case, quality in (("plain", plain, check), ("hostile", spoil(hostile), spoil(check))):
        cases.write(tmp_path / f"{name}.jsonl", [case])
        (tmp_path / f"{name}.json").write_text(json.dumps(quality))
        program.ok("report", tmp_path / f"{name}.jsonl", "--check", tmp_path / f"{name}.json", "--out", tmp_path / f"{name}.html", "--csv",
                   tmp_path / f"{name}.csv")
    harmless, other = Page(tmp_path / "plain.html"), Page(tmp_path / "hostile.html")
    shape = [[(tag, sorted(attributes)) for tag, attributes in page.elements] for page in (harmless, other)]
    assert shape[0] == shape[1]
    assert other.said().count("alert(1)") > 20 and other.said().count("<b>1</b>\"'&</td>") >= 3
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", other.raw), "what turns the figures beside it around"
    with open(tmp_path / "hostile.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 2 and len(rows[0]) == len(rows[1]) and HOSTILE in rows[1]
    assert not [cell for row in rows for cell in row if cell[:1] in ("=", "+", "@")]


def test_nothing_is_larger_than_all(tmp_path):
    """Of all that are no larger the case is one: 100 % of them is told as more than 99.9 %, and what is not known not at all."""
    documents = [cases.document(1, rank=1), cases.document(2, rank=2)]
    for reason, percentile in zip(documents[0]["reasons"], (100, 99.94, None), strict=True):
        reason["percentile"] = percentile
    cases.write(tmp_path / "c.jsonl", documents)
    program.ok("report", tmp_path / "c.jsonl", "--out", tmp_path / "r.html")
    rows = re.findall(r"<tr><th>[^<]*<td>[^<]*<td>[^<]*<td>([^<]*)<td>", (tmp_path / "r.html").read_text(encoding="utf-8").split("<article")[1])
    assert [html.unescape(row).replace("\u00a0", " ") for row in rows] == ["> 99.9 %", "99.9 %", "-"]


def test_csv_and_jsonl_say_the_same(made):
    folder, documents = made
    lines = [json.loads(line) for line in (folder / "r.jsonl").read_text().splitlines()]
    assert lines[:40] == documents[:40] and sorted(map(str, lines[40:])) == sorted(map(str, documents[40:]))
    with open(folder / "r.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, case in zip(rows, lines, strict=True):
        assert row["rank"] == str(case["rank"] or "") and row["key"] == case["key"] and row["office"] == case["office"]
        assert float(row["p"]) == pytest.approx(case["p"]) and float(row["combined"]) == pytest.approx(case["scores"]["combined"])
        assert row["reason_1"] == case["reasons"][0]["label"] and row["words"] == " ".join(case["words"]["en"])


def test_cases_with_little_in_them(tmp_path):
    """Whatever may be null is null."""
    bare = {"avvik_case": 1, "key": "t/1", "row": 0, "selected_by": "row", "words": {"en": ["Odd."]}, "night": None, "rank": None, "p": None,
            "time": None, "office": None, "entity": None, "reasons": [], "fields": [], "timeline": None, "peer_plot": None}
    flat = cases.document(2, rank=2)
    flat["peer_plot"]["quantiles"] = [5.0] * 101
    flat["timeline"] = flat["timeline"][:1]
    cases.write(tmp_path / "c.jsonl", [bare, flat])
    program.ok("report", tmp_path / "c.jsonl", "--out", tmp_path / "r.html", "--csv", tmp_path / "r.csv")
    page = Page(tmp_path / "r.html")
    assert not re.search(r"\bnan\b", page.raw)
    assert not re.search(r"\binf\b", page.raw)
    assert "Cases without an office: 1" in page.said() and "Odd." in page.said()
    (tmp_path / "none.jsonl").write_text("\n\n")
    program.ok("report", tmp_path / "none.jsonl", "--out", tmp_path / "none.html")
    assert "There are no cases." in Page(tmp_path / "none.html").said()


def test_bad_input(made, tmp_path):
    folder, documents = made
    good, out = folder / "cases.jsonl", tmp_path / "r.html"
    fails(WRONG_USAGE, "report", good, names=["--out"])
    fails(WRONG_USAGE, "report", "--out", out, names=["case documents"])
    fails(WRONG_USAGE, "report", good, "--out", out, "--language", "sv", names=["sv", "nn"])
    fails(WRONG_USAGE, "report", good, "--out", good, "--force", names=[good])
    fails(WRONG_USAGE, "report", good, "--out", out, "--csv", out, names=["twice"])
    fails(WRONG_USAGE, "report", good, "--out", out, "--check", "a,,b", names=["a,,b"])
    fails(BAD_INPUT, "report", tmp_path / "nothing.jsonl", "--out", out, names=["nothing.jsonl"])
    fails(BAD_INPUT, "report", good, "--check", good, "--out", out, names=[good])
    fails(BAD_INPUT, "report", good, "--check", tmp_path / "no.json", "--out", out, names=["no.json"])
    fails(BAD_INPUT, "report", good, "--out", tmp_path / "no" / "r.html", names=["r.html"])
    for name, text in (("json", "{\n"), ("version", json.dumps({"avvik_case": 2})), ("key", json.dumps({"avvik_case": 1}))):
        bad = tmp_path / f"{name}.jsonl"
        bad.write_text(json.dumps(documents[0]) + "\n" + text + "\n")
        fails(BAD_INPUT, "report", bad, "--out", out, names=[bad, "line 2"])
    assert not list(tmp_path.glob("r.html*"))
    out.write_text("mine")
    fails(BAD_INPUT, "report", good, "--out", out, names=["--force"])
    assert out.read_text() == "mine"


def test_a_full_disk_leaves_the_old_report(made, tmp_path):
    if not pathlib.Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    out = tmp_path / "r.html"
    out.write_text("the old one")
    pathlib.Path(f"{out}.partial").symlink_to("/dev/full")
    fails(BAD_INPUT, "report", made[0] / "cases.jsonl", "--out", out, "--force", names=["No space"])
    assert out.read_text() == "the old one" and [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_a_night_from_batch_to_page(tmp_path):
    """What explain and check really write, in Norwegian."""
    land = country.make(tmp_path / "c", persons=5000, months=2)
    first, last = country.batches(land)
    program.ok("fit", first, "--table", "/benefit", "--trees", 30, "--peers", "benefit_code", "--out", tmp_path / "m.h5", "--quiet")
    program.ok("score", "--model", tmp_path / "m.h5", last, "--out", tmp_path / "s.h5", "--quiet")
    (tmp_path / "f.json").write_text(program.ok("flag", tmp_path / "s.h5", "--budget", 12, "--random-share", "25%", "--json").stdout)
    program.ok("explain", tmp_path / "s.h5", "--model", tmp_path / "m.h5", "--flagged", tmp_path / "f.json", "--night", "2025-03-01",
               "--language", "nb", "--show", "gross,basis,office", "--jsonl", tmp_path / "c.jsonl")
    (tmp_path / "k.json").write_text(program.ok("check", last, "--table", "/benefit", "--model", tmp_path / "m.h5", "--json").stdout)
    program.ok("report", tmp_path / "c.jsonl", "--check", tmp_path / "k.json", "--language", "nb", "--out", tmp_path / "r.html")
    page = Page(tmp_path / "r.html")
    documents = [json.loads(line) for line in (tmp_path / "c.jsonl").read_text().splitlines()]
    assert len(page.articles) == len(documents) == 12 and sum(case["rank"] is None for case in documents) == 3
    said = page.said()
    for case in documents:
        for text in (case["key"], case["office"], *case["words"]["nb"], *(field["text"] for field in case["fields"] if field["value"] is not None)):
            assert re.sub(r"\s+", " ", text) in said, text
    assert "Saker fra en natt 2025-03-01" in said and "Stabilitetsindeks" in said and "country" in said
    # documents in English make the same page
    program.ok("explain", tmp_path / "s.h5", "--model", tmp_path / "m.h5", "--flagged", tmp_path / "f.json", "--night", "2025-03-01",
               "--language", "en", "--show", "gross,basis,office", "--jsonl", tmp_path / "e.jsonl")
    program.ok("report", tmp_path / "e.jsonl", "--check", tmp_path / "k.json", "--language", "nb", "--out", tmp_path / "e.html")
    english = Page(tmp_path / "e.html")
    assert english.articles == page.articles


# ---- in a browser ----

def browse(page, script, tmp_path, *options):
    """Run `script` on the page in headless Chromium; what it puts into the attribute data-result of the body, from JSON."""
    text = page.read_text(encoding="utf-8").replace(
        "</body>", f"<script>window.addEventListener('load', async () => {{ document.body.dataset.result = JSON.stringify(await (async () => {{"
        f"{script} }})()); }});</script></body>")
    copy = tmp_path / "browsed.html"
    copy.write_text(text, encoding="utf-8")
    result = subprocess.run([CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
                             "--virtual-time-budget=20000", "--dump-dom", *options, copy.as_uri()], capture_output=True, timeout=120, check=False)
    found = re.search(r'data-result="([^"]*)"', result.stdout.decode())
    assert found, result.stderr.decode()[-2000:]
    return json.loads(html.unescape(found.group(1)))


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_filter_and_sort_in_a_browser(made, tmp_path):
    found = browse(made[0] / "report.html", """
        const rows = () => [...document.querySelectorAll('#list tbody tr')].filter(row => !row.hidden);
        const type = (id, value) => { const it = document.getElementById(id); it.value = value; it.dispatchEvent(new Event('input')); };
        const keys = () => rows().map(row => row.cells[1].textContent);
        const heads = document.querySelectorAll('#list thead th'), result = {all: keys(), tools: document.getElementById('tools').hidden};
        type('office', '3201'); result.office = keys(); result.count = document.getElementById('count').textContent;
        type('office', ''); type('chosen', 'random'); result.random = keys();
        type('chosen', ''); type('words', 'BENEFIT/8100007'); result.words = keys();
        type('words', 'no such'); result.none = keys(); type('words', '');
        heads[4].querySelector('button').click(); result.scores = rows().map(row => parseFloat(row.cells[4].textContent));
        result.sorted = heads[4].getAttribute('aria-sort');
        heads[4].querySelector('button').click(); result.down = rows().map(row => parseFloat(row.cells[4].textContent));
        heads[0].querySelector('button').click(); result.again = keys();
        return result;""", tmp_path)
    documents = made[1]
    assert found["tools"] is False and found["all"][:40] == [case["key"] for case in documents[:40]] and len(found["all"]) == 45
    assert sorted(found["office"]) == sorted(case["key"] for case in documents if case["office"] == "3201")
    assert found["count"].startswith(f"{len(found['office'])} / 45")
    assert sorted(found["random"]) == sorted(case["key"] for case in documents if case["rank"] is None)
    assert found["words"] == ["benefit/8100007"] and found["none"] == []
    assert found["scores"] == sorted(found["scores"]) and found["sorted"] == "ascending" and len(found["scores"]) == 45
    assert found["down"] == sorted(found["down"], reverse=True) and found["again"][:40] == found["all"][:40]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
@pytest.mark.parametrize("language,width,scheme", [("en", 1200, "light"), ("nb", 320, "dark")])
def test_accessible_in_a_browser(language, width, scheme, made, tmp_path):
    """axe finds nothing against WCAG 2.1 A and AA; at 320 px nothing but tables scrolls sideways; without scripts nothing is hidden."""
    axe = pytest.importorskip("axe_playwright_python")
    source = (pathlib.Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    few = cases.write(tmp_path / "few.jsonl", made[1][:2] + [widen(cases.document(100, rank=3), 20)] + made[1][-2:])
    program.ok("report", few, "--check", made[0] / "check.json", "--language", language, "--out", tmp_path / "r.html")
    options = [f"--window-size={width},900", "--enable-blink-features=ComputedAccessibilityInfo", *(["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else [])]
    found = browse(tmp_path / "r.html", source + """;
        const button = document.querySelector('#c3 .row button'), roles = {};
        button.click();
        for (const place of ['#c1 thead th', '#c1 tbody th', '#rows thead th', '#rows tbody th', '#c3 .row + table th'])
            roles[place] = [...new Set([...document.querySelectorAll(place)].map(head => head.computedRole))];
        const result = await axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']});
        return {violations: result.violations.map(v => [v.id, v.nodes.length, v.nodes[0].html]), passes: result.passes.length, roles,
                row: [...document.querySelectorAll('#c3 .row + table tr')].map(line => [...line.cells].map(cell => cell.textContent)),
                expanded: button.getAttribute('aria-expanded'),
                dark: matchMedia('(prefers-color-scheme: dark)').matches,
                wide: document.documentElement.scrollWidth - document.documentElement.clientWidth};""", tmp_path, *options)
    assert found["violations"] == [] and found["passes"] > 15
    assert found["roles"] == {place: ["columnheader" if "thead" in place else "rowheader"] for place in found["roles"]}
    assert len(found["row"]) == 20 and found["row"][8] == ["share" if language == "en" else "paid_8", "0.25"] and found["expanded"] == "true"
    assert found["wide"] <= 0 and found["dark"] is (scheme == "dark")
