// Creates and changes elements by text only, so that a pool's text never becomes markup.

export const find = (selector) => document.querySelector(selector);

export function element(tag, name = "", text = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text) made.textContent = text;
  return made;
}

/** Write only a different text, so that the reader's selection stays. */
export function setText(node, value) {
  const text = value ?? "";
  if (node.textContent !== text) node.textContent = text;
}

export function setData(node, key, value) {
  if (node.dataset[key] !== value) node.dataset[key] = value;
}

/** Give `parent` one child per item, in order; children are reused by key. */
export function updateChildren(parent, items, keyOf, make, update) {
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

const cellClass = (name, number) => [name, number && "number"].filter(Boolean).join(" ");

/** Write the head of a table; a column is {title, name, number}. */
export function tableHead(table, columns) {
  table.tHead.rows[0].replaceChildren(...columns.map(({ title, name, number }) => {
    const cell = element("th", cellClass(name, number), title);
    cell.scope = "col";
    cell.setAttribute("role", "columnheader");
    return cell;
  }));
}

/** A row with a cell for each column; a phone shows the title inside the cell. */
export function tableRow(columns) {
  const made = element("tr");
  made.setAttribute("role", "row");
  for (const { title, name, number } of columns) {
    const cell = element("td", cellClass(name, number));
    cell.setAttribute("role", "cell");
    cell.dataset.title = title;
    made.append(cell);
  }
  return made;
}
