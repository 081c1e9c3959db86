"""Maskgate's client: send images, get masks back.

from maskgate_client import Client

with Client("http://127.0.0.1:8080") as client:
    damage = client.damage("pre.png", "post.png")
    damage.labels  # uint8 (height, width): 0 background, 1 no damage … 4 destroyed
    with client.interactive("photo.jpg") as session:
        found = session.box(218, 42, 370, 320)
        found = session.click(240, 60, positive=False)
        found.mask  # bool (height, width)
"""

from maskgate_client.annotations.dataset import Dataset
from maskgate_client.annotations.maps import NotGeoreferencedError
from maskgate_client.answers import (
    ClassShare,
    LabelMapReport,
    ModelCard,
    ModelStatus,
    Provenance,
    Region,
    ScoreProvenance,
    ScoreReport,
)
from maskgate_client.client import AsyncClient, Client
from maskgate_client.connection import DEFAULT_URL, Retry
from maskgate_client.errors import (
    Busy,
    Conflict,
    Failed,
    MaskgateError,
    Problem,
    Rejected,
    SessionLost,
    UnexpectedAnswer,
    Unreachable,
)
from maskgate_client.images import ImageInput
from maskgate_client.jobs.answers import JobItem, JobResult, JobStatus
from maskgate_client.jobs.handle import AsyncJob, Job
from maskgate_client.progress import Progress
from maskgate_client.service import Task, TaskPart
from maskgate_client.tasks.ct.answers import (
    CtForm,
    CtInput,
    CtReport,
    CtSlice,
    Lesion,
    PacsSeries,
    SliceLesion,
    Spacing,
    StoredFile,
    StoredForm,
)
from maskgate_client.tasks.damage.answers import (
    Align,
    Alignment,
    DamageMap,
    DamageReport,
    Declouded,
    District,
    DistrictClass,
    Footprint,
    Origin,
    SceneBuilding,
    SceneClass,
    SceneFile,
    SceneForm,
    SceneReport,
    Tta,
)
from maskgate_client.tasks.interactive.answers import (
    Candidate,
    MaskProvenance,
    MaskReport,
    ObjectMask,
    Part,
    RunLengths,
    SessionState,
)
from maskgate_client.tasks.interactive.prompts import Prompt
from maskgate_client.tasks.interactive.sessions import AsyncSession, Session
from maskgate_client.tasks.land.protocol import DistrictRoads, LandForm, LandReport, LandShare, Roads
from maskgate_client.tasks.radiograph.protocol import FilmPicture, FilmProvenance, FilmReport, FilmVerdict
from maskgate_client.tasks.restore.protocol import RestoreForm, RestoreReport
from maskgate_client.tasks.waste.protocol import WasteReport
from maskgate_client.version import __version__

__all__ = [
    "DEFAULT_URL",
    "Align",
    "Alignment",
    "AsyncClient",
    "AsyncJob",
    "AsyncSession",
    "Busy",
    "Candidate",
    "ClassShare",
    "Client",
    "Conflict",
    "CtForm",
    "CtInput",
    "CtReport",
    "CtSlice",
    "DamageMap",
    "DamageReport",
    "Dataset",
    "Declouded",
    "District",
    "DistrictClass",
    "DistrictRoads",
    "Failed",
    "FilmPicture",
    "FilmProvenance",
    "FilmReport",
    "FilmVerdict",
    "Footprint",
    "ImageInput",
    "Job",
    "JobItem",
    "JobResult",
    "JobStatus",
    "LabelMapReport",
    "LandForm",
    "LandReport",
    "LandShare",
    "Lesion",
    "MaskProvenance",
    "MaskReport",
    "MaskgateError",
    "ModelCard",
    "ModelStatus",
    "NotGeoreferencedError",
    "ObjectMask",
    "Origin",
    "PacsSeries",
    "Part",
    "Problem",
    "Progress",
    "Prompt",
    "Provenance",
    "Region",
    "Rejected",
    "RestoreForm",
    "RestoreReport",
    "Retry",
    "Roads",
    "RunLengths",
    "SceneBuilding",
    "SceneClass",
    "SceneFile",
    "SceneForm",
    "SceneReport",
    "ScoreProvenance",
    "ScoreReport",
    "Session",
    "SessionLost",
    "SessionState",
    "SliceLesion",
    "Spacing",
    "StoredFile",
    "StoredForm",
    "Task",
    "TaskPart",
    "Tta",
    "UnexpectedAnswer",
    "Unreachable",
    "WasteReport",
    "__version__",
]
