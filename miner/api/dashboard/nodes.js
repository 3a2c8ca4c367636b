// The page's elements: made and changed by text alone, so that no text of a pool becomes markup.

export const find = (selector) => document.querySelector(selector);

export function element(tag, name = "", text = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text) made.textContent = text;
  return made;
}

/** Change only what is different: a reader's selection and focus stay. */
export function put(node, words) {
  const text = words ?? "";
  if (node.textContent !== text) node.textContent = text;
}

export function mark(node, key, value) {
  if (node.dataset[key] !== value) node.dataset[key] = value;
}

/** Have one child of `parent` for each item, in their order; a child stays as long as its key. */
export function keyed(parent, items, keyOf, make, update) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = known.get(key);
    if (child === undefined) {
      child = make(item);
      child.dataset.key = key;
    }
    known.delete(key);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
    update(child, item);
  }
  for (const child of known.values()) child.remove();
}

/** Write the head of a table; a column is {title, about}. */
export function head(table, columns) {
  table.tHead.rows[0].replaceChildren(...columns.map(({ title, about, number }) => {
    const cell = element("th", number ? "number" : "", title);
    cell.scope = "col";
    cell.setAttribute("role", "columnheader");
    if (about) cell.title = about;
    return cell;
  }));
}

/** A row with a cell for each column; on a phone the title stands in the cell. */
export function row(columns) {
  const made = element("tr");
  made.setAttribute("role", "row");
  for (const { title, name, number } of columns) {
    const cell = element("td", [name, number ? "number" : ""].join(" ").trim());
    cell.setAttribute("role", "cell");
    cell.dataset.title = title;
    made.append(cell);
  }
  return made;
}
