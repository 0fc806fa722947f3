// The trade explorer: a table that sorts, filters and exports, and a drawing of the bars around each row. No library.
"use strict";
(async () => {
  const data = await unpacked("explorer-data");
  const root = document.getElementById("explorer");

  // Bars by their number: [minute of the ET day, open, high, low, close].
  const bars = new Map();
  for (const segment of data.segments) {
    let close = 0, minute = 0;
    segment.minute.forEach((step, n) => {
      minute += step;
      const [gap, above, below, body] = segment.prices.map(column => column[n]);
      const open = close + gap;
      close = open + body;
      bars.set(segment.first + n, [minute, open, Math.max(open, close) + above, Math.min(open, close) - below, close]);
    });
  }

  const decimals = (String(data.tick).split(".")[1] || "").length;
  const points = ticks => (ticks * data.tick).toLocaleString("en-US",
    {minimumFractionDigits: decimals, maximumFractionDigits: decimals});
  const signed = (value, digits) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);
  const dollars = cents => (cents < 0 ? "−$" : "$") + (Math.abs(cents) / 100).toLocaleString("en-US",
    {minimumFractionDigits: 2, maximumFractionDigits: 2});
  const clock = minute => String(Math.floor(minute / 60)).padStart(2, "0") + ":" + String(minute % 60).padStart(2, "0");
  const side = row => row.side > 0 ? "long" : "short";
  const phone = root.clientWidth < 560;
  const ended = row => row.trade ? row.trade.exit : "not traded";
  const contracts = row => row.taken && row.taken !== row.proposed ? row.proposed + " → " + row.taken : String(row.proposed);

  // What the gate's word was worth, by the bracket alone: a loss that was not taken is saved, a gain is missed.
  const spared = row => {
    if (!row.alone || (row.gate !== "vetoed" && row.gate !== "shrunk")) return null;
    return -row.alone.cents * (1 - row.taken / row.proposed);
  };
  const worth = row => {
    const cents = spared(row);
    return cents === null ? "" : (cents >= 0 ? "saved " : "cost ") + dollars(Math.abs(cents));
  };

  // name, heading, value to sort by, text to show, class
  const columns = [
    ["number", "#", row => row.trade ? row.trade.n : Infinity, row => row.trade ? row.trade.n : "–", "n"],
    ["decided_et", "decided, ET", row => row.bar, row => row.decided.slice(phone ? 5 : 0), "t"],
    ["side", "side", side, side, ""],
    ["contracts", "contracts", row => row.taken, contracts, "n w"],
    ["entry", "entry", row => row.trade ? row.trade.entryPrice : null, row => row.trade ? points(row.trade.entryPrice) : "–", "n w"],
    ["exit", "exit", row => row.trade ? row.trade.exitPrice : null, row => row.trade ? points(row.trade.exitPrice) : "–", "n w"],
    ["ended", "ended by", ended, ended, "g"],
    ["r", "R", row => row.trade ? row.trade.r : null, row => row.trade ? signed(row.trade.r, 2) : "–", "n s"],
    ["net_dollars", "net", row => row.trade ? row.trade.cents : null, row => row.trade ? dollars(row.trade.cents) : "–", "n s"],
    ["mae_r", "MAE", row => row.trade ? row.trade.maeR : null, row => row.trade ? row.trade.maeR.toFixed(2) : "–", "n w"],
    ["mfe_r", "MFE", row => row.trade ? row.trade.mfeR : null, row => row.trade ? row.trade.mfeR.toFixed(2) : "–", "n w"],
    ["regime", "regime", row => row.regime, row => row.regime, "w"],
    ["gate", "gate", row => row.gate, row => row.gate, "g"],
    ["gates_worth", "its word", spared, worth, "n w"],
  ];
  const choices = {
    what: [["all proposals", () => true], ["trades", row => Boolean(row.trade)], ["not traded", row => !row.trade]],
    side: byValue("both sides", side), exit: byValue("every exit", ended),
    regime: byValue("every regime", row => row.regime), gate: byValue("every verdict", row => row.gate),
  };
  function byValue(all, value) {
    const found = [...new Set(data.rows.map(value))].sort();
    return [[all, () => true], ...found.map(each => [each, row => value(row) === each])];
  }

  const STEP = 100;
  const state = {sort: "decided_et", down: false, most: STEP, open: null};
  const chosen = Object.fromEntries(Object.keys(choices).map(name => [name, 0]));
  if (data.rows.some(row => row.trade)) chosen.what = 1;

  const bar = make("div", "controls");
  for (const [name, options] of Object.entries(choices)) {
    const select = make("select");
    select.setAttribute("aria-label", name);
    options.forEach(([label], n) => select.add(new Option(label, n, n === chosen[name], n === chosen[name])));
    select.addEventListener("change", () => { chosen[name] = Number(select.value); state.most = STEP; render(); });
    bar.append(select);
  }
  const save = make("button", "", "save as csv");
  save.addEventListener("click", exportCsv);
  const count = make("p", "soft small");
  const scroll = make("div", "scroll tall"), table = make("table", "explored"), more = make("button", "further");
  more.addEventListener("click", () => { state.most += 5 * STEP; render(); });
  bar.append(save);
  scroll.append(table);
  root.append(bar, count, scroll, more);

  function shown() {
    const rows = data.rows.filter(row => Object.entries(choices).every(([name, options]) => options[chosen[name]][1](row)));
    const value = columns.find(column => column[0] === state.sort)[2];
    const order = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === null || y === null) return (x === null) - (y === null);  // what is not known comes last, either way
      return (x < y ? -1 : x > y ? 1 : a.bar - b.bar) * (state.down ? -1 : 1);
    };
    return rows.sort(order);
  }

  function render() {
    const rows = shown(), trades = rows.filter(row => row.trade);
    const net = trades.reduce((sum, row) => sum + row.trade.cents, 0);
    const mean = trades.reduce((sum, row) => sum + row.trade.r, 0) / trades.length;
    const proposals = some => some.filter(row => !row.again).length;  // an order of two trades has two rows
    count.textContent = `${proposals(rows)} of ${proposals(data.rows)} proposals` + (trades.length ?
      `; ${trades.length} trades, mean ${signed(mean, 3)} R, net ${dollars(net)}` : "");
    const head = make("tr");
    for (const [name, label, , , classes] of columns) {
      const cell = make("th", classes), sorter = make("button", "", label);
      const here = state.sort === name;
      cell.setAttribute("aria-sort", here ? (state.down ? "descending" : "ascending") : "none");
      sorter.addEventListener("click", () => {
        state.down = here ? !state.down : false;
        state.sort = name;
        render();
      });
      cell.append(sorter);
      head.append(cell);
    }
    table.replaceChildren(head, ...rows.slice(0, state.most).flatMap(row => line(row)));
    more.hidden = rows.length <= state.most;
    more.textContent = `show more of ${rows.length}`;
  }

  function line(row) {
    const made = make("tr");
    for (const [name, , , text, classes] of columns) {
      const cell = make("td", classes, text(row));
      if (row.trade && (name === "r" || name === "net_dollars")) cell.classList.add(row.trade.cents > 0 ? "up" : "down");
      if (name === "gate") cell.classList.add({approved: "approve", vetoed: "veto", shrunk: "resize"}[row.gate] || "none");
      if (name === "gates_worth" && worth(row)) cell.classList.add(worth(row).startsWith("saved") ? "up" : "down");
      made.append(cell);
    }
    const toggle = () => { state.open = state.open === row ? null : row; render(); };
    return opening(made, state.open === row, toggle, () => [drawing(row), facts(row)]);
  }

  const facts = row => listed(tell => {
    if (row.trade) {
      const trade = row.trade;
      tell("trade", `${side(row)} ${row.taken}, attempt ${trade.attempt}: in at ${points(trade.entryPrice)}, out ` +
        `${trade.exitTime} ET at ${points(trade.exitPrice)} by ${trade.exit}; ${signed(trade.r, 2)} R, ` +
        `${dollars(trade.cents)} after ${dollars(trade.costs)} of commissions`);
      tell("on the way", `at most ${points(trade.mae)} points behind (MAE ${trade.maeR.toFixed(2)} R) and ` +
        `${points(trade.mfe)} ahead (MFE ${trade.mfeR.toFixed(2)} R); the stop was moved ${trade.stops.length - 1} times`);
    }
    tell(row.gate === "not judged" ? "the market then" : "the gate was told", row.told);
    tell("the gate", row.gate + (row.odds ? `; approve ${row.odds[0].toFixed(1)} %, shrink ${row.odds[1].toFixed(1)} %, ` +
      `veto ${row.odds[2].toFixed(1)} %` : "") + (row.ms === null ? "" : `; in ${row.ms} ms`));
    tell("reason", row.reason);
    if (row.alone) {
      tell("the bracket alone", `${row.proposed} by ${row.alone.exit}: ${signed(row.alone.r, 2)} R, ` +
        `${dollars(row.alone.cents)}${worth(row) ? "; so its word " + worth(row) : ""}`);
    }
  });

  const SVG = "http://www.w3.org/2000/svg";
  function drawn(name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // Candles with entry, stop as it moved, target and exit; of a row without a trade its bracket as it would have been.
  function drawing(row) {
    const trade = row.trade, alone = row.alone, way = trade || alone;
    const last = way ? way.exitBar : row.bar, first = row.bar - 30;
    const numbers = [...bars.keys()].filter(n => n >= first && n <= last + 15).sort((a, b) => a - b);
    const entry = way ? way.entryPrice : bars.get(row.bar)[4];
    const target = trade ? trade.target : entry + row.side * row.targetTicks;
    const stops = trade ? trade.stops : [[row.bar + 1, entry - row.side * row.stopTicks]];
    const prices = numbers.flatMap(n => [bars.get(n)[2], bars.get(n)[3]]).concat(target, stops.map(stop => stop[1]));
    const narrow = root.clientWidth < 560, width = Math.max(300, scroll.clientWidth - 24);
    const height = narrow ? 280 : 340, right = 70, bottom = 22, top = 8;
    const low = Math.min(...prices), high = Math.max(...prices), span = Math.max(1, high - low) * 1.06;
    const y = ticks => top + (high + span * 0.03 - ticks) / span * (height - bottom - top);
    const step = (width - right) / numbers.length, x = n => (numbers.indexOf(n) + 0.5) * step;
    const svg = drawn("svg", {viewBox: `0 0 ${width} ${height}`, width, class: "candles", role: "img",
      "aria-label": `bars around the ${side(row)} proposal of ${row.decided} ET`});
    const put = (name, attributes, text) => svg.append(drawn(name, attributes, text));

    const grid = niceStep(span * data.tick / 5) / data.tick;
    for (let level = Math.ceil(low / grid) * grid; level <= high; level += grid) {
      put("line", {x1: 0, x2: width - right, y1: y(level), y2: y(level), class: "grid"});
    }
    const every = Math.ceil(numbers.length / (narrow ? 5 : 10));
    numbers.forEach((n, k) => {
      if (k % every === Math.floor(every / 2)) {
        put("text", {x: x(n), y: height - 6, "text-anchor": "middle"}, clock(bars.get(n)[0]));
      }
    });
    for (const n of numbers) {
      const [, open, top_, bottom_, close] = bars.get(n), body = Math.max(1, Math.abs(y(open) - y(close)));
      const kind = close >= open ? "rise" : "fall";
      put("line", {x1: x(n), x2: x(n), y1: y(top_), y2: y(bottom_), class: kind});
      put("rect", {x: x(n) - step * 0.34, width: step * 0.68, y: Math.min(y(open), y(close)), height: body, class: kind});
    }
    const from = x(numbers.includes(row.bar + 1) ? row.bar + 1 : row.bar) - step / 2, until = x(last) + step / 2;
    const faint = trade ? "" : " faint";
    put("line", {x1: from, x2: until, y1: y(entry), y2: y(entry), class: "entry" + faint});
    put("line", {x1: from, x2: until, y1: y(target), y2: y(target), class: "target" + faint});
    let path = "";
    stops.forEach(([n, price], k) => {
      const end = k + 1 < stops.length ? x(stops[k + 1][0]) - step / 2 : until;
      path += `${k ? "V" : "M" + (x(n) - step / 2) + " "}${y(price)}H${end}`;
    });
    put("path", {d: path, class: "stop" + faint});
    const arrow = row.side > 0 ? 1 : -1, tip = y(entry), at = from;
    put("path", {d: `M${at - 9} ${tip + 5 * arrow}L${at} ${tip}L${at - 9} ${tip - 5 * arrow}Z`, class: "mark" + faint});
    if (way) {
      put("circle", {cx: x(way.exitBar), cy: y(way.exitPrice), r: 4.5, class: (way.cents > 0 ? "won" : "lost") + faint});
    }
    if (trade) {
      for (const [ticks, name] of [[-trade.mae, "MAE"], [trade.mfe, "MFE"]]) {
        const level = y(entry + row.side * ticks);
        put("line", {x1: until - 3, x2: until + 10, y1: level, y2: level, class: "excursion"});
        put("text", {x: until + 13, y: level + 4}, name);
      }
    }
    const labels = [["target", target], ["entry", entry], ["stop", stops[stops.length - 1][1]]];
    if (way) labels.push(["exit", way.exitPrice]);
    let floor = -Infinity;
    labels.map(([name, price]) => [y(price), name, price]).sort((a, b) => a[0] - b[0]).forEach(([level, name, price]) => {
      floor = Math.max(level + 4, floor + 12);
      put("text", {x: width - right + 6, y: Math.min(floor, height - 2), class: "at-" + name}, points(price));
    });
    return svg;
  }

  function niceStep(rough) {
    const power = 10 ** Math.floor(Math.log10(rough)), lead = rough / power;
    return (lead < 1.5 ? 1 : lead < 3.5 ? 2.5 : lead < 7.5 ? 5 : 10) * power;
  }

  function exportCsv() {
    const quoted = value => {
      let text = value === null || value === undefined || value === Infinity ? "" : String(value);
      if (/^[=+\-@]/.test(text) && isNaN(Number(text))) text = "'" + text;  // a spreadsheet must not take it for a formula
      return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const plain = {
      decided_et: row => row.decided,
      entry: row => row.trade ? row.trade.entryPrice * data.tick : null,
      exit: row => row.trade ? row.trade.exitPrice * data.tick : null,
      net_dollars: row => row.trade ? row.trade.cents / 100 : null,
      gates_worth: row => spared(row) === null ? null : spared(row) / 100,
    };
    const extra = [["exit_et", row => row.trade ? row.trade.exitTime : null], ["part", row => row.part],
      ["proposed", row => row.proposed], ["alone_r", row => row.alone ? row.alone.r : null], ["told", row => row.told],
      ["reason", row => row.reason]];
    const fields = columns.map(([name, , value]) => [name, plain[name] || value]).concat(extra);
    const lines = [fields.map(field => field[0]), ...shown().map(row => fields.map(field => quoted(field[1](row))))];
    const url = URL.createObjectURL(new Blob([lines.map(cells => cells.join(",")).join("\n") + "\n"], {type: "text/csv"}));
    const link = make("a");
    link.href = url;
    link.download = "trades.csv";
    link.click();
    URL.revokeObjectURL(url);
    root.dataset.exported = lines.length - 1;
  }

  const asked = new URLSearchParams(location.hash.slice(1)).get("trade");
  state.open = data.rows.find(row => row.trade && String(row.trade.n) === asked) || null;
  render();
  root.dataset.ready = data.rows.length;
})();
