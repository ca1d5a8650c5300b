"""Who shares a folder without owning it: what they have themselves, no more and no longer."""

from __future__ import annotations

import pytest

from commander.authority.refusals import Code
from commander.authority.statements import Right
from commander.errors import Refused
from commander.ids import FolderUid
from tests.support.enterprise import START, Enterprise, Person

END = START + 3600
BOTH = (Right.VIEW, Right.SHARE)


class Scene:
    """Bob may view and share a folder of the administrator's for an hour; Carol has nothing."""

    def __init__(self) -> None:
        self.enterprise = Enterprise()
        self.bob = self.enterprise.add_person("bob@acme.example")
        self.carol = self.enterprise.add_person("carol@acme.example")
        self.folder: FolderUid = self.enterprise.add_folder(self.enterprise.admin)
        self.share(self.enterprise.admin, self.bob, *BOTH, not_after=END)

    def share(
        self, granter: Person, to: Person, *rights: Right, not_before: int = 0, not_after: int = 0
    ) -> None:
        self.enterprise.share(
            granter, self.folder, to.user, *rights, not_before=not_before, not_after=not_after
        )


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_member_hands_on_what_they_have(scene: Scene) -> None:
    """The control: the same rights or fewer, until the same moment or before."""
    scene.share(scene.bob, scene.carol, *BOTH, not_after=END)
    scene.share(scene.bob, scene.carol, Right.VIEW, not_before=START, not_after=END - 1)

    found = scene.enterprise.state.accesses.get((scene.folder, scene.carol.user))
    assert found is not None
    assert found.rights == (Right.VIEW,)


@pytest.mark.parametrize("to_self", [True, False])
@pytest.mark.parametrize(
    ("rights", "not_after"),
    [
        ((*BOTH, Right.EDIT), END),
        ((Right.EDIT,), END),
        (BOTH, END + 1),
        (BOTH, 0),
        ((Right.VIEW,), 0),
    ],
)
def test_a_member_cannot_hand_on_more(
    scene: Scene, rights: tuple[Right, ...], not_after: int, to_self: bool
) -> None:
    """Neither to themselves, which would extend their own share, nor to a friend."""
    to = scene.bob if to_self else scene.carol

    with pytest.raises(Refused) as caught:
        scene.share(scene.bob, to, *rights, not_after=not_after)

    assert caught.value.code == Code.RIGHT_MISSING


def test_a_member_cannot_begin_earlier(scene: Scene) -> None:
    """A share that begins later begins later for those it is handed on to."""
    admin = scene.enterprise.admin
    scene.enterprise.time += 10
    scene.share(admin, scene.bob, *BOTH, not_before=START + 5)

    with pytest.raises(Refused) as caught:
        scene.share(scene.bob, scene.carol, Right.VIEW)

    assert caught.value.code == Code.RIGHT_MISSING
    scene.share(scene.bob, scene.carol, Right.VIEW, not_before=START + 5)
    # The owner is bound by nothing.
    scene.share(admin, scene.carol, Right.VIEW, Right.EDIT, Right.SHARE)
