// Builds elements. Texts become text nodes, whatever stands in them: nothing here ever reads HTML.

/** h("a", {href: "#/"}, "text", child): attributes, `on…` listeners and `class`; null and false are left out. */
export function h(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Replaces what is in an element, unless it is the same text. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** The address of a part of the page: `#/part?key=value`. Empty values are left out. */
export function address(part, values = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    if (value !== null && value !== undefined && value !== "") query.set(key, value);
  }
  const text = query.toString();
  return `#/${part}${text ? `?${text}` : ""}`;
}

/** What Howdah answers for a path; throws with a sentence for people. */
export async function read(path, values = {}, signal = undefined) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    if (value !== null && value !== undefined && value !== "") query.set(key, value);
  }
  const answer = await fetch(`api/${path}?${query}`, { signal, cache: "no-store" });
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error(`Howdah answered ${answer.status}`);
  return answer.json();
}
