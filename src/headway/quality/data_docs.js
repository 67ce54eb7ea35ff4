// What the pages of Great Expectations ask of jQuery, Bootstrap and bootstrap-table, so that they need no network.
(function () {
  const all = (what) =>
    what === document ? [document] : typeof what === "string" ? [...document.querySelectorAll(what)] : [what];

  function fill(table, { columns, data }) {
    const shown = columns.filter((column) => column.visible !== "false" && column.visible !== false);
    const body = document.createElement("tbody");
    const draw = (rows) => {
      body.replaceChildren(
        ...rows.map((row) => {
          const line = document.createElement("tr");
          for (const column of shown) {
            const cell = line.insertCell();
            cell.innerHTML = row[column.field] ?? "";
          }
          if (row._table_row_link_path) {
            line.className = "clickable-row";
            line.addEventListener("click", () => { window.location = row._table_row_link_path; });
          }
          return line;
        }),
      );
    };
    const head = table.createTHead().insertRow();
    let last = null;
    for (const column of shown) {
      const cell = document.createElement("th");
      cell.innerHTML = column.title ?? "";
      if (column.sortable) {
        const key = column.sortName || column.field;
        cell.className = "sortable";
        cell.addEventListener("click", () => {
          const up = last !== key;
          last = up ? key : null;
          const order = (a, b) => (a[key] < b[key] ? -1 : a[key] > b[key] ? 1 : 0);
          draw([...data].sort((a, b) => (up ? order(a, b) : order(b, a))));
        });
      }
      head.append(cell);
    }
    const search = document.createElement("input");
    search.placeholder = "Search";
    search.className = "search";
    search.addEventListener("input", () => {
      const wanted = search.value.toLowerCase();
      draw(data.filter((row) => JSON.stringify(row).toLowerCase().includes(wanted)));
    });
    if (data.length > 10) table.before(search);
    table.append(body);
    // Of units the newest first; GX would sort by when they were judged.
    const unit = (row) => row._batch_identifier_sort ?? "";
    data.sort((a, b) => (unit(a) < unit(b) ? 1 : unit(a) > unit(b) ? -1 : 0));
    draw(data);
  }

  const wrap = (elements) => ({
    each(act) { elements.forEach((element, i) => act(i, element)); return this; },
    parent() { return wrap(elements.map((element) => element.parentElement).filter(Boolean)); },
    fadeIn() { elements.forEach((element) => { element.style.display = ""; }); return this; },
    fadeOut() { elements.forEach((element) => { element.style.display = "none"; }); return this; },
    prepend(html) { elements.forEach((element) => element.insertAdjacentHTML("afterbegin", html)); return this; },
    ready(act) { document.addEventListener("DOMContentLoaded", act); return this; },
    bootstrapTable(options) {
      if (typeof options === "object") elements.forEach((element) => fill(element, options));
      return this;
    },
    on() { return this; },
    modal() { return this; },
    popover() { return this; },
    tooltip() { return this; },
    scrollspy() { return this; },
  });

  window.$ = window.jQuery = (what) =>
    typeof what === "function" ? wrap([document]).ready(what) : wrap(all(what));
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("[data-toggle=collapse]");
    if (!link) return;
    event.preventDefault();
    const target = link.getAttribute("href") || link.dataset.target;
    document.querySelector(target)?.classList.toggle("show");
  });
})();
