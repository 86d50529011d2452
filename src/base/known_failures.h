// What texts of CUDA, NCCL and the driver mean: one table for the doctor and for ranks that fail.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace tutti {

struct KnownFailure {
  const char* id;       ///< "cuda.fabric_manager"
  const char* pattern;  ///< in lower case; parts between * come in this order
  const char* cause;
  const char* remedy;  ///< one line
};

/// Special ones stand before general ones.
std::span<const KnownFailure> known_failures();

/// The first row whose pattern occurs in `text`, whatever its case; nullptr: none does.
const KnownFailure* known_failure(std::string_view text);

/// `text` with cause and remedy behind it, once: "…: <cause>; <remedy>". As it is if none is known.
std::string explain_failure(std::string text);

}  // namespace tutti
