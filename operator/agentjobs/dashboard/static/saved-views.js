// The list of jobs: views saved in this browser, and a box that selects all jobs.

const KEY = "agentjobs.views";
const place = document.getElementById("saved-views");

const saved = () => {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) || "[]");
    return found.filter((one) => typeof one.name === "string" && typeof one.query === "string").slice(0, 50);
  } catch {
    return [];
  }
};
const save = (views) => { localStorage.setItem(KEY, JSON.stringify(views)); show(); };
const made = (tag, values, ...children) => {
  const element = Object.assign(document.createElement(tag), values);
  element.append(...children);
  return element;
};
// The place in the list is not part of a view.
const here = () => {
  const words = new URLSearchParams(location.search);
  words.delete("cursor");
  return words.toString();
};

function show() {
  const links = saved().flatMap((view) => {
    const link = made("a", { href: `/jobs?${view.query}`, textContent: view.name });
    if (view.query === here()) link.setAttribute("aria-current", "page");
    const forget = made("button", { type: "button", className: "forget", textContent: "×", title: `Forget the view ${view.name}` });
    forget.setAttribute("aria-label", forget.title);
    forget.addEventListener("click", () => save(saved().filter((one) => one.name !== view.name)));
    return [made("span", { className: "saved" }, link, forget)];
  });
  const name = made("input", { type: "text", maxLength: 40, required: true, placeholder: "Name of this view" });
  name.setAttribute("aria-label", "Name of this view");
  const form = made("form", { className: "save-view" }, name, made("button", { textContent: "Save view" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = name.value.trim();
    if (chosen) save([...saved().filter((one) => one.name !== chosen), { name: chosen, query: here() }]);
  });
  place.replaceChildren(...links, form);
}

function count() {
  const boxes = [...document.querySelectorAll("#list input[name=job]")];
  const ticked = boxes.filter((box) => box.checked).length;
  const words = document.getElementById("ticked");
  if (words) words.textContent = ticked ? `${ticked} selected:` : "Selected jobs:";
  const all = document.getElementById("tick-every");
  if (all) Object.assign(all, { checked: ticked > 0 && ticked === boxes.length, indeterminate: ticked > 0 && ticked < boxes.length });
}

function offerAll() {
  const head = document.getElementById("tick-all");
  if (!head || head.firstChild) return;
  const all = made("input", { type: "checkbox", id: "tick-every" });
  all.setAttribute("aria-label", "Select all jobs on this page");
  all.addEventListener("change", () => {
    for (const box of document.querySelectorAll("#list input[name=job]")) box.checked = all.checked;
    count();
  });
  head.append(all);
}

show();
offerAll();
count();
document.addEventListener("change", (event) => { if (event.target.matches("#list input[name=job]")) count(); });
document.addEventListener("htmx:afterSettle", () => { offerAll(); count(); });
