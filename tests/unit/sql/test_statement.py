"""Every :name that is a parameter becomes $n, and nothing else is touched."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import BrokerError, ParameterError, UnsafeStatement
from broker.sql.kind import Kind
from broker.sql.lexer import Style
from broker.sql.statement import compile, refuse_unsafe


def text_of(sql: str) -> str:
    return compile(sql).text.decode()


# What PostgreSQL's lexer (src/backend/parser/scan.l) takes as one thing, and hides a colon in.
QUIET = [
    "':x'",
    "'it''s :x'",
    "''",
    "'a\\'",  # standard_conforming_strings: a backslash is only itself
    "E'\\':x'",
    "e'a\\\\'",
    "E''':x'",
    "U&'\\0041 :x'",
    'U&"d\\0061t :x"',
    "B'0101'",
    "X'1F'",
    "N':x'",
    '":x"',
    '"a"":x"',
    "'\":x'",
    '"\':x"',
    "-- :x ' \" /* $$\n",
    "/* :x */",
    "/* a /* :b */ ' :c */",
    "/*/ :x */",
    "/* ** :x **/",
    "/**/",
    "$$ :x $ :y $$",
    "$tag$ :x $$ ' -- $tag$",
    "$_t1$ $tag$ :x $_t1$",
    "$ö$ :x $ö$",
    "$$''$$",
    "x::text",
    "x :: text",
    "a:=1",
    "f(a := 1)",
    "a$b$c",  # one identifier
    "nameE",
    "arr[1:2]",
    "arr[i : j]",
    "'{\"a\": 1}'::jsonb ->> ':x'",
    "doc ? 'k'",
    "doc ?| array['a:b']",
    'doc @> \'{"k": ":v"}\'',
    "doc @? '$.a[*] ? (@ > :x)'".replace(":x", "2"),
    "doc #>> '{a,:b}'",
    "a @@ b",
    "!~~*",
    "1.5e3",
    "'12:30:00'::time",
    "interval '1:00'",
    "naïve",
    "\u4e2d\u6587",
    "'\U0001f600 :x'",
    ";",
    "(",
    "%(x)s",
    "?",
]
NAMES = ["a", "b", "_c", "n1", "näme", "A", "customer_id"]
quiet = st.sampled_from(QUIET).map(lambda text: (text, None))
parameter = st.sampled_from(NAMES).map(lambda name: (f":{name}", name))
blank = st.sampled_from([" ", "\n", "\t ", "\r\n"])
fragments = st.lists(st.tuples(quiet | parameter, blank), max_size=12)


@given(fragments)
def test_parameters_are_numbered_in_order_of_appearance_among_whatever_else(pieces):
    sql, wanted, names = "", "", []
    for (text, name), gap in pieces:
        sql += text + gap
        if name is not None and name not in names:
            names.append(name)
        wanted += (text if name is None else f"${names.index(name) + 1}") + gap

    statement = compile(sql)

    assert statement.text.decode() == wanted
    assert statement.names == tuple(names)
    assert statement.sql == sql


@pytest.mark.parametrize("text", QUIET)
def test_what_is_no_parameter_is_sent_as_it_was_written(text):
    assert text_of(f"{text} :p") == f"{text} $1"


@pytest.mark.parametrize(
    ("sql", "sent"),
    [
        ("select :a", "select $1"),
        ("select :a,:b,:a", "select $1,$2,$1"),
        ("select(:a)", "select($1)"),
        ("select :a::int", "select $1::int"),
        ("select :a::int[]", "select $1::int[]"),
        ("f(x=>:a)", "f(x=>$1)"),
        ("f(x:=:a)", "f(x:=$1)"),
        ("f(x := :a)", "f(x := $1)"),
        ("doc->:k", "doc->$1"),
        ("doc->>:k", "doc->>$1"),
        ("doc @> :j", "doc @> $1"),
        ("doc ?:k", "doc ?$1"),
        ("n-:a", "n-$1"),
        ("n*:a", "n*$1"),
        ("n/:a", "n/$1"),
        ("any(:ids)", "any($1)"),
        ("array[:a,:b]", "array[$1,$2]"),
        ("arr[1: :n]", "arr[1: $1]"),
        ("':a'||:b", "':a'||$1"),
        ("E'\\''||:b", "E'\\''||$1"),
        ("$$:a$$||:b", "$$:a$$||$1"),
        ('":a":b', '":a"$1'),
        ("/*:a*/:b", "/*:a*/$1"),
        ("--:a\n:b", "--:a\n$1"),
        ("--:a", "--:a"),
        ("limit :n offset :m", "limit $1 offset $2"),
        ("\n\t:a", "\n\t$1"),
        (":a;", "$1;"),
        ("", ""),
    ],
)
def test_a_parameter_is_found_wherever_a_value_may_stand(sql, sent):
    assert text_of(sql) == sent


@pytest.mark.parametrize(
    "unterminated",
    ["'", "':a", "E':a\\'", "E':a\\", '":a', "/* :a", "/* /* */ :a", "$$ :a", "$t$ :a $$", "''':a"],
)
def test_what_is_not_terminated_hides_the_rest_and_is_left_to_the_server(unterminated):
    assert text_of(f"select :p, {unterminated} :b") == f"select $1, {unterminated} :b"


def test_a_slice_between_bounds_is_not_a_parameter():
    """`arr[lo:hi]` is PostgreSQL's own syntax; `arr[lo$1]` would be another identifier."""
    assert text_of("select arr[lo:hi], arr[1:n]") == "select arr[lo:hi], arr[1:n]"


def test_a_comment_ends_at_a_carriage_return_too():
    r"""scan.l: a comment is "--" {non_newline}*, and non_newline is [^\n\r]."""
    assert text_of("select 1 -- one\r+ :n") == "select 1 -- one\r+ $1"


def test_an_escape_string_goes_on_as_one_over_a_line_break():
    """PostgreSQL manual, 4.1.2.1: strings separated by a newline are one, escapes included."""
    assert text_of("select E'a'\n'b\\' :x', :p") == "select E'a'\n'b\\' :x', $1"


class Oracle:
    """The lexer again, one character at a time and with no pattern."""

    def __init__(self, sql: str) -> None:
        self.sql, self.at = sql, 0
        self.names: list[str] = []
        self.sent = ""

    def translate(self) -> str:
        while self.at < len(self.sql):
            self.step()
        return self.sent

    def begins(self, text: str) -> bool:
        return self.sql.startswith(text, self.at)

    def take(self, count: int) -> str:
        taken = self.sql[self.at : self.at + count]
        self.at += len(taken)
        self.sent += taken
        return taken

    def step(self) -> None:  # noqa: C901  a lexer
        char = self.sql[self.at]
        if self.begins("--"):
            while self.at < len(self.sql) and self.sql[self.at] not in "\r\n":
                self.take(1)
        elif self.begins("/*"):
            self.comment()
        elif char in "eE" and self.sql[self.at + 1 : self.at + 2] == "'":
            self.take(1)
            self.quoted("'", escapes=True)
            while (gap := self.line_break()) and self.sql[self.at + gap : self.at + gap + 1] == "'":
                self.take(gap)
                self.quoted("'", escapes=True)
        elif char in "'\"":
            self.quoted(char, escapes=False)
        elif char.isalpha() or char == "_":
            while self.at < len(self.sql) and (self.word(self.sql[self.at]) or self.begins("$")):
                self.take(1)
        elif self.begins("::") or self.begins(":="):
            self.take(2)
        elif char == ":" and self.first(self.sql[self.at + 1 : self.at + 2]):
            if self.word(self.sql[self.at - 1 : self.at] if self.at else ""):
                self.take(1)  # a slice's
            else:
                self.parameter()
        elif char == "$":
            self.dollar()
        else:
            self.take(1)

    def line_break(self) -> int:
        """Return the length of the white space and comments here, if a line ends in it."""
        end = self.at
        while end < len(self.sql):
            if self.sql[end] in " \t\n\r\f\v":
                end += 1
            elif self.sql.startswith("--", end):
                while end < len(self.sql) and self.sql[end] not in "\r\n":
                    end += 1
            else:
                break
        gap = self.sql[self.at : end]
        return len(gap) if "\n" in gap or "\r" in gap else 0

    @staticmethod
    def first(char: str) -> bool:
        return char.isalpha() or char == "_"

    @staticmethod
    def word(char: str) -> bool:
        return char.isalnum() or char == "_"

    def parameter(self) -> None:
        end = self.at + 1
        while end < len(self.sql) and self.word(self.sql[end]):
            end += 1
        name, self.at = self.sql[self.at + 1 : end], end
        if name not in self.names:
            self.names.append(name)
        self.sent += f"${self.names.index(name) + 1}"

    def comment(self) -> None:
        depth = 0
        while self.at < len(self.sql):
            if self.begins("/*"):
                depth += 1
                self.take(2)
            elif self.begins("*/"):
                depth -= 1
                self.take(2)
                if not depth:
                    return
            else:
                self.take(1)

    def quoted(self, quote: str, *, escapes: bool) -> None:
        self.take(1)
        while self.at < len(self.sql):
            if self.begins(quote * 2) or (escapes and self.begins("\\")):
                self.take(2)
            elif self.take(1) == quote:
                return

    def dollar(self) -> None:
        end = self.at + 1
        while end < len(self.sql) and self.word(self.sql[end]):
            end += 1
        tag = self.sql[self.at + 1 : end]
        if self.sql[end : end + 1] != "$" or tag[:1].isdigit():
            if tag[:1].isdigit():
                raise ParameterError
            self.take(1)
            return
        tag = f"${tag}$"
        self.take(len(tag))
        closed = self.sql.find(tag, self.at)
        self.take((len(self.sql) if closed < 0 else closed + len(tag)) - self.at)


@settings(max_examples=600)
@given(st.text("':Ea\"$-/*=b1 \n", max_size=24))
def test_it_reads_any_text_as_a_lexer_of_one_character_at_a_time_does(sql):
    oracle = Oracle(sql)
    try:
        wanted = oracle.translate()
    except ParameterError:
        with pytest.raises(ParameterError):
            compile(sql)
    else:
        assert compile(sql).text.decode() == wanted
        assert compile(sql).names == tuple(oracle.names)


@given(st.text(max_size=60))
def test_any_text_at_all_is_compiled_or_refused_with_an_error_of_ours(sql):
    try:
        statement = compile(sql)
    except BrokerError:
        return
    if not statement.names:
        assert statement.text.decode() == sql


@pytest.mark.parametrize("sql", ["select '\ud800'", "select \udfff"])
def test_text_that_is_no_unicode_is_refused_as_ours(sql):
    with pytest.raises(ParameterError):
        compile(sql)


def test_a_long_text_is_read_in_one_pass():
    literal = "x" * 300_000
    sql = f"select '{literal}', /* {literal} */ $${literal}$$, :a -- {literal}"

    assert text_of(sql) == sql.replace(":a", "$1")


@pytest.mark.parametrize("sql", ["select $1", "select :a, $2", "($1)", "f(x=>$12)"])
def test_a_number_for_a_parameter_is_refused_and_told_how_to_name_it(sql):
    with pytest.raises(ParameterError, match=r"\$\d+ in the statement: name the parameters"):
        compile(sql)


@pytest.mark.parametrize("sql", ["select '$1'", "select $$ $1 $$", "-- $1", 'select "$1"', "a$1"])
def test_a_number_that_is_no_parameter_is_left_alone(sql):
    assert text_of(sql) == sql


def test_a_nul_is_refused_since_it_would_end_the_text_on_its_way():
    with pytest.raises(ParameterError, match="NUL"):
        compile("select 1\0; drop table t")
    with pytest.raises(ParameterError, match="NUL"):
        compile("select '\0'")


def test_values_come_in_the_order_of_the_numbers():
    statement = compile("select :b, :a, :b")

    assert statement.values({"a": 1, "b": 2}) == [2, 1]


def test_a_missing_parameter_is_named():
    with pytest.raises(ParameterError, match="needs :b, which was not given"):
        compile("select :a, :b").values({"a": 1})


def test_a_parameter_too_many_is_named():
    with pytest.raises(ParameterError, match=":c was given, but the statement has no such"):
        compile("select :a").values({"a": 1, "c": 2})
    with pytest.raises(ParameterError, match=":a was given"):
        compile("select 1").values({"a": 1})


def test_a_misspelt_parameter_is_met_with_the_one_that_was_meant():
    with pytest.raises(ParameterError, match=r"did you mean customer=…\?"):
        compile("select :customer").values({"custmer": 1})


def test_no_refusal_shows_a_value():
    with pytest.raises(ParameterError) as raised:
        compile("select :token").values({"tokn": "hunter2"})

    assert "hunter2" not in str(raised.value)


def test_none_is_a_value_like_any_other():
    assert compile("select :a").values({"a": None}) == [None]


def kind(sql: str) -> Kind:
    return compile(sql).kind


@pytest.mark.parametrize(
    "sql",
    [
        "begin",
        "BEGIN;",
        "begin isolation level serializable",
        "start transaction",
        "START\n TRANSACTION read only",
        "commit",
        "commit and chain",
        "commit prepared 'x'",
        "end",
        "abort",
        "rollback",
        "rollback work",
        "rollback and chain",
        "rollback prepared 'x'",
        "prepare transaction 'x'",
        " ;; commit",
        "/* hi */ commit",
        "-- hi\ncommit",
        "/* /* nested */ */ -- and\n  rollback",
        "commit/**/",
    ],
)
def test_what_begins_or_ends_a_transaction_is_refused(sql):
    assert kind(sql) is Kind.CONTROL
    with pytest.raises(UnsafeStatement, match=r"db\.transaction\(\)"):
        refuse_unsafe(compile(sql))


@pytest.mark.parametrize(
    "sql",
    [
        "select 'begin'",
        'select 1 as "begin"',
        "endpoint",
        "begin_x",
        "prepare s as select 1",
        "with x as (select 1) select * from x",
        "select 1 -- commit",
        "explain analyze select 1",
        "insert into commits values (1)",
        "",
        "  -- nothing\n",
        "declare c cursor with hold for select 1",
        "set session characteristics as transaction read only",
        "select 1; savepoint a",
    ],
)
def test_what_stays_within_the_transaction_is_ordinary(sql):
    assert kind(sql) is Kind.ORDINARY
    refuse_unsafe(compile(sql))


@pytest.mark.parametrize(
    "sql",
    [
        "savepoint a",
        "rollback to a",
        "rollback to savepoint a",
        "ROLLBACK WORK TO SAVEPOINT a",
        "rollback transaction to a",
        "rollback/**/to a",
        "release a",
        "lock table t in exclusive mode",
        "LOCK t",
        "declare c cursor for select 1",
        "declare hold cursor for with hold as (select 1) select * from hold",
        "declare cursor no scroll cursor without hold for select 1",
        "set transaction read only",
        "set transaction snapshot 'x'",
        "set local work_mem = '1MB'",
        "set constraints all deferred",
    ],
)
def test_what_needs_a_transaction_block_is_not_given_one_by_companions(sql):
    assert kind(sql) is Kind.ALONE
    refuse_unsafe(compile(sql))


@pytest.mark.parametrize(
    "sql",
    [
        "copy t from stdin",
        "COPY t (a, b) FROM STDIN WITH (format csv)",
        "copy (select 1) to stdout",
        'copy "t" from/**/stdin',
        "copy binary t from stdin",
        "-- load\ncopy t\nto\nstdout",
    ],
)
def test_copy_that_needs_a_stream_is_refused_with_the_way_to_do_it(sql):
    with pytest.raises(UnsafeStatement, match=r"db\.session\(\)"):
        refuse_unsafe(compile(sql))


@pytest.mark.parametrize(
    "sql", ["copy t from '/tmp/f'", "copy t from program 'cat'", "select copy"]
)
def test_copy_that_needs_no_stream_is_ordinary(sql):
    assert kind(sql) is Kind.ORDINARY


@pytest.mark.parametrize(
    "sql",
    [
        "vacuum t",
        "VACUUM (analyze) t",
        "create database d",
        "drop database if exists d",
        "create index concurrently i on t (a)",
        "create unique index concurrently i on t (a)",
        "drop index concurrently i",
        "reindex index concurrently i",
        "alter table t detach partition p concurrently",
        "alter system set work_mem = '1MB'",
        "create tablespace s location '/x'",
        "discard all",
        "/* nightly */ vacuum",
        "do $$ begin commit; end $$",
        "call nightly()",
    ],
)
def test_what_must_not_share_a_flight_travels_alone(sql):
    assert kind(sql) is Kind.ALONE
    refuse_unsafe(compile(sql))


@pytest.mark.parametrize(
    "sql",
    [
        "select 'vacuum'",
        "create table do_not (a int)",
        "create index concurrent_i on t (a)",
        "create table t (a text default 'concurrently')",
        "drop table databases",
        "callable",
        "create view v as select 1 -- concurrently",
    ],
)
def test_what_only_looks_like_it_is_ordinary(sql):
    assert kind(sql) is Kind.ORDINARY


def test_the_refused_statement_is_quoted_in_one_short_line():
    with pytest.raises(UnsafeStatement) as raised:
        refuse_unsafe(compile("commit\n   and chain " + "/* x */" * 20))

    assert str(raised.value).startswith("commit and chain /* x *//* x */")
    assert "\n" not in str(raised.value)


def test_the_same_text_is_compiled_once():
    assert compile("select :once") is compile("select :once")


# The DB-API's parameters


def of_format(sql: str) -> str:
    return compile(sql, Style.FORMAT).text.decode()


def test_each_percent_s_is_a_parameter_of_its_own():
    assert of_format("select %s, %s::int") == "select $1, $2::int"
    assert len(compile("select %s, %s::int", Style.FORMAT).names) == 2


@pytest.mark.parametrize(
    "quiet", ["'%s %'", '"a%s"', "-- 100%\n", "/* %d */", "E'\\'%s'", "$$ % $$"]
)
def test_a_percent_sign_in_strings_names_and_comments_is_only_itself(quiet):
    assert of_format(f"select {quiet} %s") == f"select {quiet} $1"


def test_two_percent_signs_are_one_everywhere():
    """As PEP 249's suite and other drivers have it; pg8000 leaves both of them in strings."""
    assert of_format("select '100%%', %s") == "select '100%', $1"


def test_two_percent_signs_are_one_and_a_colon_is_only_itself():
    assert of_format("select 7 %% %s, a[:b]") == "select 7 % $1, a[:b]"


@pytest.mark.parametrize("sql", ["select 7 % 3", "select %d", "select %(n)s", "select %"])
def test_any_other_percent_sign_is_refused_with_what_to_write(sql):
    with pytest.raises(ParameterError, match="write %s for a parameter, %% for %"):
        compile(sql, Style.FORMAT)


def test_numbered_parameters_are_sent_as_they_are():
    sql = "select $2, $1 % 3, 'a%s' -- :x"
    statement = compile(sql, Style.NUMERIC_DOLLAR)
    assert (statement.text.decode(), statement.names) == (sql, ())


@pytest.mark.parametrize("style", Style)
def test_what_a_statement_leaves_behind_is_seen_in_every_style(style):
    assert compile("set search_path = x", style).hazards
    assert compile("/* a */ vacuum", style).kind is Kind.ALONE


def test_copy_out_of_a_table_or_a_query_reads_and_all_other_copies_write():
    assert compile("copy t to stdout").reads
    assert compile("COPY (select 1) TO STDOUT").reads
    assert not compile("copy t from stdin").reads
    assert not compile("copy (delete from t returning n) to stdout").reads
    assert not compile("copy (with d as (delete from t returning n) table d) to stdout").reads


WRITES = [
    "insert into t values (1)",
    "explain analyze insert into t values (1)",
    "explain (analyze) update t set n = 1",
    "EXPLAIN (costs off, ANALYZE true) delete from t",
    'explain ("analyze") delete from t',
    "explain analyse verbose merge into t using u on true when matched then delete",
    "explain analyze execute p",
    "explain analyze create table t as select 1",
    "explain analyze refresh materialized view m",
    "explain analyze select 1 as n into t",
    "explain analyze with x as (insert into t values (1) returning n) table x",
    "select 1 as n into t",
    "(select 1 as n into unlogged t)",
    "select n into table u from t",
    "select 1 insert into t",
    "select t.as into u from t",
    "select 1 as as into u",
    "with x as (insert into t values (1) returning n) select n from x",
    "select 1; insert into t values (1)",
    "create table t as table u",
    "call p()",
    "do $$ begin end $$",
    "execute p",
    "prepare p as delete from t",
    "refresh materialized view m",
    "copy t from '/tmp/f'",
    "copy (select 1) to '/tmp/f'",
    "copy (((delete from t returning n))) to stdout",
    "commit",
    "vacuum",
    "reset all",
    "truncate t",
]
READS = [
    "select 1",
    "((select 1))",
    "select 1 for update",
    "select 1 as into",
    "select t.into from t",
    'select "into" from t',
    "select 'x into t'",
    "select 1 -- into t",
    "select 1; table t; values (1)",
    "explain insert into t values (1)",
    "explain (analyze false) insert into t values (1)",
    "explain (costs off) delete from t",
    "explain analyze select 1",
    "explain (select 1)",
    "explain analyze declare c cursor for select 1",
    "table t",
    "values (1)",
    "show all",
    "declare c cursor for select 1",
    "fetch 1 from c",
    "close c",
    "lock table t",
    "savepoint a",
    "rollback to a",
    "set local x = 1",
    "copy t (n) to stdout",
    "copy (values (1)) to stdin",
    "",
    "-- insert\n",
]


@pytest.mark.parametrize("sql", WRITES)
def test_what_writes_by_its_own_text_is_no_read(sql):
    assert not compile(sql).reads


@pytest.mark.parametrize("sql", READS)
def test_what_writes_nothing_by_its_own_text_is_a_read(sql):
    assert compile(sql).reads


@given(st.sampled_from(WRITES), st.sampled_from(READS))
def test_a_text_reads_if_all_of_its_statements_do(write, read):
    assert not compile(f"{read}\n; {write}").reads
    assert not compile(f"{write}\n; {read}").reads
    assert compile(f"{read}\n; {read}").reads


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select 1; commit", Kind.CONTROL),
        ("select 1; copy t from stdin", Kind.COPY),
        ("select 1; vacuum", Kind.ALONE),
        ("lock table t; update t set n = 1", Kind.ORDINARY),
        ("-- commit\nselect 1", Kind.ORDINARY),
        ("create function f() returns int begin atomic select 1; end", Kind.ORDINARY),
        ("copy t from program 'cat' with (format csv)", Kind.ORDINARY),
        ("copy (select n from stdin) to '/tmp/f'", Kind.ORDINARY),
        ('create table t (a int, "concurrently" int)', Kind.ORDINARY),
    ],
)
def test_of_several_statements_the_strictest_says_how_they_are_sent(sql, expected):
    assert kind(sql) is expected


@pytest.mark.parametrize(
    "sql", ["set transaction read write", "/* a */ SET x = 1", "reset x", "select 1; set x = 1"]
)
def test_what_may_set_the_transactions_own_modes_is_seen(sql):
    assert compile(sql).sets
    assert not compile(f"select '{sql}'").sets


@pytest.mark.parametrize(
    "sql",
    [
        "create function f(int) returns int return $1 + 1",
        "create or replace function f(int) returns int language sql return ($1)",
        "create function f(int) returns int begin atomic select $1; select $1 + 1; end",
        "create procedure p(int) begin atomic insert into t values ($1); end",
    ],
)
def test_a_number_in_a_functions_body_is_the_functions_own(sql):
    assert text_of(sql) == sql
    assert compile(sql).names == ()
    with pytest.raises(ParameterError):
        compile(f"{sql}; select $1")


def test_a_percent_sign_in_a_functions_body_is_what_it_is_everywhere():
    assert of_format("create function f(int) returns int return $1 %% 2") == (
        "create function f(int) returns int return $1 % 2"
    )


def test_each_parameter_has_the_name_that_the_user_gave_it():
    assert compile("select :b, :a, :b").labels == (":b", ":a")
    assert compile("select %s, %s", Style.FORMAT).labels == ("parameter 1", "parameter 2")
    assert compile("select $2, $1", Style.NUMERIC_DOLLAR).labels == ("parameter 1", "parameter 2")
    assert compile("select 1").labels == ()
    assert len(compile(f"select ${'9' * 9000}", Style.NUMERIC_DOLLAR).labels) == 0
    assert compile("select :a").style is Style.NAMED


def test_the_style_is_part_of_what_is_kept():
    for sql in ("select 7 %% 2", "select ':a'"):
        assert {compile(sql, style).style for style in Style} == set(Style)


def test_what_is_no_text_is_refused():
    with pytest.raises(BrokerError, match="must be a str, not list"):
        compile([])  # type: ignore[arg-type]
