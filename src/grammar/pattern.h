// Regular expressions as people write them: the part of ECMA-262 (what JSON Schema names) that
// describes a regular language. What it cannot express (back-references, look-around, word
// boundaries) is refused by name.
#pragma once
#include <string_view>

#include "base/status.h"
#include "grammar/char_set.h"
#include "grammar/regex_pool.h"

namespace tutti::grammar {

enum class PatternUse {
  kWhole,   ///< the whole text is a match
  kSearch,  ///< some part of the text is; `^` and `$` bind it to the ends (JSON Schema)
};

/// Accepted: literals, `.`, sets with ranges and escapes, `|`, groups `( (?: (?<name>`, `* + ? {n}
/// {n,} {n,m}` and their lazy forms (the language is the same), `\d \D \w \W \s \S`, `\t \n \v \f
/// \r \0 \xHH \uHHHH \u{H} \cX`, escaped punctuation, `^` where a match may begin and `$` where it
/// may end. Texts are those of `any_char`, by which unanchored ends are filled.
/// kInvalidArgument with the position of what is wrong, kUnsupported of what is legal elsewhere.
Result<ExprId> compile_pattern(
    RegexPool& pool, std::string_view pattern, PatternUse use, Writing writing, ExprId any_char);

}  // namespace tutti::grammar
