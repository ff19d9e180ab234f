"use strict";
// Points and boxes that turn: drag, wheel, double click. Each canvas names the data of its view in data-view.
// Plain canvas: points are splatted into an image with a depth buffer, boxes are lines on top of it.
for (const canvas of document.querySelectorAll("canvas[data-view]")) {
  const data = JSON.parse(document.getElementById(canvas.dataset.view).textContent);
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const xyz = new Int16Array(bytes(data.xyz_mm).buffer), rgb = bytes(data.rgb), count = rgb.length / 3;
  const [cx, cy, cz] = data.centre_mm, context = canvas.getContext("2d");
  const width = canvas.width, height = canvas.height, focal = 1.15 * height;
  const image = context.createImageData(width, height), pixels = new Uint32Array(image.data.buffer);
  const nearest = new Float32Array(width * height);
  const start = { yaw: 0.45, pitch: data.pitch, zoom: 1.5 };
  let view = { ...start }, turning = !matchMedia("(prefers-reduced-motion: reduce)").matches, visible = false, drag = null;

  // A point of the optical frame (mm) to canvas x, y and its distance; a turn about the vertical, then a nod.
  function place(x, y, z) {
    const sy = Math.sin(view.yaw), oy = Math.cos(view.yaw), sp = Math.sin(view.pitch), op = Math.cos(view.pitch);
    const dx = x - cx, dy = y - cy, dz = z - cz;
    const right = oy * dx - sy * dz, ahead = sy * dx + oy * dz;
    const down = op * dy + sp * ahead, away = op * ahead - sp * dy + 2.4 * data.radius_mm / view.zoom;
    return [width / 2 + focal * right / away, height / 2 + focal * down / away, away];
  }

  function draw() {
    pixels.fill(0xff342e28);
    nearest.fill(Infinity);
    for (let i = 0; i < count; i++) {
      const [x, y, away] = place(xyz[3 * i], xyz[3 * i + 1], xyz[3 * i + 2]);
      if (away < 30) continue;
      const size = Math.min(9, Math.max(1, Math.ceil(data.spacing_mm * focal / away)));
      const color = 0xff000000 | (rgb[3 * i + 2] << 16) | (rgb[3 * i + 1] << 8) | rgb[3 * i];
      const left = Math.round(x - size / 2), top = Math.round(y - size / 2);
      for (let row = Math.max(0, top); row < Math.min(height, top + size); row++)
        for (let column = Math.max(0, left); column < Math.min(width, left + size); column++) {
          const at = row * width + column;
          if (away < nearest[at]) { nearest[at] = away; pixels[at] = color; }
        }
    }
    context.putImageData(image, 0, 0);
    context.lineWidth = 1.6;
    context.font = "600 13px system-ui, sans-serif";
    for (const box of data.boxes) {
      const corners = box.corners_mm.map((c) => place(...c));
      context.strokeStyle = context.fillStyle = box.color;
      context.beginPath();
      for (const [a, b] of data.edges) {
        if (corners[a][2] < 30 || corners[b][2] < 30) continue;
        context.moveTo(corners[a][0], corners[a][1]);
        context.lineTo(corners[b][0], corners[b][1]);
      }
      context.stroke();
      const high = corners.reduce((best, c) => (c[1] < best[1] ? c : best));
      context.fillText(box.name, Math.min(high[0] + 4, width - 8 * box.name.length), Math.max(14, high[1] - 5));
    }
  }

  function turn() {
    if (turning && visible && !drag) { view.yaw = start.yaw * Math.sin(performance.now() / 2600) * 1.6; draw(); }
    requestAnimationFrame(turn);
  }

  canvas.addEventListener("pointerdown", (e) => { turning = false; drag = [e.clientX, e.clientY]; canvas.setPointerCapture(e.pointerId); });
  canvas.addEventListener("pointerup", () => { drag = null; });
  canvas.addEventListener("pointermove", (e) => {
    if (!drag) return;
    view.yaw += (e.clientX - drag[0]) / 150;
    view.pitch = Math.max(-1.5, Math.min(1.5, view.pitch + (e.clientY - drag[1]) / 150));
    drag = [e.clientX, e.clientY];
    draw();
  });
  canvas.addEventListener("wheel", (e) => {
    e.preventDefault();
    view.zoom = Math.max(0.3, Math.min(6, view.zoom * Math.exp(-e.deltaY / 600)));
    draw();
  }, { passive: false });
  canvas.addEventListener("dblclick", () => { view = { ...start }; draw(); });
  new IntersectionObserver((entries) => { visible = entries[0].isIntersecting; }).observe(canvas);
  draw();
  turn();
}
