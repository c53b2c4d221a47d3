"""The query of the catalogs about references, for all of them at once."""

from typing import LiteralString

from sexton.postgres.enforced import ENFORCES

# Runs on any search path: functions, types and casts are qualified, and the operands of
# every operator have exactly the types of one in pg_catalog.
FACTS: LiteralString = f"""
    with recursive wanted as (
        select
            w.ordinal, w.child::pg_catalog.oid as child, w.parent::pg_catalog.oid as parent
        from rows from (
            pg_catalog.unnest(%s::pg_catalog.int4[]),
            pg_catalog.unnest(%s::pg_catalog.int8[]),
            pg_catalog.unnest(%s::pg_catalog.int8[])
        ) as w (ordinal, child, parent)
    ),
    pair as (
        select
            w.ordinal, p.nth, w.child, w.parent,
            c.attname as name, c.attnum as number, c.atttypid as type,
            c.attcollation as sorted,
            k.attname as key_name, k.attnum as key_number, k.atttypid as key_type,
            k.attcollation as key_sorted
        from wanted w
        join rows from (
            pg_catalog.unnest(%s::pg_catalog.int4[]),
            pg_catalog.unnest(%s::pg_catalog.int4[]),
            pg_catalog.unnest(%s::pg_catalog.text[]),
            pg_catalog.unnest(%s::pg_catalog.text[])
        ) as p (ordinal, nth, name, key_name) on p.ordinal = w.ordinal
        join pg_catalog.pg_attribute c
          on c.attrelid = w.child and c.attname = p.name::pg_catalog.name
        join pg_catalog.pg_attribute k
          on k.attrelid = w.parent and k.attname = p.key_name::pg_catalog.name
    ),
    base (type, basic) as (
        select type, type from pair
        union
        select key_type, key_type from pair
        union
        select b.type, t.typbasetype
        from base b join pg_catalog.pg_type t on t.oid = b.basic
        where t.typtype = 'd'::pg_catalog."char"
    ),
    class as (
        select distinct on (b.type)
            b.type, b.basic, o.opcfamily as family, s.nspname as schema
        from base b
        join pg_catalog.pg_opclass o on o.opcintype = b.basic and o.opcdefault
        join pg_catalog.pg_am m
          on m.oid = o.opcmethod and m.amname = 'btree'::pg_catalog.name
        join pg_catalog.pg_amop a
          on a.amopfamily = o.opcfamily and a.amopstrategy = 3::pg_catalog.int2
         and a.amoplefttype = b.basic and a.amoprighttype = b.basic
        join pg_catalog.pg_operator r on r.oid = a.amopopr
        join pg_catalog.pg_namespace s on s.oid = r.oprnamespace
        order by b.type
    ),
    -- The library that sorts these is another than the indexes were built with (after an
    -- upgrade of the system, say): they may leave rows out until they are built again.
    drifted as (
        select l.oid
        from (
            select sorted from pair union select key_sorted from pair
        ) as used (oid)
        join pg_catalog.pg_collation l on l.oid = used.oid
        cross join pg_catalog.pg_database d
        where d.datname = pg_catalog.current_database()
          and coalesce(
                l.collversion,
                case when l.collprovider = 'd'::pg_catalog."char" then
                    -- The column came with PostgreSQL 15.
                    pg_catalog.jsonb_extract_path_text(
                        pg_catalog.to_jsonb(d), 'datcollversion'::pg_catalog.text
                    )
                end
              ) <> pg_catalog.pg_collation_actual_version(l.oid)
    ),
    shape as materialized (
        select
            p.ordinal,
            pg_catalog.bool_and(
                p.sorted not in (select oid from drifted)
                and p.key_sorted not in (select oid from drifted)
            ) as steady,
            pg_catalog.count(*)::pg_catalog.int4 as many,
            pg_catalog.array_agg(p.number order by p.nth) as numbers,
            pg_catalog.array_agg(p.name::pg_catalog.text order by p.nth) as names,
            pg_catalog.array_agg(p.sorted order by p.nth) as sorted,
            pg_catalog.array_agg(p.key_number order by p.nth) as key_numbers,
            pg_catalog.bool_and(
                (p.type = p.key_type or mine.family = class.family)
                and p.sorted = p.key_sorted
            ) and (
                pg_catalog.count(*) = 1::pg_catalog.int8
                or not pg_catalog.bool_or(class.schema <> 'pg_catalog'::pg_catalog.name)
            ) as comparable,
            pg_catalog.jsonb_agg(
                pg_catalog.jsonb_build_object(
                    'column', p.name,
                    'key', p.key_name,
                    'collation', (
                        select pg_catalog.format(
                            '%%I.%%I'::pg_catalog.text, n.nspname, l.collname
                        )
                        from pg_catalog.pg_collation l
                        join pg_catalog.pg_namespace n on n.oid = l.collnamespace
                        where l.oid = p.key_sorted and p.key_sorted <> p.sorted
                          -- A type without collations takes no COLLATE.
                          and p.sorted <> 0::pg_catalog.oid
                    ),
                    'schema', case
                        when mine.basic = class.basic
                         and class.schema <> 'pg_catalog'::pg_catalog.name
                        then class.schema
                    end,
                    -- Whoever may create there makes operators of a domain's own.
                    'type', case
                        when mine.basic = class.basic
                         and class.schema <> 'pg_catalog'::pg_catalog.name
                        then (
                            select pg_catalog.format(
                                '%%I.%%I'::pg_catalog.text, n.nspname, t.typname
                            )
                            from pg_catalog.pg_type t
                            join pg_catalog.pg_namespace n on n.oid = t.typnamespace
                            where t.oid = class.basic
                        )
                    end
                ) order by p.nth
            ) as pairs
        from pair p
        left join class on class.type = p.key_type
        left join class mine on mine.type = p.type
        group by p.ordinal
    ),
    part (root, oid) as (
        select child, child from wanted
        union
        select parent, parent from wanted
        union
        select p.root, i.inhrelid
        from part p
        join pg_catalog.pg_class c
          on c.oid = p.oid and c.relkind = 'p'::pg_catalog."char"
        join pg_catalog.pg_inherits i on i.inhparent = p.oid
    ),
    leaf as (
        select p.root, p.oid
        from part p
        join pg_catalog.pg_class c
          on c.oid = p.oid and c.relkind <> 'p'::pg_catalog."char"
        where p.oid <> p.root
    ),
    -- To ask for a size, or for an expression, one waits for these.
    locked as materialized (
        select l.relation as oid
        from pg_catalog.pg_locks l
        where l.locktype = 'relation'::pg_catalog.text
          and l.mode = 'AccessExclusiveLock'::pg_catalog.text
          and l.pid is distinct from pg_catalog.pg_backend_pid()
    ),
    size as (
        select
            w.child as oid,
            pg_catalog.count(l.oid) as partitions,
            coalesce(pg_catalog.sum(
                case
                    -- A table never analyzed says -1: 100 bytes a row is a fair guess.
                    when c.reltuples >= 0::pg_catalog.float4
                        then c.reltuples::pg_catalog.float8
                    when c.relkind = any (array['r', 'm', 'p']::pg_catalog."char"[])
                     and c.oid not in (select oid from locked)
                        then pg_catalog.pg_relation_size(c.oid::pg_catalog.regclass)
                             ::pg_catalog.float8 / 100::pg_catalog.float8
                    else 1000000::pg_catalog.float8
                end
            ), 0::pg_catalog.float8) as rows
        from (select child from wanted union select parent from wanted) w
        left join leaf l on l.root = w.child
        join pg_catalog.pg_class c on c.oid = coalesce(l.oid, w.child)
        group by w.child
    ),
    spread as (
        select
            p.ordinal,
            pg_catalog.jsonb_agg(
                array[s.n_distinct, s.null_frac] order by p.nth
            ) as statistics
        from pair p
        join pg_catalog.pg_class c on c.oid = p.child
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        join lateral (
            select s.n_distinct, s.null_frac
            from pg_catalog.pg_stats s
            where s.schemaname = n.nspname and s.tablename = c.relname
              and s.attname = p.name
            order by s.inherited desc limit 1
        ) s on true
        group by p.ordinal
    )
    select
        w.ordinal,
        children.rows as rows,
        parents.rows as parents,
        greatest(children.partitions, 1::pg_catalog.int8) as partitions,
        spread.statistics,
        p.pairs,
        p.comparable and p.steady as comparable,
        p.steady,
        i.name as index,
        i.positions,
        exists (
            select from pg_catalog.pg_index u
            where u.indrelid = w.parent
              and u.indisunique and u.indisvalid and u.indimmediate
              and u.indpred is null
              and u.indnkeyatts = p.many::pg_catalog.int2
              and (u.indkey::pg_catalog.int2[])[0:p.many - 1]
                  operator(pg_catalog.<@) p.key_numbers
        ) as unique,
        (
            select k.conname::pg_catalog.text
            from pg_catalog.pg_constraint k
            where k.contype = 'f'::pg_catalog."char"
              and k.conrelid = w.child and k.confrelid = w.parent
              and pg_catalog.cardinality(k.conkey) = p.many
              and (
                  select pg_catalog.bool_and(
                      p.key_numbers[pg_catalog.array_position(p.numbers, c.number)]
                          is not distinct from c.key_number
                  )
                  from rows from (
                      pg_catalog.unnest(k.conkey), pg_catalog.unnest(k.confkey)
                  ) as c (number, key_number)
              )
              and p.steady
              and {ENFORCES}
            order by k.conname limit 1
        ) as constraint
    from wanted w
    join shape p on p.ordinal = w.ordinal
    join size children on children.oid = w.child
    join size parents on parents.oid = w.parent
    left join spread on spread.ordinal = w.ordinal
    left join lateral (
        select
            pg_catalog.format('%%I'::pg_catalog.text, ic.relname) as name,
            array(
                select p.names[pg_catalog.array_position(
                    p.numbers, (i.indkey::pg_catalog.int2[])[c.n]
                )]
                from pg_catalog.generate_series(0, p.many - 1) as c (n)
                order by c.n
            ) as positions
        from pg_catalog.pg_index i
        join pg_catalog.pg_class ic on ic.oid = i.indexrelid
        join pg_catalog.pg_am m
          on m.oid = ic.relam and m.amname = 'btree'::pg_catalog.name
        where i.indrelid = w.child
          and i.indrelid not in (select oid from locked)
          and i.indexrelid not in (select oid from locked)
          and i.indisvalid and i.indisready and i.indislive
          and i.indnkeyatts >= p.many::pg_catalog.int2
          and (i.indkey::pg_catalog.int2[])[0:p.many - 1] operator(pg_catalog.<@) p.numbers
          and (i.indkey::pg_catalog.int2[])[0:p.many - 1] operator(pg_catalog.@>) p.numbers
          and not exists (
              select from pg_catalog.generate_series(0, p.many - 1) as c (n)
              left join pg_catalog.pg_opclass o
                on o.oid = (i.indclass::pg_catalog.oid[])[c.n] and o.opcdefault
              where o.oid is null
                 or p.sorted[pg_catalog.array_position(
                     p.numbers, (i.indkey::pg_catalog.int2[])[c.n]
                 )] is distinct from (i.indcollation::pg_catalog.oid[])[c.n]
                 -- Rows compare as one only where all columns run the same way.
                 or p.many > 1 and (
                     (i.indoption::pg_catalog.int2[])[c.n]
                         <> (i.indoption::pg_catalog.int2[])[0]
                     or (i.indoption::pg_catalog.int2[])[c.n]
                         <> all (array[0, 3]::pg_catalog.int2[])
                 )
          )
          and (
              i.indpred is null
              or pg_catalog.pg_get_expr(i.indpred, i.indrelid) in (
                  select pg_catalog.format(
                      '(%%I IS NOT NULL)'::pg_catalog.text, q.name
                  )
                  from pair q where q.ordinal = w.ordinal
                  union all
                  select pg_catalog.format(
                      '(%%s)'::pg_catalog.text,
                      pg_catalog.string_agg(
                          pg_catalog.format(
                              '(%%I IS NOT NULL)'::pg_catalog.text, q.name
                          ), ' AND '::pg_catalog.text order by q.nth
                      )
                  )
                  from pair q where q.ordinal = w.ordinal
              )
          )
        order by
            i.indnkeyatts, pg_catalog.pg_relation_size(i.indexrelid::pg_catalog.regclass),
            ic.relname
        limit 1
    ) i on true
    order by w.ordinal
"""  # noqa: S608 - no value
