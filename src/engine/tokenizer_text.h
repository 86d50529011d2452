// TokenText over the real tokenizer.
#pragma once
#include <memory>

#include "engine/token_text.h"

namespace tutti {

class Tokenizer;

/// nullptr for nullptr.
std::shared_ptr<const TokenText> make_token_text(std::shared_ptr<const Tokenizer> tokenizer);

}  // namespace tutti
