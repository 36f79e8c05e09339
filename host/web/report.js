// Filter and sort of the list. Everything is readable without it: the controls are hidden until it runs.
"use strict";
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
  function key(row, column) {
    var cell = row.cells[column], value = cell.dataset.v;
    return value !== undefined ? parseFloat(value) : column === 0 ? parseInt(cell.textContent, 10) : cell.textContent.trim();
  }
  function sort(head, column) {
    var down = head.getAttribute("aria-sort") === "ascending";
    Array.prototype.forEach.call(table.tHead.rows[0].cells, function (other) { other.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    rows.sort(function (a, b) {
      var x = key(a, column), y = key(b, column);
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
