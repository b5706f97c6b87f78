// What happens in the browser only: times in the viewer's zone, sparklines, keyboard, menu, light and dark.

const pad = (number) => String(number).padStart(2, "0");
const formats = {
  time: new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" }),
  minute: new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" }),
  date: new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" }),
  day: new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" }),
};
export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

export function duration(seconds) {
  let rest = Math.max(0, Math.round(seconds));
  const parts = [];
  for (const [name, size] of [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count || parts.length) parts.push([count, name]);
  }
  return parts.slice(0, 2).filter(([count]) => count).map(([count, name]) => `${count} ${name}`).join(" ") || "0 s";
}

// One unit, for ages: what counts up every second would be hard to read with two.
function rough(seconds) {
  for (const [name, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= size * 1.5) return `${Math.round(seconds / size)} ${name}`;
  }
  return `${Math.max(0, Math.round(seconds))} s`;
}

export function shown(date, form) {
  const now = new Date();
  const today = date.toDateString() === now.toDateString();
  if (form === "ago") {
    const age = (now - date) / 1000;
    return age < -1 ? `in ${rough(-age)}` : `${rough(age)} ago`;
  }
  if (form === "date") return formats.date.format(date);
  if (form === "time" || form === "minute") {
    const clock = formats[form].format(date);
    if (today) return clock;
    const sameYear = date.getFullYear() === now.getFullYear();
    return `${(sameYear ? formats.day : formats.date).format(date)}, ${clock}`;
  }
  return `${formats.date.format(date)}, ${formats.time.format(date)}`;
}

export const utc = (date) =>
  `${date.getUTCFullYear()}-${pad(date.getUTCMonth() + 1)}-${pad(date.getUTCDate())} ` +
  `${pad(date.getUTCHours())}:${pad(date.getUTCMinutes())}:${pad(date.getUTCSeconds())} UTC`;

const counting = new Set();

class IotTime extends HTMLElement {
  static observedAttributes = ["datetime", "form"];
  connectedCallback() { counting.add(this); this.show(); }
  disconnectedCallback() { counting.delete(this); }
  attributeChangedCallback() { this.show(); }
  show() {
    const date = new Date(this.getAttribute("datetime"));
    if (Number.isNaN(date.getTime())) return;
    const told = shown(date, this.getAttribute("form") || "full");
    if (this.textContent !== told) this.textContent = told;
    const title = utc(date);
    if (this.title !== title) this.title = title;
  }
}

class IotZone extends HTMLElement {
  connectedCallback() { this.textContent = zone.replaceAll("_", " "); }
}

// A tiny line without axes: attribute `points` is numbers separated by spaces; `-` is a gap.
class IotSpark extends HTMLElement {
  static observedAttributes = ["points"];
  connectedCallback() { this.draw(); }
  attributeChangedCallback() { this.draw(); }
  draw() {
    const values = (this.getAttribute("points") || "").split(" ").map((each) => (each === "-" || each === "" ? NaN : Number(each)));
    const known = values.filter(Number.isFinite);
    if (known.length < 2) { this.replaceChildren(); return; }
    let low = Math.min(...known), high = Math.max(...known);
    if (this.hasAttribute("zero")) low = Math.min(0, low);
    if (high === low) { high += 1; low -= 1; }
    const width = 100, height = 28, step = width / (values.length - 1);
    let path = "", pen = false;
    values.forEach((value, index) => {
      if (!Number.isFinite(value)) { pen = false; return; }
      const y = height - 2 - ((value - low) / (high - low)) * (height - 4);
      path += `${pen ? "L" : "M"}${(index * step).toFixed(2)} ${y.toFixed(2)}`;
      pen = true;
    });
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    line.setAttribute("d", path);
    line.setAttribute("vector-effect", "non-scaling-stroke");
    svg.append(line);
    this.replaceChildren(svg);
  }
}

customElements.define("iot-time", IotTime);
customElements.define("iot-zone", IotZone);
customElements.define("iot-spark", IotSpark);
setInterval(() => {
  for (const each of counting) if (each.getAttribute("form") === "ago") each.show();
}, 1000);

// ---- keyboard, menu, theme: one listener each, on the document, whatever is drawn anew below it
const editing = (target) => target.closest("input, textarea, select, [contenteditable]") !== null;
const help = () => document.getElementById("help");
let pending = "";

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    document.body.classList.remove("menu-open");
    if (event.target.id === "device-search") event.target.blur();
    return;
  }
  if (editing(event.target)) {
    if (event.target.id === "device-search" && event.key === "ArrowDown") {
      document.querySelector(".suggestion[href]")?.focus();
      event.preventDefault();
    }
    return;
  }
  if (event.target.closest?.(".suggestions") && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    const next = event.key === "ArrowDown" ? event.target.nextElementSibling : event.target.previousElementSibling;
    (next?.matches("a") ? next : event.key === "ArrowUp" ? document.getElementById("device-search") : event.target)?.focus();
    event.preventDefault();
    return;
  }
  if (pending === "g") {
    pending = "";
    const link = [...document.querySelectorAll(".nav-link")].find((each) => each.dataset.key === event.key);
    if (link) { event.preventDefault(); link.click(); }
    return;
  }
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "g") {
    pending = "g";
    setTimeout(() => (pending = ""), 1500);
  } else if (event.key === "/") {
    event.preventDefault();
    document.getElementById("device-search")?.focus();
  } else if (event.key === "?") {
    help()?.showModal();
  } else {
    // A page names its own keys on its own buttons.
    const button = [...document.querySelectorAll("[data-hotkey]")].find((each) => each.dataset.hotkey === event.key && !each.disabled);
    if (button) { event.preventDefault(); button.click(); }
  }
}, true);

document.addEventListener("click", (event) => {
  const action = event.target.closest("[data-action]")?.dataset.action;
  if (action === "theme") told(`Colours: ${window.iotTheme.next()}`);
  else if (action === "help") help()?.showModal();
  else if (action === "close-help") help()?.close();
  else if (action === "menu") document.body.classList.toggle("menu-open");
  else if (!event.target.closest(".sidebar")) document.body.classList.remove("menu-open");
  if (!event.target.closest(".search")) document.querySelector(".suggestions")?.classList.add("hidden");
});

let telling;
export function told(message) {
  let toast = document.getElementById("toast");
  if (!toast) {
    toast = Object.assign(document.createElement("div"), { id: "toast", className: "toast" });
    toast.setAttribute("role", "status");
    document.body.append(toast);
  }
  toast.textContent = message;
  toast.classList.add("shown");
  clearTimeout(telling);
  telling = setTimeout(() => toast.classList.remove("shown"), 1600);
}

// Quasar is there only after the page's own script ran.
const quasar = setInterval(() => {
  if (window.Quasar) { clearInterval(quasar); window.iotTheme.apply(); }
}, 50);

// ---- what this browser remembers: a field names it with data-remember
export function remember(field) {
  const key = `iot-${field.dataset.remember}`;
  try {
    const known = localStorage.getItem(key);
    if (known && !field.value) {
      field.value = known;
      field.dispatchEvent(new Event("input", { bubbles: true }));
    }
    field.addEventListener("change", () => localStorage.setItem(key, field.value.trim()));
  } catch { /* a private window forgets */ }
}
new MutationObserver(() => {
  for (const field of document.querySelectorAll("[data-remember]:not([data-remembered])")) {
    field.dataset.remembered = "";
    remember(field);
  }
}).observe(document, { childList: true, subtree: true });

window.iot = { duration, shown, told, utc, zone };
