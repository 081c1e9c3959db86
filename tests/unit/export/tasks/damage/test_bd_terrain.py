"""The network with terrain: its size, what missing rasters mean, and the way from training to an answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from export.build import build
from export.cli import main
from export.graphs.contract import graph_of
from export.networks import build_network
from export.networks.siamunet_terrain import TERRAIN_CHANNELS, terrain_channels
from export.registry import CATALOG, specs_of
from export.synthetic.towns import DrawnPair
from export.tasks.damage.compare import SHOWN
from export.tasks.damage.recipe import PairRecipe
from export.tasks.damage.samples import Draw, Sampler, load_tile
from export.tasks.damage.spec import DamageSpec
from export.tasks.damage.train import PairRun, train
from export.training.recipe import RunOptions, recipe_of
from export.verify import verify, verify_source
from gateway.app import create_app
from gateway.repository.store import scan
from gateway.settings import Settings
from tests.support.app_client import running
from tests.support.checkpoints import checkpoint, small_entry, untrained
from tests.support.pictures import decode, encode, noise

pytestmark = pytest.mark.training

NAMES = ("elevation", "surface", "landcover")
TINY = PairRecipe(
    network="siamunet_terrain",
    name="tiny",
    width=1 / 32,
    reduction=2,
    draw=Draw(32, 2, known=0.7),
    steps=4,
    learning_rate=3e-3,
    average=0.8,
    scenes=1,
    threshold=0.5,
)


def rasters(size: int = 32, count: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return elevation, surface and land cover that say something everywhere."""
    drawn = np.random.default_rng(0)
    heights = (torch.from_numpy(drawn.uniform(0, 40, (count, size, size)).astype(np.float32)) for _ in range(2))
    elevation, surface = heights
    return elevation, surface, torch.from_numpy(drawn.integers(0, 5, (count, size, size)).astype(np.uint8))


def test_full_width_has_the_documented_size_and_demo_fits_in_half_a_million() -> None:
    with torch.device("meta"):
        sizes = [
            sum(parameter.numel() for parameter in build_network("siamunet_terrain", width).parameters())
            for width in (1.0, recipe_of("siamunet_terrain", "demo").width)
        ]
    assert sizes[0] == 31_043_653
    assert sizes[1] < 500_000


def test_at_first_it_is_the_network_without_terrain() -> None:
    network, plain = build_network("siamunet_terrain", 1 / 16).eval(), build_network("siamunet", 1 / 16).eval()
    weights = network.state_dict()
    weights["encoder.0.0.weight"] = weights["encoder.0.0.weight"][:, :3]
    plain.load_state_dict(weights)
    pre, post = torch.randn(2, 1, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(network(pre, post, terrain_channels(*rasters())), plain(pre, post))


def test_channels_say_what_is_known_and_what_is_missing() -> None:
    elevation, surface, landcover = rasters()
    whole = terrain_channels(elevation, surface, landcover)[0]
    assert whole.shape == (TERRAIN_CHANNELS, 32, 32)
    assert not whole[[1, 3, 9]].any()
    torch.testing.assert_close(whole[0], (elevation[0] - elevation.mean()) / 30)
    torch.testing.assert_close(whole[2], surface[0] / 10)
    torch.testing.assert_close(whole[4:9].argmax(dim=0), landcover[0].long())
    # A town lies no lower by lying at the sea.
    torch.testing.assert_close(terrain_channels(elevation + 1000, surface, landcover)[0], whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize("nothing", [np.nan, np.inf, -9999.0, -3.4e38])
def test_heights_that_cannot_be_are_missing_and_leave_the_others_as_they_are(nothing: float) -> None:
    elevation, surface, landcover = rasters()
    elevation[:, :16], surface[:, :, 16:], landcover[:, 16:] = nothing, nothing, 255
    channels = terrain_channels(elevation, surface, landcover)[0]
    assert torch.isfinite(channels).all()
    assert channels[1, :16].all()
    assert not channels[1, 16:].any()
    assert not channels[0, :16].any()
    torch.testing.assert_close(channels[0, 16:].mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    assert torch.equal(channels[3], (torch.arange(32) >= 16).float().expand(32, 32))
    assert torch.equal(channels[9], (torch.arange(32) >= 16).float()[:, None].expand(32, 32))
    halved = terrain_channels(elevation, surface, landcover, reduction=2)[0]
    torch.testing.assert_close(halved, torch.nn.functional.avg_pool2d(channels, 2))


def test_samples_of_drawn_scenes_know_terrain_and_photographs_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.synthetic.towns.SIZE", 128)
    pair = DrawnPair(1007)
    tile, bare = load_tile(pair, 1, pair.read_terrain()), load_tile(pair, 1)
    draw = Draw(64, 24, known=0.7, unchanged=0.0)
    batch = Sampler([], [tile], draw, 0, rasters=NAMES).batch(0)
    assert [(raster.dtype, raster.shape) for raster in batch.rasters] == [
        (np.dtype(dtype), (24, 64, 64)) for dtype in ("float32", "float32", "uint8")
    ]
    missing = np.stack([np.isnan(batch.rasters[0]), np.isnan(batch.rasters[1]), batch.rasters[2] == 255])
    whole = missing.all(axis=(2, 3))
    assert 0.1 < whole.mean() < 0.6
    # Some lack a part, and each lacks for itself.
    assert (missing.any(axis=(2, 3)) & ~whole).any()
    assert (whole.any(axis=0) & ~whole.all(axis=0)).any()
    for other in (
        Sampler([bare], [], draw, 0, rasters=NAMES),
        Sampler([], [tile], replace(draw, known=0.0), 0, rasters=NAMES),
    ):
        elevation, surface, landcover = other.batch(0).rasters
        assert np.isnan(elevation).all()
        assert np.isnan(surface).all()
        assert (landcover == 255).all()
    # Who takes no rasters is given none, and what is drawn before them stays as it was.
    alone = Sampler([], [tile], draw, 0).batch(0)
    assert alone.rasters == ()
    np.testing.assert_array_equal(alone.pre, batch.pre)


def test_steps_lower_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.synthetic.towns.SIZE", 128)
    pair = DrawnPair(1007)
    recipe = replace(TINY, draw=Draw(64, 2, known=0.7))
    run = PairRun(recipe, RunOptions())
    batch = Sampler([], [load_tile(pair, 1, pair.read_terrain())], recipe.draw, 0, rasters=NAMES).batch(0)
    losses = [sum(run.learn(batch).values()) for _ in range(25)]
    assert min(losses[-3:]) < 0.8 * losses[0]


def test_an_answer_follows_from_terrain_where_it_is_known() -> None:
    network, entry = untrained("siamunet_terrain"), small_entry("bd-terrain")
    assert isinstance(entry, DamageSpec)
    served = graph_of(network, checkpoint("siamunet_terrain"), entry).module
    pre, post = (torch.from_numpy(noise(64, 64, seed=seed)[None].copy()) for seed in range(2))
    elevation, surface, landcover = rasters(64)
    lost = [
        torch.full_like(elevation, float("nan")),
        torch.full_like(surface, float("nan")),
        torch.full_like(landcover, 255),
    ]
    bare = served(pre, post, *lost)[1]
    for index, raster in enumerate((elevation, surface, landcover)):
        given = [raster if index == place else nothing for place, nothing in enumerate(lost)]
        assert not torch.equal(served(pre, post, *given)[1], bare), NAMES[index]


def test_a_trained_network_is_built_verified_compared_and_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("export.synthetic.towns.SIZE", 64)
    source = train(TINY, None, tmp_path / "run", RunOptions())
    monkeypatch.setitem(CATALOG, "bd-terrain", small_entry("bd-terrain"))
    root = tmp_path / "repository"
    build(source, specs_of("siamunet_terrain"), root)
    repository = scan(root)
    assert verify(repository) == ()
    assert verify_source(repository, source) == ()
    card = repository.models["bd-terrain"].card
    assert [raster.input for raster in card.rasters] == list(NAMES)
    data = _one_pair(tmp_path / "data")
    assert main(["compare", str(root), "--data", str(data), "--scenes", "1", "--grader", "none"]) == 0
    told = capsys.readouterr().out
    assert "With and without terrain, on 1 drawn scenes:" in told
    assert [line.split(" | ")[0] for line in told.splitlines() if line.startswith("| bd-terrain, ")] == [
        f"| bd-terrain, {words}" for words in SHOWN
    ]
    files = {role: (role, encode(noise(100, 80, seed=seed))) for seed, role in enumerate(("pre", "post"))}
    with running(create_app(Settings(models={"repository": root, "damage": "bd-terrain"}))) as client:
        answer = client.post("/v1/damage", files=files)
    assert answer.status_code == 200, answer.text
    assert decode(answer.content).shape == (100, 80)


def _one_pair(root: Path) -> Path:
    """Write a folder with one validation pair and return it."""
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    pair = DrawnPair(3)
    for name, pixels in (("pre", pair.read_pre()), ("post", pair.read_post())):
        (root / "images" / f"a_{name}_disaster.png").write_bytes(encode(pixels))
    (root / "masks" / "a_post_disaster.png").write_bytes(encode(pair.read_labels()))
    (root / "manifest.csv").write_text("tile,split,event,image_format\na,val,storm,png\n")
    return root
