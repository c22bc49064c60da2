"""Opens reports in headless Chromium and says what is wrong with them.

Arguments: the reports of the sample case, of a hostile case and of a large one, and a folder for screenshots (or -). Needs the
packages playwright and axe-playwright-python (for axe-core's file), and Chromium: CHROMIUM names it, /usr/bin/chromium
is the default. Every fault is a line; none is silence and exit code 0.
"""

import json
import os
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import axe_playwright_python
from playwright.sync_api import sync_playwright

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
FAULTS = []


def check(holds, text):
    if not holds:
        FAULTS.append(text)


def wait(page, expression):
    """Playwright's own waiting runs a text as code, which the report's policy forbids."""
    for _ in range(100):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    FAULTS.append(f"never happened: {expression}")


class Opened:
    """A report in a page, with everything that went wrong or left the file."""

    def __init__(self, browser, path, **options):
        self.path = Path(path).resolve()
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.on("console", lambda message: FAULTS.append(f"{self.path.name}: console: {message.text}"))
        self.page.on("pageerror", lambda error: FAULTS.append(f"{self.path.name}: error: {error}"))
        self.page.on("dialog", lambda dialog: (FAULTS.append(f"{self.path.name}: dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on("request", self.request)
        self.page.goto(self.path.as_uri())

    def request(self, request):
        address = urlsplit(request.url)
        check(
            address.scheme == "file" and unquote(address.path) == str(self.path),
            f"{self.path.name}: a request left the file: {request.url}",
        )

    def __enter__(self):
        return self.page

    def __exit__(self, *_):
        self.context.close()


def count(page):
    """The number of rows that the table of findings says it has."""
    text = page.locator("#findings .pager [role=status]").inner_text()
    return int(text.split()[0].replace(",", ""))


def filters(page):
    total = count(page)
    check(total > 20, f"the sample case has findings: {total}")
    page.keyboard.press("/")
    check(page.evaluate("document.activeElement.type") == "search", "the key / goes to the search")
    page.keyboard.type("terraform-legacy kms-key-deletion")
    found = count(page)
    check(0 < found < total, f"the search finds some of {total}: {found}")
    texts = page.locator("#findings-table tbody tr").all_inner_texts()
    check(all("kms-key-deletion" in text for text in texts), "each row found has the words")
    page.keyboard.press("Escape")
    check(count(page) == total, "Escape empties the search")
    for name in ["critical", "high", "medium", "low"]:
        page.get_by_role("checkbox", name=name, exact=True).uncheck()
    left = page.locator("#findings-table tbody .badge").all_inner_texts()
    check(set(left) == {"info"} or not left, f"only info is left: {set(left)}")
    for name in ["critical", "high", "medium", "low"]:
        page.get_by_role("checkbox", name=name, exact=True).check()
    page.locator("#findings .tools input[type=date]").first.fill("2025-10-16")
    later = count(page)
    check(0 < later < total, f"some findings are later: {later}")
    page.locator("#findings .tools input[type=date]").first.fill("")
    select = page.locator("#findings .tools select").first
    select.select_option(index=1)
    check(0 < count(page) < total, "a rule can be chosen")
    select.select_option(index=0)


def sorting(page):
    head = page.locator("#findings-table th", has_text="First event")
    head.get_by_role("button").click()
    check(head.get_attribute("aria-sort") == "descending", "the first click on a time sorts from the latest")
    times = page.locator("#findings-table tbody td.time").all_inner_texts()
    check(times == sorted(times, reverse=True) and len(times) > 5, f"times go down: {times[:5]}")
    head.get_by_role("button").press("Enter")
    times = page.locator("#findings-table tbody td.time").all_inner_texts()
    check(head.get_attribute("aria-sort") == "ascending" and times == sorted(times), "the keyboard sorts the other way")
    head = page.locator("#keys-table th", has_text="Uses")
    head.get_by_role("button").click()
    uses = [int(text.replace(",", "")) for text in page.locator("#keys-table tbody tr td:nth-child(6)").all_inner_texts()]
    check(uses == sorted(uses, reverse=True) and len(uses) > 5, f"keys are sorted by use: {uses[:5]}")


def details(page):
    page.locator("#incident-1 .rule").first.click()
    row = page.locator("#findings-table tr.hit")
    check(row.count() == 1 and row.locator("details").get_attribute("open") is not None, "a step leads to its finding")
    event = row.locator(".ids a").first
    target = event.get_attribute("href")
    event.click()
    wait(page, "document.activeElement.tagName === 'SUMMARY'")
    raw = page.locator(f"{target} pre").all_inner_texts()
    check(any("{" in text for text in raw), f"the record of {target} is shown as received")
    page.locator("#findings-table summary").first.focus()
    page.keyboard.press("ArrowDown")
    check(
        page.evaluate("document.activeElement.closest('tr').rowIndex") == 2, "the arrow goes to the next finding"
    )
    page.locator("#keys-table tbody a").first.click()
    wait(page, "location.hash.startsWith('#key-')")
    section = page.locator(page.evaluate("location.hash"))
    check(section.get_attribute("open") is not None, "a key leads to its section, which opens")
    check(section.locator(".usage polygon").count() > 0, "the section has a chart of use")
    worst = page.locator("#key-1")
    check(worst.locator(".ribbon rect").count() > 0, "the section has a life cycle")
    check(worst.locator(".diff .add").count() > 0, "the section says what was added to a policy")
    check(worst.locator(".diff .del").count() > 0, "the section says what was taken from a policy")


def accessible(page, name):
    page.evaluate(AXE)
    found = page.evaluate("async () => await axe.run(document, {resultTypes: ['violations']})")
    for violation in found["violations"]:
        where = "; ".join(str(node["target"]) for node in violation["nodes"][:3])
        check(
            violation["impact"] not in ("serious", "critical"),
            f"{name}: axe: {violation['impact']}: {violation['id']}: {violation['help']}: {where}",
        )
    check(len(found["passes"]) > 10 if "passes" in found else True, f"{name}: axe looked at nothing")


def links(path):
    """Every relative link names a file that is there; every other one stays inside."""
    import re

    text = Path(path).read_text(encoding="utf-8")
    anchors = set(re.findall(r' id="([^"]+)"', text))
    dead, files = [], []
    for href in re.findall(r' href="([^"]*)"', text):
        href = href.replace("&#x2f;", "/")
        if href.startswith("#"):
            if href[1:] not in anchors and not href.startswith("#finding-"):
                dead.append(href)
        else:
            files.append(href)
            check(not urlsplit(href).scheme and (Path(path).parent / href).is_file(), f"{path}: link to {href}")
    check(not dead, f"{path}: links that lead nowhere: {dead[:5]}")
    check("findings.csv" in files and "tables/exposure.csv" in files, f"tables are linked as CSV: {files}")


def without_script(browser, path):
    with Opened(browser, path, java_script_enabled=False) as page:
        check(page.locator("#findings-table tbody tr").count() > 20, "without scripts the findings are there")
        check(page.locator("#keys-table tbody tr").count() > 5, "without scripts the keys are there")
        check(page.locator("#exposed table").count() > 1, "without scripts the exposure is there")
        check(page.locator("noscript").inner_text() != "", "without scripts a line says so")


def hostile(browser, path):
    with Opened(browser, path) as page:
        check(page.locator("#findings-table tbody tr").count() > 0, "the hostile case has findings")
        page.locator("#evidence .all button").first.click()
        page.locator("#keys .all button").first.click()
        page.locator("#principals .all button").first.click()
        for summary in page.locator("#findings-table summary").all():
            summary.click()
        made = page.evaluate("[...document.querySelectorAll('img, iframe, object, embed, form, base, link, b, marquee')].length")
        check(made == 0, f"texts of the log became {made} elements")
        scripts = page.evaluate("document.scripts.length")
        check(scripts == 4, f"{scripts} scripts instead of 4")
        check(page.evaluate("window.hostile === undefined"), "a text of the log was run")
        text = page.locator("main").inner_text()
        check("<script>" in text and "onerror" in text, "the hostile texts are shown as text")
        check(not any(c in text for c in "\u202e\u200b\u2066\x00"), "hidden characters are shown as escapes")
        accessible(page, "hostile case")


def large(browser, path):
    """Thousands of keys and findings: bounded elements, quick to open, quick to search."""
    with Opened(browser, path) as page:
        loaded = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
        # Two seconds on a machine that does nothing else; test machines do.
        check(loaded < 6_000, f"the large report took {loaded:.0f} ms to open")
        print(f"the large report: {Path(path).stat().st_size} bytes, opened in {loaded:.0f} ms", file=sys.stderr)
        check(count(page) >= 10_000, f"all findings are there: {count(page)}")
        check(page.locator("#findings-table tbody tr").count() <= 50, "only one page of findings is in the document")
        took = page.evaluate(
            """() => { const box = document.querySelector('#findings .tools input[type=search]'); const start = performance.now();
            box.value = 'worker-77 publ'; box.dispatchEvent(new Event('input')); return performance.now() - start; }"""
        )
        check(took < 3_000, f"a search took {took:.0f} ms")
        check(0 < count(page) < 200, f"the search finds a few: {count(page)}")
        keys = page.locator("#keys .pager [role=status]").inner_text()
        check(keys.startswith("5,000 rows"), f"all keys are there: {keys}")


def screenshots(browser, path, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for scheme in ["light", "dark"]:
        for width, height in [(1280, 1600), (390, 1400)]:
            size = {"width": width, "height": height}
            with Opened(browser, path, viewport=size, color_scheme=scheme) as page:
                wide = page.evaluate("document.documentElement.scrollWidth")
                check(wide <= width, f"{width} px: the page is {wide} px wide")
                page.screenshot(path=folder / f"report-{width}-{scheme}.png")


def printed(browser, path, folder):
    with Opened(browser, path) as page:
        page.evaluate("document.getElementById('key-1').open = true")
        pdf = page.pdf(path=folder / "report.pdf" if folder else None, format="A4", prefer_css_page_size=True)
        check(len(pdf) > 50_000, f"the printed report has {len(pdf)} bytes")


def main():
    sample, bad, huge, shots = sys.argv[1:5]
    folder = None if shots == "-" else Path(shots)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        links(sample)
        for scheme in ["light", "dark"]:
            with Opened(browser, sample, color_scheme=scheme) as page:
                accessible(page, f"sample case, {scheme}")
        with Opened(browser, sample, viewport={"width": 390, "height": 844}) as page:
            accessible(page, "sample case, 390 px")
        with Opened(browser, sample) as page:
            filters(page)
            sorting(page)
            details(page)
            before = page.evaluate("getComputedStyle(document.body).backgroundColor")
            page.locator("#theme").click()
            check(page.evaluate("getComputedStyle(document.body).backgroundColor") != before, "the style can be switched")
        without_script(browser, sample)
        hostile(browser, bad)
        large(browser, huge)
        if folder:
            screenshots(browser, sample, folder)
        printed(browser, sample, folder)
        browser.close()
    print("\n".join(FAULTS))
    return 1 if FAULTS else 0


if __name__ == "__main__":
    sys.exit(main())
