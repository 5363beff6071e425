// One user's session of dicomweb-client: what it gets is the last line of standard output as JSON, bytes by digest.
//
// node session.mjs <folder of node_modules> <service> <plan as JSON>

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { XMLHttpRequest, asked } from "./xhr.mjs";

globalThis.XMLHttpRequest = XMLHttpRequest;
const [installed, url, planned] = process.argv.slice(2);
const { api } = createRequire(`${installed}/`)("dicomweb-client");
const plan = JSON.parse(planned);
const client = new api.DICOMwebClient({ url });

const digest = (bytes) => createHash("sha256").update(Buffer.from(bytes)).digest("hex");
const digests = (parts) => (Array.isArray(parts) ? parts : [parts]).map(digest);
const head = ([bytes]) => Buffer.from(bytes).subarray(0, 16).toString("latin1");
const uids = (one) => ({
  studyInstanceUID: one.study,
  seriesInstanceUID: one.series,
  sopInstanceUID: one.instance,
});
const syntaxes = (...names) =>
  names.map(([mediaType, transferSyntaxUID]) => ({ mediaType, transferSyntaxUID }));
const bulkUri = (one, tag) =>
  `${url}/studies/${one.study}/series/${one.series}/instances/${one.instance}/bulkdata/${tag}`;

const { image, pdf, report, video, compressed } = plan;
const steps = {
  async store() {
    const file = readFileSync(plan.file);
    const data = file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength);
    const answer = await client.storeInstances({ datasets: [data] });
    return typeof answer;
  },
  studies: () => client.searchForStudies({ queryParams: { StudyInstanceUID: image.study } }),
  storedStudy: () => client.searchForStudies({ queryParams: { StudyInstanceUID: plan.stored.study } }),
  nothing: () => client.searchForStudies({ queryParams: { StudyInstanceUID: "1.2.3.4.5" } }),
  series: () => client.searchForSeries({ studyInstanceUID: image.study }),
  instances: () => client.searchForInstances(uids(image)),
  studyMetadata: async () => (await client.retrieveStudyMetadata(uids(image))).length,
  seriesMetadata: async () => (await client.retrieveSeriesMetadata(uids(image))).length,
  instanceMetadata: () => client.retrieveInstanceMetadata(uids(image)),
  study: async () => (await client.retrieveStudy(uids(image))).length,
  seriesObjects: async () => (await client.retrieveSeries(uids(image))).length,
  instance: async () => digest(await client.retrieveInstance(uids(image))),
  frames: async () =>
    digests(await client.retrieveInstanceFrames({ ...uids(compressed), frameNumbers: [1, 2, 3] })),
  framesAsStored: async () =>
    digests(
      await client.retrieveInstanceFrames({
        ...uids(compressed),
        frameNumbers: [2],
        mediaTypes: syntaxes(
          ["application/octet-stream", "1.2.840.10008.1.2.1"],
          ["image/x-dicom-rle", "1.2.840.10008.1.2.5"],
          ["image/jpeg", "1.2.840.10008.1.2.4.50"],
          ["image/x-jls", "1.2.840.10008.1.2.4.80"],
          ["image/jp2", "1.2.840.10008.1.2.4.90"],
          ["image/jhc", "1.2.840.10008.1.2.4.201"],
        ),
      }),
    ),
  framesOfOneSyntax: async () =>
    digests(
      await client.retrieveInstanceFrames({
        ...uids(compressed),
        frameNumbers: [3],
        mediaTypes: syntaxes(["image/x-dicom-rle", "1.2.840.10008.1.2.5"]),
      }),
    ),
  bulk: async () => digests(await client.retrieveBulkData({ BulkDataURI: bulkUri(image, "7FE00010") })),
  bulkRange: async () =>
    digests(
      await client.retrieveBulkData({
        BulkDataURI: bulkUri(image, "7FE00010"),
        mediaTypes: syntaxes(["application/octet-stream", "*"]),
        byteRange: [10, 109],
      }),
    ),
  bulkOfItsType: async () =>
    digests(
      await client.retrieveBulkData({
        BulkDataURI: bulkUri(pdf, "00420011"),
        mediaTypes: [{ mediaType: "application/pdf" }, { mediaType: "application/octet-stream" }],
      }),
    ),
  rendered: async () => head(await client.retrieveInstanceRendered(uids(image))),
  renderedPng: async () =>
    head(
      await client.retrieveInstanceRendered({
        ...uids(image),
        mediaTypes: [{ mediaType: "image/png" }],
        queryParams: { viewport: "24,16", window: "400,800,linear" },
      }),
    ),
  renderedFrames: async () =>
    head(
      await client.retrieveInstanceFramesRendered({
        ...uids(compressed),
        frameNumbers: [2],
        mediaTypes: [{ mediaType: "image/jpeg" }],
      }),
    ),
  renderedText: async () =>
    head(
      await client.retrieveInstanceRendered({ ...uids(report), mediaTypes: [{ mediaType: "text/html" }] }),
    ),
  renderedVideo: async () =>
    head(
      await client.retrieveInstanceRendered({ ...uids(video), mediaTypes: [{ mediaType: "video/mp4" }] }),
    ),
  thumbnail: async () => head(
    await client.retrieveInstanceThumbnail({ ...uids(image), mediaTypes: [{ mediaType: "image/jpeg" }] }),
  ),
  frameThumbnail: async () => head(
    await client.retrieveInstanceFramesThumbnail({
      ...uids(compressed),
      frameNumbers: [1],
      mediaTypes: [{ mediaType: "image/png" }],
    }),
  ),
};

const got = {};
for (const [name, step] of Object.entries(steps)) {
  const begun = asked.length;
  try {
    got[name] = { value: await step() };
  } catch (error) {
    got[name] = { failed: String(error), status: error.status ?? null };
  }
  got[name].asked = asked.slice(begun);
}
// The client writes what it does before it.
process.stdout.write(`\n${JSON.stringify(got)}`);
