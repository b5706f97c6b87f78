"""Write the snapshot of the asset graph anew: `python -m tests.update_snapshot`; then read the difference."""

from tests.asset_graph import SNAPSHOT, build, text

if __name__ == "__main__":
    SNAPSHOT.parent.mkdir(exist_ok=True)
    SNAPSHOT.write_text(text(build()))
