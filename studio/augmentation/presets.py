"""Servers that an augmentation may ask, with what they cost; it must not know how they are asked."""

from training.contract import Frozen

OWN = "studio"  # stands for the address of the studio's own model server, which changes with every start


class EndpointPreset(Frozen):
    """A starting point for the form. Prices are list prices in dollars per million tokens, for a person to correct."""

    name: str
    base_url: str
    model: str
    concurrency: int
    prompt_price: float = 0.0
    completion_price: float = 0.0


PRESETS: tuple[EndpointPreset, ...] = (
    EndpointPreset(
        name="openai",
        base_url="https://api.openai.com/v1",
        model="gpt-5",
        concurrency=16,
        prompt_price=1.25,
        completion_price=10.0,
    ),
    EndpointPreset(
        name="gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        model="gemini-2.5-pro",
        concurrency=8,
        prompt_price=1.25,
        completion_price=10.0,
    ),
    EndpointPreset(name="vllm", base_url="http://127.0.0.1:8000/v1", model="openai/gpt-oss-20b", concurrency=32),
    EndpointPreset(name="ollama", base_url="http://127.0.0.1:11434/v1", model="gpt-oss:20b", concurrency=2),
    EndpointPreset(name="llama_cpp", base_url="http://127.0.0.1:8080/v1", model="default", concurrency=4),
    EndpointPreset(name="studio", base_url=OWN, model="openai/gpt-oss-20b", concurrency=1),
)
