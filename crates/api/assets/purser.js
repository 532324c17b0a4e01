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
  document.addEventListener("change", (event) => {
    const form = event.target.form;
    if (form && "live" in form.dataset && form.reportValidity()) form.requestSubmit(form.querySelector("[data-update]"));
  });
})();
