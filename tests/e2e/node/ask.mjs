// Asks a running service everything the test wants to know, with OpenAI's client for Node; prints one JSON object.
// Arguments: the service's address, an audio file, and what is no audio.
import fs from "node:fs";
import http from "node:http";
import OpenAI from "openai";

const [service, speech, rubbish] = process.argv.slice(2);

// In between, to see what really travels.
const seen = [];
const relay = http.createServer((request, response) => {
  seen.push(request.headers);
  const { method, url, headers } = request;
  const onward = http.request(new URL(url, service), { method, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  request.pipe(onward);
});
await new Promise((listening) => relay.listen(0, "127.0.0.1", listening));

const client = new OpenAI({ baseURL: `http://127.0.0.1:${relay.address().port}/v1`, apiKey: "any", maxRetries: 0 });
const create = (options) => client.audio.transcriptions.create({ file: fs.createReadStream(speech), model: "whisper-1", ...options });
const strategy = { type: "server_vad", silence_duration_ms: 300, threshold: 0.4 };

async function refusal(asked) {
  try {
    return { answered: await asked };
  } catch (error) {
    const { status, type, code, param, message, requestID } = error;
    const kind = ["BadRequestError", "NotFoundError"].find((name) => error instanceof OpenAI[name]);
    return { kind, status, type, code, param, message, hasRequestId: Boolean(requestID) };
  }
}

async function all(pages) {
  const items = [];
  for await (const item of await pages) items.push(item);
  return items;
}

const told = {
  json: await create({ chunking_strategy: strategy }),
  file: await client.audio.transcriptions.create({ file: new File([fs.readFileSync(speech)], "a.wav"), model: "whisper-1" }),
  text: await create({ response_format: "text" }),
  srt: await create({ response_format: "srt" }),
  verbose_json: await create({ response_format: "verbose_json", timestamp_granularities: ["word", "segment"] }),
  logprobs: await create({ include: ["logprobs"] }),
  events: await all(create({ stream: true, chunking_strategy: strategy })),
  translation: await client.audio.translations.create({ file: fs.createReadStream(speech), model: "whisper-1" }),
  models: (await all(client.models.list())).map((model) => model.id),
  no_audio: await refusal(create({ file: fs.createReadStream(rubbish) })),
  no_format: await refusal(create({ response_format: "diarized_json" })),
  no_model: await refusal(client.models.retrieve("nvidia/no-such-model")),
};
told.uploads = seen.filter((headers) => headers["content-type"]?.startsWith("multipart/form-data"));
relay.close();
relay.closeAllConnections();
console.log(JSON.stringify(told));
