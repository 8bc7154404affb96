"""The bed for neighbours: third-party tools, each run on the stock openai client and on ours, side by side.

    python -m neighbours                        every tool of the environments that `make neighbours` made
    python -m neighbours instructor langfuse    these tools only
    python -m neighbours --quick                the subset of `make neighbours-quick`
    python -m neighbours --recipes              the code of docs/recipes.md
    python -m neighbours --page                 docs/neighbours.md anew, of what each tool's last run showed

`catalogue.py` lists the tools, `tools/` has one file of scenarios for each, `environments/` what is installed
for them (`*.in`: requirements; `*.txt`: pins). `expected.py` is the one place that says where ours and the
stock client differ, and why; what fails on both is the tool's own, and fails no run. `docs/neighbours.md` is
what a run of all tools writes. `docs/recipes.md` is how each tool is given our client: its code is run here.
"""
