// dicomweb-client with a proof of who asks in its headers: statuses and numbers of what it got, as JSON.
//
// node proof.mjs <folder of node_modules> <service> <headers as JSON> <study and series as JSON>

import { createRequire } from "node:module";
import { XMLHttpRequest, asked } from "./xhr.mjs";

globalThis.XMLHttpRequest = XMLHttpRequest;
const [installed, url, headers, uids] = process.argv.slice(2);
const { api } = createRequire(`${installed}/`)("dicomweb-client");
const client = new api.DICOMwebClient({ url, headers: JSON.parse(headers), verbose: false });
const found = {};
try {
  found.studies = (await client.searchForStudies()).length;
  found.metadata = (await client.retrieveSeriesMetadata(JSON.parse(uids))).length;
} catch {
  found.failed = true;
}
console.log(JSON.stringify({ ...found, statuses: asked.map((one) => one.status) }));
