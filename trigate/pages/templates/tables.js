// What every table that opens its rows needs. It is included before the script of its page.
"use strict";

// What a script element holds: JSON, compressed and written in letters.
async function unpacked(id) {
  const packed = document.getElementById(id).textContent.trim();
  const bytes = Uint8Array.from(atob(packed), letter => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// A new element. Text is text, whatever it says: never HTML.
function make(name, classes, text) {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  if (text !== undefined) made.textContent = text;
  return made;
}

// Lets a click or a key on the table row `made` call `toggle`; `below`, where it is open, makes what is shown under it.
function opening(made, open, toggle, below) {
  made.classList.add("row");
  made.classList.toggle("open", open);
  made.tabIndex = 0;
  made.addEventListener("click", toggle);
  made.addEventListener("keydown", event => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); toggle(); }
  });
  if (!open) return [made];
  const detail = make("tr", "detail"), cell = make("td");
  cell.colSpan = made.cells.length;
  cell.append(...below());
  detail.append(cell);
  return [made, detail];
}

// What is known of a row, as a list of names and texts; an empty text is left out.
function listed(tellAll) {
  const list = make("dl");
  tellAll((name, text) => { if (text) list.append(make("dt", "", name), make("dd", "", text)); });
  return list;
}
