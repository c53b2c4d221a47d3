"""The loop that changes rows some at a time, as SQL that needs nobody at the other end.

Each round reads where the rows are, and changes them around those that somebody else has
locked; rounds go on until no row is left, or none fewer: then a trigger keeps them.
"""

BATCH = 1000  # rows that one transaction holds, whoever sends it

# Somebody's columns may be called as our variables are: a bare name is always theirs, and
# each of ours is said with its block.
LOOP = """
    #variable_conflict use_column
    <<sexton_loop>>
    declare
        batch record;
        locked pg_catalog.tid[];
        written pg_catalog.int8;
        seen pg_catalog.int8;
        most pg_catalog.int8;
    begin
        commit;
        loop
            set transaction isolation level read committed;
            {finding}
            exit when not exists (select from {table} as this where ({where}));
            sexton_loop.written := 0;
            sexton_loop.seen := 0;
            for batch in
                select numbered.part, pg_catalog.array_agg(numbered.at) as ctids
                from (
                    select this.tableoid as part, this.ctid as at,
                           pg_catalog.row_number() over (
                               partition by this.tableoid order by this.ctid
                           ) operator(pg_catalog./) {batch} as number
                    from {table} as this where ({where})
                ) as numbered
                group by numbered.part, numbered.number
                order by numbered.part, numbered.number
            loop
                {finding}
                select pg_catalog.array_agg(free.at) into sexton_loop.locked from (
                    select this.ctid as at from {table} as this
                    where this.ctid operator(pg_catalog.=) any (sexton_loop.batch.ctids)
                      and this.tableoid operator(pg_catalog.=) sexton_loop.batch.part
                      and ({where})
                    for {lock} of this skip locked
                ) as free;
                {writing}
                {change}
                where this.ctid operator(pg_catalog.=) any (sexton_loop.locked)
                  and this.tableoid operator(pg_catalog.=) sexton_loop.batch.part;
                sexton_loop.written := sexton_loop.written operator(pg_catalog.+)
                    coalesce(pg_catalog.cardinality(sexton_loop.locked), 0);
                sexton_loop.seen := sexton_loop.seen
                    operator(pg_catalog.+) pg_catalog.cardinality(sexton_loop.batch.ctids);
                commit;
                set transaction isolation level read committed;
            end loop;
            commit;
            exit when sexton_loop.seen operator(pg_catalog.>=) sexton_loop.most;
            sexton_loop.most := case
                when sexton_loop.written operator(pg_catalog.>) 0 then sexton_loop.seen
            end;
            perform pg_catalog.pg_sleep(0.05);
            commit;
        end loop;
    end
"""


def block(text: str) -> str:
    """A DO statement, quoted by a tag that no name in it can close."""
    tag = "$do$"
    while tag in text:
        tag = f"{tag[:-1]}_$"
    return f"do {tag}{text}{tag}"


def row_loop(
    table: str,
    where: str,
    change: str,
    *,
    lock: str = "no key update",
    finding: str = "",
    writing: str = "",
) -> str:
    """The DO statement that commits after each BATCH; it runs in no transaction.

    `change` is an UPDATE or DELETE of the table without its condition, which is `where`,
    over `this`; `lock` is the row lock that it takes. `finding` and `writing` are
    statements that come before each of either.
    """
    return block(
        LOOP.format(
            table=table,
            where=where,
            change=change,
            lock=lock,
            finding=finding,
            writing=writing,
            batch=BATCH,
        )
    )
