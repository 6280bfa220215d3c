// The address of the page: a link opens a pair, together with the current filters.
"use strict";
(() => {
  const { pairs } = window.dpedtool;
  if (!pairs) return;

  const { known, START, COLUMNS, byId } = pairs;
  const FILTERS = { status: "status", reason: "reason", phone: "camera", split: "split", session: "session", tag: "tag" };
  const NAMES = { ...FILTERS, text: "q" };
  const REST_MS = 250; // browsers allow only a few changes per second
  let noting = 0;

  /** push: make an entry in the history, so that the user can go back. part: id for an otherwise empty address. */
  function noteAddress(push = false, part = "pairs") {
    clearTimeout(noting);
    if (push) return writeAddress("pushState", part);
    noting = setTimeout(() => writeAddress("replaceState", part), REST_MS);
  }

  function writeAddress(method, part) {
    const { state, opened } = pairs;
    const words = new URLSearchParams();
    if (opened) words.set("pair", opened.id);
    for (const [key, name] of Object.entries(NAMES)) if (state[key]) words.set(name, state[key]);
    if (state.sort) words.set("sort", `${state.sort}:${state.falling ? "down" : "up"}`);
    const text = words.toString();
    if (!text && !ours(location.hash)) return; // such as #overview
    history[method](null, "", `#${text || part}`);
  }

  function ours(hash) {
    const words = new URLSearchParams(hash.slice(1));
    return hash === "#pairs" || ["pair", "sort", ...Object.values(NAMES)].some((name) => words.has(name));
  }

  /** Anybody may have written the address, so unknown values are ignored. */
  function readAddress() {
    const words = new URLSearchParams(location.hash.slice(1));
    const found = { ...START };
    for (const [name, inAddress] of Object.entries(FILTERS)) {
      const value = words.get(inAddress);
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
    if (ours(location.hash) && JSON.stringify(found) !== JSON.stringify(pairs.state)) pairs.change(found);
    if (row && row !== pairs.opened) pairs.open(row, { push: false });
    else if (!row && pairs.opened) pairs.close();
  }

  pairs.noteAddress = noteAddress;
  window.addEventListener("popstate", follow);
  const [found, row] = readAddress();
  pairs.change(found);
  if (row) pairs.open(row, { push: false });
})();
