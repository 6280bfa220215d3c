// Compares two pictures of the same thing: slider, flicker, checkerboard, side by side.
//
// Without this script, the pictures in <div data-compare><img data-name="phone"> <img data-name="DSLR"></div> are side
// by side. All text is set by textContent.
"use strict";
(() => {
  const dpedtool = (window.dpedtool = window.dpedtool || {});
  const FLICKER_HZ = 1.5; // there and back; less than the three flashes a second that WCAG 2.3.1 allows
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  /** Make an element with properties (aria-* and data-* as attributes) and children. */
  function make(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (/^(aria|data)-|^role$/.test(name)) element.setAttribute(name, value);
      else element[name] = value;
    }
    element.append(...children);
    return element;
  }

  function button(text, onclick, properties = {}) {
    return make("button", { type: "button", textContent: text, onclick, ...properties });
  }

  function range(label, properties, oninput) {
    const input = make("input", { type: "range", ...properties });
    input.oninput = () => oninput(Number(input.value));
    return [make("label", {}, label, input), input];
  }

  function select(label, options, chosen, onchange) {
    const box = make("select", {}, ...options.map(([value, text]) => new Option(text, value)));
    box.value = chosen;
    box.onchange = () => onchange(box.value);
    return make("label", {}, label, box);
  }

  /** Automatic swaps. There are none while the system asks for reduced motion. */
  class Flicker {
    constructor(swap) {
      this.swap = swap;
      this.timer = null;
      this.buttons = [button("Swap", swap), button("", () => this.toggle())];
      this.say();
    }
    toggle() {
      if (this.timer) this.stop();
      else if (!calm.matches) this.timer = setInterval(this.swap, 500 / FLICKER_HZ);
      this.say();
    }
    stop() {
      clearInterval(this.timer);
      this.timer = null;
    }
    say() {
      const automatic = this.buttons[1];
      automatic.textContent = this.timer ? "Stop" : calm.matches ? "Manual only" : `Run at ${FLICKER_HZ} Hz`;
      automatic.disabled = calm.matches;
      automatic.title = calm.matches ? "This system asks for reduced motion." : "";
    }
  }

  const WAYS = {
    slider: {
      title: "Slider",
      enter(comparison) {
        const { stage } = comparison;
        const numbers = { min: 0, max: 100, step: 0.5, value: comparison.at };
        const [label, input] = range("", numbers, (at) => comparison.slide(at));
        const names = comparison.names().join(" and ");
        input.setAttribute("aria-label", `Place of the line between ${names}, in % from the left`);
        comparison.input = input;
        comparison.put(label);
        comparison.layer();
        comparison.slide(comparison.at);
        stage.onpointerdown = (event) => comparison.drag(event);
        stage.onpointermove = (event) => stage.hasPointerCapture(event.pointerId) && comparison.drag(event);
      },
    },
    flicker: {
      title: "Flicker",
      enter(comparison) {
        comparison.flicker = new Flicker(() => comparison.swap());
        comparison.put(...comparison.flicker.buttons);
        comparison.only(comparison.shown);
        if (comparison.asked) comparison.flicker.toggle();
      },
    },
    checkers: {
      title: "Checkerboard",
      enter(comparison) {
        const squares = (count) => comparison.squares(count);
        comparison.put(range("Squares across", { min: 2, max: 40, step: 1, value: comparison.count }, squares)[0]);
        comparison.layer();
        squares(comparison.count);
      },
    },
    sides: {
      title: "Side by side",
      enter(comparison) {
        const figures = comparison.pictures.map((picture) => {
          const [width, height] = [picture.getAttribute("width"), picture.getAttribute("height")];
          picture.style.aspectRatio = `${width} / ${height}`;
          return make("figure", {}, picture, comparison.label(picture.dataset.name));
        });
        comparison.stage.replaceChildren(...figures);
      },
    },
  };

  WAYS.one = { title: "Photo", enter: (comparison) => comparison.only(0) };

  class Comparison {
    /** options: modes, names of ways; extra, more ways, {name: {title, enter(comparison)}}; start, the first way. */
    constructor(root, options = {}) {
      this.root = root;
      this.pictures = [...root.querySelectorAll("img[data-name]")];
      this.ways = { ...WAYS, ...options.extra };
      this.modes = options.modes || ["slider", "flicker", "sides"];
      this.changed = options.changed || (() => {});
      [this.at, this.count, this.shown] = [50, 10, 0];
      this.build();
      const known = this.modes.includes(options.start);
      this.show(known ? options.start : this.modes[0], known);
    }

    build() {
      const [width, height] = [this.pictures[0].getAttribute("width"), this.pictures[0].getAttribute("height")];
      this.ratio = width / height;
      this.stage = make("div", { className: "compare-stage" });
      this.stage.style.setProperty("--ratio", this.ratio);
      this.stage.style.setProperty("--px", width);
      this.own = make("div", { className: "compare-own" });
      this.view = make("div", { className: "compare-view" }, this.stage);
      this.below = make("div", { className: "compare-below" });
      this.root.classList.add("compare");
      const tools = make("div", { className: "compare-tools" }, this.choice(), this.own, this.zoom());
      this.root.replaceChildren(tools, this.view, this.below);
    }

    choice() {
      const way = (name) => button(this.ways[name].title, () => this.show(name), { "data-mode": name });
      this.buttons = this.modes.map(way);
      const properties = { role: "group", "aria-label": "Way to compare", hidden: this.modes.length === 1 };
      return make("div", { className: "compare-modes", ...properties }, ...this.buttons);
    }

    zoom() {
      const sizes = [["", "to fit"], ["1", "1 : 1"], ["2", "2 : 1"], ["4", "4 : 1"]];
      this.zoomed = select("Size", sizes, "", (size) => this.enlarge(size));
      this.zoomed.className = "compare-zoom";
      return this.zoomed;
    }

    /** Show one px of the picture as `size` px of the screen, with the same middle; "" fits it to the view. */
    enlarge(size) {
      const { view, stage } = this;
      const x = (view.scrollLeft + view.clientWidth / 2) / stage.clientWidth;
      const y = (view.scrollTop + view.clientHeight / 2) / stage.clientHeight;
      if (size) stage.dataset.zoom = size;
      else delete stage.dataset.zoom;
      stage.style.setProperty("--zoom", size || 1);
      view.scrollTo(x * stage.clientWidth - view.clientWidth / 2, y * stage.clientHeight - view.clientHeight / 2);
    }

    /** asked: the user chose it, so it may move. */
    show(name, asked = true) {
      this.stop();
      this.asked = asked;
      this.mode = name;
      for (const one of this.buttons) one.setAttribute("aria-pressed", one.dataset.mode === name);
      this.stage.dataset.mode = name;
      [this.stage.onpointerdown, this.stage.onpointermove, this.stage.onpointerleave] = [null, null, null];
      this.own.replaceChildren();
      this.below.replaceChildren();
      for (const picture of this.pictures) picture.className = picture.style.aspectRatio = "";
      this.stage.replaceChildren(...this.pictures);
      this.zoomed.hidden = name === "sides";
      if (name === "sides") this.enlarge(this.zoomed.lastChild.value = "");
      this.ways[name].enter(this);
      if (asked) this.changed(name);
    }

    put(...controls) {
      this.own.append(...controls);
    }

    names() {
      return this.pictures.map((picture) => picture.dataset.name);
    }

    label(text, side = "") {
      return make("span", { className: `compare-label ${side}`, textContent: text });
    }

    /** Put the left picture on top of the right one. */
    layer() {
      const [over, under] = this.pictures;
      [over.className, under.className] = ["over", ""];
      const [first, second] = this.names();
      if (this.mode === "slider") this.stage.append(this.label(first), this.label(second, "right"));
      else this.stage.append(this.label(`${first} over ${second}`));
    }

    slide(at) {
      this.at = Math.min(100, Math.max(0, at));
      this.input.value = this.at;
      this.stage.style.setProperty("--at", `${this.at}%`);
    }

    drag(event) {
      const box = this.stage.getBoundingClientRect();
      this.stage.setPointerCapture(event.pointerId);
      this.slide((100 * (event.clientX - box.left)) / box.width);
    }

    squares(count) {
      this.count = count;
      this.stage.style.setProperty("--square-x", `${200 / count}%`);
      this.stage.style.setProperty("--square-y", `${(200 * this.ratio) / count}%`);
    }

    /** Show one picture and its name. */
    only(index) {
      this.shown = index;
      this.pictures.forEach((picture, place) => (picture.className = place === index ? "over" : "away"));
      this.stage.querySelector(".compare-label")?.remove();
      this.stage.append(this.label(this.pictures[index].dataset.name));
    }

    swap() {
      if (this.flicker) this.only((this.shown + 1) % this.pictures.length);
    }

    stop() {
      this.flicker?.stop();
      this.flicker = null;
    }
  }

  Object.assign(dpedtool, { make, button, range, select, Flicker, Comparison });
  for (const root of document.querySelectorAll("[data-compare]")) {
    if (root.querySelectorAll("img[data-name]").length > 1) new Comparison(root);
  }
})();
