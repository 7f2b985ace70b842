// What pages do in addition to htmx. Every page works without it.

const main = () => document.getElementById("main");
const note = document.getElementById("note");

// The browser's clock may be wrong; times on the page are from the server.
const behind = Date.parse(document.documentElement.dataset.now) - Date.now();

// --- A refresh keeps what a person did: open details, checked boxes, chosen options and typed text.

const TYPED = "input[type=text], input[type=search], textarea";
document.addEventListener("htmx:beforeSwap", (event) => {
  const active = document.activeElement;
  if (main().contains(active) && active.matches(`${TYPED}, select`)) event.detail.shouldSwap = false;
});
const isKept = (attribute, element) =>
  (attribute === "open" && element.matches("details")) ||
  (attribute === "checked" && element.checked !== element.defaultChecked) ||
  (attribute === "selected" && element.selected !== element.defaultSelected) ||
  (attribute === "value" && element.matches(TYPED) && element.value !== element.defaultValue);
Idiomorph.defaults.callbacks.beforeAttributeUpdated = (attribute, element) => !isKept(attribute, element);
// Elements that scripts added are not in the server's answer.
Idiomorph.defaults.callbacks.beforeNodeMorphed = (element) => !(element instanceof Element && element.hasAttribute("data-kept"));

// --- A live page shows a notice while it cannot be updated, and tries again.

const AGAIN = 5000; // after a failed request
const POLL = 15000; // while there is no stream of changes, or the page shows what the stream does not report
let following = true; // whether the stream of changes is open
let timer; // of the next refresh
let due; // when it comes, by the browser's clock
let lost = false; // whether a change may have been missed that the next stream does not report
let missed = false; // a change while the page was hidden

const refresh = () => {
  timer = clearTimeout(timer);
  if (main().hasAttribute("hx-get")) htmx.trigger(main(), "refresh");
};
// At the earlier of two times: a stream that breaks repeatedly must not delay it forever.
const later = (milliseconds) => {
  const then = Date.now() + milliseconds;
  if (timer && due <= then) return;
  clearTimeout(timer);
  [timer, due] = [setTimeout(refresh, milliseconds), then];
};
const tell = (text) => {
  note.textContent = text;
  note.hidden = !text;
};
const polled = () => document.querySelector("[data-polled]"); // a log of a running pod; objects other than jobs
const pause = () => (following && Number(polled()?.dataset.polled) * 1000) || POLL;
if (polled()) later(pause());
const ofMain = (event) => event.detail.elt === main();

// Without HTTP/2 a browser has six connections to a server for all tabs, and a stream takes one: the seventh tab would
// never load. So only visible pages have a stream.
class Stream {
  constructor(url) {
    this.url = url;
    this.follow();
  }
  get readyState() {
    return this.source ? this.source.readyState : EventSource.CONNECTING;
  }
  follow() {
    if (document.hidden) {
      missed = true;
      this.pause();
    } else if (!this.source && !this.isOver) {
      this.source = new EventSource(this.url);
      this.source.onopen = (event) => this.onopen?.(event);
      this.source.onerror = (event) => this.onerror?.(event);
      // Not by hx-trigger="sse:change": the extension would add a listener after each refresh.
      this.source.addEventListener("change", refresh);
      this.source.addEventListener("away", refresh); // the server cannot follow changes now; the page has the reason
    }
  }
  pause() {
    this.source?.close();
    this.source = undefined;
  }
  close() {
    this.isOver = true;
    this.pause();
  }
}
let stream;
htmx.createEventSource = (url) => {
  stream?.close();
  stream = new Stream(url);
  return stream;
};
document.addEventListener("htmx:sseError", (event) => {
  // Streams end every minute or two, and the browser opens the next. After a refusal it does not: the page has the
  // reason (signed out, no right, unavailable).
  const over = event.detail.source.readyState === EventSource.CLOSED;
  following = false;
  lost ||= over;
  later(over ? 500 : AGAIN);
});
document.addEventListener("htmx:sseOpen", () => {
  following = true;
  if (lost) refresh();
  else if (!polled()) timer = clearTimeout(timer);
});
document.addEventListener("htmx:beforeRequest", (event) => {
  if (!ofMain(event) || !document.hidden) return;
  event.preventDefault();
  missed = true;
});
document.addEventListener("visibilitychange", () => {
  stream?.follow();
  if (document.hidden || !missed) return;
  missed = false;
  refresh();
});
document.addEventListener("htmx:afterRequest", (event) => {
  if (!ofMain(event)) return;
  const status = event.detail.xhr.status;
  if (event.detail.successful) {
    tell("");
    lost = false;
    if (!following || polled()) later(pause());
  } else if ([400, 403, 404, 410].includes(status)) {
    location.reload(); // no longer allowed, or deleted: the whole page has the reason
  } else if (status !== 401) {
    // 401 leads to the sign-in page by HX-Redirect.
    lost = true;
    tell("AgentJobs cannot be reached now. This page may be outdated; it tries again by itself.");
    later(AGAIN);
  }
});

// --- Relative times are kept current.

const lasting = (seconds) => {
  const whole = Math.max(0, Math.round(seconds));
  const units = [["d", Math.floor(whole / 86400)], ["h", Math.floor((whole % 86400) / 3600)], ["m", Math.floor((whole % 3600) / 60)], ["s", whole % 60]];
  const told = units.filter(([, count]) => count).slice(0, 2).map(([unit, count]) => `${count}${unit}`);
  return told.join(" ") || "0s";
};
setInterval(() => {
  if (document.hidden) return;
  for (const time of document.querySelectorAll("time.ago, time.ahead")) {
    const since = (Date.now() + behind - Date.parse(time.dateTime)) / 1000;
    const text = since < 0 && time.matches(".ahead") ? `in ${lasting(-since)}` : `${lasting(since)} ago`;
    if (time.textContent !== text) time.textContent = text;
  }
}, 1000);
