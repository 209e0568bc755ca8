"""What a person says about a run afterwards; it must not know how the run was made."""

from pydantic import Field, ValidationError

from training.contract import Frozen, RunFolder, replace_text

FILE = "about.json"  # UI, replaced


class About(Frozen):
    """`about.json` of a run: the configuration stays as it was started, names and notes change."""

    name: str = Field("", max_length=80)
    note: str = Field("", max_length=4000)
    group: str = Field("", max_length=200, description="First run of the sweep that this one belongs to.")


def read_about(folder: RunFolder) -> About:
    """What was said about a run; nothing where nobody has."""
    try:
        return About.model_validate_json((folder.root / FILE).read_bytes())
    except (OSError, ValidationError):
        return About()


def write_about(folder: RunFolder, about: About) -> None:
    """Keep what is said about a run."""
    replace_text(folder.root / FILE, about.model_dump_json(indent=1))
