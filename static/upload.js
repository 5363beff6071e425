// Sends files in chunks, several at a time; what is on the server already is not sent again.
// The form works without it.

const CHUNK = 8 * 2 ** 20;
const AT_ONCE = 4;
const ANNOUNCED = 500;
const TRIES = 5;
const SHOWN = 50;

const form = document.getElementById("drop");
const part = (name) => document.getElementById(`sending-${name}`);

const queue = []; // announced, to be sent
const active = new Set();
const troubles = []; // what was refused or could not be sent: {path, why, again}
const sum = { files: 0, settled: 0, size: 0, sent: 0, refused: 0, failed: 0, stored: 0, already: 0, skipped: 0 };
let paused = false;
let stopped = ""; // why nothing can be sent any more
let looking = 0; // folders being read and announcements under way
let began = 0;
let sentThen = 0;

// Digests, made in workers

class Hashers {
  constructor(address, count) {
    this.jobs = new Map();
    this.workers = Array.from({ length: count }, () => new Worker(address, { type: "module" }));
    for (const worker of this.workers) {
      worker.addEventListener("message", ({ data }) => {
        const job = this.jobs.get(data.number);
        this.jobs.delete(data.number);
        if (data.error) job.reject(new Unreadable(data.error));
        else job.resolve({ buffer: data.buffer, digest: new Uint8Array(data.digest) });
      });
    }
    this.number = 0;
  }

  digest(blob) {
    const number = ++this.number;
    return new Promise((resolve, reject) => {
      this.jobs.set(number, { resolve, reject });
      this.workers[number % this.workers.length].postMessage({ number, blob });
    });
  }
}

class Unreadable extends Error {}
class Aborted extends Error {}

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const base64 = (bytes) => btoa(String.fromCharCode(...bytes));
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
let hashers = null;

// Announcing: the server says where each file goes on

async function announce(items) {
  const files = items.map((item) => ({ path: item.path, size: item.file.size, modified: item.modified }));
  for (let tried = 1; ; tried++) {
    try {
      const answer = await fetch(form.dataset.files, {
        method: "POST",
        headers: { "Content-Type": "application/json", Accept: "application/json" },
        body: JSON.stringify({ files }),
      });
      if (answer.status === 404) return halt("The record of this upload was removed.");
      if (!answer.ok) throw new Error((await answer.json()).error);
      const told = (await answer.json()).files;
      told.forEach((known, i) => Object.assign(items[i], { known, received: known.received }));
      return items;
    } catch (error) {
      if (tried === TRIES) {
        items.forEach((item) => fail(item, error.message || "the server cannot be reached"));
        return [];
      }
      await pause(2 ** tried);
    }
  }
}

async function add(found) {
  looking++;
  began ||= Date.now();
  document.getElementById("sending").hidden = false;
  hashers ??= new Hashers(form.dataset.hasher, Math.min(4, navigator.hardwareConcurrency || 2));
  let batch = [];
  const flush = async () => {
    const announced = (await announce(batch)) ?? [];
    batch = [];
    queue.push(...announced.filter((item) => item.known));
    wakeAll();
    changed();
  };
  try {
    for await (const { file, path } of found) {
      batch.push({ file, path, modified: String(file.lastModified), received: 0, sending: 0 });
      sum.files++;
      sum.size += file.size;
      draw();
      if (batch.length === ANNOUNCED) await flush();
    }
    if (batch.length) await flush();
  } finally {
    looking--;
    wakeAll();
    draw();
  }
}

async function* chosen(files) {
  for (const file of files) yield { file, path: file.webkitRelativePath || file.name };
}

async function* below(entries) {
  for (const entry of entries) {
    if (entry.isFile) {
      const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
      if (file) yield { file, path: entry.fullPath.replace(/^\//, "") };
    } else if (entry.isDirectory) {
      const reader = entry.createReader();
      for (;;) {
        // A folder is told in parts, until one is empty.
        const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
        if (!some.length) break;
        yield* below(some);
      }
    }
  }
}

// Sending

async function sender() {
  for (;;) {
    while (paused || stopped || !queue.length) await new Promise((resolve) => waiting.push(resolve));
    const item = queue.shift();
    active.add(item);
    try {
      await send(item);
    } catch (error) {
      if (error instanceof Aborted) queue.unshift(item);
      else fail(item, error.message || "this could not be sent");
    }
    active.delete(item);
    item.sending = 0;
    draw();
    if (idle()) finished();
  }
}

const waiting = [];
function wakeAll() {
  waiting.splice(0).forEach((resolve) => resolve());
}

async function send(item) {
  if (item.known.chunk && !(await same(item))) {
    // Other bytes under the same name, size and time: a file of its own.
    item.modified += "~";
    if (!(await announce([item]))?.length) return;
    return send(item);
  }
  for (let tried = 1; item.known.state === "waiting"; ) {
    if (paused) throw new Aborted();
    const { buffer, digest } = await hashers.digest(item.file.slice(item.received, item.received + CHUNK));
    const answer = await patch(item, buffer, digest);
    if (answer.status === 200) {
      item.known = JSON.parse(answer.body);
    } else if (answer.status === 204) {
      item.received = Number(answer.offset);
      tried = 1;
    } else if (answer.status === 404) {
      halt("The record of this upload was removed.");
      throw new Aborted();
    } else if (answer.status === 507) {
      hold("The server’s storage is full. What is here is kept; go on when there is room.");
      throw new Aborted();
    } else if (answer.status === 409 && answer.offset !== null) {
      // Somebody else sends it too, or the answer to a chunk was lost.
      if (!(await ask(item))) throw new Error("the server cannot be reached");
      if (item.known.chunk && !(await same(item))) throw new Error("other bytes are being sent under this name");
      if (++tried > 5 * TRIES) throw new Error("another browser is sending this file");
    } else {
      if (tried++ === TRIES) throw new Error(sentence(answer));
      await pause(2 ** tried / 4);
    }
  }
  settle(item);
}

/** Whether the last chunk that the server has is what the file holds there. */
async function same(item) {
  const { offset, sha256 } = item.known.chunk;
  const end = item.known.state === "waiting" ? item.known.received : item.known.size;
  const { digest } = await hashers.digest(item.file.slice(offset, end));
  return hex(digest) === sha256;
}

async function ask(item) {
  try {
    const answer = await fetch(item.known.address, { headers: { Accept: "application/json" } });
    if (!answer.ok) return false;
    item.known = await answer.json();
    item.received = item.known.received;
    return true;
  } catch {
    return false;
  }
}

function patch(item, buffer, digest) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch tells nothing of how far a body is
    const last = item.received + buffer.byteLength >= item.file.size;
    request.open("PATCH", item.known.address);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Content-Type", "application/partial-upload");
    request.setRequestHeader("Upload-Offset", String(item.received));
    request.setRequestHeader("Upload-Complete", last ? "?1" : "?0");
    request.setRequestHeader("Content-Digest", `sha-256=:${base64(digest)}:`);
    request.upload.addEventListener("progress", (event) => {
      item.sending = event.loaded;
      draw();
    });
    const done = (status) => {
      item.request = null;
      item.sending = 0;
      resolve({ status, body: request.responseText, offset: request.getResponseHeader("Upload-Offset") });
    };
    request.addEventListener("load", () => done(request.status));
    request.addEventListener("error", () => done(0));
    request.addEventListener("abort", () => {
      item.request = null;
      reject(new Aborted());
    });
    item.request = request;
    request.send(buffer);
  });
}

function sentence(answer) {
  try {
    return JSON.parse(answer.body).error;
  } catch {
    return answer.status ? `the server answered ${answer.status}` : "the server cannot be reached";
  }
}

// Outcomes

function settle(item) {
  sum.settled++;
  sum.sent += item.file.size;
  const { state, message, path } = item.known;
  if (state === "refused" || state === "expired") {
    sum.refused++;
    trouble({ path, why: message });
  }
  item.file = null; // let go of it: there may be ten thousand
}

function fail(item, why) {
  if (item.file === null) return;
  sum.failed++;
  trouble({ path: item.path, why, again: item });
}

function trouble(one) {
  troubles.push(one);
  draw();
}

function hold(why) {
  paused = true;
  active.forEach((item) => item.request?.abort());
  part("pause").textContent = "Go on";
  say(why ?? "Paused.");
  draw();
}

function halt(why) {
  stopped = why;
  active.forEach((item) => item.request?.abort());
  part("pause").hidden = true;
  say(why);
  draw();
}

function goOn() {
  paused = false;
  began = Date.now();
  sentThen = sum.sent;
  part("pause").textContent = "Pause";
  say("Going on.");
  wakeAll();
  draw();
}

const idle = () => !active.size && !queue.length && !looking;

function finished() {
  say(`${sum.settled} of ${sum.files} files are with the server.`);
  draw();
  changed();
}

/** Tell the parts of the page that show what the server has. */
function changed() {
  document.body.dispatchEvent(new CustomEvent("changed:upload"));
}

// Showing

function size(bytes) {
  for (const unit of ["bytes", "kB", "MB", "GB"]) {
    if (bytes < 1000) return `${unit === "bytes" || bytes >= 100 ? Math.round(bytes) : bytes.toFixed(1)} ${unit}`;
    bytes /= 1000;
  }
  return `${bytes.toFixed(1)} TB`;
}

function left(sent) {
  const seconds = (Date.now() - began) / 1000;
  const speed = (sent - sentThen) / seconds;
  if (paused || seconds < 3 || speed <= 0 || idle()) return "";
  const rest = (sum.size - sent) / speed;
  return rest < 90 ? `, about ${Math.ceil(rest)} s left` : `, about ${Math.ceil(rest / 60)} min left`;
}

function say(what) {
  part("status").textContent = what;
}

let drawing = false;
function draw() {
  if (drawing) return;
  drawing = true;
  setTimeout(() => {
    drawing = false;
    show();
  }, 150);
}

function show() {
  const under = [...active].reduce((bytes, item) => bytes + item.received + item.sending, 0);
  const partly = queue.reduce((bytes, item) => bytes + item.received, 0);
  const sent = Math.min(sum.size, sum.sent + under + partly);
  const bar = part("all");
  bar.max = Math.max(1, sum.size);
  bar.value = sent;
  const count = (number) => number.toLocaleString("en");
  const words = [`${count(sum.settled)} of ${count(sum.files)} files, ${size(sent)} of ${size(sum.size)}${left(sent)}`];
  if (sum.refused) words.push(`${count(sum.refused)} refused`);
  if (sum.failed) words.push(`${count(sum.failed)} not sent`);
  if (stopped) words.push(stopped);
  else if (paused) words.push(part("status").textContent);
  else if (idle() && sum.files) words.push(sum.failed ? "stopped" : "done");
  part("words").textContent = words.join(" · ");
  part("pause").hidden = Boolean(stopped) || (idle() && !paused);
  part("retry").hidden = Boolean(stopped) || !sum.failed;
  part("active").replaceChildren(...[...active].map(shownActive));
  part("failed").replaceChildren(...troubles.slice(0, SHOWN).map(shownTrouble), ...shownRest());
}

function line(path) {
  const made = document.createElement("li");
  made.append(Object.assign(document.createElement("span"), { textContent: path }));
  return made;
}

function shownActive(item) {
  const made = line(item.path);
  const bar = document.createElement("progress");
  bar.max = item.file?.size || 1;
  bar.value = item.file ? item.received + item.sending : 1;
  bar.setAttribute("aria-label", `Sent of ${item.path}`);
  made.append(bar);
  return made;
}

function shownTrouble(one) {
  const made = line(one.path);
  made.append(Object.assign(document.createElement("span"), { className: "why", textContent: one.why }));
  return made;
}

function shownRest() {
  return troubles.length > SHOWN ? [line(`… and ${troubles.length - SHOWN} more`)] : [];
}

// What people do

form.querySelectorAll("[data-plain]").forEach((element) => (element.hidden = true));
form.querySelectorAll("[data-script], .drop-words").forEach((element) => (element.hidden = false));
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", (event) => take(event.target));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  form.dataset.over = "";
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) delete form.dataset.over;
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  delete form.dataset.over;
  // The entries must be taken now: they are gone when the event is over.
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (entries.length) add(below(entries));
  else if (event.dataTransfer.files.length) add(chosen([...event.dataTransfer.files]));
});
part("pause").addEventListener("click", () => (paused ? goOn() : hold()));
part("retry").addEventListener("click", () => {
  const again = troubles.filter((one) => one.again).map((one) => one.again);
  troubles.splice(0, troubles.length, ...troubles.filter((one) => !one.again));
  sum.failed = 0;
  sum.files -= again.length;
  sum.size -= again.reduce((bytes, item) => bytes + item.file.size, 0);
  add(chosenAgain(again));
});
async function* chosenAgain(items) {
  for (const { file, path } of items) yield { file, path };
}
window.addEventListener("beforeunload", (event) => {
  if (!idle() && !stopped) event.preventDefault();
});

/** Sends what a field holds, and empties it. */
function take(field) {
  const files = [...field.files];
  field.value = "";
  if (files.length) add(chosen(files));
}

for (let i = 0; i < AT_ONCE; i++) sender();
// What somebody chose before this script had come.
form.querySelectorAll("input[type=file]").forEach(take);
