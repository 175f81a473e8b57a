"""Write what a shoot made as one page to look at: before and after, scores, route, cost and duration of each run.

The page stands alone: its style is inside, its pictures are the files beside it, nothing is asked of any server. It
reads no file and decides nothing. Before it: `demo`. After it: a browser.
"""

import html
import statistics
from collections import abc

from examples.product_shoot import demo

STYLE = """
:root { color-scheme: light dark; --paper: #f6f4ef; --card: #fffdf9; --ink: #23211d; --soft: #7b756a; --line: #e4dfd4;
  --good: #2f7d4f; --fair: #a36a00; --bad: #b3372b; }
@media (prefers-color-scheme: dark) { :root { --paper: #171614; --card: #201f1c; --ink: #ece8e0; --soft: #9c968a;
  --line: #35322d; --good: #6fc48f; --fair: #dda447; --bad: #ef8377; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 ui-sans-serif, system-ui, "Segoe UI",
  Roboto, sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 48px 24px 80px; }
h1 { font: 600 34px/1.2 ui-serif, Georgia, serif; margin: 0 0 6px; letter-spacing: -0.01em; }
.lead { color: var(--soft); margin: 0 0 32px; }
dl.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(132px, 1fr)); gap: 1px; margin: 0 0 44px;
  background: var(--card); border: 1px solid var(--line); border-radius: 14px; overflow: hidden; }
dl.figures div { padding: 16px 18px; box-shadow: 1px 1px 0 var(--line); }
dt { color: var(--soft); font-size: 13px; }
dd { margin: 2px 0 0; font-size: 22px; font-variant-numeric: tabular-nums; }
article { background: var(--card); border: 1px solid var(--line); border-radius: 16px; padding: 20px;
  margin: 0 0 24px; }
header.run { display: flex; flex-wrap: wrap; gap: 4px 16px; align-items: baseline; margin: 0 0 14px; }
h2 { font: 600 20px/1.3 ui-serif, Georgia, serif; margin: 0; }
.facts { color: var(--soft); font-size: 14px; font-variant-numeric: tabular-nums; }
.sheet { display: grid; grid-template-columns: 0.8fr 0.8fr 1fr 1fr 1fr; gap: 14px; }
.line { color: var(--soft); font-style: italic; margin: 0 0 14px; }
figure { margin: 0; }
figure img { width: 100%; aspect-ratio: 1; object-fit: cover; border-radius: 10px; background: var(--line);
  display: block; }
figure.before img { object-fit: contain; }
figcaption { display: flex; justify-content: space-between; gap: 8px; color: var(--soft); font-size: 13px;
  padding: 7px 2px 0; }
.score { font-weight: 600; font-variant-numeric: tabular-nums; white-space: nowrap; }
.good { color: var(--good); } .fair { color: var(--fair); } .bad { color: var(--bad); }
footer { color: var(--soft); font-size: 13px; margin-top: 40px; }
footer li { margin: 2px 0; }
@media (max-width: 860px) { .sheet { grid-template-columns: 1fr 1fr; } }
"""
SCORE_GOOD = 0.75
SCORE_FAIR = 0.65


def page(shoot: demo.Shoot) -> str:
    """Give the whole page as HTML."""
    runs = "\n".join(_run(each) for each in shoot.finished)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Product shoot {_text(shoot.batch)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>Product shoot</h1>\n<p class=lead>{len(shoot.finished)} photographs, {_pictures(shoot)} finished "
        f"pictures, {shoot.elapsed_s:.0f} seconds. Each photo was checked, its subject cut out, set into three "
        "generated scenes, scored, and made again where it was weak.</p>\n"
        f"{_figures(shoot)}\n{runs}\n{_licences(shoot)}\n</main>\n</body>\n</html>\n"
    )


def _figures(shoot: demo.Shoot) -> str:
    durations = sorted(each.duration_s for each in shoot.finished)
    made_again = sum(1 for each in shoot.finished for shot in each.shots if shot.round > 1)
    figures = [
        ("Runs succeeded", f"{sum(each.state == 'succeeded' for each in shoot.finished)} of {len(shoot.finished)}"),
        ("Pictures", str(_pictures(shoot))),
        ("Made again", str(made_again)),
        ("Steps", str(sum(each.steps for each in shoot.finished))),
        ("Retries", str(sum(each.retries for each in shoot.finished))),
        ("Cost", f"${sum(float(each.cost_usd) for each in shoot.finished):.2f}"),
        ("Median run", f"{statistics.median(durations):.1f} s" if durations else "none"),
    ]
    if shoot.account is not None:
        figures.append(("Paid twice", str(len(shoot.account.duplicates))))
    cells = "".join(f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in figures)
    return f'<dl class="figures">{cells}</dl>'


def _run(run: demo.Finished) -> str:
    facts = [f"${float(run.cost_usd):.2f}", f"{run.duration_s:.1f} s", f"{run.steps} steps", f"{run.attempts} attempts"]
    facts += [" → ".join(run.route)] if run.route else []
    shown = _text(" · ".join(facts))
    pictures = [_figure(path=run.photo_path, caption="Photo", alt=f"{run.photo.title}, the photo", kind="before")]
    if run.mask_path is not None:
        pictures.append(
            _figure(path=run.mask_path, caption="Cut-out", alt=f"{run.photo.title}, its outline", kind="before")
        )
    pictures += [_shot(run, shot) for shot in run.shots]
    trouble = "" if run.state == "succeeded" else f'<p class="bad">{_text(run.state)}: {_text(run.error)}</p>'
    line = f'<p class="line">{_text(run.line)}</p>' if run.line else ""
    return (
        f'<article>\n<header class="run"><h2>{_text(run.photo.title)}</h2><span class="facts">{shown}</span></header>\n'
        f'{trouble}{line}<div class="sheet">{"".join(pictures)}</div>\n</article>'
    )


def _shot(run: demo.Finished, shot: demo.Shot) -> str:
    quality = "good" if shot.score >= SCORE_GOOD else "fair" if shot.score >= SCORE_FAIR else "bad"
    again = "" if shot.round == 1 else f", round {shot.round}"
    score = f'<span class="score {quality}">{shot.score:.2f}</span>'
    return _figure(path=shot.path, caption=f"{shot.scene}{again}", alt=f"{run.photo.title}, {shot.scene}", mark=score)


def _figure(*, path: str, caption: str, alt: str, kind: str = "after", mark: str = "") -> str:
    return (
        f'<figure class="{kind}"><a href="{_text(path)}"><img src="{_text(path)}" alt="{_text(alt)}"></a>'
        f"<figcaption><span>{_text(caption)}</span>{mark}</figcaption></figure>"
    )


def _licences(shoot: demo.Shoot) -> str:
    lines = "".join(f"<li>{_text(title)}: {_text(licence)}</li>" for title, licence in _photos(shoot.finished))
    made_by = "Scenes and lines are made by twins of the providers."
    return f"<footer><p>Photographs</p><ul>{lines}</ul><p>{made_by}</p></footer>"


def _photos(finished: abc.Sequence[demo.Finished]) -> list[tuple[str, str]]:
    return [(each.photo.title, each.photo.licence) for each in finished]


def _pictures(shoot: demo.Shoot) -> int:
    return sum(len(each.shots) for each in shoot.finished)


def _text(value: str) -> str:
    return html.escape(value, quote=True)
