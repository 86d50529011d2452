// tokenizer.json patterns are written for Oniguruma (Ruby syntax); ours run on PCRE2. The two read
// some constructs differently, so only a subset that both define is accepted and rewritten.
#pragma once
#include <string>
#include <string_view>

#include "base/status.h"

namespace tutti {

/// Returns the PCRE2 pattern (options UTF, UCP, MULTILINE) that matches what Oniguruma matches.
///
/// Accepted: literals, `.`, `|`, groups `( (?: (?i: (?> (?= (?! (?<= (?<!`, greedy, lazy and
/// possessive `* + ?`, intervals `{n} {n,} {n,m}` (not `{..}+`, not `{n}?`), flat sets, `^ $`, and
/// the escapes `\s \S \d \D \p{..} \P{..} \r \n \t \f \v \a \e \x.. \u.... \A \z \Z` and escaped
/// punctuation. Refused by name with its byte position: `\w \b \h`, back-references, nested sets,
/// `&&`, POSIX sets, `\P` in a set, other groups.
///
/// Rewritten: `\s` to the White_Space ranges, properties to PCRE2's plus what Unicode 16.0 added to
/// 14.0, script names to the Script property (PCRE2 would take Script_Extensions).
Result<std::string> translate_pattern(std::string_view pattern);

}  // namespace tutti
