"use strict";
(function () {
  var filter = document.getElementById("filter");
  var words = document.getElementById("words");
  var shown = document.getElementById("shown");
  var items = Array.prototype.slice.call(document.querySelectorAll(".item"));
  filter.hidden = false;
  words.addEventListener("input", function () {
    var wanted = words.value.toLowerCase();
    var left = 0;
    items.forEach(function (item) {
      var hit = item.textContent.toLowerCase().indexOf(wanted) >= 0;
      item.hidden = !hit;
      left += hit ? 1 : 0;
    });
    shown.textContent = wanted ? left + " of " + items.length : "";
  });
})();
