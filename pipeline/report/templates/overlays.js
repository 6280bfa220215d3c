// Drawings over the phone's picture of a pair (remaining shifts, kept and rejected windows), and the spots.
"use strict";
(() => {
  const { make, button, range, select, Flicker } = window.dpedtool;
  const SVG = "http://www.w3.org/2000/svg";
  // Sizes of shifts. Their colours, from blue to red, suit colour-blind people, and have a dark halo on any photo.
  const SIZES = [[0.25, "#5aa9e6"], [0.5, "#b5e0f5"], [1, "#fff3a0"], [2, "#fdae61"], [Infinity, "#f0442e"]];
  const AMISS = "#ff7ae5";
  const KEPT = "#2fd39a";
  const REASONS = [
    "#f5a623", "#6cc4ff", "#f7ec5a", "#ff6a3d", "#e28ad0", "#b79bff", "#c9ced6", "#c8893c", "#86b300", "#ff9d9d",
  ];
  const ZOOM = 3;

  function svg(tag, attributes, ...children) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  const number = (value, places = 2) =>
    (value === null ? "not measured" : value.toFixed(places).replace("-", "\u2212"));

  /** Make a drawing over the stage, in px of the crop, with hatched masked boxes. */
  function drawing(comparison, details, title) {
    const [, , width, height] = details.crop;
    const layer = svg("svg", { class: "overlay", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
    if (details.mask.length) {
      const step = Math.max(width, height) / 90;
      const hatched = { d: boxes(details.mask), fill: "url(#masked)", stroke: "#fff", class: "thin" };
      layer.append(hatching(step), svg("path", hatched));
    }
    for (const picture of comparison.pictures) picture.className = picture === comparison.pictures[0] ? "" : "away";
    comparison.stage.append(layer);
    return layer;
  }

  function hatching(step) {
    const size = { id: "masked", width: step, height: step };
    const attributes = { ...size, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" };
    const ground = svg("rect", { width: step, height: step, fill: "#0006" });
    const stripe = svg("rect", { width: step / 3, height: step, fill: "#fffc" });
    return svg("defs", {}, svg("pattern", attributes, ground, stripe));
  }

  const boxes = (all) => all.map(([x, y, width, height]) => `M${x} ${y}h${width}v${height}h${-width}z`).join("");

  const maskedKey = (details) => (details.mask.length ? [key("hatched", "", "masked by the alignment")] : []);

  function key(kind, colour, text, title = "") {
    const swatch = make("i", { className: `swatch ${kind}` });
    swatch.style.setProperty("--swatch", colour);
    return make("span", { className: "key", title }, swatch, text);
  }

  /** Describe the item under the pointer, or the one chosen by a slider, which also works by keyboard and touch. */
  function inspector(comparison, layer, items, { nearest, mark, tell, word, order = "the worst first" }) {
    const told = make("output", { className: "told" });
    const marker = svg("path", { class: "marker" });
    const look = (item) => {
      marker.setAttribute("d", item ? mark(item) : "");
      told.textContent = item ? tell(item) : `Point at ${word}, or step through them with the slider.`;
    };
    const numbers = { min: 0, max: items.length, step: 1, value: 0 };
    const [label, input] = range(`Inspect ${word}`, numbers, (at) => look(items[at - 1]));
    input.setAttribute("aria-label", `Which of ${items.length} ${word}, ${order}; 0 for none`);
    comparison.stage.onpointermove = (event) => look(nearest(inCrop(layer, event)));
    comparison.stage.onpointerdown = comparison.stage.onpointermove;
    comparison.stage.onpointerleave = () => look(items[input.value - 1]);
    layer.append(marker);
    look(null);
    return [label, told];
  }

  function inCrop(layer, event) {
    const box = layer.getBoundingClientRect();
    const { width, height } = layer.viewBox.baseVal;
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
  }

  // Residuals

  const size = (shift) => Math.hypot(shift.dx, shift.dy);
  const colourOf = (shift) => SIZES.find(([limit]) => size(shift) < limit)[1];

  /** cap: largest length of the head. */
  function arrow({ x, y, dx, dy }, times, cap) {
    const [toX, toY] = [x + dx * times, y + dy * times];
    const head = Math.min(0.4 * Math.hypot(dx, dy) * times, cap);
    const angle = Math.atan2(dy, dx);
    const barb = (turn) =>
      `M${toX} ${toY}L${toX - head * Math.cos(angle + turn)} ${toY - head * Math.sin(angle + turn)}`;
    return `M${x} ${y}L${toX} ${toY}${barb(0.45)}${barb(-0.45)}`;
  }

  const cross = ({ x, y }, reach) =>
    `M${x - reach} ${y - reach}L${x + reach} ${y + reach}M${x + reach} ${y - reach}L${x - reach} ${y + reach}`;
  const dot = ({ x, y }) => `M${x} ${y}h0.01`;

  /** Return the first magnification of arrows: the longest arrows of most pairs are about as long as a window then. */
  function startTimes(details) {
    const large = details.certain_p95_px || details.residual_p95_px || 1;
    const wanted = (details.window_px || 64) / large;
    return [100, 50, 20, 10, 5, 2].find((times) => times <= wanted) || 1;
  }

  function residuals(details) {
    return {
      title: "Residuals",
      enter(comparison) {
        const layer = drawing(comparison, details, "Remaining shifts between the aligned photos, as arrows");
        const arrows = svg("g", {});
        layer.append(arrows);
        const redraw = (times) => drawShifts(comparison, arrows, details, Number(times));
        const times = startTimes(details);
        const choices = [1, 2, 5, 10, 20, 50, 100].map((count) => [count, `\u00d7${count}`]);
        comparison.put(select("Arrows", choices, times, redraw), ...inspectShifts(comparison, layer, details));
        comparison.below.append(shiftLegend(details));
        redraw(times);
      },
    };
  }

  function drawShifts(comparison, group, details, times) {
    const of = (state) => details.shifts.filter((shift) => shift.state === state);
    const crosses = of("amiss").map((shift) => cross(shift, details.window_px / 5));
    const paths = [[of("unclear").map(dot), "#fff", "faint"], [crosses, AMISS, "line"]];
    for (const [, colour] of SIZES) {
      const alike = of("found").filter((shift) => colourOf(shift) === colour);
      paths.push([alike.map((shift) => arrow(shift, times, details.crop[2] / 110)), colour, "line"]);
    }
    const some = paths.filter(([parts]) => parts.length);
    const drawn = some.map(([parts, colour, kind]) => [parts.join(""), colour, kind]);
    group.replaceChildren(
      ...drawn.map(([d, , kind]) => svg("path", { d, class: `${kind} halo` })),
      ...drawn.map(([d, colour, kind]) => svg("path", { d, class: kind, stroke: colour })),
    );
    scaleArrow(comparison, details.crop[2], times);
  }

  /** Show the length of an arrow for a round number of px. */
  function scaleArrow(comparison, width, times) {
    comparison.stage.querySelector(".scale")?.remove();
    const length = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50].find((px) => px * times > width / 14) || 100;
    const line = make("i", {});
    line.style.width = `${(100 * length * times) / width}%`;
    comparison.stage.append(make("span", { className: "scale" }, line, make("span", { textContent: `${length} px` })));
  }

  function inspectShifts(comparison, layer, details) {
    const rank = { amiss: 0, found: 1, unclear: 2 };
    const order = (one, other) => rank[one.state] - rank[other.state] || size(other) - size(one);
    const items = [...details.shifts].sort(order);
    const half = details.window_px / 2;
    return inspector(comparison, layer, items, {
      word: "windows",
      nearest: ([x, y]) => items.find((shift) => Math.abs(shift.x - x) <= half && Math.abs(shift.y - y) <= half),
      mark: ({ x, y }) => boxes([[x - half, y - half, 2 * half, 2 * half]]),
      tell: (shift) => tellShift(shift, details),
    });
  }

  const STATES = {
    found: "certain, known to a quarter of a px or better",
    amiss: "misplaced: the DSLR's photo clearly shows it elsewhere, or not at all",
    unclear: "unclear: its shift is not known so well, and does not count in the certain residual",
  };

  /** Return whether a window counts in no residual. */
  function isMasked({ x, y }, { mask, window_px: side }) {
    const [left, top] = [x - (side - 1) / 2, y - (side - 1) / 2];
    return mask.some(([across, down, width, height]) =>
      left < across + width && left + side > across && top < down + height && top + side > down);
  }

  function tellShift(shift, details) {
    const place = `(${Math.round(shift.x)}, ${Math.round(shift.y)})`;
    const measured = `dx ${number(shift.dx)} px, dy ${number(shift.dy)} px, length ${number(size(shift))} px`;
    const masked = isMasked(shift, details) ? "; it touches the mask and does not count in any residual" : "";
    return `${place}: ${measured}, NCC ${number(shift.ncc, 3)} \u2014 ${STATES[shift.state]}${masked}`;
  }

  function shiftLegend(details) {
    const count = (state) => details.shifts.filter((shift) => shift.state === state).length;
    let from = 0;
    const keys = SIZES.map(([limit, colour]) => {
      const text = limit === Infinity ? `${from} px and more` : `${from} to ${limit} px`;
      from = limit;
      return key("bar", colour, text);
    });
    keys.push(key("cross", AMISS, `misplaced (${count("amiss")})`, STATES.amiss));
    keys.push(key("dot", "#fff", `unclear (${count("unclear")})`, STATES.unclear), ...maskedKey(details));
    return make("div", { className: "legend" }, ...keys, ...notes(details, count("found")));
  }

  /** Explain which windows each number is from. */
  function notes(details, found) {
    const all = off(details.residual_px, details.residual_p95_px);
    const texts = [
      "Measured again on the aligned images in full resolution, in px of the phone's photo, on " +
      `${details.shifts.length} windows of ${details.window_px} px. Each window whose shift is certain, ` +
      `known to a quarter of a px or better, has an arrow (${found}). It leads from where the window should be ` +
      "to where the DSLR's image shows it, with its length exaggerated.",
      `Certain windows outside the mask (${details.certain}): ` + off(details.certain_px, details.certain_p95_px),
      `All windows outside the mask that fit well at any place (${details.fitting}), including unclear ones in skies ` +
      `and on straight edges, as in the table of alignments: ${all}`,
    ];
    return texts.map((textContent) => make("p", { className: "soft", textContent }));
  }

  function off(median, p95) {
    if (median === null) return "not measured, as there are fewer than five.";
    return `the median shift is ${number(median)} px, and the 95th percentile is ${number(p95)} px.`;
  }

  // Patches

  function patches(details, reasons) {
    return {
      title: "Patches",
      enter(comparison) {
        const layer = drawing(comparison, details, "Kept windows, and rejected windows by reason");
        const groups = grouped(details.windows, reasons);
        const paths = groups.map(({ windows, colour, reason }) => svg("path", {
          d: boxes(windows.map(({ x, y }) => inset(x, y, details.patch_px))),
          class: reason ? "rejected" : "kept", stroke: colour, fill: reason ? colour : "none",
        }));
        layer.append(...paths);
        const shown = new Set(groups.map(({ reason }) => reason));
        comparison.put(...inspectWindows(comparison, layer, details, reasons, shown));
        comparison.below.append(windowLegend(details, groups, paths, shown));
      },
    };
  }

  /** A small gap separates neighbours that touch. */
  const inset = (x, y, side) => [x + side * 0.03, y + side * 0.03, side * 0.94, side * 0.94];

  /** Group windows: kept ones first, then by reason. The order of the table of reasons fixes the colour of each. */
  function grouped(windows, reasons) {
    const words = ["", ...Object.keys(reasons)];
    const other = windows.filter(({ reason }) => !words.includes(reason)).map(({ reason }) => reason);
    return [...words, ...new Set(other)]
      .map((reason, index) => ({
        reason, meaning: reason ? reasons[reason] || "" : "it became a patch",
        colour: index ? REASONS[(index - 1) % REASONS.length] : KEPT,
        windows: windows.filter((window) => window.reason === reason),
      }))
      .filter((group) => group.windows.length);
  }

  function inspectWindows(comparison, layer, details, reasons, shown) {
    const side = details.patch_px;
    const order = (one, other) =>
      Boolean(other.reason) - Boolean(one.reason) || (one.ncc ?? -1) - (other.ncc ?? -1);
    const items = [...details.windows].sort(order);
    const over = ([x, y]) => ({ x: left, y: top, reason }) =>
      shown.has(reason) && x >= left && x < left + side && y >= top && y < top + side;
    return inspector(comparison, layer, items, {
      word: "windows",
      nearest: (point) => items.find(over(point)),
      mark: ({ x, y }) => boxes([[x, y, side, side]]),
      tell: (window) => tellWindow(window, reasons),
    });
  }

  function tellWindow({ x, y, reason, ncc, residual_px: residual }, reasons) {
    const verdict = reason ? `rejected, ${words(reason)}: ${reasons[reason] || "unknown reason"}` : "kept";
    const left = residual === null ? "not measured" : `${number(residual)} px`;
    return `(${Math.round(x)}, ${Math.round(y)}): NCC ${number(ncc, 3)}, residual ${left} \u2014 ${verdict}`;
  }

  const words = (reason) => window.dpedtool.words(reason); // rows.js

  function windowLegend(details, groups, paths, shown) {
    const toggles = groups.map(({ reason, meaning, colour, windows }, index) => {
      const box = key(reason ? "fill" : "frame", colour, `${words(reason) || "kept"} (${windows.length})`);
      const toggle = button("", () => {
        const on = toggle.getAttribute("aria-pressed") !== "true";
        toggle.setAttribute("aria-pressed", on);
        paths[index].style.display = on ? "" : "none";
        if (on) shown.add(reason);
        else shown.delete(reason);
      }, { "aria-pressed": "true", className: "toggle", title: meaning });
      toggle.append(box);
      return toggle;
    });
    const text = `Candidate windows of ${details.patch_px} px. Click on a word to hide or show its windows.`;
    const note = make("p", { className: "soft", textContent: text });
    return make("div", { className: "legend" }, ...toggles, ...maskedKey(details), note);
  }

  // Spots

  /** Show enlarged places in full resolution, which can flicker together. source: returns the address of a picture. */
  function spots(details, source) {
    if (!details.spots.length) return [];
    const figures = details.spots.map((spot) => spotFigure(spot, source));
    const box = make("div", { className: "spots" }, ...figures);
    const swap = () => box.classList.toggle("dslr");
    const flicker = new Flicker(swap);
    flicker.buttons.forEach((one) => (one.hidden = true));
    const stack = button("Flicker together", () => {
      const on = box.classList.toggle("stacked");
      stack.setAttribute("aria-pressed", on);
      flicker.buttons.forEach((one) => (one.hidden = !on));
      flicker.stop();
      if (on) flicker.toggle();
      flicker.say();
    }, { "aria-pressed": "false" });
    const head = make("h4", { textContent: `Spots, enlarged ${ZOOM} times` });
    return [make("div", { className: "compare-tools" }, head, stack, ...flicker.buttons), box, flicker];
  }

  function spotFigure(spot, source) {
    const place = `(${Math.round(spot.x)}, ${Math.round(spot.y)})`;
    const cut = (name, picture) => make("span", { className: `cut ${name}` },
      make("img", {
        src: source(picture), width: picture.width * ZOOM, height: picture.height * ZOOM,
        className: "sharp", decoding: "async",
        alt: `${name === "phone" ? "Phone" : "DSLR"} at ${place}, magnified: ${spot.title}`,
      }),
      make("small", { className: "compare-label", textContent: name === "phone" ? "phone" : "DSLR" }));
    const caption = make("figcaption", { textContent: `${spot.title}, at ${place}` });
    const cuts = make("div", { className: "cuts" }, cut("phone", spot.phone), cut("dslr", spot.dslr));
    return make("figure", {}, cuts, caption);
  }

  Object.assign(window.dpedtool, { overlays: { residuals, patches, spots, drawing, inspector, key, number, boxes } });
})();
