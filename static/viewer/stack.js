// A series as one row of frames, and where each of them is asked for.

const SIDES = [512, 1024, 2048];

export class Stack {
  constructor(study, told) {
    this.study = study;
    this.told = told;
    this.instances = told.instances;
    this.starts = [];
    let length = 0;
    for (const instance of this.instances) {
      this.starts.push(length);
      length += instance.frames || 1;
    }
    this.length = length;
  }

  // The instance, its index and the frame (from 1) at a position (from 0).
  at(position) {
    let low = 0;
    let high = this.starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.starts[middle] <= position) low = middle;
      else high = middle - 1;
    }
    return { instance: this.instances[low], index: low, frame: position - this.starts[low] + 1 };
  }

  position(instanceUid, frame) {
    const index = this.instances.findIndex((one) => one.uid === instanceUid);
    if (index < 0) return 0;
    return this.starts[index] + Math.min(Math.max(frame, 1), this.instances[index].frames || 1) - 1;
  }

  bounded(position) {
    return Math.min(Math.max(position, 0), this.length - 1);
  }

  base(instance) {
    return `/dicom-web/studies/${this.study.uid}/series/${this.told.uid}/instances/${instance.uid}`;
  }

  place(position) {
    const { instance, frame } = this.at(position);
    const places = instance.places || [];
    return places.length > 1 ? places[frame - 1] : places[0];
  }

  // Where a frame is as a picture; `side`: pixels that are enough, `window`: none for the stored one.
  picture(position, { window = null, side = Infinity, quality = 0 } = {}) {
    const { instance, frame } = this.at(position);
    const asked = [];
    if (window && instance.grey) asked.push(`window=${written(window)}`);
    const native = Math.max(instance.rows || 0, instance.columns || 0);
    const enough = SIDES.find((one) => one >= side);
    if (enough && enough < native) asked.push(`viewport=${enough},${enough}`);
    if (quality) asked.push(`quality=${quality}`);
    return `${this.base(instance)}/frames/${frame}/rendered${asked.length ? `?${asked.join("&")}` : ""}`;
  }
}

export function written(window) {
  const plain = !window.function || window.function === "linear";
  const numbers = `${Number(window.center.toPrecision(8))},${Number(window.width.toPrecision(8))}`;
  return plain ? numbers : `${numbers},${window.function}`;
}

// Asks for a series of a study; keeps what it was told.
const asked = new Map();

export function stackOf(studyUid, seriesUid) {
  const address = `/studies/${studyUid}/viewer.json?series=${encodeURIComponent(seriesUid)}`;
  if (!asked.has(address)) {
    const answer = told(address).then((found) => new Stack(found.study, found.stack));
    answer.catch(() => asked.delete(address));
    asked.set(address, answer);
  }
  return asked.get(address);
}

export async function told(address) {
  const answer = await fetch(address, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error || `The server answered ${answer.status}.`);
  return answer.json();
}
