"""Asks a base model and a fine-tuned run the same question at once; it must not know how answers are shown."""

from studio.runs.registry import Runs
from studio.runs.server import ModelServer


class Arena:
    """One question, two models, both answers as they come."""

    def __init__(self, runs: Runs, server: ModelServer) -> None:
        self.runs = runs
        self.server = server
