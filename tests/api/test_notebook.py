"""docs/notebook.ipynb runs from its first cell to its last, without Jupyter, and holds no outputs."""

import ast
import json
from pathlib import Path

NOTEBOOK = json.loads((Path(__file__).resolve().parents[2] / "docs" / "notebook.ipynb").read_text())


def test_it_is_a_notebook_without_outputs():
    assert (NOTEBOOK["nbformat"], NOTEBOOK["metadata"]["kernelspec"]["name"]) == (4, "python3")
    assert len({cell["id"] for cell in NOTEBOOK["cells"]}) == len(NOTEBOOK["cells"])
    for cell in NOTEBOOK["cells"]:
        assert cell["cell_type"] in ("code", "markdown")
        assert cell["cell_type"] == "markdown" or (cell["outputs"], cell["execution_count"]) == ([], None)


def test_its_cells_run_in_order(tiny_folder, tmp_path, monkeypatch, capsys):
    """On a tiny data set in the place of the sample, for two epochs in the place of twenty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROBUSTREC_HOME", str(tmp_path / "home"))
    names, values = {}, []
    for cell in NOTEBOOK["cells"]:
        if cell["cell_type"] != "code":
            continue
        source = "".join(cell["source"])
        if "rr." in source:
            source = source.replace('"baby"', repr(str(tiny_folder))).replace('edition="sample"', 'edition="auto"')
            source = source.replace('"max_epochs": 20', '"max_epochs": 2')
        *statements, last = ast.parse(source).body
        if not isinstance(last, ast.Expr):
            statements, last = [*statements, last], None
        exec(compile(ast.Module(statements, []), "cell", "exec"), names)
        values.append(eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None)
    assert values[0] == ["vbpr/vanilla seed 0"]
    shown = next(value for value in values if hasattr(value, "_repr_html_"))
    assert "ndcg@20&gt;-5%" in shown._repr_html_()
    assert values[-1] in ("pass", "fail", "inconclusive")
    assert "ndcg@20>-5%" in capsys.readouterr().out
    assert (tmp_path / "report.html").is_file()
    assert values[-2][0][0].startswith("sigma2=")
