"""Where an augmentation asks, whom, and what it may cost; it must not know how it is asked."""

from urllib.parse import urlsplit

from pydantic import Field, JsonValue, ValidationError

from studio.augmentation.keys import origin
from studio.augmentation.presets import OWN
from studio.errors import AugmentError
from training.contract import Frozen


class EndpointOptions(Frozen):
    """Where to ask, and whom; there is no field for a key on purpose."""

    base_url: str = Field(min_length=1, max_length=400)
    model: str = Field(min_length=1, max_length=200)
    concurrency: int = Field(default=8, ge=1, le=64, description="Requests under way at once, at most.")
    timeout_s: float = Field(default=300.0, gt=0, le=3600, description="Longest wait for one reply.")
    prompt_price: float = Field(default=0.0, ge=0, le=10_000, description="Dollars per million tokens sent.")
    completion_price: float = Field(default=0.0, ge=0, le=10_000, description="Dollars per million tokens written.")
    budget: float | None = Field(default=None, gt=0, description="Dollars after which the job pauses.")

    @property
    def asked(self) -> tuple[str, str]:
        """What of the options shapes a reply."""
        return self.base_url, self.model

    @property
    def is_priced(self) -> bool:
        """Whether tokens cost anything."""
        return self.prompt_price + self.completion_price > 0

    def cost(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Dollars for so many tokens."""
        return (prompt_tokens * self.prompt_price + completion_tokens * self.completion_price) / 1e6


def read_options(options: dict[str, JsonValue] | None) -> EndpointOptions:
    """The options of a job, checked.

    Raises:
        AugmentError: a setting is missing, unknown or out of bounds, or the address is none or holds a password.
    """
    try:
        read = EndpointOptions.model_validate(options or {})
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise AugmentError("augment.error_option", name=str(first["loc"][0]), problem=first["msg"]) from None
    if read.budget is not None and not read.is_priced:
        raise AugmentError("augment.error_budget", budget=read.budget)
    if read.base_url == OWN:
        return read
    if origin(read.base_url) is None:
        raise AugmentError("augment.error_address", address=read.base_url)
    address = urlsplit(read.base_url)
    if address.username or address.password or address.query:
        raise AugmentError("augment.error_key_in_address")
    return read
