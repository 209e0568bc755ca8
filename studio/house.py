"""The rooms of one data folder, built once and handed to the pages; it must not know Gradio."""

from dataclasses import dataclass
from pathlib import Path

from studio.arena import Arena
from studio.augmentation.jobs import AugmentJobs
from studio.datasets import Datasets
from studio.datasets.checks import Checks
from studio.datasets.documents import Documents
from studio.datasets.hub import HubDatasets
from studio.datasets.known import KnownFacts
from studio.datasets.proposed import ProposedFacts
from studio.datasets.questions import QuestionSets
from studio.datasets.versions import Versions
from studio.models import Downloads
from studio.runs.exports import RunExports
from studio.runs.materials import Materials
from studio.runs.past import PastRuns
from studio.runs.preflight import AsTheyAre, Preflights
from studio.runs.queue import RunQueue
from studio.runs.registry import Runs
from studio.runs.server import ModelServer
from studio.store import open_store
from training.contract import PROJECT_ROOT

DEMO = PROJECT_ROOT / "assets" / "demo"


@dataclass(frozen=True)
class Studio:
    """Everything that pages and endpoints may ask."""

    data_dir: Path
    datasets: Datasets
    versions: Versions
    checks: Checks
    documents: Documents
    hub_datasets: HubDatasets
    proposed: ProposedFacts
    questions: QuestionSets
    known: KnownFacts
    jobs: AugmentJobs
    runs: Runs
    queue: RunQueue
    past: PastRuns
    preflights: Preflights
    run_exports: RunExports
    server: ModelServer
    downloads: Downloads
    arena: Arena

    @property
    def exports(self) -> Path:
        """The one folder whose files a browser may fetch."""
        return self.data_dir / "exports"


def open_studio(data_dir: Path) -> Studio:
    """Open the data folder, making it with the demo's dataset and sample run on the first start."""
    data_dir = data_dir.resolve()
    (data_dir / "exports").mkdir(parents=True, exist_ok=True)
    datasets = Datasets(open_store(data_dir / "studio.db"))
    documents = Documents(datasets.store)
    datasets.install_demo(DEMO, documents.import_now)
    versions = Versions(datasets.store)
    runs = Runs(data_dir, Materials(datasets, versions, documents))
    runs.install_sample(DEMO / "run")
    server = ModelServer(data_dir, runs)
    queue = RunQueue(runs, server.come_back)
    queue.wake()
    jobs = AugmentJobs(datasets, data_dir / "augmentation", server.ensure)
    jobs.resume_interrupted()
    return Studio(
        data_dir=data_dir,
        datasets=datasets,
        versions=versions,
        checks=Checks(datasets.store),
        documents=documents,
        hub_datasets=HubDatasets(data_dir),
        proposed=ProposedFacts(datasets),
        questions=QuestionSets(datasets),
        known=KnownFacts(datasets, server),
        jobs=jobs,
        runs=runs,
        queue=queue,
        past=PastRuns(runs),
        preflights=Preflights(data_dir, AsTheyAre(datasets, versions, documents)),
        run_exports=RunExports(runs),
        server=server,
        downloads=Downloads(data_dir),
        arena=Arena(runs, server),
    )
