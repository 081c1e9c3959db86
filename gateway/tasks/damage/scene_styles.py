"""How damage is drawn: QGIS' own styles, those of the OGC, and the table of classes beside a raster.

Colours are those of the model's card. Background is transparent, so that what lies below is seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.sax.saxutils import quoteattr

from gateway.media.geo.geopackage import LayerStyle
from gateway.repository.card import ClassSpec

_QGIS = '<!DOCTYPE qgis PUBLIC "http://mrcc.com/qgis.dtd" "SYSTEM">\n'
_SLD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<StyledLayerDescriptor version="1.0.0" '
    'xmlns="http://www.opengis.net/sld" xmlns:ogc="http://www.opengis.net/ogc"><NamedLayer><Name>damage</Name>'
    "<UserStyle><FeatureTypeStyle>{}</FeatureTypeStyle></UserStyle></NamedLayer></StyledLayerDescriptor>\n"
)
_OUTLINE = "#202020"
# Of buildings that were not assessed, and of those that no rule names.
_UNKNOWN = "#9a9a9a"
_FILL_ALPHA = 166


def building_style(classes: Sequence[ClassSpec]) -> LayerStyle:
    """Return the style of a layer of buildings: filled by their column `class`."""
    entries = [(spec.name, spec.name, _hex(spec.colour)) for spec in classes[1:]] + [("", "not assessed", _UNKNOWN)]
    categories = "".join(
        f'<category render="true" symbol="{number}" value={quoteattr(value)} label={quoteattr(label)}/>'
        for number, (value, label, _) in enumerate(entries)
    )
    symbols = "".join(_fill(str(number), colour) for number, (_, _, colour) in enumerate(entries))
    qml = (
        f'{_QGIS}<qgis version="3.22" styleCategories="Symbology"><renderer-v2 type="categorizedSymbol" attr="class" '
        f'symbollevels="0" enableorderby="0"><categories>{categories}</categories><symbols>{symbols}</symbols>'
        "</renderer-v2></qgis>\n"
    )
    rules = "".join(
        f"<Rule><Name>{_text(label)}</Name>{_is_class(value)}{_polygon(colour)}</Rule>"
        for value, label, colour in entries
    )
    return LayerStyle(qml, _SLD.format(rules))


def map_style(classes: Sequence[ClassSpec]) -> LayerStyle:
    """Return the style of a label map: by value, the background transparent."""
    entries = [(spec.value, spec.name, _hex(spec.colour), 255 * (spec.value > 0)) for spec in classes]
    palette = "".join(
        f'<paletteEntry value="{value}" color="{colour}" alpha="{alpha}" label={quoteattr(name)}/>'
        for value, name, colour, alpha in entries
    )
    qml = (
        f'{_QGIS}<qgis version="3.22" styleCategories="Symbology"><pipe><rasterrenderer type="paletted" band="1" '
        f'opacity="1" alphaBand="-1" nodataColor=""><rasterTransparency/><colorPalette>{palette}</colorPalette>'
        "</rasterrenderer></pipe></qgis>\n"
    )
    map_entries = "".join(
        f'<ColorMapEntry quantity="{value}" color="{colour}" opacity="{alpha // 255}" label={quoteattr(name)}/>'
        for value, name, colour, alpha in entries
    )
    sld = _SLD.format(
        f'<Rule><RasterSymbolizer><ColorMap type="values">{map_entries}</ColorMap></RasterSymbolizer></Rule>'
    )
    return LayerStyle(qml, sld)


def attribute_table(classes: Sequence[ClassSpec], pixels: Sequence[int]) -> str:
    """Return what GDAL reads beside a raster, as ``<name>.aux.xml``: a row per value with its name, pixels and colour.

    Args:
        classes: by label value.
        pixels: of each.
    """
    fields = "".join(
        f'<FieldDefn index="{index}"><Name>{name}</Name><Type>{kind}</Type><Usage>{usage}</Usage></FieldDefn>'
        for index, (name, kind, usage) in enumerate(
            (
                ("Value", 0, 5),
                ("Count", 0, 1),
                ("Class", 2, 2),
                ("Red", 0, 6),
                ("Green", 0, 7),
                ("Blue", 0, 8),
                ("Alpha", 0, 9),
            )
        )
    )
    rows = "".join(
        f'<Row index="{index}">{_cells((spec.value, count, spec.name, *spec.colour, 255 * (spec.value > 0)))}</Row>'
        for index, (spec, count) in enumerate(zip(classes, pixels, strict=True))
    )
    return (
        '<PAMDataset><PAMRasterBand band="1"><GDALRasterAttributeTable tableType="thematic">'
        f"{fields}{rows}</GDALRasterAttributeTable></PAMRasterBand></PAMDataset>\n"
    )


def _cells(values: Iterable[object]) -> str:
    return "".join(f"<F>{_text(str(value))}</F>" for value in values)


def _fill(name: str, colour: str) -> str:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    outline = ",".join(str(int(_OUTLINE[start : start + 2], 16)) for start in (1, 3, 5))
    return (
        f'<symbol type="fill" name="{name}" alpha="1" clip_to_extent="1"><layer class="SimpleFill" enabled="1" '
        f'locked="0" pass="0"><prop k="color" v="{red},{green},{blue},{_FILL_ALPHA}"/><prop k="style" v="solid"/>'
        f'<prop k="outline_color" v="{outline},255"/><prop k="outline_width" v="0.16"/>'
        '<prop k="outline_style" v="solid"/></layer></symbol>'
    )


def _is_class(value: str) -> str:
    if not value:
        return "<ElseFilter/>"
    return (
        "<ogc:Filter><ogc:PropertyIsEqualTo><ogc:PropertyName>class</ogc:PropertyName>"
        f"<ogc:Literal>{_text(value)}</ogc:Literal></ogc:PropertyIsEqualTo></ogc:Filter>"
    )


def _polygon(colour: str) -> str:
    return (
        f'<PolygonSymbolizer><Fill><CssParameter name="fill">{colour}</CssParameter>'
        f'<CssParameter name="fill-opacity">{_FILL_ALPHA / 255:.2f}</CssParameter></Fill>'
        f'<Stroke><CssParameter name="stroke">{_OUTLINE}</CssParameter>'
        '<CssParameter name="stroke-width">0.5</CssParameter></Stroke></PolygonSymbolizer>'
    )


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _text(text: str) -> str:
    return quoteattr(text)[1:-1]
