/** Asking the gateway: every request of the console goes through `ask`, and every failure comes out as a `Problem`. */

import { app } from "./store.js";

/** Where the gateway is: the console lies in a folder under it, behind a proxy's prefix too. */
export const BASE = new URL("..", document.baseURI);

/**
 * What went wrong, as an RFC 9457 problem document says it, or as it was seen from here.
 *
 * `code` is the gateway's, or "unreachable", "not-a-problem" (an answer of somebody in between), "cancelled".
 */
export class Problem extends Error {
  /** @param {{ title: string, detail: string, code: string, status?: number, pointer?: string, requestId?: string,
   *   retryAfter?: number, document?: Record<string, any> }} told */
  constructor({ title, detail, code, status = 0, pointer = "", requestId = "", retryAfter = 0, document = {} }) {
    super(`${title}. ${detail}`);
    this.title = title;
    this.detail = detail;
    this.code = code;
    this.status = status;
    this.pointer = pointer;
    this.requestId = requestId;
    this.retryAfter = retryAfter;
    this.document = document;
  }
}

/** @param {unknown} error @returns {Problem} */
export const problemOf = (error) =>
  error instanceof Problem
    ? error
    : new Problem({ title: "The console failed", detail: String(error), code: "console-failed" });

/**
 * @typedef {object} Request
 * @property {string} [method]
 * @property {FormData | Blob | object} [body] an object is sent as JSON, a blob as it is
 * @property {string} [accept]
 * @property {AbortSignal} [signal]
 * @property {string} [requestId]
 * @property {Record<string, string>} [headers] further ones
 * @property {(sent: number, total: number) => void} [onUpload]
 */
/**
 * @typedef {object} Answer
 * @property {number} status
 * @property {string} type media type
 * @property {(name: string) => string} header
 * @property {Blob} blob
 */

/**
 * Return an answer of 2xx.
 *
 * @param {string} path relative to the gateway
 * @param {Request} [request]
 * @returns {Promise<Answer>}
 * @throws {Problem}
 */
export async function ask(path, request = {}) {
  const answer = await transfer(path, request);
  if (answer.status >= 200 && answer.status < 300) return answer;
  throw await refusal(answer);
}

/**
 * Return the JSON of an answer.
 *
 * @template {Record<string, any>} T
 * @param {string} path
 * @param {Request} [request]
 * @returns {Promise<T>}
 * @throws {Problem}
 */
export async function askJson(path, request = {}) {
  const answer = await ask(path, { accept: "application/json", ...request });
  if (!answer.type.includes("json")) throw foreign(answer);
  return JSON.parse(await answer.blob.text());
}

/**
 * By XMLHttpRequest: fetch does not tell how much of a body has been sent.
 *
 * @param {string} path @param {Request} request @returns {Promise<Answer>}
 */
function transfer(path, { method, body, accept = "application/json", signal, requestId, headers = {}, onUpload }) {
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    call.open(method ?? (body ? "POST" : "GET"), new URL(path, BASE));
    call.responseType = "blob";
    call.setRequestHeader("Accept", accept);
    const { key } = app.get();
    if (key) call.setRequestHeader("X-API-Key", key);
    for (const [name, value] of Object.entries(headers)) call.setRequestHeader(name, value);
    if (requestId) call.setRequestHeader("X-Request-ID", requestId);
    if (onUpload) call.upload.onprogress = (event) => onUpload(event.loaded, event.total);
    call.onload = () =>
      resolve({
        status: call.status,
        type: call.getResponseHeader("Content-Type") ?? "",
        header: (name) => call.getResponseHeader(name) ?? "",
        blob: call.response,
      });
    call.onerror = () =>
      reject(
        new Problem({
          title: "The gateway cannot be reached",
          detail: "Nothing answered, or the connection broke. What you have here is kept; try again.",
          code: "unreachable",
        }),
      );
    const cancelled = () =>
      reject(new Problem({ title: "Cancelled", detail: "The request was given up.", code: "cancelled" }));
    call.onabort = cancelled;
    signal?.addEventListener("abort", () => call.abort());
    if (signal?.aborted) cancelled();
    else if (body instanceof FormData || body instanceof Blob) call.send(body);
    else if (body) {
      call.setRequestHeader("Content-Type", "application/json");
      call.send(JSON.stringify(body));
    } else call.send();
  });
}

/** @param {Answer} answer @returns {Promise<Problem>} */
async function refusal(answer) {
  let document;
  try {
    document = answer.type.includes("json") ? JSON.parse(await answer.blob.text()) : null;
  } catch {
    document = null;
  }
  if (!document?.title || !document.detail) return foreign(answer, document ?? {});
  return new Problem({
    title: document.title,
    detail: document.detail,
    code: document.code ?? "",
    status: answer.status,
    pointer: document.errors?.[0]?.pointer ?? "",
    requestId: document.request_id ?? "",
    retryAfter: Number(answer.header("Retry-After")) || 0,
    document,
  });
}

/**
 * An answer that is no problem document: an error page of a proxy, or what the gateway says by its status alone.
 *
 * @param {Answer} answer @param {Record<string, any>} [document]
 */
const foreign = (answer, document = {}) =>
  new Problem({
    title: `Answered ${answer.status} by something before the gateway`,
    detail: "A proxy or load balancer answered in its place, and does not say why. Try again, or tell its operator.",
    code: "not-a-problem",
    status: answer.status,
    document,
  });
