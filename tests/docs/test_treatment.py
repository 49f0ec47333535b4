"""Every command of the pages is run, checked, or excused with a reason."""

import re

from tests.helpers import doc_settings
from tests.helpers.doc_commands import PAGES, commands_in, commands_of, synopsis_filled
from tests.helpers.doc_runner import treatments
from tests.helpers.paths import ROOT

MARKDOWN = """Text, and a list:

* an item

      smapcomp info a.smc   # says what it is

  and its end

```python
no_command()
```

    # A comment
    A='x y' python -m data.browse \\
        --source=DIR | tee log
    { echo a; } |
        cat

```bash
make test
```
"""


def test_commands_are_found_in_code_blocks():
    assert [(c.line, c.text) for c in commands_in("page.md", MARKDOWN)] == [
        (5, "smapcomp info a.smc"),
        (14, "A='x y' python -m data.browse --source=DIR | tee log"),
        (16, "{ echo a; } | cat"),
        (20, "make test"),
    ]


def test_a_synopsis_stands_for_its_first_form():
    text = "job --out=DIR --scale=1|2|4 [--size=256] [--encoding=raw|file]"
    assert synopsis_filled(text) == "job --out=DIR --scale=1 --size=256 --encoding=raw"


def test_every_page_with_commands_is_run_by_one_file():
    run = [page for pages in doc_settings.PAGES.values() for page in pages]
    assert len(run) == len(set(run))
    assert {command.page for command in commands_of(*PAGES)} == set(run)


def test_every_command_is_run_or_excused():
    unknown = [(c, c.text) for c, (kind, _) in treatments().items() if kind == "unknown"]
    assert not unknown, "add a pattern to tests/helpers/doc_settings.py"


def test_every_excuse_is_needed():
    texts = [command.text for command in commands_of(*PAGES)]
    for patterns in (doc_settings.EXCUSED, doc_settings.CHECKED, doc_settings.SLOW):
        for pattern in patterns:
            assert any(re.search(pattern, text) for text in texts), pattern


def test_test_files_that_bazel_commands_name_exist():
    text = (ROOT / "docs" / "bazel.md").read_text(encoding="utf-8")
    names = re.findall(r"bazel test //tests:(\S+)", text)
    assert names
    assert not [name for name in names if not (ROOT / "tests" / f"{name}.py").is_file()]
