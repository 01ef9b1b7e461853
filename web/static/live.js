// Keeps the page fresh: asks for this same page again and swaps the parts that changed.
// Everything shown is made by the server, so the page is complete without this file.
"use strict";

(() => {
  const INTERVAL_MS = 5000; // heights and validators, when nothing else happens
  const SETTLE_MS = 700; // several events of one block make one refresh
  const REST_MS = 2000;
  const FAULT_MS = 15000;
  const EVENTS = "/v1/events?subject=icn.%3E";

  const here = document.querySelector(".areas [aria-current]");
  if (here) here.scrollIntoView({ block: "nearest", inline: "center" });

  const parts = document.querySelectorAll("[data-refresh]");
  if (!parts.length || !window.fetch || !window.DOMParser) return;

  const live = document.getElementById("live");
  const text = live.querySelector("[data-live-text]");
  let timer = 0;
  let isAsking = false;

  const say = (isFresh) => {
    live.hidden = false;
    live.classList.toggle("paused", !isFresh);
    text.textContent = isFresh ? "live" : "trying again";
  };

  const swap = (next) => {
    for (const part of document.querySelectorAll("[data-refresh]")) {
      const fresh = next.getElementById(part.id);
      if (!fresh || fresh.innerHTML === part.innerHTML) continue;
      const focused = part.contains(document.activeElement) && document.activeElement.getAttribute("href");
      part.replaceChildren(...fresh.childNodes);
      const same = focused && part.querySelector(`[href="${CSS.escape(focused)}"]`);
      if (same) same.focus({ preventScroll: true });
    }
    const said = document.getElementById("said");
    const fresh = next.getElementById("said");
    if (said && fresh && said.textContent !== fresh.textContent) said.textContent = fresh.textContent;
  };

  const refresh = async () => {
    if (isAsking) return;
    isAsking = true;
    clearTimeout(timer);
    let wait = INTERVAL_MS;
    try {
      const answer = await fetch(location.pathname + location.search, { headers: { accept: "text/html" } });
      const isPage = (answer.headers.get("content-type") || "").startsWith("text/html");
      if (!isPage) throw new Error(String(answer.status));
      swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
      say(answer.ok);
    } catch {
      say(false);
      wait = FAULT_MS;
    }
    isAsking = false;
    schedule(wait);
  };

  const schedule = (wait) => {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(refresh, wait);
  };

  // One event says that something changed; the stream then rests, so that a busy day costs a phone little.
  let source = null;
  const listen = () => {
    if (source || document.hidden || !window.EventSource) return;
    source = new EventSource(EVENTS);
    const changed = () => {
      rest();
      timer = setTimeout(refresh, SETTLE_MS);
      setTimeout(listen, REST_MS);
    };
    source.onmessage = changed;
    source.addEventListener("gap", changed);
  };
  const rest = () => {
    if (source) source.close();
    source = null;
    clearTimeout(timer);
  };

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      rest();
    } else {
      listen();
      refresh();
    }
  });

  say(true);
  listen();
  schedule(INTERVAL_MS);
})();
