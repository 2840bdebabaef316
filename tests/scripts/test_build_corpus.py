"""The corpus builder: what it reads, how it labels, and that equal packages give equal bytes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = REPOSITORY / "scripts"
DATA = REPOSITORY / "fixtures" / "data"
sys.path.insert(0, str(SCRIPTS))

from corpus.blocks import Block, Heading, html_elements, pod_elements, pod_text  # noqa: E402
from corpus.passages import MOST_WORDS, Section, build, pack  # noqa: E402
from corpus.sample import pick  # noqa: E402

FAQ = """=head1 NAME

perlfaq4 - Data Manipulation

=head1 Data: Files

=head2 How do I copy a file?

Use the module L<File::Copy>, which comes with Perl, and call its function C<copy> with two names.

    use File::Copy;

    copy($from, $to);

=head2 Where is more?

See perlfaq5.

=head2 How do I copy a directory?

Walk the tree with L<File::Find> and copy each of the files on its own, making folders as you go.
"""


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _section(text: str, question: str | None = None, title: str = "a") -> Section:
    return Section("s", title, "h", (Block(text),), question)


def _many(count: int, word: str = "word") -> str:
    return " ".join(f"{word}{number}" for number in range(count))


def test_html_is_read_without_navigation_and_with_its_listings() -> None:
    page = """<head><title>t</title></head><body><div class="navheader"><p>Next</p></div>
    <h2>10.2. What   now?<a class="headerlink">¶</a></h2><p>One <code>two</code><br>three<p>four
    <pre>
      if x:

          y = 1
    </pre><script>var a;</script><ul class="toc"><li>skipped<ul><li>too</li></ul></li></ul>
    <dl><dt>term</dt><dd>meaning</dd></dl></body>"""
    assert html_elements(page) == [
        Heading(2, "10.2. What now?"),
        Block("One two three"),
        Block("four"),
        Block("if x:\n    y = 1", code=True),
        Block("term"),
        Block("meaning"),
    ]


def test_pod_is_read_with_its_formatting_resolved() -> None:
    source = "=head2 How\n\nUse C<<< $a <=> $b >>> and L<the page|perlop> E<lt>here.\n\n  x\n\n  y"
    assert pod_elements(source) == [
        Heading(2, "How"),
        Block("Use $a <=> $b and the page <here."),
        Block("x\ny", code=True),
    ]
    assert pod_text("see L<http://a.example/b> and L<perlvar/$_>") == (
        "see http://a.example/b and perlvar, $_"
    )
    assert pod_elements("=begin html\n\n<p>no</p>\n\n=end html\n\nyes") == [Block("yes")]


def test_long_sections_are_cut_into_even_passages_of_bounded_length() -> None:
    texts = pack([Block(_many(50, f"p{number}x")) for number in range(9)])
    sizes = [len(text.split()) for text in texts]
    assert sizes == [150, 150, 150]
    assert all("\n\n" in text for text in texts)


@pytest.mark.parametrize(
    "block",
    [
        Block(_many(1000)),
        Block(". ".join(_many(40, f"s{number}x") for number in range(20))),
        Block("\n".join(_many(30, f"l{number}x") for number in range(20)), code=True),
    ],
    ids=["one sentence", "sentences", "lines of code"],
)
def test_a_block_that_is_too_long_is_cut_and_loses_nothing(block: Block) -> None:
    texts = pack([block])
    assert max(len(text.split()) for text in texts) <= MOST_WORDS
    assert _words(" ".join(texts)) == _words(block.text)


def test_an_answer_stays_by_itself_and_neighbours_without_a_question_are_joined() -> None:
    corpus = build(
        [
            _section(_many(30, "a")),
            _section(_many(30, "b")),
            _section(_many(20, "c"), "What is it then?"),
            _section(_many(30, "d")),
        ]
    )
    assert [len(one.text.split()) for one in corpus.passages] == [60, 20, 30]
    (question,) = corpus.questions
    assert question.relevant == [corpus.passages[1].passage_id]


def test_an_answer_that_only_points_elsewhere_is_no_answer() -> None:
    assert build([_section("See perlfaq4.", "Where is it then?")]).questions == []


def test_a_heading_that_its_answer_repeats_is_no_question() -> None:
    text = f"How do I copy? is often asked. {_many(40)}"
    corpus = build([_section(text, "How do I copy?")])
    assert corpus.questions == []
    assert len(corpus.passages) == 1


def test_tables_of_contents_do_not_give_questions_away() -> None:
    contents = Section("s", "a", "h", (Block("What is S?"), Block(_many(30, "x"))), None)
    corpus = build([contents, _section(_many(40), "What is S?")])
    assert not any("What is S?" in one.text for one in corpus.passages)


def test_equal_texts_are_kept_once_and_their_labels_follow() -> None:
    text = _many(40)
    corpus = build([_section(text, "What is it then?"), _section(text, "And what is that?")])
    assert len(corpus.passages) == 1
    assert corpus.questions[0].relevant == corpus.questions[1].relevant


def test_a_question_asked_twice_has_both_answers() -> None:
    corpus = build(
        [_section(_many(40, "a"), "What is it?"), _section(_many(40, "b"), "What is it?")]
    )
    assert [len(one.relevant) for one in corpus.questions] == [2]


def test_a_sample_holds_every_answer_to_its_questions() -> None:
    corpus = build(
        [_section(_many(40, f"a{n}x"), f"What is number {n}?") for n in range(20)]
        + [_section(_many(70, f"b{n}x"), title=f"t{n}") for n in range(20)]
    )
    sample = pick(corpus, {"s": 5}, 12)
    names = {one.passage_id for one in sample.passages}
    assert (len(sample.questions), len(names)) == (5, 12)
    assert all(set(one.relevant) <= names for one in sample.questions)
    assert pick(corpus, {"s": 5}, 12) == sample


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """An unpacked perl-doc of one page, as debs.fetch leaves it."""
    package = tmp_path / "cache" / "perl-doc"
    pod = package / "root/usr/share/perl/5.36.0/pod"
    pod.mkdir(parents=True)
    (pod / "perlfaq4.pod").write_text(FAQ)
    notice = package / "root/usr/share/doc/perl-doc/copyright"
    notice.parent.mkdir(parents=True)
    notice.write_text("Artistic\n")
    record = {"name": "perl-doc", "version": "5.36.0-7", "architecture": "all", "sha256": "0" * 64}
    (package / "package.json").write_text(json.dumps(record))
    return tmp_path / "cache"


def _build(cache: Path, out: Path, *more: str, seed: str = "1") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPTS / "build_corpus.py"), "--out", str(out)]
    return subprocess.run(
        [*command, "--cache", str(cache), *more],
        env={**os.environ, "PYTHONHASHSEED": seed, "PATH": str(cache)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_package_becomes_passages_and_labels_without_a_network(
    cache: Path, tmp_path: Path
) -> None:
    done = _build(cache, tmp_path / "out", "--sources", "perl")
    assert done.returncode == 0, done.stderr
    passages = [json.loads(line) for line in (tmp_path / "out/passages.jsonl").open()]
    questions = [json.loads(line) for line in (tmp_path / "out/questions.jsonl").open()]
    asked = {one["question"]: one["relevant"] for one in questions}
    assert set(asked) == {"How do I copy a file?", "How do I copy a directory?"}
    answer = next(p for p in passages if p["passage_id"] in asked["How do I copy a file?"])
    assert "copy($from, $to);" in answer["text"]
    assert answer["section"] == "Data: Files"
    assert answer["title"] == "perlfaq4 - Data Manipulation"
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["packages"]["perl"]["version"] == "5.36.0-7"
    assert manifest["counts"] == {"passages": {"perl": 2}, "questions": {"perl": 2}}


def test_equal_packages_give_equal_bytes(cache: Path, tmp_path: Path) -> None:
    for seed in ("1", "2"):
        assert _build(cache, tmp_path / seed, "--sources", "perl", seed=seed).returncode == 0
    for name in ("passages.jsonl", "questions.jsonl", "manifest.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_a_source_that_is_unknown_or_cannot_be_had_is_named(cache: Path, tmp_path: Path) -> None:
    unknown = _build(cache, tmp_path / "out", "--sources", "perl,ruby")
    assert unknown.returncode == 2
    assert "no source ruby" in unknown.stderr
    missing = _build(cache, tmp_path / "out", "--sources", "r")
    assert missing.returncode == 1
    assert "apt-get was not found" in missing.stderr
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def sample() -> tuple[list[dict[str, str]], list[dict[str, str]], dict[str, dict[str, object]]]:
    folder = DATA / "sample"
    passages = [json.loads(line) for line in (folder / "passages.jsonl").open()]
    questions = [json.loads(line) for line in (folder / "questions.jsonl").open()]
    return passages, questions, json.loads((folder / "manifest.json").read_text())


def test_the_committed_sample_is_what_its_manifest_says(sample) -> None:  # type: ignore[no-untyped-def]
    passages, questions, manifest = sample
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((DATA / "sample" / name).read_bytes()).hexdigest() == digest
    assert sum(manifest["counts"]["passages"].values()) == len(passages) == 300
    assert sum(manifest["counts"]["questions"].values()) == len(questions) == 80
    assert sum(path.stat().st_size for path in (DATA / "sample").iterdir()) < 400_000


def test_every_label_of_the_sample_leads_to_a_passage_that_does_not_repeat_the_question(
    sample,  # type: ignore[no-untyped-def]
) -> None:
    passages, questions, _ = sample
    by_name = {one["passage_id"]: one for one in passages}
    assert len(by_name) == len(passages)
    assert len({one["question"] for one in questions}) == len(questions)
    for question in questions:
        wording = " ".join(_words(question["question"]))
        assert question["relevant"]
        for name in question["relevant"]:
            for field in ("text", "section", "title"):
                assert f" {wording} " not in f" {' '.join(_words(by_name[name][field]))} "


def test_every_passage_of_the_sample_is_of_bounded_length(sample) -> None:  # type: ignore[no-untyped-def]
    assert max(len(one["text"].split()) for one in sample[0]) <= MOST_WORDS


def test_the_licence_of_every_source_of_the_sample_is_told(sample) -> None:  # type: ignore[no-untyped-def]
    told = (DATA / "README.md").read_text()
    for source in {one["source"] for one in sample[0]}:
        assert f"| `{source}` |" in told
    for named in re.findall(r"`(licences/[^`]+)`", told):
        assert (DATA / named).is_file()
