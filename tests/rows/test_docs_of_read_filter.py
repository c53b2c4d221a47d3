"""docs/read-filter.md: its declaration hides what its table says."""

import re

import psycopg
from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sexton import project as projects
from tests.support.project import ROOT

PAGE = (ROOT / "docs" / "read-filter.md").read_text()


def test_the_lines_of_the_page(empty, empty_url, tmp_path, monkeypatch):
    [declared] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    install, query, _ = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "sexton.toml").write_text(declared)
    monkeypatch.chdir(tmp_path)

    class Base(DeclarativeBase):
        pass

    class Customer(Base):
        __tablename__ = "customers"
        id: Mapped[int] = mapped_column(primary_key=True)
        deleted_at: Mapped[str | None]

    empty.execute(
        "create table customers (id int primary key, deleted_at text);"
        "insert into customers values (1, null), (7, 'then')"
    )
    names = {"Base": Base, "Customer": Customer, "select": select}
    with projects.afresh():
        exec(install.replace("hide_deleted(Base)", "remove = hide_deleted(Base)"), names)
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(empty_url)
    )
    try:
        with Session(engine) as session:
            names["session"] = session
            assert session.get(Customer, 7) is None
            assert len(session.scalars(select(Customer)).all()) == 1
            assert len(eval(query, names).all()) == 2
    finally:
        names["remove"]()
        engine.dispose()
