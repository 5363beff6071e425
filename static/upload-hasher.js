// A worker that makes SHA-256 digests of pieces of files.
//
// Browsers have crypto.subtle only in secure contexts (https, localhost). A box in a hospital's network is often
// reached by plain http: there the digest is made here, after FIPS 180-4.

const K = new Uint32Array(64);
const START = new Uint32Array(8);

// The constants are the first bits of the fractional parts of roots of primes (FIPS 180-4, 4.2.2 and 5.3.3).
{
  const bits = (root) => Math.floor((root - Math.floor(root)) * 2 ** 32);
  let count = 0;
  for (let n = 2; count < 64; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false;
    if (!prime) continue;
    if (count < 8) START[count] = bits(Math.sqrt(n));
    K[count++] = bits(Math.cbrt(n));
  }
}

function blocks(state, view, from, to) {
  const w = new Int32Array(64);
  let [s0, s1, s2, s3, s4, s5, s6, s7] = state;
  for (let at = from; at < to; at += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getInt32(at + 4 * i);
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15], y = w[i - 2];
      const p = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const q = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      w[i] = (w[i - 16] + p + w[i - 7] + q) | 0;
    }
    let a = s0 | 0, b = s1 | 0, c = s2 | 0, d = s3 | 0, e = s4 | 0, f = s5 | 0, g = s6 | 0, h = s7 | 0;
    for (let i = 0; i < 64; i++) {
      const u = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const one = (h + u + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
      const v = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const two = (v + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g; g = f; f = e; e = (d + one) | 0; d = c; c = b; b = a; a = (one + two) | 0;
    }
    s0 = (s0 + a) | 0; s1 = (s1 + b) | 0; s2 = (s2 + c) | 0; s3 = (s3 + d) | 0;
    s4 = (s4 + e) | 0; s5 = (s5 + f) | 0; s6 = (s6 + g) | 0; s7 = (s7 + h) | 0;
  }
  state.set([s0, s1, s2, s3, s4, s5, s6, s7]);
}

function sha256(buffer) {
  const state = START.slice();
  const whole = buffer.byteLength - (buffer.byteLength % 64);
  blocks(state, new DataView(buffer), 0, whole);
  // The rest, a one bit, zeros, and the length in bits.
  const rest = new Uint8Array(buffer, whole);
  const tail = new Uint8Array(rest.length < 56 ? 64 : 128);
  tail.set(rest);
  tail[rest.length] = 0x80;
  const view = new DataView(tail.buffer);
  view.setUint32(tail.length - 8, Math.floor(buffer.byteLength / 2 ** 29));
  view.setUint32(tail.length - 4, (buffer.byteLength * 8) >>> 0);
  blocks(state, view, 0, tail.length);
  const digest = new DataView(new ArrayBuffer(32));
  state.forEach((word, i) => digest.setUint32(4 * i, word));
  return digest.buffer;
}

self.addEventListener("message", async ({ data: { number, blob, plain } }) => {
  try {
    const buffer = await blob.arrayBuffer();
    const digest = self.crypto?.subtle && !plain ? await crypto.subtle.digest("SHA-256", buffer) : sha256(buffer);
    self.postMessage({ number, buffer, digest }, [buffer, digest]);
  } catch (error) {
    self.postMessage({ number, error: error?.message ?? "the file cannot be read" });
  }
});
