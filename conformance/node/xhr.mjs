// What dicomweb-client needs of a browser: XMLHttpRequest, over fetch. Every request is noted in `asked`.

export const asked = [];

export class XMLHttpRequest {
  readyState = 0;
  responseType = "";
  response = null;
  status = 0;
  #headers = {};
  #received = new Headers();

  open(method, url) {
    this.method = method.toUpperCase();
    this.url = url;
  }

  setRequestHeader(name, value) {
    this.#headers[name] = value;
  }

  getResponseHeader(name) {
    return this.#received.get(name);
  }

  getAllResponseHeaders() {
    return [...this.#received].map(([name, value]) => `${name}: ${value}\r\n`).join("");
  }

  async send(data) {
    this.onloadstart?.();
    const answer = await fetch(this.url, { method: this.method, headers: this.#headers, body: data });
    this.status = answer.status;
    this.#received = answer.headers;
    this.response = await this.#read(answer);
    asked.push({ method: this.method, accept: this.#headers.Accept ?? null, status: answer.status });
    this.readyState = 4;
    this.onreadystatechange?.();
    this.onloadend?.();
  }

  // A browser gives null for JSON that is none.
  async #read(answer) {
    if (this.responseType === "arraybuffer") return answer.arrayBuffer();
    if (this.responseType === "blob") return answer.blob();
    const text = await answer.text();
    if (this.responseType !== "json") return text;
    try {
      return JSON.parse(text);
    } catch {
      return null;
    }
  }
}
