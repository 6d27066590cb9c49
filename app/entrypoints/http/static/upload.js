// `fetch` for uploads: it cannot tell how much of a body has been sent, which XMLHttpRequest can.

/**
 * Send a body and resolve with the answer when its head has come; the rest streams, as with `fetch`.
 * @param {(part: number) => void} onSent Told which part of the body has left, from 0 to 1.
 */
export function send(url, { method, headers, body, signal, onSent }) {
  const request = new XMLHttpRequest();
  request.open(method, url);
  for (const [name, value] of headers) request.setRequestHeader(name, value);
  request.upload.onprogress = ({ loaded, total }) => onSent(loaded / total);
  request.upload.onload = () => onSent(1);
  signal?.addEventListener("abort", () => request.abort());
  return new Promise((resolve, reject) => {
    const encoder = new TextEncoder();
    let answer = null; // the controller of its body
    let taken = 0;
    const pass = () => {
      answer.enqueue(encoder.encode(request.responseText.slice(taken)));
      taken = request.responseText.length;
    };
    const fail = (failure) => (answer ? answer.error(failure) : reject(failure));
    request.onreadystatechange = () => {
      if (request.readyState !== XMLHttpRequest.HEADERS_RECEIVED) return;
      const rest = new ReadableStream({ start: (controller) => (answer = controller), cancel: () => request.abort() });
      resolve(new Response(rest, { status: request.status, headers: headersOf(request) }));
    };
    request.onprogress = pass;
    request.onload = () => {
      pass();
      answer.close();
    };
    request.onerror = () => fail(new TypeError("the connection broke off"));
    request.onabort = () => fail(new DOMException("", "AbortError"));
    request.send(body);
  });
}

function headersOf(request) {
  const lines = request.getAllResponseHeaders().trim().split("\r\n");
  return lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]);
}
