"use strict";
// The model: parameters by name, as one array of numbers in the order of META.parameters.
const $ = id => document.getElementById(id);
const META = JSON.parse($("model").textContent);
const { V, H, D, L, cell, activation, zoneout, networks, lineEnd, startId, unknown, normalize, characters } = META;
const GATES = { rnn: 1, lstm: 4, gru: 3 }[cell];
const IDS = new Map(characters.map((c, i) => [c, i]));

function half(u) {  // a number of 16 bits
  const sign = u >> 15 ? -1 : 1, exponent = (u >> 10) & 31, fraction = u & 1023;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

function readWeights() {
  const bytes = Uint8Array.from(atob($("weights").textContent), c => c.charCodeAt(0));
  const numbers = META.dtype === "<f4" ? new Float32Array(bytes.buffer)
    : Float32Array.from(new Uint16Array(bytes.buffer), half);
  const weights = {};
  let start = 0;
  for (const [name, size] of META.parameters) weights[name] = numbers.subarray(start, start += size);
  return weights;
}

const W = readWeights();
const NETWORKS = networks.map(prefix => Object.fromEntries(
  Object.keys(W).filter(name => name.startsWith(prefix)).map(name => [name.slice(prefix.length), W[name]])));

const sigmoid = a => 1 / (1 + Math.exp(-a));
const PHI = {
  tanh: Math.tanh, relu: a => Math.max(a, 0), sigmoid, leaky_relu: a => Math.max(a, 0.01 * a),
  softsign: a => a / (1 + Math.abs(a)),
}[activation];

function product(M, x, y, b) {  // y = M x + b
  for (let i = 0, at = 0; i < y.length; i++) {
    let sum = 0;
    for (let j = 0; j < x.length; j++) sum += M[at++] * x[j];
    y[i] = sum + (b ? b[i] : 0);
  }
}

const STEP = {  // the equations of the cells: a = W_xh x + b_h, v = W_hh h; h and c are changed in place
  rnn: (i, a, v, h) => { h[i] = PHI(a[i] + v[i]); },
  lstm: (i, a, v, h, c) => {
    const at = k => a[k * H + i] + v[k * H + i];
    c[i] = sigmoid(at(1)) * c[i] + sigmoid(at(0)) * Math.tanh(at(3));
    h[i] = sigmoid(at(2)) * Math.tanh(c[i]);
  },
  gru: (i, a, v, h, c, b_n) => {
    const r = sigmoid(a[i] + v[i]), z = sigmoid(a[H + i] + v[H + i]);
    const n = Math.tanh(a[2 * H + i] + r * (v[2 * H + i] + b_n[i]));
    h[i] = n + z * (h[i] - n);
  },
}[cell];

const a = new Float32Array(GATES * H), v = new Float32Array(GATES * H);
const newState = () => NETWORKS.map(() => Array.from({ length: L }, () => [new Float32Array(H), new Float32Array(H)]));

function readCharacter(id, state) {  // returns the logits of the next character
  const logits = new Float64Array(V), own = new Float32Array(V);
  NETWORKS.forEach((net, k) => {
    if (id === lineEnd) for (const parts of state[k]) for (const part of parts) part.fill(0);
    let x = net["embed.W"].subarray(id * D, (id + 1) * D);
    state[k].forEach(([h, c], l) => {
      const layer = name => net[`layers.${l}.${name}`], before = zoneout ? [h.slice(), c.slice()] : null;
      product(layer("W_xh"), x, a, layer("b_h"));
      product(layer("W_hh"), h, v);
      for (let i = 0; i < H; i++) STEP(i, a, v, h, c, layer("b_n"));
      if (zoneout) [h, c].forEach((part, p) => part.forEach((now, i) => { part[i] = now + zoneout * (before[p][i] - now); }));
      x = h;
    });
    product(net["head.W_hy"], x, own, net["head.b_y"]);
    for (let i = 0; i < V; i++) logits[i] += own[i] / NETWORKS.length;
  });
  return logits;
}

function probabilities(logits, temperature, topP) {  // temperature, then top-p, as `charrnn sample` has them
  const allowed = unknown ? V - 1 : V, largest = logits.slice(0, allowed).reduce((x, y) => Math.max(x, y));
  let p = Array.from(logits, (y, i) => i < allowed ? Math.exp((y - largest) / temperature) : 0);
  let total = p.reduce((x, y) => x + y);
  if (topP < 1) {
    const sorted = [...p].sort((x, y) => y - x);
    let mass = 0, least = 0;
    for (const q of sorted) { least = q; mass += q; if (mass >= topP * total) break; }
    p = p.map(q => q < least ? 0 : q);
    total = p.reduce((x, y) => x + y);
  }
  return p.map(q => q / total);
}

function draw(logits, temperature, topP) {
  if (temperature === 0) {
    const allowed = unknown ? V - 1 : V;
    let best = 0;
    for (let i = 1; i < allowed; i++) if (logits[i] > logits[best]) best = i;
    return best;
  }
  const p = probabilities(logits, temperature, topP);
  let u = Math.random(), last = 0;
  for (let i = 0; i < V; i++) if (p[i] > 0) { last = i; if ((u -= p[i]) < 0) break; }
  return last;
}

function idsOf(text) {  // and the characters that the model does not know
  const strange = new Set(), ids = [];
  for (const c of normalize === "none" ? text : text.normalize(normalize.toUpperCase())) {
    if (IDS.has(c)) ids.push(IDS.get(c));
    else if (unknown) ids.push(V - 1);
    else strange.add(c);
  }
  return [ids, [...strange]];
}

const copied = state => state.map(net => net.map(parts => parts.map(part => part.slice())));
let known = null;  // the ids of the last prompt, and the state and logits after it: of a longer one the rest is read

function afterPrompt() {
  const [ids, strange] = idsOf($("prompt").value);
  const longer = known?.ids.every((id, i) => id === ids[i]), state = longer ? known.state : newState();
  let logits = longer ? known.logits : readCharacter(startId, state);
  for (const id of ids.slice(longer ? known.ids.length : 0)) logits = readCharacter(id, state);
  known = { ids, state: copied(state), logits };
  return { state, logits, strange };
}

// The page.
const SIGNS = { "\n": "newline", " ": "space", "\t": "tab" };
let run = 0;  // number of the text being written, 0 for none

function showNext(logits) {
  const p = probabilities(logits, 1, 1);
  const top = [...p.keys()].sort((i, j) => p[j] - p[i]).slice(0, 8);
  $("next").tBodies[0].replaceChildren(...top.map(i => {
    const row = document.createElement("tr"), bar = document.createElement("span");
    for (const text of [SIGNS[characters[i]] ?? characters[i], `${(100 * p[i]).toFixed(1)} %`, ""]) row.insertCell().textContent = text;
    bar.className = "bar";
    bar.style.width = `${100 * p[i]}%`;
    row.cells[2].append(bar);
    return row;
  }));
}

function level(bits) { return bits < 1 ? 0 : bits < 2 ? 1 : bits < 4 ? 2 : bits < 7 ? 3 : 4; }

function append(id, logits) {
  const bits = -Math.log2(probabilities(logits, 1, 1)[id]), span = document.createElement("span");
  span.textContent = characters[id];
  span.className = `s${level(bits)}`;
  span.title = `${bits.toFixed(1)} bits`;
  $("text").append(span);
}

function stop(message) {
  run = 0;
  $("stop").disabled = true;
  $("status").textContent = message;
}

function write() {
  const mine = run = Date.now(), length = Number($("length").value), start = performance.now();
  const prompt = document.createElement("b");
  let { state, logits, strange } = afterPrompt(), count = 0;
  prompt.textContent = $("prompt").value;
  $("text").replaceChildren(prompt);
  $("stop").disabled = false;
  const note = strange.length ? ` Left out ${strange.join(" ")}, which the model does not know.` : "";
  $("status").textContent = `Writing.${note}`;
  const tick = () => {
    if (run !== mine) return;
    for (const end = performance.now() + 12; count < length && performance.now() < end; count++) {
      const id = draw(logits, Number($("temperature").value), Number($("top-p").value));
      append(id, logits);
      logits = readCharacter(id, state);
    }
    showNext(logits);
    if (count < length) return void setTimeout(tick);
    stop(`${count} characters, ${Math.round(count / (performance.now() - start) * 1000)} per second.${note}`);
  };
  tick();
}

$("form").addEventListener("submit", event => { event.preventDefault(); write(); });
$("stop").addEventListener("click", () => stop("Stopped."));
$("prompt").addEventListener("input", () => { if (!run) showNext(afterPrompt().logits); });
$("surprisal").addEventListener("change", event => {
  $("text").classList.toggle("surprisal", event.target.checked);
  $("key").hidden = !event.target.checked;
});
document.addEventListener("keydown", event => {
  if (event.key === "Escape" && run) stop("Stopped.");
  if (event.key === "Enter" && event.ctrlKey) write();
});
for (const id of ["temperature", "top-p"]) {
  const show = () => { $(`${id}-value`).textContent = $(id).value; };
  $(id).addEventListener("input", show);
  show();
}
// A link may set the form and start: page.html#prompt=Call+me&temperature=0&length=2000
const given = new URLSearchParams(location.hash.slice(1));
for (const [name, value] of given) if (["prompt", "temperature", "top-p", "length"].includes(name)) $(name).value = value;
for (const id of ["temperature", "top-p"]) $(id).dispatchEvent(new Event("input"));
if (given.has("surprisal")) $("surprisal").click();
if ([...given].length) write(); else showNext(afterPrompt().logits);
