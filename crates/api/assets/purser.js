// Pages work without this. It keeps a form from being sent twice, and shows sums as soon as a number changes.
(() => {
  "use strict";
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "yes";
    for (const button of form.querySelectorAll("button")) button.setAttribute("aria-disabled", "true");
  });
  // Coming back by the browser's own button finds forms as they were.
  addEventListener("pageshow", () => {
    for (const form of document.forms) delete form.dataset.sent;
    for (const button of document.querySelectorAll("[aria-disabled]")) button.removeAttribute("aria-disabled");
  });
  // The sum beside a form follows its numbers; whatever goes wrong with it shows when the form itself is sent.
  document.addEventListener("change", async (event) => {
    const form = event.target.form;
    const sum = document.getElementById("sum");
    if (!sum || !form || !("live" in form.dataset) || !form.checkValidity()) return;
    const body = new URLSearchParams(new FormData(form, form.querySelector("[data-update]")));
    const answer = await fetch(form.action, { method: "POST", body }).catch(() => null);
    if (!answer || !answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("sum");
    if (fresh) document.getElementById("sum").replaceWith(fresh);
  });
})();
