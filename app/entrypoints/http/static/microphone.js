// The microphone: asked for in one place, recorded as a file or tapped as samples.

const AS_IT_IS = { channelCount: 1, echoCancellation: false, noiseSuppression: false }; // models were taught on plain sound

/** @returns {Promise<MediaStream>} Throws an `Error` whose message is for the reader. */
export async function openMicrophone() {
  if (!navigator.mediaDevices) {
    throw new Error("Browsers give pages the microphone over HTTPS or on localhost alone. Open this page in one of these ways.");
  }
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: AS_IT_IS });
  } catch (failure) {
    const reasons = {
      NotAllowedError: "The microphone was refused. Allow it in the browser's settings for this page.",
      NotFoundError: "There is no microphone.",
      NotReadableError: "The microphone is in use by another program.",
    };
    throw new Error(reasons[failure.name] ?? `The microphone cannot be opened: ${failure.message}`);
  }
}

export function close(stream) {
  for (const track of stream.getTracks()) track.stop();
}

/** Record until `stop()` is called on what is returned; `heard` resolves to a file then. */
export async function record() {
  const stream = await openMicrophone();
  const recorder = new MediaRecorder(stream);
  const parts = [];
  recorder.addEventListener("dataavailable", ({ data }) => parts.push(data));
  const heard = new Promise((resolve) => {
    recorder.addEventListener("stop", () => {
      close(stream);
      const type = recorder.mimeType.split(";")[0];
      resolve(new File(parts, `recording.${type.endsWith("mp4") ? "m4a" : type.split("/")[1]}`, { type }));
    });
  });
  recorder.start();
  return { stop: () => recorder.stop(), heard };
}

/**
 * Hand on what the microphone hears as it comes: 16-bit samples of one channel.
 * @param {number} rateHz Wanted; the browser may have another.
 * @param {(samples: Int16Array, loudness: number) => void} onSamples Loudness from 0 to 1.
 */
export async function tap(rateHz, onSamples) {
  const stream = await openMicrophone();
  let context = new AudioContext({ sampleRate: rateHz });
  let source;
  try {
    source = context.createMediaStreamSource(stream);
  } catch {
    await context.close(); // Firefox connects a microphone at its own rate alone
    context = new AudioContext();
    source = context.createMediaStreamSource(stream);
  }
  await context.audioWorklet.addModule(new URL("microphone-worklet.js", import.meta.url));
  const node = new AudioWorkletNode(context, "microphone", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
  return {
    rateHz: context.sampleRate,
    start: () => {
      node.port.onmessage = ({ data }) => onSamples(data.samples, data.loudness);
      source.connect(node);
      return context.resume();
    },
    close: async () => {
      node.port.onmessage = null;
      close(stream);
      if (context.state !== "closed") await context.close();
    },
  };
}
