"""`sexton.sqlalchemy.hide_deleted`: what an ORM query sees, and what it does not."""

import asyncio
import datetime
import subprocess
import sys

import psycopg
import pytest
import sqlalchemy
from sqlalchemy import (
    Boolean,
    DateTime,
    ForeignKey,
    Integer,
    String,
    create_engine,
    delete,
    func,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    joinedload,
    mapped_column,
    relationship,
    selectinload,
    subqueryload,
)

from sexton.errors import UsageError
from sexton.project import Project
from sexton.reference import Declarations, SoftDelete
from sexton.sqlalchemy import hide_deleted, watching

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
DECLARED = Declarations(
    soft_delete=(
        SoftDelete(table="customers", deleted_at="deleted_at"),
        SoftDelete(table="invoices", deleted="gone"),
        SoftDelete(table="crm.notes", live="\"Status\" <> 'archived'  -- or so"),
    )
)


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    deleted_at: Mapped[datetime.datetime | None] = mapped_column(DateTime(timezone=True))
    invoices: Mapped[list["Invoice"]] = relationship(back_populates="customer")


class Invoice(Base):
    __tablename__ = "invoices"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"))
    total: Mapped[int] = mapped_column(Integer, default=0)
    is_gone: Mapped[bool] = mapped_column("gone", Boolean, default=False)
    customer: Mapped[Customer | None] = relationship(back_populates="invoices")
    notes: Mapped[list["Note"]] = relationship()


class Note(Base):
    __tablename__ = "notes"
    __table_args__ = {"schema": "crm"}  # noqa: RUF012
    id: Mapped[int] = mapped_column(primary_key=True)
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"))
    state: Mapped[str] = mapped_column("Status", String)


class Plain(Base):
    __tablename__ = "plain"
    id: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture(scope="module", autouse=True)
def hidden():
    remove = hide_deleted(Base, Project("shop", declared=DECLARED))
    yield
    remove()


@pytest.fixture
def engine(empty, empty_url):
    empty.execute("create schema crm")
    made = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(empty_url)
    )
    Base.metadata.create_all(made)
    with Session(made) as session:
        session.add_all(
            [
                Customer(id=1, name="live"),
                Customer(id=2, name="gone", deleted_at=NOW),
                Invoice(id=1, customer_id=1),
                Invoice(id=2, customer_id=1, is_gone=True),
                Invoice(id=3, customer_id=2),
                Invoice(id=4, customer_id=2, is_gone=True),
                Note(id=1, invoice_id=1, state="open"),
                Note(id=2, invoice_id=1, state="archived"),
                Plain(id=1),
            ]
        )
        session.commit()
    yield made
    made.dispose()


@pytest.fixture
def session(engine):
    with Session(engine) as opened:
        yield opened


SEEN = {
    "entity": (select(Invoice), [1, 3]),
    "column": (select(Invoice.id), [1, 3]),
    "count": (select(func.count()).select_from(Invoice), [2]),
    "alias": (select(aliased(Invoice, name="i").id), [1, 3]),
    "join": (select(Invoice.id).join(Invoice.customer), [1]),
    "outer join": (
        select(func.coalesce(Customer.id, 0)).select_from(Invoice).outerjoin(Customer),
        [0, 1],
    ),
    "has": (select(Invoice.id).where(Invoice.customer.has()), [1]),
    "any": (select(Customer.id).where(Customer.invoices.any()), [1]),
    "not any": (select(Customer.id).where(~Customer.invoices.any(Invoice.id == 1)), []),
    "subquery": (
        select(Plain.id).where(Plain.id.in_(select(Invoice.customer_id))),
        [1],
    ),
    "exists": (
        select(Customer.id).where(select(Note.id).where(Note.state == "archived").exists()),
        [],
    ),
    "cte": (select(select(Invoice.id).cte("c").c.id), [1, 3]),
    "union": (
        select(select(Invoice.id).union_all(select(Note.id)).subquery().c.id),
        [1, 3],
    ),
    "condition": (select(Note.id), [1]),
    "plain": (select(Plain.id), [1]),
}


@pytest.mark.parametrize("kind", SEEN)
def test_queries_see_live_rows(session, kind):
    query, expected = SEEN[kind]
    if kind in ("has", "any", "not any") and sqlalchemy.__version__ < "2.1":
        return  # before, SQLAlchemy lets no criterion into their EXISTS
    found = session.scalars(query).unique().all()
    assert sorted(getattr(one, "id", one) for one in found) == expected


def test_an_option_shows_them(session):
    shown = {"include_deleted": True}
    assert len(session.scalars(select(Invoice), execution_options=shown).all()) == 4
    assert len(session.scalars(select(Invoice).execution_options(**shown)).all()) == 4
    assert session.get(Customer, 2, execution_options=shown).name == "gone"


def test_get_and_many_to_one_give_none(session):
    assert session.get(Customer, 2) is None
    assert session.get(Customer, 1).name == "live"
    assert session.get(Invoice, 3).customer is None
    assert session.get(Invoice, 1).customer.id == 1


@pytest.mark.parametrize("load", [None, joinedload, selectinload, subqueryload])
def test_relationships_load_live_rows(session, load):
    query = select(Customer)
    query = query.options(load(Customer.invoices)) if load else query
    [customer] = session.scalars(query).unique()
    assert [invoice.id for invoice in customer.invoices] == [1]
    assert [note.id for note in customer.invoices[0].notes] == [1]


def test_a_new_object_s_relationships_load_live_rows(session):
    customer = Customer(id=3, name="new")
    session.add_all([customer, Invoice(id=5, customer_id=3, is_gone=True)])
    session.flush()
    assert customer.invoices == []


def test_a_loaded_row_can_be_refreshed_and_deleted(session):
    invoice = session.get(Invoice, 1)
    session.execute(text("update invoices set gone = true, total = 7 where id = 1"))
    session.refresh(invoice)
    assert (invoice.total, invoice.is_gone) == (7, True)
    session.expire(invoice)
    assert invoice.total == 7
    invoice.total = 8
    session.commit()
    assert session.execute(text("select total from invoices where id = 1")).scalar() == 8
    assert session.get(Invoice, 1) is invoice or inspect(invoice).expired


def test_update_and_delete_reach_live_rows(session):
    assert session.execute(update(Invoice).values(total=1)).rowcount == 2
    assert session.execute(delete(Note)).rowcount == 1
    everything = {"include_deleted": True}
    assert session.execute(delete(Note), execution_options=everything).rowcount == 1


def test_sql_of_ones_own_is_left_alone(session):
    assert session.execute(text("select count(*) from invoices")).scalar() == 4
    assert session.execute(select(Invoice.__table__)).all().__len__() == 4


def test_a_statement_is_compiled_once_whatever_its_values(session, engine):
    for number in (1, 2, 3):
        session.scalars(select(Invoice).where(Invoice.id == number)).all()
    cached = [key for key in engine._compiled_cache if "total" in str(key)]
    session.scalars(select(Invoice).where(Invoice.id == 4)).all()
    assert len([k for k in engine._compiled_cache if "total" in str(k)]) == len(cached)


def test_asynchronous_sessions(engine, empty_url):
    async def look():
        async_engine = create_async_engine(
            "postgresql+psycopg://",
            async_creator=lambda: psycopg.AsyncConnection.connect(empty_url),
        )
        async with AsyncSession(async_engine) as session:
            found = (await session.scalars(select(Invoice.id))).all()
            lost = await session.get(Customer, 2)
        await async_engine.dispose()
        return sorted(found), lost

    assert asyncio.run(look()) == ([1, 3], None)


def test_what_reads_unfiltered_is_listed(session, engine):
    marked = {"execution_options": {"include_deleted": True}}
    with watching(Project("shop", declared=DECLARED)) as found:
        session.scalars(select(Invoice)).all()
        session.get(Customer, 1).invoices  # noqa: B018 - a lazy load
        session.refresh(session.get(Invoice, 1))
        session.scalars(select(Invoice), **marked).all()
        session.execute(text("select 1 from invoices where not gone")).all()
        session.execute(text("select id from plain")).all()
        session.add(Invoice(id=9, customer_id=1))
        session.flush()
        assert found == []
        session.execute(text("select id, gone from invoices")).all()
        session.execute(select(Customer.__table__.c.id)).all()
        session.execute(text("select 1 from crm.notes n where n.id = 1")).all()
    assert [one.table for one in found] == ["invoices", "customers", "crm.notes"]
    assert found[0].statement == "select id, gone from invoices"
    assert found[0].place.startswith(f"{__file__}:")
    session.execute(text("select id from invoices")).all()
    assert len(found) == 3


def test_the_fixture_of_the_plugin(tmp_path, empty_url):
    (tmp_path / "sexton.toml").write_text(
        'project = "shop"\n[[soft_delete]]\ntable = "plain"\ndeleted = "gone"\n'
    )
    (tmp_path / "test_own.py").write_text(
        f"""
import psycopg
from sqlalchemy import create_engine, text

def test_own(unfiltered_statements):
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect({empty_url!r})
    )
    with engine.begin() as connection:
        connection.execute(text("create table plain (id int, gone boolean)"))
        connection.execute(text("select * from plain where not gone"))
        assert unfiltered_statements == []
        connection.execute(text("select gone from plain"))
    engine.dispose()
    assert unfiltered_statements == []
"""
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert "Unfiltered(table='plain', statement='select gone from plain'" in done.stdout
    assert "test_own.py:15" in done.stdout


def test_what_cannot_be_hidden_is_refused():
    with pytest.raises(UsageError, match="declares no"):
        hide_deleted(Base, Project("shop", declared=Declarations()))
    wrong = Declarations(soft_delete=(SoftDelete(table="plain", deleted="no"),))
    remove = hide_deleted(Base, Project("shop", declared=wrong))
    try:
        with pytest.raises(UsageError, match="model of plain has no column no"):
            Session(create_engine("postgresql+psycopg://")).scalars(select(Plain))
    finally:
        remove()
