(() => {
const page = document, root = page.documentElement, all = (what, within = page) => [...within.querySelectorAll(what)];
root.classList.remove("no-script");
// Copy a command, or select it where the clipboard is not available.
const copy = button => {
const code = button.parentElement.querySelector("code"), name = button.textContent;
const say = word => { button.textContent = word; setTimeout(() => button.textContent = name, 1500); };
(navigator.clipboard?.writeText(code.textContent) ?? Promise.reject()).then(() => say("Copied"), () => {
const range = page.createRange(); range.selectNodeContents(code);
const chosen = getSelection(); chosen.removeAllRanges(); chosen.addRange(range); say("Press Ctrl+C");
});
};
// Sort a table by a column: numbers by data-v, missing ones last.
const sort = head => {
const table = head.closest("table"), place = head.cellIndex, up = head.getAttribute("aria-sort") !== "ascending";
const numeric = head.hasAttribute("data-n"), value = row => row.cells[place].dataset.v ?? row.cells[place].textContent;
all("th[aria-sort]", table).forEach(each => each.setAttribute("aria-sort", "none"));
head.setAttribute("aria-sort", up ? "ascending" : "descending");
const order = (a, b) => {
const one = value(a), two = value(b);
if (numeric && (one === "" || two === "")) return (one === "") - (two === "");
return (numeric ? one - two : one.localeCompare(two)) * (up ? 1 : -1);
};
table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
};
page.addEventListener("click", event => {
const button = event.target.closest("button"), head = button?.closest("th[aria-sort]");
if (button?.dataset.copy !== undefined) copy(button);
if (head) sort(head);
});
// Filter the rows of a table by words, and by significance.
all("[data-filters]").forEach(tools => {
const table = page.getElementById(tools.dataset.filters), told = tools.querySelector("[role=status]");
const rows = [...table.tBodies[0].rows], texts = rows.map(row => row.textContent.toLowerCase());
tools.addEventListener("input", () => {
const words = tools.querySelector("[type=search]").value.toLowerCase().split(/\s+/);
const sure = tools.querySelector("[type=checkbox]").checked;
let count = 0;
rows.forEach((row, number) => {
const shown = words.every(word => texts[number].includes(word)) && (!sure || row.dataset.sure === "1");
row.hidden = !shown; count += shown;
});
told.textContent = `${count} of ${rows.length} rows`;
});
});
// A tooltip with the definition of a term: on hover and focus, until Escape; it can be hovered itself.
let tip, waiting, about;
const hide = () => { all("[aria-describedby=tip]").forEach(each => each.removeAttribute("aria-describedby")); tip?.remove(); tip = null; };
const later = () => { waiting = setTimeout(hide, 200); };
const show = term => {
const text = page.getElementById(term.hash.slice(1))?.querySelector("dd");
clearTimeout(waiting); hide();
if (!text) return;
tip = page.createElement("div"); tip.id = "tip"; tip.role = "tooltip"; tip.textContent = text.textContent;
tip.addEventListener("mouseenter", () => clearTimeout(waiting)); tip.addEventListener("mouseleave", later);
page.body.append(tip);
about = term; place();
term.setAttribute("aria-describedby", "tip");
};
const place = () => {
if (!tip) return;
const at = about.getBoundingClientRect(), own = tip.getBoundingClientRect();
tip.style.left = `${Math.max(8, Math.min(at.left, root.clientWidth - own.width - 8))}px`;
tip.style.top = `${at.bottom + own.height + 12 < innerHeight ? at.bottom + 4 : Math.max(8, at.top - own.height - 4)}px`;
};
all("a.term").forEach(term => {
term.addEventListener("mouseenter", () => show(term)); term.addEventListener("focus", () => show(term));
term.addEventListener("mouseleave", later); term.addEventListener("blur", hide);
});
page.addEventListener("keydown", event => { if (event.key === "Escape") hide(); });
addEventListener("scroll", place, { passive: true });
// On a phone sections are folded; a link into a fold opens it.
const target = () => location.hash && page.getElementById(decodeURIComponent(location.hash.slice(1)));
if (matchMedia("screen and (max-width: 40rem)").matches) all(".fold").forEach(each => each.open = false);
const open = () => {
const there = target();
if (!there) return;
const inner = there.matches("section") ? there.querySelector(".fold") : there;
for (let each = inner?.closest("details"); each; each = each.parentElement.closest("details")) each.open = true;
there.scrollIntoView();
};
addEventListener("hashchange", open); open();
page.addEventListener("click", event => { if (event.target.closest("a[href^='#']")?.hash === location.hash) open(); });
// The current section in the contents.
const links = new Map(all(".contents a").map(each => [each.hash.slice(1), each]));
const watch = new IntersectionObserver(entries => {
const here = entries.find(each => each.isIntersecting)?.target.id;
if (!here) return;
links.forEach((each, id) => id === here ? each.setAttribute("aria-current", "true") : each.removeAttribute("aria-current"));
}, { rootMargin: "-10% 0px -80% 0px" });
links.forEach((_, id) => { const each = page.getElementById(id); if (each) watch.observe(each); });
})();
