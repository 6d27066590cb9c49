// The key of a service that has keys: asked for when it is needed, kept for this tab alone.

import { keepKey, key } from "./api.js";

const $ = (id) => document.getElementById(id);

export function setUpKey(onChange) {
  $("key-open").addEventListener("click", () => askForKey(""));
  $("key-dialog").addEventListener("close", () => {
    const chosen = $("key-dialog").returnValue;
    if (chosen !== "save" && chosen !== "forget") return;
    keepKey(chosen === "save" ? $("key").value.trim() : "");
    $("key").value = "";
    onChange();
  });
}

export function askForKey(reason) {
  if ($("key-dialog").open) return;
  $("key-reason").hidden = !reason;
  $("key-reason").textContent = reason;
  $("key").value = key();
  $("key-dialog").returnValue = "";
  $("key-dialog").showModal();
  $("key").focus();
}
