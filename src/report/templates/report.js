"use strict";
// Pages, filters and sorts the three long tables, and leaves everything else to the browser. All texts are set as text and
// never as markup. Without this script the tables show their first rows.
(function () {
  const SEVERITIES = ["critical", "high", "medium", "low", "info"];
  const PAGE = 50;
  const PRINTED = 500;
  const root = document.documentElement;

  function make(name, className, text) {
    const element = document.createElement(name);
    if (className) { element.className = className; }
    if (text !== undefined && text !== null) { element.textContent = text; }
    return element;
  }

  function badge(rank) {
    return make("span", "badge sev-" + SEVERITIES[rank], SEVERITIES[rank]);
  }

  function anchor(text, link) {
    const element = make("a", "", text);
    // Only links inside this file are ever made.
    if (/^#[a-z]+-[0-9]+$/.test(link)) { element.setAttribute("href", link); }
    return element;
  }

  function when(seconds) {
    return seconds === null ? "" : new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ");
  }

  function many(number) { return number.toLocaleString("en-US"); }

  function option(value, text) {
    const element = make("option", "", text);
    element.value = value;
    return element;
  }

  function labeled(text, field, className) {
    const label = make("label", className || "");
    if (className === "check") { label.append(field, " " + text); } else { label.append(text, field); }
    return label;
  }

  // A table of which only one page is in the document at a time.
  class PagedTable {
    constructor(table) {
      const data = JSON.parse(document.getElementById(table.dataset.rows).textContent);
      this.table = table;
      this.body = table.tBodies[0];
      this.columns = data.columns;
      this.texts = data.texts;
      this.all = data.rows;
      this.shown = data.rows;
      this.page = 0;
      this.size = PAGE;
      this.sort = null;
      this.hit = null;
      this.words = null;
      this.isFindings = table.id === "findings-table";
      this.tools = document.querySelector('.tools[data-for="' + table.id + '"]');
      this.addTools();
      this.addPager();
      this.addSorting();
      for (const note of table.closest("section").querySelectorAll(".static-note")) { note.remove(); }
      this.show();
    }

    text(row, column) {
      const value = row[column];
      switch (this.columns[column][1]) {
        case "severity": return value === null ? "" : SEVERITIES[value];
        case "epoch": return when(value);
        case "link": return this.texts[value[0]];
        case "rule": return value.map((place) => this.texts[place]).join(" ");
        case "place": return this.texts[value];
        case "more": return [value[2], value[3]].concat(value[5].map((pair) => pair[1]), value[6].map((id) => id[0])).join(" ");
        default: return String(value);
      }
    }

    // What the search looks through, made when it is first used.
    wordsOf(place) {
      if (this.words === null) { this.words = new Array(this.all.length); }
      let words = this.words[place];
      if (words === undefined) {
        words = this.columns.map((_, column) => this.text(this.all[place], column)).join("\n").toLowerCase();
        this.words[place] = words;
      }
      return words;
    }

    addTools() {
      const change = () => { this.filter(); };
      this.search = make("input");
      this.search.type = "search";
      this.search.addEventListener("input", change);
      this.tools.append(labeled("Search (key /)", this.search));
      const severity = this.columns.findIndex((column) => column[1] === "severity");
      this.severityColumn = severity;
      this.ranks = SEVERITIES.map(() => true);
      if (this.isFindings) {
        const set = make("fieldset");
        set.append(make("legend", "", "Severity"));
        SEVERITIES.forEach((name, rank) => {
          const box = make("input");
          box.type = "checkbox";
          box.checked = true;
          box.addEventListener("change", () => { this.ranks[rank] = box.checked; change(); });
          set.append(labeled(name, box, "check"));
        });
        this.tools.append(set);
        this.from = this.addDate("From", change);
        this.to = this.addDate("Until", change);
      }
      this.selects = [];
      this.columns.forEach((column, place) => {
        if (["Rule", "Account, Region", "State seen last", "Type", "Account"].includes(column[0])) { this.addSelect(place, change); }
      });
    }

    addDate(name, change) {
      const field = make("input");
      field.type = "date";
      field.addEventListener("change", change);
      this.tools.append(labeled(name, field));
      return field;
    }

    choice(row, column) {
      return this.columns[column][1] === "rule" ? this.texts[row[column][0]] : this.text(row, column);
    }

    addSelect(column, change) {
      const values = Array.from(new Set(this.all.map((row) => this.choice(row, column)))).filter((value) => value !== "").sort();
      if (values.length < 2 || values.length > 300) { return; }
      const select = make("select");
      select.append(option("", "all"));
      for (const value of values) { select.append(option(value, value)); }
      select.addEventListener("change", change);
      this.tools.append(labeled(this.columns[column][0], select));
      this.selects.push([column, select]);
    }

    addPager() {
      this.pager = make("div", "pager");
      this.count = make("span");
      this.count.setAttribute("role", "status");
      this.back = make("button", "", "Back");
      this.next = make("button", "", "Next");
      this.back.type = this.next.type = "button";
      this.back.addEventListener("click", () => { this.turn(-1); });
      this.next.addEventListener("click", () => { this.turn(1); });
      this.pager.append(this.back, this.next, this.count);
      this.table.parentElement.before(this.pager);
    }

    addSorting() {
      const heads = Array.from(this.table.tHead.rows[0].cells);
      heads.forEach((head) => {
        const name = head.textContent;
        // Heads say "First event" where the data says its unit too.
        const column = this.columns.findIndex((other) => other[0] === name || other[0].startsWith(name + " ("));
        if (column < 0) { return; }
        const button = make("button", "", name);
        button.type = "button";
        head.textContent = "";
        head.append(button);
        button.addEventListener("click", () => {
          const isSame = this.sort !== null && this.sort.column === column;
          const isNumber = ["number", "epoch", "time"].includes(this.columns[column][1]);
          this.sort = { column: column, isDown: isSame ? !this.sort.isDown : isNumber };
          for (const other of heads) { other.removeAttribute("aria-sort"); }
          head.setAttribute("aria-sort", this.sort.isDown ? "descending" : "ascending");
          this.filter();
        });
      });
    }

    turn(by) {
      this.page += by;
      this.show();
    }

    filter() {
      const words = this.search.value.toLowerCase().split(/\s+/).filter((word) => word !== "");
      const from = this.from && this.from.value ? Date.parse(this.from.value + "T00:00:00Z") / 1000 : null;
      const to = this.to && this.to.value ? Date.parse(this.to.value + "T00:00:00Z") / 1000 + 86400 : null;
      const wanted = this.selects.filter((pair) => pair[1].value !== "").map((pair) => [pair[0], pair[1].value]);
      this.shown = this.all.filter((row, place) => {
        if (this.isFindings && !this.ranks[row[this.severityColumn]]) { return false; }
        if (from !== null && (row[1] === null || row[1] < from)) { return false; }
        if (to !== null && (row[1] === null || row[1] >= to)) { return false; }
        if (!wanted.every((pair) => this.choice(row, pair[0]) === pair[1])) { return false; }
        if (words.length === 0) { return true; }
        const text = this.wordsOf(place);
        return words.every((word) => text.includes(word));
      });
      if (this.sort !== null) { this.order(); }
      this.page = 0;
      this.hit = null;
      this.show();
    }

    order() {
      const column = this.sort.column;
      const kind = this.columns[column][1];
      const sign = this.sort.isDown ? -1 : 1;
      const value = (row) => ["severity", "epoch", "number"].includes(kind) ? row[column] : this.text(row, column).toLowerCase();
      this.shown = this.shown.map((row) => [value(row), row]).sort((a, b) => {
        const [left, right] = [a[0], b[0]];
        // What is unknown comes last in both directions.
        if (left === null || left === "") { return right === null || right === "" ? 0 : 1; }
        if (right === null || right === "") { return -1; }
        return left < right ? -sign : left > right ? sign : 0;
      }).map((pair) => pair[1]);
    }

    show() {
      const pages = Math.max(1, Math.ceil(this.shown.length / this.size));
      this.page = Math.min(Math.max(this.page, 0), pages - 1);
      const rows = this.shown.slice(this.page * this.size, (this.page + 1) * this.size);
      this.body.replaceChildren(...rows.map((row) => this.isFindings ? this.finding(row) : this.row(row)));
      this.back.disabled = this.page === 0;
      this.next.disabled = this.page === pages - 1;
      const all = this.shown.length === this.all.length ? "" : " of " + many(this.all.length);
      this.count.textContent = many(this.shown.length) + all + (this.shown.length === 1 ? " row" : " rows") + ", page " + (this.page + 1) + " of " + pages;
    }

    cell(row, column) {
      const [name, kind] = this.columns[column];
      const cell = make("td");
      cell.dataset.label = name;
      const value = row[column];
      switch (kind) {
        case "severity": if (value !== null) { cell.append(badge(value)); } break;
        case "link":
          cell.className = "mono";
          if (value.length > 1) { cell.append(anchor(this.texts[value[0]], value[1])); } else { cell.textContent = this.texts[value[0]]; }
          break;
        case "number": cell.className = "num"; cell.textContent = many(value); break;
        case "epoch": cell.className = "time"; cell.textContent = when(value); break;
        case "time": cell.className = "time"; cell.textContent = value; break;
        default: cell.textContent = this.text(row, column);
      }
      return cell;
    }

    row(row) {
      const line = make("tr");
      line.append(...this.columns.map((_, column) => this.cell(row, column)));
      return line;
    }

    finding(row) {
      const line = make("tr");
      line.id = "finding-" + row[8][0];
      const what = this.cell(row, 2);
      const more = make("details", "more");
      const summary = make("summary", "", this.texts[row[3][0]]);
      summary.append(" ", make("span", "attack", this.texts[row[3][2]]));
      more.append(summary);
      more.addEventListener("toggle", () => { if (more.open && more.childElementCount === 1) { this.fill(more, row); } });
      if (this.hit === row[8][0]) {
        line.className = "hit";
        more.open = true;
      }
      what.append(more);
      line.append(this.cell(row, 0), this.cell(row, 1), what, this.cell(row, 4), this.cell(row, 5), this.cell(row, 6), this.cell(row, 7));
      return line;
    }

    fill(more, row) {
      const [, last, address, integrity, incident, details, ids, total] = row[8];
      const list = make("dl", "facts");
      const add = (name, value) => {
        if (value === "" || value === null || value === 0) { return; }
        const pair = make("div");
        pair.append(make("dt", "", name), make("dd", "", String(value)));
        list.append(pair);
      };
      add("Rule", this.texts[row[3][1]]);
      add("Last event", when(last));
      add("Source address", address);
      add("Integrity of its files", integrity);
      add("Incident", incident);
      for (const [name, value] of details) { add(this.texts[name], value); }
      more.append(list);
      if (ids.length > 0) {
        const events = make("p", "ids", "Events: ");
        for (const id of ids) {
          const name = make("span", "mono");
          if (id.length > 1) { name.append(anchor(id[0], id[1])); } else { name.textContent = id[0]; }
          events.append(name, " ");
        }
        if (total > ids.length) { events.append("and " + many(total - ids.length) + " more in findings.csv"); }
        more.append(events);
      }
    }

    // Shows the page that holds a finding, without filters.
    goTo(number) {
      const place = this.all.findIndex((row) => row[8][0] === number);
      if (place < 0) { return; }
      if (!this.shown.includes(this.all[place])) {
        this.search.value = "";
        for (const pair of this.selects) { pair[1].value = ""; }
        for (const box of this.tools.querySelectorAll('input[type="checkbox"]')) { box.checked = true; }
        this.ranks = SEVERITIES.map(() => true);
        this.from.value = this.to.value = "";
        this.filter();
      }
      this.hit = number;
      this.page = Math.floor(this.shown.indexOf(this.all[place]) / this.size);
      this.show();
      const line = document.getElementById("finding-" + number);
      line.scrollIntoView({ block: "center" });
      line.querySelector("summary").focus({ preventScroll: true });
    }
  }

  const tables = Array.from(document.querySelectorAll("table[data-rows]"), (table) => new PagedTable(table));
  const findings = tables.find((table) => table.isFindings);

  function follow() {
    const finding = /^#finding-([0-9]+)$/.exec(location.hash);
    if (finding && findings) { findings.goTo(Number(finding[1])); return; }
    if (!/^#(key|principal|event)-[0-9]+$/.test(location.hash)) { return; }
    const target = document.getElementById(location.hash.slice(1));
    if (target && target.tagName === "DETAILS") {
      target.open = true;
      target.scrollIntoView();
      target.querySelector("summary").focus({ preventScroll: true });
    }
  }
  window.addEventListener("hashchange", follow);
  // A second click on the same link changes no hash.
  document.addEventListener("click", (event) => {
    const link = event.target.closest ? event.target.closest('a[href^="#"]') : null;
    if (link && link.getAttribute("href") === location.hash) { follow(); }
  });
  follow();

  for (const place of document.querySelectorAll(".all")) {
    const all = place.closest("section").querySelectorAll(":scope > details");
    if (all.length === 0) { continue; }
    for (const [name, isOpen] of [["Open all", true], ["Close all", false]]) {
      const button = make("button", "", name);
      button.type = "button";
      button.addEventListener("click", () => { for (const one of all) { one.open = isOpen; } });
      place.append(button, " ");
    }
  }

  const theme = document.getElementById("theme");
  const isDark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const nameTheme = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
  theme.hidden = false;
  nameTheme();
  theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; nameTheme(); });

  function nearest() {
    const seen = tables.find((table) => { const box = table.table.getBoundingClientRect(); return box.bottom > 0 && box.top < innerHeight; });
    return seen || findings || tables[0];
  }
  document.addEventListener("keydown", (event) => {
    const isTyping = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName);
    if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const table = nearest();
      if (table) { event.preventDefault(); table.search.focus(); table.search.scrollIntoView({ block: "nearest" }); }
    }
    if (event.key === "Escape" && event.target.type === "search") { event.target.value = ""; event.target.dispatchEvent(new Event("input")); }
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && event.target.tagName === "SUMMARY") {
      const line = event.target.closest("#findings-table tr");
      const other = line && (event.key === "ArrowDown" ? line.nextElementSibling : line.previousElementSibling);
      const next = other && other.querySelector("summary");
      if (next) { event.preventDefault(); next.focus(); }
    }
  });

  // Paper gets what the filters leave, up to a bound.
  let unfolded = [];
  window.addEventListener("beforeprint", () => {
    for (const table of tables) { table.size = PRINTED; table.page = 0; table.show(); }
    // What stands inside an open section is printed with it.
    unfolded = Array.from(document.querySelectorAll("details[open] .policy:not([open])"));
    for (const one of unfolded) { one.open = true; }
  });
  window.addEventListener("afterprint", () => {
    for (const table of tables) { table.size = PAGE; table.show(); }
    for (const one of unfolded) { one.open = false; }
  });
}());
