"""A chart over categories as an SVG file: lines or single points of several series. Standard library only."""

BOTTOM, LEFT, RIGHT, TOP = 40, 60, 20, 20


class Chart:
    """Values from 0 to `top` over `categories`; long names of categories are turned and take `label_height`."""

    def __init__(self, categories, top, x_title, y_title, width=640, height=320, label_height=0):
        self._count, self._top, self._width = len(categories), top, width
        self._base = height - BOTTOM - label_height  # the y of 0
        self._series = 0
        self._parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
                       'font-family="sans-serif" font-size="12">',
                       f'<rect width="{width}" height="{height}" fill="white"/>']
        step = 0.5 if top <= 5 else 1
        for number in range(int(top / step) + 1):
            y = self._y(number * step)
            self._parts.append(f'<line x1="{LEFT}" x2="{width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
            self._text(LEFT - 8, y + 4, f"{number * step:g}", "end")
        for index, name in enumerate(categories):
            self._name_category(self._x(index), name, label_height > 0)
        self._text((width + LEFT) / 2, height - 4, x_title)
        self._text(14, self._base / 2, y_title, turned=True)

    def line(self, name, colour, values):
        points = [self._point(index, value) for index, value in enumerate(values)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        self.points(name, colour, values)

    def points(self, name, colour, values):
        """None: nothing there."""
        for x, y in self._points(values):
            self._parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')
        self._legend(name, colour)

    def marks(self, name, colour, values):
        """A short level line at each value. None: nothing there."""
        for x, y in self._points(values):
            self._parts.append(f'<line x1="{x - 10:.1f}" x2="{x + 10:.1f}" y1="{y:.1f}" y2="{y:.1f}" '
                               f'stroke="{colour}" stroke-width="2"/>')
        self._legend(name, colour)

    def save(self, path):
        path.write_text("\n".join([*self._parts, "</svg>"]) + "\n")

    def _x(self, index):
        return LEFT + (self._width - LEFT - RIGHT) * (index + 0.5) / self._count

    def _y(self, value):
        return self._base - (self._base - TOP) * value / self._top

    def _point(self, index, value):
        return self._x(index), self._y(value)

    def _points(self, values):
        return [self._point(index, value) for index, value in enumerate(values) if value is not None]

    def _legend(self, name, colour):
        self._text(self._width - 160, 30 + 18 * self._series, name, "start", colour)
        self._series += 1

    def _name_category(self, x, name, turned):
        if turned:
            self._text(x + 4, self._base + 10, name, "end", turned=True)
        else:
            self._text(x, self._base + 20, name)

    def _text(self, x, y, text, anchor="middle", colour="black", turned=False):
        turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
        text = text.replace("&", "&amp;").replace("<", "&lt;")
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{turn}>{text}</text>')
