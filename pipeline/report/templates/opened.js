// The open pair: its figures, its overlaid pictures, and the way to the next frame and the next pair.
"use strict";
(() => {
  const { make, Comparison, overlays, pairs } = window.dpedtool;
  if (!pairs) return;

  const { embedded, reasons, FILES, NONE, MARKS } = pairs;
  const { momentOf, framesOf, exposureWords, words, tagWords, meaning, fixed, percent, unit, arrow, address } = pairs;
  const dialog = pairs.section.querySelector("dialog");
  const inDialog = (selector) => dialog.querySelector(selector);
  const SENT = `copy the folder ${FILES.split("/")[0]} along with the page.`;

  // Details are scripts next to the page, as a page opened from a file must not use fetch()

  const waiting = new Map();
  const loaded = new Map();
  window.dpedtool.details = (details) => waiting.get(details.id)?.(details);

  function load(id) {
    if (embedded) return Promise.resolve(embedded.details[id] || null);
    if (!loaded.has(id)) loaded.set(id, inject(id).catch((error) => { loaded.delete(id); throw error; }));
    return loaded.get(id);
  }

  function inject(id) {
    return new Promise((resolve, reject) => {
      waiting.set(id, resolve);
      const script = make("script", { src: address(id, "details.js") });
      // The page names the damaged script itself, as browsers hide the names of scripts from files.
      const silence = (event) => { if (!event.filename || event.filename === script.src) event.preventDefault(); };
      window.addEventListener("error", silence);
      const fail = (text) => {
        window.removeEventListener("error", silence);
        script.remove();
        reject(new Error(`${FILES}/${id}/details.js ${text}`));
      };
      // This has no effect if the script has delivered the details of this pair.
      script.onload = () => fail("is damaged, or belongs to another pair: make the report again.");
      script.onerror = () => fail(`is missing: ${SENT}`);
      document.head.append(script);
    });
  }

  // Opening and closing

  let comparison = null;
  let spotFlicker = null;
  let mode = "slider";
  let link = null; // the link outside of the list that opened the pair

  function open(row, { push = true } = {}) {
    const first = !pairs.opened;
    const isSameMoment = !first && momentOf(row) === momentOf(pairs.opened);
    pairs.opened = row;
    showFigures(row);
    showPictures(row);
    if (first) dialog.showModal();
    showFrames(row);
    if (!isSameMoment) inDialog(".pair-body").scrollTop = 0;
    const isLost = !dialog.contains(document.activeElement);
    if (first || isLost) inDialog("#pair-title").focus();
    pairs.noteAddress(push && first);
  }

  function closed() {
    const place = placeOf(pairs.opened);
    leave();
    inDialog(".pair-pictures").replaceChildren();
    pairs.opened = null;
    pairs.noteAddress(false, link?.closest("[id]")?.id);
    if (link) link.focus({ preventScroll: true });
    else if (place >= 0) pairs.focusLine(place);
    link = null;
  }

  /** The place in the list of the line of a row's moment; -1 if it is not in the list. */
  const placeOf = (row) => pairs.chosen.findIndex((one) => momentOf(one) === momentOf(row));

  function neighbour(step) {
    const place = placeOf(pairs.opened);
    return place < 0 ? pairs.chosen[0] : pairs.chosen[place + step];
  }

  /** The next frame of the moment; beyond the last one, the first frame of the next moment, and likewise backwards. */
  function nextFrame(step) {
    const frames = framesOf(pairs.opened);
    const next = frames[frames.indexOf(pairs.opened) + step];
    const beyond = next ? null : neighbour(step);
    return next || (beyond && framesOf(beyond).at(step > 0 ? 0 : -1));
  }

  function go(next) {
    if (next) open(next);
  }

  // Figures

  function showFigures(row) {
    const place = placeOf(row);
    const among = place < 0 ? "not in the list" : `${place + 1} of ${pairs.chosen.length}`;
    inDialog(".pair-place").textContent = among;
    const said = [row.id, frameName(row).toLowerCase(), among, row.status];
    inDialog(".pair-said").textContent = said.filter(Boolean).join(", ");
    for (const one of dialog.querySelectorAll("[data-step]")) {
      one.setAttribute("aria-disabled", !neighbour(Number(one.dataset.step))); // a disabled button would lose the focus
    }
    inDialog("#pair-title").textContent = row.id;
    inDialog(".badge").textContent = row.status;
    inDialog(".badge").className = `badge ${MARKS[row.status] || ""}`;
    const why = [row.reason && `${words(row.reason)}: ${meaning(row)}`, row.detail].filter(Boolean);
    inDialog(".pair-why").replaceChildren(...why.map((text) => make("span", { textContent: text })));
    const told = ([name, value, title = ""]) =>
      make("div", { title }, make("dt", { textContent: name }), make("dd", { textContent: value }));
    inDialog(".pair-figures").replaceChildren(...figures(row).map(told));
  }

  // The frames of the moment

  /** "Frame 2 of 3", "Base reference" or "Reference sony"; empty if this is the only row of the moment. */
  function frameName(row) {
    if (!row.frame) return "";
    if (row.frame.reference) return `Reference ${row.frame.reference}`;
    const frames = framesOf(row).filter((one) => !one.frame.reference);
    return frames.length > 1 ? `Frame ${frames.indexOf(row) + 1} of ${frames.length}` : "Base reference";
  }

  /** A button for each frame; the pressed one is open. If one had the focus, the pressed one gets it. */
  function showFrames(row) {
    const box = inDialog(".pair-frames");
    const hadFocus = box.contains(document.activeElement);
    box.hidden = !row.frame;
    const buttons = row.frame ? framesOf(row).map((one) => frameButton(one, one === row)) : [];
    box.replaceChildren(...buttons);
    const pressed = buttons[framesOf(row).indexOf(row)];
    if (!pressed) return;
    // On a small screen the buttons of many frames are wider than the box.
    box.scrollLeft = pressed.offsetLeft - (box.clientWidth - pressed.offsetWidth) / 2;
    if (hadFocus) pressed.focus({ preventScroll: true });
  }

  function frameButton(row, isOpen) {
    const { status, frame } = row;
    const part = (className, ...content) => make("span", { className }, ...content);
    const stands = frame.of === row.id && !frame.is_base;
    const role = stands ? "stands in for the base frame" : frame.is_base ? "base frame" : "";
    const residual = row.residual_px === null ? "" : `residual ${unit(fixed(row.residual_px, 2), "px")}`;
    const taken = [role, exposureWords(frame), residual].filter(Boolean);
    return make("button", {
      type: "button", "aria-pressed": isOpen, title: meaning(row), onclick: () => { if (!isOpen) open(row); },
      "aria-label": [frameName(row), [status, words(row.reason)].filter(Boolean).join(": "), ...taken].join(", "),
    },
      part("frame-status", part("frame-name", frameName(row)), part(`badge ${MARKS[status] || ""}`, status),
        words(row.reason)),
      part("frame-taken", taken.join(" \u00b7 ")));
  }

  const TITLES = {
    certain: "Windows outside the mask whose shift is known to a quarter of a px or better, measured again on the "
      + "aligned images. Skies and straight edges are not included, as any shift fits there. "
      + "Aligned pairs are sorted by this, the worst first.",
    unmeasured: "Fewer than five windows have a shift that is known to a quarter of a px, so the pair is sorted by the "
      + "95th percentile of all windows instead.",
    unlaid: "The photos were not overlaid for this page, so nothing was measured.",
    all: "All windows that fit well at any place, as in the table of alignments. This includes skies and straight "
      + "edges, where any shift fits.",
    amiss: "Windows outside the mask that the DSLR's photo clearly shows elsewhere, or not at all. Aligned pairs come "
      + "first if they have at least five, and more than one in twenty of the certain and misplaced ones.",
    model: "Model of the transform: a homography; lens, cubic or quintic, a homography with a field for the lenses; or "
      + "local, with nodes that follow the depth of the scene.",
    hidden: "Share of the crop's detail that only one camera sees, by a flow there and back.",
    jump: "Share of the crop where the flow jumps from one depth to another.",
  };

  function figures(row) {
    const of = (count) => (count === null ? NONE : `${count}`);
    const measured = row.certain_p95_px !== null;
    const why = row.certain === null ? TITLES.unlaid : TITLES.unmeasured;
    const certain = measured ? unit(fixed(row.certain_p95_px, 3), "px") : "not measured";
    const kept = row.windows === null ? NONE : `${row.accepted ?? 0} of ${row.windows} windows`;
    return [
      ["Certain residual, p95", certain, measured ? TITLES.certain : why],
      ["Certain, not masked", of(row.certain), TITLES.certain],
      ["Misplaced, not masked", of(row.amiss), TITLES.amiss],
      ["Residual of all, median", unit(fixed(row.residual_px, 3), "px"), TITLES.all],
      ["Residual of all, p95", unit(fixed(row.residual_p95_px, 3), "px"), TITLES.all],
      ["In place", unit(percent(row.at_place), "%"), "Share of the textured windows that are where they should be."],
      ["Coverage", unit(percent(row.coverage), "%")],
      ["Masked", unit(percent(row.masked), "%")],
      ["Model", row.model || NONE, TITLES.model],
      ...(row.hidden === null ? [] : [["Hidden", unit(percent(row.hidden), "%"), TITLES.hidden]]),
      ...(row.jump === null ? [] : [["Depth jumps", unit(percent(row.jump), "%"), TITLES.jump]]),
      ["Patches kept", kept],
      ["PSNR before \u2192 after", unit(arrow(row, 2), "dB")],
      ["Split", row.split || NONE],
      ["Camera", row.phone],
      ["Scene", row.scene || NONE],
      ...(row.session ? [["Session", row.session]] : []),
      ...(row.tags.length ? [["Tags", row.tags.map(tagWords).join(", ")]] : []),
      ["Phone's photo", row.phone_file || NONE],
      ["DSLR's photo", row.dslr_file || NONE],
    ];
  }

  // Pictures

  const note = (text, kind = "") => make("p", { className: `note ${kind}`, textContent: text });

  async function showPictures(row) {
    leave();
    const place = inDialog(".pair-pictures");
    if (!pairs.hasPictures) return place.replaceChildren(note("This report was made without pictures."));
    place.replaceChildren(make("p", { className: "soft", textContent: "Loading\u2026" }));
    try {
      const details = await load(row.id);
      if (row !== pairs.opened) return;
      if (!details) throw new Error("this page has no details of the pair.");
      showDetails(row, details);
    } catch (error) {
      if (row === pairs.opened) place.replaceChildren(note(`The pictures cannot be shown: ${error.message}`, "bad"));
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
    apart: "No transform between these photos is known, so they are shown side by side.",
    alone: "This photo has no partner.",
    none: "There are no pictures of this pair.",
  };

  function showDetails(row, details) {
    const text = details.note || KINDS[details.kind];
    inDialog(".pair-note").textContent = text;
    inDialog(".pair-note").hidden = !text;
    inDialog(".pair-pictures").replaceChildren(...pictures(row, details));
    const [tools, box, flicker] = overlays.spots(details, (picture) => address(row.id, picture.file));
    if (tools) inDialog(".pair-spots").replaceChildren(tools, box);
    spotFlicker = flicker;
    ahead(nextFrame(1));
  }

  function pictures(row, details) {
    const dslr = details.kind === "aligned" ? "DSLR's photo, warped onto the phone's" : "DSLR's photo";
    const image = (name, picture) => make("img", {
      "data-name": name, alt: `${name === "phone" ? "Phone's photo" : dslr} of pair ${row.id}`,
      width: picture.width, height: picture.height, decoding: "async", draggable: false,
      src: address(row.id, picture.file),
    });
    const both = [["phone", details.phone], ["DSLR", details.dslr]];
    const images = both.filter(([, picture]) => picture).map(([name, picture]) => image(name, picture));
    if (!images.length) return [];
    const root = make("div", {}, ...images);
    const changed = (name) => { if (details.kind === "aligned") mode = name; }; // also for the next pair
    const lost = (picture) => root.isConnected && missing(root, [picture], row);
    comparison = new Comparison(root, { ...ways(row, details, images.length, lost), start: mode, changed });
    hideUntilThere(root, images, row);
    return [root];
  }

  /** If only one picture were visible while the other is loading or missing, the two would seem to be identical. */
  async function hideUntilThere(root, images, row) {
    root.setAttribute("aria-busy", "true");
    const there = await Promise.allSettled(images.map((image) => image.decode()));
    const gone = images.filter((_, index) => there[index].status === "rejected");
    if (!gone.length) return root.removeAttribute("aria-busy");
    if (root.isConnected) missing(root, gone, row); // else another pair is open
  }

  function missing(root, gone, row) {
    comparison?.stop();
    comparison = null;
    const files = gone.map((image) => decodeURIComponent(image.getAttribute("src")).slice(0, 200)).join(" and ");
    const names = embedded ? `Pictures of pair ${row.id} in this page are damaged: make the report again.`
      : `${files} cannot be shown: ${SENT.replace(".", ", or make the report again.")}`;
    root.replaceWith(note(names, "bad"));
  }

  function ways(row, details, count, lost) {
    if (count < 2) return { modes: ["one"] };
    if (details.kind !== "aligned") return { modes: ["sides"] };
    const extra = {};
    if (details.shifts.length) extra.residuals = overlays.residuals(details);
    if (details.windows.length) extra.patches = overlays.patches(details, reasons.patch);
    if (details.depth) extra.depth = overlays.depth(details, (picture) => address(row.id, picture.file), lost);
    return { modes: ["slider", "flicker", "checkers", "sides", ...Object.keys(extra)], extra };
  }

  /** Let the browser load the next pair in advance. Errors are shown when that pair is opened. */
  function ahead(row) {
    if (!row || embedded) return;
    load(row.id).then((details) => {
      for (const picture of [details.phone, details.dslr]) if (picture) new Image().src = address(row.id, picture.file);
    }, () => {});
  }

  // Keys and buttons

  function press(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const target = event.target;
    const ownArrows = target.matches("input, select");
    const [pairSteps, frameSteps] = [{ p: -1, n: 1 }, ownArrows ? {} : { ArrowLeft: -1, ArrowRight: 1 }];
    if (event.key in pairSteps) go(neighbour(pairSteps[event.key]));
    else if (event.key in frameSteps) go(nextFrame(frameSteps[event.key]));
    else if (/^[1-7]$/.test(event.key) && !target.matches("select")) comparison?.buttons[event.key - 1]?.click();
    else if (event.key === " " && !target.matches("button, select") && comparison?.flicker) comparison.swap();
    else return;
    event.preventDefault();
  }

  /** Remember a link to a pair elsewhere on the page, so that it gets the focus again when the pair is closed. */
  function noteLink(event) {
    const clicked = event.target.closest?.("a[href^='#pair=']");
    if (clicked && !pairs.opened) link = clicked;
  }

  for (const one of dialog.querySelectorAll("[data-step]")) one.onclick = () => go(neighbour(Number(one.dataset.step)));
  inDialog(".pair-close").onclick = () => dialog.close();
  dialog.onclose = closed;
  dialog.onkeydown = press;
  document.addEventListener("click", noteLink);
  Object.assign(pairs, { open, close: () => dialog.close() });
})();
