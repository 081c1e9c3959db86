"""What runs in the environment of `make adapters-test`, inside the tools themselves: `python inside_tools.py TOOL …`.

It knows nothing of the other tests, whose packages are not there, and prints one line of JSON.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

Document = dict[str, Any]


def png(mask: Any) -> str:
    """Return a mask or label map as base64 PNG."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(mask, np.uint8)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def label_studio(asked: Document) -> Document:
    """Decode a brush as Label Studio's own converter does."""
    from label_studio_sdk.converter.brush import decode_rle

    pixels = decode_rle(asked["rle"]).reshape(asked["height"], asked["width"], 4)
    return {"mask": png(pixels[..., 3])}


def cvat(asked: Document) -> Document:
    """Run both functions by CVAT's own drivers, in whose place of a server stands a task of one frame."""
    from cvat_cli._internal.agent_driver import set_worker_current_function
    from cvat_cli._internal.agent_driver_interaction import AgentInteractionFunctionDriver
    from cvat_cli._internal.common import FunctionLoader
    from cvat_cli._internal.parsers import parse_function_parameter
    from cvat_sdk.auto_annotation import annotate_task, driver
    from cvat_sdk.masks import decode_mask

    def load(kind: str) -> Any:
        given = (f"kind=str:{kind}", f"url=str:{asked['url']}")
        return FunctionLoader(None, Path(asked["function"]), dict(map(parse_function_parameter, given))).load()

    image = Image.open(asked["image"])
    sample = SimpleNamespace(frame_name="a.png", frame_index=0, media=SimpleNamespace(load_image=lambda: image))
    clicks = load("clicks")
    set_worker_current_function(clicks)
    AgentInteractionFunctionDriver.init_worker(None)
    AgentInteractionFunctionDriver._get_sample_from_ar_params = lambda *_: (sample, [])
    inline = SimpleNamespace(submit=lambda work, *given: work(*given), result=lambda answer: answer)
    agent = AgentInteractionFunctionDriver(None, inline, clicks.spec)
    fields = AgentInteractionFunctionDriver.get_remote_function_fields(clicks.spec)
    asks = {"type": "interact", "task": 1, "frame": 0, "pos_points": [], "neg_points": [], "obj_bbox": []}
    answers = [agent.calculate_result_for_ar(asks | prompt, None)["shapes"] for prompt in asked["prompts"]]
    width, height = image.size
    masks = [
        [decode_mask(each["points"], image_width=width, image_height=height) for each in found] for found in answers
    ]

    waste = load("waste")
    labels = [
        SimpleNamespace(id=100 + label.id, name=label.name, type="polygon", attributes=[], sublabels=[])
        for label in waste.spec.labels
    ]
    driver.TaskDataset = lambda *_, **__: SimpleNamespace(labels=labels, samples=[sample])
    uploaded: list[Any] = []
    api = SimpleNamespace(update_annotations=lambda _, labeled_data_request: uploaded.append(labeled_data_request))
    client: Any = SimpleNamespace(logger=logging.getLogger("cvat"), tasks=SimpleNamespace(api=api))
    annotate_task(client, 1, waste, clear_existing=True)
    [request] = uploaded
    return {
        "fields": fields,
        "kinds": [each["type"] for found in answers for each in found],
        "masks": [[png(mask) for mask in found] for found in masks],
        "labels": {label.name: label.id for label in labels},
        "shapes": [
            {"label": each.label_id, "type": each.type.value, "points": list(each.points)} for each in request.shapes
        ],
    }


def napari(asked: Document) -> Document:
    """Dock the widget in a napari window as its manifest says, and press its button."""
    from napari import Viewer
    from npe2 import PluginManager, PluginManifest

    PluginManager.instance().register(PluginManifest.from_file(asked["manifest"]))
    viewer = Viewer()
    scale = asked["scale"]
    viewer.add_image(np.asarray(Image.open(asked["image"])), rgb=True, name="photo", scale=(scale, scale))
    # Drawn by hand, layers lie in the world and not in the image.
    boxes = viewer.add_shapes([scale * np.array(asked["corners"])], shape_type="rectangle", name="boxes")
    points = viewer.add_points(scale * np.array(asked["points"]), name="points")
    _, widget = viewer.window.add_plugin_dock_widget("maskgate-napari", "Cut out objects")
    widget.boxes.value, widget.points.value, widget.url.value = boxes, points, asked["url"]
    widget.call_button.native.click()
    labels = viewer.layers[-1]
    found = {
        "layer": type(labels).__name__,
        "names": [layer.name for layer in viewer.layers],
        "scale": [float(value) for value in labels.scale],
        "labels": png(labels.data),
    }
    viewer.close()
    return found


def labelme(asked: Document) -> Document:
    """Read a file as LabelMe does when it is opened."""
    from labelme import LabelFile
    from labelme.utils import shapes_to_label

    file = LabelFile(asked["file"])
    height, width = np.asarray(Image.open(io.BytesIO(file.image_data))).shape[:2]
    names = {shape["label"]: value for value, shape in enumerate(file.shapes, start=1)}
    _, instances = shapes_to_label((height, width, 3), file.shapes, names)
    return {"labels": [shape["label"] for shape in file.shapes], "instances": png(instances)}


if __name__ == "__main__":
    tool, document = (
        {each.__name__: each for each in (label_studio, cvat, napari, labelme)}[sys.argv[1]],
        sys.stdin.read(),
    )
    print(json.dumps(tool(json.loads(document))))
