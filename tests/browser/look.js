// Everything on the page that somebody could not read, a sentence each. Run inside the page.
// Contrast and luminance are those of WCAG 2.2: 4.5 for text (1.4.3), 3 for lines (1.4.11).
({ smallestPx, codeMayScroll }) => {
  const TEXT = 4.5, LINE = 3, SLACK_PX = 1;
  const wrong = new Set();
  const page = document.scrollingElement;
  const say = (what) => wrong.add(what);
  const short = (text) => `“${text.trim().replace(/\s+/g, " ").slice(0, 40)}”`;

  // Whatever CSS calls a colour, as [red, green, blue, alpha], each from 0 to 1.
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const colour = (css) => {
    if (!known.has(css)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = "rgba(0, 0, 0, 0)";
      canvas.fillStyle = css;
      canvas.fillRect(0, 0, 1, 1);
      known.set(css, [...canvas.getImageData(0, 0, 1, 1).data].map((one) => one / 255));
    }
    return known.get(css);
  };
  const over = (top, below) => {
    const alpha = top[3] + below[3] * (1 - top[3]);
    if (!alpha) return [0, 0, 0, 0];
    const mixed = [0, 1, 2].map((n) => (top[n] * top[3] + below[n] * below[3] * (1 - top[3])) / alpha);
    return [...mixed, alpha];
  };
  const luminance = (shade) => {
    const [r, g, b] = shade.map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [dark, bright] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  };
  const faded = (shade, by) => [...shade.slice(0, 3), shade[3] * by];
  const opacity = (element) => {
    let product = 1;
    for (let at = element; at; at = at.parentElement) product *= Number(getComputedStyle(at).opacity);
    return product;
  };

  const reached = document.createElement("style");
  reached.textContent = "* { pointer-events: auto !important; transition: none !important }"  // else half faded
    + " svg * { pointer-events: all !important }";
  document.head.append(reached);
  const bare = document.createElement("i");
  bare.style.cssText = "position: absolute; background: Canvas";
  document.body.append(bare);
  const ground = colour(getComputedStyle(bare).backgroundColor);
  bare.remove();

  // What an element paints at a point of the window, without its strokes and its text.
  const painted = (element, x, y) => {
    const style = getComputedStyle(element);
    if (element instanceof SVGGeometryElement) {
      const matrix = element.getScreenCTM();
      if (!matrix || style.fill === "none") return [0, 0, 0, 0];
      const at = new DOMPoint(x, y).matrixTransform(matrix.inverse());
      if (!element.isPointInFill(at)) return [0, 0, 0, 0];
      return faded(colour(style.fill), Number(style.fillOpacity) * opacity(element));
    }
    if (element instanceof SVGElement && !(element instanceof SVGSVGElement)) return [0, 0, 0, 0];
    return faded(colour(style.backgroundColor), opacity(element));
  };
  const behind = (element, x, y) => {
    const stack = document.elementsFromPoint(x, y);
    let layers = stack.slice(stack.indexOf(element));
    if (!stack.includes(element)) {  // between its lines, or clipped
      layers = [];
      for (let at = element; at; at = at.parentElement) layers.push(at);
    }
    let shade = [0, 0, 0, 0];
    for (const layer of layers) shade = over(shade, painted(layer, x, y));
    return over(shade, ground);
  };

  const shown = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const intoView = (box) => {
    if (box.top < 0 || box.bottom > innerHeight) scrollBy({ top: box.top - innerHeight / 2, behavior: "instant" });
  };
  const labels = new Map();  // of each drawing, to see which lie on each other

  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || /^(SCRIPT|STYLE|NOSCRIPT|TITLE|DESC)$/i.test(element.tagName) || !shown(element)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    intoView(range.getBoundingClientRect());
    const box = range.getBoundingClientRect();
    if (box.width < 2 || box.height < 2) continue;
    if (box.right <= 0 || box.left >= page.clientWidth) continue;  // in a drawer that is shut
    const style = getComputedStyle(element);
    const drawing = element.closest("svg");
    const scale = drawing ? Math.hypot(element.getScreenCTM().a, element.getScreenCTM().b) : 1;
    const size = parseFloat(style.fontSize) * scale;
    if (size < smallestPx - 0.01) say(`${short(node.data)} is ${size.toFixed(1)} px small`);

    const line = [...range.getClientRects()].find((one) => one.width >= 2) ?? box;
    const [x, y] = [line.left + line.width / 2, line.top + line.height / 2];
    if (x >= 0 && x < innerWidth && y >= 0 && y < innerHeight) {
      const back = behind(element, x, y);
      const ink = drawing
        ? faded(colour(style.fill), Number(style.fillOpacity) * opacity(element))
        : faded(colour(style.color), opacity(element));
      const ratio = contrast(over(ink, back), back);
      if (ratio < TEXT) say(`${short(node.data)} has a contrast of ${ratio.toFixed(2)}`);
    }
    if (drawing) {
      const frame = drawing.getBoundingClientRect();
      if (box.left < frame.left - SLACK_PX || box.right > frame.right + SLACK_PX
          || box.top < frame.top - SLACK_PX || box.bottom > frame.bottom + SLACK_PX) {
        say(`${short(node.data)} is cut off at the drawing's edge`);
      }
      const whole = drawing.parentElement;
      if (!labels.has(whole)) labels.set(whole, []);
      const top = box.top + scrollY;
      for (const other of labels.get(whole)) {
        const wide = Math.min(box.right, other.right) - Math.max(box.left, other.left);
        const high = Math.min(top + box.height, other.bottom) - Math.max(top, other.top);
        if (wide > SLACK_PX && high > 3 && !element.contains(other.element) && element !== other.element) {
          say(`${short(node.data)} lies on ${short(other.text)}`);
        }
      }
      labels.get(whole).push({
        element, text: node.data, left: box.left, right: box.right, top, bottom: top + box.height,
      });
    }
    seen.add(element);
  }

  for (const stroke of document.querySelectorAll(".scatterlayer path.js-line, .shapelayer path")) {
    const style = getComputedStyle(stroke);
    const box = stroke.getBoundingClientRect();
    intoView(box);
    const at = stroke.getBoundingClientRect();
    const back = behind(stroke.closest("svg"), at.left + at.width / 2, at.top + at.height / 2);
    const ink = faded(colour(style.stroke), Number(style.strokeOpacity) * opacity(stroke));
    const ratio = contrast(over(ink, back), back);
    if (ratio < LINE) say(`a line in ${style.stroke} has a contrast of ${ratio.toFixed(2)}`);
  }

  // What is cut off or must be scrolled sideways, other than code where that is allowed.
  for (const element of seen) {
    for (let at = element; at && at !== document.body && !(at instanceof SVGElement); at = at.parentElement) {
      const style = getComputedStyle(at);
      if (style.display.startsWith("inline") || at.scrollWidth <= at.clientWidth + SLACK_PX) continue;
      if (/hidden|clip/.test(style.overflowX)) say(`${short(at.textContent)} is cut off`);
      if (/auto|scroll/.test(style.overflowX) && !codeMayScroll) say(`${short(at.textContent)} scrolls sideways`);
    }
  }
  if (page.scrollWidth > page.clientWidth) say(`the page is ${page.scrollWidth} px wide in ${page.clientWidth}`);
  if (!seen.size) say("there is no text");

  reached.remove();
  scrollTo(0, 0);
  return [...wrong];
}
