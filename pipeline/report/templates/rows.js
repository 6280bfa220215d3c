// The pairs in the data of the page, their figures as text, and the filters and order of the list.
//
// All scripts of the pairs share `window.dpedtool.pairs`. The parts that change are listed under "Shared" below.
"use strict";
(() => {
  const dpedtool = window.dpedtool;
  const data = document.getElementById("pair-rows");
  if (!data) return;

  const NONE = "\u2013";
  const STATUSES = ["failed", "rejected", "unpaired", "paired", "aligned"];
  const MARKS = { aligned: "good", rejected: "bad", failed: "bad", unpaired: "warn", paired: "warn" };

  const rows = JSON.parse(data.textContent);
  const reasons = JSON.parse(document.getElementById("pair-reasons").textContent);
  const searched = rows.map((row) => [row.id, row.phone_file, row.dslr_file, row.scene].join("\n").toLowerCase());

  // Figures as text

  const words = (reason) => reasons.names[reason] || reason.replaceAll("_", " ");
  const meaning = (row) => (row.reason ? reasons.pair[row.reason] || words(row.reason) : "");
  const share = (part, whole) => (part === null || !whole ? null : part / whole);
  const fixed = (value, places) => (value === null ? NONE : value.toFixed(places));
  const percent = (value, places = 1) => (value === null ? NONE : (100 * value).toFixed(places));
  const signed = (value, places) => (value < 0 ? "\u2212" : "+") + Math.abs(value).toFixed(places);
  const unit = (text, name) => (text === NONE ? text : `${text} ${name}`);
  const arrow = ({ psnr_before_db: before, psnr_after_db: after }, places) =>
    before === null ? NONE : `${fixed(before, places)} \u2192 ${fixed(after, places)}`;
  const gain = ({ psnr_before_db: before, psnr_after_db: after }) =>
    before === null || after === null ? null : after - before;

  // What to sort and to filter by

  /** For each column: its value, whether the first click sorts large values first, and its text for cards. */
  const COLUMNS = {
    id: { name: "Pair", of: (row) => row.id },
    phone: { name: "Camera", of: (row) => row.phone },
    status: { name: "Status", of: (row) => `${STATUSES.indexOf(row.status)} ${row.reason}` },
    split: { name: "Split", of: (row) => row.split || null },
    residual_px: pixels("Residual, median", "median", (row) => row.residual_px),
    certain_p95_px: pixels("Certain p95", "certain p95", (row) => row.certain_p95_px),
    residual_p95_px: pixels("p95 of all", "p95 of all", (row) => row.residual_p95_px),
    at_place: { name: "In place", of: (row) => row.at_place, text: shares("in place") },
    coverage: { name: "Coverage", of: (row) => row.coverage, text: shares("coverage") },
    kept: { name: "Patches kept", of: (row) => share(row.accepted, row.windows), text: shares("kept") },
    gain: {
      name: "Gain in PSNR", of: gain,
      text: (value) => (value === null ? `gain ${NONE}` : `gain ${signed(value, 1)} dB`),
    },
  };

  function pixels(name, short, of) {
    return { name, of, largest: true, text: (value) => `${short} ${unit(fixed(value, 2), "px")}` };
  }

  function shares(name) {
    return (value) => `${name} ${unit(percent(value), "%")}`;
  }

  /** Return a card's text for the figure that sorts the list; with worst first, the figure that ranks aligned pairs. */
  function sortedBy(row) {
    if (!pairs.state.sort && row.status !== "aligned") return ""; // sorted by its status, which the card shows anyway
    if (!pairs.state.sort && row.ranks_by_amiss) return `${row.amiss} misplaced`;
    const worst = row.certain_p95_px === null && row.residual_p95_px !== null ? "residual_p95_px" : "certain_p95_px";
    const shown = COLUMNS[pairs.state.sort]?.text ? pairs.state.sort : worst;
    return COLUMNS[shown].text(COLUMNS[shown].of(row));
  }

  const FILTERS = {
    status: (row) => row.status,
    reason: (row) => row.reason,
    phone: (row) => row.phone,
    split: (row) => row.split || "none",
  };
  const valuesOf = (of) => [...new Set(rows.map(of))].filter(Boolean).sort();
  const known = Object.fromEntries(Object.entries(FILTERS).map(([name, of]) => [name, valuesOf(of)]));
  known.status = STATUSES.filter((status) => known.status.includes(status));
  const START = { status: "", reason: "", phone: "", split: "", text: "", sort: "", falling: false };

  /** Apply the state; return how many rows each value of a filter would give. */
  function choose() {
    const { state } = pairs;
    const terms = state.text.toLowerCase().split(/\s+/).filter(Boolean);
    const found = rows.filter((_, index) => terms.every((term) => searched[index].includes(term)));
    const active = Object.keys(FILTERS).filter((name) => state[name]);
    pairs.chosen = sorted(found.filter((row) => active.every((name) => FILTERS[name](row) === state[name])));
    return counts(found);
  }

  /** Count the rows that each value of a filter would give while the other filters stay unchanged. */
  function counts(found) {
    const { state } = pairs;
    const names = Object.keys(FILTERS);
    const totals = Object.fromEntries(names.map((name) => [name, new Map()]));
    for (const row of found) {
      const failing = names.filter((name) => state[name] && FILTERS[name](row) !== state[name]);
      for (const name of names) {
        if (failing.length > 1 || (failing.length === 1 && failing[0] !== name)) continue;
        for (const value of ["", FILTERS[name](row) || null]) {
          if (value !== null) totals[name].set(value, (totals[name].get(value) || 0) + 1);
        }
      }
    }
    return totals;
  }

  const sortKeys = {};

  /** Sort rows. By default they keep the order of the page, the worst first. Rows without a value always come last. */
  function sorted(found) {
    const { sort, falling } = pairs.state;
    if (!sort) return found;
    const keys = (sortKeys[sort] ||= new Map(rows.map((row) => [row, sortKey(COLUMNS[sort].of(row))])));
    const sign = falling ? -1 : 1;
    const compare = ([one], [other]) => {
      if (one === null || other === null) return (one === null) - (other === null);
      return one < other ? -sign : one > other ? sign : 0;
    };
    return found.map((row) => [keys.get(row), row]).sort(compare).map(([, row]) => row);
  }

  /** Numbers in names count as numbers: IMG_9 comes before IMG_10. */
  function sortKey(value) {
    if (typeof value !== "string") return value;
    return value.toLowerCase().replace(/\d+/g, (digits) => digits.padStart(12, "0"));
  }

  // Where the files of a pair are

  const FILES = "files/pairs";
  const embedded = JSON.parse(document.getElementById("embedded")?.textContent || "null");

  function address(id, file) {
    const path = `${FILES}/${id}/${file}`;
    return embedded ? embedded.files[path] || "data:," : path.split("/").map(encodeURIComponent).join("/");
  }

  const section = document.getElementById("pairs");
  const pairs = {
    section, rows, reasons, embedded, FILES, NONE, STATUSES, MARKS, COLUMNS, known, START,
    byId: new Map(rows.map((row) => [row.id, row])),
    hasPictures: !section.hasAttribute("data-without-pictures"),
    words, meaning, share, fixed, percent, signed, unit, arrow, gain, sortedBy, choose, address,

    // Shared: the scripts that change each part.
    state: { ...START }, // filters and order: list.js, by change()
    chosen: rows, // the rows that pass the filters, in order: choose()
    opened: null, // the row in the dialog: opened.js
    // list.js adds change and focusLine, opened.js open and close, and pairs.js noteAddress.
  };
  Object.assign(dpedtool, { pairs, words });
})();
