// What was just done, for a terminal and for programs.

import { address, key } from "./api.js";

/** @param {{kind: "file" | "live", name?: string, keywords?: string[]}} done What to repeat. */
export function showSnippets(root, done) {
  const base = address("v1");
  const written = done.kind === "live" ? live(base) : file(base, done.name, done.keywords ?? []);
  root.replaceChildren(...written.map(([title, code]) => snippet(title, code)));
}

function file(base, name, keywords) {
  const fields = keywords.map((keyword) => ` \\\n  -F ${shell(`keywords[]=${keyword}`)}`).join("");
  const auth = key() ? ` \\\n  -H "Authorization: Bearer $STT_KEY"` : "";
  const python = keywords.length ? `\n        extra_body={"keywords": ${JSON.stringify(keywords)}},` : "";
  const javascript = keywords.map((keyword) => `form.append("keywords[]", ${JSON.stringify(keyword)});\n`).join("");
  return [
    ["curl", `curl ${base}/audio/transcriptions${auth} \\\n  -F ${shell(`file=@${name}`)}${fields} \\\n  -F response_format=srt`],
    ["Python", `# pip install openai
${key() ? "import os\n" : ""}from openai import OpenAI

client = OpenAI(base_url="${base}", api_key=${key() ? 'os.environ["STT_KEY"]' : '"any"'})
with open(${JSON.stringify(name)}, "rb") as audio:
    heard = client.audio.transcriptions.create(
        model="whisper-1",
        file=audio,
        response_format="verbose_json",
        timestamp_granularities=["word"],${python}
    )
print(heard.text)`],
    ["JavaScript", `const form = new FormData();
form.append("file", audio, ${JSON.stringify(name)}); // a File or Blob
form.append("stream", "true");
${javascript}const answer = await fetch("${base}/audio/transcriptions", {
  method: "POST",
  body: form,${headers()}
});
for await (const events of answer.body.pipeThrough(new TextDecoderStream())) {
  console.log(events);
}`],
  ];
}

function live(base) {
  const socket = base.replace(/^http/, "ws");
  return [
    ["Terminal", `# sound of a microphone to /ws, texts back; needs ffmpeg and websocat
ffmpeg -loglevel quiet -f pulse -i default -ac 1 -ar 16000 -f s16le - |
  websocat --binary ${socket.replace(/\/v1$/, "/ws")}${key() ? '?api_key="$STT_KEY"' : ""}`],
    ["Python", `# pip install "openai[realtime]"
import base64${key() ? ", os" : ""}
from openai import OpenAI

client = OpenAI(base_url="${base}", api_key=${key() ? 'os.environ["STT_KEY"]' : '"any"'})
with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
    connection.input_audio_buffer.append(audio=base64.b64encode(pcm).decode())  # 24 kHz, 16 bits; again and again
    for event in connection:
        if event.type == "conversation.item.input_audio_transcription.completed":
            print(event.transcript)`],
    ["JavaScript", `${key() ? `// secret: from POST ${base}/realtime/client_secrets, asked for by your server\n` : ""}const socket = new WebSocket("${socket}/realtime?intent=transcription", [
  "realtime",${key() ? "\n  `openai-insecure-api-key.${secret}`," : ""}
]);
socket.onmessage = ({ data }) => {
  const event = JSON.parse(data);
  if (event.type.endsWith("transcription.completed")) console.log(event.transcript);
};
// again and again, 24 kHz, 16 bits, in base64:
socket.send(JSON.stringify({ type: "input_audio_buffer.append", audio }));`],
  ];
}

function headers() {
  return key() ? "\n  headers: { Authorization: `Bearer ${key}` }," : "";
}

function shell(text) {
  return /^[\w@%+=:,./[\]-]+$/.test(text) && !text.includes("[") ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function snippet(title, code) {
  const article = document.createElement("section");
  const head = document.createElement("header");
  const name = document.createElement("h2");
  const text = document.createElement("pre");
  article.className = "snippet";
  article.setAttribute("aria-label", title);
  name.textContent = title;
  text.textContent = code;
  text.tabIndex = 0; // it may scroll sideways
  text.setAttribute("role", "group");
  text.setAttribute("aria-label", `${title} code`);
  head.append(name);
  if (navigator.clipboard) head.append(copyButton(title, code));
  article.append(head, text);
  return article;
}

function copyButton(title, code) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy ${title}`);
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  return button;
}
