// People come from vLLM, SGLang, Xinference, llama.cpp and Ollama with their flags. A flag that
// means exactly what one here means is taken as that; any other known one is refused with what to
// type instead, since a near miss that is accepted would be worse than a refusal.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tutti {

struct ForeignFlag {
  const char* flags;  ///< all spellings, separated by spaces; long ones also with '_' for '-'
  const char* of;     ///< whose
  /// The flag here that means the same ("--context"), "MODEL" for the argument, or "": there is
  /// none.
  const char* same;
  const char* advice;  ///< without `same`: what to do instead, the rest of "--dtype: …"
};

std::span<const ForeignFlag> foreign_flags();

/// What a command of this program takes.
struct KnownFlags {
  std::function<bool(std::string_view flag)> has;
  std::function<bool(std::string_view flag)> takes_value;
};

/// `args`: what stands behind the command's name. Values of the command's own flags and what stands
/// behind "--" are left alone.
Result<std::vector<std::string>> translate_foreign_flags(const std::vector<std::string>& args,
                                                         const KnownFlags& known);

}  // namespace tutti
