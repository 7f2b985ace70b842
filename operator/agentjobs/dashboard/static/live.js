// What pages do beyond htmx: nothing on a page needs this to work.

// A page that could not be loaded tries again by itself.
if (document.querySelector("main .problem a[href]") && document.body.innerText.includes("tries again by itself")) {
  setTimeout(() => location.reload(), 5000);
}

// A refresh must not undo what a person is doing: open details, ticked boxes, chosen options and typed text stay.
document.addEventListener("htmx:beforeSwap", (event) => {
  const main = document.getElementById("main");
  if (main && main.contains(document.activeElement) && document.activeElement.matches("input[type=text], input[type=search], textarea, select")) {
    event.detail.shouldSwap = false;
  }
});
const isKept = (attribute, element) =>
  (attribute === "open" && element.matches("details")) ||
  (attribute === "checked" && element.checked !== element.defaultChecked) ||
  (attribute === "selected" && element.selected !== element.defaultSelected) ||
  (attribute === "value" && element.matches("input[type=text], input[type=search], textarea") && element.value !== element.defaultValue);
Idiomorph.defaults.callbacks.beforeAttributeUpdated = (attribute, element) => !isKept(attribute, element);
// What scripts have put on a page is no part of what the server sends.
Idiomorph.defaults.callbacks.beforeNodeMorphed = (element) => !(element instanceof Element && element.hasAttribute("data-kept"));
