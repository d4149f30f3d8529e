export const $ = (id) => document.getElementById(id);

/** Makes a DOM element with a class and children; strings become text nodes. */
export function h(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}
