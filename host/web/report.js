// Filter and sort of the list; rows of many fields in their cases. Everything is readable without it: the controls are hidden until it runs.
"use strict";
(function () {
  /* The row of a case, from the tables at the end (report_wide.c): label and value, one below the other. */
  function row_of(id) {
    var made = document.createElement("table"), own = document.getElementById(id);
    Array.prototype.forEach.call(own.closest(".rows").querySelectorAll("table"), function (part) {
      var heads = part.tHead.rows[0].cells, cells = part.tBodies[0].rows[own.sectionRowIndex].cells;
      for (var i = 1; i < cells.length; i++) {
        var line = made.insertRow();
        line.appendChild(document.createElement("th")).textContent = heads[i].textContent;
        line.insertCell().textContent = cells[i].textContent;
      }
    });
    return made;
  }
  Array.prototype.forEach.call(document.querySelectorAll(".row"), function (place) {
    var button = document.createElement("button"), id = place.firstChild.hash.slice(1), table = null;
    button.type = "button";
    button.textContent = place.textContent;
    button.setAttribute("aria-expanded", "false");
    place.replaceChild(button, place.firstChild);
    button.addEventListener("click", function () {
      if (!table) place.parentNode.insertBefore(table = row_of(id), place.nextSibling);
      else table.hidden = !table.hidden;
      button.setAttribute("aria-expanded", table.hidden ? "false" : "true");
    });
  });
})();
(function () {
  var table = document.getElementById("list"), tools = document.getElementById("tools");
  if (!table || !tools) return;
  var body = table.tBodies[0], rows = Array.prototype.slice.call(body.rows), words = document.getElementById("words");
  var office = document.getElementById("office"), chosen = document.getElementById("chosen"), count = document.getElementById("count");
  function filter() {
    var wanted = words.value.toLowerCase().split(/\s+/), shown = 0;
    rows.forEach(function (row) {
      var text = row.textContent.toLowerCase();
      var fits = (!office.value || row.cells[2].textContent.trim() === office.value) &&
        (!chosen.value || (row.className === "random") === (chosen.value === "random")) &&
        wanted.every(function (word) { return text.indexOf(word) >= 0; });
      row.hidden = !fits;
      shown += fits ? 1 : 0;
    });
    count.textContent = shown + " / " + rows.length + " " + count.dataset.word;
  }
  /* What a cell sorts by. Numbers are written as people of the page's language write them. */
  function key(row, column, isNumber) {
    var text = row.cells[column].textContent.trim();
    if (!isNumber) return text;
    text = text.replace(/\s/g, "");
    return parseFloat(document.documentElement.lang === "en" ? text.replace(/,/g, "") : text.replace(",", "."));
  }
  function sort(head, column) {
    var down = head.getAttribute("aria-sort") === "ascending", isNumber = head.dataset.sort === "n";
    Array.prototype.forEach.call(table.tHead.rows[0].cells, function (other) { other.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    rows.sort(function (a, b) {
      var x = key(a, column, isNumber), y = key(b, column, isNumber);
      var order = typeof x === "number" ? (isNaN(x) ? 1 : isNaN(y) ? -1 : x - y) : x.localeCompare(y);
      return down ? -order : order;
    });
    rows.forEach(function (row) { body.appendChild(row); });
  }
  Array.prototype.forEach.call(table.tHead.rows[0].cells, function (head, column) {
    if (!head.dataset.sort) return;
    var button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.textContent = "";
    head.appendChild(button);
    button.addEventListener("click", function () { sort(head, column); });
  });
  [words, office, chosen].forEach(function (control) { control.addEventListener("input", filter); });
  tools.addEventListener("submit", function (event) { event.preventDefault(); });
  tools.hidden = false;
  filter();
})();
