// tiktoken's vocabulary files: a line for each token, its bytes in base64 and its rank.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/bpe.h"

namespace tutti {

/// kCorrupt names `where` and the line that is none of a token.
Result<std::vector<TokenRank>> parse_tiktoken(std::string_view text, const std::string& where);

}  // namespace tutti
