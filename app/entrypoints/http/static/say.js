// What the page tells its reader, in the places that screen readers watch.

import { askForKey } from "./key.js";

/** Change a status line; the same text again is not said again. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Show a text, or hide its element where there is none. */
export function show(element, text) {
  element.hidden = !text;
  element.textContent = text;
}

/** Tell why something did not work; where a key would help, ask for it. */
export function refused(element, failure) {
  show(element, failure.message);
  if (failure.status === 401) askForKey(failure.message);
}
