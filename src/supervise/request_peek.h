// What a gateway needs to know of a request's body, without parsing it: the engine does that.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tutti {

struct RequestPeek {
  std::optional<std::string> model;   ///< the field of that name, if it is a string
  std::optional<int64_t> max_tokens;  ///< or max_completion_tokens, max_output_tokens
  uint64_t prefix =
      0;  ///< equal for requests whose messages, prompt or input begin alike; 0: has none
};

/// Of a body that is no JSON object as much as can be seen. Looks at each byte at most once, and no
/// further than it must.
RequestPeek peek_request(std::string_view body);

}  // namespace tutti
