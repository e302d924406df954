"use strict";
// Shows the state that the server sends, and sends what the person does. All texts are set as text, never as markup.

const at = (id) => document.getElementById(id);
let state = null;

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in node) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

async function ask(path, given) {
  const options = given === undefined ? {} : {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(given),
  };
  try {
    const response = await fetch(path, options);
    return await response.json();
  } catch {
    return {error: "The server does not answer: is it still running?"};
  }
}

function showError(text) {
  at("error").textContent = text || "";
  at("error").hidden = !text;
}

async function act(path, given) {
  document.body.setAttribute("aria-busy", "true");
  const answer = await ask(path, given);
  document.body.removeAttribute("aria-busy");
  showError(answer.error);
  if (answer.error) {
    if (state) show(state);  // a choice that was refused is shown as it was
  } else {
    at("advice").hidden = true;
    show(answer);
  }
}

function showBoard(view) {
  const width = view.cells[0].length;
  const board = make("div", {className: "board"});
  board.style.gridTemplateColumns = `${view.rows.length ? "auto " : ""}repeat(${width}, minmax(0, 1fr))`;
  board.style.maxWidth = `${Math.min(40, width * 6)}rem`;
  if (view.columns.length) {
    if (view.rows.length) board.append(make("span"));
    board.append(...view.columns.map((label) => make("span", {className: "label"}, label)));
  }
  view.cells.forEach((row, number) => {
    if (view.rows.length) board.append(make("span", {className: "label"}, view.rows[number]));
    for (const cell of row) {
      const node = make(cell.move === null ? "span" : "button", {className: cell.is_new ? "cell is_new" : "cell"});
      node.dataset.symbol = cell.symbol;
      if (cell.owner !== null) node.dataset.owner = cell.owner % 6;
      if (cell.move !== null) {
        node.dataset.move = cell.move;
        node.setAttribute("aria-label", `play ${cell.move}`);
        node.onclick = () => act("/move", {move: cell.move});
        // All cells of a move light up together; only empty ones show it.
        node.onmouseenter = node.onmouseleave = (event) => {
          for (const other of board.querySelectorAll("button.cell")) {
            const on = event.type === "mouseenter" && other.dataset.move === cell.move && !other.dataset.owner;
            other.classList.toggle("aimed", on);
          }
        };
      }
      board.append(node);
    }
  });
  return board;
}

function showView(view) {
  if (view.kind === "board") at("view").replaceChildren(showBoard(view));
  else if (view.kind === "text") at("view").replaceChildren(make("pre", {}, view.text));
  else at("view").replaceChildren(make("img", {src: view.url, alt: "the match as the environment draws it"}));
}

function choose(select, names, chosen) {
  select.replaceChildren(...names.map((name) => make("option", {value: name}, name)));
  select.value = chosen;
}

function show(next) {
  state = next;
  document.title = `Play ${state.title}`;
  at("title").textContent = `${state.title}, match ${state.match}`;
  at("seats").textContent = state.seats;
  at("status").textContent = state.result || `Your move as ${state.waiting}`;
  showView(state.view);
  at("legal").replaceChildren(...(state.legal || []).map((name) => {
    return make("button", {onclick: () => act("/move", {move: name})}, name);
  }));
  at("numbers").hidden = state.numbers === null;
  at("numbers_hint").textContent = state.numbers ? `Your move, as ${state.numbers}` : "";
  at("undo").disabled = !state.can_undo;
  at("ask").disabled = state.waiting === null;
  choose(at("player"), state.players, state.player);
  choose(at("side"), state.sides, state.side);
  at("moves").replaceChildren(...state.moves.map((move) => {
    const who = move.who === "you" ? "you" : `${move.agent} (${move.who})`;
    return make("li", {}, `${who}: `, make("b", {}, move.name || "a move that you do not see"));
  }));
  at("moves").scrollTop = at("moves").scrollHeight;
}

async function showAdvice() {
  const advice = await ask("/advice");
  showError(advice.error);
  if (advice.error) return;
  const lines = [make("p", {}, `In your place as ${state.waiting} the agent would play:`)];
  for (const [name, share] of (advice.probabilities || []).slice(0, 12)) {
    lines.push(make("div", {className: "bar"}, make("span", {}, name), make("progress", {max: 1, value: share}),
                    make("span", {}, `${(100 * share).toFixed(1)} %`)));
  }
  if (advice.action !== null) lines.push(make("p", {}, advice.action));
  if (advice.probabilities === null && advice.action === null) lines[0].textContent = "This player gives no advice here.";
  if (advice.value !== null) lines.push(make("p", {}, `Its value of your position: ${advice.value.toFixed(3)}`));
  at("advice").replaceChildren(...lines);
  at("advice").hidden = false;
}

at("ask").onclick = showAdvice;
at("undo").onclick = () => act("/undo", {});
at("new").onclick = () => act("/new", {});
at("player").onchange = (event) => act("/new", {player: event.target.value});
at("side").onchange = (event) => act("/new", {side: event.target.value});
at("numbers").onsubmit = (event) => {
  event.preventDefault();
  act("/move", {move: at("numbers_input").value});
};
ask("/state").then((answer) => (answer.error ? showError(answer.error) : show(answer)));
