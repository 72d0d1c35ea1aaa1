"""Contrast of texts and fields, measured in the page."""

from __future__ import annotations

from servers.chromium import Browser

#: Texts whose contrast is below 4.5 (WCAG 2.2, 1.4.3), and fields whose border is below 3 (1.4.11).
LOW_CONTRASTS = """
const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
const parse = (colour) => {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; };
const over = ([r, g, b, a], under) => [r, g, b].map((value, at) => value * a + under[at] * (1 - a));
const light = (rgb) => {
  const linear = (v) => (v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  const [r, g, b] = rgb.map((v) => linear(v / 255)); return .2126 * r + .7152 * g + .0722 * b; };
const ratio = (one, other) => {
  const [high, low] = [light(one), light(other)].sort((x, y) => y - x);
  return (high + .05) / (low + .05); };
const line = (node) => { const nodes = [];
  for (let one = node; one; one = one.parentElement) nodes.unshift(one); return nodes; };
const ground = (node) => line(node).reduce(
  (under, one) => over(parse(getComputedStyle(one).backgroundColor), under), [255, 255, 255]);
const contrast = (node, colour, under) => {
  const [r, g, b, a] = parse(colour);
  const opacity = line(node).reduce((sum, one) => sum * Number(getComputedStyle(one).opacity), 1);
  return ratio(over([r, g, b, a * opacity], under), under); };
const low = [];
const note = (node, what, value, least) => {
  const name = `${node.id || node.className || node.tagName} ${node.textContent.slice(0, 20)}`;
  if (value < least) low.push(`${what} of ${name}: ${value.toFixed(2)}`); };
const isSpoken = (node) => getComputedStyle(node).clipPath !== 'none'; // and not seen
for (const node of document.querySelectorAll('body *')) {
  if (!node.checkVisibility({visibilityProperty: true}) || node.matches(':disabled')) continue;
  if (isSpoken(node)) continue;
  const hasText = [...node.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
  const style = getComputedStyle(node), isField = node.matches('textarea, select, input');
  if (hasText || isField) note(node, 'text', contrast(node, style.color, ground(node)), 4.5);
  if (node.matches(':placeholder-shown'))
    note(node, 'placeholder', contrast(
      node, getComputedStyle(node, '::placeholder').color, ground(node)), 4.5);
  if (isField && !node.matches('[type=checkbox], [type=radio]'))
    note(node, 'border', contrast(node, style.borderTopColor, ground(node.parentElement)), 3);
}
return low;
"""


def low_contrasts(page: Browser, view: str) -> list[str]:
    """In light and in dark mode."""
    low = []
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        page.driver.execute_script("document.getAnimations().forEach((one) => one.finish())")
        low += [f"{view}, {scheme}: {each}" for each in page.driver.execute_script(LOW_CONTRASTS)]
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    return low
