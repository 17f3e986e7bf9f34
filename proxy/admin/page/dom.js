// Elements are made from text alone: nothing that a call carried is ever parsed
// as markup.

export function el(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  for (const child of children) {
    if (child !== null && child !== undefined) node.append(child); // strings become text nodes
  }
  return node;
}

export function titled(node, title) {
  node.title = title;
  return node;
}

export function svg(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

// text sets a node's text only when it differs, so that a selection survives.
export function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

export function cls(node, name, on) {
  node.classList.toggle(name, Boolean(on));
}

// keyed makes the children of parent those of items, in their order, keeping
// the node of each key: update(node, item) refreshes it, make(item) is asked
// only for new ones. Items may share a key; the second then has one of its own.
export function keyed(parent, items, key, make, update) {
  const old = new Map();
  for (const node of parent.children) old.set(node.dataset.key, node);
  const used = new Set();
  let place = parent.firstElementChild;
  for (const item of items) {
    let k = key(item);
    while (used.has(k)) k += "\n+";
    used.add(k);
    let node = old.get(k);
    if (node) {
      old.delete(k);
    } else {
      node = make(item);
      node.dataset.key = k;
    }
    if (update) update(node, item);
    if (node === place) {
      place = place.nextElementSibling;
    } else {
      parent.insertBefore(node, place);
    }
  }
  for (const node of old.values()) node.remove();
}

// millis writes a duration in three figures: 0.42 ms, 42 ms, 4.2 s, 4 m 02 s.
export function millis(ms) {
  if (!ms) return "0";
  if (ms < 1) return ms.toFixed(2) + " ms";
  if (ms < 10) return ms.toFixed(1) + " ms";
  if (ms < 1000) return Math.round(ms) + " ms";
  if (ms < 10000) return (ms / 1000).toFixed(2) + " s";
  if (ms < 60000) return (ms / 1000).toFixed(1) + " s";
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return Math.floor(seconds / 60) + " m " + String(seconds % 60).padStart(2, "0") + " s";
  return Math.floor(seconds / 3600) + " h " + String(Math.floor(seconds / 60) % 60).padStart(2, "0") + " m";
}

// In powers of 1,024, as sizes are in the configuration.
export function bytes(n) {
  if (n < 1024) return n + " B";
  for (const unit of ["KiB", "MiB"]) {
    n /= 1024;
    if (Math.round(n) < 1024) return n.toFixed(n < 10 ? 1 : 0) + " " + unit;
  }
  return (n / 1024).toFixed(1) + " GiB";
}

export function count(n) {
  if (n < 1000) return Number.isInteger(n) ? String(n) : n.toFixed(n < 10 ? 1 : 0);
  return Math.round(n).toLocaleString("en").replaceAll(",", "\u202f");
}
