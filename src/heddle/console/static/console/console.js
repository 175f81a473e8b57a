// Keep the living parts of a page current: fetch the part again while something goes on, and leave what a person has opened or scrolled as it is.
// Everything works without this script; then a page is as old as its last load.
"use strict";

const FAILURES_MAX = 6;

function openOnes(root) {
  return new Set([...root.querySelectorAll("details[open][id]")].map((each) => each.id));
}

function isBusy(root) {
  const focused = document.activeElement;
  const isTyping = focused && root.contains(focused) && focused.matches("input, select, textarea, button");
  const isSelecting = String(window.getSelection()) !== "";
  return isTyping || isSelecting || root.querySelector("details.menu[open]") !== null;
}

function replace(root, html) {
  const opened = openOnes(root);
  const scrolled = new Map([...root.querySelectorAll("[data-keep]")].map((each) => [each.dataset.keep, each.scrollLeft]));
  const focused = document.activeElement && root.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  root.innerHTML = html;
  for (const each of root.querySelectorAll("details[id]")) each.open = opened.has(each.id);
  for (const each of root.querySelectorAll("[data-keep]")) each.scrollLeft = scrolled.get(each.dataset.keep) || 0;
  if (focused) root.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

function keepCurrent(root) {
  const every = Math.max(500, Number(root.dataset.every) || 2000);
  let last = "";
  let failures = 0;

  async function look() {
    if (document.hidden || isBusy(root)) return again(every);
    try {
      const answer = await fetch(root.dataset.live, { headers: { Accept: "text/html" }, redirect: "error" });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const html = await answer.text();
      failures = 0;
      root.removeAttribute("data-stale");
      // A form's hidden token changes with every answer; it is no reason to redraw.
      const seen = html.replace(/name="csrfmiddlewaretoken" value="[^"]*"/g, "");
      if (seen !== last && !isBusy(root)) replace(root, html);
      last = seen;
      if (root.querySelector("[data-over]")) return undefined;
    } catch (error) {
      failures += 1;
      root.dataset.stale = "true";
      console.warn("heddle: the page could not be refreshed:", error.message);
      if (failures >= FAILURES_MAX) return undefined;
    }
    return again(every * 2 ** Math.min(failures, 4));
  }

  function again(delay) {
    window.setTimeout(look, delay);
  }

  again(every);
}

document.querySelectorAll("[data-live]").forEach(keepCurrent);
