// A tab list according to the ARIA authoring practices: one stop for Tab; arrows move and select.
// Source: <https://www.w3.org/WAI/ARIA/apg/patterns/tabs/>

import { html } from "./vendor/preact-htm.js";

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

// The index after a key at index `at` of `count`, or null.
export function moved(key, at, count) {
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  return key in STEPS ? (at + STEPS[key] + count) % count : null;
}

// `tabs`: `{id, label, panel, more}`; `panel` is the id of the element that the tab shows.
export function Tabs({ label, tabs, selected, select, prefix }) {
  const onKeyDown = (event) => {
    const at = tabs.findIndex((tab) => tab.id === selected);
    const to = moved(event.key, at, tabs.length);
    if (to === null) return;
    event.preventDefault();
    select(tabs[to].id);
    event.currentTarget.children[to].focus();
  };
  return html`
    <div class="tabs" role="tablist" aria-label=${label} onKeyDown=${onKeyDown}>
      ${tabs.map(
        (tab) => html`
          <button
            type="button"
            role="tab"
            key=${tab.id}
            id=${`${prefix}-tab-${tab.id}`}
            aria-selected=${tab.id === selected ? "true" : "false"}
            aria-controls=${tab.panel}
            tabindex=${tab.id === selected ? 0 : -1}
            onClick=${() => select(tab.id)}
          >
            ${tab.label}${tab.more}
          </button>
        `,
      )}
    </div>
  `;
}
