from pathlib import Path

import pytest

from agentjobs.api import conditions
from agentjobs.api.generate.reference import PAGES, main

FOLDER = Path(__file__).parents[4] / "docs" / "reference"


@pytest.mark.parametrize("page", PAGES)
def test_the_page_is_up_to_date(page: str) -> None:
    assert main(["--check", str(FOLDER / page)]) == 0


def test_an_outdated_page_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "conditions.md"
    main([str(page)])
    page.write_text(page.read_text().replace("Waits for a slot", "Waits for a slit"))

    assert main(["--check", str(page)]) == 1
    assert "-| `Queued` | Waits for a slit" in capsys.readouterr().out


def test_a_page_of_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path / "agents.md")])


def test_every_reason_is_on_the_page() -> None:
    page = PAGES["conditions.md"]()
    kinds = [
        kind
        for kind in vars(conditions).values()
        if isinstance(kind, type) and issubclass(kind, conditions.DescribedEnum)
    ]
    assert [word for kind in kinds for word in kind if f"| `{word}` | {word.description} |" not in page] == []
