// The list of pairs and the filters above it. Only lines in view, and a few beyond, are in the document.
"use strict";
(() => {
  const { make, pairs } = window.dpedtool;
  if (!pairs) return;

  const { section, moments, known, START, NONE, MARKS, COLUMNS } = pairs;
  const { framesWords, words, tagWords, meaning, share, fixed, percent, signed, unit, arrow, gain } = pairs;
  const NEAR = 5; // lines beyond the visible ones
  const REST_MS = 80;
  const THUMBNAIL = "thumbnail.jpg";
  const inList = (selector) => section.querySelector(selector);

  // The lines in the document

  const box = inList(".pair-list");
  const body = inList("tbody");
  const line = document.getElementById("pair-line").content.firstElementChild;
  const spacers = [0, 1].map(() =>
    make("tr", { className: "spacer", "aria-hidden": "true" }, make("td", { colSpan: 10 })));
  const lines = new Map(); // place in `chosen` to its <tr>
  const spare = [];
  let resting = 0;
  let current = 0; // the line that the keyboard is on

  const lineHeight = () => parseFloat(getComputedStyle(box).getPropertyValue("--row"));
  const nameIn = (tr) => tr?.querySelector(".name");

  /** Add the lines in or near the view, and remove the others. */
  function draw() {
    const height = lineHeight();
    const { chosen } = pairs;
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
    setStop(height);
  }

  /** Tab reaches one line: the last one with the focus, or the first in view if that one is no longer drawn. */
  function setStop(height) {
    const stop = lines.has(current) ? current : firstInSight(height);
    for (const [place, tr] of lines) nameIn(tr).tabIndex = place === stop ? 0 : -1;
  }

  const firstInSight = (height) => Math.min(pairs.chosen.length - 1, Math.ceil(box.scrollTop / height));

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
    fill(tr, pairs.chosen[place], place);
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
    put(".scene", row.phone_file || row.dslr_file);
    const [kind, more] = framesWords(row);
    put(".frames-kind", kind);
    put(".frames-more", more);
    put(".p-camera", row.phone, row.phone);
    put(".badge", row.status);
    tr.querySelector(".badge").className = `badge ${MARKS[row.status] || ""}`;
    put(".reason", words(row.reason), meaning(row));
    put(".detail", row.detail || meaning(row), [meaning(row), row.detail].filter(Boolean).join(": "));
    put(".p-split", row.split || NONE);
    putFigures(put, row);
  }

  function putFigures(put, row) {
    put(".p-residual span", fixed(row.residual_px, 2));
    put(".p-p95 span", fixed(row.certain_p95_px, 2));
    put(".p-p95 small", row.residual_p95_px === null ? "" : `all ${fixed(row.residual_p95_px, 2)}`);
    put(".p-sorted", pairs.sortedBy(row));
    put(".p-place span", percent(row.at_place));
    put(".p-place small", row.amiss ? `${row.amiss} misplaced` : "");
    put(".p-coverage", percent(row.coverage));
    put(".p-kept span", row.windows === null ? NONE : `${row.accepted ?? 0} / ${row.windows}`);
    put(".p-kept small", row.windows ? `${percent(share(row.accepted, row.windows), 0)} %` : "");
    put(".p-psnr span", arrow(row, 1));
    put(".p-psnr small", gain(row) === null ? "" : unit(signed(gain(row), 1), "dB"));
  }

  /** Makes a new image each time: a reused one would show another pair's photo until the new one is loaded. */
  function thumbnail(row) {
    if (!row.pictures) return [];
    const alt = `Phone's photo of pair ${row.id}`;
    const image = make("img", { alt, decoding: "async", draggable: false, hidden: true });
    image.onerror = () => image.remove();
    image.dataset.src = pairs.address(row.id, THUMBNAIL);
    clearTimeout(resting);
    resting = setTimeout(loadThumbnails, REST_MS);
    return [image];
  }

  /** Runs only when scrolling stops: lines that pass quickly need no images, and loading many delays the next frame. */
  function loadThumbnails() {
    for (const image of body.querySelectorAll("img[data-src]")) {
      image.src = image.dataset.src;
      image.hidden = false;
      delete image.dataset.src;
    }
  }

  // The keyboard

  function reveal(place) {
    const [height, head] = [lineHeight(), inList("thead").offsetHeight];
    if (place * height < box.scrollTop) box.scrollTop = place * height;
    const room = box.clientHeight - head - height;
    if (place * height > box.scrollTop + room) box.scrollTop = place * height - room;
    draw();
  }

  function focusLine(place) {
    current = Math.min(pairs.chosen.length - 1, Math.max(0, place));
    reveal(current);
    nameIn(lines.get(current))?.focus({ preventScroll: true });
  }

  /** Move from the line with the focus, or from the first in view if that one has been scrolled away. */
  function walk(event) {
    if (event.target !== box && !body.contains(event.target)) return;
    const page = Math.floor(box.clientHeight / lineHeight()) - 1;
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    if (lines.has(current)) focusLine(current + steps[event.key]);
    else focusLine(Number.isFinite(steps[event.key]) ? firstInSight(lineHeight()) : current + steps[event.key]);
  }

  function noteFocus(event) {
    const tr = event.target.closest("tr[data-place]");
    if (tr) current = Number(tr.dataset.place);
    setStop(lineHeight());
  }

  // Filters

  const form = inList(".pair-filters");
  const said = inList(".pair-count [role=status]");
  const showAll = inList("[type=reset]");
  const SAID = {
    reason: words, phone: String, split: (word) => (word === "none" ? "not in a split" : word), session: String,
    tag: tagWords,
  };
  const selects = Object.keys(SAID).filter((name) => form.elements[name]); // few runs have sessions or tags

  function buildFilters() {
    const all = [["", "All"], ...known.status.map((status) => [status, status])];
    inList(".pair-statuses").append(...all.map(([value, text]) => {
      const mark = make("i", { className: `mark ${MARKS[value] || ""}` });
      const properties = { type: "button", "data-status": value, onclick: () => change({ status: value }) };
      return make("button", properties, mark, `${text} `, make("small", {}));
    }));
    for (const name of selects) {
      fillSelect(form.elements[name], known[name].map((value) => [value, SAID[name](value)]));
    }
    const orders = Object.entries(COLUMNS).flatMap(([key, { name }]) =>
      [new Option(`${name} \u2191`, `${key}:up`), new Option(`${name} \u2193`, `${key}:down`)]);
    form.elements.sort.replaceChildren(new Option("Worst first", ""), ...orders);
    body.append(...spacers);
  }

  function fillSelect(select, options) {
    const all = [["", "All"], ...options];
    select.replaceChildren(...all.map(([value, text]) => Object.assign(new Option(text, value), { label: text })));
    for (const [index, [, text]] of all.entries()) select.options[index].dataset.text = text;
  }

  function sayCounts(totals) {
    const { state } = pairs;
    for (const one of inList(".pair-statuses").children) {
      one.setAttribute("aria-pressed", one.dataset.status === state.status);
      one.querySelector("small").textContent = totals.status.get(one.dataset.status) || 0;
    }
    for (const name of selects) {
      const select = form.elements[name];
      for (const option of select.options) {
        option.textContent = option.label = `${option.dataset.text} (${totals[name].get(option.value) || 0})`;
      }
      select.value = state[name];
    }
    form.elements.sort.value = state.sort ? `${state.sort}:${state.falling ? "down" : "up"}` : "";
    if (form.elements.text.value !== state.text) form.elements.text.value = state.text;
    const noun = moments.some((frames) => frames.length > 1) ? "moments" : "pairs";
    said.textContent = `${pairs.chosen.length} of ${moments.length} ${noun}`;
    sayWhole(JSON.stringify(state) === JSON.stringify(START));
  }

  /** A button that is hidden loses the focus. If the keyboard was used, the search field gets it. */
  function sayWhole(isWhole) {
    const wasAt = isWhole && showAll.matches(":focus-visible");
    showAll.hidden = isWhole;
    if (wasAt) form.elements.text.focus();
  }

  function sayOrder() {
    for (const head of section.querySelectorAll("[data-sort]")) {
      const on = head.dataset.sort === pairs.state.sort;
      const way = pairs.state.falling ? "descending" : "ascending";
      head.parentElement.setAttribute("aria-sort", on ? way : "none");
    }
  }

  /** Apply changes of the state, and show the list from the top. */
  function change(changes) {
    pairs.state = { ...pairs.state, ...changes };
    sayCounts(pairs.choose());
    sayOrder();
    for (const place of [...lines.keys()]) release(place);
    current = 0;
    inList("table").setAttribute("aria-rowcount", pairs.chosen.length + 1);
    inList(".pair-none").hidden = pairs.chosen.length > 0;
    box.scrollTop = 0;
    draw();
    pairs.noteAddress();
  }

  function sortBy(key) {
    const { sort, falling } = pairs.state;
    change({ sort: key, falling: sort === key ? !falling : Boolean(COLUMNS[key].largest) });
  }

  function listenToFilters() {
    form.onsubmit = (event) => event.preventDefault();
    form.onreset = (event) => { event.preventDefault(); change(START); };
    for (const name of selects) {
      form.elements[name].onchange = (event) => change({ [name]: event.target.value });
    }
    form.elements.text.oninput = (event) => change({ text: event.target.value.slice(0, 200) });
    form.elements.sort.onchange = (event) => {
      const [sort, way] = event.target.value.split(":");
      change({ sort, falling: way === "down" });
    };
    for (const head of section.querySelectorAll("[data-sort]")) head.onclick = () => sortBy(head.dataset.sort);
  }

  function listenToList() {
    body.onclick = (event) => {
      const tr = event.target.closest("tr[data-place]");
      if (tr) pairs.open(pairs.chosen[tr.dataset.place]);
    };
    box.onkeydown = walk;
    body.addEventListener("focusin", noteFocus);
    box.addEventListener("scroll", draw, { passive: true }); // fires once per frame, before it is painted
    new ResizeObserver(draw).observe(box);
  }

  buildFilters();
  listenToFilters();
  listenToList();
  Object.assign(pairs, { change, focusLine });
})();
