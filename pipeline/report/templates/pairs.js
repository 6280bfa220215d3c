// The list of pairs, which holds only the lines that are near in the document, and the pair that one opens.
"use strict";
(() => {
  const dpedtool = window.dpedtool;
  const { make, Comparison, overlays, words } = dpedtool;
  const section = document.getElementById("pairs");
  const data = document.getElementById("pair-rows");
  if (!data) return;

  const FILES = "files/pairs";
  const THUMBNAIL = "thumbnail.jpg";
  const NEAR = 5; // lines beyond the visible ones
  const REST_MS = 80;
  const NONE = "\u2013";
  const STATUSES = ["failed", "rejected", "unpaired", "paired", "aligned"];
  const MARKS = { aligned: "good", rejected: "bad", failed: "bad", unpaired: "warn", paired: "warn" };

  const rows = JSON.parse(data.textContent);
  const reasons = JSON.parse(document.getElementById("pair-reasons").textContent);
  const embedded = JSON.parse(document.getElementById("embedded")?.textContent || "null");
  const byId = new Map(rows.map((row) => [row.id, row]));
  const searched = rows.map((row) => [row.id, row.phone_file, row.dslr_file, row.scene].join("\n").toLowerCase());

  const inList = (selector) => section.querySelector(selector);
  const share = (part, whole) => (part === null || !whole ? null : part / whole);
  const fixed = (value, places) => (value === null ? NONE : value.toFixed(places));
  const percent = (value, places = 1) => (value === null ? NONE : (100 * value).toFixed(places));
  const signed = (value, places) => (value < 0 ? "\u2212" : "+") + Math.abs(value).toFixed(places);
  const meaning = (row) => (row.reason ? reasons.pair[row.reason] || words(row.reason) : "");
  const gain = (row) => (row.psnr_before_db === null || row.psnr_after_db === null ? null : row.psnr_after_db - row.psnr_before_db);

  // What is shown, and in which order

  /** By column: what to sort by, and whether the large or the small values come first at the first click. */
  const COLUMNS = {
    id: { name: "Pair", of: (row) => row.id },
    phone: { name: "Camera", of: (row) => row.phone },
    status: { name: "Status", of: (row) => `${STATUSES.indexOf(row.status)} ${row.reason}` },
    split: { name: "Split", of: (row) => row.split || null },
    residual_px: { name: "Residual, median", of: (row) => row.residual_px, largest: true },
    residual_p95_px: { name: "Residual, p95", of: (row) => row.residual_p95_px, largest: true },
    at_place: { name: "At place", of: (row) => row.at_place },
    coverage: { name: "Coverage", of: (row) => row.coverage },
    kept: { name: "Patches kept", of: (row) => share(row.accepted, row.windows) },
    gain: { name: "Gain in PSNR", of: gain },
  };
  const FILTERS = { status: (row) => row.status, reason: (row) => row.reason, phone: (row) => row.phone, split: (row) => row.split || "none" };
  const known = Object.fromEntries(Object.entries(FILTERS).map(([name, of]) => [name, [...new Set(rows.map(of))].filter(Boolean).sort()]));
  known.status = STATUSES.filter((status) => known.status.includes(status));
  const START = { status: "", reason: "", phone: "", split: "", text: "", sort: "", falling: false };
  let state = { ...START };
  let chosen = rows;

  function choose() {
    const terms = state.text.toLowerCase().split(/\s+/).filter(Boolean);
    const found = rows.filter((_, index) => terms.every((term) => searched[index].includes(term)));
    const active = Object.keys(FILTERS).filter((name) => state[name]);
    chosen = sorted(found.filter((row) => active.every((name) => FILTERS[name](row) === state[name])));
    return counts(found);
  }

  /** How many there would be of each value of a filter, the other filters as they are. */
  function counts(found) {
    const names = Object.keys(FILTERS);
    const totals = Object.fromEntries(names.map((name) => [name, new Map()]));
    for (const row of found) {
      const failing = names.filter((name) => state[name] && FILTERS[name](row) !== state[name]);
      for (const name of names) {
        if (failing.length > 1 || (failing.length === 1 && failing[0] !== name)) continue;
        for (const value of new Set(["", FILTERS[name](row)])) totals[name].set(value, (totals[name].get(value) || 0) + 1);
      }
    }
    return totals;
  }

  /** The worst come first as they stand in the page; what has no value comes last, whichever way one sorts. */
  function sorted(found) {
    if (!state.sort) return found;
    const keys = (sortKeys[state.sort] ||= new Map(rows.map((row) => [row, sortKey(COLUMNS[state.sort].of(row))])));
    const sign = state.falling ? -1 : 1;
    const compare = ([one], [other]) => {
      if (one === null || other === null) return (one === null) - (other === null);
      return one < other ? -sign : one > other ? sign : 0;
    };
    return found.map((row) => [keys.get(row), row]).sort(compare).map(([, row]) => row);
  }

  const sortKeys = {};

  /** Numbers in names count as numbers: IMG_9 comes before IMG_10. */
  function sortKey(value) {
    if (typeof value !== "string") return value;
    return value.toLowerCase().replace(/\d+/g, (digits) => digits.padStart(12, "0"));
  }

  // The lines in the document

  const box = inList(".pair-list");
  const body = inList("tbody");
  const line = document.getElementById("pair-line").content.firstElementChild;
  const spacers = [0, 1].map(() => make("tr", { className: "spacer", "aria-hidden": "true" }, make("td", { colSpan: 10 })));
  const lines = new Map(); // place in `chosen` to its <tr>
  const spare = [];
  let resting = 0;
  let current = 0; // the line that the keyboard is at

  const lineHeight = () => parseFloat(getComputedStyle(box).getPropertyValue("--row"));

  /** Show what is near, and let go of what is not. */
  function draw() {
    const height = lineHeight();
    const first = Math.max(0, Math.floor(box.scrollTop / height) - NEAR);
    const last = Math.min(chosen.length, Math.ceil((box.scrollTop + box.clientHeight) / height) + NEAR);
    for (const place of lines.keys()) if (place < first || place >= last) release(place);
    let after = spacers[0];
    for (let place = first; place < last; place++) {
      const tr = lines.get(place) || take(place);
      if (after.nextSibling !== tr) after.after(tr);
      after = tr;
    }
    spacers[0].style.height = `${first * height}px`;
    spacers[1].style.height = `${Math.max(0, chosen.length - last) * height}px`;
  }

  function release(place) {
    const tr = lines.get(place);
    if (tr.contains(document.activeElement)) box.focus({ preventScroll: true });
    tr.remove();
    spare.push(tr);
    lines.delete(place);
  }

  function take(place) {
    const tr = spare.pop() || line.cloneNode(true);
    lines.set(place, tr);
    fill(tr, chosen[place], place);
    return tr;
  }

  function fill(tr, row, place) {
    tr.dataset.place = place;
    [tr.dataset.status, tr.dataset.split] = [row.status, row.split];
    tr.setAttribute("aria-rowindex", place + 2);
    const put = (selector, text, title) => {
      const cell = tr.querySelector(selector);
      cell.textContent = text;
      if (title !== undefined) cell.title = title;
    };
    tr.querySelector(".thumb").replaceChildren(...thumbnail(row));
    put(".name", row.id, [row.phone_file, row.dslr_file].filter(Boolean).join(" and "));
    tr.querySelector(".name").tabIndex = place === current ? 0 : -1;
    put(".scene", row.phone_file || row.dslr_file);
    put(".p-camera", row.phone, row.phone);
    put(".badge", row.status);
    tr.querySelector(".badge").className = `badge ${MARKS[row.status] || ""}`;
    put(".reason", words(row.reason), meaning(row));
    put(".detail", row.detail || meaning(row), [meaning(row), row.detail].filter(Boolean).join(": "));
    put(".p-split", row.split || NONE);
    putFigures(put, row);
  }

  function putFigures(put, row) {
    put(".p-residual", fixed(row.residual_px, 2));
    put(".p-p95", fixed(row.residual_p95_px, 2));
    put(".p-place", percent(row.at_place));
    put(".p-coverage", percent(row.coverage));
    put(".p-kept span", row.windows === null ? NONE : `${row.accepted ?? 0} / ${row.windows}`);
    put(".p-kept small", row.windows ? `${percent(share(row.accepted, row.windows), 0)} %` : "");
    put(".p-psnr span", row.psnr_before_db === null ? NONE : `${fixed(row.psnr_before_db, 1)} \u2192 ${fixed(row.psnr_after_db, 1)}`);
    put(".p-psnr small", gain(row) === null ? "" : `${signed(gain(row), 1)} dB`);
  }

  /** A new image each time: an old one would go on showing another pair's photo until the new one is there. */
  function thumbnail(row) {
    if (!row.pictures) return [];
    const image = make("img", { alt: `Phone's photo of pair ${row.id}`, decoding: "async", draggable: false, hidden: true });
    image.onerror = () => image.remove();
    image.dataset.src = address(row.id, THUMBNAIL);
    clearTimeout(resting);
    resting = setTimeout(loadThumbnails, REST_MS);
    return [image];
  }

  /** Only where the list comes to rest: lines that fly by need none, and loading many holds up the next frame. */
  function loadThumbnails() {
    for (const image of body.querySelectorAll("img[data-src]")) {
      image.src = image.dataset.src;
      image.hidden = false;
      delete image.dataset.src;
    }
  }

  function address(id, file) {
    const path = `${FILES}/${id}/${file}`;
    return embedded ? embedded.files[path] || "data:," : path.split("/").map(encodeURIComponent).join("/");
  }

  function reveal(place) {
    const [height, head] = [lineHeight(), inList("thead").offsetHeight];
    if (place * height < box.scrollTop) box.scrollTop = place * height;
    const room = box.clientHeight - head - height;
    if (place * height > box.scrollTop + room) box.scrollTop = place * height - room;
    draw();
  }

  function focusLine(place) {
    lines.get(current)?.querySelector(".name").setAttribute("tabindex", "-1");
    current = Math.min(chosen.length - 1, Math.max(0, place));
    reveal(current);
    const name = lines.get(current)?.querySelector(".name");
    if (!name) return;
    name.tabIndex = 0;
    name.focus({ preventScroll: true });
  }

  function walk(event) {
    const page = Math.floor(box.clientHeight / lineHeight()) - 1;
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    focusLine(current + steps[event.key]);
  }

  // Filters

  const form = inList(".pair-filters");
  const said = inList(".pair-count [role=status]");

  function buildFilters() {
    const all = [["", "All"], ...known.status.map((status) => [status, status])];
    inList(".pair-statuses").append(...all.map(([value, text]) => {
      const count = make("small", {});
      const properties = { type: "button", "data-status": value, onclick: () => change({ status: value }) };
      return make("button", properties, make("i", { className: `mark ${MARKS[value] || ""}` }), `${text} `, count);
    }));
    const choices = { reason: (word) => words(word), phone: String, split: (word) => (word === "none" ? "in none" : word) };
    for (const [name, text] of Object.entries(choices)) fillSelect(form.elements[name], known[name].map((value) => [value, text(value)]));
    const orders = Object.entries(COLUMNS).flatMap(([key, { name }]) => [[`${key}:up`, `${name} \u2191`], [`${key}:down`, `${name} \u2193`]]);
    form.elements.sort.replaceChildren(new Option("Worst first", ""), ...orders.map(([value, text]) => new Option(text, value)));
    body.append(...spacers);
  }

  function fillSelect(select, options) {
    const all = [["", "All"], ...options];
    select.replaceChildren(...all.map(([value, text]) => Object.assign(new Option(text, value), { label: text })));
    for (const [index, [, text]] of all.entries()) select.options[index].dataset.text = text;
  }

  function sayCounts(totals) {
    for (const one of inList(".pair-statuses").children) {
      one.setAttribute("aria-pressed", one.dataset.status === state.status);
      one.querySelector("small").textContent = totals.status.get(one.dataset.status) || 0;
    }
    for (const name of ["reason", "phone", "split"]) {
      const select = form.elements[name];
      for (const option of select.options) option.textContent = option.label = `${option.dataset.text} (${totals[name].get(option.value) || 0})`;
      select.value = state[name];
    }
    form.elements.sort.value = state.sort ? `${state.sort}:${state.falling ? "down" : "up"}` : "";
    if (form.elements.text.value !== state.text) form.elements.text.value = state.text;
    said.textContent = `${chosen.length} of ${rows.length} pairs`;
    inList("[type=reset]").hidden = JSON.stringify(state) === JSON.stringify(START);
  }

  function sayOrder() {
    for (const head of section.querySelectorAll("[data-sort]")) {
      const on = head.dataset.sort === state.sort;
      head.parentElement.setAttribute("aria-sort", on ? (state.falling ? "descending" : "ascending") : "none");
    }
  }

  /** Take over what changed, and show it from the top. */
  function change(changes) {
    state = { ...state, ...changes };
    sayCounts(choose());
    sayOrder();
    for (const place of [...lines.keys()]) release(place);
    current = 0;
    inList("table").setAttribute("aria-rowcount", chosen.length + 1);
    inList(".pair-none").hidden = chosen.length > 0;
    box.scrollTop = 0;
    draw();
    noteAddress();
  }

  function sortBy(key) {
    const falling = state.sort === key ? !state.falling : Boolean(COLUMNS[key].largest);
    change({ sort: key, falling });
  }

  // The address: a link opens a pair, with the filters it was found by

  const NAMES = { status: "status", reason: "reason", phone: "camera", split: "split", text: "q" };
  let noting = 0;

  function noteAddress(push = false) {
    clearTimeout(noting);
    if (push) return writeAddress("pushState");
    noting = setTimeout(() => writeAddress("replaceState"), 250); // browsers refuse more than some a second
  }

  function writeAddress(method) {
    const words = new URLSearchParams();
    if (opened) words.set("pair", opened.id);
    for (const [key, name] of Object.entries(NAMES)) if (state[key]) words.set(name, state[key]);
    if (state.sort) words.set("sort", `${state.sort}:${state.falling ? "down" : "up"}`);
    const text = words.toString();
    if (!text && !ours(location.hash)) return; // such as #overview
    history[method](null, "", text ? `#${text}` : "#pairs");
  }

  const ours = (hash) => hash === "#pairs" || ["pair", "sort", ...Object.values(NAMES)].some((name) => new URLSearchParams(hash.slice(1)).has(name));

  /** Anybody may have written the address: what is not known is left out. */
  function readAddress() {
    const words = new URLSearchParams(location.hash.slice(1));
    const found = { ...START };
    for (const name of ["status", "reason", "phone", "split"]) {
      const value = words.get(NAMES[name]);
      if (known[name].includes(value)) found[name] = value;
    }
    found.text = (words.get("q") || "").slice(0, 200);
    const [key, way] = (words.get("sort") || "").split(":");
    if (Object.hasOwn(COLUMNS, key)) Object.assign(found, { sort: key, falling: way === "down" });
    return [found, byId.get(words.get("pair")) || null];
  }

  function follow() {
    clearTimeout(noting);
    const [found, row] = readAddress();
    if (ours(location.hash) && JSON.stringify(found) !== JSON.stringify(state)) change(found);
    if (row && row !== opened) open(row, { push: false });
    else if (!row && opened) dialog.close();
  }

  // Details, each a script of its own beside the page, as a page from a file may not fetch()

  const waiting = new Map();
  const loaded = new Map();
  dpedtool.details = (details) => waiting.get(details.id)?.(details);

  function load(id) {
    if (embedded) return Promise.resolve(embedded.details[id] || null);
    if (!loaded.has(id)) loaded.set(id, inject(id).catch((error) => { loaded.delete(id); throw error; }));
    return loaded.get(id);
  }

  function inject(id) {
    return new Promise((resolve, reject) => {
      waiting.set(id, resolve);
      const script = make("script", { src: address(id, "details.js") });
      const fail = (text) => { script.remove(); reject(new Error(`${FILES}/${id} ${text}`)); };
      const folder = FILES.split("/")[0];
      script.onload = () => fail("tells of another pair."); // nothing, where it has told of this one
      script.onerror = () => fail(`is not beside this page: copy the folder ${folder} along with it.`);
      document.head.append(script);
    });
  }

  // The pair that is open

  const dialog = inList("dialog");
  const inDialog = (selector) => dialog.querySelector(selector);
  let opened = null;
  let comparison = null;
  let spotFlicker = null;
  let mode = "slider";

  function open(row, { push = true } = {}) {
    const first = !opened;
    opened = row;
    showFigures(row);
    showPictures(row);
    if (first) dialog.showModal();
    inDialog(".pair-body").scrollTop = 0;
    if (first || !dialog.contains(document.activeElement) || document.activeElement === document.body) inDialog("#pair-title").focus();
    noteAddress(push && first);
  }

  function showFigures(row) {
    const place = chosen.indexOf(row);
    inDialog(".pair-place").textContent = place < 0 ? "not among the chosen" : `${place + 1} of ${chosen.length}`;
    for (const step of dialog.querySelectorAll("[data-step]")) step.disabled = !neighbour(Number(step.dataset.step));
    inDialog("#pair-title").textContent = row.id;
    inDialog(".badge").textContent = row.status;
    inDialog(".badge").className = `badge ${MARKS[row.status] || ""}`;
    const why = [row.reason && `${words(row.reason)}: ${meaning(row)}`, row.detail].filter(Boolean);
    inDialog(".pair-why").replaceChildren(...why.map((text) => make("span", { textContent: text })));
    const told = ([name, value]) => make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value }));
    inDialog(".pair-figures").replaceChildren(...figures(row).map(told));
  }

  function figures(row) {
    const unit = (text, name) => (text === NONE ? text : `${text} ${name}`);
    const kept = row.windows === null ? NONE : `${row.accepted ?? 0} of ${row.windows} windows`;
    const psnr = row.psnr_before_db === null ? NONE : `${fixed(row.psnr_before_db, 2)} \u2192 ${fixed(row.psnr_after_db, 2)} dB`;
    return [
      ["Residual, median", unit(fixed(row.residual_px, 3), "px")], ["Residual, p95", unit(fixed(row.residual_p95_px, 3), "px")],
      ["At place", unit(percent(row.at_place), "%")], ["Coverage", unit(percent(row.coverage), "%")],
      ["Masked", unit(percent(row.masked), "%")], ["Patches kept", kept],
      ["PSNR before \u2192 after", psnr], ["Split", row.split || NONE], ["Camera", row.phone], ["Scene", row.scene || NONE],
      ["Phone's photo", row.phone_file || NONE], ["DSLR's photo", row.dslr_file || NONE],
    ];
  }

  async function showPictures(row) {
    leave();
    const place = inDialog(".pair-pictures");
    place.replaceChildren(make("p", { className: "soft", textContent: "Loading\u2026" }));
    try {
      const details = await load(row.id);
      if (row !== opened) return;
      if (!details) throw new Error("This page holds no details of the pair.");
      showDetails(row, details);
    } catch (error) {
      if (row === opened) place.replaceChildren(make("p", { className: "note bad", textContent: `The pictures cannot be shown: ${error.message}` }));
    }
  }

  function leave() {
    comparison?.stop();
    spotFlicker?.stop();
    comparison = spotFlicker = null;
    inDialog(".pair-note").hidden = true;
    inDialog(".pair-spots").replaceChildren();
  }

  const KINDS = {
    aligned: "",
    apart: "No transform is known between these photos: they stand side by side as they are.",
    alone: "This photo has no partner.",
    none: "There are no pictures of this pair.",
  };

  function showDetails(row, details) {
    const note = details.note || KINDS[details.kind];
    inDialog(".pair-note").textContent = note;
    inDialog(".pair-note").hidden = !note || note === row.detail; // which stands above
    inDialog(".pair-pictures").replaceChildren(...pictures(row, details));
    const [tools, box, flicker] = overlays.spots(details, (picture) => address(row.id, picture.file));
    if (tools) inDialog(".pair-spots").replaceChildren(tools, box);
    spotFlicker = flicker;
    ahead(neighbour(1));
  }

  function pictures(row, details) {
    const dslr = details.kind === "aligned" ? "DSLR's photo, warped onto the phone's" : "DSLR's photo";
    const image = (name, picture) => make("img", {
      "data-name": name, alt: `${name === "phone" ? "Phone's photo" : dslr} of pair ${row.id}`,
      width: picture.width, height: picture.height, decoding: "async", draggable: false, src: address(row.id, picture.file),
    });
    const both = [["phone", details.phone], ["DSLR", details.dslr]];
    const images = both.filter(([, picture]) => picture).map(([name, picture]) => image(name, picture));
    if (!images.length) return [];
    const root = make("div", {}, ...images);
    const changed = (name) => { if (details.kind === "aligned") mode = name; }; // the next pair is shown the same way
    comparison = new Comparison(root, { ...ways(details, images.length), start: mode, changed });
    return [root];
  }

  function ways(details, count) {
    if (count < 2) return { modes: ["one"] };
    if (details.kind !== "aligned") return { modes: ["sides"] };
    const extra = {};
    if (details.shifts.length) extra.residuals = overlays.residuals(details);
    if (details.windows.length) extra.patches = overlays.patches(details, reasons.patch);
    return { modes: ["slider", "flicker", "checkers", "sides", ...Object.keys(extra)], extra };
  }

  /** Let the browser fetch what the next step would show; whether that works is seen then. */
  function ahead(row) {
    if (!row || embedded) return;
    load(row.id).then((details) => {
      for (const picture of [details.phone, details.dslr]) if (picture) new Image().src = address(row.id, picture.file);
    }, () => {});
  }

  function neighbour(step) {
    const place = chosen.indexOf(opened);
    return place < 0 ? chosen[0] : chosen[place + step];
  }

  function step(by) {
    const next = neighbour(by);
    if (next) open(next);
  }

  function closed() {
    const place = chosen.indexOf(opened);
    leave();
    inDialog(".pair-pictures").replaceChildren();
    opened = null;
    noteAddress();
    if (place >= 0) focusLine(place);
  }

  function press(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const target = event.target;
    const ownArrows = target.matches("input, select");
    const steps = { p: -1, n: 1, ...(ownArrows ? {} : { ArrowLeft: -1, ArrowRight: 1 }) };
    if (event.key in steps) step(steps[event.key]);
    else if (/^[1-6]$/.test(event.key) && !target.matches("select")) comparison?.buttons[event.key - 1]?.click();
    else if (event.key === " " && !target.matches("button, select") && comparison?.flicker) comparison.swap();
    else return;
    event.preventDefault();
  }

  function listen() {
    form.onsubmit = (event) => event.preventDefault();
    form.onreset = (event) => { event.preventDefault(); change(START); };
    for (const name of ["reason", "phone", "split"]) form.elements[name].onchange = (event) => change({ [name]: event.target.value });
    form.elements.text.oninput = (event) => change({ text: event.target.value.slice(0, 200) });
    form.elements.sort.onchange = (event) => {
      const [sort, way] = event.target.value.split(":");
      change({ sort, falling: way === "down" });
    };
    for (const head of section.querySelectorAll("[data-sort]")) head.onclick = () => sortBy(head.dataset.sort);
    body.onclick = (event) => {
      const tr = event.target.closest("tr[data-place]");
      if (tr) open(chosen[tr.dataset.place]);
    };
    body.onkeydown = walk;
    box.addEventListener("scroll", draw, { passive: true }); // comes once a frame, before it is painted
    new ResizeObserver(draw).observe(box);
    for (const one of dialog.querySelectorAll("[data-step]")) one.onclick = () => step(Number(one.dataset.step));
    inDialog(".pair-close").onclick = () => dialog.close();
    dialog.onclose = closed;
    dialog.onkeydown = press;
    window.addEventListener("popstate", follow);
  }

  buildFilters();
  listen();
  change(readAddress()[0]);
  if (readAddress()[1]) open(readAddress()[1], { push: false });
})();
