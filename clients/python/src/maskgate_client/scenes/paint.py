"""Paint a plan as a satellite would see it: ground, streets, water, shadows, trees, roofs, and the sensor."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from maskgate_client.scenes.shapes import Building, Plan, Point, Polygon, Rectangle
from maskgate_client.scenes.storm import DESTROYED, Storm, footprints, harm_roof, spread_debris
from maskgate_client.scenes.texture import RGB, Field, Pixels, blend, noise, soften, to_pixels, tone, vary

_CARS: tuple[RGB, ...] = ((232, 232, 230), (60, 60, 64), (150, 152, 156), (150, 40, 36), (50, 70, 120), (200, 196, 188))
_CAR_LENGTH, _CAR_WIDTH = 9.0, 4.0
_BUILDING, _ROAD, _TREE, _WATER = 1, 2, 3, 4
_PITCH = 0.2
"""How much lighter a face of a roof towards the sun is, and how much darker one away from it."""


@dataclass(frozen=True)
class Look:
    """The day a picture was taken on.

    Attributes:
        shadow: (dx, dy) of the shadow of something one pixel high.
        lush: from 0, dry season, to 1, all green.
        gain: factor per channel.
        haze: share of white light over everything.
    """

    shadow: Point
    lush: float
    gain: tuple[float, float, float]
    haze: float

    @property
    def sunlit(self) -> float:
        """Direction towards the sun in the image, in radians."""
        return float(np.arctan2(-self.shadow[1], -self.shadow[0]))


@dataclass(frozen=True)
class Ground:
    """The unevenness of the ground, the same on every day: two float32 (size, size) fields of unit deviation."""

    coarse: Field
    fine: Field


def draw_ground(rng: np.random.Generator, size: int) -> Ground:
    """Draw the unevenness of `size` × `size` pixels."""
    return Ground(noise(rng, size, 240, 4), noise(rng, size, 12, 4))


def draw_look(rng: np.random.Generator) -> Look:
    """Choose a day: satellites pass in the morning, the sun in the south-east or (down under) north-east."""
    azimuth, length = rng.uniform(0.55, 0.95) * pi * rng.choice((-1, 1)), rng.uniform(0.6, 1.5)
    warm, bright = rng.normal(0, 0.035), rng.uniform(0.82, 1.12)
    return Look(
        (length * cos(azimuth), length * sin(azimuth)),
        rng.uniform(0.15, 1.0),
        (bright * (1 + warm), bright, bright * (1 - warm)),
        rng.uniform(0.0, 0.08),
    )


def paint(rng: np.random.Generator, plan: Plan, ground: Ground, look: Look, storm: Storm) -> Pixels:
    """Return the picture, uint8 (size, size, 3), RGB. The calm before is a `Storm` that did nothing."""
    land = Image.fromarray(to_pixels(_land(rng, plan, ground, look)))
    _draw_streets(ImageDraw.Draw(land), plan)
    values = np.asarray(land, np.float32) * (1 + 0.06 * ground.fine + 0.04 * ground.coarse)[..., None]
    values = blend(values, storm.stain_colour, storm.stain)
    values = blend(values, _water_colour(rng), _water(plan))
    values *= 1 - np.array((0.62, 0.58, 0.5), np.float32) * soften(_shadows(plan, look, storm), 0.7)[..., None]
    picture = Image.fromarray(to_pixels(values))
    draw = ImageDraw.Draw(picture)
    for building, damage in zip(plan.buildings, storm.damage, strict=True):
        spread_debris(rng, draw, building, damage, storm.kind)
    _draw_cars(rng, draw, plan)
    _draw_trees(rng, draw, plan, look, storm)
    roofs = picture.copy()
    draw = ImageDraw.Draw(roofs)
    for building, damage in zip(plan.buildings, storm.damage, strict=True):
        _paint_roof(rng, draw, building, look.sunlit)
        harm_roof(rng, draw, building, damage, storm.kind)
    picture.paste(roofs, mask=footprints(plan, (255,) * len(plan.buildings)))
    return _expose(rng, picture, look)


def _land(rng: np.random.Generator, plan: Plan, ground: Ground, look: Look) -> Field:
    """Return soil, grass and what each block is covered with, float32 (size, size, 3)."""
    grass = _season(plan.grass, look)
    values = np.empty((plan.size, plan.size, 3), np.float32)
    values[:] = plan.soil
    values = blend(values, grass, (0.5 + 0.3 * ground.coarse + 0.12 * ground.fine).clip(0, 1))
    cover = Image.new("RGB", (plan.size, plan.size))
    weight = Image.new("L", (plan.size, plan.size))
    on_cover, on_weight = ImageDraw.Draw(cover), ImageDraw.Draw(weight)
    opacity = {"homes": 110, "trade": 90, "park": 130, "field": 190, "woods": 170}
    for block in plan.blocks:
        colour = vary(rng, grass, 14)
        if block.use == "woods":
            colour = tone(colour, 0.72)
        elif block.use == "trade":
            colour = plan.soil
        elif block.use == "field":
            colour = vary(rng, plan.soil if rng.random() < 0.5 else grass, 22)
        outline = plan.frame.outline(block, 0)
        on_cover.polygon(outline, fill=colour)
        on_weight.polygon(outline, fill=opacity[block.use])
        if block.use == "field":
            furrow = tone(colour, rng.uniform(0.84, 0.95))
            for v in np.arange(block.v0 + 3, block.v1, rng.uniform(5, 9)):
                on_cover.line(plan.frame.path(block.u0, v, block.u1, v), fill=furrow, width=2)
    return blend(values, np.asarray(cover, np.float32), soften(weight, 2))


def _season(grass: RGB, look: Look) -> RGB:
    """Return the colour of `grass` between straw and full green."""
    straw = (150, 136, 102)
    red, green, blue = (round(s + (g - s) * look.lush) for g, s in zip(grass, straw, strict=True))
    return red, green, blue


def _streets(plan: Plan) -> list[Polygon]:
    """Return the centre lines around every built-up block."""
    built = [block for block in plan.blocks if block.use in ("homes", "trade")]
    edges = {e for b in built for e in ((b.u0, b.v0, b.u1, b.v0), (b.u0, b.v1, b.u1, b.v1))}
    edges |= {e for b in built for e in ((b.u0, b.v0, b.u0, b.v1), (b.u1, b.v0, b.u1, b.v1))}
    return [plan.frame.path(*edge) for edge in sorted(edges)]


def _main_street(plan: Plan) -> Polygon:
    """Return the centre line of the street that crosses the whole picture, bridges and all."""
    v = plan.blocks[0].v0
    return plan.frame.path(-plan.size, v, plan.size, v)


def _draw_streets(draw: ImageDraw.ImageDraw, plan: Plan) -> None:
    """Draw kerbs, then asphalt, so that crossings stay open; then drives, car parks and pools."""
    kerb, asphalt = tone(plan.asphalt, 1.32), plan.asphalt
    width = round(plan.street_width)
    for drive in plan.drives:
        draw.line(drive, fill=tone(kerb, 1.05), width=7)
    lines = [(path, width) for path in _streets(plan)] + [(_main_street(plan), width + 6)]
    for path, across in lines:
        draw.line(path, fill=kerb, width=across + 4, joint="curve")
    for path, across in lines:
        draw.line(path, fill=asphalt, width=across, joint="curve")
    draw.line(_main_street(plan), fill=tone(asphalt, 1.35), width=1)
    for park in plan.car_parks:
        draw.polygon(park.corners(), fill=tone(asphalt, 1.1))
        for t in np.arange(-0.94, 0.94, 12 / park.length):
            for row in (-0.75, 0.05):
                draw.line((park.at(t, row), park.at(t, row + 0.5)), fill=tone(asphalt, 1.5))
    for pool in plan.pools:
        draw.polygon(pool.corners(), fill=(112, 190, 204), outline=(206, 202, 194))


def _water(plan: Plan) -> Field:
    """Return how far water covers the ground, float32 (size, size) in [0, 1], the bridge left out."""
    mask = Image.fromarray(plan.water.astype(np.uint8) * 255)
    ImageDraw.Draw(mask).line(_main_street(plan), fill=0, width=round(plan.street_width) + 10, joint="curve")
    return soften(mask, 1.5)


def cover(plan: Plan) -> Pixels:
    """Return what the ground is covered with before the storm, uint8 (size, size).

    Values are 0 open ground, drives and car parks among it, 1 building, 2 road, 3 tree, 4 water, pools too. What lies
    on top counts: of a crown over a road the tree, of a bridge the road.
    """
    labels = Image.new("L", (plan.size, plan.size))
    draw = ImageDraw.Draw(labels)
    width = round(plan.street_width)
    for path, across in [*((path, width) for path in _streets(plan)), (_main_street(plan), width + 6)]:
        draw.line(path, fill=_ROAD, width=across, joint="curve")
    for pool in plan.pools:
        draw.polygon(pool.corners(), fill=_WATER)
    labels.paste(_WATER, mask=Image.fromarray((_water(plan) > 0.5).astype(np.uint8) * np.uint8(255)))
    draw = ImageDraw.Draw(labels)
    for x, y, radius in plan.trees.tolist():
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_TREE)
    labels.paste(_BUILDING, mask=footprints(plan, (255,) * len(plan.buildings)))
    return np.array(labels)


def _water_colour(rng: np.random.Generator) -> RGB:
    """Return the day's colour of open water, from clear to silty."""
    return vary(rng, ((38, 62, 66), (58, 74, 62), (88, 88, 66))[rng.integers(3)], 8)


def _shadows(plan: Plan, look: Look, storm: Storm) -> Image.Image:
    """Return an ``L`` mask of everything in the shadow of walls and trees."""
    mask = Image.new("L", (plan.size, plan.size))
    draw = ImageDraw.Draw(mask)
    dx, dy = look.shadow
    for building, damage in zip(plan.buildings, storm.damage, strict=True):
        height = building.height * (0.12 if damage == DESTROYED else 1)
        for wing in building.wings:
            near = wing.corners()
            far = [(x + dx * height, y + dy * height) for x, y in near]
            draw.polygon(far, fill=255)
            for i in range(4):
                draw.polygon((near[i - 1], near[i], far[i], far[i - 1]), fill=255)
    for x, y, radius in plan.trees[~storm.felled].tolist():
        x, y = x + dx * radius, y + dy * radius
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=215)
    return mask


def _draw_cars(rng: np.random.Generator, draw: ImageDraw.ImageDraw, plan: Plan) -> None:
    """Draw the day's vehicles: on the streets, in the drives, in the car parks."""
    main = _main_street(plan)
    for path in (*_streets(plan), *(main,) * 4):
        for i in rng.integers(0, len(path) - 1, rng.poisson(1.2)):
            (x0, y0), (x1, y1) = path[i], path[i + 1]
            t, angle = rng.random(), float(np.arctan2(y1 - y0, x1 - x0))
            lane = plan.street_width / 4 * rng.choice((-1, 1))
            x, y = x0 + (x1 - x0) * t - lane * sin(angle), y0 + (y1 - y0) * t + lane * cos(angle)
            if 0 <= x < plan.size and 0 <= y < plan.size and (path == main or not plan.water[int(y), int(x)]):
                _draw_car(rng, draw, x, y, angle)
    for (x0, y0), (x1, y1) in plan.drives:
        if rng.random() < 0.45:
            _draw_car(rng, draw, x0 + (x1 - x0) * 0.45, y0 + (y1 - y0) * 0.45, float(np.arctan2(y1 - y0, x1 - x0)))
    for park in plan.car_parks:
        for t in np.arange(-0.94, 0.9, 12 / park.length):
            for row in (-0.5, 0.3):
                if rng.random() < 0.5:
                    _draw_car(rng, draw, *park.at(t + 6 / park.length, row), park.angle + pi / 2)


def _draw_car(rng: np.random.Generator, draw: ImageDraw.ImageDraw, x: float, y: float, angle: float) -> None:
    """Draw one vehicle of about 4.5 m: a body in a dark outline."""
    along = (cos(angle) * _CAR_LENGTH / 2, sin(angle) * _CAR_LENGTH / 2)
    start, end = (x - along[0], y - along[1]), (x + along[0], y + along[1])
    draw.line((start[0] + 1, start[1] + 1, end[0] + 1, end[1] + 1), fill=(54, 54, 56), width=round(_CAR_WIDTH) + 1)
    draw.line((start, end), fill=_CARS[rng.integers(len(_CARS))], width=round(_CAR_WIDTH))


def _draw_trees(rng: np.random.Generator, draw: ImageDraw.ImageDraw, plan: Plan, look: Look, storm: Storm) -> None:
    """Draw crowns, bright on the side of the sun, and what is left of felled trees."""
    green = tone(_season(plan.grass, look), 0.62)
    lit = cos(look.sunlit), sin(look.sunlit)
    tints = rng.uniform(0.72, 1.2, len(plan.trees)).tolist()
    turns = rng.uniform(0, 2 * pi, len(plan.trees)).tolist()
    for (x, y, r), tint, turn, felled in zip(plan.trees.tolist(), tints, turns, storm.felled.tolist(), strict=True):
        if felled:
            draw.line((x, y, x + 2.4 * r * cos(turn), y + 2.4 * r * sin(turn)), fill=(118, 100, 80), width=1)
            continue
        for scale, shift, light in ((1.0, 0.0, 1.0), (0.7, 0.25, 1.18), (0.36, 0.45, 1.4)):
            cx, cy, reach = x + lit[0] * r * shift, y + lit[1] * r * shift, r * scale
            draw.ellipse((cx - reach, cy - reach, cx + reach, cy + reach), fill=tone(green, tint * light))


def _expose(rng: np.random.Generator, picture: Image.Image, look: Look) -> Pixels:
    """Return `picture` through air and sensor: point spread, gain per channel, haze and grain."""
    values = np.asarray(picture.filter(ImageFilter.GaussianBlur(0.6)), np.float32)
    values = values * np.array(look.gain, np.float32)
    values += (np.float32(225) - values) * np.float32(look.haze)
    values += rng.standard_normal((*values.shape[:2], 1), np.float32) * np.float32(3)
    return to_pixels(values)


def _paint_roof(rng: np.random.Generator, draw: ImageDraw.ImageDraw, building: Building, sunlit: float) -> None:
    """Draw `building` under a sun in the direction `sunlit` (radians); may spill over the eaves by a pixel."""
    # The main wing last: its ridge runs on over the joint.
    for wing in reversed(building.wings):
        if building.roof == "flat":
            _paint_flat(rng, draw, wing, building.colour)
        else:
            _paint_pitched(draw, wing, building.colour, sunlit, hip=wing.width / wing.length * (building.roof == "hip"))
    main = building.wings[0]
    for _ in range(rng.integers(0, 3)):
        x, y = main.at(*rng.uniform(-0.7, 0.7, 2))
        draw.rectangle((x, y, x + 1, y + 1), fill=tone(building.colour, rng.choice((0.6, 1.3))))


def _paint_pitched(draw: ImageDraw.ImageDraw, wing: Rectangle, colour: RGB, sunlit: float, *, hip: float) -> None:
    """Draw two faces along a ridge, and two more at its ends where `hip`, the share of each end, is not 0."""
    start, end = wing.at(-1 + hip, 0), wing.at(1 - hip, 0)
    a, b, c, d = wing.corners()
    faces: list[tuple[Polygon, float]] = [((a, b, end, start), -pi / 2), ((c, d, start, end), pi / 2)]
    if hip:
        faces += [((b, c, end), 0.0), ((d, a, start), pi)]
    for face, outward in faces:
        draw.polygon(face, fill=tone(colour, 1 + _PITCH * cos(wing.angle + outward - sunlit)))
    draw.line((start, end), fill=tone(colour, 1.25))


def _paint_flat(rng: np.random.Generator, draw: ImageDraw.ImageDraw, wing: Rectangle, colour: RGB) -> None:
    """Draw a membrane with seams between parapets, and air-conditioning units with their shadows."""
    draw.polygon(wing.corners(), fill=colour)
    for t in np.arange(-1, 1, rng.uniform(16, 30) / wing.length):
        draw.line((wing.at(t, -1), wing.at(t, 1)), fill=tone(colour, 0.94))
    draw.polygon(wing.corners(), outline=tone(colour, 0.78))
    for _ in range(int(wing.length * wing.width / 900)):
        x, y = wing.at(*rng.uniform(-0.85, 0.85, 2))
        side = rng.uniform(2, 5)
        draw.rectangle((x + 1.5, y + 1.5, x + side + 1.5, y + side + 1.5), fill=tone(colour, 0.6))
        draw.rectangle((x, y, x + side, y + side), fill=tone(colour, 1.12))
