"""What the dialect can do, as SQLAlchemy's suite asks for it; what it leaves out has its reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

POSTGRESQL_HAS = """
    aggregate_order_by array_type autocommit boolean_col_expressions
    cast_precision_numerics_many_significant_digits check_constraint_reflection
    column_collation_reflection comment_reflection comment_reflection_full_unicode
    computed_columns computed_columns_reflect_persisted computed_columns_stored
    computed_columns_virtual constraint_comment_reflection create_or_replace_view
    create_table_as cross_schema_fk_reflection ctes ctes_on_dml ctes_with_update_delete
    ctes_with_values date_historic date_implicit_bound datetime_historic datetime_implicit_bound
    datetime_interval datetime_literals datetime_timezone deferrable_fks delete_from
    delete_returning empty_strings_varchar except_ expression_server_defaults fetch_expression
    fetch_first fetch_no_order_by fetch_offset_with_options fetch_ties
    fk_constraint_option_reflection_ondelete_noaction
    fk_constraint_option_reflection_ondelete_restrict
    fk_constraint_option_reflection_onupdate_restrict
    float_or_double_precision_behaves_generically foreign_key_constraint_name_reflection
    foreign_key_constraint_option_reflection_ondelete
    foreign_key_constraint_option_reflection_onupdate get_isolation_level_values
    identity_columns identity_columns_standard implicit_default_schema index_ddl_if_exists
    index_reflects_included_columns indexes_check_column_order indexes_with_ascdesc
    indexes_with_expressions infinity_floats inline_check_constraint_reflection
    insert_from_select insert_returning intersect isolation_level json_type materialized_views
    mod_operator_as_percent_sign multivalues_inserts named_constraints non_updating_cascade
    nullsordering order_by_label_with_expression parens_in_union_contained_select_w_limit_offset
    parens_in_union_contained_select_wo_limit_offset percent_schema_names
    precision_generic_float_type precision_numerics_enotation_large
    precision_numerics_enotation_small precision_numerics_general
    precision_numerics_many_significant_digits precision_numerics_retains_significant_digits
    primary_key_constraint_reflection reflect_indexes_with_ascdesc
    reflect_indexes_with_expressions reflect_table_options reflect_tables_no_columns
    reflects_pk_names regexp_match regexp_replace savepoints schema_create_delete
    schema_reflection schemas sequences sequences_optional server_defaults server_side_cursors
    skip_autocommit_rollback standalone_null_binds_whereclause supports_bitwise_and
    supports_bitwise_not supports_bitwise_or supports_bitwise_shift supports_bitwise_xor
    supports_distinct_on supports_is_distinct_from table_ddl_if_exists table_value_constructor
    time time_implicit_bound time_microseconds time_timezone timestamp_microseconds tuple_in
    two_phase_transactions unbounded_varchar unicode_ddl unique_constraint_reflection
    unique_constraints_reflect_as_index update_from update_returning uuid_data_type
    view_column_reflection views window_functions window_range window_range_non_numeric
    window_range_numeric
""".split()  # noqa: SIM905  a list of them would be a page long

LEFT_OUT = {
    # A temporary table lives as long as its session, and sessions are the pool's: behind a
    # pooler the guard refuses it, direct it would be seen by whoever has the session next.
    "temp_table_reflection": "temporary tables stay with a pooled session",
    "temp_table_names": "temporary tables stay with a pooled session",
    "has_temp_table": "temporary tables stay with a pooled session",
    "temporary_tables": "temporary tables stay with a pooled session",
    "create_temp_table_as": "temporary tables stay with a pooled session",
    "temporary_views": "temporary tables stay with a pooled session",
    "default_schema_name_switch": "it sets search_path in a session that is the pool's",
}


def _has(_: object) -> Any:
    return exclusions.open()  # a new one each time: SQLAlchemy adds to it


def _lacks(why: str) -> Callable[[object], Any]:
    return lambda _: exclusions.skip_if(lambda: True, why)


class Requirements(SuiteRequirements):
    """PostgreSQL 18's, through the broker."""

    def get_isolation_levels(self, config: Any) -> dict[str, Any]:
        """Return the levels that can be set."""
        levels = config.db.dialect.get_isolation_level_values(None)
        return {"default": "READ COMMITTED", "supported": levels}

    def get_order_by_collation(self, config: Any) -> str:
        """Return a collation that every server has."""
        return "C"


for _name in POSTGRESQL_HAS:
    if hasattr(SuiteRequirements, _name):  # some are newer than the oldest SQLAlchemy
        setattr(Requirements, _name, property(_has))
for _name, _why in LEFT_OUT.items():
    if hasattr(SuiteRequirements, _name):
        setattr(Requirements, _name, property(_lacks(_why)))
