"""Makes a dataset what a version holds, as one undoable edit; it must not know how versions are kept.

Its steps go in an order in which each is allowed: an example needs its fact, and a fact has one seed at any moment.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from studio.datasets.edits import COLUMNS, Edit, Entity, Value, delete, insert
from studio.datasets.text import fold

Values = dict[str, Value]
TEXTS = ("question", "answer")


class Wanted(NamedTuple):
    """A fact or example as it is and as it shall be: empty `before` brings it back, empty `after` removes it."""

    entity: Entity
    id: int
    before: Values
    after: Values


class Return(Edit):
    """The edit that goes back."""

    def make(self, wanted: Sequence[Wanted]) -> None:
        """Remove, change and bring back until all is as wanted."""
        steps: dict[tuple[str, Entity], list[Wanted]] = defaultdict(list)
        for one in wanted:
            step = "remove" if not one.after else "change" if one.before else "bring"
            steps[step, one.entity].append(one)
        changed = steps["change", "example"]
        leaving = [one for one in changed if one.before["kind"] == "seed" and not _same_seed(one)]
        self._remove("example", steps["remove", "example"])
        self._bring_back("fact", steps["bring", "fact"])
        self._set_each("fact", steps["change", "fact"])
        self._set_each("example", [one._replace(after=_no_seed(one.before)) for one in leaving])
        left = {one.id for one in leaving}
        self._set_each(
            "example", [one._replace(before=_no_seed(one.before)) if one.id in left else one for one in changed]
        )
        self._bring_back("example", steps["bring", "example"])
        self._log_what_goes_with(json.dumps([one.id for one in steps["remove", "fact"]]))
        self._remove("fact", steps["remove", "fact"])

    def _remove(self, entity: Entity, wanted: Sequence[Wanted]) -> None:
        columns = COLUMNS[entity]
        images = []
        for one in wanted:
            row = self.db.execute(f"SELECT {', '.join(columns)} FROM {entity} WHERE id = ?", (one.id,)).fetchone()
            images.append((one.id, _json(dict(zip(columns, row, strict=True))), None))
        delete(self.db, entity, [one.id for one in wanted])
        self._log(entity, images)

    def _bring_back(self, entity: Entity, wanted: Sequence[Wanted]) -> None:
        """Insert what is gone, under the id that it had."""
        columns = COLUMNS[entity]
        given: Values = {"dataset_id": self.dataset_id, "updated_at": self.made_at}
        rows = []
        for one in wanted:
            image = given | one.after | _folded(one.after) | {"id": one.id}
            rows.append([image[column] for column in columns])
        insert(self.db, entity, columns, rows)
        self._log(entity, [(one.id, None, None) for one in wanted])

    def _set_each(self, entity: Entity, wanted: Sequence[Wanted]) -> None:
        """Set the columns that differ, one statement for all that differ in the same ones."""
        alike: dict[tuple[str, ...], list[Wanted]] = defaultdict(list)
        for one in wanted:
            one = self._with_marks(one)
            columns = tuple(column for column in one.after if one.before[column] != one.after[column])
            if columns:
                alike[columns].append(one)
        for columns, same in alike.items():
            assignments = ", ".join(f"{column} = ?" for column in columns)
            values = [[*(one.after[column] for column in columns), one.id] for one in same]
            self.db.executemany(f"UPDATE {entity} SET {assignments} WHERE id = ?", values)
            sides = [(one.id, _part(one.id, one.before, columns), _part(one.id, one.after, columns)) for one in same]
            self._log(entity, sides)

    def _with_marks(self, one: Wanted) -> Wanted:
        """A changed text is folded anew and gives its example a new time."""
        if all(one.before.get(text) == one.after.get(text) for text in TEXTS):
            return one
        (updated_at,) = self.db.execute("SELECT updated_at FROM example WHERE id = ?", (one.id,)).fetchone()
        before = one.before | _folded(one.before) | {"updated_at": updated_at}
        return one._replace(before=before, after=one.after | _folded(one.after) | {"updated_at": self.made_at})


def _same_seed(one: Wanted) -> bool:
    return (one.before["kind"], one.before["fact_id"]) == (one.after["kind"], one.after["fact_id"])


def _no_seed(image: Values) -> Values:
    return image | {"kind": "paraphrase"}


def _folded(image: Values) -> Values:
    return {f"folded_{text}": fold(str(image[text])) for text in TEXTS if text in image}


def _part(key: int, image: Values, columns: tuple[str, ...]) -> str:
    part: Values = {"id": key}
    return _json(part | {column: image[column] for column in columns})


def _json(image: Values) -> str:
    return json.dumps(image, ensure_ascii=False)
