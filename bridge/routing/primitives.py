"""The functions that generated source may call, by the names it has for them."""

from __future__ import annotations

from typing import Final

from bridge.routing import access, budget, jsontext, logic, operators
from bridge.routing.conversions import to_string
from bridge.routing.functions import has_value
from bridge.routing.names import no_function, read_qualified, read_variable
from bridge.routing.values import Value, equal

_PLAIN: dict[str, Value] = {
    "h_equal": equal,
    "h_variable": read_variable,
    "h_qualified": read_qualified,
    "h_no_function": no_function,
    "h_add": operators.add,
    "h_total": operators.total,
    "h_subtract": operators.subtract,
    "h_multiply": operators.multiply,
    "h_divide": operators.divide,
    "h_remainder": operators.remainder,
    "h_negate": operators.negate,
    "h_less": operators.less,
    "h_less_equal": operators.less_equal,
    "h_greater": operators.greater,
    "h_greater_equal": operators.greater_equal,
    "h_contained": operators.contained,
    "h_truth": logic.truth,
    "h_negated": logic.negated,
    "h_both": logic.both,
    "h_either": logic.either,
    "h_every": logic.every,
    "h_some": logic.some,
    "h_exactly_one": logic.exactly_one,
    "h_mapped": logic.mapped,
    "h_mapped_where": logic.mapped_where,
    "h_filtered": logic.filtered,
    "h_or_value": logic.or_value,
    "h_or_optional": logic.or_optional,
    "h_opt_map": logic.opt_map,
    "h_opt_flat_map": logic.opt_flat_map,
    "h_select": access.select,
    "h_select_optional": access.select_optional,
    "h_index": access.index,
    "h_index_optional": access.index_optional,
    "h_get": access.get,
    "h_has": access.has,
    "h_list": access.list_of,
    "h_map": access.map_of,
    "f_has_value": has_value,
    "h_text": to_string,
    "h_encode": jsontext.encode,
    "h_encode_metered": budget.encode_metered,
    "h_refill": budget.refill,
}
_PAIRS = ("h_equal", "h_add", "h_subtract", "h_multiply", "h_divide", "h_remainder")
_ORDERS = ("h_less", "h_less_equal", "h_greater", "h_greater_equal")
_METERED: dict[str, Value] = {f"{name}_metered": budget.metered_pair(_PLAIN[name]) for name in (*_PAIRS, *_ORDERS)} | {
    "h_total_metered": budget.metered(operators.total),
    "h_contained_metered": budget.metered_in(operators.contained),
}
PRIMITIVES: Final[dict[str, Value]] = _PLAIN | _METERED
