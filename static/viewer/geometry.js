// Directions and distances, in the patient and on the picture.

const OPPOSITE = { A: "P", P: "A", R: "L", L: "R", H: "F", F: "H" };

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

// Whereto a vector of the patient's coordinates (x to the left, y to the back, z to the head) leads: "L", "AH", …
export function letters(vector) {
  const named = [
    [vector[0], "L", "R"],
    [vector[1], "P", "A"],
    [vector[2], "H", "F"],
  ];
  return named
    .filter(([share]) => Math.abs(share) > 0.2)
    .sort((a, b) => Math.abs(b[0]) - Math.abs(a[0]))
    .slice(0, 2)
    .map(([share, ahead, behind]) => (share > 0 ? ahead : behind))
    .join("");
}

// What stands at the right and lower edge for picture directions across and down; null where nothing is known.
export function towards(instance, place, across, down) {
  if (instance.animal) return null;
  const cosines = place && place.orientation && place.orientation.length === 6 ? place.orientation : null;
  if (cosines) {
    const along = (x, y) => [0, 1, 2].map((n) => cosines[n] * x + cosines[n + 3] * y);
    return { right: letters(along(...across)), bottom: letters(along(...down)) };
  }
  if (!instance.letters) return null;
  const named = (x, y) => {
    const one = Math.abs(x) > 0.5 ? instance.letters[0] : instance.letters[1];
    return (Math.abs(x) > 0.5 ? x : y) > 0 ? one : opposite(one);
  };
  return { right: named(...across), bottom: named(...down) };
}

export function opposite(name) {
  return [...name].map((letter) => OPPOSITE[letter] || "").join("");
}

// The normal of a frame's plane, or null.
export function normal(place) {
  if (!place || place.orientation.length !== 6) return null;
  const [a, b, c, d, e, f] = place.orientation;
  return [b * f - c * e, c * d - a * f, a * e - b * d];
}

// The position of `other` that lies in the same plane as `stack` at `position`; null where they cannot be compared.
export function matching(stack, position, other, otherPosition) {
  const here = stack.place(position);
  const there = other.place(otherPosition);
  const frame = stack.at(position).instance.frame_of_reference;
  if (!frame || frame !== other.at(otherPosition).instance.frame_of_reference) return null;
  const [across, otherAcross] = [normal(here), normal(there)];
  if (!across || !otherAcross || here.position.length !== 3 || Math.abs(dot(across, otherAcross)) < 0.95) return null;
  const depth = dot(here.position, otherAcross);
  let best = null;
  let least = Infinity;
  for (let one = 0; one < other.length; one += 1) {
    const place = other.place(one);
    if (!place || place.position.length !== 3) continue;
    const away = Math.abs(dot(place.position, otherAcross) - depth);
    if (away < least) [best, least] = [one, away];
  }
  return best;
}

// How far apart two points of a frame are, in words; points are in pixels from its upper left edge.
export function distance(instance, a, b) {
  const region = (instance.regions || []).find((one) => within(one, a) && within(one, b));
  const spacing = region || instance.spacing;
  if (!spacing) {
    const pixels = Math.hypot(b.x - a.x, b.y - a.y);
    return { text: `${pixels.toFixed(1)} px`, note: "the object does not say how large a pixel is" };
  }
  const long = Math.hypot((b.x - a.x) * spacing.between_columns, (b.y - a.y) * spacing.between_rows);
  return { text: `${long.toFixed(1)} mm`, note: spacing.note || "" };
}

function within(region, point) {
  return point.x >= region.left && point.x <= region.right + 1 && point.y >= region.top && point.y <= region.bottom + 1;
}
