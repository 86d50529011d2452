// What a rendered template is made of: text the template wrote and text that came from data.
// Encoders look for special tokens in template text only, so that a message that contains
// "<|im_end|>" stays plain text. Merging (BPE) must still see the joined plain text between two
// special tokens: a span border is not a token border.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace tutti {

enum class TextOrigin : uint8_t {
  kTemplate,  ///< literals of the template, configured special tokens, known role names
  kContent,   ///< messages, tools, keyword arguments and everything derived from them
};

struct TemplateSpan {
  std::string text;
  TextOrigin origin = TextOrigin::kTemplate;

  bool operator==(const TemplateSpan&) const = default;
};

}  // namespace tutti
