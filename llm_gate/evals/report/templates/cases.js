// The case browser: a table that filters, and of each row the question as it was sent. Whatever a model said goes into
// the page as text, never as HTML.
"use strict";
(async () => {
  const {rows, texts} = await unpacked("browser-data");
  const root = document.getElementById("browser");
  const STEP = 50;
  const state = {most: STEP, open: null, sought: ""};
  const word = row => row.answer === null ? "no verdict" : row.answer;
  const filters = {
    model: row => row.model, prompt: row => row.prompt, regime: row => row.regime, verdict: word,
    judged: row => row.judged, task: row => row.task,
  };
  const all = {model: "every model", prompt: "every prompt", regime: "every regime", verdict: "every verdict",
    judged: "right or wrong", task: "every task"};
  const chosen = Object.fromEntries(Object.keys(filters).map(name => [name, ""]));

  const bar = make("div", "controls");
  for (const [name, value] of Object.entries(filters)) {
    const found = [...new Set(rows.map(value))].sort();
    if (found.length < 2) continue;
    const select = make("select");
    select.setAttribute("aria-label", name);
    select.dataset.filter = name;
    select.add(new Option(all[name], ""));
    found.forEach(each => select.add(new Option(each, each)));
    select.addEventListener("change", () => { chosen[name] = select.value; state.most = STEP; render(); });
    bar.append(select);
  }
  const seek = make("input");
  seek.type = "search";
  seek.placeholder = "case";
  seek.setAttribute("aria-label", "case");
  seek.addEventListener("input", () => { state.sought = seek.value; state.most = STEP; render(); });
  bar.append(seek);
  const count = make("p", "soft small"), scroll = make("div", "scroll tall"), table = make("table", "browsed");
  const more = make("button", "further");
  more.addEventListener("click", () => { state.most += 5 * STEP; render(); });
  scroll.append(table);
  root.append(bar, count, scroll, more);

  const shown = () => rows.filter(row => row.case.includes(state.sought) &&
    Object.entries(filters).every(([name, value]) => chosen[name] === "" || value(row) === chosen[name]));
  const percent = share => (100 * share).toFixed(1) + " %";
  const odds = row => row.odds ? Object.entries(row.odds).map(([name, share]) => `${name} ${percent(share)}`).join(", ") : "–";
  const held = row => row.label !== null ? row.label :
    row.r !== null ? (row.r < 0 ? "−" : "+") + Math.abs(row.r).toFixed(2) + " R" : "–";

  // heading, text, class
  const columns = [
    ["case", row => row.case, ""], ["model", row => row.model, "w"], ["prompt, mode", row => row.prompt, "w"],
    ["regime", row => row.regime, "w"], ["verdict", word, "v"], ["label or outcome", held, ""],
    ["", row => row.judged, "j"], ["probabilities", odds, "w"],
  ];

  function render() {
    const found = shown(), right = found.filter(row => row.judged === "right").length;
    const known = right + found.filter(row => row.judged === "wrong").length;
    count.textContent = `${found.length} of ${rows.length} answers` + (known ? `; ${right} of ${known} right` : "");
    const head = make("tr");
    columns.forEach(([label, , classes]) => head.append(make("th", classes, label)));
    table.replaceChildren(head, ...found.slice(0, state.most).flatMap(line));
    more.hidden = found.length <= state.most;
    more.textContent = `show more of ${found.length}`;
  }

  function line(row) {
    const made = make("tr");
    for (const [, text, classes] of columns) made.append(make("td", classes, text(row)));
    made.querySelector(".j").classList.add({right: "has", wrong: "hasnot"}[row.judged] || "soft");
    const toggle = () => { state.open = state.open === row ? null : row; render(); };
    return opening(made, state.open === row, toggle, () => [facts(row), ...chat(row)]);
  }

  // The worked examples between instructions and case are the same for every case: folded.
  function chat(row) {
    const turns = row.chat.map(([role, number]) => turn(role, texts[number]));
    if (turns.length < 4) return turns;
    const examples = make("details");
    examples.append(make("summary", "small", `${turns.length - 2} turns of worked examples`), ...turns.slice(1, -1));
    return [turns[0], examples, turns.at(-1)];
  }

  function turn(role, text) {
    const made = make("div", "turn");
    made.append(make("div", "soft small", role), make("pre", "", text));
    return made;
  }

  const facts = row => listed(tell => {
    tell("asked", `${row.model}, ${row.prompt}, ${row.task}, ${row.split}, ${row.regime}` +
      (row.order ? `, letter order ${row.order}` : "") + (row.repeat ? `, repetition ${row.repeat}` : "") +
      (row.note ? `, note: ${row.note}` : ""));
    const letter = Object.entries(row.letters).find(([, meaning]) => meaning === row.answer);
    tell("answer", word(row) + (letter ? ` (${letter[0]})` : "") + ` in ${row.ms} ms`);
    tell("its reason", row.reason);
    tell("probabilities", row.odds ? odds(row) : "");
    tell("why none", row.error);
    tell("label or outcome", `${held(row)}: ${row.judged}`);
  });

  render();
  root.dataset.ready = rows.length;
})();
