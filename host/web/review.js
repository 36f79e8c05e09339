/* What the pages do beyond plain HTML: keys in the list of cases, a warning before a note is lost. Everything works without it. */
"use strict";

(function () {
  var links = Array.prototype.slice.call(document.querySelectorAll(".cases tbody th a"));
  var choice = document.getElementById("shortcuts");

  /* Keys of one letter can be switched off (WCAG 2.1.4), and the choice is kept. */
  function kept() {
    try { return localStorage.getItem("avvik-shortcuts") !== "off"; } catch (e) { return true; }
  }
  if (choice) {
    choice.closest(".shortcuts").hidden = false;
    choice.checked = kept();
    choice.addEventListener("change", function () {
      try { localStorage.setItem("avvik-shortcuts", choice.checked ? "on" : "off"); } catch (e) { /* not kept then */ }
    });
  }

  function isTyping(element) {
    return /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName) && element.type !== "checkbox" && element.type !== "radio";
  }

  document.addEventListener("keydown", function (event) {
    if (!choice || !choice.checked || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    var at = links.indexOf(document.activeElement);
    if (event.key === "j" || event.key === "k") {
      var next = event.key === "j" ? Math.min(at + 1, links.length - 1) : Math.max(at - 1, 0);
      if (links[next]) {
        links[next].focus();
        event.preventDefault();
      }
    } else if (event.key === "/" && document.getElementById("search")) {
      document.getElementById("search").focus();
      event.preventDefault();
    }
  });

  var note = document.querySelector("form.decide textarea");
  if (note) {
    var before = note.value, isSent = false;
    note.form.addEventListener("submit", function () { isSent = true; });
    window.addEventListener("beforeunload", function (event) {
      if (!isSent && note.value !== before) event.preventDefault();
    });
  }
})();
