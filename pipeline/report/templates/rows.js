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
  const searched = new Map(rows.map((row) =>
    [row, [row.id, row.phone_file, row.dslr_file, row.scene, row.session].join("\n").toLowerCase()]));

  // The frames of a moment, and its photos of further references, share a line of the list

  /** The id of the row that stands for the moment of a row: its own, unless the moment has several rows. */
  const momentOf = (row) => (row.frame ? row.frame.of : row.id);
  const severalFrames = new Map(); // by the id of the row that stands for the moment
  for (const row of rows.filter((one) => one.frame)) {
    severalFrames.set(momentOf(row), [...(severalFrames.get(momentOf(row)) || []), row]);
  }
  for (const frames of severalFrames.values()) frames.sort((one, other) => one.frame.number - other.frame.number);
  /** All rows of the moment of a row: its frames in the order of time, then those of further references. */
  const framesOf = (row) => severalFrames.get(momentOf(row)) || [row];
  /** For each moment its frames, the one that stands for it first; the moments are in the order of the page. */
  const moments = rows.filter((row) => momentOf(row) === row.id).map((row) =>
    (row.frame ? [row, ...framesOf(row).filter((other) => other !== row)] : [row]));
  const rank = new Map(rows.map((row, place) => [row, place]));

  // Figures as text

  const words = (reason) => reasons.names[reason] || reason.replaceAll("_", " ");
  /** The tag key=value as words: a value of yes is the answer to a key that stands alone, such as indoor. */
  const tagWords = (tag) => {
    const [key, value] = [tag.slice(0, tag.indexOf("=")), tag.slice(tag.indexOf("=") + 1)];
    return value === "yes" ? key : `${key}: ${value}`;
  };
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

  // Frames as text

  const SAME_EV = 0.25; // exposures of a burst differ by less
  const MOST_EV = 5;
  const stops = (ev) => {
    const rounded = Math.round(10 * ev) / 10;
    return rounded ? signed(rounded, rounded % 1 ? 1 : 0) : "0";
  };

  /**
   * Return what the frames of a moment are, and more about them, for which small screens have no room:
   * "burst of 3" and ", 1 not aligned"; "3 frames" and ", \u22122 0 +2 EV"; "2 references". Both are empty for a
   * single photo.
   */
  function framesWords(row) {
    const all = framesOf(row);
    if (all.length < 2) return ["", ""];
    const frames = all.filter(({ frame }) => !frame.reference);
    const references = all.length > frames.length ? `${all.length - frames.length + 1} references` : "";
    const lost = all.filter((one) => one.status === "rejected" || one.status === "failed").length;
    const losses = lost ? `, ${lost} not aligned` : "";
    if (frames.length < 2) return [references, losses];
    const evs = frames.map(({ frame }) => frame.ev);
    const [least, most] = [Math.min(...evs), Math.max(...evs)];
    const areKnown = !evs.includes(null);
    const isBurst = areKnown && most - least < SAME_EV;
    const range = evs.length > MOST_EV ? `${stops(least)} to ${stops(most)}` : evs.map(stops).join(" ");
    return [
      isBurst ? `burst of ${frames.length}` : `${frames.length} frames`,
      `${areKnown && !isBurst ? `, ${range} EV` : ""}${references ? `, ${references}` : ""}${losses}`,
    ];
  }

  /** Return how a frame was exposed, as far as EXIF says: 1/120 s, ISO 100, +2 EV. */
  function exposureWords({ exposure_s: time, iso, ev }) {
    const known = [
      time === null ? "" : `${time < 0.3 && time > 0 ? `1/${Math.round(1 / time)}` : Number(time.toPrecision(2))} s`,
      iso === null ? "" : `ISO ${Math.round(iso)}`,
      ev === null ? "" : `${stops(ev)} EV`,
    ].filter(Boolean);
    return known.join(", ") || "exposure not known";
  }

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

  /** For each filter the values that a row has: one or none, and of tags any number. */
  const FILTERS = {
    status: (row) => [row.status],
    reason: (row) => [row.reason],
    phone: (row) => [row.phone],
    split: (row) => [row.split || "none"],
    session: (row) => [row.session],
    tag: (row) => row.tags,
  };
  const filters = Object.keys(FILTERS);
  const held = new Map(rows.map((row) =>
    [row, Object.fromEntries(filters.map((name) => [name, FILTERS[name](row).filter(Boolean)]))]));
  const passes = (row, name) => held.get(row)[name].includes(pairs.state[name]);
  const valuesOf = (name) => [...new Set(rows.flatMap((row) => held.get(row)[name]))].sort();
  const known = Object.fromEntries(filters.map((name) => [name, valuesOf(name)]));
  known.status = STATUSES.filter((status) => known.status.includes(status));
  if (known.session.length < 2) known.session = []; // then there is nothing to choose
  const START = {
    status: "", reason: "", phone: "", split: "", session: "", tag: "", text: "", sort: "", falling: false,
  };

  /**
   * Apply the state; return how many moments each value of a filter would give.
   *
   * A moment is found if one of its frames passes everything. If the one that stands for it does not, another one that
   * passes is its line.
   */
  function choose() {
    const { state } = pairs;
    const terms = state.text.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (row) => terms.every((term) => searched.get(row).includes(term));
    const found = terms.length ? moments.map((frames) => frames.filter(fits)).filter(([first]) => first) : moments;
    const active = filters.filter((name) => state[name]);
    const passing = found.map((frames) => frames.find((row) => active.every((name) => passes(row, name))));
    pairs.chosen = sorted(passing.filter(Boolean));
    return counts(found);
  }

  /** Count the moments that each value of a filter would give while the other filters stay unchanged. */
  function counts(found) {
    const totals = Object.fromEntries(filters.map((name) => [name, new Map()]));
    for (const frames of found) {
      const counted = frames.length > 1 ? new Set() : null; // a value that several frames have counts once
      for (const row of frames) count(row, totals, counted);
    }
    return totals;
  }

  function count(row, totals, counted) {
    const { state } = pairs;
    const failing = filters.filter((name) => state[name] && !passes(row, name));
    for (const name of filters) {
      if (failing.length > 1 || (failing.length === 1 && failing[0] !== name)) continue;
      for (const value of ["", ...held.get(row)[name]]) {
        if (counted?.has(`${name} ${value}`)) continue;
        counted?.add(`${name} ${value}`);
        totals[name].set(value, (totals[name].get(value) || 0) + 1);
      }
    }
  }

  const sortKeys = {};

  /** Sort rows. By default they keep the order of the page, the worst first. Rows without a value always come last. */
  function sorted(found) {
    const { sort, falling } = pairs.state;
    if (!sort) return found.sort((one, other) => rank.get(one) - rank.get(other));
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
    section, moments, reasons, embedded, FILES, NONE, STATUSES, MARKS, COLUMNS, known, START,
    byId: new Map(rows.map((row) => [row.id, row])),
    hasPictures: !section.hasAttribute("data-without-pictures"),
    momentOf, framesOf, framesWords, exposureWords, words, tagWords, meaning, share, fixed, percent, signed, unit, arrow, gain, sortedBy, choose, address,

    // Shared: the scripts that change each part.
    state: { ...START }, // filters and order: list.js, by change()
    chosen: [], // one row of each moment that passes the filters, in order: choose()
    opened: null, // the row in the dialog: opened.js
    // list.js adds change and focusLine, opened.js open and close, and pairs.js noteAddress.
  };
  Object.assign(dpedtool, { pairs, words });
})();
