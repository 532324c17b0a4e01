// Pages work without this. It keeps a form from being sent twice, and shows sums as soon as a number changes.
(() => {
  "use strict";
  let asking;
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.sent) return event.preventDefault();
    asking?.abort();
    form.dataset.sent = "yes";
    for (const button of form.querySelectorAll("button")) button.setAttribute("aria-disabled", "true");
  });
  // Coming back by the browser's own button finds forms as they were.
  addEventListener("pageshow", () => {
    for (const form of document.forms) delete form.dataset.sent;
    for (const button of document.querySelectorAll("[aria-disabled]")) button.removeAttribute("aria-disabled");
  });
  // The sum is put in its place, so that the focus stays where it is and a press of "Continue" is not lost.
  document.addEventListener("change", async (event) => {
    const form = event.target.form;
    if (!form || !("live" in form.dataset) || form.dataset.sent || !form.checkValidity()) return;
    asking?.abort();
    asking = new AbortController();
    const body = new URLSearchParams(new FormData(form, form.querySelector("[data-update]")));
    try {
      const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "text/html" }, signal: asking.signal });
      const sum = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("sum");
      if (answer.ok && sum) document.getElementById("sum")?.replaceWith(sum);
    } catch {
      // The next page shows it.
    }
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-live] .stepper button");
    const field = button?.parentElement.querySelector("input");
    if (!field?.value) return;
    event.preventDefault();
    if (button === button.parentElement.firstElementChild) field.stepDown();
    else field.stepUp();
    field.dispatchEvent(new Event("change", { bubbles: true }));
  });
})();
