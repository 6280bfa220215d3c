// The depth of a pair with nodes: how far they displace each place, in colour over the phone's picture.
"use strict";
(() => {
  const { make, range, overlays } = window.dpedtool;
  const { drawing, inspector, key, number, boxes } = overlays;
  // From the right, clockwise: where something is displaced to, and where a camera stands.
  const SIDES = [
    ["to the right", "to the right of"], ["to the lower right", "to the lower right of"],
    ["downwards", "below"], ["to the lower left", "to the lower left of"],
    ["to the left", "to the left of"], ["to the upper left", "to the upper left of"],
    ["upwards", "above"], ["to the upper right", "to the upper right of"],
  ];
  let strength = 75; // in %; also for the next pair

  /** source: returns the address of a picture. lost: is called when the picture cannot be shown. */
  function depth(details, source, lost) {
    const found = details.depth;
    return {
      title: "Depth",
      enter(comparison) {
        const layer = drawing(comparison, { crop: details.crop, mask: [] }, summary(found));
        const picture = make("img", {
          className: "depth", alt: "", width: found.picture.width, height: found.picture.height, decoding: "async",
          draggable: false, onerror: () => picture.isConnected && lost(picture), src: source(found.picture),
        });
        comparison.pictures[0].className = "grey";
        layer.before(picture);
        const fade = (percent) => {
          strength = percent;
          picture.style.opacity = percent / 100;
        };
        fade(strength);
        const [label] = range("Colours", { min: 0, max: 100, step: 5, value: strength, title: "Strength in %" }, fade);
        comparison.put(label, ...inspectPlaces(comparison, layer, found.places, found.direction));
        comparison.below.append(legend(found));
      },
    };
  }

  /** Return the words for the side to which a direction points. turn: half a circle for the opposite side. */
  function side([x, y], turn = 0) {
    const eighths = Math.round((Math.atan2(y, x) + turn) / (Math.PI / 4));
    return SIDES[(eighths + SIDES.length) % SIDES.length];
  }

  const sides = ({ direction }) => [side(direction, Math.PI), side(direction)];
  const percent = (share) => `${(100 * share).toFixed(1)} %`;

  function summary(found) {
    const [[less], [more]] = sides(found);
    return `Depth: nodes displace places by up to ${number(found.largest_px)} px, ${less} or ${more}; ` +
      `${percent(found.squeezed)} of the crop is squeezed, and ${percent(found.stretched)} is stretched`;
  }

  function inspectPlaces(comparison, layer, places, direction) {
    const reach = comparison.pictures[0].getAttribute("width") / 80;
    const scale = layer.viewBox.baseVal.width / comparison.pictures[0].getAttribute("width");
    const half = reach * scale;
    const far = ([x, y]) => (place) => Math.hypot(place.x - x, place.y - y);
    return inspector(comparison, layer, places, {
      word: "places",
      order: "the most displaced first",
      nearest: (point) => {
        const away = far(point);
        return places.reduce((best, place) => (away(place) < away(best) ? place : best));
      },
      mark: ({ x, y }) => boxes([[x - half, y - half, 2 * half, 2 * half]]),
      tell: ({ x, y, px }) => {
        const way = px ? ` ${side(direction, px < 0 ? Math.PI : 0)[0]}` : "";
        return `(${Math.round(x)}, ${Math.round(y)}): displaced by ${number(Math.abs(px))} px${way}`;
      },
    });
  }

  function legend(found) {
    const [less, more] = sides(found);
    const end = (sign, way) => make("span", {}, `${sign}${found.range_px} px`, make("small", {}, ` ${way}`));
    const ramp = make("span", { className: "ramp", textContent: "0" });
    ramp.style.background = `linear-gradient(to right, ${found.colours.join(", ")})`;
    const scale = make("span", { className: "depth-scale" }, end("\u2212", less[0]), ramp, end("+", more[0]));
    const keys = [
      key("squeezed", "", `squeezed (${percent(found.squeezed)})`, "The phone sees a part that the DSLR does not see."),
      key("stretched", "", `stretched (${percent(found.stretched)})`, "The DSLR sees more than the phone."),
    ];
    return make("div", { className: "legend" }, scale, ...keys, ...notes(found, less, more));
  }

  function notes(found, [less, there], [more, here]) {
    const texts = [
      "Each colour says how far the nodes displace a place: where the DSLR's photo shows it, compared with where it " +
      `would be if the whole scene lay in one plane, in px of the phone's photo. The largest displacement is ` +
      `${number(found.largest_px)} px; those beyond the scale have its last colour. Only the part in the direction ` +
      `of this scale is shown. The part across it is at most ${number(found.across_px)} px for 95 % of the nodes.`,
      "Things nearer than the plane are displaced to one side, and things farther away to the other. The pictures " +
      `alone do not say which is which. If the DSLR stood ${here} the phone, what is displaced ${less} is nearer; ` +
      `if it stood ${there} the phone, what is displaced ${more} is nearer.`,
      "Hatching marks the edges of things, behind which one camera sees what the other does not: where the nodes " +
      "squeeze the photo, the phone sees more, and where they stretch it, the DSLR does.",
    ];
    return texts.map((textContent) => make("p", { className: "soft", textContent }));
  }

  Object.assign(overlays, { depth });
})();
