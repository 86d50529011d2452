// GBNF, llama.cpp's notation of grammars.
#pragma once
#include <string_view>

#include "base/status.h"
#include "grammar/syntax.h"

namespace tutti::grammar {

/// Rules `name ::= …` of literals "…" with escapes, sets […] and [^…], `.`, references, groups,
/// `* + ? {n} {n,} {n,m}`, alternatives, and comments from # on. The texts are those of `root`.
/// kInvalidArgument with line and column of what is wrong.
Status compile_gbnf(std::string_view text, Syntax& out);

}  // namespace tutti::grammar
