"""Keys and names for people who do not use a mouse: one small widget that listens inside a box of widgets, and names its figures.

JupyterLab binds bare letters (D D deletes the cell) to whatever has the focus in a notebook in command mode; inside the box these are switched off.
"""

from collections.abc import Callable, Mapping

import anywidget
import traitlets

SCRIPT = """
function render({ model, el }) {
  let root = null;
  const press = (event) => {
    const inText = event.target.closest("input, textarea, select, [contenteditable=true]");
    if (event.key === "Escape") { document.activeElement.blur(); root.focus(); event.stopPropagation(); return; }
    if (inText || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!model.get("heard").includes(event.key.toLowerCase())) return;
    model.send({ key: event.key.toLowerCase() });
    event.preventDefault();
    event.stopPropagation();
  };
  const name = () => {
    for (const [part, words] of Object.entries(model.get("labels"))) {
      for (const figure of root.querySelectorAll("." + part)) {
        figure.setAttribute("role", "img");
        figure.setAttribute("aria-label", words);
      }
    }
    for (const [part, words] of Object.entries(model.get("groups"))) {
      for (const box of root.querySelectorAll("." + part)) {
        box.setAttribute("role", "group");
        box.setAttribute("aria-label", words);
      }
    }
  };
  let last = null;
  const note = (event) => {
    last = event.target;
    // JupyterLab's bindings say `:focus`: the focused element itself must be marked, a mark on what holds it comes too late.
    last.setAttribute("data-lm-suppress-shortcuts", "true");
  };
  const watcher = new MutationObserver((changes) => {
    for (const change of changes) {
      if (change.target === last && last.disabled) { root.focus({ preventScroll: true }); }
    }
  });
  const attach = () => {
    root = el.closest("." + model.get("inside"));
    if (!root) { timer = setTimeout(attach, 50); return; }
    root.setAttribute("data-lm-suppress-shortcuts", "true");
    root.setAttribute("tabindex", "-1");
    root.style.outlineOffset = "2px";
    root.addEventListener("keydown", press);
    root.addEventListener("focusin", note);
    // A button that is pressed and thereby switched off would drop the focus out of the box.
    watcher.observe(root, { attributes: true, attributeFilter: ["disabled"], subtree: true });
    name();
    timer = setTimeout(name, 1000);
  };
  let timer = setTimeout(attach, 0);
  el.style.display = "none";
  model.on("change:labels", () => root && name());
  return () => {
    clearTimeout(timer);
    watcher.disconnect();
    if (root) { root.removeEventListener("keydown", press); root.removeEventListener("focusin", note); }
  };
}
export default { render };
"""


class Keys(anywidget.AnyWidget):
    """Hears some keys inside a box, and gives its parts names for screen readers.

    Args:
        inside: class of the box (`box.add_class(inside)`) that holds this widget.
        keys: the keys, e.g. `{"k": callback, "?": callback}`.
        labels: class of a figure -> the sentence under it.
        groups: class of a box of controls -> its name.
    """

    _esm = SCRIPT
    inside = traitlets.Unicode().tag(sync=True)
    heard = traitlets.List(traitlets.Unicode()).tag(sync=True)
    labels = traitlets.Dict().tag(sync=True)
    groups = traitlets.Dict().tag(sync=True)

    def __init__(self, inside: str, keys: Mapping[str, Callable[[], None]], *, groups: Mapping[str, str] | None = None) -> None:
        super().__init__(inside=inside, heard=list(keys), labels={}, groups=dict(groups or {}))
        self.pressed = dict(keys)
        self.on_msg(self._hear)

    def _hear(self, widget: object, content: Mapping[str, str], buffers: object) -> None:
        if (action := self.pressed.get(content.get("key", ""))) is not None:
            action()
